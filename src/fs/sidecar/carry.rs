//! What goes along when something is moved, copied or deleted.

use std::time::Duration;

use moka::sync::Cache;

use super::{Shelf, ShelvedFileSystem};
use crate::fs::error::log_failure;
use crate::fs::file_system::Transfer;
use crate::fs::following::{Following, carry_shelved, shelved_roots};
use crate::fs::{Failure, ResourcePath};
use crate::path_key::PathKey;

/// What went along lately, from where to where: macOS's kernel, which has looked before, then asks for the
/// same once more.
#[derive(Debug, Clone)]
pub(super) struct Carried(Cache<(PathKey, PathKey), ()>);

impl Default for Carried {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST_CARRIED).time_to_live(CARRIED_TIME).build())
    }
}

impl ShelvedFileSystem {
    /// Where the source of this MOVE is, if it went there with the file that it belongs to.
    pub(super) fn carried_to(&self, path: &ResourcePath) -> Result<ResourcePath, Failure> {
        let destination =
            self.context.destination.as_ref().filter(|_| self.context.method.as_str() == "MOVE");
        let destination = destination.filter(|_| path.same_resource(&self.context.path));
        destination.filter(|to| self.was_carried(path, to)).cloned().ok_or(Failure::NotFound)
    }

    fn was_carried(&self, from: &ResourcePath, to: &ResourcePath) -> bool {
        self.shelf.carried.0.contains_key(&(from.path_key(), to.path_key()))
    }

    pub(super) async fn remove(&self, path: &ResourcePath) -> Result<(), Failure> {
        let (inner, state) = (self.inner.clone(), self.shelf.state.clone());
        if self.is_shelved(path) {
            self.find(path)?;
            let at = path.path_key();
            return self.detached(async move { Ok(state.clear_shelf(vec![at]).await?) }).await;
        }
        let (path, shelf) = (path.clone(), self.shelf.clone());
        self.detached(async move {
            let at = path.path_key();
            let following = Following::of_shelved(&state, &at, None).await;
            if let Err(failure) = inner.delete(&path).await {
                return Err(shelf.failed(failure, following).await);
            }
            log_failure(state.clear_shelf(shelved_roots(&at)).await);
            following.into_iter().for_each(Following::end);
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
        let (pair, name) = ((from.path_key(), to.path_key()), to.name().to_owned());
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
            let (source, target) = (from.path_key(), to.path_key());
            let following = match kind {
                Transfer::Move => Following::of_shelved(&shelf.state, &source, Some(&target)).await,
                Transfer::Copy => None,
            };
            if let Err(failure) = inner.transfer(from, to.clone(), kind).await {
                return Err(shelf.failed(failure, following).await);
            }
            let keep_source = kind == Transfer::Copy;
            match carry_shelved(&shelf.state, (&source, &target), to.name(), keep_source).await {
                Ok(beside) => beside.into_iter().for_each(|pair| shelf.carried.0.insert(pair, ())),
                failed => log_failure(failed.map(drop)),
            }
            following.into_iter().for_each(Following::end);
            Ok(())
        })
        .await
    }
}

impl Shelf {
    /// What was moved or deleted was not, or not wholly.
    async fn failed(&self, failure: Failure, following: Option<Following>) -> Failure {
        if let Some(following) = following {
            following.failed(&failure, &self.source, &self.shutdown).await;
        }
        failure
    }
}

/// macOS asks for no such thing.
pub(super) fn between() -> Failure {
    Failure::Forbidden("Finder's own files can only be moved among themselves".to_owned())
}

/// Moves that the kernel may repeat: it does at once.
const MOST_CARRIED: u64 = 1000;
const CARRIED_TIME: Duration = Duration::from_secs(60);
