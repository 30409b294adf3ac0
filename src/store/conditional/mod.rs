//! Conditional writes for endpoints that do not have them all.
//!
//! Some servers ignore a condition and write in any case, which nobody would notice before work is
//! lost. So an endpoint that is not known to keep conditions is asked before the first write, on fresh
//! keys of its own, once a week. Where it ignores them, or where such keys must not be written or could
//! not be deleted again, the condition is checked by a look just before the write: the window is small,
//! but it is there.
//!
//! Many writes share looks: a page of a listing tells of a thousand names. None is used for longer than
//! [`LOOK_AGE`], by what waits below either.

mod abilities;
mod looks;
mod probe;
mod seen;
mod wrapper;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use tokio::time::Instant;

use super::comparing::own_etag;
use super::looked::{self, LookTooOld};
use super::{CopySource, Foreseen, ListRequest, ObjectStore, StoreError, StoreResult, existing, listing};
use crate::object::{Condition, Doomed, ETag, Key};
use crate::state::State;

pub use abilities::Endpoint;
pub use looks::LOOK_AGE;
pub use probe::forget_question;

use abilities::Abilities;
use looks::{Look, Looks, Wanted, common_prefix};
use seen::Seen;

/// A kind of write whose condition a server may keep or ignore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Put,
    CopySource,
    CopyDestination,
    Complete,
    DeleteMany,
    Delete,
}

impl Kind {
    /// In the order in which they are asked about at the least cost.
    const ALL: [Self; 6] =
        [Self::Put, Self::CopySource, Self::CopyDestination, Self::Complete, Self::DeleteMany, Self::Delete];

    /// As the log and the state database have it.
    fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::CopySource => "copy source",
            Self::CopyDestination => "copy",
            Self::Complete => "completion",
            Self::DeleteMany => "batch of deletes",
            Self::Delete => "delete",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Conditional {
    inner: Arc<dyn ObjectStore>,
    abilities: Abilities,
    looks: Looks,
    seen: Seen,
}

impl Conditional {
    /// Wraps a store that may ignore conditions.
    pub fn new(inner: Arc<dyn ObjectStore>, endpoint: Endpoint, state: State) -> Self {
        let looks = Looks::new(endpoint.look_age);
        Self { inner, abilities: Abilities::new(endpoint, state), looks, seen: Seen::default() }
    }

    async fn keeps(&self, kind: Kind) -> StoreResult<bool> {
        self.abilities.keeps(&*self.inner, kind).await
    }

    /// Sends a write with its condition, or, where that would be ignored, after a look without one.
    async fn write<T, F: Future<Output = StoreResult<T>>>(
        &self,
        kind: Kind,
        key: &Key,
        condition: &Condition,
        send: impl Fn(Condition) -> F,
    ) -> StoreResult<T> {
        if *condition == Condition::None || self.keeps(kind).await? {
            self.looks.change(key);
            return self.verified(kind, key, condition, send(condition.clone())).await;
        }
        let send = &send;
        let looked_at = || async move {
            let until = self.look(kind, key, condition).await?;
            self.looks.change(key);
            looked::until(until, send(Condition::None)).await
        };
        in_time(looked_at).await
    }

    /// Sends a write whose condition is kept. Where it passes and should not, the condition was ignored.
    async fn verified<T>(
        &self,
        kind: Kind,
        key: &Key,
        condition: &Condition,
        write: impl Future<Output = StoreResult<T>>,
    ) -> StoreResult<T> {
        let refuted = self.seen.refutes(key, condition);
        let written = write.await;
        if let (Ok(_), Some(seen)) = (&written, refuted)
            && self.seen.is_still(key, &seen)
        {
            self.abilities.doubt(kind).await;
        }
        written
    }

