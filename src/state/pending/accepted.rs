//! Changes of files that were accepted and wait for the store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Kind, Operation, PendingRow, Phase, UploadRow, id};
use crate::path_key::PathKey;
use crate::state::{State, StateError};

/// A change that is going to be made to an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AcceptedRow {
    /// Counts all that were accepted, in order.
    pub number: u64,
    pub key: String,
    pub change: Change,
    /// What clients are told that the object is, until the store has given it another.
    pub etag: String,
    /// A [`PendingRow`] has a basis of its own.
    #[serde(rename = "builds_on")]
    pub basis: Basis,
    pub content_type: Option<String>,
    /// User metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, String>,
    /// Who made it, as rows name clients.
    pub writer: String,
    /// The key where it may lie already, beside what somebody else made in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// What its client had saved before, and had lost when it made this: if this loses, too, it takes the place of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loser: Option<LoserRow>,
    /// Another version than it builds on is known to be in the store: it is not shown, and will lie beside or come to nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub loses: bool,
}

/// A version that lies beside what won.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoserRow {
    pub key: String,
    pub etag: String,
}

/// What is done to an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// `None`: it is empty.
    Put {
        body: Option<BodyRow>,
    },
    Delete,
    /// What is at another key comes here, and goes there.
    Move(MoveRow),
}

/// What is moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRow {
    /// The key that it has.
    pub from: String,
    /// What it is to be there.
    pub basis: Basis,
    /// Bytes.
    pub size: u64,
    pub storage_class: Option<String>,
    /// The ETag of the copy: it is there, and its source is to be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<String>,
}

/// What an object is to be when it is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Not there.
    Absent,
    /// The version with this ETag.
    Version(String),
    /// What the accepted change of this number makes of it.
    After(u64),
}

/// A body on this machine's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRow {
    /// The file's name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    pub crc32c: u32,
}

/// One that an earlier life left.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftChange {
    pub row: AcceptedRow,
    /// When it was accepted: milliseconds since 1970.
    pub since: u64,
    /// Why the store refuses it, if it does.
    pub refused: Option<String>,
}

/// Changes that become known together, or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Acceptance {
    /// With the client of each, as people are told.
    pub accepted: Vec<(AcceptedRow, String)>,
    /// The numbers of those that are not needed any more.
    pub needless: Vec<u64>,
    /// The upload that one of them is on its way by.
    pub upload: Option<UploadRow>,
}

impl AcceptedRow {
    /// Bytes of the object.
    pub fn size(&self) -> u64 {
        match &self.change {
            Change::Put { body } => body.as_ref().map_or(0, |body| body.size),
            Change::Delete => 0,
            Change::Move(moved) => moved.size,
        }
    }

    /// As people are told of it, if it is no save.
    pub(super) fn told(&self) -> Option<String> {
        match &self.change {
            Change::Put { .. } if self.is_folder() => Some("the folder is to be made".to_owned()),
            Change::Put { .. } => None,
            Change::Delete => Some("it is to be deleted".to_owned()),
            Change::Move(moved) => {
                Some(format!("it is to be moved here from {}", PathKey::of_text(&moved.from)))
            }
        }
    }

    /// Bytes of the file that comes; `None`: none does.
    pub(super) fn coming(&self) -> Option<u64> {
        let is_none = self.is_folder() || self.change == Change::Delete;
        (!is_none).then(|| self.size())
    }

    fn is_folder(&self) -> bool {
        self.key.ends_with('/')
    }

    /// What it moves, if it does.
    pub fn moved(&self) -> Option<&MoveRow> {
        match &self.change {
            Change::Move(moved) => Some(moved),
            Change::Put { .. } | Change::Delete => None,
        }
    }

    /// What `key` is to be when this is made; `None`: it does nothing to it.
    pub fn basis_at(&self, key: &str) -> Option<&Basis> {
        let source = self.moved().filter(|moved| moved.from == key).map(|moved| &moved.basis);
        source.or_else(|| (self.key == key).then_some(&self.basis))
    }

