//! COPY and MOVE: a move is a rename; a copy is made beside its destination and renamed. What is at
//! the destination is replaced, and never removed first where the file system has a way.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::copying::{copy_file, copy_folder};
use super::part::{Part, remove_part};
use super::removal::remove_all;
use super::root::{Place, leads_nowhere};
use super::upload::parent_missing;
use super::{Located, PathFileSystem, Shared};
use crate::fs::conflict::keys_beside;
use crate::fs::engine::Transfer;
use crate::fs::{Client, Failure, ResourcePath};
use crate::object::parent_prefix;
use crate::state::PropertyChange;
use crate::store::StoreError;

impl PathFileSystem {
    /// Copies or moves a file or a folder with everything in it.
    pub(super) async fn place_tree(
        &self,
        from: ResourcePath,
        to: ResourcePath,
        kind: Transfer,
    ) -> Result<(), Failure> {
        let source = self.locate(&from).await?.ok_or(Failure::NotFound)?;
        if kind == Transfer::Move {
            self.refuse_protected(&from, "moved")?;
        }
        let work = self.transferring(source, &to, kind).await?;
        let shared = Arc::clone(&self.shared);
        self.detached(async move {
            let (disk, from) = (shared.disk.clone(), work.source.id());
            let old = work.target.old.as_ref().map(Located::id);
            let to = disk.run(move || work.run()).await?;
            if let Some(old) = old {
                shared.afterwards(shared.state.remove_properties(&old).await);
            }
            let keep = kind == Transfer::Copy;
            shared.afterwards(shared.state.transfer_properties(&from, &to, keep).await);
            Ok(())
        })
        .await
    }

    /// COPY of a folder with `Depth: 0`: the folder and its properties, none of its children.
    pub(super) async fn copy_directory_alone(&self, to: &ResourcePath) -> Result<(), Failure> {
        let source = self.locate(&self.context.path).await?.ok_or(Failure::NotFound)?;
        let work = self.transferring(source, to, Transfer::Copy).await?;
        let shared = Arc::clone(&self.shared);
        self.detached(async move {
            let (disk, from) = (shared.disk.clone(), work.source.id());
            let to = disk.run(move || work.run_alone()).await?;
            let own = shared.state.properties(&from).await?;
            shared.state.remove_properties(&to).await?;
            let own = own.into_iter().map(PropertyChange::Set).collect::<Vec<_>>();
            match own.is_empty() {
                true => Ok(()),
                false => Ok(shared.state.change_properties(&to, own).await?),
            }
        })
        .await
    }

    async fn transferring(
        &self,
        source: Located,
        to: &ResourcePath,
        kind: Transfer,
    ) -> Result<Transferring, Failure> {
        self.refuse_protected(to, "replaced")?;
        let target = match self.locate(to).await? {
            Some(old) => Target { key: old.key.clone(), old: Some(old) },
            None => Target { key: self.new_key(to).await?, old: None },
        };
        if overlaps(&source.key, &target.key) {
            return Err(contain_each_other());
        }
        if target.old.is_some() && !self.context.overwrite {
            return Err(StoreError::ConditionFailed.into());
        }
        let (shared, client) = (Arc::clone(&self.shared), self.context.client.clone());
        Ok(Transferring { shared, client, source, target, kind })
    }
}

/// Where a transfer goes.
struct Target {
    key: String,
    /// What it replaces.
    old: Option<Located>,
}

/// A COPY or MOVE that nothing interrupts. All of it blocks.
struct Transferring {
    shared: Arc<Shared>,
    client: Client,
    source: Located,
    target: Target,
    kind: Transfer,
}

impl Transferring {
    /// Returns the state database's name of what came of it.
    fn run(&self) -> Result<String, Failure> {
        let (mut keys, busy) = ([&self.source.key, &self.target.key], &self.shared.busy);
        // In one order for all, or two would wait for each other.
        keys.sort();
        let _turns = keys.map(|key| busy.turn(key));
        let root = &self.shared.root;
        let (from, to) = (root.place(&self.source.key)?, self.target_place()?);
        let key = match self.kind {
            Transfer::Move => self.rename(&from, &to)?,
            Transfer::Copy => self.copy(&to)?,
        };
        to.sync_folder()?;
        if self.kind == Transfer::Move {
            from.sync_folder()?;
            self.shared.bases.moved(&self.client, &self.source.key, &key);
        }
        let found = root.find(&key)?.ok_or(Failure::NotFound)?;
        if !found.stat.is_folder {
            self.shared.bases.saw(&self.client, &key, &found.stat.etag);
        }
        Ok(Located { key, stat: found.stat, is_link: found.is_link }.id())
    }

    fn run_alone(&self) -> Result<String, Failure> {
        let to = self.target_place()?;
        let (part, ()) = Part::new(&self.shared, &to, Place::make_folder)?;
        let key = self.put(part.place()?, &to)?;
        self.finish(part)?;
        to.sync_folder()?;
        Ok(format!("{key}/"))
    }

    /// The destination, which must not lie within the source by way of a link.
    fn target_place(&self) -> Result<Place, Failure> {
        let root = &self.shared.root;
        let place = root.place(&self.target.key).map_err(parent_missing)?;
        if self.source.stat.is_folder {
            let parent = root.resolve(parent_prefix(&self.target.key))?;
            let source = root.resolve(&self.source.key)?;
            let target = format!("{parent}/{}", place.name.to_string_lossy());
            if overlaps(&source, target.trim_start_matches("./").trim_start_matches('/')) {
                return Err(contain_each_other());
            }
        }
        Ok(place)
    }

