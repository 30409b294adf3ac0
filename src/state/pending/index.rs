//! The pending rows in memory, and which of them the disk does not have yet.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use parking_lot::Mutex;
use redb::{Database, WriteTransaction};
use tokio::sync::watch;

use super::coming_at::At;
use super::{Kind, Left, Operation, PendingRow, Phase, TABLE, content_id, id, load};
use crate::path_key::PathKey;
use crate::state::StateError;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::state) struct Index(
    pub(super) Mutex<Rows>,
    /// See [`super::State::left_empty`].
    HashSet<String>,
);

#[derive(Debug, Default)]
pub(super) struct Rows {
    /// By id.
    pub(super) all: BTreeMap<String, PendingRow>,
    /// Ids of those that were changed or removed since they were written.
    changed: BTreeSet<String>,
    /// Contents under way, by path.
    pub(super) coming: HashMap<PathKey, At>,
    /// How many contents were begun so far.
    pub(super) begun: u64,
    /// For those who look at all this when it changes.
    pub(super) changes: watch::Sender<u64>,
}

impl Index {
    /// Takes up what the disk has: what was under way is not any more. Also how many rows cannot be read.
    pub(in crate::state) fn load(database: &Database) -> Result<(Self, usize), StateError> {
        let (mut rows, found) = (Rows::default(), load(database)?);
        for (_, mut row) in found.all {
            let is_cut = matches!(row.phase, Phase::Held | Phase::Expected | Phase::Begun);
            let is_file = matches!(row.operation, Operation::Create(_) | Operation::Content { .. });
            if is_cut && is_file {
                row.phase = Phase::Missing;
                row.why = Some(MISSING.to_owned());
            }
            rows.all.insert(row.id(), row);
        }
        rows.settle_accepted();
        let left_empty = rows.left_empty();
        Ok((Self(Mutex::new(rows), left_empty), found.unreadable))
    }

    /// See [`super::State::left_empty`].
    pub(super) fn left_empty(&self) -> &HashSet<String> {
        &self.1
    }

    pub(in crate::state) fn count(&self) -> usize {
        self.0.lock().all.len()
    }

    /// Changes of files that the store has not.
    pub(in crate::state) fn unsent(&self) -> usize {
        let rows = self.0.lock();
        let held = rows.of_kind(Kind::Create).filter(|row| row.phase == Phase::Held);
        rows.of_kind(Kind::Accepted).count() + held.count()
    }

    pub(super) fn rows(&self) -> Vec<PendingRow> {
        self.0.lock().all.values().cloned().collect()
    }

    pub(super) fn remove(&self, id: &str) {
        self.0.lock().remove(id);
    }

    /// See [`super::State::end_create`].
    pub(super) fn end_create(&self, id: &str, left: Left) {
        let mut rows = self.0.lock();
        let Some(row) = rows.remove(id) else { return };
        let Left::Empty { is_open } = left else { return };
        let is_coming = rows.coming.contains_key(&row.path);
        let phase = match row.phase {
            Phase::Missing => Phase::Missing,
            _ if is_coming => Phase::Begun,
            _ if is_open => Phase::Expected,
            _ => return,
        };
        // What is known of its content already is newer.
        let content = PendingRow { operation: Operation::Content { bytes: None }, phase, ..row };
        if !rows.all.contains_key(&content.id()) {
            rows.put(content);
        }
    }

    pub(in crate::state) fn has_changes(&self) -> bool {
        !self.0.lock().changed.is_empty()
    }

