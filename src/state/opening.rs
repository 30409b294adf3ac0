//! Opening the database: all of it is looked at, once, before anybody relies on it.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, Error};

use super::damage::{Damage, catching, is_damage, keep_copy, put_aside};
use super::database::{self, DatabaseFile, failed};
use super::look::Look;
use super::properties::Index;
use super::shelf::ShelfIndex;
use super::{DATABASE_FILE, StateError};
use super::{abilities, folder_dates, locks, pending, properties, schema, seen, shelf};

/// The database, and what of it is in memory.
pub(super) struct Opened {
    pub(super) database: Arc<DatabaseFile>,
    pub(super) properties: Index,
    pub(super) pending: pending::Index,
    pub(super) shelf: ShelfIndex,
    /// See [`super::State::unsure_since`].
    pub(super) unsure_since: Option<u64>,
    pub(super) damage: Option<Damage>,
}

/// Opens the database in `directory`. One that is damaged is put aside, and a new one begun. Blocks.
pub(super) fn open(directory: &Path) -> Result<Opened, StateError> {
    let opened = match catching(|| load(directory)) {
        Err(error) if is_damage(&error) => {
            let damage = put_aside(directory)?;
            tracing::warn!(error = crate::logging::with_causes(&error), "the state database is damaged");
            // Nobody knows any more what was seen when.
            Opened { damage: Some(damage), unsure_since: Some(0), ..load(directory)? }
        }
        opened => opened?,
    };
    if let Some(damage) = &opened.damage {
        damage.warn();
    }
    Ok(opened)
}

fn load(directory: &Path) -> Result<Opened, StateError> {
    let path = directory.join(DATABASE_FILE);
    let look = database::look_at(&path)?;
    let (is_damaged, mut names) = (look == Look::Damaged, Vec::new());
    if is_damaged {
        names.push(keep_copy(directory).map_err(|source| failed(&path, Error::Io(source)))?);
    }
    let database = database::open(&path, look)?;
    let name = path.display().to_string();
    let rows = Loaded::of(&database, &name).map_err(|error| match error {
        // At the start its path says more than what was done with it.
        StateError::Database(source) => StateError::Open { path: name, source },
        other => other,
    })?;
    let Loaded { properties, pending, shelf, unsure_since, unreadable } = rows;
    if unreadable > 0 {
        // One of these rows may name a file that nobody else does.
    } else if is_damaged {
        names.extend(shelf.put_strays_aside(directory)?);
    } else {
        shelf.remove_strays(directory)?;
    }
    let damage = if is_damaged {
        Some(Damage::Repaired { names })
    } else {
        (unreadable > 0).then_some(Damage::Unreadable { rows: unreadable })
    };
    let unsure_since = if is_damaged { Some(0) } else { unsure_since };
    let database = Arc::new(DatabaseFile::new(path, database));
    Ok(Opened { database, properties, pending, shelf, unsure_since, damage })
}

/// What is read of it at the start.
pub(super) struct Loaded {
    pub(super) properties: Index,
    pub(super) pending: pending::Index,
    pub(super) shelf: ShelfIndex,
    pub(super) unsure_since: Option<u64>,
    /// Rows that this version cannot read.
    pub(super) unreadable: usize,
}

