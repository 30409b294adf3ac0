//! What was accepted and is not wholly in the store, or on the directory's disk, yet.
//!
//! One table holds all of it: empty files whose content is waited for, contents that have not been stored,
//! changes that are made later, multipart uploads that somebody must end, trees that are being moved, and what
//! an endpoint was asked with.
//! All rows are in memory, too. A row is on disk before what it stands for is begun or acknowledged, unless it
//! says otherwise, and is removed when that has ended. After a crash [`State::recover`] hands out what is left.

mod accepted;
mod coming_at;
mod contents;
mod index;
mod questions;
mod transfers;
mod unstored;
mod uploads;

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{JsonTable, State, StateError, millis, rows};
use crate::path_key::PathKey;
use crate::sync::blocking;

pub use accepted::{Acceptance, AcceptedRow, Basis, BodyRow, Change, LeftChange, LoserRow, MoveRow};
pub use contents::Coming;
pub(super) use index::Index;
pub use questions::QuestionRow;
pub use transfers::{Kept, TransferRow};
pub use unstored::Unstored;
pub use uploads::{UploadRow, UploadSource};

/// [`PendingRow::id`] -> [`PendingRow`] as JSON.
pub(super) const TABLE: JsonTable = TableDefinition::new("pending");

/// Something that has been begun and has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingRow {
    #[serde(flatten)]
    pub operation: Operation,
    /// The file or folder.
    pub path: PathKey,
    pub phase: Phase,
    /// Why it is in this phase, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The version that it replaces, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Milliseconds since 1970.
    pub since: u64,
    /// The user was told that its content is lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_told: bool,
}

/// What is pending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "lowercase")]
pub enum Operation {
    /// An empty file that waits for its content.
    Create(CreateRow),
    /// A file whose content has not been stored.
    Content {
        /// As far as the client told.
        bytes: Option<u64>,
    },
    /// A multipart upload from before it is asked for to its end.
    Upload(UploadRow),
    /// A file or folder that is moved or deleted, and what is kept of it follows.
    Transfer(TransferRow),
    /// What an endpoint is asked with.
    Question(QuestionRow),
    /// A change of a file that was accepted, and is made later.
    Accepted(AcceptedRow),
}

/// An empty object that a client was told is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateRow {
    pub key: String,
    pub content_type: Option<String>,
    /// User metadata.
    pub user: BTreeMap<String, String>,
    /// Milliseconds since 1970.
    pub made: u64,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// An empty file is shown, and put to the store when its content does not come.
    Held,
    /// An empty file is there, and its content may come.
    Expected,
    /// Its content is on its way.
    Begun,
    /// Its content could not be stored.
    Failed,
    /// The gateway ended before the content came.
    Missing,
    /// What was stored is shorter than what was announced.
    Incomplete,
    /// It waits for the store.
    Queued,
    /// The store refuses it.
    Refused,
}

/// What the store has of a file that was made empty, when that is no longer held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Its content.
    Content,
    /// Nothing that matters any more.
    Nothing,
    /// The empty file. `is_open`: its content may come still.
    Empty { is_open: bool },
}

/// What an earlier life of the gateway left behind.
#[derive(Debug, Default)]
pub struct Recovered {
    pub creates: Vec<CreateRow>,
    /// Those that nobody goes on with.
    pub uploads: Vec<UploadRow>,
    /// Oldest first.
    pub transfers: Vec<TransferRow>,
    pub questions: Vec<QuestionRow>,
    /// In the order in which they were accepted.
    pub accepted: Vec<LeftChange>,
}

impl PendingRow {
    pub(super) fn id(&self) -> String {
        let (kind, name) = match &self.operation {
            Operation::Create(create) => (Kind::Create, create.key.as_str()),
            Operation::Content { .. } => (Kind::Content, self.path.as_str()),
            Operation::Upload(upload) => (Kind::Upload, upload.name()),
            Operation::Question(question) => (Kind::Question, question.name()),
            Operation::Transfer(transfer) => (Kind::Transfer, transfer.id()),
            Operation::Accepted(row) => return row.id(),
        };
        id(kind, name)
    }

    fn new(operation: Operation, path: PathKey, phase: Phase) -> Self {
        let since = millis(SystemTime::now());
        Self { operation, path, phase, why: None, basis: None, client: None, since, is_told: false }
    }

    /// An empty file that is held.
    pub(super) fn create(create: CreateRow) -> Self {
        let (path, since) = (PathKey::of_text(&create.key), create.made);
        Self { since, ..Self::new(Operation::Create(create), path, Phase::Held) }
    }

    /// Whether it is a content that was accepted.
    fn is_save(&self) -> bool {
        matches!(&self.operation, Operation::Accepted(AcceptedRow { change: Change::Put { .. }, .. }))
    }