    /// Writes what changed. Nothing is lost where the transaction fails later: see [`Self::note_unwritten`].
    pub(in crate::state) fn write(
        &self,
        transaction: &WriteTransaction,
    ) -> Result<BTreeSet<String>, StateError> {
        let (ids, rows): (BTreeSet<String>, Vec<Option<PendingRow>>) = {
            let mut rows = self.0.lock();
            let ids = std::mem::take(&mut rows.changed);
            let found = ids.iter().map(|id| rows.all.get(id).cloned()).collect();
            (ids, found)
        };
        let written = (|| {
            let mut table = transaction.open_table(TABLE)?;
            for (id, row) in ids.iter().zip(&rows) {
                if let Some(row) = row {
                    table.insert(&**id, &*serde_json::to_string(row)?)?;
                } else {
                    table.remove(&**id)?;
                }
            }
            Ok(())
        })();
        if written.is_err() {
            self.note_unwritten(ids.clone());
        }
        written.map(|()| ids)
    }

    /// The disk does not have these after all.
    pub(in crate::state) fn note_unwritten(&self, ids: BTreeSet<String>) {
        self.0.lock().changed.extend(ids);
    }
}

impl Rows {
    /// See [`super::State::left_empty`]. What was accepted of a file is known.
    fn left_empty(&self) -> HashSet<String> {
        let accepted: HashSet<&PathKey> = self.of_kind(Kind::Accepted).map(|row| &row.path).collect();
        let left = self.of_kind(Kind::Create).filter(|row| row.phase == Phase::Missing);
        let left = left.filter(|row| !accepted.contains(&row.path));
        let keys = left.filter_map(|row| match &row.operation {
            Operation::Create(create) => Some(create.key.clone()),
            _ => None,
        });
        keys.collect()
    }

    /// A content that was accepted after it was begun does not lack: its row could not be removed in time.
    fn settle_accepted(&mut self) {
        let accepted = self.of_kind(Kind::Accepted).filter(|row| row.is_save());
        let accepted: HashMap<&PathKey, u64> = accepted.map(|row| (&row.path, row.since)).collect();
        let is_settled = |row: &&PendingRow| {
            let accepted = accepted.get(&row.path);
            row.phase == Phase::Missing && accepted.is_some_and(|accepted| *accepted >= row.since)
        };
        let settled: Vec<_> = self.of_kind(Kind::Content).filter(is_settled).map(PendingRow::id).collect();
        settled.iter().for_each(|id| drop(self.remove(id)));
    }

    /// Whether the disk has a row as it is, or without it: somebody else's sync may have taken it along.
    pub(super) fn is_written(&self, id: &str) -> bool {
        !self.changed.contains(id)
    }

    pub(super) fn put(&mut self, row: PendingRow) {
        self.changed.insert(row.id());
        self.all.insert(row.id(), row);
        self.note_change();
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<PendingRow> {
        let row = self.all.remove(id)?;
        self.changed.insert(id.to_owned());
        self.note_change();
        Some(row)
    }

    /// The user was told of what is lost there since then.
    pub(super) fn note_told(&mut self, path: &PathKey, since: u64) {
        let is_meant = |row: &PendingRow| row.path == *path && row.since == since;
        let content = self.all.get(&content_id(path)).into_iter();
        let meant = content.chain(self.of_kind(Kind::Accepted)).filter(|row| is_meant(row));
        for id in meant.map(PendingRow::id).collect::<Vec<_>>() {
            if let Some(row) = self.all.get_mut(&id) {
                row.is_told = true;
                self.changed.insert(id);
            }
        }
    }

    pub(super) fn note_change(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The row of a file's content.
    pub(super) fn content(&mut self, path: &PathKey) -> Option<&mut PendingRow> {
        self.all.get_mut(&content_id(path))
    }

    /// Whether the file at `path` is held empty in this life.
    pub(super) fn is_held(&self, path: &PathKey) -> bool {
        self.of_kind(Kind::Create).any(|row| row.path == *path && row.phase == Phase::Held)
    }

    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &PendingRow> {
        let (start, end) = (id(kind, ""), format!("{}\u{1}", kind.word()));
        self.all.range(start..end).map(|(_, row)| row)
    }
}

const MISSING: &str = "the gateway ended before its content arrived";
