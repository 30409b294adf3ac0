//! The state directory: its name, its mode, and the lock that lets one gateway hold it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use super::StateError;

/// What makes two gateways share one state: the same endpoint and the same buckets, or the same
/// directory. Region and profile do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceIdentity {
    /// `buckets` as given, each `NAME` or `NAME/PREFIX`.
    Buckets { endpoint: Option<String>, buckets: Vec<String> },
    /// A canonical path.
    Path(PathBuf),
}

impl SourceIdentity {
    /// The directory's name: a readable part and 8 hex digits of a SHA-256.
    pub fn directory_name(&self) -> String {
        let (readable, identity) = match self {
            Self::Buckets { endpoint, buckets } => {
                let mut sorted = buckets.clone();
                sorted.sort();
                let readable = buckets.first().map(String::as_str).unwrap_or_default();
                (readable.to_owned(), format!("{}\n{}", endpoint.as_deref().unwrap_or(""), sorted.join("\n")))
            }
            Self::Path(path) => {
                let last = path.file_name().map(|n| n.to_string_lossy().into_owned());
                (last.unwrap_or_default(), path.display().to_string())
            }
        };
        let hash = hex::encode(Sha256::digest(identity));
        format!("{}-{}", readable_part(&readable), &hash[..8])
    }
}

/// The first 24 characters, with everything that is awkward in a file name made a dash.
fn readable_part(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    name.chars().map(plain).take(READABLE_CHARS).collect()
}

/// Where a source's state lies unless `--state-dir` says otherwise; `None` without a home.
pub fn default_directory(source: &SourceIdentity) -> Option<PathBuf> {
    Some(base_directory()?.join(source.directory_name()))
}

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

/// Whether a gateway keeps, or kept, its state there.
pub fn is_state_directory(directory: &Path) -> bool {
    directory.join(LOCK_FILE).is_file()
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
        let failed = |source| StateError::Directory { path: directory.display().to_string(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let path = directory.join(LOCK_FILE);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            // An unreadable note still leaves the fact that the lock is taken.
            let _ = lock.read_to_string(&mut holder);
            return Err(StateError::Taken { holder: holder.trim().to_owned() });
        }
        fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .map_err(failed)?;
        let held = Self { directory: directory.to_owned(), lock };
        held.describe(description)?;
        Ok(held)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes who holds the directory into the lock file.
    pub(super) fn describe(&self, description: &str) -> Result<(), StateError> {
        let note = format!("process {}, {description}\n", std::process::id());
        let mut file = &self.lock;
        (|| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(note.as_bytes())
        })()
        .map_err(|source| StateError::Directory { path: self.directory.display().to_string(), source })
    }
}

const LOCK_FILE: &str = "gateway.lock";
/// Long enough to recognise a bucket, short enough for a terminal line and a socket path.
const READABLE_CHARS: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(names: &[&str]) -> SourceIdentity {
        SourceIdentity::Buckets { endpoint: None, buckets: names.iter().map(|n| n.to_string()).collect() }
    }

    #[test]
    fn the_name_is_stable_and_ignores_the_order_of_buckets() {
        let name = buckets(&["a-bucket/with/a/long/prefix/in/it"]).directory_name();
        assert!(name.starts_with("a-bucket-with-a-long-pre-"), "{name}");
        let suffix = |i: SourceIdentity| i.directory_name().rsplit('-').next().unwrap().to_owned();
        assert_eq!(suffix(buckets(&["a", "b"])), suffix(buckets(&["b", "a"])));
        assert_ne!(suffix(buckets(&["a", "b"])), suffix(buckets(&["a"])));
    }

    #[test]
    fn a_second_holder_learns_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let held = Held::take(dir.path(), "http://127.0.0.1:8330/").unwrap();
        let error = Held::take(dir.path(), "second").unwrap_err();
        assert!(error.to_string().contains("http://127.0.0.1:8330/"), "{error}");
        drop(held);
        assert!(Held::take(dir.path(), "third").is_ok());
    }
}
