//! The database's file, opened anew after an error of the disk.
//!
//! After one write that failed, redb refuses all that follow: it cannot know what is on the disk. But a disk
//! that was full for a moment must not cost the gateway its memory until the next start.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use redb::{Database, Error};

use super::{StateError, Unfit, open_private};

#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// `None` only where it could not be opened anew.
    open: RwLock<Option<Database>>,
    has_failed: AtomicBool,
}

impl DatabaseFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, StateError> {
        let open = RwLock::new(Some(create(&path)?));
        Ok(Self { path, open, has_failed: AtomicBool::new(false) })
    }

    /// Does work on it; blocks while it waits for the disk.
    pub(super) fn run<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        if self.has_failed.load(Ordering::Acquire) {
            self.open_anew()?;
        }
        let open = self.open.read();
        let database = open.as_ref().ok_or_else(|| StateError::Database(Box::new(Error::PreviousIo)))?;
        let result = work(database);
        if let Err(StateError::Database(error)) = &result
            && matches!(**error, Error::Io(_) | Error::PreviousIo)
        {
            self.has_failed.store(true, Ordering::Release);
        }
        result
    }

    fn open_anew(&self) -> Result<(), StateError> {
        let mut open = self.open.write();
        if self.has_failed.load(Ordering::Acquire) {
            // It holds the file's lock.
            drop(open.take());
            *open = Some(create(&self.path)?);
            self.has_failed.store(false, Ordering::Release);
            tracing::info!("the state database was opened anew after an error of the disk");
        }
        Ok(())
    }
}

fn create(path: &Path) -> Result<Database, StateError> {
    let failed = |error| StateError::Open { path: path.display().to_string(), source: Box::new(error) };
    let file = open_private(path, OpenOptions::new().read(true).write(true).create(true));
    let file = file.map_err(|source| {
        if Unfit::of(&source).is_some() {
            StateError::Directory { path: path.display().to_string(), source }
        } else {
            failed(Error::Io(source))
        }
    })?;
    Database::builder().set_cache_size(CACHE_BYTES).create_file(file).map_err(|error| failed(error.into()))
}

/// Of the database that are kept in memory: its rows are small, and what is asked often has an index of its own.
const CACHE_BYTES: usize = 16 << 20;
