//! What goes along when something is moved, copied or deleted.

use std::time::Duration;

use moka::sync::Cache;

use super::rules::owner_of;
use super::{ShelvedFileSystem, shelf_path};
use crate::fs::engine::{FileSystem, Transfer};
use crate::fs::error::afterwards;
use crate::fs::{Failure, ResourcePath, View};

/// What went along lately, from where to where: macOS's kernel, which has looked before, then asks for the
/// same once more.
#[derive(Debug, Clone)]
pub(super) struct Carried(Cache<(String, String), ()>);

impl Default for Carried {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST_CARRIED).time_to_live(CARRIED_TIME).build())
    }
}

impl<F: FileSystem + View> ShelvedFileSystem<F> {
    /// Where the source of this MOVE is, if it went there with the file that it belongs to.
    pub(super) fn carried_to(&self, path: &ResourcePath) -> Result<ResourcePath, Failure> {
        let destination =
            self.context.destination.as_ref().filter(|_| self.context.method.as_str() == "MOVE");
        let destination = destination.filter(|_| path.same_resource(&self.context.path));
        destination.filter(|to| self.was_carried(path, to)).cloned().ok_or(Failure::NotFound)
    }

    fn was_carried(&self, from: &ResourcePath, to: &ResourcePath) -> bool {
        self.shelf.carried.0.contains_key(&(shelf_path(from), shelf_path(to)))
    }

    pub(super) async fn remove(&self, path: &ResourcePath) -> Result<(), Failure> {
        let (inner, state) = (self.inner.clone(), self.shelf.state.clone());
        if self.is_shelved(path) {
            self.find(path)?;
            let at = shelf_path(path);
            return self.detached(async move { Ok(state.clear_shelf(vec![at]).await?) }).await;
        }
        let path = path.clone();
        self.detached(async move {
            inner.delete(&path).await?;
            let gone = [Some(shelf_path(&path)), companion(&path)].into_iter().flatten().collect();
            afterwards(state.clear_shelf(gone).await);
            Ok(())
        })
        .await
    }

    pub(super) async fn carry(
        &self,
        from: ResourcePath,
        to: ResourcePath,
        kind: Transfer,
    ) -> Result<(), Failure> {
        match (self.is_shelved(&from), self.is_shelved(&to)) {
            (true, true) => self.transfer_shelved(from, to, kind).await,
            (true, false) => self.bring_out(from, to, kind).await,
            // What is in the bucket stays there: nobody looks for a file of his on a shelf.
            (false, true) => Err(between()),
            (false, false) => self.take_along(from, to, kind).await,
        }
    }

    async fn transfer_shelved(
        &self,
        from: ResourcePath,
        to: ResourcePath,
        kind: Transfer,
    ) -> Result<(), Failure> {
        if self.shelf.find(&from).is_none() && self.was_carried(&from, &to) {
            return Ok(());
        }
        self.check_parent(&to)?;
        let state = self.shelf.state.clone();
        let (pair, name) = ((shelf_path(&from), shelf_path(&to)), to.name().to_owned());
        self.detached(async move {
            let target = pair.1.clone();
            state.transfer_shelf(vec![pair], kind == Transfer::Copy).await?;
            Ok(state.rename_shelved(&target, name).await?)
        })
        .await
    }

    async fn take_along(&self, from: ResourcePath, to: ResourcePath, kind: Transfer) -> Result<(), Failure> {
        let (inner, shelf) = (self.inner.clone(), self.shelf.clone());
        self.detached(async move {
            inner.transfer(from.clone(), to.clone(), kind).await?;
            let below = (shelf_path(&from), shelf_path(&to));
            // A folder that was replaced took with it what belonged to its files.
            let replaced = shelf.state.clear_shelf(vec![below.1.clone()]).await;
            let beside = companion(&from).zip(companion(&to));
            let has_beside = beside.as_ref().is_some_and(|(from, _)| shelf.state.shelf().get(from).is_some());
            let pairs: Vec<_> = [Some(below), beside.clone()].into_iter().flatten().collect();
            let carried = shelf.state.transfer_shelf(pairs, kind == Transfer::Copy).await;
            afterwards(replaced.and(carried));
            if let Some(pair) = beside.filter(|_| has_beside) {
                afterwards(shelf.state.rename_shelved(&pair.1, format!("._{}", to.name())).await);
                shelf.carried.0.insert(pair, ());
            }
            Ok(())
        })
        .await
    }
}

/// Where the shelf keeps what belongs to the file or folder at `path`, besides what is in it.
fn companion(path: &ResourcePath) -> Option<String> {
    let name = format!("._{}", path.name());
    owner_of(&name)?;
    let mut segments = path.segments().to_vec();
    segments.pop()?;
    segments.push(name);
    Some(shelf_path(&path.with_segments(segments)))
}

/// macOS asks for no such thing.
pub(super) fn between() -> Failure {
    Failure::Forbidden("files of macOS's own stay among themselves".to_owned())
}

/// Moves that the kernel may repeat: it does at once.
const MOST_CARRIED: u64 = 1000;
const CARRIED_TIME: Duration = Duration::from_secs(60);
