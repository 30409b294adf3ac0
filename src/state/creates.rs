//! Rows of empty objects that are not in the store yet: their content is expected to follow.

use std::collections::BTreeMap;

use redb::{Durability, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{JsonTable, State, StateError};

/// Key -> [`CreateRow`] as JSON.
const TABLE: JsonTable = TableDefinition::new("creates");

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

impl State {
    /// Notes an empty object; it is on disk when this returns.
    pub async fn hold_create(&self, row: &CreateRow) -> Result<(), StateError> {
        self.put_row(TABLE, Durability::Immediate, &row.key, row).await
    }

    /// Forgets one that is stored or deleted. Synced: it must not come back after a crash.
    pub async fn end_create(&self, key: &str) -> Result<(), StateError> {
        self.remove_row(TABLE, Durability::Immediate, key).await
    }

    /// Those that did not end.
    pub async fn held_creates(&self) -> Result<Vec<CreateRow>, StateError> {
        self.rows(TABLE).await
    }
}

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), StateError> {
    transaction.open_table(TABLE)?;
    Ok(())
}
