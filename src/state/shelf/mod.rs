//! The shelf: what Finder keeps beside files (`._name`, `.DS_Store`) and nobody else wants to see.
//!
//! Rows and small contents are in the database, large contents in files beside it; the index of all rows
//! is in memory. Whatever a client was told is stored has been synced, but for new files that are empty: macOS makes each
//! of its own so, a moment before it writes it.

mod index;
mod strays;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use uuid::Uuid;

use super::{SHELF_DIRECTORY, State, StateError, private_directory, rows};
use crate::path_key::PathKey;
use crate::sync::blocking;

pub use index::{Absent, Child, Index, Place, ShelfRow};

/// Path -> [`ShelfRow`] as JSON; see [`Index`].
const ROWS: TableDefinition<&str, &str> = TableDefinition::new("shelf");
/// Path -> content, of rows with [`Place::Row`].
const CONTENTS: TableDefinition<&str, &[u8]> = TableDefinition::new("shelf_contents");

type Rows<'t> = redb::Table<'t, &'static str, &'static str>;
type Contents<'t> = redb::Table<'t, &'static str, &'static [u8]>;

/// What is on the shelf.
#[derive(Debug, Clone, Default)]
pub(super) struct ShelfIndex(Arc<RwLock<Index>>);

/// A content that is about to be put on the shelf.
#[derive(Debug)]
pub enum NewContent {
    /// Of at most [`MOST_IN_ROW`] bytes.
    Small(Bytes),
    /// Synced, and named as [`State::new_shelf_file`] said.
    File(String),
    /// Kept in memory only, and forgotten after [`MEMORY_TIME`].
    Passing(Bytes),
}

/// Contents up to this many bytes are rows: Finder's own are 4 KiB.
pub const MOST_IN_ROW: usize = 64 << 10;
/// Milliseconds that what is not to be kept is remembered: as long as Finder needs to write and read it
/// back.
pub const MEMORY_TIME: u64 = 60_000;

impl ShelfIndex {
    /// Reads all rows, and tells how many cannot be read.
    pub(super) fn load(database: &Database) -> Result<(Self, usize), StateError> {
        let found = rows::read(&database.begin_read()?.open_table(ROWS)?)?;
        let mut index = Index::default();
        for (path, row) in found.all {
            index.insert(PathKey::of_text(&path), row);
        }
        Ok((Self(Arc::new(RwLock::new(index))), found.unreadable))
    }

    /// How many files it has, and their bytes.
    pub(super) fn holdings(&self) -> (usize, u64) {
        let index = self.0.read();
        (index.iter().filter(|(_, row)| !row.is_folder).count(), index.bytes())
    }

    /// Removes the files that no row names: they were cut off, if no row is missing. Blocks.
    pub(super) fn remove_strays(&self, directory: &Path) -> Result<(), StateError> {
        let shelf = directory.join(SHELF_DIRECTORY);
        strays::remove(&shelf, &self.0.read()).map_err(|source| directory_error(&shelf, source))
    }

    /// Puts them aside, and tells where they are: the newest rows may be missing. Blocks.
    pub(super) fn put_strays_aside(&self, directory: &Path) -> Result<Option<String>, StateError> {
        let shelf = directory.join(SHELF_DIRECTORY);
        strays::put_aside(&shelf, &self.0.read()).map_err(|source| directory_error(&shelf, source))
    }
}

