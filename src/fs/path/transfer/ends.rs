//! The two ends of a COPY or MOVE: neither may be the other or hold it, by way of links and mounts either.

use std::io;

use super::Transferring;
use crate::fs::Failure;
use crate::fs::file_system::Transfer;
use crate::fs::path::disk::parent_missing;
use crate::fs::path::path_name;
use crate::fs::path::root::{DirEntry, Root};
use crate::fs::path::stat::Stat;
use crate::object::parent_prefix;

impl Transferring {
    /// The destination. Neither may hold the other, by way of a link either.
    pub(super) fn target_place(&self) -> Result<DirEntry, Failure> {
        let root = &self.shared.root;
        let place = root.place(&self.target.key).map_err(parent_missing)?;
        let (from, to) = (resolved(root, &self.source.key)?, resolved(root, &self.target.key)?);
        if overlaps(&from, &to) {
            return Err(contain_each_other());
        }
        if self.kind == Transfer::Move && self.source.is_link {
            self.refuse_misled(&from, &to)?;
        }
        Ok(place)
    }

    /// Whether both names are the same thing: on a disk that takes capitals for small letters, or by
    /// a second name.
    pub(super) fn is_itself(&self) -> bool {
        let old = self.target.old.as_ref();
        old.is_some_and(|old| old.stat.identity == self.source.stat.identity && !old.is_link)
            && !self.source.is_link
    }

    /// Neither holds the other by way of a mount: what is copied would not end, and what is then deleted would be the copy.
    pub(super) fn refuse_nested(&self) -> Result<(), Failure> {
        let (root, source) = (&self.shared.root, &self.source);
        let holds = |folder: &Stat, key: &str| -> Result<bool, Failure> {
            Ok(folder.is_folder && lies_in(root, &resolved(root, key)?, folder)?)
        };
        let old = self.target.old.as_ref();
        let is_nested = holds(&source.stat, &self.target.key)?
            || old.map_or(Ok(false), |old| holds(&old.stat, &source.key))?;
        if is_nested { Err(contain_each_other()) } else { Ok(()) }
    }

    /// A link that is moved leads to the same as before, and replaces nothing that it leads to.
    fn refuse_misled(&self, from: &str, to: &str) -> Result<(), Failure> {
        let (root, source) = (&self.shared.root, &self.source);
        let link = root.place(&source.key)?;
        let leads = link.folder.read_link(&link.name)?;
        let leads = leads.to_string_lossy();
        if resolved(root, &format!("{}{leads}", parent_prefix(from)))? == to {
            return Err(contain_each_other());
        }
        if let Some(old) = self.target.old.as_ref().filter(|old| !old.is_link) {
            let is_same = old.stat.identity == source.stat.identity;
            if is_same || lies_in(root, &root.resolve(&source.key)?, &old.stat)? {
                return Err(contain_each_other());
            }
        }
        if parent_prefix(from) == parent_prefix(to) {
            return Ok(());
        }
        let there = root.find(&format!("{}{leads}", parent_prefix(to)))?;
        if there.is_some_and(|there| there.stat.identity == source.stat.identity) {
            return Ok(());
        }
        Err(Failure::Conflict(
            "it is a link, and would lead elsewhere from there; copy it, or move what it leads to".to_owned(),
        ))
    }
}

/// Where a key lies when all links on the way are followed, but not the last.
fn resolved(root: &Root, key: &str) -> Result<String, Failure> {
    let name = path_name(key);
    let parent = root.resolve(parent_prefix(key))?;
    Ok(if parent == "." { name.to_owned() } else { format!("{parent}/{name}") })
}

/// Whether `folder` is one of the folders on the way to `key`.
fn lies_in(root: &Root, key: &str, folder: &Stat) -> io::Result<bool> {
    let mut at = parent_prefix(key);
    loop {
        if root.find(at)?.is_some_and(|found| found.stat.identity == folder.identity) {
            return Ok(true);
        }
        if at.is_empty() {
            return Ok(false);
        }
        at = parent_prefix(at.trim_end_matches('/'));
    }
}

/// Whether one key is the other, or lies within it.
pub(super) fn overlaps(a: &str, b: &str) -> bool {
    let (a, b) = (format!("{a}/"), format!("{b}/"));
    a.starts_with(&b) || b.starts_with(&a)
}

pub(super) fn contain_each_other() -> Failure {
    Failure::Forbidden("source and destination are the same, or one contains the other".to_owned())
}
