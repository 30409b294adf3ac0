//! Empty objects that wait for their content.
//!
//! macOS and davfs2 make a file empty, lock it, and write it a moment later: two writes, and a version
//! without content in a bucket that keeps versions. So an empty object is put off: it is a row on disk, it
//! is there for everybody who asks this gateway, and it is put to the store when no content comes. What
//! must stay true: while a row is held the store has no such object of ours, and a write of its content
//! and its own going to the store never happen at once.

mod rows;
mod wrapper;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use moka::sync::Cache;
use tokio::sync::Notify;
use tokio::time::{Instant, interval, timeout, timeout_at};

use super::layers::retry::{Limit, Retry, RetryPolicy};
use super::{MultipartStore, ObjectStore, Payload, PutObject, StoreError, StoreResult, existing};
use crate::logging::with_causes;
use crate::object::{Attributes, Condition, ETag, Key, ObjectMeta, Written};
use crate::path_key::PathKey;
use crate::shutdown::Shutdown;
use crate::state::{CreateRow, Left, State, StateError, millis};

pub use wrapper::WithCreates;

use rows::{Row, Rows};

/// Whether somebody has the file at this path open.
pub type IsOpen = Arc<dyn Fn(&PathKey) -> bool + Send + Sync>;

/// The empty objects that are put off. Cloning shares them.
#[derive(Clone)]
pub struct Creates(Arc<Inner>);

struct Inner {
    store: Arc<dyn MultipartStore>,
    state: State,
    is_open: IsOpen,
    /// How long content is waited for.
    wait: Duration,
    rows: Rows,
    changed: Notify,
    /// What an object was stored as, where that is not the ETag that was told.
    stored_as: Cache<Key, ETag>,
    /// Those whose content was stored, while the disk may not have the end of their rows.
    filled: Cache<Key, ()>,
}

impl std::fmt::Debug for Creates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Creates").field("held", &self.count()).finish_non_exhaustive()
    }
}

impl Creates {
    /// Takes up those that an earlier life `left` held, and sees to it that what is held gets to `store`.
    pub fn load(
        store: Arc<dyn MultipartStore>,
        state: State,
        left: Vec<CreateRow>,
        is_open: IsOpen,
        wait: Duration,
        shutdown: &Shutdown,
    ) -> Self {
        let rows = Rows::default();
        for row in left {
            if let Ok(key) = Key::new(&row.key) {
                // Of which clock its moment is nobody knows: it waits no longer than any other.
                let age = Duration::from_millis(millis(SystemTime::now()).saturating_sub(row.made));
                rows.insert(key.clone(), row, wait.saturating_sub(age));
                rows.get(&key).inspect(|row| row.set_left());
            }
        }
        let stored_as = Cache::builder().max_capacity(MOST_STORED).time_to_live(STORED_TIME).build();
        let filled = Cache::builder().max_capacity(MOST_STORED).time_to_live(FILLED_TIME).build();
        let changed = Notify::new();
        let creates = Self(Arc::new(Inner { store, state, is_open, wait, rows, changed, stored_as, filled }));
        shutdown.background(creates.clone().see_to_all(shutdown.clone()));
        creates
    }

    /// How many are held.
    pub fn count(&self) -> usize {
        self.0.rows.len()
    }

    async fn hold(&self, key: &Key, attributes: &Attributes) -> StoreResult<Written> {
        let row = CreateRow {
            key: key.as_str().to_owned(),
            content_type: attributes.content_type.clone(),
            user: attributes.user.clone(),
            made: millis(SystemTime::now()),
        };
        self.0.state.hold_create(row.clone()).await?;
        let meta = meta(&row);
        self.0.rows.insert(key.clone(), row, self.0.wait);
        self.0.changed.notify_one();
        Ok(Written { etag: meta.etag, last_modified: meta.last_modified })
    }

    /// Forgets a row: `left` is what the store has of it now.
    async fn end(&self, key: &Key, left: Left) {
        self.0.rows.remove(key);
        if left == Left::Content {
            self.0.filled.insert(key.clone(), ());
        }
        warn_of(key, self.0.state.end_create(key.as_str(), left).await);
    }

    /// Sees to it that an object which is deleted now does not come back empty after a crash: the disk is told of the end of
    /// its row only soon after its content is stored.
    async fn forget_filled(&self, key: &Key) {
        if self.0.filled.remove(key).is_some() {
            warn_of(key, self.0.state.sync().await);
        }
    }

    /// Forgets a row whose content was accepted elsewhere, so that nothing of it comes to the store; unless it is just going
    /// there, or may have gone. That is on disk with what the caller writes next.
    pub(super) fn hand_over(&self, key: &Key) -> Option<CreateRow> {
        let row = self.0.rows.get(key)?;
        let _turn = row.turn.try_lock().ok()?;
        if row.attempted() || !self.0.rows.has(key, &row) {
            return None;
        }
        self.0.rows.remove(key);
        self.0.state.hand_over_create(key.as_str());
        Some(row.create.clone())
    }

