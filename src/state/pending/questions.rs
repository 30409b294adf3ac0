//! Keys that an endpoint is asked with what it can, and that must not stay.

use serde::{Deserialize, Serialize};

use super::{Kind, Operation, PendingRow, Phase, id};
use crate::path_key::PathKey;
use crate::state::{State, StateError};

/// Keys of the gateway's own, as the source's whole store names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionRow {
    pub keys: Vec<String>,
}

impl QuestionRow {
    /// The first of them.
    pub(super) fn name(&self) -> &str {
        self.keys.first().map(String::as_str).unwrap_or_default()
    }
}

impl State {
    /// Notes keys before anything is put there; it is on disk when this returns.
    pub async fn begin_question(&self, row: &QuestionRow) -> Result<(), StateError> {
        let path = PathKey::of_text(row.name());
        self.pend(PendingRow::new(Operation::Question(row.clone()), path, Phase::Begun)).await
    }

    /// Nothing is there any more. Not synced at once: deleting it once more does no harm.
    pub fn end_question(&self, row: &QuestionRow) {
        self.0.pending.remove(&id(Kind::Question, row.name()));
        self.sync_soon();
    }
}
