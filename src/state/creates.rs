//! Rows of empty objects that are not in the store yet: their content is expected to follow.

use std::collections::BTreeMap;

use redb::{Durability, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{State, StateError};

/// Key -> [`CreateRow`] as JSON.
const TABLE: TableDefinition<&str, &str> = TableDefinition::new("creates");

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
    pub async fn hold_create(&self, row: CreateRow) -> Result<(), StateError> {
        self.write(Durability::Immediate, move |transaction| {
            transaction.open_table(TABLE)?.insert(&*row.key, &*serde_json::to_string(&row)?)?;
            Ok(())
        })
        .await
    }

    /// Forgets one that is stored or deleted. Synced: it must not come back after a crash.
    pub async fn end_create(&self, key: &str) -> Result<(), StateError> {
        let key = key.to_owned();
        self.write(Durability::Immediate, move |transaction| {
            transaction.open_table(TABLE)?.remove(&*key)?;
            Ok(())
        })
        .await
    }

    /// Those that did not end.
    pub async fn held_creates(&self) -> Result<Vec<CreateRow>, StateError> {
        self.read(|transaction| {
            let table = transaction.open_table(TABLE)?;
            table.iter()?.map(|row| Ok(serde_json::from_str(row?.1.value())?)).collect()
        })
        .await
    }
}

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), StateError> {
    transaction.open_table(TABLE)?;
    Ok(())
}
