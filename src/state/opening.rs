//! Opening the database: all of it is looked at, once, before anybody relies on it.

use std::path::Path;
use std::sync::Arc;

use super::damage::{Damage, catching, is_damage, put_aside};
use super::database::DatabaseFile;
use super::properties::Index;
use super::shelf::ShelfIndex;
use super::{DATABASE_FILE, SHELF_DIRECTORY, StateError};
use super::{folder_dates, locks, pending, properties, schema, seen, shelf};

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
            let (message, hint) = damage.told();
            tracing::warn!(%error, hint, "the state database: {message}");
            // Nobody knows any more what was seen when.
            Opened { damage: Some(damage), unsure_since: Some(0), ..load(directory)? }
        }
        opened => opened?,
    };
    if let Some(damage @ Damage::Repaired) = &opened.damage {
        let (message, hint) = damage.told();
        tracing::warn!(hint, "the state database: {message}");
    }
    Ok(opened)
}

fn load(directory: &Path) -> Result<Opened, StateError> {
    let path = directory.join(DATABASE_FILE);
    let name = path.display().to_string();
    let (database, is_whole) = DatabaseFile::open(path)?;
    let loaded = database.run(|database| {
        schema::check(database, &name)?;
        let transaction = database.begin_write()?;
        properties::create_table(&transaction)?;
        locks::create_table(&transaction)?;
        pending::create_table(&transaction)?;
        seen::create_table(&transaction)?;
        folder_dates::create_table(&transaction)?;
        shelf::create_tables(&transaction)?;
        schema::upgrade(&transaction)?;
        let unsure_since = schema::open(&transaction)?;
        transaction.commit()?;
        // Where the newest rows may be missing no file is a stray.
        let shelf = ShelfIndex::load(database, directory.join(SHELF_DIRECTORY), is_whole)?;
        Ok((Index::load(database)?, pending::Index::load(database)?, shelf, unsure_since))
    });
    // At the start its path says more than what was done with it.
    let (properties, pending, shelf, unsure_since) = loaded.map_err(|error| match error {
        StateError::Database(source) => StateError::Open { path: name, source },
        other => other,
    })?;
    let damage = (!is_whole).then_some(Damage::Repaired);
    let unsure_since = if is_whole { unsure_since } else { Some(0) };
    Ok(Opened { database: Arc::new(database), properties, pending, shelf, unsure_since, damage })
}
