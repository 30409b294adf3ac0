//! A database that is damaged: put aside by name, and said.
//!
//! Whatever its bytes are, they must not keep the gateway from serving, and nothing that could be rescued from
//! them is deleted. An error of the disk is no damage: what cannot be read now may be whole.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::Error;
use time::OffsetDateTime;
use time::macros::format_description;

use super::{DATABASE_FILE, SHELF_DIRECTORY, StateError, open_private};

/// What was found damaged at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// It went back to what was there before its last changes.
    Repaired,
    /// A new one was begun.
    PutAside { names: Vec<String> },
}

impl Damage {
    /// What is lost, and what to do.
    pub fn told(&self) -> (String, String) {
        match self {
            Self::Repaired => (
                "it was damaged, and has been repaired: the newest locks, properties, Finder's own files and what \
                 waited to be stored may be lost"
                    .to_owned(),
                "files that are stored are not concerned; see whether the disk is well".to_owned(),
            ),
            Self::PutAside { names } => (
                format!(
                    "it was damaged, and a new one was begun: lost are locks, properties, Finder's own files, and \
                     empty files that waited for their content; the old one is kept as {}",
                    names.join(" and ")
                ),
                "files that are stored are not concerned; see whether the disk is well, and delete what is kept of \
                 the old one when nobody misses anything"
                    .to_owned(),
            ),
        }
    }
}

/// Does work on the database. What it panics with on damaged pages is an error.
pub(super) fn catching<T>(work: impl FnOnce() -> Result<T, StateError>) -> Result<T, StateError> {
    // Nothing of ours is changed half: a transaction that is not committed is none.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let why = panic.downcast_ref::<String>().map(String::as_str);
        let why = why.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        Err(StateError::Damaged { why: why.to_owned() })
    })
}

/// Whether what the database holds is at fault, rather than the disk.
pub(super) fn is_damage(error: &StateError) -> bool {
    match error {
        StateError::Damaged { .. } | StateError::Row(_) => true,
        StateError::Open { source: error, .. } | StateError::Database(error) => match &**error {
            Error::Corrupted(_)
            | Error::UpgradeRequired(_)
            | Error::TableTypeMismatch { .. }
            | Error::TableIsMultimap(_)
            | Error::TableIsNotMultimap(_)
            | Error::TypeDefinitionChanged { .. }
            | Error::TableDoesNotExist(_) => true,
            Error::Io(error) => {
                matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Gives the database another name, and the shelf's files, which nobody else knows.
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

/// Renames to `NAME.damaged-DATE`, and tells that name. The directory is this gateway's alone.
fn rename(path: &Path) -> io::Result<String> {
    let format = format_description!("[year][month][day]-[hour][minute][second]");
    // This format has no part that could fail.
    let date = OffsetDateTime::now_utc().format(&format).unwrap_or_default();
    let mut number = 1;
    loop {
        let suffix = if number > 1 { format!("-{number}") } else { String::new() };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".damaged-{date}{suffix}"));
        let aside: PathBuf = path.with_file_name(&name);
        match fs::symlink_metadata(&aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::rename(path, &aside)?;
                return Ok(name.to_string_lossy().into_owned());
            }
            Err(error) => return Err(error),
            Ok(_) => number += 1,
        }
    }
}
