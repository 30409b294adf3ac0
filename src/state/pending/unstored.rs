//! The saves of macOS's client that are not stored, as its user is told of them.

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::index::Rows;
use super::{Kind, Operation, PendingRow, Phase};
use crate::path_key::PathKey;
use crate::state::State;

/// A file whose content is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unstored {
    pub path: PathKey,
    /// Neither `Held` nor `Expected`: a file without a content lacks none. `Queued` and `Refused`: its content is kept
    /// on this machine.
    pub phase: Phase,
    /// As far as the client told.
    pub bytes: Option<u64>,
    pub why: Option<String>,
    /// Milliseconds since 1970.
    pub since: u64,
    /// When what is under way now was begun, in the same way: the content, or the same once more.
    pub sending_since: Option<u64>,
    /// The user was told that it is lost; or what is lost is not known yet.
    pub is_told: bool,
}

impl State {
    /// The contents that are under way, have failed or are not whole, by path.
    pub fn unstored(&self) -> Vec<Unstored> {
        self.0.pending.0.lock().unstored()
    }

    /// Notes that the user was told that these are lost. Not synced at once: he may be told once more.
    pub fn note_told<'a>(&self, saves: impl IntoIterator<Item = &'a Unstored>) {
        let mut rows = self.0.pending.0.lock();
        saves.into_iter().for_each(|save| rows.note_told(&save.path, save.since));
        drop(rows);
        self.sync_soon();
    }

    /// Changes with each change of what is pending.
    pub fn pending_changes(&self) -> watch::Receiver<u64> {
        self.0.pending.0.lock().changes.subscribe()
    }
}

impl Rows {
    fn unstored(&self) -> Vec<Unstored> {
        let mut found = BTreeMap::new();
        let is_settled = |path: &PathKey| self.coming.get(path).is_some_and(|at| !at.matters());
        for row in self.of_kind(Kind::Create).chain(self.of_kind(Kind::Content)) {
            let is_unstored = row.phase == Phase::Begun || row.lacks_content();
            if is_unstored && !is_settled(&row.path) {
                found.insert(&row.path, Unstored::of(row));
            }
        }
        for row in self.of_kind(Kind::Accepted) {
            found.entry(&row.path).or_insert_with(|| Unstored::of(row));
        }
        for (path, at) in self.coming.iter().filter(|(_, at)| at.matters()) {
            // The row of an empty file may stand for it.
            let save = found.entry(path).or_insert_with(|| Unstored {
                path: path.clone(),
                phase: Phase::Begun,
                bytes: None,
                why: None,
                since: at.since,
                sending_since: None,
                is_told: false,
            });
            save.sending_since = Some(at.since);
            save.bytes = at.bytes.or(save.bytes);
        }
        found.into_values().collect()
    }
}

impl Unstored {
    fn of(row: &PendingRow) -> Self {
        let (bytes, is_told) = match row.operation {
            Operation::Content { bytes } => (bytes, row.is_told),
            Operation::Accepted(ref change) => (change.coming(), row.is_told),
            // The store is asked first what became of an empty file.
            _ => (None, true),
        };
        let (path, phase) = (row.path.clone(), row.phase);
        let change = match &row.operation {
            Operation::Accepted(row) => row.told(),
            _ => None,
        };
        let why = row.why.clone().or(change);
        Self { path, phase, bytes, why, since: row.since, sending_since: None, is_told }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CreateRow;
    use super::*;

    async fn open(dir: &tempfile::TempDir) -> State {
        State::open(dir.path(), "test").await.unwrap()
    }

    fn row() -> CreateRow {
        CreateRow { key: "file".into(), content_type: None, user: Default::default(), made: 1 }
    }

    #[tokio::test]
    async fn a_content_is_seen_though_the_row_of_an_empty_file_stands_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir).await;
        let mut changes = state.pending_changes();
        state.hold_create(row()).await.unwrap();
        state.expect_content(&PathKey::of_text("/other"), "mac").await.unwrap();
        assert!(state.unstored().is_empty(), "they are empty");
        changes.mark_unchanged();
        let coming = state.begin_content(PathKey::of_text("/file"), "mac", Some(10)).await;
        assert!(changes.has_changed().unwrap());
        let found = state.unstored();
        assert_eq!((found.len(), found[0].phase, found[0].bytes), (1, Phase::Begun, Some(10)));
        assert!(found[0].since > 1, "its own begin counts");
        changes.mark_unchanged();
        coming.failed("refused".into());
        assert!(changes.has_changed().unwrap());
        let found = state.unstored();
        assert_eq!((found.len(), found[0].phase, found[0].bytes), (1, Phase::Failed, Some(10)));
        assert_eq!((found[0].why.as_deref(), found[0].sending_since), (Some("refused"), None));
        let again = state.begin_content(PathKey::of_text("/file"), "mac", Some(12)).await;
        let found = state.unstored();
        assert_eq!((found[0].phase, found[0].bytes), (Phase::Failed, Some(12)), "until it is stored");
        assert!(found[0].sending_since.is_some());
        again.stored(12).await;
        assert!(state.unstored().is_empty());
    }

    #[tokio::test]
    async fn a_size_is_kept_where_the_file_was_expected() {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir).await;
        state.expect_content(&PathKey::of_text("/file"), "mac").await.unwrap();
        state.begin_content(PathKey::of_text("/file"), "mac", Some(10)).await.failed("refused".into());
        assert_eq!(state.unstored()[0].bytes, Some(10));
    }

    #[tokio::test]
    async fn that_the_user_was_told_is_known_in_the_next_life() {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir).await;
        for path in ["/told", "/not"] {
            state.begin_content(PathKey::of_text(path), "mac", None).await.failed("refused".into());
        }
        let told =
            state.unstored().into_iter().filter(|save| save.path.as_str() == "/told").collect::<Vec<_>>();
        state.note_told(&told);
        state.note_told(&[Unstored { path: PathKey::of_text("/not"), since: 1, ..told[0].clone() }]);
        state.sync().await.unwrap();
        drop(state);
        let found = open(&dir).await.unstored();
        let found: Vec<_> = found.iter().map(|save| (save.path.as_str(), save.is_told)).collect();
        assert_eq!(found, [("/not", false), ("/told", true)]);
    }

    #[tokio::test]
    async fn what_does_not_matter_any_more_is_not_told() {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir).await;
        let coming = state.begin_content(PathKey::of_text("/file"), "mac", None).await;
        state.forget_contents(&PathKey::of_text("/file"));
        assert!(state.unstored().is_empty(), "it was deleted while it was sent");
        let newer = state.begin_content(PathKey::of_text("/file"), "mac", None).await;
        assert_eq!(state.unstored().len(), 1);
        newer.stored(1).await;
        assert!(state.unstored().is_empty(), "an older one is under way still");
        drop(coming);
    }
}