    /// Looks whether a condition holds; until when that counts.
    async fn look(&self, kind: Kind, key: &Key, condition: &Condition) -> StoreResult<Instant> {
        if let Some(Look { etag, until }) = self.look_at_page(kind, key).await?
            && holds(condition, etag.as_ref())
        {
            return Ok(until);
        }
        let now = existing(self.head(key).await)?.map(|meta| meta.etag);
        let until = self.looks.until();
        if holds(condition, now.as_ref()) {
            return Ok(until);
        }
        match (condition, now) {
            (Condition::IfMatch(wanted), Some(now))
                if own_etag(&*self.inner, key, wanted).await == Some(now.clone()) =>
            {
                Ok(until)
            }
            (Condition::IfMatch(_), None) => Err(StoreError::NotFound),
            _ => Err(StoreError::ConditionFailed),
        }
    }

    /// What a page shows of a name that is one of many.
    async fn look_at_page(&self, kind: Kind, key: &Key) -> StoreResult<Option<Look>> {
        if self.looks.at(kind, key).is_none() {
            if let Some(ahead) = self.looks.expected(kind, key) {
                let _turn = ahead.turn.lock().await;
                // Another may have asked meanwhile.
                if self.looks.at(kind, key).is_none()
                    && let Some(rest) = self.looks.rest(kind, &ahead)
                {
                    self.page(rest).await?;
                }
            } else if let Some(wanted) = self.looks.run(kind, key) {
                self.page(wanted).await?;
            }
        }
        self.looks.met(kind, key);
        Ok(self.looks.at(kind, key))
    }

    async fn page(&self, wanted: Wanted) -> StoreResult<()> {
        let asked = Instant::now();
        let page = self.inner.list(&from(&wanted.prefix, &wanted.first)).await?;
        self.looks.learn(wanted, page, asked);
        Ok(())
    }

    /// Prepares looks for many writes.
    async fn look_ahead(&self, kind: Kind, keys: &[Key]) -> StoreResult<()> {
        match self.looks.expect(kind, keys) {
            Some(wanted) => self.page(wanted).await,
            None => Ok(()),
        }
    }

    async fn prepare(&self, copies: &[Foreseen]) -> StoreResult<()> {
        if !self.keeps(Kind::CopySource).await? {
            let (moved, copied): (Vec<_>, Vec<_>) = copies.iter().partition(|copy| copy.is_move);
            self.looks.expect_moves(moved.into_iter().map(|copy| copy.from.clone()));
            let sources: Vec<Key> = copied.into_iter().map(|copy| copy.from.clone()).collect();
            self.look_ahead(Kind::CopySource, &sources).await?;
        }
        if !self.keeps(Kind::CopyDestination).await? {
            let targets: Vec<Key> = copies.iter().map(|copy| copy.to.clone()).collect();
            self.look_ahead(Kind::CopyDestination, &targets).await?;
        }
        Ok(())
    }

    /// Copies a source: its version is looked at where its condition would be ignored.
    async fn copied<T, F: Future<Output = StoreResult<T>>>(
        &self,
        source: &CopySource,
        copy: impl Fn(CopySource) -> F,
    ) -> StoreResult<T> {
        let Some(etag) = &source.etag else { return copy(source.clone()).await };
        let condition = Condition::IfMatch(etag.clone());
        if self.keeps(Kind::CopySource).await? {
            let copy = copy(source.clone());
            return self.verified(Kind::CopySource, &source.key, &condition, copy).await;
        }
        let bare = CopySource { etag: None, ..source.clone() };
        if self.looks.is_moved(&source.key) {
            return copy(bare).await;
        }
        let until = self.look(Kind::CopySource, &source.key, &condition).await?;
        looked::until(until, copy(bare)).await
    }

