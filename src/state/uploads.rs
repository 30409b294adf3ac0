//! The ledger of multipart uploads: a row from CreateMultipartUpload to its end.
//!
//! An upload that nobody completes or aborts is billed for ever and shown nowhere. After a crash
//! the next start aborts what stands here, and only that: other programs' uploads are theirs.

use redb::{Durability, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{JsonTable, State, StateError};

/// Upload id -> [`UploadRow`] as JSON.
const TABLE: JsonTable = TableDefinition::new("uploads");

/// One upload under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UploadRow {
    pub id: String,
    pub bucket: String,
    /// The key within the bucket.
    pub object: String,
    /// The key as the source's whole store names it.
    pub key: String,
}

impl State {
    /// Notes an upload; it is on disk when this returns.
    pub async fn begin_upload(&self, row: UploadRow) -> Result<(), StateError> {
        self.put_row(TABLE, Durability::Immediate, &row.id, &row).await
    }

    /// Forgets an upload that was completed or aborted. Not synced: aborting it once more at the
    /// next start does no harm.
    pub async fn end_upload(&self, id: &str) -> Result<(), StateError> {
        self.remove_row(TABLE, Durability::None, id).await
    }

    /// The uploads that did not end.
    pub async fn uploads(&self) -> Result<Vec<UploadRow>, StateError> {
        self.rows(TABLE).await
    }
}

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), StateError> {
    transaction.open_table(TABLE)?;
    Ok(())
}
