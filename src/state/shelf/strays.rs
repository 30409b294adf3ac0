//! Files of the shelf that no row names.

use std::collections::HashSet;
use std::fs::{self, DirEntry, File};
use std::io;
use std::path::Path;

use super::{Index, Place};
use crate::state::damage::free_name;
use crate::state::private_directory;

/// Removes them.
pub(super) fn remove(directory: &Path, index: &Index) -> io::Result<()> {
    strays(directory, index)?.iter().try_for_each(|stray| fs::remove_file(stray.path()))
}

/// Moves them to a directory of their own, and tells its name; `None`: there are none.
pub(super) fn put_aside(directory: &Path, index: &Index) -> io::Result<Option<String>> {
    let strays = strays(directory, index)?;
    if strays.is_empty() {
        return Ok(None);
    }
    let (aside, name) = free_name(directory)?;
    private_directory(&aside)?;
    for stray in strays {
        fs::rename(stray.path(), aside.join(stray.file_name()))?;
    }
    File::open(&aside)?.sync_all()?;
    File::open(directory)?.sync_all()?;
    Ok(Some(name))
}

fn strays(directory: &Path, index: &Index) -> io::Result<Vec<DirEntry>> {
    if fs::symlink_metadata(directory).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(Vec::new());
    }
    // What is taken away must not be somebody else's.
    private_directory(directory)?;
    let named: HashSet<&str> = index
        .iter()
        .filter_map(|(_, row)| match &row.place {
            Place::File(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let is_named = |entry: &io::Result<DirEntry>| {
        entry.as_ref().is_ok_and(|entry| entry.file_name().to_str().is_some_and(|name| named.contains(name)))
    };
    fs::read_dir(directory)?.filter(|entry| !is_named(entry)).collect()
}
