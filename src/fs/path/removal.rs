//! Making folders, deleting files and trees.

use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Arc;

use cap_std::fs::Dir;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::disk::{parent_missing, refuse_if_given_up};
use super::names::{self, Owner};
use super::root::{DirEntry, Root, is_mounted, is_too_long, leads_nowhere};
use super::stat::Stat;
use super::walk::{Visit, walk};
use super::{PathFileSystem, Shared};
use crate::fs::context::Depth;
use crate::fs::disk_error::DiskError;
use crate::fs::error::log_failure;
use crate::fs::following::Following;
use crate::fs::new_names::Spot;
use crate::fs::resource_path::is_showable;
use crate::fs::{Failure, ResourcePath};
use crate::object::parent_prefix;
use crate::store::StoreError;

impl PathFileSystem {
    /// MKCOL.
    pub(super) async fn make_directory(&self, path: &ResourcePath) -> Result<(), Failure> {
        if self.locate(path).await?.is_some() {
            return Err(Failure::Exists);
        }
        self.refuse_protected(path, "made")?;
        let Spot::New { key, name } = self.find_or_begin(path).await? else { return Err(Failure::Exists) };
        let shared = Arc::clone(&self.shared);
        let deadline = self.context.deadline;
        self.detached(async move {
            let (disk, made) = (shared.disk.clone(), Arc::clone(&shared));
            let prefix = format!("{key}/");
            disk.by(deadline, move || {
                let _held = name;
                let place = made.root.place(&key).map_err(parent_missing)?;
                place.make_folder()?;
                Ok(place.sync_folder()?)
            })
            .await?;
            log_failure(shared.state.remove_properties(&prefix).await);
            Ok(())
        })
        .await
    }

    /// DELETE of a file or of a folder with everything in it. Of a link, the link.
    pub(super) async fn remove(&self, path: &ResourcePath) -> Result<(), Failure> {
        let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
        self.refuse_protected(path, "deleted")?;
        let is_tree = located.stat.is_folder && !located.is_link;
        if is_tree && self.context.depth == Some(Depth::Zero) {
            return Err(Failure::BadRequest("a folder is deleted with Depth: infinity".to_owned()));
        }
        let (shared, wanted) = (Arc::clone(&self.shared), self.context.if_match.clone());
        let client = self.context.client.clone();
        if !is_tree
            && !self.context.has_own_condition
            && shared.seen_versions.must_be_told(
                &self.context,
                &located.key,
                (&located.stat.etag, located.stat.size),
            )
        {
            return Err(Failure::Changed);
        }
        let given_up = CancellationToken::new();
        let is_given_up = given_up.clone();
        let removed = self.detached(async move {
            let (disk, id, removing) = (shared.disk.clone(), located.id(), Arc::clone(&shared));
            let following = Following::of_properties(&shared.state, &id, None).await;
            let removed = disk.run(move || {
                let key = &located.key;
                let _turn = removing.changes.blocking_lock(key.clone());
                let now = removing.root.find(key)?.ok_or(Failure::NotFound)?;
                refuse_if_given_up(&is_given_up)?;
                if wanted.is_some_and(|wanted| wanted != now.stat.etag) {
                    return Err(StoreError::ConditionFailed.into());
                }
                if !is_tree && !now.stat.has_content_as(&located.stat.etag) {
                    return Err(Failure::Changed);
                }
                let place = removing.root.place(key)?;
                if is_tree {
                    removing.remove_tree(key, &place)?
                } else {
                    place.remove_file()?
                }
                if is_tree {
                    removing.seen_versions.forget_below(&client, key)
                } else {
                    removing.seen_versions.forget(&client, key)
                }
                Ok(place.sync_folder()?)
            });
            if let Err(failure) = removed.await {
                if let Some(following) = following {
                    following.failed(&failure, &shared.looking(), &shared.shutdown).await;
                }
                return Err(failure);
            }
            log_failure(shared.state.remove_properties(&id).await);
            following.into_iter().for_each(Following::end);
            Ok(())
        });
        if is_tree {
            return removed.await;
        }
        // A call that hangs goes on alone.
        timeout_at(self.context.deadline, removed).await.unwrap_or_else(|_| {
            given_up.cancel();
            Err(DiskError::Hung.into())
        })
    }
}

