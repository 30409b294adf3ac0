//! What clients do, and what they keep in mind of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use tokio::time::{Instant, sleep, timeout};

use super::history::{Act, Known, Outcome, Value, Who, content, value_of};
use super::life::Life;
use super::random::Random;
use super::world::{FOLDERS, KEYS, World};
use crate::fs::context::Hints;
use crate::fs::file_system::{OpenFile, OpenMode, Transfer};
use crate::fs::{Failure, FileSystem, RequestContext, ResourcePath};
use crate::tally::Tally;

/// A client, during a life of the gateway.
pub(super) struct Session {
    pub(super) world: Arc<World>,
    pub(super) life: Arc<Life>,
    pub(super) number: usize,
}

impl Session {
    /// So many operations, with pauses.
    pub(super) async fn run(self, count: u64) {
        for _ in 0..count {
            let (acts, pause, patience) = {
                let random = &mut self.world.minds[self.number].lock().random;
                let pause = if random.chance(40) { 0..50 } else { 0..6000 };
                let patience = random.chance(4).then(|| random.millis(0..4000));
                (self.choose(random), random.millis(pause), patience)
            };
            sleep(pause).await;
            for act in acts {
                self.act(act, patience).await;
            }
        }
    }

    /// What programs do in one go.
    fn choose(&self, random: &mut Random) -> Vec<Act> {
        let keys = &KEYS[..self.world.plan.keys];
        let key = random.pick(keys).to_string();
        let other = random.pick(&KEYS.map(|other| if other == key { "d/tmp" } else { other })).to_string();
        let save = |key: &str| Act::Save { key: key.to_owned(), value: self.world.next_value() };
        let empty = |key: &str| Act::Save { key: key.to_owned(), value: 0 };
        match random.range(0..100) {
            0..22 => vec![save(&key)],
            // As macOS makes a file.
            22..30 => vec![empty(&key), save(&key)],
            30..33 => vec![empty(&key)],
            // As many programs save.
            33..40 if self.world.plan.has_moves => {
                vec![save("d/tmp"), Act::Move { from: "d/tmp".to_owned(), to: key }]
            }
            33..40 => vec![save(&key), save(&key)],
            40..52 => vec![Act::Delete { key }],
            52..64 if self.world.plan.has_moves => vec![Act::Move { from: key, to: other }],
            52..66 => vec![Act::Delete { key: key.clone() }, save(&key)],
            66..88 => vec![Act::Read { key }],
            88..95 => vec![Act::List { folder: random.pick(&FOLDERS).to_string() }],
            95..98 => vec![Act::Folder { name: "e".to_owned() }],
            _ => vec![Act::DeleteFolder { name: "e".to_owned() }],
        }
    }

    /// Does one thing, and takes note of what came of it. `patience`: after that the client goes away.
    pub(super) async fn act(&self, act: Act, patience: Option<Duration>) -> Outcome {
        let written = match &act {
            Act::Save { key, .. } | Act::Move { to: key, .. } => Some(key.clone()),
            _ => None,
        };
        let known = written.and_then(|key| self.mind(|mind| mind.knows(&key)));
        let who = Who::Client(self.number);
        let number = self.world.history.lock().begin(who, act.clone(), known.unwrap_or_default());
        let tally = Tally::new(number as u64);
        let done = tally.scope(self.carry_out(&act));
        let done = match patience {
            Some(patience) => timeout(patience, done).await,
            None => Ok(done.await),
        };
        let outcome = match done {
            Ok(done) => done.unwrap_or_else(|failure| failed(&act, &failure)),
            Err(_) => Outcome::Failed("the client went away".to_owned()),
        };
        let begun = {
            let mut history = self.world.history.lock();
            history.end(number, outcome.clone());
            history.ops[number].begun
        };
        self.learn(&act, &outcome, begun);
        outcome
    }

    fn mind<T>(&self, with: impl FnOnce(&mut super::world::Mind) -> T) -> T {
        with(&mut self.world.minds[self.number].lock())
    }

