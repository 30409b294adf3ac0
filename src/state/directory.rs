//! The state directory: whose it is, and the lock that lets one gateway hold it.
//!
//! Passwords and locks are in it, so it must be this user's alone. Whoever uses one asks [`directory_of`] first,
//! which is it really, and whoever writes into it calls [`prepare`] before.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::StateError;
use super::private::{Unfit, open_private, own_uid, private_directory, shut};

/// Where the states of all sources lie; `None` without a home.
pub fn base_directory() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = if cfg!(target_os = "macos") {
        variable("HOME")?.join("Library/Application Support")
    } else {
        variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?
    };
    Some(base.join("s3dav"))
}

/// A new directory for a state that ends with its gateway: among the others, where commands find it, or where there is
/// no place for them in the system's directory for such files.
pub fn temporary(prefix: &str) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).permissions(Permissions::from_mode(0o700));
    let base = base_directory();
    let base = base.filter(|base| DirBuilder::new().recursive(true).mode(0o700).create(base).is_ok());
    let among_others = base.and_then(|base| builder.tempdir_in(base).ok());
    among_others.map_or_else(|| builder.tempdir(), Ok)
}

/// Whether a gateway of this user keeps, or kept, its state there.
pub fn is_state_directory(directory: &Path) -> bool {
    let lock = fs::symlink_metadata(directory.join(LOCK_FILE));
    lock.is_ok_and(|meta| meta.is_file() && meta.uid() == own_uid())
}

/// The directory that is used where `named` is given: that one, or where it is root's, as the volumes of
/// containers are, one in it. Another user's is refused. Nothing is made.
pub fn directory_of(named: &Path) -> io::Result<PathBuf> {
    let (path, uid) = match owner(named)? {
        Some(found) => found,
        None => return Ok(named.to_owned()),
    };
    if uid == own_uid() {
        return Ok(path);
    }
    if uid != ROOT {
        return Err(Unfit::Foreign { path, uid }.into());
    }
    let inner = path.join(format!("s3dav-{}", own_uid()));
    match owner(&inner)? {
        Some((_, uid)) if uid != own_uid() => Err(Unfit::Foreign { path: inner, uid }.into()),
        Some((path, _)) if path != inner => Err(Unfit::Link(inner).into()),
        _ => Ok(inner),
    }
}

/// A directory without links, and whose it is; `None` if there is nothing.
fn owner(named: &Path) -> io::Result<Option<(PathBuf, u32)>> {
    let meta = match fs::symlink_metadata(named) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        meta => meta?,
    };
    let (path, meta) = if meta.is_symlink() {
        // In a directory that others can write anybody can make one, and lead to what is this user's.
        if ![own_uid(), ROOT].contains(&meta.uid()) {
            return Err(Unfit::Foreign { path: named.to_owned(), uid: meta.uid() }.into());
        }
        let path = named.canonicalize()?;
        let meta = fs::symlink_metadata(&path)?;
        (path, meta)
    } else {
        (named.to_owned(), meta)
    };
    if meta.is_dir() { Ok(Some((path, meta.uid()))) } else { Err(Unfit::NoDirectory(path).into()) }
}

/// Makes the directory if it is missing, and makes sure that it is this user's alone.
pub fn prepare(directory: &Path) -> io::Result<()> {
    if let Some(parent) = directory.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let meta = private_directory(directory)?;
    if meta.mode() & 0o077 == 0 {
        return Ok(());
    }
    if !is_for_state(directory, meta.mode())? {
        return Err(Unfit::Open(directory.to_owned()).into());
    }
    shut(directory)?;
    // Others may have been quicker.
    if is_for_state(directory, meta.mode())? { Ok(()) } else { Err(Unfit::Open(directory.to_owned()).into()) }
}

/// Whether there is nothing in a directory of that mode but a gateway's state, which others cannot have put there.
fn is_for_state(directory: &Path, mode: u32) -> io::Result<bool> {
    let is_empty = fs::read_dir(directory)?.next().is_none();
    Ok(is_empty || (mode & WRITABLE_BY_OTHERS == 0 && is_state_directory(directory)))
}

/// The directory, locked for as long as this value lives.
#[derive(Debug)]
pub(super) struct Held {
    directory: PathBuf,
    lock: File,
}

impl Held {
    /// Makes the directory if need be and takes its lock, or says who has it.
    pub(super) fn take(directory: &Path, description: &str) -> Result<Self, StateError> {
        Self::take_lock_of(LOCK_FILE, directory, description)
    }

