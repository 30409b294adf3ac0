//! One seed, from its begin to its end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::clients::Session;
use super::faults::{Bug, all, peek};
use super::history::{Act, Known, Outcome, Who, content};
use super::life::Life;
use super::register::{self, Order};
use super::steps::{BODIES, DiskTurns, Steps};
use super::verdict;
use super::world::{FOLDERS, KEYS, World};
use crate::object::{Attributes, Condition, Key};
use crate::store::{ObjectStore, PutObject};
use crate::sync::in_turn;

/// What came of a seed.
#[derive(Debug)]
pub(super) struct Report {
    /// What is wrong.
    pub(super) wrong: Vec<String>,
    /// All that happened.
    pub(super) history: String,
    /// Whether there is an order of it was not found out.
    pub(super) is_open: bool,
}

impl Report {
    /// What is wrong was said elsewhere.
    pub(super) fn of_panic() -> Self {
        let history = String::new();
        Self { wrong: vec!["it panicked".to_owned()], history, is_open: false }
    }
}

/// Runs a seed; `bug` is put in.
pub(super) fn run(seed: u64, bug: Option<Bug>) -> Report {
    let world = World::new(seed, bug);
    let disk = Disk::new();
    world.change_elsewhere("d/", Some(0));
    let mut wrong = Vec::new();
    let lives = world.plan.lives;
    let mut place = disk.next();
    for life in 0..lives {
        place = live(&world, place, &disk, life);
    }
    wrong.extend(settle(&world, &place));
    let left = all(&world.objects);
    if wrong.is_empty() {
        wrong.extend(verdict::complaints(&world, &left));
    }
    let order = register::order(&world);
    if let Order::None(why) = &order {
        wrong.push(format!("what was seen has no order: {why}"));
    }
    let history = format!("{}\nin the end: {left:?}", world.history.lock().told());
    Report { wrong, history, is_open: order == Order::Unknown }
}

/// Where the gateway's state lies, in each of its lives.
struct Disk {
    place: tempfile::TempDir,
    lives: AtomicU64,
}