    fn learn(&self, act: &Act, outcome: &Outcome, at: u64) {
        self.mind(|mind| match (act, outcome) {
            (Act::Read { key } | Act::Delete { key }, Outcome::Found(found)) => {
                match found {
                    Some(value) => mind.saw(key, Known::Value(*value), at),
                    None => drop(mind.absent.insert(key.clone(), at)),
                }
                mind.looked.insert(key.clone());
            }
            (Act::List { folder }, Outcome::Names(names)) => {
                mind.looked.insert(format!("{folder}/"));
                let is_shown = |key: &str| within(key, folder).is_some_and(|name| names.contains(name));
                mind.absent.retain(|key, _| !is_shown(key));
            }
            (Act::Save { key, value }, Outcome::Done) => mind.saw(key, Known::Value(*value), at),
            (Act::Save { key, value }, Outcome::Lost) if *value != 0 => {
                mind.known.insert(key.clone(), (Known::Beside, at));
            }
            (Act::Delete { key }, Outcome::Done) => mind.removed(key, at),
            (Act::Move { from, to }, Outcome::Done) => {
                mind.removed(from, at);
                mind.saw(to, Known::Moved, at);
            }
            (Act::Move { from, to }, Outcome::Lost) => {
                mind.removed(from, at);
                mind.known.insert(to.clone(), (Known::Beside, at));
            }
            (act, Outcome::Failed(_)) => mind.doubt(act),
            _ => {}
        });
    }

    fn context(&self, method: &str, path: &str) -> RequestContext {
        // The names are as they should be.
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let client = self.mind(|mind| mind.client.clone());
        let is_patient = client.quirks().takes_5xx_for_absence;
        let budget = Duration::from_secs(if is_patient { 50 } else { 20 });
        let deadline = Instant::now() + budget;
        RequestContext { budget, deadline, ..RequestContext::bare(method, &format!("/{path}"), client) }
    }

    fn hints(&self, context: &RequestContext, key: &str) -> Hints {
        let is_sure = self.life.state.unsure_since().is_none();
        let makes = context.client.quirks().takes_5xx_for_absence && context.makes_empty();
        let folder = key.rsplit_once('/').map_or("/".to_owned(), |(folder, _)| format!("{folder}/"));
        self.mind(|mind| Hints {
            was_told_absent: mind.absent.contains_key(key),
            source_was_absent: context.destination.is_some()
                && mind.absent.contains_key(context.path.path_key().as_str()),
            has_looked: is_sure || mind.looked.contains(key) || mind.looked.contains(&folder),
            makes,
        })
    }

    async fn carry_out(&self, act: &Act) -> Result<Outcome, Failure> {
        match act {
            Act::Save { key, value } => self.save(key, *value).await,
            Act::Delete { key } => {
                let (_, fs, path) = self.request(self.context("DELETE", key));
                fs.metadata(&path).await?;
                fs.delete(&path).await?;
                Ok(Outcome::Done)
            }
            Act::Move { from, to } => self.move_file(from, to).await,
            Act::Read { key } => Ok(Outcome::Found(self.read(key).await?)),
            Act::List { folder } => {
                let (_, fs, path) = self.request(self.context("PROPFIND", folder));
                let (_, mut children) = fs.list(&path).await?;
                let mut names = BTreeSet::new();
                while let Some(child) = children.next().await {
                    names.insert(child?.name);
                }
                Ok(Outcome::Names(names))
            }
            Act::DeleteFolder { name } => {
                let (_, fs, path) = self.request(self.context("DELETE", name));
                fs.metadata(&path).await?;
                fs.delete(&path).await?;
                Ok(Outcome::Done)
            }
            Act::Folder { name } => {
                let (_, fs, path) = self.request(self.context("MKCOL", name));
                fs.make_folder(&path).await?;
                Ok(Outcome::Done)
            }
        }
    }

    fn request(&self, context: RequestContext) -> (Arc<RequestContext>, Arc<dyn FileSystem>, ResourcePath) {
        let (path, context) = (context.path.clone(), Arc::new(context));
        let fs = self.life.share().for_request(Arc::clone(&context));
        (context, fs, path)
    }

