//! A life of the gateway, step by step: each request to the store and each piece of work on the disk is one at its begin
//! and one at its end. At one of them it may die.

use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::random::Random;
use crate::sync::in_turn::Turns;

/// Cloning shares it.
#[derive(Debug)]
pub(super) struct Steps {
    state: Mutex<State>,
    died: Notify,
}

#[derive(Debug)]
struct State {
    random: Random,
    /// Until it dies; `None`: it does not.
    left: Option<u64>,
    is_dead: bool,
    /// What is on the disk, and where a copy of it goes at its death.
    disk: (PathBuf, PathBuf),
}

impl Steps {
    /// `left`: steps until the gateway dies, whose disk is at the first of the places then and at the second after it.
    pub(super) fn new(random: Random, left: Option<u64>, disk: (PathBuf, PathBuf)) -> Arc<Self> {
        let state = State { random, left, is_dead: false, disk };
        Arc::new(Self { state: Mutex::new(state), died: Notify::new() })
    }

    /// Waits for the gateway's death.
    pub(super) async fn death(&self) {
        self.died.notified().await;
    }

    /// One step. It never returns from that at which the gateway dies, nor from any later one.
    pub(super) async fn turn(&self) {
        let pause = self.step();
        match pause {
            Some(0) => yield_now().await,
            Some(pause) => sleep(std::time::Duration::from_millis(pause)).await,
            None => pending().await,
        }
        if self.state.lock().is_dead {
            pending::<()>().await;
        }
    }

    /// The pause after it, in milliseconds.
    fn step(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.is_dead {
            return None;
        }
        if let Some(left) = &mut state.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                state.is_dead = true;
                copy(&state.disk.0, &state.disk.1);
                if state.random.chance(30) {
                    lose_names(&state.disk.1.join(BODIES));
                }
                self.died.notify_one();
                return None;
            }
        }
        let is_long = state.random.chance(25);
        Some(if is_long { state.random.range(1..30) } else { 0 })
    }
}

/// What the runtime's work on the disk waits for.
pub(super) struct DiskTurns(pub(super) Arc<Steps>);

impl Turns for DiskTurns {
    fn turn(&self) -> BoxFuture<'static, ()> {
        let steps = Arc::clone(&self.0);
        async move { steps.turn().await }.boxed()
    }
}

/// A power cut: the names that bodies were given when they were accepted may not have come to the disk.
fn lose_names(bodies: &Path) {
    let Ok(entries) = fs::read_dir(bodies) else { return };
    for named in entries.map(|entry| entry.unwrap().path()) {
        let is_hidden = named.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if named.is_file() && named.extension().is_none() && !is_hidden {
            fs::rename(&named, named.with_extension("part")).unwrap();
        }
    }
}

/// Where bodies lie in the directory of a state.
pub(super) const BODIES: &str = "pending.noindex";

/// A directory as it is now.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    // It may have died before it made any.
    let Ok(entries) = fs::read_dir(from) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &place);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), place).unwrap();
        }
    }
}
