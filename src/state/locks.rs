//! Rows of the WebDAV locks, so that a restart does not lose a client's token.
//!
//! They are written without an fsync each: a lock that outlives its holder by a crash ends by its
//! own timeout, and one that is lost is treated leniently by the lock system.

use std::time::SystemTime;

use redb::{Database, Durability, ReadableDatabase, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{JsonTable, State, StateError, millis, rows};
use crate::path_key::PathKey;

/// Token -> [`LockRow`] as JSON.
const TABLE: JsonTable = TableDefinition::new("locks");

/// One lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LockRow {
    pub token: String,
    pub path: PathKey,
    pub principal: Option<String>,
    /// Who took it: principal, address and program.
    pub client: String,
    /// The owner element as XML.
    pub owner: Option<String>,
    pub shared: bool,
    /// Depth infinity.
    pub deep: bool,
    /// Milliseconds since 1970.
    pub expires_at: u64,
    /// What was granted, in seconds.
    pub timeout: u64,
}

impl State {
    /// All locks that can be read, also expired ones.
    pub async fn locks(&self) -> Result<Vec<LockRow>, StateError> {
        self.read(|transaction| {
            let rows = rows::read(&transaction.open_table(TABLE)?)?.all;
            Ok(rows.into_iter().map(|(_, row)| row).collect())
        })
        .await
    }

    /// Writes `keep` and removes the rows of `forget`, without an fsync.
    pub async fn store_locks(&self, keep: Vec<LockRow>, forget: Vec<String>) -> Result<(), StateError> {
        self.write(Durability::None, move |transaction| {
            let mut table = transaction.open_table(TABLE)?;
            for token in &forget {
                table.remove(&**token)?;
            }
            for row in &keep {
                table.insert(&*row.token, &*serde_json::to_string(row)?)?;
            }
            Ok(())
        })
        .await
    }
}

/// How many have not ended yet.
pub(super) fn live(database: &Database) -> Result<usize, StateError> {
    let (rows, now) =
        (rows::read::<LockRow>(&database.begin_read()?.open_table(TABLE)?)?, millis(SystemTime::now()));
    Ok(rows.all.iter().filter(|(_, row)| row.expires_at > now).count())
}

/// How many rows cannot be read.
pub(super) fn unreadable(database: &Database) -> Result<usize, StateError> {
    Ok(rows::read::<LockRow>(&database.begin_read()?.open_table(TABLE)?)?.unreadable)
}

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), StateError> {
    transaction.open_table(TABLE)?;
    Ok(())
}
