//! The database's file, looked at when it is opened, and opened anew after an error of the disk.
//!
//! After one write that failed, redb refuses all that follow: it cannot know what is on the disk. But a disk
//! that was full for a moment must not cost the gateway its memory until the next start.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use redb::{Builder, Database, Error};

use super::damage::{Damage, Listener, catching};
use super::head::Head;
use super::look::{CACHE_BYTES, Look, look};
use super::{StateError, Unfit, open_private};

#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// `None` only where it could not be opened anew.
    open: RwLock<Option<Database>>,
    has_failed: AtomicBool,
    /// Work on it panicked: what it has in memory is not to be relied on, either.
    is_broken: AtomicBool,
    /// It was said that it is damaged, or gone.
    is_told: AtomicBool,
    listener: Listener,
}

impl DatabaseFile {
    /// The one that was opened from that path.
    pub(super) fn new(path: PathBuf, database: Database) -> Self {
        Self {
            path,
            open: RwLock::new(Some(database)),
            has_failed: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            listener: Listener::default(),
        }
    }

    /// Who is told if it shows that it is damaged.
    pub(super) fn on_damage(&self, listen: impl Fn((String, String)) + Send + Sync + 'static) {
        self.listener.set(listen);
    }

    /// Does work on it; blocks while it waits for the disk.
    pub(super) fn run<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        if self.has_failed.load(Ordering::Acquire) {
            self.open_anew().inspect_err(|error| self.tell(error))?;
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
        let result = result.inspect_err(|error| self.tell(error));
        if let Err(StateError::Database(error)) = &result
            && matches!(**error, Error::Io(_) | Error::PreviousIo)
        {
            self.has_failed.store(true, Ordering::Release);
        }
        result
    }

    /// Says once that it is damaged, or gone, if that is what the error tells.
    fn tell(&self, error: &StateError) {
        let Some(damage) = Damage::shown_by(error) else { return };
        if !self.is_told.swap(true, Ordering::AcqRel) {
            let ((_, hint), is) =
                (damage.told(), if damage == Damage::Used { "is damaged" } else { "is not there any more" });
            tracing::error!(%error, hint, "the state database {} {is}", self.path.display());
            self.listener.tell(&damage);
        }
    }

    fn open_anew(&self) -> Result<(), StateError> {
        let mut open = self.open.write();
        if self.has_failed.load(Ordering::Acquire) {
            // It holds the file's lock.
            drop(open.take());
            *open = Some(catching(|| open_or_create(&self.path))?);
            self.has_failed.store(false, Ordering::Release);
            tracing::info!("the state database was reopened after a disk error");
        }
        Ok(())
    }
}

impl Drop for DatabaseFile {
    fn drop(&mut self) {
        let database = self.open.get_mut().take();
        // redb writes once more, and panics where what it reads for that is damaged.
        let _ = catching(|| {
            drop(database);
            Ok(())
        });
    }
}

/// Looks at all of it, and leaves it as it is.
pub(super) fn look_at(path: &Path) -> Result<Look, StateError> {
    let Some(file) = open_file(path, false)? else { return Ok(Look::Whole) };
    let io = |source| failed(path, Error::Io(source));
    if file.metadata().map_err(io)?.len() == 0 {
        // No start leaves it so: see `create`.
        return Err(StateError::Damaged { why: "the file is empty".to_owned() });
    }
    let head = Head::read(&file).map_err(io)?;
    if let Some(found) = head.foreign {
        return Err(StateError::Foreign { path: path.display().to_string(), found });
    }
    look(file, &head).map_err(|error| failed(path, error))
}

/// Opens it, or makes a new one. `look`: how it was found.
pub(super) fn open(path: &Path, look: Look) -> Result<Database, StateError> {
    let mut database = open_or_create(path)?;
    if matches!(look, Look::Damaged | Look::Crashed { is_seen_when_opened: false }) {
        database.check_integrity().map_err(|error| failed(path, error.into()))?;
    }
    Ok(database)
}

fn open_or_create(path: &Path) -> Result<Database, StateError> {
    let Some(file) = open_file(path, false)? else { return create(path) };
    builder().create_file(file).map_err(|error| failed(path, error.into()))
}

/// Makes a new one. It has its name when it is whole: what a start has left that was cut is not taken for damaged.
fn create(path: &Path) -> Result<Database, StateError> {
    let io = |source| failed(path, Error::Io(source));
    let new = path.with_added_extension(NEW);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let Some(file) = open_file(&new, true)? else { return Err(io(io::ErrorKind::NotFound.into())) };
    let database = builder().create_file(file).map_err(|error| failed(path, error.into()))?;
    fs::rename(&new, path).map_err(io)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)?;
    // The directory may be new, too; what it is in may be closed to this user.
    if let Some(parent) = directory.parent() {
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
    }
    Ok(database)
}

/// `None`: there is none, and none is made.
fn open_file(path: &Path, is_new: bool) -> Result<Option<File>, StateError> {
    match open_private(path, OpenOptions::new().read(true).write(true).create_new(is_new)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_new => Ok(None),
        Err(source) if Unfit::of(&source).is_some() => {
            Err(StateError::Directory { path: path.display().to_string(), source })
        }
        Err(source) => Err(failed(path, Error::Io(source))),
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

pub(super) fn failed(path: &Path, error: Error) -> StateError {
    StateError::Open { path: path.display().to_string(), source: Box::new(error) }
}

/// Added to the name of one that is not whole yet.
const NEW: &str = "new";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_of_ours_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        let database = open(&path, Look::Whole).unwrap();
        let database = DatabaseFile::new(path, database);
        let failed = database.run::<()>(|database| {
            let _open = database.begin_write()?;
            panic!("a bug of ours")
        });
        let failed = failed.unwrap_err();
        assert!(
            Damage::shown_by(&failed).is_none() && failed.to_string().contains("a bug of ours"),
            "{failed}"
        );
        database.run(|database| Ok(database.begin_write()?.commit()?)).unwrap();
    }
}