    fn take_lock_of(name: &str, directory: &Path, description: &str) -> Result<Self, StateError> {
        let failed = |source| StateError::Directory { path: directory.display().to_string(), source };
        let path = directory.join(name);
        let lock = loop {
            prepare(directory).map_err(failed)?;
            let mut options = OpenOptions::new();
            let mut lock =
                open_private(&path, options.read(true).write(true).create(true)).map_err(failed)?;
            if !take_lock(&lock) {
                let mut holder = String::new();
                // An unreadable note still leaves the fact that the lock is taken.
                let _ = lock.read_to_string(&mut holder);
                return Err(StateError::Taken { holder: holder.trim().to_owned() });
            }
            // Whoever had it may have removed the directory with it.
            if is_at(&lock, &path).map_err(failed)? {
                break lock;
            }
        };
        let held = Self { directory: directory.to_owned(), lock };
        held.describe(description)?;
        Ok(held)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether what is written there is found by the next start. Blocks for a moment.
    pub(super) fn is_in_place(&self) -> bool {
        // A disk that cannot tell says so when it is written to.
        is_at(&self.lock, &self.directory.join(LOCK_FILE)).unwrap_or(true)
    }

    /// Writes who holds the directory into the lock file.
    pub(super) fn describe(&self, description: &str) -> Result<(), StateError> {
        let note = format!("{NOTE_BEGIN}{}, {description}\n", std::process::id());
        let mut file = &self.lock;
        (|| {
            file.rewind()?;
            file.write_all(note.as_bytes())?;
            // On a full disk it has to keep what it has until then.
            file.set_len(note.len() as u64)
        })()
        .map_err(|source| StateError::Directory { path: self.directory.display().to_string(), source })
    }
}

/// The place of the one process that holds the sockets of the gateway with that state; others are told who has it.
#[derive(Debug)]
pub struct ParentsPlace(#[allow(dead_code, reason = "it is held, not read")] Held);

impl ParentsPlace {
    /// Blocks for a moment where somebody else has it.
    pub fn take(directory: &Path, description: &str) -> Result<Self, StateError> {
        Held::take_lock_of(PARENTS_LOCK_FILE, directory, description).map(Self)
    }
}

/// Who has a lock of a state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// `process 4711, http://127.0.0.1:8330/`
    pub note: String,
}

impl Holder {
    /// Whether it sends what waits: a gateway, or `s3dav drain`, and none of the commands that look or change something.
    pub fn sends(&self) -> bool {
        !self.note.contains(", s3dav ") || self.note.ends_with(", s3dav drain")
    }
}

/// The gateway that has that state, if one does. Blocks for the time of a small file.
pub fn holder(directory: &Path) -> Option<Holder> {
    holder_of(&directory.join(LOCK_FILE))
}

/// The same of the process that holds its port.
pub fn parent_holder(directory: &Path) -> Option<Holder> {
    holder_of(&directory.join(PARENTS_LOCK_FILE))
}

fn holder_of(lock: &Path) -> Option<Holder> {
    let mut lock = open_private(lock, OpenOptions::new().read(true)).ok()?;
    if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let mut note = String::new();
    lock.read_to_string(&mut note).ok()?;
    let pid = note.strip_prefix(NOTE_BEGIN)?.split(',').next()?.parse().ok()?;
    Some(Holder { pid, note: note.trim().to_owned() })
}

/// Whether that file still has that name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok((meta.dev(), meta.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the lock; one that is about to be given back is waited for. Blocks.
fn take_lock(lock: &File) -> bool {
    let until = Instant::now() + LAST_MOMENTS;
    loop {
        if flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

pub(super) const LOCK_FILE: &str = "gateway.lock";
/// Then comes the id.
const NOTE_BEGIN: &str = "process ";
const PARENTS_LOCK_FILE: &str = "parent.lock";
/// A gateway that has answered its last command still closes its database; the next one waits this long.
const LAST_MOMENTS: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);
const ROOT: u32 = 0;
const WRITABLE_BY_OTHERS: u32 = 0o022;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_learns_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let held = Held::take(dir.path(), "http://127.0.0.1:8330/").unwrap();
        assert_eq!(holder(dir.path()).unwrap().pid, std::process::id());
        let error = Held::take(dir.path(), "second").unwrap_err();
        assert!(error.to_string().contains("http://127.0.0.1:8330/"), "{error}");
        let ending = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(held);
        });
        assert!(Held::take(dir.path(), "third").is_ok(), "what ends at this moment is waited for");
        ending.join().unwrap();
        assert_eq!(holder(dir.path()), None);
    }
}
