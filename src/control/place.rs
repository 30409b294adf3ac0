//! Where the socket lies: in the state directory, or elsewhere where that one's path is too long.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::state::{private_directory, read_private, write_private};

/// Where the gateway with that state directory has its socket, as it noted itself; `None` if it can have none yet.
pub(super) fn noted(state_dir: &Path) -> io::Result<Option<PathBuf>> {
    match read_private(&state_dir.join(NOTE)) {
        Ok(path) if !path.trim().is_empty() => Ok(Some(PathBuf::from(path.trim_end_matches('\n')))),
        Err(error) if !is_missing(&error) => Err(error),
        _ => Ok(usual(state_dir)),
    }
}

/// In the state directory, unless that path is too long for a socket.
fn usual(state_dir: &Path) -> Option<PathBuf> {
    let path = state_dir.join(NAME);
    (path.as_os_str().len() <= LONGEST).then_some(path)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Chooses a place for the socket, notes it where it is not the usual one, and clears it: whoever calls
/// this holds the state directory.
pub(super) fn choose(state_dir: &Path) -> io::Result<PathBuf> {
    let note = state_dir.join(NOTE);
    let path = match usual(state_dir) {
        Some(usual) => {
            remove(&note)?;
            usual
        }
        None => {
            let elsewhere = elsewhere(state_dir)?;
            write_private(&note, &elsewhere.to_string_lossy())?;
            elsewhere
        }
    };
    remove(&path)?;
    Ok(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A place with a short path, in a directory that is this user's alone.
fn elsewhere(state_dir: &Path) -> io::Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = variable("XDG_RUNTIME_DIR").or_else(|| variable("TMPDIR")).unwrap_or_else(|| "/tmp".into());
    let uid = rustix::process::geteuid().as_raw();
    let directory = base.join(format!("s3dav-{uid}"));
    // In a directory that others can write it may be theirs.
    let meta = private_directory(&directory)?;
    if meta.mode() & 0o077 != 0 {
        let message = format!("{} is not this user's alone", directory.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let hash = hex::encode(Sha256::digest(state_dir.as_os_str().as_bytes()));
    Ok(directory.join(format!("{}.sock", &hash[..16])))
}

const NAME: &str = "control.sock";
/// Holds the path of a socket that is elsewhere.
const NOTE: &str = "control.path";
/// Bytes that a socket's path may have: 104 on macOS, 108 on Linux, with an end mark.
const LONGEST: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_noted() {
        let short = tempfile::tempdir().unwrap();
        assert_eq!(choose(short.path()).unwrap(), short.path().join(NAME));
        assert_eq!(noted(short.path()).unwrap().unwrap(), short.path().join(NAME));
        let long = short.path().join("n".repeat(90));
        fs::create_dir(&long).unwrap();
        assert_eq!(noted(&long).unwrap(), None, "nobody has been there");
        let chosen = choose(&long).unwrap();
        assert!(chosen.as_os_str().len() <= LONGEST && !chosen.starts_with(&long), "{chosen:?}");
        assert_eq!(noted(&long).unwrap(), Some(chosen));
    }
}
