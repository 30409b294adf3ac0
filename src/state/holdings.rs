//! What a state holds that somebody could miss, and how one that holds nothing is removed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use serde::Serialize;

use super::damage::catching;
use super::database::failed;
use super::directory::{Held, ParentsPlace, holder, parent_holder};
use super::look::without_writing;
use super::opening::Loaded;
use super::{DATABASE_FILE, SHELF_DIRECTORY, State, StateError, locks, source};

/// What is kept in a state for its user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// Finder's own files.
    pub shelf_files: usize,
    pub shelf_bytes: u64,
    /// Operations that were accepted and are not wholly stored.
    pub pending: usize,
    /// Of them changes of files that the store has not.
    #[serde(skip)]
    pub unsent: usize,
    /// Files and folders of which clients have stored something beside their content.
    pub properties: usize,
    /// Locks of clients that have not ended: who holds one counts on it.
    pub locks: usize,
    /// What was put aside as damaged, and whatever else no start leaves.
    pub others: usize,
}

impl Holdings {
    pub fn is_nothing(&self) -> bool {
        *self == Self { shelf_bytes: self.shelf_bytes, ..Self::default() }
    }

    /// Looks into a state that no gateway has, and changes nothing in it. Blocks, for a second where it is large.
    pub fn of(directory: &Path) -> Result<Self, StateError> {
        Ok(Self { others: others(directory), ..Self::of_database(directory)? })
    }

    fn of_database(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join(DATABASE_FILE);
        let file = match super::open_private(&path, OpenOptions::new().read(true)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            file => {
                file.map_err(|source| StateError::Directory { path: path.display().to_string(), source })?
            }
        };
        look_into(file, &path)
    }
}

/// Looks into a database that nobody has open; it stays as it is. Blocks.
fn look_into(file: File, path: &Path) -> Result<Holdings, StateError> {
    catching(|| {
        let database = without_writing(file).map_err(|source| failed(path, source))?;
        let rows = Loaded::of(&database, &path.display().to_string())?;
        if rows.unreadable > 0 {
            return Err(StateError::Damaged { why: format!("{} rows cannot be read", rows.unreadable) });
        }
        let (shelf, bytes) = rows.shelf.holdings();
        Ok(Holdings {
            shelf_files: shelf,
            shelf_bytes: bytes,
            pending: rows.pending.count(),
            unsent: rows.pending.unsent(),
            properties: rows.properties.len(),
            locks: locks::live(&database)?,
            others: 0,
        })
    })
}

impl State {
    /// Ends a state that this start has made, if nothing came of it: its source was never reached. Whoever calls this
    /// writes nothing more. Blocks.
    pub fn abandon(&self) {
        if !self.0.is_new || !self.holds_nothing() {
            return;
        }
        let directory = self.directory();
        // An empty one goes; one that is not is kept by that.
        let _ = fs::remove_dir(directory.join(SHELF_DIRECTORY));
        for name in [DATABASE_FILE, source::FILE] {
            if let Err(error) = fs::remove_file(directory.join(name))
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(%error, name, "an unneeded file cannot be removed");
            }
        }
    }

    fn holds_nothing(&self) -> bool {
        self.shelf().is_empty() && self.pending().is_empty() && self.0.properties.is_empty()
    }
}

/// Removes a directory that a start has made and that holds no state. What does not come from a gateway is left, and
/// the directory with it, and so is one that somebody has. Blocks.
pub fn remove_bare(directory: &Path) {
    remove_if(directory, is_bare);
}

/// The same of one that this very start has made, with a state that came to nothing. Blocks.
pub fn remove_new(directory: &Path) {
    remove_if(directory, |directory| is_bare(directory) || came_to_nothing(directory));
}

fn remove_if(directory: &Path, fits: impl Fn(&Path) -> bool) {
    if holder(directory).is_some() || parent_holder(directory).is_some() || !fits(directory) {
        return;
    }
    // Whoever waits for a lock sees that it is gone, and makes another directory.
    let locks = (ParentsPlace::take(directory, OWNER), Held::take(directory, OWNER));
    if let (Ok(_), Ok(_)) = &locks
        && fits(directory)
    {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            // What stays keeps the directory, such as a shelf that is not empty.
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir(entry.path()));
        }
        let _ = fs::remove_dir(directory);
    }
}

/// Whether a start has ended before its source was served: then there is a note of that.
fn came_to_nothing(directory: &Path) -> bool {
    !directory.join(source::FILE).exists() && Holdings::of(directory).is_ok_and(|holds| holds.is_nothing())
}

/// Whether it holds nothing but what a start leaves.
fn is_bare(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    entries.flatten().all(|entry| entry.file_name().to_str().is_some_and(is_passing))
}

