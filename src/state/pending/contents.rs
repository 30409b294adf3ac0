//! Files of macOS's client whose content could not be stored, or was not stored yet.
//!
//! Its close(2) tells no program that an upload has failed. One that saves to a temporary file would go on
//! and move that over the document: what had been saved before would be replaced by nothing. So it is known
//! of each such file that its content is missing, from the begin of a save until the file is stored, replaced or
//! deleted, whatever becomes of the gateway meanwhile.

use super::coming_at::At;
use super::index::Rows;
use super::{Kind, Operation, PendingRow, Phase, content_id};
use crate::path_key::PathKey;
use crate::state::{State, StateError};

/// A content on its way. Dropped, it has failed.
#[derive(Debug)]
pub struct Coming {
    state: State,
    path: PathKey,
    number: u64,
    /// Bytes, where the client told in advance.
    announced: Option<u64>,
    /// An earlier one did not arrive whole.
    was_cut: bool,
    has_ended: bool,
}

/// How a content ended.
enum End {
    Stored { is_whole: bool },
    Failed(String),
}

impl State {
    /// A content is on its way to the file at `path`; that is on disk when this returns. `announced`: its bytes,
    /// as far as `client` told. Where the disk has no room this is known in memory only, and logged.
    pub async fn begin_content(&self, path: PathKey, client: &str, announced: Option<u64>) -> Coming {
        let (number, was_cut, must_write) = {
            let mut rows = self.0.pending.0.lock();
            rows.begun += 1;
            rows.note_change();
            let number = rows.begun;
            let at = rows.coming.entry(path.clone()).or_default();
            at.begin(number, announced);
            // macOS sends a file anew when a connection was lost, maybe before that is seen here.
            let is_again = at.count > 1;
            let is_held = rows.is_held(&path);
            let (was_cut, must_write) = match rows.content(&path) {
                Some(row) => {
                    let was_cut = row.lacks_content();
                    if !was_cut {
                        row.phase = Phase::Begun;
                    }
                    (was_cut || is_again, false)
                }
                // The row of the empty file stands for it.
                None if is_held => (is_again, false),
                None => {
                    rows.put(content(path.clone(), Phase::Begun, client, announced));
                    (is_again, true)
                }
            };
            (rows.begun, was_cut, must_write)
        };
        let coming = Coming { state: self.clone(), path, number, announced, was_cut, has_ended: false };
        if must_write && let Err(error) = self.sync().await {
            coming.warn(&error);
        }
        coming
    }

    /// An empty file was made at `path`, and its content may come; on disk when this returns, unless the row of the
    /// empty file is.
    pub async fn expect_content(&self, path: &PathKey, client: &str) -> Result<(), StateError> {
        let is_known = {
            let mut rows = self.0.pending.0.lock();
            let is_known = rows.is_held(path) || rows.content(path).is_some();
            if !is_known {
                rows.put(content(path.clone(), Phase::Expected, client, None));
            }
            is_known
        };
        if is_known { Ok(()) } else { self.sync().await }
    }

    /// The files whose content is expected, in this life.
    pub fn expected_contents(&self) -> Vec<PendingRow> {
        let rows = self.0.pending.0.lock();
        rows.of_kind(Kind::Content).filter(|row| row.phase == Phase::Expected).cloned().collect()
    }

    /// Whether the file at `path` was made empty in this life, and nothing was sent to it yet.
    pub fn expects_content(&self, path: &PathKey) -> bool {
        let mut rows = self.0.pending.0.lock();
        let is_expected = rows.content(path).is_some_and(|row| row.phase == Phase::Expected);
        is_expected || (rows.is_held(path) && !rows.coming.contains_key(path))
    }

    /// The file at `path` stays empty: no content comes.
    pub fn expects_nothing(&self, path: &PathKey) {
        let mut rows = self.0.pending.0.lock();
        if rows.content(path).is_some_and(|row| row.phase == Phase::Expected) {
            rows.remove(&content_id(path));
            drop(rows);
            self.sync_soon();
        }
    }

    /// Whether something at `path`, or below it, lacks its content.
    pub fn lacks_content(&self, path: &PathKey) -> bool {
        !self.lacking(path).is_empty()
    }

