//! Conditional writes for endpoints that do not have them all.
//!
//! Some servers ignore a condition and write in any case, which nobody would notice before work is
//! lost. So an endpoint that is not known to keep conditions is asked before the first write, on fresh
//! keys of its own, once a week. Where it ignores them, or where such keys must not be written or could
//! not be deleted again, the condition is checked by a look just before the write: the window is small,
//! but it is there.
//!
//! Many writes share looks: a page of a listing tells of a thousand names, where listings show at once what was
//! written. None is used for longer than [`LOOK_AGE`] after it was asked for, by what waits below either.

mod abilities;
mod deletes;
mod looks;
mod probe;
mod seen;
mod wrapper;

use std::sync::Arc;

use tokio::time::Instant;

use crate::named::names;
use crate::object::{Condition, ETag, Key};
use crate::state::State;
use crate::store::comparing::own_etag;
use crate::store::looked::{self, LookTooOld};
use crate::store::{
    CopySource, Foreseen, ListRequest, MultipartStore, ObjectStore, StoreError, StoreResult, existing,
};

pub use abilities::Endpoint;
pub use looks::LOOK_AGE;
pub use probe::forget_question;

use abilities::Abilities;
use looks::{Look, Looks, Wanted};
use seen::Seen;

/// Whether a server keeps the conditions of writes, as it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConditionalWrites {
    /// Others than AWS are asked.
    #[default]
    Auto,
    /// It is not asked.
    Yes,
}

names!(ConditionalWrites {
    Auto = "auto": "yes on AWS; other servers are tested once a week, with keys below .s3dav/",
    Yes = "yes": "trust the server",
});

/// What a server may do or not: show at once in listings what was written, and keep the condition of each kind of
/// write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Listing,
    Put,
    CopySource,
    CopyDestination,
    Complete,
    DeleteMany,
    Delete,
}

impl Kind {
    /// In the order in which they are asked about at the least cost.
    const ALL: [Self; 7] = [
        // What was just written is listed.
        Self::Listing,
        Self::Put,
        Self::CopySource,
        Self::CopyDestination,
        Self::Complete,
        Self::DeleteMany,
        Self::Delete,
    ];

    /// As the log and the state database have it.
    fn name(self) -> &'static str {
        match self {
            Self::Listing => "listing",
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
    inner: Arc<dyn MultipartStore>,
    abilities: Abilities,
    looks: Looks,
    seen: Seen,
}

impl Conditional {
    /// Wraps a store that may ignore conditions.
    pub fn new(inner: Arc<dyn MultipartStore>, endpoint: Endpoint, state: State) -> Self {
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
            let _writing = self.looks.writing(vec![key]);
            return self.verified(kind, key, condition, send(condition.clone())).await;
        }
        let send = &send;
        let looked_at = || async move {
            let until = self.look(kind, key, condition).await?;
            let _writing = self.looks.writing(vec![key]);
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
        if let Some(Look { etag, until }) = self.look_at_page(kind, key).await
            && holds(condition, etag.as_ref())
        {
            return Ok(until);
        }
        self.look_at_one(key, condition).await
    }

    /// The same, of this name alone.
    async fn look_at_one(&self, key: &Key, condition: &Condition) -> StoreResult<Instant> {
        let (now, until) = self.fresh(|| async { existing(self.head(key).await) }).await?;
        let now = now.map(|meta| meta.etag);
        if holds(condition, now.as_ref()) {
            return Ok(until);
        }
        let (Condition::IfMatch(wanted), Some(_)) = (condition, &now) else {
            let is_gone = matches!(condition, Condition::IfMatch(_));
            return Err(if is_gone { StoreError::NotFound } else { StoreError::ConditionFailed });
        };
        let (own, until) = self.fresh(|| async { Ok(own_etag(&*self.inner, key, wanted).await) }).await?;
        if own == now { Ok(until) } else { Err(StoreError::ConditionFailed) }
    }

    /// What is asked for, and until when it counts. Where the answer took so long that nothing can be sent within,
    /// it is asked for again; where it always does, the last one counts for a moment.
    async fn fresh<T, F: Future<Output = StoreResult<T>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> StoreResult<(T, Instant)> {
        for _ in 1..MOST_LOOKS {
            let until = self.looks.until(Instant::now());
            let answer = ask().await?;
            if Instant::now() + self.looks.least() <= until {
                return Ok((answer, until));
            }
        }
        let answer = ask().await?;
        Ok((answer, Instant::now() + self.looks.least()))
    }

    /// What a page shows of a name that is one of many.
    async fn look_at_page(&self, kind: Kind, key: &Key) -> Option<Look> {
        if self.looks.at(kind, key).is_none() {
            if let Some(ahead) = self.looks.expected(kind, key) {
                let _turn = ahead.turn.lock().await;
                // Another may have asked meanwhile.
                if self.looks.at(kind, key).is_none()
                    && let Some(rest) = self.looks.rest(kind, &ahead)
                    && !self.page(rest).await
                {
                    self.looks.give_up(&ahead);
                }
            } else if let Some(wanted) = self.looks.run(kind, key)
                && self.lists_at_once().await
            {
                self.page(wanted).await;
            }
        }
        self.looks.met(kind, key);
        self.looks.at(kind, key)
    }

    /// Whether a page came: a policy may deny it where it allows the writes.
    async fn page(&self, wanted: Wanted) -> bool {
        let asked = Instant::now();
        match self.inner.list(&from(&wanted.prefix, &wanted.first)).await {
            Ok(page) => self.looks.learn(wanted, page, asked),
            Err(error) => {
                tracing::debug!(prefix = wanted.prefix, %error, "each name is looked at by itself");
                return false;
            }
        }
        true
    }

    /// Whether listings show what was just written. What is not known is not relied on.
    async fn lists_at_once(&self) -> bool {
        self.keeps(Kind::Listing).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "it is not known whether listings show at once what was written");
            false
        })
    }

    /// Prepares looks for many writes.
    async fn look_ahead(&self, kind: Kind, keys: &[Key]) {
        if keys.is_empty() || !self.lists_at_once().await {
            return;
        }
        let Some(wanted) = self.looks.expect(kind, keys) else { return };
        let ahead = self.looks.expected(kind, &wanted.first);
        if !self.page(wanted).await
            && let Some(ahead) = ahead
        {
            self.looks.give_up(&ahead);
        }
    }

    async fn prepare(&self, copies: &[Foreseen]) -> StoreResult<()> {
        if !self.keeps(Kind::CopySource).await? {
            let (moved, copied): (Vec<_>, Vec<_>) = copies.iter().partition(|copy| copy.is_move);
            self.looks.expect_moves(moved.into_iter().map(|copy| copy.from.clone()));
            let sources: Vec<Key> = copied.into_iter().map(|copy| copy.from.clone()).collect();
            self.look_ahead(Kind::CopySource, &sources).await;
        }
        if !self.keeps(Kind::CopyDestination).await? {
            let targets: Vec<Key> = copies.iter().map(|copy| copy.to.clone()).collect();
            self.look_ahead(Kind::CopyDestination, &targets).await;
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

    /// Notes what is there after a write, if it says so.
    fn note<T>(&self, key: &Key, result: &StoreResult<T>, etag: impl Fn(&T) -> Option<ETag>) {
        match result {
            Ok(done) => self.seen.note(key, etag(done), Instant::now()),
            Err(StoreError::ConditionFailed | StoreError::NotFound) => {}
            Err(_) => self.seen.forget(key),
        }
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

/// A write or a look that is held up for longer each time is tried again by whoever waits for it.
const MOST_LOOKS: usize = 3;
