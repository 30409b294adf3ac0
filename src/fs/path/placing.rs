//! A finished upload comes to its place, if nobody else's change is there.

use std::fs::{File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::at_once::SMALL;
use super::disk::{parent_missing, refuse_if_given_up};
use super::part::Part;
use super::root::{DirEntry, Root};
use super::stat::Stat;
use super::writer::Unfinished;
use crate::fs::conflict::{Room, keys_beside};
use crate::fs::disk_error::DiskError;
use crate::fs::file_system::Meta;
use crate::fs::new_names::NewName;
use crate::fs::write_condition::WriteCondition;
use crate::fs::{Failure, RequestContext};
use crate::object::{Condition, parent_prefix};
use crate::open_file::Open;
use crate::store::StoreError;

/// Where a file goes.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) key: String,
    /// As the client names it: another than `key` where that is what a link leads to.
    pub(super) named: String,
    /// The version that is there.
    pub(super) replaces: Option<Stat>,
    /// Of what is new; held until it is there.
    pub(super) _new_name: Option<NewName>,
}

/// Where a finished part comes, on what condition, and who is told. It outlives the client.
pub(super) struct Placing {
    pub(super) shared: Arc<Shared>,
    pub(super) context: Arc<RequestContext>,
    pub(super) target: Target,
    pub(super) condition: WriteCondition,
}

pub(super) struct Placed {
    pub(super) key: String,
    pub(super) is_new: bool,
    pub(super) meta: Meta,
}

impl Placing {
    /// Puts the part in its place, or says until `deadline` why not. `size` in bytes.
    pub(super) async fn run_by(
        self,
        deadline: Instant,
        part: Unfinished,
        size: u64,
    ) -> Result<Placed, Failure> {
        if size <= SMALL as u64 && part.is_planned() && self.shared.root.is_in_memory() {
            let turn = timeout_at(deadline, self.shared.changes.lock(self.target.key.clone())).await;
            let _turn = turn.map_err(|_| Failure::Disk(DiskError::Hung))?;
            if let Some(place) = self.place_in_memory() {
                // By the thread that answers: nothing waits there.
                let (part, file) = self.complete(part, Some(&place))?;
                file.close();
                return self.put(part, &place, size);
            }
        }
        let (disk, given_up) = (self.shared.disk.clone(), CancellationToken::new());
        let token = given_up.clone();
        let placed = disk.by(deadline, move || self.run(part, size, &token)).await;
        // Whoever was told that it failed may have sent something newer since.
        if placed.is_err() {
            given_up.cancel();
        }
        placed
    }

    /// The place, if all that may be looked at there is in this machine's memory: what the client has lost there lies in the same
    /// folder.
    fn place_in_memory(&self) -> Option<DirEntry> {
        let Target { key, named, .. } = &self.target;
        let place = self.shared.root.place_in_memory(key)?;
        let loser = self.shared.seen_versions.loser(&self.context.client, named);
        let is_near = loser.is_none_or(|(copy, _)| parent_prefix(&copy) == parent_prefix(key));
        is_near.then_some(place)
    }

    /// Blocks.
    fn run(self, part: Unfinished, size: u64, given_up: &CancellationToken) -> Result<Placed, Failure> {
        let (part, file) = self.complete(part, None)?;
        file.sync_all()?;
        file.close();
        let key = self.target.key.clone();
        let _turn = self.shared.changes.blocking_lock(key.clone());
        refuse_if_given_up(given_up)?;
        let place = self.shared.root.place(&key).map_err(parent_missing)?;
        self.put(part, &place, size)
    }

    /// The whole part, as it is to be; `place`: where it goes, if that is open. Blocks.
    fn complete(&self, part: Unfinished, place: Option<&DirEntry>) -> Result<(Part, Open<File>), Failure> {
        let (part, file) = part.complete(place)?;
        prepare(&file, self.target.replaces.as_ref(), self.context.mtime.as_deref())?;
        Ok((part, file))
    }

    /// Puts the part in its place, or beside what must stay there. Blocks.
    fn put(&self, part: Part, place: &DirEntry, size: u64) -> Result<Placed, Failure> {
        let key = &self.target.key;
        let now = place.newest(&self.shared.root, key)?;
        let is_met = match &self.condition.condition {
            Condition::None => true,
            Condition::IfAbsent => now.is_none(),
            Condition::IfMatch(etag) if self.condition.is_clients_own => {
                now.as_ref().is_some_and(|now| now.etag == *etag)
            }
            Condition::IfMatch(etag) => now.as_ref().is_some_and(|now| now.has_content_as(etag)),
        };
        match (is_met, now) {
            (_, Some(now)) if now.is_folder => Err(Failure::IsFolder),
            (true, Some(_)) => {
                part.place()?.rename_over(place).map_err(parent_missing)?;
                self.placed(part, place, false)
            }
            (false, _) if self.condition.is_clients_own => Err(StoreError::ConditionFailed.into()),
            (_, None) => match part.place()?.rename_new(place) {
                Ok(()) => self.placed(part, place, true),
                // Made by somebody else in this moment.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.taken(part, size, place),
                Err(error) => Err(parent_missing(error)),
            },
            (false, Some(now)) => self.beside(part, size, place, &now),
        }
    }