    async fn save(&self, key: &str, value: Value) -> Result<Outcome, Failure> {
        let body = content(value);
        let length = body.len() as u64;
        let mut context = self.context("PUT", key);
        (context.has_content, context.declared) = (length > 0, Some(length));
        context.outcome.set_hints(self.hints(&context, key));
        let (context, fs, path) = self.request(context);
        absent_or(fs.metadata(&path).await)?;
        let mode = OpenMode::Write { size: Some(length), create_new: false };
        let mut file = fs.open(path, mode).await?;
        let (first, second) = body.split_at(body.len() / 2);
        for piece in [first, second] {
            if !piece.is_empty() {
                file.write(Bytes::copy_from_slice(piece)).await?;
            }
        }
        file.commit().await?;
        Ok(if context.outcome.has_lost() { Outcome::Lost } else { Outcome::Done })
    }

    async fn move_file(&self, from: &str, to: &str) -> Result<Outcome, Failure> {
        let mut context = self.context("MOVE", from);
        let destination = ResourcePath::parse(&format!("/{to}"))?;
        context.destination = Some(destination.clone());
        context.outcome.set_hints(self.hints(&context, to));
        let (context, fs, path) = self.request(context);
        fs.metadata(&path).await?;
        absent_or(fs.metadata(&destination).await)?;
        fs.transfer(path, destination, Transfer::Move).await?;
        Ok(if context.outcome.has_lost() { Outcome::Lost } else { Outcome::Done })
    }

    async fn read(&self, key: &str) -> Result<Option<Value>, Failure> {
        let context = self.context("GET", key);
        if let Some(hot) = self.life.share().hot(&context).await {
            self.life.share().offered(&context).await;
            self.life.share().delivered(&context, 0, hot.content.len() as u64);
            return Ok(Some(value_of(&hot.content).unwrap_or(Value::MAX)));
        }
        let (context, fs, path) = self.request(context);
        let mut file = match fs.open(path, OpenMode::Read).await {
            Ok(OpenFile::Reading(file)) => file,
            Ok(_) => return Ok(None),
            Err(failure) if failure.is_absence() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let (size, mut bytes) = (file.meta().size, Vec::new());
        while (bytes.len() as u64) < size {
            let piece = file.read(1 << 16).await?;
            if piece.is_empty() {
                break;
            }
            bytes.extend_from_slice(&piece);
        }
        self.life.share().offered(&context).await;
        self.life.share().delivered(&context, 0, bytes.len() as u64);
        Ok(Some(value_of(&bytes).unwrap_or(Value::MAX)))
    }
}

/// The name of what lies in a folder, if it does.
pub(super) fn within<'a>(key: &'a str, folder: &str) -> Option<&'a str> {
    let (parent, name) = key.rsplit_once('/').unwrap_or(("", key));
    (parent == folder).then_some(name)
}

/// What is not there is no failure.
fn absent_or<T>(looked: Result<T, Failure>) -> Result<(), Failure> {
    match looked {
        Err(failure) if !failure.is_absence() => Err(failure),
        _ => Ok(()),
    }
}

fn failed(act: &Act, failure: &Failure) -> Outcome {
    let why = failure.to_string();
    match (act, failure) {
        (Act::Delete { .. } | Act::Read { .. }, failure) if failure.is_absence() => Outcome::Found(None),
        // An earlier try of it, whose answer was lost, may have deleted what was there, or copied it.
        (Act::Delete { .. } | Act::Move { .. }, Failure::Changed) => Outcome::Failed(why),
        (Act::DeleteFolder { .. }, failure) if failure.is_absence() => Outcome::Nothing(why),
        (
            _,
            Failure::NotFound
            | Failure::ParentMissing
            | Failure::Exists
            | Failure::IsFolder
            | Failure::Unexpected
            | Failure::UnderWay
            | Failure::Changed
            | Failure::Forbidden(_),
        ) => Outcome::Nothing(why),
        _ => Outcome::Failed(why),
    }
}
