//! The version of the database, and the way from older ones.
//!
//! An upgrade is one transaction: a database is of one version or another, never between. A newer one is left
//! alone, since it may hold what this program would lose.

use std::time::SystemTime;

use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::de::DeserializeOwned;

use super::pending::{self, CreateRow, PendingRow, UploadRow};
use super::{JsonTable, StateError, millis, rows};

/// Name -> value.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const SCHEMA: &str = "schema";
/// 1 while no gateway has the database open: the last one ended in order.
const IS_CLOSED: &str = "is closed";
/// When it was last synced, in milliseconds since 1970.
const SYNCED: &str = "synced";

/// Which one this program writes. 1 had a table for empty files and one for uploads, and no [`META`].
const CURRENT: u64 = 2;

/// Refuses a database of a newer program.
pub(super) fn check(database: &redb::Database, path: &str) -> Result<(), StateError> {
    let table = match database.begin_read()?.open_table(META) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match table.get(SCHEMA)?.map(|version| version.value()) {
        Some(found) if found > CURRENT => Err(StateError::Newer { path: path.to_owned(), found }),
        _ => Ok(()),
    }
}

/// Brings an older database up to this version; a new one begins with it. How many of its rows cannot be read.
pub(super) fn upgrade(transaction: &WriteTransaction) -> Result<usize, StateError> {
    let (mut meta, mut unreadable) = (transaction.open_table(META)?, 0);
    if meta.get(SCHEMA)?.is_none() {
        unreadable += take_over(transaction, "creates", PendingRow::create as fn(CreateRow) -> PendingRow)?;
        unreadable += take_over(transaction, "uploads", PendingRow::upload as fn(UploadRow) -> PendingRow)?;
    }
    meta.insert(SCHEMA, CURRENT)?;
    Ok(unreadable)
}

/// Marks the database as open. Since when, in milliseconds since 1970, it may lack what happened in a life that did
/// not end in order.
pub(super) fn open(transaction: &WriteTransaction) -> Result<Option<u64>, StateError> {
    let mut meta = transaction.open_table(META)?;
    let synced = meta.get(SYNCED)?.map(|synced| synced.value());
    let was_closed = meta.insert(IS_CLOSED, 0)?.is_some_and(|closed| closed.value() == 1);
    Ok(synced.filter(|_| !was_closed))
}

/// Whether the last gateway that had the database open ended in order.
pub(super) fn is_closed(database: &redb::Database) -> Result<bool, redb::Error> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => Ok(meta.get(IS_CLOSED)?.is_some_and(|closed| closed.value() == 1)),
        Err(TableError::TableDoesNotExist(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Notes that all is written until now.
pub(super) fn note_sync(transaction: &WriteTransaction) -> Result<(), StateError> {
    transaction.open_table(META)?.insert(SYNCED, millis(SystemTime::now()))?;
    Ok(())
}

/// Notes that nothing more will be written.
pub(super) fn note_close(transaction: &WriteTransaction) -> Result<(), StateError> {
    transaction.open_table(META)?.insert(IS_CLOSED, 1)?;
    Ok(())
}

/// Moves the rows of a table that is no more to those that are pending; how many cannot be read, and stay.
fn take_over<R: DeserializeOwned>(
    transaction: &WriteTransaction,
    name: &'static str,
    pending: fn(R) -> PendingRow,
) -> Result<usize, StateError> {
    let old: JsonTable = TableDefinition::new(name);
    let unreadable = {
        let (mut old, mut rows) = (transaction.open_table(old)?, transaction.open_table(pending::TABLE)?);
        let found = rows::read(&old)?;
        for (key, row) in found.all {
            let row = pending(row);
            rows.insert(&*row.id(), &*serde_json::to_string(&row)?)?;
            old.remove(&*key)?;
        }
        found.unreadable
    };
    if unreadable == 0 {
        transaction.delete_table(old)?;
    }
    Ok(unreadable)
}

#[cfg(test)]
mod tests {
    use super::super::{Phase, State};
    use super::*;
    use crate::path_key::PathKey;

    /// A database that version 1 wrote and did not close: its length, then what is not zero, by offset.
    fn version_1() -> Vec<u8> {
        let mut lines = include_str!("version1.hex").lines();
        let mut bytes = vec![0; lines.next().unwrap().parse().unwrap()];
        for line in lines {
            let (offset, content) = line.split_once(' ').unwrap();
            let (offset, content): (usize, _) = (offset.parse().unwrap(), hex::decode(content).unwrap());
            bytes[offset..offset + content.len()].copy_from_slice(&content);
        }
        bytes
    }

    /// One of a gateway that has ended.
    async fn directory() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        State::open(dir.path(), "test").await.unwrap();
        dir
    }

    #[tokio::test]
    async fn what_version_1_kept_is_taken_over() {
        let dir = directory().await;
        std::fs::write(dir.path().join("state.redb"), version_1()).unwrap();
        for life in 0..2 {
            let state = State::open(dir.path(), "test").await.unwrap();
            let left = state.recover();
            let creates: Vec<&str> = left.creates.iter().map(|create| &*create.key).collect();
            assert_eq!(creates, ["d/new", "d/synced"], "life {life}");
            assert_eq!((left.creates[0].made, left.uploads[0].key.as_str()), (1795723851521, "d/large"));
            assert_eq!(left.uploads[0].id.as_deref().map(str::is_empty), Some(false), "it can be aborted");
            assert!(state.pending().iter().all(|row| row.phase != Phase::Held));
            assert!(
                state.lacks_content(&PathKey::of_text("/d/new"))
                    && state.lacks_content(&PathKey::of_text("/d"))
                    && !state.lacks_content(&PathKey::of_text("/e"))
            );
            let kept = state.properties("d/kept").await.unwrap();
            assert_eq!(kept[0].xml, b"<t xmlns=\"urn:t\" xmlns:D=\"DAV:\">green</t>");
            let locks = state.locks().await.unwrap();
            assert_eq!((locks.len(), locks[0].path.as_str()), (1, "/d/new"));
        }
        let database = redb::Database::open(dir.path().join("state.redb")).unwrap();
        let tables: Vec<String> = database.begin_read().unwrap().list_tables().unwrap().map(name).collect();
        assert!(!tables.iter().any(|name| name == "creates" || name == "uploads"), "{tables:?}");
    }

    fn name(table: redb::UntypedTableHandle) -> String {
        redb::TableHandle::name(&table).to_owned()
    }

    #[tokio::test]
    async fn a_newer_one_is_refused_and_left_alone() {
        let dir = directory().await;
        let path = dir.path().join("state.redb");
        std::fs::remove_file(&path).unwrap();
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert(SCHEMA, CURRENT + 1).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let refused = State::open(dir.path(), "test").await.unwrap_err();
        assert!(matches!(refused, StateError::Newer { found, .. } if found == CURRENT + 1));
        assert!(refused.to_string().contains("newer s3dav") && refused.hint().is_some());
        let database = redb::Database::open(&path).unwrap();
        let tables = database.begin_read().unwrap().list_tables().unwrap().map(name).collect::<Vec<_>>();
        assert_eq!(tables, ["meta"]);
    }
}