    /// The files at `path`, or below it, that lack their contents, or whose contents are on their way.
    pub fn lacking(&self, path: &PathKey) -> Vec<PendingRow> {
        let rows = self.0.pending.0.lock();
        let lacks = |row: &&PendingRow| row.lacks_content() && row.path.is_within(path);
        let mut lacking: Vec<PendingRow> =
            rows.of_kind(Kind::Content).chain(rows.of_kind(Kind::Create)).filter(lacks).cloned().collect();
        let coming = rows.coming.keys().filter(|at| at.is_within(path));
        lacking.extend(coming.map(|at| content(at.clone(), Phase::Begun, "", None)));
        lacking
    }

    /// What was at `from`, and below it, is at `to` now; what was there is gone.
    pub fn move_contents(&self, from: &PathKey, to: &PathKey) {
        let moved: Vec<PendingRow> = {
            let rows = self.0.pending.0.lock();
            let there =
                |row: &PendingRow| row.path.moved(from, to).map(|path| PendingRow { path, ..row.clone() });
            rows.of_kind(Kind::Content).filter_map(there).collect()
        };
        self.forget_contents(from);
        self.forget_contents(to);
        let mut rows = self.0.pending.0.lock();
        moved.into_iter().for_each(|row| rows.put(row));
    }

    /// What is at `path`, and below it, is gone, or is something else now.
    pub fn forget_contents(&self, path: &PathKey) {
        let mut rows = self.0.pending.0.lock();
        let begun = rows.begun;
        rows.coming.iter_mut().filter(|(at, _)| at.is_within(path)).for_each(|(_, at)| at.settled = begun);
        let here = rows.of_kind(Kind::Content).filter(|row| row.path.is_within(path));
        let gone: Vec<String> = here.map(PendingRow::id).collect();
        if gone.is_empty() {
            return;
        }
        gone.iter().for_each(|id| drop(rows.remove(id)));
        drop(rows);
        self.sync_soon();
    }
}

impl Coming {
    /// `bytes` of it are going to be accepted: where that is not all of it, the disk has it with the row of that.
    pub fn accepting(&self, bytes: u64) {
        if !self.is_whole(bytes) {
            self.state.0.pending.0.lock().put_incomplete(&self.path, self.announced);
        }
    }

    /// `bytes` of it are accepted: the row of that, which is on disk, ends this one, and tells who made it.
    pub fn accepted(mut self, bytes: u64) {
        self.end(End::Stored { is_whole: self.is_whole(bytes) });
    }

    fn is_whole(&self, bytes: u64) -> bool {
        !self.was_cut || self.announced.is_none_or(|announced| bytes >= announced)
    }

    /// `bytes` of it are stored.
    pub async fn stored(mut self, bytes: u64) {
        self.end(End::Stored { is_whole: self.is_whole(bytes) });
        // With it goes that this client has made this version: its next save must not meet it as somebody else's.
        if let Err(error) = self.state.sync().await {
            self.warn(&error);
        }
    }

    /// It was refused, and where it should go there is no file that could lack it.
    pub fn void(mut self) {
        self.end(End::Stored { is_whole: true });
    }

    /// It could not be stored.
    pub fn failed(mut self, why: String) {
        self.end(End::Failed(why));
    }

    fn end(&mut self, end: End) {
        self.has_ended = true;
        let mut rows = self.state.0.pending.0.lock();
        rows.note_change();
        let Some(at) = rows.coming.get_mut(&self.path) else { return };
        match end {
            End::Stored { is_whole } if self.number >= at.settled => {
                (at.settled, at.is_incomplete) = (self.number, !is_whole);
            }
            End::Failed(why) if self.number > at.settled.max(at.failed) => {
                (at.failed, at.why) = (self.number, Some(why));
            }
            _ => {}
        }
        at.count -= 1;
        if at.count > 0 {
            return;
        }
        let Some(at) = rows.coming.remove(&self.path) else { return };
        rows.settle(&self.path, at, self.announced);
        drop(rows);
        self.state.sync_soon();
    }

