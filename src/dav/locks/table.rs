//! All locks of a source: what covers what, and what is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::RequestLocks;
use crate::fs::RequestContext;
use crate::logging::with_causes;
use crate::state::{LockRow, State, StateError, millis};

/// All locks of a source. Cloning shares them.
#[derive(Debug, Clone)]
pub struct LockTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// By path, see [`LockRow::path`].
    locks: Mutex<BTreeMap<String, Vec<LockRow>>>,
    state: State,
}

impl LockTable {
    /// Takes up the locks that were there before a restart.
    pub async fn load(state: State) -> Result<Self, StateError> {
        let mut locks: BTreeMap<String, Vec<LockRow>> = BTreeMap::new();
        let now = now();
        for row in state.locks().await? {
            if row.expires_at > now {
                locks.entry(row.path.clone()).or_default().push(row);
            }
        }
        Ok(Self(Arc::new(Inner { locks: Mutex::new(locks), state })))
    }

    /// The locks as one request sees them.
    pub fn for_request(&self, context: Arc<RequestContext>) -> RequestLocks {
        RequestLocks { table: self.clone(), context }
    }

    /// Whether any lock applies to `path`: `/`, then its segments, composed (NFC).
    pub fn is_locked(&self, path: &str) -> bool {
        !self.is_empty() && !self.covering(path).is_empty()
    }

    /// Whether a request has the token of a lock on its path that nobody shares.
    pub(in crate::dav) fn is_held_alone(&self, context: &RequestContext) -> bool {
        let holds = |lock: &LockRow| {
            !lock.shared && lock.principal == context.client.principal && context.tokens.contains(&lock.token)
        };
        !context.tokens.is_empty() && self.covering(&context.path.spelled_once()).iter().any(holds)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.locks.lock().is_empty()
    }

    /// The locks that apply to `path`: its own, and deep ones above it.
    pub(super) fn covering(&self, path: &str) -> Vec<LockRow> {
        let (locks, now) = (self.0.locks.lock(), now());
        let at = |place: &str| locks.get(place).into_iter().flatten().filter(|lock| lock.expires_at > now);
        let above = ancestors(path).flat_map(|place| at(place).filter(|lock| lock.deep));
        at(path).chain(above).cloned().collect()
    }

    /// Whether there is a lock of this token.
    pub(super) fn has(&self, token: &str) -> bool {
        let now = now();
        self.0.locks.lock().values().flatten().any(|lock| lock.token == token && lock.expires_at > now)
    }

    /// The locks below `path`.
    pub(super) fn below(&self, path: &str) -> Vec<LockRow> {
        let (locks, now) = (self.0.locks.lock(), now());
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let below = locks.range(prefix.clone()..).take_while(|(place, _)| place.starts_with(&prefix));
        below
            .flat_map(|(_, locks)| locks)
            .filter(|lock| lock.expires_at > now && lock.path != path)
            .cloned()
            .collect()
    }

    /// Adds a lock if no other one conflicts, in one step; drops those that expired meanwhile and
    /// returns their tokens. Fails with a lock that is in the way.
    /// `is_replaced` names locks whose place it takes.
    pub(super) fn insert(
        &self,
        row: &LockRow,
        is_replaced: impl Fn(&LockRow) -> bool,
    ) -> Result<Vec<String>, Box<LockRow>> {
        let (mut locks, now) = (self.0.locks.lock(), now());
        let prefix = format!("{}/", row.path.trim_end_matches('/'));
        let conflicts = |lock: &&LockRow| {
            let below = row.deep && lock.path.starts_with(&prefix);
            let near = covers(lock, &row.path) || below;
            // A token names one lock, wherever it is.
            let same = lock.token == row.token;
            let other = near && !same && !(row.shared && lock.shared);
            lock.expires_at > now
                && !is_replaced(lock)
                && (other || (same && (lock.path != row.path || lock.principal != row.principal)))
        };
        if let Some(other) = locks.values().flatten().find(conflicts) {
            return Err(Box::new(other.clone()));
        }
        let mut expired = Vec::new();
        locks.retain(|_, here| {
            here.retain(|lock| {
                let alive = lock.expires_at > now && lock.token != row.token && !is_replaced(lock);
                if !alive {
                    expired.push(lock.token.clone());
                }
                alive
            });
            !here.is_empty()
        });
        if locks.values().map(Vec::len).sum::<usize>() >= MAX_LOCKS {
            return Err(Box::new(row.clone()));
        }
        locks.entry(row.path.clone()).or_default().push(row.clone());
        expired.retain(|token| *token != row.token);
        Ok(expired)
    }

    /// Gives a lock that covers `path` a new end, if `principal` holds it; in one step, so that one
    /// that was just given back does not return.
    pub(super) fn refresh(
        &self,
        path: &str,
        token: &str,
        principal: &Option<String>,
        (expires_at, timeout): (u64, u64),
    ) -> Option<LockRow> {
        let (mut locks, now) = (self.0.locks.lock(), now());
        let is_meant = |lock: &&mut LockRow| {
            lock.token == token && lock.principal == *principal && lock.expires_at > now && covers(lock, path)
        };
        let lock = locks.values_mut().flatten().find(is_meant)?;
        lock.expires_at = expires_at;
        lock.timeout = timeout;
        Some(lock.clone())
    }

    /// Removes the locks that `is_gone` picks; returns their tokens.
    pub(super) fn remove(&self, is_gone: impl Fn(&LockRow) -> bool) -> Vec<String> {
        let mut removed = Vec::new();
        self.0.locks.lock().retain(|_, here| {
            here.retain(|lock| {
                let gone = is_gone(lock);
                if gone {
                    removed.push(lock.token.clone());
                }
                !gone
            });
            !here.is_empty()
        });
        removed
    }

    pub(super) async fn store(&self, keep: Vec<LockRow>, forget: Vec<String>) {
        if keep.is_empty() && forget.is_empty() {
            return;
        }
        if let Err(error) = self.0.state.store_locks(keep, forget).await {
            tracing::warn!(error = with_causes(&error), "locks will not survive a restart");
        }
    }
}

/// Whether a lock applies to `path`: its own, or a deep one above it.
pub(super) fn covers(lock: &LockRow, path: &str) -> bool {
    lock.path == path || (lock.deep && ancestors(path).any(|above| above == lock.path))
}

/// Seconds until a lock ends, rounded up.
pub(in crate::dav) fn seconds_left(lock: &LockRow) -> u64 {
    lock.expires_at.saturating_sub(now()).div_ceil(1000)
}

/// The paths above `path`, the nearest first.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors((path != "/").then(|| parent(path)), |path| (*path != "/").then(|| parent(path)))
}

pub(super) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(slash) => &path[..slash],
    }
}

pub(super) fn now() -> u64 {
    millis(SystemTime::now())
}

/// Each some hundred bytes; no client holds more than one for each open file.
const MAX_LOCKS: usize = 10_000;
