//! Copying within the directory: read and written, for a network file system has no better way. All of
//! this blocks.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use cap_std::fs::{Dir, FileType, Metadata};
use rustix::io::Errno;

use super::names;
use super::root::{DirEntry, Root, is_too_long, leads_nowhere};
use super::stat::Stat;
use super::walk::{Descent, Visit, walk};
use crate::fs::disk_error::DiskError;
use crate::fs::resource_path::MAX_SEGMENTS;
use crate::object::ETag;

/// Copies the file at `key`, links followed, to `to`, where nothing is; returns the copy's ETag.
pub(super) fn copy_file(root: &Root, key: &str, to: &DirEntry) -> io::Result<ETag> {
    let (file, stat) = root.file(key)?;
    copy_content(file.into_std(), &stat, to, || Ok(root.find(key)?.map(|found| found.stat)))
}

/// The files that a copy made: their keys relative to it, and their ETags.
pub(super) type Copied = Vec<(String, ETag)>;

/// Copies the folder at `key`, links followed, with all that is in it to `to`, where nothing is. Links to files
/// become files, so that changing the copy leaves the original alone; links to folders stay links, for they
/// may lead in circles.
pub(super) fn copy_folder(root: &Root, key: &str, to: &DirEntry) -> io::Result<Copied> {
    let from = root.folder(key)?;
    let top = DirEntry { folder: Arc::clone(&from), name: ".".into() };
    let (names, copied) = (Vec::new(), Copied::new());
    let mut copying = Copying { root, key, to, names, targets: None, modes: Vec::new(), copied };
    walk(&top, from, &mut copying)?;
    Ok(copying.copied)
}

/// A folder being copied.
struct Copying<'w> {
    root: &'w Root,
    key: &'w str,
    to: &'w DirEntry,
    /// Of the folder that is being copied and those above, but for the topmost.
    names: Vec<OsString>,
    /// Its copy, and those above.
    targets: Option<Descent>,
    /// The rights of these folders, which their copies get when they are filled.
    modes: Vec<Option<u32>>,
    copied: Copied,
}

impl Copying<'_> {
    fn make(&mut self, from: &Arc<Dir>, place: &DirEntry) -> io::Result<Arc<Dir>> {
        if self.modes.len() >= MAX_SEGMENTS {
            return Err(io::Error::other(DiskError::TooDeep));
        }
        let target = match &self.targets {
            None => self.to.clone(),
            Some(targets) => DirEntry { folder: targets.folder()?, name: place.name.clone() },
        };
        target.make_folder()?;
        let folder = target.open_folder()?;
        match &mut self.targets {
            None => self.targets = Some(Descent::new(Arc::clone(&folder))),
            Some(targets) => {
                targets.enter(Arc::clone(&folder))?;
                self.names.push(place.name.clone());
            }
        }
        self.modes.push(Stat::of(&from.dir_metadata()?).map(|stat| stat.mode));
        Ok(folder)
    }

    /// What is `name` in this folder, relative to the topmost; `None` if that is no UTF-8.
    fn relative(&self, name: &OsStr) -> Option<String> {
        let names = self.names.iter().map(OsString::as_os_str).chain([name]);
        Some(names.map(OsStr::to_str).collect::<Option<Vec<_>>>()?.join("/"))
    }

    /// Copies what is neither a folder nor anybody else's.
    fn copy(&mut self, kind: FileType, from: &DirEntry, to: &DirEntry) -> io::Result<()> {
        let own = self.relative(&from.name);
        let etag = if kind.is_symlink() {
            let key = own.as_ref().map(|own| format!("{}/{own}", self.key));
            copy_link(self.root, key.as_deref(), from, to)?
        } else if kind.is_file() {
            match from.open_file() {
                // Another program removed it meanwhile.
                Err(error) if leads_nowhere(&error) => None,
                opened => {
                    let (file, stat) = opened?;
                    Some(copy_content(file, &stat, to, || from.stat())?)
                }
            }
        } else {
            tracing::info!(folder = self.key, name = ?from.name, "not copied: it is neither a file nor a folder");
            None
        };
        self.copied.extend(own.zip(etag));
        Ok(())
    }
}

impl Visit for Copying<'_> {
    fn enter(&mut self, folder: &Arc<Dir>, place: &DirEntry) -> io::Result<Vec<OsString>> {
        let target = self.make(folder, place)?;
        let mut folders = Vec::new();
        for entry in folder.entries()? {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            if name.to_str().is_some_and(|name| names::owner(name).is_some()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(name);
                continue;
            }
            let from = DirEntry { folder: Arc::clone(folder), name: name.clone() };
            self.copy(kind, &from, &DirEntry { folder: Arc::clone(&target), name })?;
        }
        Ok(folders)
    }

    fn fail(&mut self, _: &DirEntry, error: io::Error) -> io::Result<()> {
        // Another program removed it meanwhile.
        if leads_nowhere(&error) { Ok(()) } else { Err(error) }
    }

    fn leave(&mut self, _: &DirEntry) -> io::Result<()> {
        let Some(targets) = &mut self.targets else { return Ok(()) };
        let folder = targets.folder()?;
        if let Some(mode) = self.modes.pop().flatten() {
            let mode = cap_std::fs::Permissions::from_std(Permissions::from_mode(mode));
            folder.set_permissions(".", mode)?;
        }
        DirEntry { folder, name: ".".into() }.sync_folder()?;
        self.names.pop();
        targets.leave()
    }
}

fn copy_link(root: &Root, key: Option<&str>, from: &DirEntry, to: &DirEntry) -> io::Result<Option<ETag>> {
    let found = match key.map(|key| root.find(key)).transpose() {
        // So deep that no path leads here.
        Err(error) if is_too_long(&error) => None,
        found => found?.flatten(),
    };
    match (key, found) {
        (Some(key), Some(found)) if !found.stat.is_folder => Ok(Some(copy_file(root, key, to)?)),
        _ => {
            let target = rustix::fs::readlinkat(&from.folder, &from.name, Vec::new())?;
            rustix::fs::symlinkat(target, &to.folder, &to.name)?;
            Ok(None)
        }
    }
}

/// `there`: what has the file's name when it is done.
fn copy_content(
    mut from: File,
    stat: &Stat,
    to: &DirEntry,
    there: impl FnOnce() -> io::Result<Option<Stat>>,
) -> io::Result<ETag> {
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
        Some(now) if now.has_content_of(stat, there)? => {}
        _ => return Err(io::Error::other(DiskError::ChangedWhileRead)),
    }
    file.set_permissions(Permissions::from_mode(stat.mode))?;
    file.sync_all()?;
    let copy = Stat::of(&Metadata::from_file(&file)?).ok_or(Errno::NOENT)?;
    Ok(copy.etag)
}

/// See `upload`: each call is metered on Amazon S3 Files.
const PIECE: usize = 1 << 20;