    fn warn(&self, error: &StateError) {
        let path = &self.path;
        tracing::warn!(%path, %error, "cannot record on disk whether the content of this file is stored");
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(End::Failed("the connection ended before it was stored".to_owned()));
        }
    }
}

impl Rows {
    /// Nothing more is on its way to `path`. The disk knows already where something is missing.
    fn settle(&mut self, path: &PathKey, at: At, announced: Option<u64>) {
        let phase = if at.failed > at.settled {
            Phase::Failed
        } else if at.is_incomplete {
            Phase::Incomplete
        } else {
            self.remove(&content_id(path));
            return;
        };
        match phase {
            Phase::Failed => self.put_lacking(path, announced, phase, at.why),
            _ => self.put_incomplete(path, announced),
        }
    }

    fn put_incomplete(&mut self, path: &PathKey, announced: Option<u64>) {
        self.put_lacking(path, announced, Phase::Incomplete, Some(INCOMPLETE.to_owned()));
    }

    fn put_lacking(&mut self, path: &PathKey, announced: Option<u64>, phase: Phase, why: Option<String>) {
        let known = self.content(path).cloned();
        let mut row = known.unwrap_or_else(|| content(path.clone(), phase, "", announced));
        if let Operation::Content { bytes } = &mut row.operation {
            *bytes = bytes.or(announced);
        }
        self.put(PendingRow { phase, why, ..row });
    }
}

fn content(path: PathKey, phase: Phase, client: &str, bytes: Option<u64>) -> PendingRow {
    let client = (!client.is_empty()).then(|| client.to_owned());
    PendingRow { client, ..PendingRow::new(Operation::Content { bytes }, path, phase) }
}

