//! All locks of a source: what covers what, and what is kept.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::RequestLocks;
use crate::fs::RequestContext;
use crate::logging::with_causes;
use crate::path_key::PathKey;
use crate::state::{LockRow, State, StateError, millis};

/// All locks of a source. Cloning shares them.
#[derive(Debug, Clone)]
pub struct LockTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    locks: Mutex<BTreeMap<PathKey, Vec<LockRow>>>,
    state: State,
}

impl LockTable {
    /// Takes up the locks that were there before a restart.
    pub async fn load(state: State) -> Result<Self, StateError> {
        let mut locks: BTreeMap<PathKey, Vec<LockRow>> = BTreeMap::new();
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

    /// Whether any lock applies to `path`.
    pub fn is_locked(&self, path: &PathKey) -> bool {
        !self.is_empty() && !self.covering(path).is_empty()
    }

    /// Whether a request has the token of a lock on its path that nobody shares.
    pub(in crate::dav) fn is_held_alone(&self, context: &RequestContext) -> bool {
        let holds = |lock: &LockRow| {
            !lock.shared && lock.principal == context.client.principal && context.tokens.contains(&lock.token)
        };
        !context.tokens.is_empty() && self.covering(&context.path.path_key()).iter().any(holds)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.locks.lock().is_empty()
    }

    /// The locks that apply to `path`: its own, and deep ones above it.
    pub(super) fn covering(&self, path: &PathKey) -> Vec<LockRow> {
        let (locks, now) = (self.0.locks.lock(), now());
        let at =
            |place: &PathKey| locks.get(place).into_iter().flatten().filter(|lock| lock.expires_at > now);
        let above = ancestors(path)
            .flat_map(|place| at(&place).filter(|lock| lock.deep).cloned().collect::<Vec<_>>());
        at(path).cloned().chain(above).collect()
    }

    /// Whether there is a lock of this token.
    pub(super) fn has(&self, token: &str) -> bool {
        let now = now();
        self.0.locks.lock().values().flatten().any(|lock| lock.token == token && lock.expires_at > now)
    }

    /// The locks below `path`.
    pub(super) fn below(&self, path: &PathKey) -> Vec<LockRow> {
        let (locks, now) = (self.0.locks.lock(), now());
        let prefix = path.prefix();
        let from = (Bound::Included(&*prefix), Bound::Unbounded);
        let below = locks.range::<str, _>(from).take_while(|(place, _)| place.is_within(path));
        below.flat_map(|(_, locks)| locks).filter(|lock| lock.expires_at > now).cloned().collect()
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
        let conflicts = |lock: &&LockRow| {
            let below = row.deep && lock.path.is_within(&row.path);
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
        path: &PathKey,
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
pub(super) fn covers(lock: &LockRow, path: &PathKey) -> bool {
    lock.path == *path || (lock.deep && path.is_within(&lock.path))
}

/// Seconds until a lock ends, rounded up.
pub(in crate::dav) fn seconds_left(lock: &LockRow) -> u64 {
    lock.expires_at.saturating_sub(now()).div_ceil(1000)
}

/// The paths above `path`, the nearest first.
fn ancestors(path: &PathKey) -> impl Iterator<Item = PathKey> {
    std::iter::successors(path.parent(), PathKey::parent)
}

pub(super) fn now() -> u64 {
    millis(SystemTime::now())
}

/// Each some hundred bytes; no client holds more than one for each open file.
const MAX_LOCKS: usize = 10_000;

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::fs::Client;

    async fn table() -> (tempfile::TempDir, LockTable) {
        let place = tempfile::tempdir().unwrap();
        let state = State::open(place.path(), "a test").await.unwrap();
        (place, LockTable::load(state).await.unwrap())
    }

    fn path(text: &str) -> PathKey {
        PathKey::of_text(text)
    }

    /// An exclusive lock of depth 0, for an hour.
    fn lock(token: &str, path: &str) -> LockRow {
        LockRow {
            token: token.to_owned(),
            path: PathKey::of_text(path),
            principal: None,
            client: "a client".to_owned(),
            owner: None,
            shared: false,
            deep: false,
            expires_at: now() + 3_600_000,
            timeout: 3600,
        }
    }

    fn deep(token: &str, path: &str) -> LockRow {
        LockRow { deep: true, ..lock(token, path) }
    }

    fn expired(token: &str, path: &str) -> LockRow {
        LockRow { expires_at: now() - 1, ..lock(token, path) }
    }

    fn add(table: &LockTable, row: &LockRow) -> Result<Vec<String>, String> {
        table.insert(row, |_| false).map_err(|other| other.token)
    }

    fn tokens(locks: &[LockRow]) -> Vec<&str> {
        locks.iter().map(|lock| lock.token.as_str()).collect()
    }

    #[tokio::test]
    async fn a_lock_applies_to_its_path_and_a_deep_one_to_all_below() {
        let (_place, table) = table().await;
        add(&table, &deep("deep", "/a")).unwrap();
        add(&table, &lock("root", "/")).unwrap();
        assert_eq!(tokens(&table.covering(&path("/a"))), ["deep"]);
        assert_eq!(tokens(&table.covering(&path("/a/b/c"))), ["deep"]);
        assert_eq!(tokens(&table.covering(&path("/"))), ["root"]);
        for free in ["/ab", "/b", "/b/a"] {
            assert!(!table.is_locked(&path(free)), "{free}");
        }
        assert_eq!(tokens(&table.below(&path("/"))), ["deep"], "not its own");
        assert!(table.below(&path("/a")).is_empty());
        let all = deep("all", "/");
        assert!(
            covers(&all, &path("/x/y"))
                && covers(&all, &path("/"))
                && !covers(&lock("one", "/"), &path("/x"))
        );
    }

    #[tokio::test]
    async fn what_conflicts_is_named() {
        let (_place, table) = table().await;
        add(&table, &lock("file", "/a/file")).unwrap();
        assert_eq!(add(&table, &lock("other", "/a/file")), Err("file".to_owned()));
        assert_eq!(add(&table, &deep("tree", "/a")), Err("file".to_owned()), "it is below");
        assert_eq!(add(&table, &deep("all", "/")), Err("file".to_owned()), "it is below");
        add(&table, &lock("folder", "/a")).unwrap();
        add(&table, &deep("beside", "/a/fi")).unwrap();
        assert_eq!(add(&table, &lock("within", "/a/fi/le")), Err("beside".to_owned()));
    }

    #[tokio::test]
    async fn only_shared_locks_share_a_place() {
        let (_place, table) = table().await;
        let shared = |token: &str| LockRow { shared: true, ..lock(token, "/a") };
        add(&table, &shared("1")).unwrap();
        add(&table, &shared("2")).unwrap();
        assert_eq!(add(&table, &lock("3", "/a")), Err("1".to_owned()));
        assert_eq!(tokens(&table.covering(&path("/a"))), ["1", "2"]);
        let (_place, table) = self::table().await;
        add(&table, &lock("alone", "/a")).unwrap();
        assert_eq!(add(&table, &shared("1")), Err("alone".to_owned()));
    }

    #[tokio::test]
    async fn a_token_names_one_lock_of_one_user() {
        let (_place, table) = table().await;
        add(&table, &lock("1", "/a")).unwrap();
        assert_eq!(add(&table, &lock("1", "/b")), Err("1".to_owned()), "at another place");
        let anothers = LockRow { principal: Some("somebody".to_owned()), ..lock("1", "/a") };
        assert_eq!(add(&table, &anothers), Err("1".to_owned()));
        assert_eq!(add(&table, &lock("1", "/a")), Ok(Vec::new()), "the same again");
        assert_eq!(table.covering(&path("/a")).len(), 1);
        assert!(table.has("1") && !table.has("2"));
    }

    #[tokio::test]
    async fn what_has_expired_applies_to_nothing_and_makes_room() {
        let (_place, table) = table().await;
        add(&table, &expired("old", "/a")).unwrap();
        assert!(!table.is_locked(&path("/a")) && !table.has("old") && table.below(&path("/")).is_empty());
        assert_eq!(table.refresh(&path("/a"), "old", &None, (now() + 1000, 1)), None);
        assert_eq!(add(&table, &lock("new", "/a")), Ok(vec!["old".to_owned()]));
        assert_eq!(tokens(&table.covering(&path("/a"))), ["new"]);
        let replaced = table.insert(&lock("newer", "/a"), |lock| lock.token == "new").unwrap();
        assert_eq!(replaced, ["new"]);
        assert_eq!(tokens(&table.covering(&path("/a"))), ["newer"]);
    }

    #[tokio::test]
    async fn a_lock_is_refreshed_by_whoever_holds_it_from_all_that_it_covers() {
        let (_place, table) = table().await;
        add(&table, &deep("1", "/a")).unwrap();
        let end = now() + 7_200_000;
        assert_eq!(table.refresh(&path("/b"), "1", &None, (end, 7200)), None);
        assert_eq!(table.refresh(&path("/a"), "2", &None, (end, 7200)), None);
        assert_eq!(table.refresh(&path("/a"), "1", &Some("somebody".to_owned()), (end, 7200)), None);
        let lock = table.refresh(&path("/a/below"), "1", &None, (end, 7200)).unwrap();
        assert_eq!((lock.expires_at, lock.timeout), (end, 7200));
        assert_eq!(table.covering(&path("/a"))[0].expires_at, end);
        assert_eq!(table.remove(|lock| lock.path == path("/a")), ["1"]);
        assert!(table.is_empty());
    }

    #[tokio::test]
    async fn there_are_so_many_locks_and_no_more() {
        let (_place, table) = table().await;
        for count in 0..MAX_LOCKS {
            let row = lock(&count.to_string(), &format!("/{count}"));
            table.0.locks.lock().insert(row.path.clone(), vec![row]);
        }
        assert_eq!(add(&table, &lock("more", "/more")), Err("more".to_owned()));
        table.remove(|lock| lock.token == "0");
        add(&table, &lock("more", "/more")).unwrap();
    }

    #[tokio::test]
    async fn locks_are_there_again_after_a_restart_but_for_those_that_have_expired() {
        let place = tempfile::tempdir().unwrap();
        let state = State::open(place.path(), "a test").await.unwrap();
        let table = LockTable::load(state.clone()).await.unwrap();
        table.store(vec![lock("1", "/a"), lock("2", "/b"), expired("3", "/c")], Vec::new()).await;
        table.store(Vec::new(), vec!["2".to_owned()]).await;
        let table = LockTable::load(state).await.unwrap();
        assert!(table.has("1") && !table.has("2") && table.0.locks.lock().len() == 1);
    }

    #[test]
    fn paths_have_ancestors_up_to_the_root() {
        let all = |text: &str| ancestors(&path(text)).map(|path| path.to_string()).collect::<Vec<_>>();
        assert_eq!(all("/a/b/c"), ["/a/b", "/a", "/"]);
        assert_eq!(all("/a"), ["/"]);
        assert!(all("/").is_empty());
    }

    #[test]
    fn what_is_left_of_a_lock_is_rounded_up() {
        let ends_in = |millis: u64| LockRow { expires_at: now() + millis, ..lock("1", "/a") };
        assert_eq!(seconds_left(&ends_in(59_500)), 60);
        assert_eq!(seconds_left(&expired("1", "/a")), 0);
    }

    #[tokio::test]
    async fn who_has_the_token_of_a_lock_that_nobody_shares_holds_it_alone() {
        let (_place, table) = table().await;
        let request = |user: Option<&str>, tokens: &[&str]| {
            let client = Client::new(user.map(str::to_owned), [127, 0, 0, 1].into(), "agent");
            let tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
            RequestContext { tokens, ..RequestContext::bare(Method::PUT, "/a/file", client) }
        };
        let alone = |user, tokens: &[&str]| table.is_held_alone(&request(user, tokens));
        assert!(!alone(None, &["1"]), "it is not locked");
        add(&table, &deep("1", "/a")).unwrap();
        assert!(alone(None, &["1"]) && alone(None, &["0", "1"]));
        assert!(!alone(None, &[]) && !alone(None, &["0"]) && !alone(Some("other"), &["1"]));
        table.remove(|_| true);
        add(&table, &LockRow { shared: true, ..lock("1", "/a/file") }).unwrap();
        assert!(!alone(None, &["1"]), "others may have it, too");
        assert_eq!(
            tokens(&table.for_request(Arc::new(request(None, &[]))).table.covering(&path("/a/file"))),
            ["1"]
        );
    }

    #[tokio::test]
    async fn a_place_with_several_locks_keeps_those_that_stay() {
        let (_place, table) = table().await;
        let shared = |token: &str| LockRow { shared: true, ..lock(token, "/a") };
        for token in ["1", "2", "3"] {
            add(&table, &shared(token)).unwrap();
        }
        assert_eq!(table.remove(|lock| lock.token == "2"), ["2"]);
        assert_eq!(tokens(&table.covering(&path("/a"))), ["1", "3"]);
        let replaced = table.insert(&shared("4"), |lock| lock.token == "1").unwrap();
        assert_eq!(replaced, ["1"]);
        assert_eq!(tokens(&table.covering(&path("/a"))), ["3", "4"]);
        assert!(table.remove(|lock| lock.token == "none").is_empty());
        assert!(table.is_locked(&path("/a")) && !table.is_empty());
    }

    #[test]
    fn locks_end_by_the_clock() {
        let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
        let (before, told, after) = (clock(), now(), clock());
        assert!((before..=after).contains(&told), "{told}");
    }
}