    /// The same, where what it found at `key` is at `now` instead, and is to be `basis` there.
    pub fn rebased(&self, key: &str, now: &str, basis: Basis) -> Self {
        let mut row = self.clone();
        row.loser.take_if(|_| now != key);
        match &mut row.change {
            Change::Move(moved) if moved.from == key => {
                (moved.from, moved.basis) = (now.to_owned(), basis);
            }
            _ => (row.key, row.basis) = (now.to_owned(), basis),
        }
        row
    }

    /// The body that it needs.
    pub fn body(&self) -> Option<&BodyRow> {
        match &self.change {
            Change::Put { body } => body.as_ref(),
            Change::Delete | Change::Move(_) => None,
        }
    }

    pub(super) fn id(&self) -> String {
        number_id(self.number)
    }
}

impl State {
    /// Notes changes that wait for the store, accepted at `since` (milliseconds since 1970); they are on disk when this
    /// returns, or nowhere.
    pub async fn accept(&self, acceptance: Acceptance, since: u64) -> Result<(), StateError> {
        let before = {
            let mut rows = self.0.pending.0.lock();
            let Acceptance { accepted, needless, upload } = &acceptance;
            let upload = upload.clone().map(PendingRow::upload);
            let touched = accepted.iter().map(|(row, _)| row.id()).chain(upload.iter().map(PendingRow::id));
            let touched = touched.chain(needless.iter().map(|number| number_id(*number)));
            let before: Vec<_> = touched.map(|id| (rows.all.get(&id).cloned(), id)).collect();
            for (row, client) in accepted {
                let path = PathKey::of_text(&row.key);
                let client = (!client.is_empty()).then(|| client.clone());
                let new = PendingRow::new(Operation::Accepted(row.clone()), path, Phase::Queued);
                rows.put(PendingRow { client, since, ..new });
            }
            needless.iter().for_each(|number| drop(rows.remove(&number_id(*number))));
            upload.into_iter().for_each(|row| rows.put(row));
            before
        };
        self.sync_or_undo(before).await
    }

    /// How many changes of files the store has not.
    pub fn unsent(&self) -> u64 {
        self.0.pending.unsent() as u64
    }

    /// How many of them it refuses.
    pub fn refused(&self) -> u64 {
        let rows = self.0.pending.0.lock();
        rows.of_kind(Kind::Accepted).filter(|row| row.phase == Phase::Refused).count() as u64
    }

    /// What was accepted and is not made, in order.
    pub fn accepted(&self) -> Vec<LeftChange> {
        let rows = self.0.pending.0.lock();
        let mut left: Vec<LeftChange> = Vec::new();
        for pending in rows.of_kind(Kind::Accepted) {
            if let Operation::Accepted(row) = &pending.operation {
                let refused = pending.why.clone().filter(|_| pending.phase == Phase::Refused);
                left.push(LeftChange { row: row.clone(), since: pending.since, refused });
            }
        }
        left.sort_by_key(|left| left.row.number);
        left
    }

    /// The changes of these numbers are made, or are not to be made any more. `changed`: those that build on them, as
    /// they are now. Synced: what they needed may be deleted then.
    pub async fn end_accepted(&self, numbers: &[u64], changed: &[AcceptedRow]) -> Result<(), StateError> {
        {
            let mut rows = self.0.pending.0.lock();
            changed.iter().for_each(|row| rows.change_accepted(row));
            numbers.iter().for_each(|number| drop(rows.remove(&number_id(*number))));
        }
        self.sync().await
    }

    /// Notes how far a change has come; it is on disk when this returns.
    pub async fn note_progress(&self, row: &AcceptedRow) -> Result<(), StateError> {
        self.0.pending.0.lock().change_accepted(row);
        self.sync().await
    }

    /// The store refuses it, and will until somebody changes something; or it is tried again: `None`.
    pub fn note_refusal(&self, number: u64, why: Option<String>) {
        let mut rows = self.0.pending.0.lock();
        let Some(row) = rows.all.get(&number_id(number)).cloned() else { return };
        let phase = if why.is_some() { Phase::Refused } else { Phase::Queued };
        if phase == Phase::Queued && row.phase == phase {
            return;
        }
        rows.put(PendingRow { phase, why, is_told: false, ..row });
        drop(rows);
        self.sync_soon();
    }
}