    /// The present versions of the keys from `first` to `last`, by listing.
    async fn versions(&self, first: &Key, last: &Key) -> StoreResult<HashMap<Key, ETag>> {
        let request = from(common_prefix(first.as_str(), last.as_str()), first);
        let page = self.inner.list(&request).await?;
        let mut found = HashMap::new();
        let mut pages = std::pin::pin!(listing::pages(Arc::clone(&self.inner), request, page));
        while let Some(page) = pages.try_next().await? {
            let is_last = page.objects.last().is_some_and(|object| object.key >= *last);
            found.extend(page.objects.into_iter().map(|object| (object.key, object.meta.etag)));
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    /// Deletes without conditions what a listing shows in the version that is meant.
    async fn delete_listed(&self, objects: &[Doomed]) -> StoreResult<Vec<(Key, StoreError)>> {
        let keys = || objects.iter().map(|object| &object.key);
        let (Some(first), Some(last)) = (keys().min(), keys().max()) else { return Ok(Vec::new()) };
        let now = self.versions(first, last).await?;
        let until = self.looks.until();
        let is_meant = |object: &&Doomed| match (&object.etag, now.get(&object.key)) {
            (Some(wanted), Some(now)) => wanted == now,
            _ => true,
        };
        let (meant, changed): (Vec<&Doomed>, Vec<&Doomed>) = objects.iter().partition(is_meant);
        let meant: Vec<Doomed> = meant.into_iter().map(|object| object.key.clone().into()).collect();
        let mut failed = match meant.is_empty() {
            true => Vec::new(),
            false => looked::until(until, self.inner.delete_many(&meant)).await?,
        };
        failed.extend(changed.into_iter().map(|object| (object.key.clone(), StoreError::ConditionFailed)));
        Ok(failed)
    }

    /// Deletes where batches ignore conditions: a single one may keep them.
    async fn delete_looked_at(&self, objects: &[Doomed]) -> StoreResult<Vec<(Key, StoreError)>> {
        if let [only] = objects
            && self.keeps(Kind::Delete).await?
        {
            let deleted = existing(self.delete(&only.key, &only.condition()).await);
            return Ok(deleted.err().map(|error| (only.key.clone(), error)).into_iter().collect());
        }
        in_time(|| self.delete_listed(objects)).await
    }

    /// A write to a key that ends when this is dropped.
    fn change<'a>(&'a self, key: &'a Key) -> Change<'a> {
        Change { store: self, key }
    }
}

/// See [`Conditional::change`].
struct Change<'a> {
    store: &'a Conditional,
    key: &'a Key,
}

impl Change<'_> {
    /// What is there now, if the write says so.
    fn note<T>(&self, result: &StoreResult<T>, etag: impl Fn(&T) -> Option<ETag>) {
        match result {
            Ok(done) => self.store.seen.note(self.key, etag(done), Instant::now()),
            Err(StoreError::ConditionFailed | StoreError::NotFound) => {}
            Err(_) => self.store.seen.forget(self.key),
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.store.looks.change(self.key);
    }
}

/// Repeats what was held up for so long that a look did not count any more.
async fn in_time<T, F: Future<Output = StoreResult<T>>>(write: impl Fn() -> F) -> StoreResult<T> {
    for _ in 0..MOST_LOOKS {
        match write().await {
            Err(StoreError::Unavailable(cause)) if cause.is::<LookTooOld>() => {}
            written => return written,
        }
    }
    Err(StoreError::Unavailable(LookTooOld.into()))
}

/// Whether a condition holds where this is, or nothing.
fn holds(condition: &Condition, now: Option<&ETag>) -> bool {
    match condition {
        Condition::None => true,
        Condition::IfAbsent => now.is_none(),
        Condition::IfMatch(wanted) => now == Some(wanted),
    }
}

/// Lists names with this prefix, from this one on.
fn from(prefix: &str, first: &Key) -> ListRequest {
    let first = first.as_str();
    // Just before it: a shorter text sorts before what it begins.
    let before = first.char_indices().last().map_or("", |(at, _)| &first[..at]);
    let start_after = (before.len() > prefix.len()).then(|| before.to_owned());
    ListRequest { start_after, ..ListRequest::tree(prefix) }
}

/// A write that is held up for longer each time is tried again by whoever waits for it.
const MOST_LOOKS: usize = 3;
