//! What a state holds that somebody could miss, and how one that holds nothing is removed.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use serde::Serialize;

use super::directory::{Held, ParentsPlace};
use super::{DATABASE_FILE, SHELF_DIRECTORY, State, StateError, opening, source};

/// What is kept in a state for its user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// Finder's own files.
    pub shelf_files: usize,
    pub shelf_bytes: u64,
    /// Operations that were accepted and are not wholly stored.
    pub pending: usize,
}

impl Holdings {
    pub fn is_nothing(&self) -> bool {
        self.shelf_files == 0 && self.pending == 0
    }

    /// Looks into a state that no gateway has, and changes nothing in it. Blocks, for a second where it is large.
    pub fn of(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join(DATABASE_FILE);
        let file = match super::open_private(&path, OpenOptions::new().read(true)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            file => {
                file.map_err(|source| StateError::Directory { path: path.display().to_string(), source })?
            }
        };
        opening::look_into(file, &path)
    }
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
                tracing::debug!(%error, name, "what nobody needs stays");
            }
        }
    }

    fn holds_nothing(&self) -> bool {
        self.shelf().is_empty() && self.pending().is_empty() && self.0.properties.is_empty()
    }
}

/// Removes a directory that a start has made and that holds no state. What does not come from a gateway is left, and
/// the directory with it. The caller knows that no gateway uses it. Blocks.
pub fn remove_bare(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let is_known = |name: &std::ffi::OsString| {
        name.to_str().is_some_and(|name| PASSING.iter().any(|known| name.starts_with(known)))
    };
    if !names.iter().all(is_known) {
        return;
    }
    for name in names {
        // What stays keeps the directory.
        let _ = fs::remove_file(directory.join(name));
    }
    let _ = fs::remove_dir(directory);
}

/// Removes a state with all that is in it, unless somebody has it or it holds something. Blocks.
pub fn remove(directory: &Path) -> Result<Removed, StateError> {
    let failed = |source| StateError::Directory { path: directory.display().to_string(), source };
    let _parent = ParentsPlace::take(directory, "which removes it")?;
    let _gateway = Held::take(directory, "which removes it")?;
    let holdings = Holdings::of(directory)?;
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

/// Files that a start leaves beside a database, by how their names begin.
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
        fs::remove_file(directory.join("mine")).unwrap();
        remove_bare(&directory);
        assert!(!directory.exists());
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