    /// Gives up those that fit; returns them, and whether the store may have got something of each.
    pub async fn discard(&self, fits: impl Fn(&CreateRow) -> bool) -> Vec<(CreateRow, bool)> {
        let (mut discarded, end) = (Vec::new(), Instant::now() + DISCARD_PATIENCE);
        for (key, row) in self.0.rows.all().into_iter().filter(|(_, row)| fits(&row.create)) {
            // It may be just going there.
            let Ok(_turn) = timeout_at(end, row.turn.lock()).await else { continue };
            if self.0.rows.has(&key, &row) {
                self.end(&key, Left::Nothing).await;
                discarded.push((row.create.clone(), row.attempted()));
            }
        }
        discarded
    }

    /// It was not accepted after all.
    pub(super) async fn take_back(&self, key: &Key, create: CreateRow) {
        if let Err(error) = self.0.state.hold_create(create.clone()).await {
            tracing::warn!(%key, error = with_causes(&error), "a file that was made empty is not noted on disk");
        }
        self.0.rows.insert(key.clone(), create, self.0.wait);
        self.0.changed.notify_one();
    }

    /// Puts an object to the store, unless its content is just being written.
    async fn store_now(&self, key: &Key, row: &Row) -> StoreResult<()> {
        let Ok(_turn) = row.turn.try_lock() else { return Ok(()) };
        self.store_in_turn(key, row).await
    }

    /// Puts an object to the store, for whoever has its turn.
    async fn store_in_turn(&self, key: &Key, row: &Row) -> StoreResult<()> {
        if !self.0.rows.has(key, row) {
            return Ok(());
        }
        let store = self.retry();
        let attributes = Attributes {
            content_type: row.create.content_type.clone(),
            user: row.create.user.clone(),
            ..Attributes::default()
        };
        let (body, attributes, condition) = (Payload::default(), &attributes, &Condition::IfAbsent);
        let left = match store.put(PutObject { key, body, attributes, condition }).await {
            Ok(written) => self.left_empty(key, &written.etag),
            // Somebody else made it, or an earlier try, or an earlier life: with a content or without.
            Err(StoreError::ConditionFailed) => match existing(store.head(key).await)? {
                Some(meta) => self.left(key, &meta),
                None => Left::Nothing,
            },
            Err(error) => {
                if error.may_have_been_applied() {
                    row.set_attempted();
                }
                return Err(error);
            }
        };
        self.end(key, left).await;
        Ok(())
    }

    /// Puts an object to the store before something else is done with it.
    async fn settle(&self, key: &Key) -> StoreResult<()> {
        let Some(row) = self.0.rows.get(key) else { return Ok(()) };
        // Whoever had the turn has mostly ended the row.
        let _turn = row.turn.lock().await;
        self.store_in_turn(key, &row).await
    }

    /// Puts to the store what is held at `path`, if nobody has it open.
    async fn release(&self, path: &PathKey) -> StoreResult<()> {
        for (key, row) in self.0.rows.all() {
            if path_of(&key) == *path && !(self.0.is_open)(path) {
                self.store_now(&key, &row).await?;
            }
        }
        Ok(())
    }

    /// Until the end, when everything is put to the store, open or not.
    async fn see_to_all(self, shutdown: Shutdown) {
        let mut ticks = interval(TICK.min(self.0.wait.max(Duration::from_millis(1))));
        loop {
            tokio::select! {
                () = shutdown.begun() => break,
                // Nothing to see to without rows.
                () = self.0.changed.notified(), if self.count() == 0 => {}
                _ = ticks.tick(), if self.count() > 0 => {
                    self.ask_about_those_left().await;
                    self.see_to_those(|key, row| self.is_due(key, row)).await;
                }
            }
        }
        let _ = timeout(LAST_PATIENCE, self.see_to_those(|_, _| true)).await;
        if self.count() > 0 {
            tracing::warn!(count = self.count(), "empty files are not in S3 yet; the next start stores them");
        }
    }

    /// Whether its content has been waited for.
    fn is_due(&self, key: &Key, row: &Row) -> bool {
        row.is_due() && !(self.0.is_open)(&path_of(key))
    }

    /// Ends the rows of an earlier life whose object is in the store.
    async fn ask_about_those_left(&self) {
        for (key, row) in self.0.rows.all().into_iter().filter(|(_, row)| row.is_left()) {
            let Ok(_turn) = row.turn.try_lock() else { continue };
            if !self.0.rows.has(&key, &row) {
                continue;
            }
            match self.retry().head(&key).await {
                Ok(meta) => self.found(&key, &meta).await,
                Err(StoreError::NotFound) => row.set_asked(),
                Err(error) => {
                    tracing::info!(
                        %key,
                        error = with_causes(&error),
                        "it is not yet known whether an empty file was stored"
                    );
                    return;
                }
            }
        }
    }

