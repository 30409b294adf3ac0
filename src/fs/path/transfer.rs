//! COPY and MOVE: a move is a rename; a copy is made beside its destination and renamed. What is at
//! the destination is replaced, and never removed first where the file system has a way.

mod ends;

use std::io;
use std::sync::Arc;

use cap_std::fs::MetadataExt;

use self::ends::{contain_each_other, overlaps};
use super::copying::{Copied, copy_file, copy_folder};
use super::part::{Part, remove_part};
use super::removal::remove_all;
use super::root::{DirEntry, is_mounted};
use super::stat::Stat;
use super::{Located, PathFileSystem, Shared};
use crate::fs::conflict::{Room, keys_beside};
use crate::fs::error::log_failure;
use crate::fs::file_system::Transfer;
use crate::fs::following::Following;
use crate::fs::new_names::NewName;
use crate::fs::new_names::Spot;
use crate::fs::{Failure, RequestContext, ResourcePath};
use crate::state::PropertyChange;
use crate::store::StoreError;
use crate::sync::KeyedGuard;

impl PathFileSystem {
    /// Copies or moves a file or a folder with everything in it.
    pub(super) async fn place_tree(
        &self,
        from: ResourcePath,
        to: ResourcePath,
        kind: Transfer,
    ) -> Result<(), Failure> {
        let source = self.locate(&from).await?.ok_or(Failure::NotFound)?;
        if source.stat.is_folder && source.shown.is_some() {
            let message = "a folder of conflicts is read-only: copy its files one by one";
            return Err(Failure::Forbidden(message.to_owned()));
        }
        if kind == Transfer::Move {
            self.refuse_protected(&from, "moved")?;
        }
        let work = self.transferring(source, &to, kind).await?;
        let shared = Arc::clone(&self.shared);
        self.detached(async move {
            let (disk, from, client) = (shared.disk.clone(), work.source.id(), work.context.client.clone());
            let old = work.target.old.as_ref().map(Located::id);
            let following = match kind {
                Transfer::Move => {
                    Following::of_properties(&shared.state, &from, Some(&work.target_id())).await
                }
                Transfer::Copy => None,
            };
            let to = match disk.run(move || work.run()).await {
                Ok(to) => to,
                Err(failure) => {
                    if let Some(following) = following {
                        following.failed(&failure, &shared.looking(), &shared.shutdown).await;
                    }
                    return Err(failure);
                }
            };
            // What lost lies beside it, and has none.
            if let Some(old) = old.filter(|old| old.trim_end_matches('/') == to.trim_end_matches('/')) {
                log_failure(shared.state.remove_properties(&old).await);
            }
            if kind == Transfer::Move && shared.seen_versions.has_moved_unseen(&client, &to) {
                // A crash must not forget that.
                log_failure(shared.state.sync().await);
            }
            let keep = kind == Transfer::Copy;
            log_failure(shared.state.transfer_properties(&from, &to, keep).await);
            following.into_iter().for_each(Following::end);
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
            log_failure(shared.state.remove_properties(&to).await);
            let own = shared.state.properties(&from).await.unwrap_or_default();
            let own = own.into_iter().map(PropertyChange::Set).collect::<Vec<_>>();
            if !own.is_empty() {
                log_failure(shared.state.change_properties(&to, own).await);
            }
            Ok(())
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
        let target = match self.find_or_begin(to).await? {
            Spot::Taken(old) => Target { key: old.key.clone(), old: Some(old), _new_name: None },
            Spot::New { key, name } => Target { key, old: None, _new_name: Some(name) },
        };
        if overlaps(&source.key, &target.key) {
            return Err(contain_each_other());
        }
        if target.old.is_some() && !self.context.overwrite {
            return Err(StoreError::ConditionFailed.into());
        }
        let (shared, context) = (Arc::clone(&self.shared), Arc::clone(&self.context));
        Ok(Transferring { shared, context, source, target, kind })
    }
}

/// Where a transfer goes.
struct Target {
    key: String,
    /// What it replaces.
    old: Option<Located>,
    /// Held until the destination is there.
    _new_name: Option<NewName>,
}

/// A COPY or MOVE that nothing interrupts. All of it blocks.
struct Transferring {
    shared: Arc<Shared>,
    context: Arc<RequestContext>,
    source: Located,
    target: Target,
    kind: Transfer,
}

impl Transferring {
    /// Returns the state database's name of what came of it.
    fn run(&self) -> Result<String, Failure> {
        let to = self.target_place()?;
        let (key, copied) = match self.kind {
            Transfer::Move => self.rename(&to)?,
            Transfer::Copy => self.copy(&to)?,
        };
        let seen_versions = &self.shared.seen_versions;
        if self.target.old.as_ref().is_some_and(|old| old.stat.is_folder) {
            seen_versions.forget_below(&self.context.client, &key);
        }
        let (client, from) = (&self.context.client, &self.source);
        let is_unseen = self.kind == Transfer::Move
            && match seen_versions.of(client, &from.key) {
                Some(seen) => !from.stat.has_content_as(&seen),
                None => seen_versions.knows_of_none(&self.context, &from.key),
            };
        match (self.kind, self.source.stat.is_folder) {
            (Transfer::Copy, _) => {}
            (Transfer::Move, true) => seen_versions.moved(&self.context.client, &self.source.key, &key),
            (Transfer::Move, false) => seen_versions.forget(&self.context.client, &self.source.key),
        }
        for (name, etag) in copied {
            let child = format!("{key}/{name}");
            seen_versions.saw(&self.context.client, &child, &etag);
            self.shared.exports.wrote(&child);
        }
        let found = self.shared.root.find(&key)?.ok_or(Failure::NotFound)?;
        if !found.stat.is_folder {
            seen_versions.saw(client, &key, &found.stat.etag);
            if is_unseen {
                seen_versions.moved_unseen(client, &key);
            }
            self.shared.exports.wrote(&key);
        }
        Ok(Located { key, stat: found.stat, is_link: found.is_link, shown: None }.id())
    }

    /// The state database's name of what is to come of it.
    fn target_id(&self) -> String {
        if self.source.stat.is_folder { format!("{}/", self.target.key) } else { self.target.key.clone() }
    }

    fn run_alone(&self) -> Result<String, Failure> {
        let to = self.target_place()?;
        let (part, ()) = Part::new(&self.shared, &to, DirEntry::make_folder)?;
        let _turns = self.turns();
        let key = self.put(part.place()?, &to, true)?;
        part.done();
        to.sync_folder()?;
        Ok(format!("{key}/"))
    }

    /// Nobody else changes source and destination meanwhile.
    fn turns(&self) -> [KeyedGuard; 2] {
        let mut keys = [&self.source.key, &self.target.key];
        // In one order for all, or two would wait for each other.
        keys.sort();
        keys.map(|key| self.shared.changes.blocking_lock(key.clone()))
    }

    fn rename(&self, to: &DirEntry) -> Result<(String, Copied), Failure> {
        let from = self.shared.root.place(&self.source.key)?;
        let is_folder = self.source.stat.is_folder && !self.source.is_link;
        let turns = self.turns();
        if self.is_itself() {
            match from.rename_over(to) {
                // By a second place where its folder is mounted.
                Err(error) if is_mounted(&error) => return Err(contain_each_other()),
                renamed => renamed?,
            }
            if from.is_second_name_of(to)? {
                from.remove_file()?;
                from.sync_folder()?;
            }
            to.sync_folder()?;
            return Ok((self.target.key.clone(), Copied::new()));
        }
        match self.put(&from, to, is_folder) {
            Err(Failure::Disk(error)) if error.is_other_device() => {}
            renamed => {
                let key = renamed?;
                to.sync_folder()?;
                from.sync_folder()?;
                return Ok((key, Copied::new()));
            }
        }
        drop(turns);
        // Another file system is mounted in between.
        let identity = |place: &DirEntry| place.folder.dir_metadata().map(|meta| (meta.dev(), meta.ino()));
        if identity(&from)? == identity(to)? && from.name == to.name {
            return Err(contain_each_other());
        }
        from.may_leave()?;
        if is_folder {
            DirEntry { folder: from.open_folder()?, name: ".".into() }.may_leave()?;
            self.shared.refuse_hidden(&self.source.key, &from)?;
        }
        let copied = self.copy(to)?;
        if is_folder {
            remove_all(&from)?
        } else {
            from.remove_file()?
        }
        from.sync_folder()?;
        Ok(copied)
    }

    fn copy(&self, to: &DirEntry) -> Result<(String, Copied), Failure> {
        if self.is_itself() {
            return Err(contain_each_other());
        }
        self.refuse_nested()?;
        let (root, key) = (&self.shared.root, &self.source.key);
        let is_folder = self.source.stat.is_folder;
        let (part, copied) = Part::new(&self.shared, to, |place| {
            let copied = if is_folder {
                copy_folder(root, key, place)
            } else {
                copy_file(root, key, place).map(|_| Vec::new())
            };
            copied.inspect_err(|_| drop(remove_part(place)))
        })?;
        // Copying may take long; putting it in its place does not.
        let _turns = self.turns();
        let key = self.put(part.place()?, to, is_folder)?;
        part.done();
        to.sync_folder()?;
        Ok((key, copied))
    }

    /// Moves what is at `from` to the destination; returns the key where it lies now.
    fn put(&self, from: &DirEntry, to: &DirEntry, is_folder: bool) -> Result<String, Failure> {
        let Some(old) = &self.target.old else {
            return match from.rename_new(to) {
                Ok(()) => Ok(self.target.key.clone()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::Conflict(
                    "something else has the destination's name; check it, and try again".to_owned(),
                )),
                Err(error) => Err(error.into()),
            };
        };
        let was_folder = old.stat.is_folder && !old.is_link;
        if !was_folder && !is_folder {
            return self.put_over_file(from, to, old);
        }
        if was_folder {
            self.shared.refuse_hidden(&old.key, to)?;
            self.refuse_unseen(&old.key)?;
        } else if !self.is_unchanged(to, old)? {
            return Err(changed_meanwhile(&old.key));
        }
        self.put_over_folder(from, to)?;
        Ok(self.target.key.clone())
    }

    /// Whether the file at the destination is the version that this client means to replace.
    fn is_unchanged(&self, to: &DirEntry, old: &Located) -> Result<bool, Failure> {
        let now = to.newest(&self.shared.root, &self.target.key)?;
        let known = (&old.stat.etag, old.stat.modified, old.stat.size);
        let basis = self.shared.seen_versions.to_replace(&self.context, &self.target.key, Some(known));
        Ok(now.is_none_or(|now| basis.is_some_and(|basis| now.has_content_as(&basis))))
    }

    /// A version that this client has not seen stays; what should replace it goes beside it.
    fn put_over_file(&self, from: &DirEntry, to: &DirEntry, old: &Located) -> Result<String, Failure> {
        if self.is_unchanged(to, old)? {
            from.rename_over(to)?;
            return Ok(self.target.key.clone());
        }
        let copy = self.shared.keep_beside(from, to, &self.target.key)?;
        self.context.outcome.set_lost();
        if let Some(found) = self.shared.root.find(&copy)? {
            let (client, seen_versions) = (&self.context.client, &self.shared.seen_versions);
            let seen = seen_versions.of(client, &self.source.key);
            let is_seen = |stat: &Stat| seen.as_ref().is_some_and(|seen| stat.has_content_as(seen));
            let has_seen = match self.kind {
                Transfer::Move => is_seen(&found.stat),
                // A copy is another file; its source was what the client knows, and is.
                Transfer::Copy => {
                    let source = self.shared.root.find(&self.source.key)?;
                    is_seen(&self.source.stat) && source.is_some_and(|now| is_seen(&now.stat))
                }
            };
            seen_versions.moved_beside(client, &self.target.key, &copy, (&found.stat.etag, has_seen));
        }
        Ok(copy)
    }

    /// Nothing in a folder is replaced that this client has seen in another version.
    fn refuse_unseen(&self, folder: &str) -> Result<(), Failure> {
        for (key, etag) in self.shared.seen_versions.below(&self.context.client, folder) {
            let now = self.shared.root.find(&key)?;
            if now.is_some_and(|now| !now.stat.has_content_as(&etag)) {
                return Err(changed_meanwhile(&key));
            }
        }
        Ok(())
    }

    /// Where the file system can, both change places in one step, and what was replaced goes then.
    fn put_over_folder(&self, from: &DirEntry, to: &DirEntry) -> Result<(), Failure> {
        if from.exchange(to)? {
            let aside = self.shared.parts.place_beside(from);
            from.rename_over(&aside)?;
            // It is done; what was replaced is nobody's any more.
            log_failure(remove_part(&aside));
            return Ok(());
        }
        // A name that the user sees: if this process ends now, nothing is lost.
        let aside = keys_beside(&to.name.to_string_lossy(), Room::default()).next().unwrap_or_default();
        let aside = to.beside(aside.replace("(conflict ", "(replaced "));
        to.rename_new(&aside)?;
        if let Err(error) = from.rename_new(to) {
            aside.rename_new(to)?;
            return Err(error.into());
        }
        log_failure(remove_part(&aside));
        Ok(())
    }
}

fn changed_meanwhile(key: &str) -> Failure {
    Failure::Conflict(format!("someone else has changed {key:?}; check it, and try again"))
}
