//! Where the socket lies: in the state directory, or elsewhere where that one's path is too long.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Where the gateway with that state directory has its socket, as it noted itself.
pub(super) fn noted(state_dir: &Path) -> PathBuf {
    match fs::read_to_string(state_dir.join(NOTE)) {
        Ok(path) if !path.trim().is_empty() => PathBuf::from(path.trim_end_matches('\n')),
        _ => state_dir.join(NAME),
    }
}

/// Chooses a place for the socket, notes it where it is not the usual one, and clears it: whoever calls
/// this holds the state directory.
pub(super) fn choose(state_dir: &Path) -> io::Result<PathBuf> {
    let usual = state_dir.join(NAME);
    let note = state_dir.join(NOTE);
    let path = match usual.as_os_str().len() <= LONGEST {
        true => {
            remove(&note)?;
            usual
        }
        false => {
            let elsewhere = elsewhere(state_dir)?;
            fs::write(note, elsewhere.as_os_str().as_bytes())?;
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
    let uid = rustix::process::getuid().as_raw();
    let directory = base.join(format!("s3dav-{uid}"));
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // In a directory that others can write it may be theirs.
    let meta = fs::symlink_metadata(&directory)?;
    if !meta.is_dir() || meta.uid() != uid || meta.mode() & 0o077 != 0 {
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
        assert_eq!(noted(short.path()), short.path().join(NAME));
        let long = short.path().join("n".repeat(90));
        fs::create_dir(&long).unwrap();
        let chosen = choose(&long).unwrap();
        assert!(chosen.as_os_str().len() <= LONGEST && !chosen.starts_with(&long), "{chosen:?}");
        assert_eq!(noted(&long), chosen);
    }
}