    /// Whether the file lacks its content, so that it must not take the place of another.
    fn lacks_content(&self) -> bool {
        matches!(self.phase, Phase::Failed | Phase::Missing | Phase::Incomplete)
    }
}

impl State {
    /// What an earlier life left behind, to be seen to now.
    pub fn recover(&self) -> Recovered {
        self.disown_uploads();
        let mut recovered = Recovered::default();
        let mut rows = self.pending();
        rows.sort_by_key(|row| row.since);
        for row in rows {
            match row.operation {
                Operation::Create(create) => recovered.creates.push(create),
                Operation::Upload(upload) if upload.source.is_some() => {}
                Operation::Upload(upload) => recovered.uploads.push(upload),
                Operation::Transfer(transfer) => recovered.transfers.push(transfer),
                Operation::Question(question) => recovered.questions.push(question),
                // It stands until the file is written, replaced or deleted.
                Operation::Content { .. } => {}
                Operation::Accepted(_) => {}
            }
        }
        recovered.accepted = self.accepted();
        // What was refused is tried once more: somebody may have seen to it.
        recovered.accepted.iter_mut().for_each(|left| left.refused = None);
        recovered
    }

    /// The keys of empty files of an earlier life, as they were found: what they hold by now only the store knows.
    pub fn left_empty(&self) -> &HashSet<String> {
        self.0.pending.left_empty()
    }

    /// The keys of empty files that the store may not have, and since when: milliseconds since 1970.
    pub fn creates(&self) -> Vec<(String, u64)> {
        let rows = self.0.pending.0.lock();
        let creates = rows.of_kind(Kind::Create).filter_map(|row| match &row.operation {
            Operation::Create(create) => Some((create.key.clone(), row.since)),
            _ => None,
        });
        creates.collect()
    }

    /// All that is pending, by kind and name.
    pub fn pending(&self) -> Vec<PendingRow> {
        self.0.pending.rows()
    }

    /// Notes an empty object; it is on disk when this returns.
    pub async fn hold_create(&self, row: CreateRow) -> Result<(), StateError> {
        self.pend(PendingRow::create(row)).await
    }

    /// Forgets one that is stored or deleted. Synced, so that it does not come back after a crash; but where its
    /// content is stored the next start would learn that from the store, and whoever stored it syncs more.
    pub async fn end_create(&self, key: &str, left: Left) -> Result<(), StateError> {
        self.0.pending.end_create(&id(Kind::Create, key), left);
        if left == Left::Content {
            self.sync_soon();
            return Ok(());
        }
        self.sync().await
    }

    /// Forgets one whose content is accepted: on disk with that.
    pub fn hand_over_create(&self, key: &str) {
        self.0.pending.end_create(&id(Kind::Create, key), Left::Content);
    }

    /// Notes a row; it is on disk when this returns, or nowhere.
    async fn pend(&self, row: PendingRow) -> Result<(), StateError> {
        let before = {
            let mut rows = self.0.pending.0.lock();
            let before = (rows.all.get(&row.id()).cloned(), row.id());
            rows.put(row);
            before
        };
        self.sync_or_undo(vec![before]).await
    }

    /// Puts what has changed on disk, or takes rows back to what they were, by their ids: `None` is no row. That is decided
    /// between two commits, since somebody else's may have taken them along.
    async fn sync_or_undo(&self, before: Vec<(Option<PendingRow>, String)>) -> Result<(), StateError> {
        let Err(error) = self.sync().await else { return Ok(()) };
        let state = self.clone();
        let undone = blocking(move || {
            let _turn = state.0.writing.lock();
            let mut rows = state.0.pending.0.lock();
            let is_undone = before.iter().any(|(_, id)| !rows.is_written(id));
            for (row, id) in before.into_iter().filter(|_| is_undone) {
                match row {
                    Some(row) => rows.put(row),
                    None => drop(rows.remove(&id)),
                }
            }
            is_undone
        });
        if undone.await? { Err(error) } else { Ok(()) }
    }
}

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), StateError> {
    transaction.open_table(TABLE)?;
    Ok(())
}

fn load(database: &Database) -> Result<rows::Rows<PendingRow>, StateError> {
    rows::read(&database.begin_read()?.open_table(TABLE)?)
}

/// What a row is of: the rows of one kind lie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Content,
    Upload,
    Transfer,
    Question,
    Accepted,
}

impl Kind {
    /// As ids begin, on disk too.
    fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Content => "content",
            Self::Upload => "upload",
            Self::Transfer => "transfer",
            Self::Question => "question",
            Self::Accepted => "accepted",
        }
    }
}

fn id(kind: Kind, name: &str) -> String {
    format!("{}\0{name}", kind.word())
}

fn content_id(path: &PathKey) -> String {
    id(Kind::Content, path.as_str())
}