/// Entries of a state directory that are neither its state nor left by a start.
fn others(directory: &Path) -> usize {
    let has_state = directory.join(DATABASE_FILE).exists();
    let is_other = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let is_of_state = name == DATABASE_FILE || name == source::FILE;
        // Without its rows nobody knows what lies on it.
        let is_shelf = name == SHELF_DIRECTORY
            && (has_state || fs::read_dir(entry.path()).is_ok_and(|mut files| files.next().is_none()));
        !is_of_state && !is_shelf && !name.to_str().is_some_and(is_passing)
    };
    fs::read_dir(directory).into_iter().flatten().flatten().filter(is_other).count()
}

fn is_passing(name: &str) -> bool {
    PASSING.iter().any(|known| match name.strip_prefix(known) {
        Some(rest) => rest.is_empty() || known.ends_with(['.', '-']) || rest.starts_with('.'),
        None => false,
    })
}

/// Removes a state with all that is in it, unless somebody has it or it holds something. Blocks.
pub fn remove(directory: &Path) -> Result<Removed, StateError> {
    remove_locked(directory, || Holdings::of(directory))
}

/// The same with all that it holds; never one that somebody has. Blocks.
pub fn remove_with_all(directory: &Path) -> Result<Removed, StateError> {
    remove_locked(directory, || Ok(Holdings::default()))
}

fn remove_locked(
    directory: &Path,
    would_be_missed: impl FnOnce() -> Result<Holdings, StateError>,
) -> Result<Removed, StateError> {
    let failed = |source| StateError::Directory { path: directory.display().to_string(), source };
    let _parent = ParentsPlace::take(directory, OWNER)?;
    let _gateway = Held::take(directory, OWNER)?;
    let holdings = would_be_missed()?;
    if !holdings.is_nothing() {
        return Ok(Removed::Not(holdings));
    }
    fs::remove_dir_all(directory).map_err(failed)?;
    Ok(Removed::All)
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    All,
    /// It holds something.
    Not(Holdings),
}

/// What the locks say of who holds them.
const OWNER: &str = "which removes it";
/// Files that a start leaves beside a database, by their names: of those with a dot or a hyphen at the end the beginning.
const PASSING: [&str; 10] = [
    "gateway.",
    "parent.",
    "control.",
    "credential",
    "port",
    "start.log",
    "failure.json",
    "mount.lock",
    "mounts.json",
    "davfs2-",
];

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::{LockRow, millis};
    use super::*;

    #[tokio::test]
    async fn a_new_state_of_nothing_is_abandoned_and_an_older_one_is_not() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("state");
        let state = State::open(&directory, "test").await.unwrap();
        state.abandon();
        drop(state);
        assert!(!directory.join(DATABASE_FILE).exists());
        State::open(&directory, "test").await.unwrap().close().await.unwrap();
        State::open(&directory, "test").await.unwrap().abandon();
        assert!(directory.join(DATABASE_FILE).exists(), "another start has made it");
        assert_eq!(Holdings::of(&directory).unwrap(), Holdings::default());
        fs::write(directory.join("mine"), "").unwrap();
        fs::remove_file(directory.join(DATABASE_FILE)).unwrap();
        remove_bare(&directory);
        assert!(directory.join("mine").exists() && directory.join("gateway.lock").exists());
        assert_eq!(Holdings::of(&directory).unwrap().others, 1);
        assert!(matches!(remove(&directory), Ok(Removed::Not(_))));
        fs::remove_file(directory.join("mine")).unwrap();
        remove_bare(&directory);
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn a_lock_that_has_not_ended_keeps_it() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("state");
        let lock = |token: &str, left: u64| LockRow {
            token: token.to_owned(),
            path: crate::path_key::PathKey::of_text("/a"),
            principal: None,
            client: "test".to_owned(),
            owner: None,
            shared: false,
            deep: false,
            expires_at: (millis(SystemTime::now()) + left).saturating_sub(1_000),
            timeout: 1,
        };
        for (left, locks) in [(3_600_000, 1), (0, 0)] {
            let state = State::open(&directory, "test").await.unwrap();
            state.store_locks(vec![lock("live", left), lock("ended", 0)], Vec::new()).await.unwrap();
            state.close().await.unwrap();
            assert_eq!(Holdings::of(&directory).unwrap(), Holdings { locks, ..Holdings::default() });
        }
        assert_eq!(remove(&directory).unwrap(), Removed::All);
    }

    #[tokio::test]
    async fn one_that_somebody_has_is_not_removed() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("state");
        let state = State::open(&directory, "test").await.unwrap();
        assert!(matches!(remove(&directory), Err(StateError::Taken { .. })));
        drop(state);
        assert_eq!(remove(&directory).unwrap(), Removed::All);
        assert!(!directory.exists());
    }
}
