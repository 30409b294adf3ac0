//! When folders changed, as far as the gateway saw.
//!
//! Written without an fsync each: a date that a crash loses is set anew, and later.

use std::time::{Duration, SystemTime};

use redb::{Durability, ReadableTable, TableDefinition, WriteTransaction};

use super::{State, StateError, millis};

/// Folder prefix -> milliseconds since 1970, and what [`FolderDate::children`] is.
const TABLE: TableDefinition<&str, (u64, Option<u64>)> = TableDefinition::new("folder_dates");

/// What is kept of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderDate {
    pub changed: SystemTime,
    /// A digest of the children's names when they were last listed, if nothing changed since.
    pub children: Option<u64>,
}

impl State {
    /// All rows, by folder prefix.
    pub async fn folder_dates(&self) -> Result<Vec<(String, FolderDate)>, StateError> {
        self.read(|transaction| {
            let table = transaction.open_table(TABLE)?;
            let row = |row: Result<_, redb::StorageError>| {
                let (prefix, value): (redb::AccessGuard<&str>, redb::AccessGuard<(u64, Option<u64>)>) = row?;
                let (millis, children) = value.value();
                let changed = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
                Ok((prefix.value().to_owned(), FolderDate { changed, children }))
            };
            table.iter()?.map(row).collect()
        })
        .await
    }

    /// Writes `keep` and removes the rows of `forget`, without an fsync.
    pub async fn store_folder_dates(
        &self,
        keep: Vec<(String, FolderDate)>,
        forget: Vec<String>,
    ) -> Result<(), StateError> {
        self.write(Durability::None, move |transaction| {
            let mut table = transaction.open_table(TABLE)?;
            for prefix in &forget {
                table.remove(&**prefix)?;
            }
            for (prefix, FolderDate { changed, children }) in &keep {
                table.insert(&**prefix, (millis(*changed), *children))?;
            }
            Ok(())
        })
        .await
    }
}

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), StateError> {
    transaction.open_table(TABLE)?;
    Ok(())
}
