//! What outlives the gateway: the bucket, the clients, and what was done.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::faults::{Bug, Weather, fair};
use super::history::{Act, History, Known, Value};
use super::random::Random;
use crate::fs::Client;
use crate::store::journal::Durability;
use crate::store::memory::MemoryStore;

/// What a seed is about.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) durability: Durability,
    /// How long what was accepted rests.
    pub(super) delay: Duration,
    /// Nothing is answered from memory.
    pub(super) forgets: bool,
    pub(super) lives: u64,
    /// How many of them are worked on.
    pub(super) keys: usize,
    /// Operations of each client in each life.
    pub(super) ops: u64,
    /// Somebody else writes into the bucket.
    pub(super) has_others: bool,
    pub(super) has_moves: bool,
    pub(super) has_outages: bool,
    pub(super) has_denials: bool,
    pub(super) has_deaths: bool,
    /// Calls of a hundred that fail.
    pub(super) flaky: u64,
}

impl Plan {
    fn of(random: &mut Random) -> Self {
        let durability = if random.chance(40) { Durability::Journal } else { Durability::Store };
        let delay = if random.chance(50) { random.millis(0..5000) } else { Duration::ZERO };
        let has_denials = random.chance(15);
        Self {
            durability,
            delay: if durability == Durability::Journal { delay } else { Duration::ZERO },
            forgets: random.chance(40),
            lives: random.range(1..5),
            keys: random.range(1..6) as usize,
            ops: random.range(3..9),
            has_others: random.chance(50),
            has_moves: random.chance(60),
            has_outages: random.chance(85),
            has_denials,
            has_deaths: random.chance(60),
            flaky: if random.chance(30) { random.range(1..15) } else { 0 },
        }
    }
}

/// What a client has in mind.
#[derive(Debug)]
pub(super) struct Mind {
    pub(super) random: Random,
    pub(super) client: Client,
    /// And since when.
    pub(super) known: HashMap<String, (Known, u64)>,
    /// What it was told that is not there, and not shown since.
    pub(super) absent: HashMap<String, u64>,
    /// What it has looked at in this life of the gateway.
    pub(super) looked: BTreeSet<String>,
}

impl Mind {
    pub(super) fn knows(&self, key: &str) -> Option<(Known, u64)> {
        let absent = self.absent.get(key).map(|since| (Known::Absent, *since));
        self.known.get(key).copied().or(absent)
    }

    pub(super) fn saw(&mut self, key: &str, known: Known, at: u64) {
        self.known.insert(key.to_owned(), (known, at));
        self.absent.remove(key);
        self.looked.insert(key.to_owned());
    }

    /// It has deleted it, or moved it away.
    pub(super) fn removed(&mut self, key: &str, at: u64) {
        self.known.remove(key);
        self.absent.insert(key.to_owned(), at);
    }

    /// Nobody knows whether it was done.
    pub(super) fn doubt(&mut self, act: &Act) {
        if let Act::Delete { key } | Act::Move { from: key, .. } = act {
            self.known.remove(key);
        }
        if let Act::Move { to, .. } = act {
            self.known.remove(to);
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) bug: Option<Bug>,
    pub(super) random: Mutex<Random>,
    pub(super) objects: MemoryStore,
    pub(super) weather: Mutex<Weather>,
    pub(super) history: Mutex<History>,
    /// When the gateway first saw a value in the store.
    pub(super) seen: Mutex<HashMap<Value, u64>>,
    pub(super) minds: Vec<Mutex<Mind>>,
    values: AtomicU32,
}

impl World {
    pub(super) fn new(seed: u64, bug: Option<Bug>) -> Arc<Self> {
        let mut random = Random::new(seed);
        let plan = Plan::of(&mut random);
        let count = random.range(1..4);
        let agents: Vec<_> = (0..count).map(|_| if random.chance(75) { MACOS } else { "curl/8" }).collect();
        let world = Self::of(plan, &agents, random, bug);
        world.note(format!("seed {seed}: {:?}, clients {agents:?}", world.plan));
        world
    }

    /// In which only what a test does happens, on two Macs.
    pub(super) fn calm() -> Arc<Self> {
        let plan = Plan {
            durability: Durability::Store,
            delay: Duration::ZERO,
            forgets: false,
            lives: 0,
            keys: KEYS.len(),
            ops: 0,
            has_others: false,
            has_moves: false,
            has_outages: false,
            has_denials: false,
            has_deaths: false,
            flaky: 0,
        };
        Self::of(plan, &[MACOS, MACOS], Random::new(0), None)
    }

    fn of(plan: Plan, agents: &[&str], mut random: Random, bug: Option<Bug>) -> Arc<Self> {
        let minds = agents.iter().enumerate().map(|(number, agent)| {
            let client = Client::new(Some(format!("c{number}")), [127, 0, 0, 1].into(), agent);
            let (known, absent, looked) = Default::default();
            Mutex::new(Mind { random: random.fork(), client, known, absent, looked })
        });
        let minds = minds.collect();
        let weather = fair(random.fork());
        let world = Self {
            plan,
            bug,
            objects: MemoryStore::default(),
            weather,
            history: Mutex::default(),
            seen: Mutex::default(),
            minds,
            values: AtomicU32::new(1),
            random: Mutex::new(random),
        };
        Arc::new(world)
    }

    pub(super) fn next_value(&self) -> Value {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn note(&self, line: impl fmt::Display) {
        self.history.lock().note(line);
    }
}

const MACOS: &str = "WebDAVFS/3.0";
/// Where files are written.
pub(super) const KEYS: [&str; 6] = ["d/x", "a", "e/z", "b", "d/y", "d/tmp"];
/// Those of them that are always there are listed, too.
pub(super) const FOLDERS: [&str; 3] = ["", "d", "e"];