const INCOMPLETE: &str = "the upload was shorter than announced, after a lost connection";

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::{Acceptance, AcceptedRow, Basis, Change, CreateRow, Left};
    use super::*;
    use crate::state::millis;

    async fn open(dir: &tempfile::TempDir) -> State {
        State::open(dir.path(), "test").await.unwrap()
    }

    async fn begin(state: &State) -> Coming {
        state.begin_content(PathKey::of_text("/d/file"), "mac", Some(10)).await
    }

    fn phases(state: &State) -> Vec<(String, Phase)> {
        state.pending().into_iter().map(|row| (row.path.to_string(), row.phase)).collect()
    }

    #[tokio::test]
    async fn the_latest_content_counts() {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir).await;
        let (stale, again) = (begin(&state).await, begin(&state).await);
        assert!(
            state.lacks_content(&PathKey::of_text("/d")) && !state.lacks_content(&PathKey::of_text("/d/fil"))
        );
        again.stored(10).await;
        assert!(state.lacks_content(&PathKey::of_text("/d/file")), "one is under way");
        stale.failed("refused".to_owned());
        assert!(!state.lacks_content(&PathKey::of_text("/")), "what was sent again is stored");
        begin(&state).await.failed("refused".to_owned());
        assert!(state.lacks_content(&PathKey::of_text("/d/file")));
        assert_eq!(state.pending()[0].why.as_deref(), Some("refused"));
        begin(&state).await.stored(10).await;
        assert!(!state.lacks_content(&PathKey::of_text("/")) && state.pending().is_empty());
    }

    /// A state as it is after a crash: nothing is written any more.
    async fn crashed<T>(state: T, dir: &tempfile::TempDir) -> State {
        std::fs::copy(dir.path().join("state.redb"), dir.path().join("kept")).unwrap();
        drop(state);
        std::fs::rename(dir.path().join("kept"), dir.path().join("state.redb")).unwrap();
        open(dir).await
    }

    #[tokio::test]
    async fn what_was_accepted_is_not_missing_in_the_next_life() {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir).await;
        let coming = begin(&state).await;
        let row = AcceptedRow {
            number: 1,
            key: "d/file".to_owned(),
            change: Change::Put { body: None },
            etag: "pending".to_owned(),
            basis: Basis::Absent,
            content_type: None,
            user: Default::default(),
            writer: String::new(),
            beside: None,
            loser: None,
            loses: false,
        };
        let acceptance = Acceptance { accepted: vec![(row, String::new())], ..Acceptance::default() };
        let accept = async |state: &State, coming: Coming, bytes: u64| {
            coming.accepting(bytes);
            state.accept(acceptance.clone(), millis(SystemTime::now())).await.unwrap();
            coming.accepted(bytes);
        };
        accept(&state, coming, 10).await;
        let state = crashed(state, &dir).await;
        assert_eq!(phases(&state), [("/d/file".to_owned(), Phase::Queued)]);
        begin(&state).await.failed("refused".to_owned());
        let state = crashed(state, &dir).await;
        assert!(state.lacks_content(&PathKey::of_text("/d/file")), "a later one is");
        let coming = begin(&state).await;
        accept(&state, coming, 9).await;
        let state = crashed(state, &dir).await;
        let incomplete = ("/d/file".to_owned(), Phase::Incomplete);
        assert_eq!(phases(&state), [("/d/file".to_owned(), Phase::Queued), incomplete], "ten were announced");
    }

    #[tokio::test]
    async fn what_is_missing_is_known_in_the_next_life() {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir).await;
        let coming = begin(&state).await;
        let state = crashed((coming, state), &dir).await;
        assert_eq!(phases(&state), [("/d/file".to_owned(), Phase::Missing)]);
        assert!(state.lacks_content(&PathKey::of_text("/d")));
        begin(&state).await.stored(9).await;
        assert_eq!(phases(&state), [("/d/file".to_owned(), Phase::Incomplete)], "ten were announced");
        assert!(state.lacks_content(&PathKey::of_text("/d/file")));
        begin(&state).await.stored(10).await;
        assert!(state.pending().is_empty());
        begin(&state).await.stored(9).await;
        assert!(state.pending().is_empty(), "an announcement is a hint where nothing was cut");
    }

    #[tokio::test]
    async fn of_what_is_gone_nothing_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir).await;
        begin(&state).await.failed(String::new());
        state.begin_content(PathKey::of_text("/e"), "mac", None).await.failed(String::new());
        let cancelled = begin(&state).await;
        state.forget_contents(&PathKey::of_text("/d/"));
        drop(cancelled);
        assert!(
            !state.lacks_content(&PathKey::of_text("/d")) && state.lacks_content(&PathKey::of_text("/e"))
        );
        state.forget_contents(&PathKey::of_text("/"));
        state.sync().await.unwrap();
        drop(state);
        assert!(open(&dir).await.pending().is_empty());
    }

    #[tokio::test]
    async fn the_row_of_an_empty_file_stands_for_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir).await;
        let create =
            CreateRow { key: "d/file".into(), content_type: None, user: Default::default(), made: 1 };
        state.hold_create(create.clone()).await.unwrap();
        state.expect_content(&PathKey::of_text("/d/file"), "mac").await.unwrap();
        assert!(!state.lacks_content(&PathKey::of_text("/d/file")), "it may stay empty");
        let coming = begin(&state).await;
        assert_eq!(state.pending().len(), 1, "one row for both");
        // The empty file goes to the store while the content comes.
        state.end_create("d/file", Left::Empty { is_open: false }).await.unwrap();
        assert_eq!(phases(&state), [("/d/file".to_owned(), Phase::Begun)]);
        coming.failed("refused".to_owned());
        assert_eq!(phases(&state), [("/d/file".to_owned(), Phase::Failed)]);
        begin(&state).await.stored(10).await;
        state.hold_create(create).await.unwrap();
        state.end_create("d/file", Left::Empty { is_open: true }).await.unwrap();
        assert_eq!(state.expected_contents().len(), 1);
        drop(state);
        let state = open(&dir).await;
        assert!(
            state.lacks_content(&PathKey::of_text("/d/file")),
            "it may have been sent while nobody listened"
        );
        state.expects_nothing(&PathKey::of_text("/d/file"));
        assert!(state.lacks_content(&PathKey::of_text("/d/file")), "nor does its end say more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_without_a_sync_is_synced_soon() {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir).await;
        begin(&state).await.failed("refused".to_owned());
        assert!(state.is_unsynced());
        while state.is_unsynced() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}
