//! The database's file, looked at when it is opened, and opened anew after an error of the disk.
//!
//! After one write that failed, redb refuses all that follow: it cannot know what is on the disk. But a disk
//! that was full for a moment must not cost the gateway its memory until the next start.

use std::fs::{self, OpenOptions};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::{Database, Error};

use super::damage::{catching, is_damage};
use super::{StateError, Unfit, open_private};

#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// `None` only where it could not be opened anew.
    open: RwLock<Option<Database>>,
    has_failed: AtomicBool,
    /// Work on it panicked: what it has in memory is not to be relied on, either.
    is_broken: AtomicBool,
    /// It was said that it is damaged.
    is_told: AtomicBool,
}

impl DatabaseFile {
    /// Also tells whether all of it is there, rather than what was there before its last changes.
    pub(super) fn open(path: PathBuf) -> Result<(Self, bool), StateError> {
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == 0) {
            // A new one is so for a moment only; most likely it was cut.
            return Err(StateError::Damaged { why: "the file is empty".to_owned() });
        }
        let (mut database, seen) = create(&path)?;
        let is_whole = match seen {
            Seen::All { is_newest } => is_newest,
            Seen::Roots => database.check_integrity().map_err(|error| failed(&path, error.into()))?,
        };
        let (open, has_failed) = (RwLock::new(Some(database)), AtomicBool::new(false));
        let (is_broken, is_told) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok((Self { path, open, has_failed, is_broken, is_told }, is_whole))
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
        let result = if self.is_broken.load(Ordering::Acquire) {
            Err(StateError::Damaged { why: "an earlier read or write found damage".to_owned() })
        } else {
            catching(|| work(database))
        };
        if matches!(result, Err(StateError::Damaged { .. })) {
            self.is_broken.store(true, Ordering::Release);
        }
        if let Err(error) = &result
            && is_damage(error)
            && !self.is_told.swap(true, Ordering::AcqRel)
        {
            let hint =
                "files go on to be served; start s3dav anew, and it begins a new one and keeps this one";
            tracing::error!(%error, hint, "the state database {} is damaged", self.path.display());
        }
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
            *open = Some(create(&self.path)?.0);
            self.has_failed.store(false, Ordering::Release);
            tracing::info!("the state database was opened anew after an error of the disk");
        }
        Ok(())
    }
}

/// What of a database was looked at when it was opened.
enum Seen {
    /// It was closed in order, so that little was.
    Roots,
    /// It was not: all of it. `is_newest`: its last changes were there, too, and did not have to be taken back.
    All { is_newest: bool },
}

fn create(path: &Path) -> Result<(Database, Seen), StateError> {
    let file = open_private(path, OpenOptions::new().read(true).write(true).create(true));
    let file = file.map_err(|source| {
        if Unfit::of(&source).is_some() {
            StateError::Directory { path: path.display().to_string(), source }
        } else {
            failed(path, Error::Io(source))
        }
    })?;
    let seen = Arc::new(Mutex::new(Seen::Roots));
    let note = Arc::clone(&seen);
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .set_repair_callback(move |repair| {
            let went_back = TAKEN_BACK.contains(&repair.progress());
            let mut seen = note.lock();
            *seen = match *seen {
                Seen::All { is_newest: false } => Seen::All { is_newest: false },
                _ => Seen::All { is_newest: !went_back },
            };
        })
        .create_file(file)
        .map_err(|error| failed(path, error.into()))?;
    let seen = std::mem::replace(&mut *seen.lock(), Seen::Roots);
    Ok((database, seen))
}

fn failed(path: &Path, error: Error) -> StateError {
    StateError::Open { path: path.display().to_string(), source: Box::new(error) }
}

/// How far a repair has come when it takes the last changes back. It tells 0 at first, 0.3 only in that case, and 0.6
/// when all is there.
const TAKEN_BACK: RangeInclusive<f64> = 0.1..=0.5;
/// Of the database that are kept in memory: its rows are small, and what is asked often has an index of its own.
const CACHE_BYTES: usize = 16 << 20;
