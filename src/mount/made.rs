//! Directories that were made for mounts, noted so that they go with them.
//!
//! The notes lie beside the states of all sources: whoever unmounts something need not know whose it was.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::point::{self, off_the_runtime};
use crate::logging::with_causes;
use crate::state::{base_directory, prepare, read_private, write_private};

/// A directory, and what tells it from another one that came to its place.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Made {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Made {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: meta.dev(), inode: meta.ino() })
    }
}

/// Notes what was made for the mount at `point`, before it is mounted: then another directory shows there.
pub(super) async fn note(point: &Path, made: &[PathBuf]) {
    if made.is_empty() {
        return;
    }
    let (point, made) = (point.to_owned(), made.to_owned());
    let noted = off_the_runtime(move || note_in(&base()?, &point, &made)).await;
    if let Err(error) = noted {
        tracing::debug!(
            error = with_causes(&error),
            "the mount point will not be removed when it is unmounted"
        );
    }
}

/// Removes what was made for the mount that was at `point`, as far as it is empty.
pub(super) async fn remove(point: &Path) {
    let point = point.to_owned();
    off_the_runtime(move || {
        if let Ok(base) = base() {
            remove_by(&base, &point);
        }
    })
    .await;
}

/// Removes what was made for a mount that did not come about.
pub(super) async fn give_back(point: &Path, mut made: Vec<PathBuf>) {
    let point = point.to_owned();
    off_the_runtime(move || {
        // It fails where something is mounted after all.
        if made.pop().is_some_and(|innermost| fs::remove_dir(innermost).is_ok()) {
            point::remove(&made);
            let _ = base().map(|base| forget(&base, &point));
        }
    })
    .await;
}

fn base() -> io::Result<PathBuf> {
    base_directory().map(|base| base.join(DIRECTORY)).ok_or(io::ErrorKind::NotFound.into())
}

fn file(base: &Path, point: &Path) -> PathBuf {
    base.join(format!("{}.json", &hex::encode(Sha256::digest(point.as_os_str().as_encoded_bytes()))[..16]))
}

fn note_in(base: &Path, point: &Path, made: &[PathBuf]) -> io::Result<()> {
    let made = made.iter().map(|path| Made::of(path)).collect::<io::Result<Vec<_>>>()?;
    prepare(base)?;
    write_private(&file(base, point), &serde_json::to_string(&made)?)
}

fn remove_by(base: &Path, point: &Path) {
    let text = read_private(&file(base, point)).ok();
    let Some(made) = text.and_then(|text| serde_json::from_str::<Vec<Made>>(&text).ok()) else {
        return;
    };
    let is_same = |made: &Made| Made::of(&made.path).is_ok_and(|now| now == *made);
    let own: Vec<PathBuf> = made.into_iter().filter(is_same).map(|made| made.path).collect();
    point::remove(&own);
    // What stays is somebody's now.
    forget(base, point);
}

/// Removes a note, and the directory of all of them with the last one.
fn forget(base: &Path, point: &Path) {
    let _ = fs::remove_file(file(base, point));
    let _ = fs::remove_dir(base);
}

/// Beside the state directories.
const DIRECTORY: &str = "mounts";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let (base, made) = (at("notes"), [at("a"), at("a/b")]);
        let note = || {
            fs::create_dir_all(at("a/b")).unwrap();
            note_in(&base, &at("a/b"), &made).unwrap();
        };
        note();
        remove_by(&base, &at("a/b"));
        assert!(!at("a").exists() && !base.exists());
        note();
        fs::write(at("a/file"), "").unwrap();
        remove_by(&base, &at("a/b"));
        assert!(at("a/file").exists() && !at("a/b").exists());
        note();
        // Another one in its place.
        fs::rename(at("a/b"), at("a/moved")).unwrap();
        fs::create_dir(at("a/b")).unwrap();
        remove_by(&base, &at("a/b"));
        assert!(at("a/b").exists());
        fs::create_dir(at("own")).unwrap();
        remove_by(&base, &at("own"));
        assert!(at("own").exists(), "of which nothing is noted");
    }
}
