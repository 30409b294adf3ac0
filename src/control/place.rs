//! Where a socket lies: in the state directory, or elsewhere where that one's path is too long.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::state::{private_directory, read_private, write_private};

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Gateway,
    /// The process that holds the gateway's sockets and starts it anew.
    Parent,
    /// The process that mounts S3 Files in a container.
    Container,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Gateway => "control",
            Self::Parent => "parent",
            Self::Container => "container",
        }
    }

    fn socket(self, state_dir: &Path) -> PathBuf {
        state_dir.join(self.name()).with_extension("sock")
    }

    /// Holds the path of a socket that is elsewhere.
    fn note(self, state_dir: &Path) -> PathBuf {
        state_dir.join(self.name()).with_extension("path")
    }

    /// In the state directory, unless that path is too long for a socket.
    fn usual(self, state_dir: &Path) -> Option<PathBuf> {
        Some(self.socket(state_dir)).filter(|path| path.as_os_str().len() <= LONGEST)
    }
}

/// Where `who` with that state directory has its socket, as it noted itself; `None` if it can have none yet.
pub(super) fn noted(state_dir: &Path, who: Who) -> io::Result<Option<PathBuf>> {
    match read_private(&who.note(state_dir)) {
        Ok(path) if !path.trim().is_empty() => Ok(Some(PathBuf::from(path.trim_end_matches('\n')))),
        Err(error) if !is_missing(&error) => Err(error),
        _ => Ok(who.usual(state_dir)),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Chooses a place for the socket, notes it where it is not the usual one, and clears it: whoever calls
/// this holds the state directory, or the place of its gateway's parent.
pub(super) fn choose(state_dir: &Path, who: Who) -> io::Result<PathBuf> {
    let note = who.note(state_dir);
    let path = match who.usual(state_dir) {
        Some(usual) => {
            remove(&note)?;
            usual
        }
        None => {
            let elsewhere = elsewhere(state_dir, who)?;
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
fn elsewhere(state_dir: &Path, who: Who) -> io::Result<PathBuf> {
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
    let mark = match who {
        Who::Gateway => "",
        Who::Parent => "-parent",
        Who::Container => "-container",
    };
    Ok(directory.join(format!("{}{mark}.sock", &hash[..16])))
}

/// Bytes that a socket's path may have: 104 on macOS, 108 on Linux, with an end mark.
const LONGEST: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_noted() {
        let short = tempfile::tempdir().unwrap();
        for (who, name) in [(Who::Gateway, "control.sock"), (Who::Parent, "parent.sock")] {
            assert_eq!(choose(short.path(), who).unwrap(), short.path().join(name));
            assert_eq!(noted(short.path(), who).unwrap().unwrap(), short.path().join(name));
        }
        let long = short.path().join("n".repeat(90));
        fs::create_dir(&long).unwrap();
        assert_eq!(noted(&long, Who::Gateway).unwrap(), None, "nobody has been there");
        let [gateways, parents] = [Who::Gateway, Who::Parent].map(|who| choose(&long, who).unwrap());
        assert!(gateways.as_os_str().len() <= LONGEST && !gateways.starts_with(&long), "{gateways:?}");
        assert_ne!(gateways, parents);
        assert_eq!(noted(&long, Who::Gateway).unwrap(), Some(gateways));
        assert_eq!(noted(&long, Who::Parent).unwrap(), Some(parents));
    }
}