impl Shared {
    /// Removes a folder and all that can be seen in it. Blocks.
    fn remove_tree(&self, key: &str, place: &DirEntry) -> Result<(), Failure> {
        self.refuse_hidden(key, place)?;
        let Removal { left, first, .. } = Removal::of(place);
        match first {
            None => Ok(()),
            Some((name, error)) => {
                Err(Failure::RemovalIncomplete { left, name, source: Box::new(error.into()) })
            }
        }
    }

    /// A folder that holds what whoever asked could not see is not deleted or replaced. Blocks.
    pub(super) fn refuse_hidden(&self, key: &str, place: &DirEntry) -> Result<(), Failure> {
        let hidden = Search::of(&self.root, key, place)?;
        if hidden.is_protected {
            let message = "the folder contains files of Amazon S3 Files itself, which cannot be deleted";
            return Err(Failure::Forbidden(message.to_owned()));
        }
        if let Some(point) = hidden.mounted {
            let message = format!("a file system is mounted at {point:?}; unmount it first");
            return Err(Failure::Conflict(message));
        }
        if self.delete_hidden || hidden.count == 0 {
            Ok(())
        } else {
            Err(Failure::Conflict(format!(
                "the folder contains {} file(s) that cannot be shown, e.g. {}; start the gateway with \
             --delete-hidden to delete them as well",
                hidden.count,
                hidden.first.join(", ")
            )))
        }
    }
}

/// What no path can show, in a tree.
#[derive(Default)]
struct Hidden {
    count: usize,
    first: Vec<String>,
    is_protected: bool,
    /// Where another file system is mounted.
    mounted: Option<String>,
}

impl Hidden {
    fn note(&mut self, name: &OsStr) {
        self.count += 1;
        if self.first.len() < 5 {
            self.first.push(format!("{name:?}"));
        }
    }
}

/// A look at all that is in a tree.
struct Search<'r> {
    root: &'r Root,
    hidden: Hidden,
    /// Of the folder that is looked at.
    key: String,
}

impl<'r> Search<'r> {
    fn of(root: &'r Root, key: &str, place: &DirEntry) -> io::Result<Hidden> {
        // The walk adds the topmost folder's own name.
        let above = parent_prefix(key).trim_end_matches('/').to_owned();
        let mut search = Self { root, hidden: Hidden::default(), key: above };
        match place.open_own_folder() {
            Err(error) if is_mounted(&error) => search.fail(place, error)?,
            folder => walk(place, folder?, &mut search)?,
        }
        Ok(search.hidden)
    }

    fn key_of(&self, place: &DirEntry) -> String {
        let slash = if self.key.is_empty() { "" } else { "/" };
        format!("{}{slash}{}", self.key, place.name.to_string_lossy())
    }

    fn look(&mut self, folder: &Arc<Dir>) -> io::Result<Vec<OsString>> {
        let mut folders = Vec::new();
        for entry in folder.entries()? {
            let entry = entry?;
            let name = entry.file_name();
            match name.to_str().and_then(names::owner) {
                Some(Owner::S3Files) => self.hidden.is_protected = true,
                Some(_) => {}
                None => match name.to_str().filter(|name| is_showable(name)) {
                    Some(_) if entry.file_type()?.is_dir() => folders.push(name),
                    Some(own) => {
                        let key = format!("{}/{own}", self.key);
                        if !unless_gone(is_shown(self.root, &key, &entry), true)? {
                            self.hidden.note(&name);
                        }
                    }
                    None => self.hidden.note(&name),
                },
            }
        }
        Ok(folders)
    }
}