    /// The store has the object of a row whose write had no answer: what was written, or somebody else's.
    async fn found(&self, key: &Key, meta: &ObjectMeta) {
        self.end(key, self.left(key, meta)).await;
    }

    fn left(&self, key: &Key, meta: &ObjectMeta) -> Left {
        if meta.size > 0 { Left::Nothing } else { self.left_empty(key, &meta.etag) }
    }

    /// The store has it, as `etag`.
    fn left_empty(&self, key: &Key, etag: &ETag) -> Left {
        if *etag != ETag::of_nothing() {
            self.0.stored_as.insert(key.clone(), etag.clone());
        }
        Left::Empty { is_open: (self.0.is_open)(&path_of(key)) }
    }

    /// The store, for what nobody waits for.
    fn retry(&self) -> Retry {
        let patience = RetryPolicy { limit: Limit::Each(STORE_PATIENCE), for_credentials: false };
        Retry::new(Arc::clone(&self.0.store), patience)
    }

    async fn see_to_those(&self, is_due: impl Fn(&Key, &Row) -> bool) {
        for (key, row) in self.0.rows.all() {
            if !is_due(&key, &row) {
                continue;
            }
            if let Err(error) = self.store_now(&key, &row).await {
                tracing::warn!(
                    %key,
                    error = with_causes(&error),
                    "an empty file cannot be stored in S3 now; it is kept on this machine"
                );
            }
        }
    }
}

fn warn_of(key: &Key, ended: Result<(), StateError>) {
    if let Err(error) = ended {
        tracing::warn!(%key, error = with_causes(&error), "a file that was made empty is noted on disk still");
    }
}

fn path_of(key: &Key) -> PathKey {
    PathKey::of_text(key.as_str())
}

/// What is told of a held object.
fn meta(row: &CreateRow) -> ObjectMeta {
    ObjectMeta {
        size: 0,
        etag: ETag::of_nothing(),
        // S3 has whole seconds.
        last_modified: SystemTime::UNIX_EPOCH + Duration::from_secs(row.made / 1000),
        content_type: row.content_type.clone().or_else(|| Some("application/octet-stream".to_owned())),
        storage_class: None,
        user: row.user.clone(),
    }
}

/// How long content is waited for: macOS sends it within a second.
pub const WAIT: Duration = Duration::from_secs(10);
/// How often those that are waited for are looked at.
const TICK: Duration = Duration::from_secs(1);
/// For one of them, before the others have their turn.
const STORE_PATIENCE: Duration = Duration::from_secs(5);
/// A little longer than that.
const DISCARD_PATIENCE: Duration = Duration::from_secs(6);
/// For all at the end; those that are left are on disk.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
/// As long as a client may remember what it was told.
const STORED_TIME: Duration = Duration::from_secs(3600);
const MOST_STORED: u64 = 10_000;
/// Much longer than the disk is behind.
const FILLED_TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    fn row(made: SystemTime) -> CreateRow {
        CreateRow { key: "file".into(), content_type: None, user: Default::default(), made: millis(made) }
    }

    /// Whether the empty file is in the store before its content has been waited for, and after that.
    async fn is_put(rows: Vec<CreateRow>, held: Option<CreateRow>) -> (bool, bool) {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path(), "test").await.unwrap();
        let store = MemoryStore::default();
        let (shutdown, key) = (Shutdown::default(), Key::new("file").unwrap());
        tokio::time::pause();
        let is_open: IsOpen = Arc::new(|_| false);
        let creates = Creates::load(Arc::new(store.clone()), state, rows, is_open, WAIT, &shutdown);
        if let Some(row) = held {
            creates.0.rows.insert(key.clone(), row, WAIT);
            creates.0.changed.notify_one();
        }
        let is_there = async || store.head(&key).await.is_ok();
        tokio::time::sleep(WAIT - TICK * 2).await;
        let before = is_there().await;
        tokio::time::sleep(TICK * 4).await;
        let after = is_there().await;
        tokio::time::resume();
        (before, after)
    }

    #[tokio::test]
    async fn a_clock_that_goes_back_holds_nothing_for_longer() {
        let later = SystemTime::now() + Duration::from_secs(3600);
        assert_eq!(is_put(Vec::new(), Some(row(later))).await, (false, true), "it was made before that");
        assert_eq!(is_put(vec![row(later)], None).await, (false, true), "and in an earlier life");
    }

    #[tokio::test]
    async fn those_of_an_earlier_life_wait_for_what_is_left_of_the_time() {
        let (now, long_ago) = (SystemTime::now(), SystemTime::now() - Duration::from_secs(3600));
        assert_eq!(is_put(vec![row(now)], None).await, (false, true));
        assert_eq!(is_put(vec![row(long_ago)], None).await, (true, true));
    }
}