impl Loaded {
    /// Brings the tables up to date, and reads them.
    pub(super) fn of(database: &Database, name: &str) -> Result<Self, StateError> {
        schema::check(database, name)?;
        let transaction = database.begin_write()?;
        properties::create_table(&transaction)?;
        locks::create_table(&transaction)?;
        pending::create_table(&transaction)?;
        seen::create_table(&transaction)?;
        folder_dates::create_table(&transaction)?;
        shelf::create_tables(&transaction)?;
        abilities::create_table(&transaction)?;
        let mut unreadable = schema::upgrade(&transaction)?;
        let unsure_since = schema::open(&transaction)?;
        transaction.commit()?;
        unreadable += locks::unreadable(database)?;
        let (pending, more) = pending::Index::load(database)?;
        unreadable += more;
        let (shelf, more) = ShelfIndex::load(database)?;
        unreadable += more;
        Ok(Self { properties: Index::load(database)?, pending, shelf, unsure_since, unreadable })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use redb::{ReadableDatabase, TableDefinition};
    use tempfile::TempDir;

    use super::super::{PropertyChange, PropertyName, SHELF_DIRECTORY, State, StoredProperty};
    use super::*;

    async fn open(dir: &TempDir) -> State {
        State::open(dir.path(), "test").await.unwrap()
    }

    fn database(dir: &TempDir) -> PathBuf {
        dir.path().join(DATABASE_FILE)
    }

    fn bytes(dir: &TempDir) -> Vec<u8> {
        fs::read(database(dir)).unwrap()
    }

    async fn set(state: &State, value: &str) {
        let name = PropertyName { namespace: String::new(), local: "color".to_owned() };
        let change = PropertyChange::Set(StoredProperty { name, xml: value.into() });
        state.change_properties("file", vec![change]).await.unwrap();
    }

    async fn value(state: &State) -> Option<String> {
        let found = state.properties("file").await.unwrap().pop()?;
        Some(String::from_utf8(found.xml).unwrap())
    }

    /// The names of what was put aside, or kept.
    fn aside(dir: &TempDir) -> Vec<String> {
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name.contains(".damaged-"));
        names.sort();
        names
    }

