//! The shelf's files as plain files in a directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::path_key::PathKey;
use crate::state::{Place, ShelfRow, State, StateError};

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    pub files: usize,
    pub bytes: u64,
}

/// Why not everything was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("cannot write {path}")]
    Write { path: String, source: io::Error },
    #[error("{path} exists already, with different content")]
    Exists { path: String },
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the operation was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Writes every file on the shelf to where it belongs below `directory`, which is made if it is missing.
/// Nothing is replaced; what is there already with the same content counts as written.
pub async fn export(state: &State, directory: &Path) -> Result<Exported, ExportError> {
    let rows: Vec<(PathKey, ShelfRow)> =
        state.shelf().iter().map(|(path, row)| (path.clone(), row.clone())).collect();
    let mut exported = Exported::default();
    for (path, row) in rows {
        let target = target(state, directory, &path);
        if row.is_folder {
            write(target, |target| fs::create_dir_all(target)).await?;
            continue;
        }
        let content = match &row.place {
            Place::File(name) => Err(state.shelf_file(name)),
            _ => Ok(state.shelf_content(&path).await?.unwrap_or_default()),
        };
        write(target, move |target| {
            fs::create_dir_all(target.parent().unwrap_or(target))?;
            let opened = fs::File::options().write(true).create_new(true).open(target);
            if let Err(error) = &opened
                && error.kind() == io::ErrorKind::AlreadyExists
                && is_same(target, &content)?
            {
                return Ok(());
            }
            let filled = fill(&opened?, content);
            if filled.is_err() {
                // The next export would take it for somebody else's.
                fs::remove_file(target)?;
            }
            filled
        })
        .await?;
        exported.files += 1;
        exported.bytes += row.size;
    }
    Ok(exported)
}

/// Writes this content, or that of the other file, until it is on the disk.
fn fill(mut file: &fs::File, content: Result<Bytes, PathBuf>) -> io::Result<()> {
    match content {
        Ok(bytes) => io::Write::write_all(&mut file, &bytes)?,
        Err(source) => drop(io::copy(&mut fs::File::open(source)?, &mut file)?),
    }
    file.sync_all()
}

/// Whether the file has this content, or that of the other file.
fn is_same(target: &Path, content: &Result<Bytes, PathBuf>) -> io::Result<bool> {
    let is_as_long = |length: u64| Ok::<_, io::Error>(fs::metadata(target)?.len() == length);
    match content {
        Ok(bytes) => Ok(is_as_long(bytes.len() as u64)? && fs::read(target)? == **bytes),
        Err(source) => Ok(is_as_long(fs::metadata(source)?.len())? && fs::read(target)? == fs::read(source)?),
    }
}

/// Where `path` goes: names that the shelf knows the spelling of are spelled so.
fn target(state: &State, directory: &Path, path: &PathKey) -> PathBuf {
    let shelf = state.shelf();
    let mut target = directory.to_owned();
    let mut at = PathKey::default();
    for name in path.segments() {
        at = at.child(name);
        target.push(shelf.get(&at).map_or(name, |row| &row.name));
    }
    target
}

async fn write(
    target: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
) -> Result<(), ExportError> {
    tokio::task::spawn_blocking(move || {
        work(&target).map_err(|source| {
            let path = target.display().to_string();
            match source.kind() {
                io::ErrorKind::AlreadyExists => ExportError::Exists { path },
                _ => ExportError::Write { path, source },
            }
        })
    })
    .await?
}