    /// Something came to the place in this moment, or something is there that no path can show.
    fn taken(&self, part: Part, size: u64, place: &DirEntry) -> Result<Placed, Failure> {
        match place.find(&self.shared.root, &self.target.key)? {
            Some(now) => self.beside(part, size, place, &now),
            None => Err(Failure::Conflict(
                "something that cannot be served has this name: a link that leads outside or nowhere, or a \
                 special file"
                    .to_owned(),
            )),
        }
    }

    fn placed(&self, part: Part, place: &DirEntry, is_new: bool) -> Result<Placed, Failure> {
        part.done();
        place.sync_folder()?;
        let key = self.target.key.clone();
        let stat = place.find(&self.shared.root, &key)?.ok_or(Failure::NotFound)?;
        self.shared.seen_versions.saw(&self.context.client, &self.target.named, &stat.etag);
        self.shared.seen_versions.dates(&self.target.named, &stat.etag, stat.modified);
        self.shared.exports.wrote(&key);
        Ok(Placed { key, is_new, meta: stat.meta() })
    }

    /// The client's version that lost before, where nobody has changed it since.
    fn loser(&self, place: &DirEntry) -> Result<Option<(String, DirEntry)>, Failure> {
        let lost = self.shared.seen_versions.loser(&self.context.client, &self.target.named);
        let Some((copy, etag)) = lost else { return Ok(None) };
        let at = self.shared.place_beside(&copy, place, &self.target.key)?;
        let now = at.find(&self.shared.root, &copy)?;
        Ok(now.is_some_and(|now| now.etag == etag).then_some((copy, at)))
    }

    /// Somebody else's version is in the place: it stays, and this one is kept beside it.
    fn beside(&self, part: Part, size: u64, place: &DirEntry, winner: &Stat) -> Result<Placed, Failure> {
        self.context.outcome.set_lost();
        let key = &self.target.key;
        if size == 0 && self.condition.condition == Condition::IfAbsent {
            return Ok(Placed { key: key.clone(), is_new: false, meta: winner.meta() });
        }
        let (seen_versions, client, named) =
            (&self.shared.seen_versions, &self.context.client, &self.target.named);
        let copy = match self.loser(place)? {
            // A client that has lost before and saves again has one copy.
            Some((copy, at)) => {
                part.place()?.rename_over(&at)?;
                at.sync_folder()?;
                copy
            }
            None => self.shared.keep_beside(part.place()?, place, key)?,
        };
        let at = self.shared.place_beside(&copy, place, key)?;
        if let Some(stat) = at.find(&self.shared.root, &copy)? {
            seen_versions.lost(client, named, &copy, &stat.etag);
        }
        part.done();
        // The file's own ETag is not that of what the client sent.
        let meta = Meta { is_folder: false, size, etag: None, modified: SystemTime::now() };
        Ok(Placed { key: copy, is_new: true, meta })
    }
}

impl DirEntry {
    /// What is here now: opening a file makes a network file system ask its server.
    pub(super) fn newest(&self, root: &Root, key: &str) -> io::Result<Option<Stat>> {
        if root.is_local() {
            let found = self.find(root, key)?;
            if found.as_ref().is_some_and(|stat| root.local(stat).is_some()) {
                return Ok(found);
            }
        }
        drop(self.open_file());
        self.find(root, key)
    }
}

impl Shared {
    /// The place of a `copy` of what was meant for `key`, at the place `to`.
    fn place_beside(&self, copy: &str, to: &DirEntry, key: &str) -> Result<DirEntry, Failure> {
        let is_near = parent_prefix(copy) == parent_prefix(key);
        Ok(if is_near { to.beside(super::path_name(copy)) } else { self.root.place(copy)? })
    }

    /// Moves what was meant for `key`, at the place `to`, beside it, and says so; returns where it lies.
    pub(super) fn keep_beside(&self, from: &DirEntry, to: &DirEntry, key: &str) -> Result<String, Failure> {
        let room = Room { name: Room::default().name.min(to.longest_name()), ..Room::default() };
        for copy in keys_beside(key, room) {
            let place = self.place_beside(&copy, to, key)?;
            match from.rename_new(&place) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                renamed => {
                    renamed?;
                    place.sync_folder()?;
                    tracing::warn!(key, copy, "someone else has changed the file; both versions are kept");
                    self.metrics.conflict();
                    return Ok(copy);
                }
            }
        }
        Err(StoreError::ConditionFailed.into())
    }
}

/// Gives the new file what the old one had, and the time that the client asked for: before it is in
/// its place, for afterwards each change of metadata would be a new version of the object.
fn prepare(file: &File, old: Option<&Stat>, mtime: Option<&str>) -> io::Result<()> {
    if let Some(old) = old {
        let new = Stat::of(&cap_std::fs::Metadata::from_file(file)?);
        if new.as_ref().is_some_and(|new| new.owner != old.owner) {
            let (user, group) =
                (rustix::fs::Uid::from_raw(old.owner.0), rustix::fs::Gid::from_raw(old.owner.1));
            // Only root may give files away.
            let _ = rustix::fs::fchown(file, Some(user), Some(group));
        }
        if new.is_some_and(|new| new.mode != old.mode) {
            file.set_permissions(Permissions::from_mode(old.mode))?;
        }
    }
    if let Some(mtime) = mtime.and_then(|text| text.parse::<f64>().ok()).filter(|mtime| *mtime >= 0.0) {
        let time =
            Duration::try_from_secs_f64(mtime).ok().and_then(|d| SystemTime::UNIX_EPOCH.checked_add(d));
        if let Some(time) = time {
            file.set_times(FileTimes::new().set_modified(time))?;
        }
    }
    Ok(())
}
