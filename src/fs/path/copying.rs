//! Copying within the directory: read and written, for a network file system has no better way. All of
//! this blocks.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use cap_std::fs::{Dir, Metadata};
use rustix::io::Errno;

use super::names;
use super::root::{Place, Root, leads_nowhere};
use super::stat::Stat;
use crate::object::ETag;

/// Copies the file at `key`, links followed, to `to`, where nothing is; returns the copy's ETag.
pub(super) fn copy_file(root: &Root, key: &str, to: &Place) -> io::Result<ETag> {
    let (file, stat) = root.file(key)?;
    copy_content(file.into_std(), &stat, to)
}

/// The files that a copy made: their keys relative to it, and their ETags.
pub(super) type Copied = Vec<(String, ETag)>;

/// Copies the folder `from` with all that is in it to `to`, where nothing is. Links to files become
/// files, so that changing the copy leaves the original alone; links to folders stay links, for they
/// may lead in circles.
pub(super) fn copy_folder(root: &Root, key: &str, from: &Arc<Dir>, to: &Place) -> io::Result<Copied> {
    to.make_folder()?;
    let mut copied = Copied::new();
    let folder = to.open_folder()?;
    for entry in from.entries()? {
        let entry = entry?;
        let place = Place { folder: Arc::clone(from), name: entry.file_name() };
        let target = Place { folder: Arc::clone(&folder), name: entry.file_name() };
        let name = place.name.to_str();
        if name.is_some_and(|name| names::owner(name).is_some()) {
            continue;
        }
        let below = name.map(|name| format!("{key}/{name}"));
        let own = name.unwrap_or_default();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let inside = match place.open_folder() {
                // Another program removed it meanwhile.
                Err(error) if leads_nowhere(&error) => continue,
                inside => copy_folder(root, &below.unwrap_or_default(), &inside?, &target)?,
            };
            copied.extend(inside.into_iter().map(|(name, etag)| (format!("{own}/{name}"), etag)));
        } else if kind.is_symlink() {
            let etag = copy_link(root, below.as_deref(), &place, &target)?;
            copied.extend(etag.map(|etag| (own.to_owned(), etag)));
        } else if kind.is_file() {
            let (file, stat) = match place.open_file() {
                Err(error) if leads_nowhere(&error) => continue,
                opened => opened?,
            };
            copied.push((own.to_owned(), copy_content(file, &stat, &target)?));
        } else {
            tracing::info!(folder = key, name = ?place.name, "not copied: it is neither a file nor a folder");
        }
    }
    keep_mode(from.dir_metadata()?, &folder)?;
    Place { folder, name: ".".into() }.sync_folder()?;
    Ok(copied)
}

fn copy_link(root: &Root, key: Option<&str>, from: &Place, to: &Place) -> io::Result<Option<ETag>> {
    let found = key.map(|key| root.find(key)).transpose()?.flatten();
    match (key, found) {
        (Some(key), Some(found)) if !found.stat.is_folder => Ok(Some(copy_file(root, key, to)?)),
        _ => {
            let target = rustix::fs::readlinkat(&from.folder, &from.name, Vec::new())?;
            rustix::fs::symlinkat(target, &to.folder, &to.name)?;
            Ok(None)
        }
    }
}

fn copy_content(mut from: File, stat: &Stat, to: &Place) -> io::Result<ETag> {
    let mut file = to.create(Some(stat.mode))?;
    let mut buffer = vec![0; PIECE];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => file.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    match Stat::of(&Metadata::from_file(&from)?) {
        Some(now) if now.has_content_of(stat) => {}
        _ => return Err(io::Error::other("the file changed while it was copied")),
    }
    file.set_permissions(Permissions::from_mode(stat.mode))?;
    file.sync_all()?;
    let copy = Stat::of(&Metadata::from_file(&file)?).ok_or(Errno::NOENT)?;
    Ok(copy.etag)
}

fn keep_mode(from: Metadata, to: &Dir) -> io::Result<()> {
    match Stat::of(&from) {
        Some(stat) => {
            let mode = Permissions::from_mode(stat.mode);
            to.set_permissions(".", cap_std::fs::Permissions::from_std(mode))
        }
        None => Ok(()),
    }
}

/// See `upload`: each call is metered on Amazon S3 Files.
const PIECE: usize = 1 << 20;
