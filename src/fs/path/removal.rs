//! Making folders, deleting files and trees.

use std::io;
use std::sync::Arc;

use tokio::time::timeout_at;

use super::disk::{DiskError, GivenUp};
use super::names::{self, Owner};
use super::root::{Place, Root, leads_nowhere};
use super::stat::Stat;
use super::upload::parent_missing;
use super::{PathFileSystem, Shared};
use crate::fs::context::Depth;
use crate::fs::error::afterwards;
use crate::fs::resource_path::is_showable;
use crate::fs::{Failure, ResourcePath};
use crate::store::StoreError;

impl PathFileSystem {
    /// MKCOL.
    pub(super) async fn make_directory(&self, path: &ResourcePath) -> Result<(), Failure> {
        if self.locate(path).await?.is_some() {
            return Err(Failure::Exists);
        }
        self.refuse_protected(path, "made")?;
        let (shared, key) = (Arc::clone(&self.shared), self.new_key(path).await?);
        let deadline = self.context.deadline;
        self.detached(async move {
            let (disk, made) = (shared.disk.clone(), Arc::clone(&shared));
            let prefix = format!("{key}/");
            disk.by(deadline, move || {
                let place = made.root.place(&key).map_err(parent_missing)?;
                place.make_folder()?;
                Ok(place.sync_folder()?)
            })
            .await?;
            afterwards(shared.state.remove_properties(&prefix).await);
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
        let given_up = GivenUp::default();
        let is_given_up = given_up.clone();
        let removed = self.detached(async move {
            let (disk, id, removing) = (shared.disk.clone(), located.id(), Arc::clone(&shared));
            disk.run(move || {
                let key = &located.key;
                let _turn = removing.busy.turn(key);
                let now = removing.root.find(key)?.ok_or(Failure::NotFound)?;
                is_given_up.check()?;
                if wanted.is_some_and(|wanted| wanted != now.stat.etag) {
                    return Err(StoreError::ConditionFailed.into());
                }
                if !is_tree && !now.stat.has_content_as(&located.stat.etag) {
                    return Err(Failure::changed(&client));
                }
                let place = removing.root.place(key)?;
                match is_tree {
                    true => removing.remove_tree(key, &place)?,
                    false => place.remove_file()?,
                }
                match is_tree {
                    true => removing.bases.forget_below(&client, key),
                    false => removing.bases.forget(&client, key),
                }
                Ok(place.sync_folder()?)
            })
            .await?;
            afterwards(shared.state.remove_properties(&id).await);
            Ok(())
        });
        if is_tree {
            return removed.await;
        }
        // A call that hangs goes on alone.
        timeout_at(self.context.deadline, removed).await.unwrap_or_else(|_| {
            given_up.set();
            Err(DiskError::Hung.into())
        })
    }
}

impl Shared {
    /// Removes a folder and all that can be seen in it. Blocks.
    fn remove_tree(&self, key: &str, place: &Place) -> Result<(), Failure> {
        self.refuse_hidden(key, place)?;
        let mut left = Left::default();
        remove_folder(place, &mut left);
        match left.first {
            None => Ok(()),
            Some((name, error)) => {
                Err(Failure::RemovalIncomplete { left: left.count, name, source: Box::new(error.into()) })
            }
        }
    }

    /// A folder that holds what whoever asked could not see is not deleted or replaced. Blocks.
    pub(super) fn refuse_hidden(&self, key: &str, place: &Place) -> Result<(), Failure> {
        let mut hidden = Hidden::default();
        hidden.search(&self.root, key, place)?;
        if hidden.is_protected {
            let message = "the folder holds what Amazon S3 Files keeps for itself, which cannot be deleted";
            return Err(Failure::Forbidden(message.to_owned()));
        }
        match self.delete_hidden || hidden.count == 0 {
            true => Ok(()),
            false => Err(Failure::Conflict(format!(
                "the folder holds {} thing(s) that no path can show, e.g. {}; start the gateway with \
                 --delete-hidden to delete them along",
                hidden.count,
                hidden.first.join(", ")
            ))),
        }
    }
}

/// What no path can show, in a tree.
#[derive(Default)]
struct Hidden {
    count: usize,
    first: Vec<String>,
    is_protected: bool,
}

impl Hidden {
    fn search(&mut self, root: &Root, key: &str, place: &Place) -> io::Result<()> {
        let folder = place.open_folder()?;
        for entry in folder.entries()? {
            let entry = entry?;
            let name = entry.file_name();
            let below = name.to_str().filter(|name| is_showable(name)).map(|name| format!("{key}/{name}"));
            match name.to_str().and_then(names::owner) {
                Some(Owner::S3Files) => self.is_protected = true,
                Some(_) => {}
                None => match below {
                    Some(below) if entry.file_type()?.is_dir() => {
                        let inside = Place { folder: Arc::clone(&folder), name };
                        unless_gone(self.search(root, &below, &inside), ())?
                    }
                    Some(below) if unless_gone(is_shown(root, &below, &entry), true)? => {}
                    _ => self.note(&name),
                },
            }
        }
        Ok(())
    }

    fn note(&mut self, name: &std::ffi::OsStr) {
        self.count += 1;
        if self.first.len() < 5 {
            self.first.push(format!("{name:?}"));
        }
    }
}

/// Whether an entry is a file or a folder, or a link to one inside.
fn is_shown(root: &Root, key: &str, entry: &cap_std::fs::DirEntry) -> io::Result<bool> {
    let meta = entry.metadata()?;
    match meta.is_symlink() {
        false => Ok(Stat::of(&meta).is_some()),
        true => Ok(root.find(key)?.is_some()),
    }
}

/// What another program removes meanwhile need not be looked at.
fn unless_gone<T>(result: io::Result<T>, instead: T) -> io::Result<T> {
    match result {
        Err(error) if leads_nowhere(&error) => Ok(instead),
        result => result,
    }
}

/// What could not be removed.
#[derive(Default)]
struct Left {
    count: usize,
    first: Option<(String, io::Error)>,
}

impl Left {
    fn note(&mut self, place: &Place, error: io::Error) {
        self.count += 1;
        self.first.get_or_insert_with(|| (place.name.to_string_lossy().into_owned(), error));
    }
}

/// Removes a folder with all that is in it; goes on where something cannot be removed.
fn remove_folder(place: &Place, left: &mut Left) {
    let before = left.count;
    if let Err(error) = remove_entries(place, left) {
        left.note(place, error);
    }
    if left.count > before {
        return;
    }
    match place.remove_folder() {
        Err(error) if !leads_nowhere(&error) => left.note(place, error),
        _ => {}
    }
}

fn remove_entries(place: &Place, left: &mut Left) -> io::Result<()> {
    let folder = place.open_folder()?;
    for entry in folder.entries()? {
        let entry = entry?;
        let below = Place { folder: Arc::clone(&folder), name: entry.file_name() };
        if entry.file_type()?.is_dir() {
            remove_folder(&below, left);
            continue;
        }
        match below.remove_file() {
            Err(error) if !leads_nowhere(&error) => left.note(&below, error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes a tree, whatever is in it. Blocks.
pub(super) fn remove_all(place: &Place) -> io::Result<()> {
    let mut left = Left::default();
    remove_folder(place, &mut left);
    left.first.map_or(Ok(()), |(_, error)| Err(error))
}