    /// The state of a gateway that has ended, with a property.
    async fn ended() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir).await;
        set(&state, "red").await;
        state.close().await.unwrap();
        dir
    }

    #[tokio::test]
    async fn a_commit_that_a_crash_cut_is_no_damage() {
        let dir = ended().await;
        let state = open(&dir).await;
        set(&state, "old").await;
        let before = bytes(&dir);
        set(&state, "new").await;
        let after = bytes(&dir);
        drop(state);
        // The header came to the disk, and the pages did not.
        let mut cut = before;
        cut[..PAGE_BYTES].copy_from_slice(&after[..PAGE_BYTES]);
        fs::write(database(&dir), cut).unwrap();
        let state = open(&dir).await;
        assert_eq!(state.damage(), None);
        assert_eq!(value(&state).await.as_deref(), Some("old"));
        assert!(state.unsure_since().is_some() && !state.is_unsure_of_all(), "{:?}", state.unsure_since());
        assert!(aside(&dir).is_empty());
    }

    #[tokio::test]
    async fn one_whose_repair_was_killed_is_not_damaged() {
        let dir = ended().await;
        let state = open(&dir).await;
        set(&state, "new").await;
        let mut crashed = bytes(&dir);
        drop(state);
        // The first that redb writes of a repair.
        crashed[FLAGS_AT] &= !IS_OPEN;
        fs::write(database(&dir), crashed).unwrap();
        let state = open(&dir).await;
        assert_eq!(state.damage(), None);
        assert_eq!(value(&state).await.as_deref(), Some("new"));
        assert!(state.unsure_since().is_some() && aside(&dir).is_empty());
    }

    #[tokio::test]
    async fn what_is_repaired_is_kept_as_it_was_found() {
        let dir = ended().await;
        fs::create_dir(dir.path().join(SHELF_DIRECTORY)).unwrap();
        fs::write(dir.path().join(SHELF_DIRECTORY).join("nobody's"), "content").unwrap();
        let mut found = bytes(&dir);
        // It is no longer said how its last commit was made.
        found[FLAGS_AT] &= !4;
        fs::write(database(&dir), &found).unwrap();
        let state = open(&dir).await;
        assert_eq!(value(&state).await.as_deref(), Some("red"));
        assert!(state.is_unsure_of_all());
        let names = aside(&dir);
        assert_eq!(names.len(), 2, "{names:?}");
        let (message, _) = state.damage().unwrap();
        assert!(names.iter().all(|name| message.contains(name)), "{message}");
        assert_eq!(fs::read(dir.path().join(&names[1])).unwrap(), found);
        assert_eq!(fs::read(dir.path().join(&names[0]).join("nobody's")).unwrap(), b"content");
        state.close().await.unwrap();
        drop(state);
        let state = open(&dir).await;
        assert_eq!(state.damage(), None, "told once");
        assert_eq!(aside(&dir), names);
    }

    #[tokio::test]
    async fn what_is_put_aside_is_what_was_found() {
        let dir = ended().await;
        let mut found = bytes(&dir);
        for page in 2..found.len() / PAGE_BYTES {
            found[page * PAGE_BYTES + 9] ^= 1;
        }
        fs::write(database(&dir), &found).unwrap();
        let state = open(&dir).await;
        assert_eq!(value(&state).await, None);
        let names = aside(&dir);
        assert_eq!(fs::read(dir.path().join(&names[0])).unwrap(), found);
    }

    #[tokio::test]
    async fn a_row_that_cannot_be_read_costs_that_row() {
        let dir = ended().await;
        fs::create_dir(dir.path().join(SHELF_DIRECTORY)).unwrap();
        let file = dir.path().join(SHELF_DIRECTORY).join("of-a-newer-row");
        fs::write(&file, "content").unwrap();
        let tables = ["locks", "pending", "shelf"];
        {
            let database = redb::Database::open(database(&dir)).unwrap();
            let transaction = database.begin_write().unwrap();
            for name in tables {
                let table: TableDefinition<&str, &str> = TableDefinition::new(name);
                transaction.open_table(table).unwrap().insert("/bad", "{\"shape\":\"newer\"}").unwrap();
            }
            transaction.commit().unwrap();
        }
        for life in 0..2 {
            let state = open(&dir).await;
            assert_eq!(value(&state).await.as_deref(), Some("red"), "life {life}");
            assert!(state.locks().await.unwrap().is_empty());
            let (message, hint) = state.damage().unwrap();
            assert!(message.starts_with("3 ") && !hint.is_empty(), "{message}");
            assert!(!state.is_unsure_of_all() && aside(&dir).is_empty() && file.exists());
            state.close().await.unwrap();
        }
        let database = redb::Database::open(database(&dir)).unwrap();
        for name in tables {
            let table: TableDefinition<&str, &str> = TableDefinition::new(name);
            let table = database.begin_read().unwrap().open_table(table).unwrap();
            assert!(table.get("/bad").unwrap().is_some(), "{name} keeps it");
        }
    }

    #[tokio::test]
    async fn a_table_of_another_shape_is_left_alone() {
        let dir = ended().await;
        {
            let database = redb::Database::open(database(&dir)).unwrap();
            let transaction = database.begin_write().unwrap();
            let (old, new): (TableDefinition<&str, &str>, TableDefinition<u64, u64>) =
                (TableDefinition::new("locks"), TableDefinition::new("locks"));
            transaction.delete_table(old).unwrap();
            transaction.open_table(new).unwrap().insert(1, 2).unwrap();
            transaction.commit().unwrap();
        }
        let refused = State::open(dir.path(), "test").await.unwrap_err();
        assert!(matches!(refused, StateError::Open { .. }), "{refused:?}");
        assert!(refused.hint().unwrap().contains("version"), "{:?}", refused.hint());
        assert!(aside(&dir).is_empty());
    }

    #[tokio::test]
    async fn a_file_of_another_format_is_left_alone() {
        let dir = ended().await;
        let whole = bytes(&dir);
        for version in [1, 2, 4] {
            let mut other = whole.clone();
            for at in VERSIONS_AT {
                other[at] = version;
            }
            fs::write(database(&dir), &other).unwrap();
            let refused = State::open(dir.path(), "test").await.unwrap_err();
            assert!(refused.to_string().contains("format") && refused.hint().is_some(), "{refused}");
            assert!(aside(&dir).is_empty());
            assert_eq!(bytes(&dir), other);
        }
        // One that says two things is damaged.
        let mut other = whole.clone();
        other[VERSIONS_AT[1]] = 4;
        fs::write(database(&dir), &other).unwrap();
        let state = open(&dir).await;
        assert!(state.damage().is_some());
        assert_eq!(aside(&dir).len(), 1);
    }

    const PAGE_BYTES: usize = 4096;
    const FLAGS_AT: usize = 9;
    const IS_OPEN: u8 = 2;
    const VERSIONS_AT: [usize; 2] = [64, 192];
}
