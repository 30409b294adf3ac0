//! The directory that something is mounted at: nobody else's, and nothing in it.
//!
//! In `/tmp` anybody can put a directory or a link first; what is mounted there would be theirs.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::group;

/// What is wrong with a mount point.
#[derive(Debug, thiserror::Error)]
pub enum PointError {
    #[error("it is a symbolic link")]
    Link,
    #[error("it is not a directory")]
    NoDirectory,
    #[error("it belongs to another user (uid {0})")]
    Foreign(u32),
    #[error("it is not empty")]
    NotEmpty,
    #[error("other users can replace it, because they can write to {0}")]
    Unsafe(PathBuf),
    #[error("{0}")]
    Io(#[source] io::Error),
}

impl PointError {
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Link | Self::NoDirectory | Self::Foreign(_) => "name another mount point, or remove it",
            Self::NotEmpty => "name an empty directory, or one that does not exist yet",
            Self::Unsafe(_) => "name one in a directory that only you can write to, or in /tmp",
            Self::Io(_) => "name one in a directory of your own",
        }
    }
}

/// The path as the table of mounts has it: `/tmp` is a link on macOS. The last part is left alone: to look at it
/// may take for ever.
pub async fn resolved(point: &Path) -> PathBuf {
    let point = point.to_owned();
    off_the_runtime(move || resolved_now(&point)).await
}

/// Makes the directory if it is missing, and makes sure that it is safe to mount there. Nothing must be
/// mounted there yet. Gives the directories that it made, the outermost first.
pub(super) async fn prepare(point: &Path) -> Result<Vec<PathBuf>, PointError> {
    let point = point.to_owned();
    off_the_runtime(move || prepare_now(&point)).await
}

/// The same, but makes nothing: what is missing could be made.
pub(super) async fn check(point: &Path) -> Result<(), PointError> {
    let point = point.to_owned();
    off_the_runtime(move || check_now(&point)).await
}

/// Directories can be on a disk that is slow.
pub(super) async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It is never cancelled, so it has panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn resolved_now(point: &Path) -> PathBuf {
    let parent = point.parent().and_then(|parent| parent.canonicalize().ok());
    match (parent, point.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => point.to_owned(),
    }
}

fn prepare_now(point: &Path) -> Result<Vec<PathBuf>, PointError> {
    let made = make(point).map_err(PointError::Io)?;
    match shut(point) {
        Ok(()) => Ok(made),
        Err(error) => {
            remove(&made);
            Err(error)
        }
    }
}

/// Makes what is missing of a path, for this user alone.
fn make(point: &Path) -> io::Result<Vec<PathBuf>> {
    let is_missing = |path: &&Path| {
        let meta = fs::symlink_metadata(path);
        !path.as_os_str().is_empty() && meta.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let missing: Vec<&Path> = point.ancestors().take_while(is_missing).collect();
    let mut made = Vec::new();
    for directory in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => made.push(directory.to_owned()),
            // Somebody else was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                remove(&made);
                return Err(error);
            }
        }
    }
    Ok(made)
}

/// Removes directories, the innermost first, as far as nothing is in them.
pub(super) fn remove(made: &[PathBuf]) {
    for directory in made.iter().rev() {
        if fs::remove_dir(directory).is_err() {
            break;
        }
    }
}

/// Sees to it that nobody else can look in, if it can be a mount point.
fn shut(point: &Path) -> Result<(), PointError> {
    let meta = fs::symlink_metadata(point).map_err(PointError::Io)?;
    check_existing(point, &meta)?;
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(point, Permissions::from_mode(0o700)).map_err(PointError::Io)?;
    }
    Ok(())
}

fn check_now(point: &Path) -> Result<(), PointError> {
    match fs::symlink_metadata(point) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        meta => return check_existing(point, &meta.map_err(PointError::Io)?),
    }
    let existing = point.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    if !existing.is_dir() {
        return Err(PointError::Io(io::ErrorKind::NotADirectory.into()));
    }
    let access = rustix::fs::access(existing, Access::WRITE_OK | Access::EXEC_OK);
    access.map_err(|errno| PointError::Io(errno.into()))?;
    check_above(existing.canonicalize().map_err(PointError::Io)?.ancestors())
}

/// Of a directory that is there already.
fn check_existing(point: &Path, meta: &fs::Metadata) -> Result<(), PointError> {
    if meta.is_symlink() {
        return Err(PointError::Link);
    }
    if !meta.is_dir() {
        return Err(PointError::NoDirectory);
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(PointError::Foreign(meta.uid()));
    }
    check_above(resolved_now(point).ancestors().skip(1))?;
    if fs::read_dir(point).map_err(PointError::Io)?.next().is_some() {
        return Err(PointError::NotEmpty);
    }
    Ok(())
}

fn check_above<'a>(mut folders: impl Iterator<Item = &'a Path>) -> Result<(), PointError> {
    let own = rustix::process::geteuid().as_raw();
    folders.try_for_each(|above| {
        if can_be_replaced(&fs::metadata(above).map_err(PointError::Io)?, own) {
            return Err(PointError::Unsafe(above.to_owned()));
        }
        Ok(())
    })
}

/// Whether other users could put another directory where something in this one is.
fn can_be_replaced(above: &fs::Metadata, own: u32) -> bool {
    let is_foreign = above.uid() != own && above.uid() != 0;
    let mode = above.mode();
    // Whoever is in root's group may change more than this.
    let is_open_to_group = || mode & 0o020 != 0 && above.gid() != 0 && !group::is_private(above.gid(), own);
    is_foreign || (mode & STICKY == 0 && (mode & 0o002 != 0 || is_open_to_group()))
}

/// Only owners may rename or remove what is in such a directory.
const STICKY: u32 = 0o1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_own_empty_directory_is_taken() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        assert_eq!(prepare_now(&at("new/deep")).unwrap(), [at("new"), at("new/deep")]);
        assert_eq!(fs::metadata(at("new/deep")).unwrap().mode() & 0o777, 0o700);
        assert!(prepare_now(&at("new/deep")).unwrap().is_empty());
        fs::set_permissions(at("new/deep"), Permissions::from_mode(0o755)).unwrap();
        prepare_now(&at("new/deep")).unwrap();
        assert_eq!(fs::metadata(at("new/deep")).unwrap().mode() & 0o777, 0o700);
        assert!(matches!(prepare_now(&at("new")), Err(PointError::NotEmpty)));
        std::os::unix::fs::symlink(at("new/deep"), at("link")).unwrap();
        assert!(matches!(prepare_now(&at("link")), Err(PointError::Link)));
        fs::write(at("file"), "").unwrap();
        assert!(matches!(prepare_now(&at("file")), Err(PointError::NoDirectory)));
        fs::create_dir(at("open")).unwrap();
        fs::set_permissions(at("open"), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(prepare_now(&at("open/x/y")), Err(PointError::Unsafe(_))));
        assert!(!at("open/x").exists(), "what is refused leaves nothing");
        fs::set_permissions(at("open"), Permissions::from_mode(0o1777)).unwrap();
        prepare_now(&at("open/x")).unwrap();
        if rustix::process::geteuid().is_root() {
            fs::remove_dir(at("open/x")).unwrap();
            fs::set_permissions(at("open"), Permissions::from_mode(0o775)).unwrap();
            prepare_now(&at("open/x")).unwrap();
            std::os::unix::fs::chown(at("open"), None, Some(12_001)).unwrap();
            assert!(matches!(prepare_now(&at("open/x")), Err(PointError::Unsafe(_))));
        }
    }
}
