//! What is kept of files and folders, and follows when they are moved or deleted.
//!
//! The objects go first and the rows after them. So that the rows do not stay behind when the gateway ends in
//! between, it is noted what is on its way before the first source is deleted.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Kind, Operation, PendingRow, Phase, id};
use crate::path_key::PathKey;
use crate::state::State;

/// Something that is moved or deleted, and what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRow {
    id: String,
    pub kept: Kept,
    /// As [`Self::kept`] is named: see [`State::properties`] and [`super::super::Shelf`].
    pub from: String,
    /// `None`: it is deleted.
    pub to: Option<String>,
    /// Whether something was kept of the source; otherwise only the destination's goes.
    pub has_any: bool,
}

/// What is kept of files and folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// Dead properties.
    Properties,
    /// Finder's own files.
    Shelf,
}

impl TransferRow {
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl PendingRow {
    fn transfer(row: TransferRow) -> Self {
        let path = PathKey::of_text(&row.from);
        Self::new(Operation::Transfer(row), path, Phase::Begun)
    }
}

impl State {
    /// Notes that something is moved or deleted; it is on disk when this returns. Where the disk has no room that
    /// is logged, and nothing is noted.
    pub async fn begin_transfer(
        &self,
        kept: Kept,
        from: &str,
        to: Option<&str>,
        has_any: bool,
    ) -> Option<TransferRow> {
        let id = Uuid::new_v4().simple().to_string();
        let row = TransferRow { id, kept, from: from.to_owned(), to: to.map(str::to_owned), has_any };
        if let Err(error) = self.pend(PendingRow::transfer(row.clone())).await {
            tracing::warn!(from, %error, "a crash now would leave its metadata behind");
            return None;
        }
        Some(row)
    }

    /// All that was kept has followed. Not synced at once: whatever changes next takes it along.
    pub fn end_transfer(&self, row: &TransferRow) {
        self.0.pending.remove(&id(Kind::Transfer, &row.id));
        self.sync_soon();
    }
}