impl Visit for Search<'_> {
    fn enter(&mut self, folder: &Arc<Dir>, place: &DirEntry) -> io::Result<Vec<OsString>> {
        self.key = self.key_of(place);
        unless_gone(self.look(folder), Vec::new())
    }

    fn open(&self, place: &DirEntry) -> io::Result<Arc<Dir>> {
        place.open_own_folder()
    }

    fn fail(&mut self, place: &DirEntry, error: io::Error) -> io::Result<()> {
        if is_mounted(&error) {
            let point = self.key_of(place);
            self.hidden.mounted.get_or_insert(point);
            return Ok(());
        }
        unless_gone(Err(error), ())
    }

    fn leave(&mut self, _: &DirEntry) -> io::Result<()> {
        self.key.truncate(self.key.rfind('/').unwrap_or(0));
        Ok(())
    }
}

/// Whether an entry is a file or a folder, or a link to one inside.
fn is_shown(root: &Root, key: &str, entry: &cap_std::fs::DirEntry) -> io::Result<bool> {
    let meta = entry.metadata()?;
    if !meta.is_symlink() {
        return Ok(Stat::of(&meta).is_some());
    }
    match root.find(key) {
        // So deep that no path leads here; where the link leads is nobody's question.
        Err(error) if is_too_long(&error) => Ok(true),
        found => Ok(found?.is_some()),
    }
}

/// What another program removes meanwhile need not be looked at.
fn unless_gone<T>(result: io::Result<T>, instead: T) -> io::Result<T> {
    match result {
        Err(error) if leads_nowhere(&error) => Ok(instead),
        result => result,
    }
}

/// A removal of all that is in a tree; it goes on where something cannot be removed.
#[derive(Default)]
struct Removal {
    /// Things that could not be removed.
    left: usize,
    first: Option<(String, io::Error)>,
    /// How many there were before each of the folders that the way has led into.
    before: Vec<usize>,
}

impl Removal {
    fn of(place: &DirEntry) -> Self {
        let mut removal = Self::default();
        let walked = place.open_own_folder().and_then(|folder| walk(place, folder, &mut removal));
        if let Err(error) = walked {
            removal.note(place, error);
        }
        removal
    }

    fn note(&mut self, place: &DirEntry, error: io::Error) {
        self.left += 1;
        self.first.get_or_insert_with(|| (place.name.to_string_lossy().into_owned(), error));
    }

    fn note_unless_gone(&mut self, place: &DirEntry, result: io::Result<()>) {
        match result {
            Err(error) if !leads_nowhere(&error) => self.note(place, error),
            _ => {}
        }
    }

    /// Removes the files, and finds the folders.
    fn clear(&mut self, folder: &Arc<Dir>, folders: &mut Vec<OsString>) -> io::Result<()> {
        for entry in folder.entries()? {
            let entry = entry?;
            let below = DirEntry { folder: Arc::clone(folder), name: entry.file_name() };
            if entry.file_type()?.is_dir() {
                folders.push(below.name);
            } else {
                self.note_unless_gone(&below, below.remove_file());
            }
        }
        Ok(())
    }
}

impl Visit for Removal {
    fn enter(&mut self, folder: &Arc<Dir>, place: &DirEntry) -> io::Result<Vec<OsString>> {
        self.before.push(self.left);
        let mut folders = Vec::new();
        if let Err(error) = self.clear(folder, &mut folders) {
            self.note(place, error);
        }
        Ok(folders)
    }

    fn open(&self, place: &DirEntry) -> io::Result<Arc<Dir>> {
        place.open_own_folder()
    }

    fn fail(&mut self, place: &DirEntry, error: io::Error) -> io::Result<()> {
        self.note_unless_gone(place, Err(error));
        Ok(())
    }

    fn leave(&mut self, place: &DirEntry) -> io::Result<()> {
        if self.before.pop() == Some(self.left) {
            self.note_unless_gone(place, place.remove_folder());
        }
        Ok(())
    }
}

/// Removes a tree, whatever is in it. Blocks.
pub(super) fn remove_all(place: &DirEntry) -> io::Result<()> {
    Removal::of(place).first.map_or(Ok(()), |(_, error)| Err(error))
}