    fn rename(&self, from: &Place, to: &Place) -> Result<String, Failure> {
        match self.put(from, to) {
            Err(Failure::Disk(error)) if error.is_other_device() => {}
            renamed => return renamed,
        }
        // Another file system is mounted in between.
        let key = self.copy(to)?;
        match self.source.stat.is_folder && !self.source.is_link {
            true => remove_all(from)?,
            false => from.remove_file()?,
        }
        Ok(key)
    }

    fn copy(&self, to: &Place) -> Result<String, Failure> {
        let (root, key) = (&self.shared.root, &self.source.key);
        let (part, copied) = Part::new(&self.shared, to, |place| {
            let copied = match self.source.stat.is_folder {
                true => copy_folder(root, key, &root.folder(key)?, place),
                false => copy_file(root, key, place).map(|_| Vec::new()),
            };
            copied.inspect_err(|_| drop(remove_part(place)))
        })?;
        let key = self.put(part.place()?, to)?;
        for (name, etag) in copied {
            self.shared.bases.saw(&self.client, &format!("{key}/{name}"), &etag);
        }
        self.finish(part)?;
        Ok(key)
    }

    /// The part is in its place, or what it replaced is where it was.
    fn finish(&self, part: Part) -> Result<(), Failure> {
        match part.place()?.exists()? {
            true => drop(part),
            false => part.done(),
        }
        Ok(())
    }

    /// Moves what is at `from` to the destination; returns the key where it lies now.
    fn put(&self, from: &Place, to: &Place) -> Result<String, Failure> {
        let Some(old) = &self.target.old else {
            return match from.rename_new(to) {
                Ok(()) => Ok(self.target.key.clone()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::Conflict(
                    "somebody else made the destination meanwhile; look at it, and try again".to_owned(),
                )),
                Err(error) => Err(error.into()),
            };
        };
        let is_folder = old.stat.is_folder && !old.is_link;
        let source_is_folder = self.source.stat.is_folder && !self.source.is_link;
        match (is_folder, source_is_folder) {
            (false, false) => self.put_over_file(from, to, old),
            _ => {
                if is_folder {
                    self.shared.refuse_hidden(&old.key, to)?;
                    self.refuse_unseen(&old.key)?;
                }
                self.put_over_folder(from, to)?;
                Ok(self.target.key.clone())
            }
        }
    }

    /// A version that this client has not seen stays; what should replace it goes beside it.
    fn put_over_file(&self, from: &Place, to: &Place, old: &Located) -> Result<String, Failure> {
        let now = to.find(&self.shared.root, &self.target.key)?;
        let basis = self.shared.bases.of(&self.client, &self.target.key);
        let basis = basis.unwrap_or_else(|| old.stat.etag.clone());
        if now.is_none_or(|now| now.has_content_as(&basis)) {
            from.rename_over(to)?;
            return Ok(self.target.key.clone());
        }
        for copy in keys_beside(&self.target.key) {
            match from.rename_new(&to.beside(&copy[parent_prefix(&copy).len()..])) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                renamed => {
                    renamed?;
                    self.shared.report_conflict(&self.target.key, &copy);
                    return Ok(copy);
                }
            }
        }
        Err(StoreError::ConditionFailed.into())
    }

    /// Nothing in a folder is replaced that this client has seen in another version.
    fn refuse_unseen(&self, folder: &str) -> Result<(), Failure> {
        for (key, etag) in self.shared.bases.below(&self.client, folder) {
            let now = self.shared.root.find(&key)?;
            if now.is_some_and(|now| !now.stat.has_content_as(&etag)) {
                return Err(Failure::Conflict(format!(
                    "somebody else changed {key:?} meanwhile; look at it, and try again"
                )));
            }
        }
        Ok(())
    }

    /// Where the file system can, both change places in one step, and what was replaced goes then.
    fn put_over_folder(&self, from: &Place, to: &Place) -> Result<(), Failure> {
        if from.exchange(to)? {
            let aside = self.shared.parts.place_beside(from);
            from.rename_over(&aside)?;
            return Ok(remove_part(&aside)?);
        }
        // A name that the user sees: if this process ends now, nothing is lost.
        let aside = keys_beside(&to.name.to_string_lossy()).next().unwrap_or_default();
        let aside = to.beside(aside.replace("(conflict ", "(replaced "));
        to.rename_new(&aside)?;
        if let Err(error) = from.rename_new(to) {
            aside.rename_new(to)?;
            return Err(error.into());
        }
        Ok(remove_part(&aside)?)
    }
}

impl Place {
    fn exists(&self) -> io::Result<bool> {
        match self.folder.symlink_metadata(&self.name) {
            Ok(_) => Ok(true),
            Err(error) if leads_nowhere(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl super::DiskError {
    fn is_other_device(&self) -> bool {
        matches!(self, Self::Other(error) if Errno::from_io_error(error) == Some(Errno::XDEV))
    }
}

/// Whether one key is the other, or lies within it.
fn overlaps(a: &str, b: &str) -> bool {
    let (a, b) = (format!("{a}/"), format!("{b}/"));
    a.starts_with(&b) || b.starts_with(&a)
}

fn contain_each_other() -> Failure {
    Failure::Forbidden("source and destination are, or contain, each other".to_owned())
}
