//! Which version each client last got or made of each file: what its next write means to replace.
//!
//! Kept without a sync each: a crash loses what was seen in its last moments. Whoever asks learns since when the
//! rows may lack something.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{State, StateError};

/// Client, NUL, key -> the version's ETag.
const TABLE: TableDefinition<&str, &str> = TableDefinition::new("seen");

/// What the disk does not have yet; `None`: the row is to go.
#[derive(Debug, Default)]
pub(super) struct Unwritten(Mutex<BTreeMap<String, Option<String>>>);

/// A version that a client saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRow {
    /// As its client spells itself.
    pub client: String,
    pub key: String,
    pub etag: String,
}

impl State {
    /// All rows.
    pub async fn seen(&self) -> Result<Vec<SeenRow>, StateError> {
        self.read(|transaction| {
            let mut rows = Vec::new();
            for row in transaction.open_table(TABLE)?.iter()? {
                let (id, etag) = row?;
                if let Some((client, key)) = id.value().split_once('\0') {
                    let (client, key) = (client.to_owned(), key.to_owned());
                    rows.push(SeenRow { client, key, etag: etag.value().to_owned() });
                }
            }
            Ok(rows)
        })
        .await
    }

    /// Notes the version that a client saw, or that it has seen none; on disk soon.
    pub fn note_seen(&self, client: &str, key: &str, etag: Option<&str>) {
        let id = format!("{client}\0{key}");
        self.0.seen.0.lock().insert(id, etag.map(str::to_owned));
        self.sync_soon();
    }

    /// Whether the rows may lack all that was ever seen.
    pub fn is_unsure_of_all(&self) -> bool {
        self.0.unsure_since == Some(0)
    }

    /// Since when the rows may lack what was seen; `None` if they lack nothing.
    pub fn unsure_since(&self) -> Option<SystemTime> {
        self.0.unsure_since.map(|millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
    }
}

impl Unwritten {
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// Writes what is new, and says what that was.
    pub(super) fn write(
        &self,
        transaction: &WriteTransaction,
    ) -> Result<BTreeMap<String, Option<String>>, StateError> {
        let rows = std::mem::take(&mut *self.0.lock());
        let written = (|| {
            if rows.is_empty() {
                return Ok(());
            }
            let mut table = transaction.open_table(TABLE)?;
            for (id, etag) in &rows {
                if let Some(etag) = etag {
                    table.insert(&**id, &**etag)?;
                } else {
                    table.remove(&**id)?;
                }
            }
            Ok(())
        })();
        match written {
            Ok(()) => Ok(rows),
            Err(error) => {
                self.put_back(rows);
                Err(error)
            }
        }
    }

    /// The disk does not have these after all; what was seen since is newer.
    pub(super) fn put_back(&self, rows: BTreeMap<String, Option<String>>) {
        let mut unwritten = self.0.lock();
        for (id, etag) in rows {
            unwritten.entry(id).or_insert(etag);
        }
    }
}

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), StateError> {
    transaction.open_table(TABLE)?;
    Ok(())
}
