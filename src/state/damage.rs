//! A database that is damaged: put aside by name, and said.
//!
//! Whatever its bytes are, they must not keep the gateway from serving, and nothing that could be rescued from
//! them is deleted: what is put aside, or kept beside what was repaired, is what was found. An error of the disk is no
//! damage: what cannot be read now may be whole. Nor are a format, a table or a row of another version.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use redb::Error;
use time::OffsetDateTime;
use time::macros::format_description;

use super::{DATABASE_FILE, SHELF_DIRECTORY, StateError, open_private};
use crate::logging::panics;

/// What was found damaged, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// It went back to what was there before its last changes.
    Repaired { names: Vec<String> },
    /// A new one was begun.
    PutAside { names: Vec<String> },
    /// Rows are of another version, or were written by a bug.
    Unreadable { rows: usize },
    /// It shows while it is used.
    Used,
    /// Somebody has removed its directory, or put another one there, while it is used.
    Removed,
}

impl Damage {
    /// What an error shows while the database is used, if it is that.
    pub(super) fn shown_by(error: &StateError) -> Option<Self> {
        match error {
            StateError::Removed { .. } => Some(Self::Removed),
            error => is_damage(error).then_some(Self::Used),
        }
    }

    /// What is lost, and what to do.
    pub fn told(&self) -> (String, String) {
        let (message, hint) = match self {
            Self::Repaired { names } => (
                format!(
                    "it was damaged, and has been repaired: the newest locks, properties, Finder's own files \
                     and pending writes may be lost; the damaged file is kept as {}",
                    names.join(" and ")
                ),
                "check the disk, and delete the damaged file when nothing is missing",
            ),
            Self::PutAside { names } => (
                format!(
                    "it was damaged, and has been replaced: locks, properties, Finder's own files, and empty \
                     files that waited for their content are lost; the old one is kept as {}",
                    names.join(" and ")
                ),
                "check the disk, and delete the old one when nothing is missing",
            ),
            Self::Unreadable { rows } => (
                format!(
                    "{rows} of its rows cannot be read: locks, Finder's own files, or pending writes; they \
                     are left in place"
                ),
                "the version of s3dav that wrote them can read them",
            ),
            Self::Used => (
                "it turned out to be damaged: locks, properties and Finder's own files cannot be read or \
                 stored"
                    .to_owned(),
                "restart s3dav: it creates a new one, and keeps this one",
            ),
            Self::Removed => (
                "its directory was removed while s3dav used it: no disk has what waits for S3, and locks, \
                 properties and Finder's own files are lost when s3dav ends"
                    .to_owned(),
                "what is saved from now on goes to S3 at once; restart s3dav when nothing waits for S3",
            ),
        };
        (message, format!("stored files are not affected; {hint}"))
    }

    /// Logs it.
    pub(super) fn warn(&self) {
        let (message, hint) = self.told();
        tracing::warn!(hint, "the state database: {message}");
    }
}

/// Who is told of damage that shows while the database is used.
#[derive(Default)]
pub(super) struct Listener(OnceLock<Box<Listen>>);

type Listen = dyn Fn((String, String)) + Send + Sync;

impl Listener {
    pub(super) fn set(&self, listen: impl Fn((String, String)) + Send + Sync + 'static) {
        // The first one stays.
        let _ = self.0.set(Box::new(listen));
    }

    pub(super) fn tell(&self, damage: &Damage) {
        if let Some(listen) = self.0.get() {
            listen(damage.told());
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// Does work on the database. What redb panics with on damaged pages is an error. So is a bug of ours, which says nothing
/// of the database.
pub(super) fn catching<T>(work: impl FnOnce() -> Result<T, StateError>) -> Result<T, StateError> {
    // Nothing of ours is changed half: a transaction that is not committed is none.
    panics::catch(work).unwrap_or_else(|caught| {
        let why = caught.why;
        Err(if caught.is_ours { StateError::Bug { why } } else { StateError::Damaged { why } })
    })
}

/// Whether what the database holds is at fault, rather than the disk, or this program.
pub(super) fn is_damage(error: &StateError) -> bool {
    match error {
        StateError::Damaged { .. } => true,
        StateError::Open { source: error, .. } | StateError::Database(error) => match &**error {
            Error::Corrupted(_) => true,
            Error::Io(error) => {
                matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Copies the database, and tells the copy's name. Blocks.
pub(super) fn keep_copy(directory: &Path) -> io::Result<String> {
    let database = directory.join(DATABASE_FILE);
    let (copy, name) = free_name(&database)?;
    let copied = (|| {
        let mut source = open_private(&database, OpenOptions::new().read(true))?;
        let mut target = open_private(&copy, OpenOptions::new().write(true).create_new(true))?;
        io::copy(&mut source, &mut target)?;
        target.sync_all()?;
        File::open(directory)?.sync_all()
    })();
    if copied.is_err() {
        // Half of it helps nobody; the next start makes another one.
        let _ = fs::remove_file(&copy);
    }
    copied.map(|()| name)
}

/// Gives the database another name, and the shelf's files, which nobody else knows. It is as it was found: the look at it
/// writes nothing. Only where that saw no damage, and redb panicked later, its head was written anew.
pub(super) fn put_aside(directory: &Path) -> Result<Damage, StateError> {
    let failed = |source| StateError::Directory { path: directory.display().to_string(), source };
    (|| {
        let database = directory.join(DATABASE_FILE);
        open_private(&database, OpenOptions::new().read(true))?
            .set_permissions(Permissions::from_mode(0o600))?;
        // Before the database: a new one would know none of these files, and they would be removed.
        let shelf = directory.join(SHELF_DIRECTORY);
        let is_there = fs::symlink_metadata(&shelf).is_ok_and(|meta| meta.is_dir());
        let shelf = if is_there { Some(rename(&shelf)?) } else { None };
        let names = [rename(&database)?].into_iter().chain(shelf).collect();
        File::open(directory)?.sync_all()?;
        Ok(Damage::PutAside { names })
    })()
    .map_err(failed)
}

/// Renames to `NAME.damaged-DATE`, and tells that name.
fn rename(path: &Path) -> io::Result<String> {
    let (aside, name) = free_name(path)?;
    fs::rename(path, aside)?;
    Ok(name)
}

/// `NAME.damaged-DATE`, where nothing is yet. The directory is this gateway's alone.
pub(super) fn free_name(path: &Path) -> io::Result<(PathBuf, String)> {
    let format = format_description!("[year][month][day]-[hour][minute][second]");
    // This format has no part that could fail.
    let date = OffsetDateTime::now_utc().format(&format).unwrap_or_default();
    let mut number = 1;
    loop {
        let suffix = if number > 1 { format!("-{number}") } else { String::new() };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".damaged-{date}{suffix}"));
        let aside = path.with_file_name(&name);
        match fs::symlink_metadata(&aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((aside, name.to_string_lossy().into_owned()));
            }
            Err(error) => return Err(error),
            Ok(_) => number += 1,
        }
    }
}