impl super::index::Rows {
    fn change_accepted(&mut self, row: &AcceptedRow) {
        let Some(known) = self.all.get(&row.id()).cloned() else { return };
        let path = PathKey::of_text(&row.key);
        self.put(PendingRow { operation: Operation::Accepted(row.clone()), path, ..known });
    }
}

fn number_id(number: u64) -> String {
    // In order of their numbers, as text too.
    id(Kind::Accepted, &format!("{number:020}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64, basis: Basis) -> AcceptedRow {
        let body = Some(BodyRow { name: number.to_string(), size: 7, crc32c: 1 });
        AcceptedRow {
            number,
            key: "d/file".to_owned(),
            change: Change::Put { body },
            etag: format!("pending-{number}"),
            basis,
            content_type: None,
            user: BTreeMap::new(),
            writer: "127.0.0.1 mac -".to_owned(),
            beside: None,
            loser: None,
            loses: false,
        }
    }

    async fn open(place: &tempfile::TempDir) -> State {
        State::open(place.path(), "test").await.unwrap()
    }

    async fn accept(state: &State, rows: impl IntoIterator<Item = AcceptedRow>, since: u64) {
        let accepted = rows.into_iter().map(|row| (row, "mac".to_owned())).collect();
        state.accept(Acceptance { accepted, ..Acceptance::default() }, since).await.unwrap();
    }

    async fn left(place: &tempfile::TempDir) -> Vec<AcceptedRow> {
        open(place).await.recover().accepted.into_iter().map(|left| left.row).collect()
    }

    #[tokio::test]
    async fn what_was_accepted_is_known_in_the_next_life_in_order() {
        let place = tempfile::tempdir().unwrap();
        let state = open(&place).await;
        let rows = [
            row(2, Basis::Absent),
            row(10, Basis::After(2)),
            AcceptedRow { change: Change::Delete, ..row(11, Basis::Version("v".into())) },
        ];
        accept(&state, rows.clone(), 1).await;
        drop(state);
        assert_eq!(left(&place).await, rows);
        assert_eq!(rows.map(|row| row.size()), [7, 7, 0]);
    }

    #[tokio::test]
    async fn what_is_made_is_gone_and_what_builds_on_it_knows_the_version() {
        let place = tempfile::tempdir().unwrap();
        let state = open(&place).await;
        accept(&state, [row(1, Basis::Absent), row(2, Basis::After(1))], 6).await;
        let changed = AcceptedRow { key: "d/copy".into(), ..row(2, Basis::Version("stored".into())) };
        state.end_accepted(&[1], &[changed.clone(), row(9, Basis::Absent)]).await.unwrap();
        let pending = state.pending();
        assert_eq!((pending.len(), pending[0].path.as_str(), pending[0].since), (1, "/d/copy", 6));
        drop(state);
        assert_eq!(left(&place).await, [changed]);
    }

    #[tokio::test]
    async fn one_takes_the_place_of_others_in_the_same_step() {
        let place = tempfile::tempdir().unwrap();
        let state = open(&place).await;
        accept(&state, [row(1, Basis::Absent), row(2, Basis::Absent)], 5).await;
        let accepted = vec![(row(3, Basis::Absent), "mac".to_owned())];
        state.accept(Acceptance { accepted, needless: vec![1], upload: None }, 6).await.unwrap();
        drop(state);
        assert_eq!(left(&place).await, [row(2, Basis::Absent), row(3, Basis::Absent)]);
    }

    #[tokio::test]
    async fn a_refusal_has_its_reason_until_it_is_tried_again() {
        let place = tempfile::tempdir().unwrap();
        let state = open(&place).await;
        accept(&state, [row(1, Basis::Absent)], 5).await;
        state.note_refusal(1, Some("denied".to_owned()));
        state.note_refusal(2, Some("there is none".to_owned()));
        let told = || state.pending().into_iter().map(|row| (row.phase, row.why)).collect::<Vec<_>>();
        assert_eq!(told(), [(Phase::Refused, Some("denied".to_owned()))]);
        state.note_refusal(1, None);
        assert_eq!(told(), [(Phase::Queued, None)]);
    }
}