impl State {
    /// What is on the shelf now.
    pub fn shelf(&self) -> RwLockReadGuard<'_, Index> {
        self.0.shelf.0.read()
    }

    /// A name and an open file for a large content. Blocks.
    pub fn new_shelf_file(&self) -> io::Result<(String, File)> {
        let name = Uuid::new_v4().simple().to_string();
        private_directory(&self.shelf_directory())?;
        let file = File::options().write(true).create_new(true).open(self.shelf_directory().join(&name))?;
        Ok((name, file))
    }

    /// Where the file of that name lies.
    pub fn shelf_file(&self, name: &str) -> PathBuf {
        self.shelf_directory().join(name)
    }

    /// Puts a file (`content`) or a folder (`None`) on the shelf, in place of what is at `path`.
    pub async fn shelve(
        &self,
        path: &PathKey,
        mut row: ShelfRow,
        content: Option<NewContent>,
    ) -> Result<(), StateError> {
        let (path, index) = (path.clone(), self.0.shelf.clone());
        let small = match content {
            Some(NewContent::Small(bytes)) => Some(bytes),
            Some(NewContent::File(name)) => {
                row.place = Place::File(name);
                None
            }
            Some(NewContent::Passing(bytes)) => {
                row.place = Place::Memory(bytes);
                index.remember(path, row);
                return Ok(());
            }
            None => None,
        };
        // Its content follows, and nobody made an empty one.
        let is_begun = path.name().starts_with("._")
            && small.as_ref().is_some_and(Bytes::is_empty)
            && self.shelf().get(&path).is_none();
        let durability = if is_begun { Durability::None } else { Durability::Immediate };
        self.edit_shelf(durability, move |edit, _| {
            edit.remove_content(&path)?;
            edit.insert(path, row, small)
        })
        .await
    }

    /// The content of the file at `path`, if it is no [`Place::File`].
    pub async fn shelf_content(&self, path: &PathKey) -> Result<Option<Bytes>, StateError> {
        if let Some(ShelfRow { place: Place::Memory(bytes), .. }) = self.shelf().get(path) {
            return Ok(Some(bytes.clone()));
        }
        let path = path.clone();
        self.read(move |transaction| {
            let contents = transaction.open_table(CONTENTS)?;
            Ok(contents.get(path.as_str())?.map(|content| Bytes::copy_from_slice(content.value())))
        })
        .await
    }

    /// Removes what is at and below each of `roots`.
    pub async fn clear_shelf(&self, roots: Vec<PathKey>) -> Result<(), StateError> {
        if roots.iter().all(|root| self.shelf().within(root).is_empty()) {
            return Ok(());
        }
        self.edit_shelf(Durability::Immediate, move |edit, index| {
            roots.iter().try_for_each(|root| edit.remove_within(index, root))
        })
        .await
    }

    /// Gives what is at and below the first path of each pair the second one, in place of what was there.
    /// `keep_source` tells COPY from MOVE.
    pub async fn transfer_shelf(
        &self,
        pairs: Vec<(PathKey, PathKey)>,
        keep_source: bool,
    ) -> Result<(), StateError> {
        if pairs.iter().all(|(from, _)| self.shelf().within(from).is_empty()) {
            return Ok(());
        }
        let directory = self.shelf_directory();
        self.edit_shelf(Durability::Immediate, move |edit, index| {
            for (from, to) in &pairs {
                let moving = index.0.read().within(from);
                if moving.is_empty() {
                    continue;
                }
                edit.remove_within(index, to)?;
                for (path, row) in moving {
                    let Some(target) = path.moved(from, to) else { continue };
                    let content = edit.content(&path)?;
                    let row = if keep_source {
                        copy_of(row, &directory).map_err(|source| directory_error(&directory, source))?
                    } else {
                        row
                    };
                    if !keep_source {
                        edit.remove(path)?;
                    }
                    edit.insert(target, row, content)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Gives what is at `path` another spelling of its name.
    pub async fn rename_shelved(&self, path: &PathKey, name: String) -> Result<(), StateError> {
        let row = self.shelf().get(path).filter(|row| row.name != name).cloned();
        match row {
            Some(row) => self.mark_shelf(vec![(path.clone(), ShelfRow { name, ..row })]).await,
            None => Ok(()),
        }
    }

    /// Replaces rows whose [`ShelfRow::absent`] has changed. Not synced: it is found out again.
    pub async fn mark_shelf(&self, changed: Vec<(PathKey, ShelfRow)>) -> Result<(), StateError> {
        self.edit_shelf(Durability::None, move |edit, index| {
            for (path, row) in changed {
                // It may have been replaced or moved meanwhile.
                if index.0.read().get(&path).is_some_and(|now| now.version == row.version) {
                    edit.insert(path, row, None)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Changes what is on the shelf, all or nothing. The index shows it when the database has it.
    async fn edit_shelf(
        &self,
        durability: Durability,
        change: impl FnOnce(&mut Edit<'_>, &ShelfIndex) -> Result<(), StateError> + Send + 'static,
    ) -> Result<(), StateError> {
        let (before, after) = (self.0.shelf.clone(), self.0.shelf.clone());
        let work = move |transaction: &WriteTransaction| {
            let mut edit = Edit::begin(transaction)?;
            change(&mut edit, &before)?;
            Ok(edit.changes)
        };
        let gone = self.write_then(durability, work, move |changes| after.apply(changes)).await?;
        self.remove_files(gone).await
    }

    fn shelf_directory(&self) -> PathBuf {
        self.directory().join(SHELF_DIRECTORY)
    }

    /// Removes the files of rows that are gone.
    async fn remove_files(&self, rows: impl IntoIterator<Item = ShelfRow>) -> Result<(), StateError> {
        let file = |row: ShelfRow| match row.place {
            Place::File(name) => Some(self.shelf_file(&name)),
            _ => None,
        };
        let files: Vec<PathBuf> = rows.into_iter().filter_map(file).collect();
        if files.is_empty() {
            return Ok(());
        }
        let remove = move || files.iter().for_each(|file| drop(fs::remove_file(file)));
        // One that stays is removed at the next start.
        Ok(blocking(remove).await?)
    }
}

impl ShelfIndex {
    /// Returns the rows whose contents nobody has any more.
    fn apply(&self, changes: Vec<Change>) -> Vec<ShelfRow> {
        // What was moved or renamed keeps its file.
        let file = |row: &ShelfRow| match &row.place {
            Place::File(name) => Some(name.clone()),
            _ => None,
        };
        let kept: HashSet<String> =
            changes.iter().filter_map(|(_, row)| row.as_ref().and_then(file)).collect();
        let (mut index, mut gone) = (self.0.write(), Vec::new());
        for (path, row) in changes {
            gone.extend(match row {
                Some(row) => index.insert(path, row),
                None => index.remove(&path),
            });
        }
        gone.retain(|old| file(old).is_some_and(|name| !kept.contains(&name)));
        gone
    }

    /// Keeps a row here alone, and forgets those that were kept so long enough.
    fn remember(&self, path: PathKey, row: ShelfRow) {
        let mut index = self.0.write();
        let is_over = |old: &ShelfRow| {
            matches!(old.place, Place::Memory(_)) && old.modified.saturating_add(MEMORY_TIME) < row.modified
        };
        let over: Vec<PathKey> =
            index.iter().filter(|(_, old)| is_over(old)).map(|(path, _)| path.clone()).collect();
        for path in over {
            index.remove(&path);
        }
        index.insert(path, row);
    }
}

pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), StateError> {
    Edit::begin(transaction)?;
    Ok(())
}

/// A path, and what is there now.
type Change = (PathKey, Option<ShelfRow>);

/// Changes of the tables, noted for the index.
struct Edit<'t> {
    rows: Rows<'t>,
    contents: Contents<'t>,
    changes: Vec<Change>,
}

impl<'t> Edit<'t> {
    fn begin(transaction: &'t WriteTransaction) -> Result<Self, StateError> {
        let (rows, contents) = (transaction.open_table(ROWS)?, transaction.open_table(CONTENTS)?);
        Ok(Self { rows, contents, changes: Vec::new() })
    }

    fn content(&self, path: &PathKey) -> Result<Option<Bytes>, StateError> {
        Ok(self.contents.get(path.as_str())?.map(|content| Bytes::copy_from_slice(content.value())))
    }

    /// Without `content` the one that is there stays.
    fn insert(&mut self, path: PathKey, row: ShelfRow, content: Option<Bytes>) -> Result<(), StateError> {
        if !matches!(row.place, Place::Memory(_)) {
            self.rows.insert(path.as_str(), &*serde_json::to_string(&row)?)?;
        }
        if let Some(content) = content {
            self.contents.insert(path.as_str(), &*content)?;
        }
        self.changes.push((path, Some(row)));
        Ok(())
    }

    fn remove(&mut self, path: PathKey) -> Result<(), StateError> {
        self.rows.remove(path.as_str())?;
        self.remove_content(&path)?;
        self.changes.push((path, None));
        Ok(())
    }

    fn remove_content(&mut self, path: &PathKey) -> Result<(), StateError> {
        self.contents.remove(path.as_str())?;
        Ok(())
    }

    /// Removes what is at and below `root`.
    fn remove_within(&mut self, index: &ShelfIndex, root: &PathKey) -> Result<(), StateError> {
        let gone = index.0.read().within(root);
        gone.into_iter().try_for_each(|(path, _)| self.remove(path))
    }
}

/// The same once more, with a file of its own.
fn copy_of(mut row: ShelfRow, directory: &Path) -> io::Result<ShelfRow> {
    if let Place::File(name) = &row.place {
        let copy = Uuid::new_v4().simple().to_string();
        fs::copy(directory.join(name), directory.join(&copy))?;
        File::open(directory.join(&copy))?.sync_all()?;
        row.place = Place::File(copy);
    }
    Ok(row)
}

fn directory_error(directory: &Path, source: io::Error) -> StateError {
    StateError::Directory { path: directory.display().to_string(), source }
}