impl Disk {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { place: place.unwrap(), lives: AtomicU64::new(0) }
    }

    fn next(&self) -> PathBuf {
        self.place.path().join(self.lives.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

/// Runs `work` in a runtime of its own, with a clock that goes as fast as it can.
pub(super) fn in_runtime<T>(steps: &Arc<Steps>, work: impl Future<Output = T>) -> T {
    in_turn::set(Some(Arc::new(DiskTurns(Arc::clone(steps)))));
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let done = runtime.block_on(work);
    drop(runtime);
    in_turn::set(None);
    done
}

/// One life, until it dies or is ended. Where its state is then.
fn live(world: &Arc<World>, place: PathBuf, disk: &Disk, number: u64) -> PathBuf {
    let next = disk.next();
    let (random, death) = {
        let mut random = world.random.lock();
        let dies = world.plan.has_deaths && random.chance(70);
        let soon = if random.chance(40) { 80 } else { 600 };
        let death = dies.then(|| random.range(1..soon));
        (random.fork(), death)
    };
    world.note(format!("life {number}, which dies at step {death:?}"));
    let steps = Steps::new(random.clone(), death, (place.clone(), next.clone()));
    let has_died = in_runtime(&steps, async {
        tokio::select! {
            biased;
            () = steps.death() => true,
            () = day(world, &steps, &place) => false,
        }
    });
    world.minds.iter().for_each(|mind| mind.lock().looked.clear());
    if has_died {
        for (who, act) in world.history.lock().cut() {
            if let Who::Client(number) = who {
                world.minds[number].lock().doubt(&act);
            }
        }
        let _ = std::fs::remove_dir_all(place);
        next
    } else {
        place
    }
}

/// What happens in a life.
async fn day(world: &Arc<World>, steps: &Arc<Steps>, place: &Path) {
    let life = Arc::new(Life::begin(world, steps, place).await);
    let mut clients = JoinSet::new();
    for number in 0..world.minds.len() {
        let session = Session { world: Arc::clone(world), life: Arc::clone(&life), number };
        clients.spawn(session.run(world.plan.ops));
    }
    let mut around = JoinSet::new();
    around.spawn(weather(Arc::clone(world)));
    if world.plan.has_others {
        around.spawn(others(Arc::clone(world)));
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    around.shutdown().await;
    let pause = world.random.lock().millis(0..20_000);
    sleep(pause).await;
    world.note("the gateway is stopped");
    if let Some(life) = Arc::into_inner(life) {
        life.end().await;
    }
}

/// S3 comes and goes.
async fn weather(world: Arc<World>) {
    let plan = &world.plan;
    world.weather.lock().flaky = plan.flaky;
    loop {
        let (pause, is_away, denied) = {
            let mut random = world.random.lock();
            let is_away = plan.has_outages && random.chance(60);
            let denied = if plan.has_denials && random.chance(60) { Some(*random.pick(&KEYS)) } else { None };
            (random.millis(200..30_000), is_away, denied)
        };
        {
            let mut weather = world.weather.lock();
            weather.is_away = is_away;
            weather.is_silent = weather.random.chance(30);
            weather.denied = denied.into_iter().map(str::to_owned).collect();
        }
        world.note(format!("S3 is away: {is_away}, denied: {denied:?}"));
        sleep(pause).await;
    }
}

/// Somebody else writes into the bucket, and deletes.
async fn others(world: Arc<World>) {
    loop {
        let (pause, key, deletes) = {
            let mut random = world.random.lock();
            (random.millis(100..20_000), *random.pick(&KEYS), random.chance(25))
        };
        sleep(pause).await;
        let value = (!deletes).then(|| world.next_value());
        let act = match value {
            Some(value) => Act::Save { key: key.to_owned(), value },
            None => Act::Delete { key: key.to_owned() },
        };
        let number = world.history.lock().begin(Who::Other, act, (Known::Nothing, 0));
        world.change_elsewhere(key, value);
        world.history.lock().end(number, Outcome::Done);
    }
}

impl World {
    /// Without the gateway.
    pub(super) fn change_elsewhere(&self, key: &str, value: Option<u32>) {
        // The names are as they should be.
        let key = Key::new(key).unwrap();
        let before = peek(&self.objects, &key);
        match value {
            Some(value) => {
                let (body, attributes) = (content(value).into(), Attributes::default());
                let condition = &Condition::None;
                let put = PutObject { key: &key, body, attributes: &attributes, condition };
                self.objects.put(put).now_or_never().unwrap().unwrap();
            }
            None => self.objects.delete(&key, &Condition::None).now_or_never().unwrap().unwrap(),
        }
        self.note_change(false, &key, before, peek(&self.objects, &key));
    }
}

/// All is well from now on, and all comes to rest. What is wrong then.
fn settle(world: &Arc<World>, place: &Path) -> Vec<String> {
    {
        let mut weather = world.weather.lock();
        (weather.is_away, weather.flaky) = (false, 0);
        weather.denied.clear();
    }
    world.note("the last life");
    let random = world.random.lock().fork();
    let steps = Steps::new(random, None, (place.to_owned(), place.to_owned()));
    let mut wrong = in_runtime(&steps, async {
        let life = Arc::new(Life::begin(world, &steps, place).await);
        let wrong = rest(&life).await;
        if wrong.is_empty() {
            look(world, &life).await;
        }
        if let Some(life) = Arc::into_inner(life) {
            life.end().await;
        }
        wrong
    });
    let count = world.objects.open_uploads();
    if count > 0 {
        wrong.push(format!("{count} multipart uploads are left"));
    }
    wrong.extend(files(&place.join(BODIES)).into_iter().map(|name| format!("{name} is left")));
    wrong
}

pub(super) async fn rest(life: &Life) -> Vec<String> {
    for _ in 0..500 {
        sleep(Duration::from_secs(5)).await;
        if life.left().is_empty() {
            return Vec::new();
        }
        life.retry();
    }
    life.left().iter().map(|row| format!("it does not come to rest: {row:?}")).collect()
}

/// Reads everything, as a client that has just come.
async fn look(world: &Arc<World>, life: &Arc<Life>) {
    let session = Session { world: Arc::clone(world), life: Arc::clone(life), number: 0 };
    for key in KEYS {
        session.act(Act::Read { key: key.to_owned() }, None).await;
    }
    for folder in FOLDERS {
        session.act(Act::List { folder: folder.to_owned() }, None).await;
    }
}

/// The files in a directory and below it that are not hidden.
fn files(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap());
    let names = names.flat_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() { files(&entry.path()) } else { vec![name] }
    });
    names.filter(|name| !name.starts_with('.')).collect()
}
