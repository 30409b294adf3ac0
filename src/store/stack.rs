//! The order of the layers, and why it is this one.
//!
//! From the endpoint up:
//!
//! 1. `s3`, one for each bucket.
//! 2. [`Aliases`], where the endpoint is not AWS: what a listing calls a version is put right before anything remembers it.
//! 3. [`PrefixStore`], where only a part of a bucket is served: all above sees that part as the whole.
//! 4. [`RoutedStore`], where there are several buckets: from here on they are one.
//! 5. [`Conditional`], where the endpoint may ignore conditions: it looks before it writes, and so must see the same names
//!    as whoever asks.
//! 6. [`Throttle`]: above the looks, so that a look and its write wait for their turn once.
//! 7. [`Cached`]: above all that changes objects, so that it learns of each change; below the creates, since what is held
//!    is not S3's.
//! 8. [`WithCreates`]: what is held is shown to everybody, and goes to the store through the cache.
//! 9. [`WithJournal`]: what was accepted is shown to everybody, over what is held; whoever stores it works below this
//!    layer.
//! 10. `Retry`, made for each request as part of its [`Namespace`]: the time of a request ends all of the above. It is a value
//!     that holds that time, and not an argument of the methods: the layers below have no use for it, and whatever works
//!     on a store (writers, readers, walks, looks at what an attempt left) has one word to hand on, not two.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::MultipartStore;
use super::cached::Cached;
use super::creates::{Creates, IsOpen, WithCreates};
use super::journal::{Journal, WithJournal};
use super::layers::aliases::Aliases;
use super::layers::conditional::{Conditional, Endpoint};
use super::layers::prefix::PrefixStore;
use super::layers::retry::{Retry, RetryPolicy};
use super::layers::routed::RoutedStore;
use super::layers::throttle::Throttle;
use super::namespace::Namespace;
use super::reach::Reach;
use super::s3::S3Store;
use crate::cache::CacheOptions;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::state::{CreateRow, State};

/// A bucket that is served, or a part of it.
#[derive(Debug)]
pub struct BucketStore {
    /// What it is called beside others.
    pub folder: String,
    /// What is served of it; empty: all.
    pub prefix: String,
    /// See [`of_endpoint`].
    pub store: Arc<dyn MultipartStore>,
}

/// What all layers need to know.
pub struct StackOptions {
    pub cache: CacheOptions,
    /// Whom to ask what it can, where it may ignore conditions.
    pub endpoint: Option<Endpoint>,
    pub reach: Reach,
    /// How long an empty object waits for its content.
    pub create_wait: Duration,
    pub is_open: IsOpen,
    /// Those that an earlier life held.
    pub left: Vec<CreateRow>,
    /// What was accepted and is not stored yet.
    pub journal: Journal,
    pub state: State,
    pub metrics: Metrics,
}

/// All layers, one over the other. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Stack {
    names: Arc<WithJournal>,
    with_creates: Arc<WithCreates>,
    cached: Arc<Cached>,
    creates: Creates,
    reach: Reach,
}

impl Stack {
    /// Joins `buckets`, each under its folder's name; one alone has no folder.
    pub fn assemble(buckets: Vec<BucketStore>, options: StackOptions, shutdown: &Shutdown) -> Self {
        let parts = buckets
            .into_iter()
            .map(|bucket| (bucket.folder, PrefixStore::wrap(bucket.store, &bucket.prefix)));
        let mut buckets: BTreeMap<String, Arc<dyn MultipartStore>> = parts.collect();
        let store: Arc<dyn MultipartStore> = match (buckets.len(), buckets.pop_first()) {
            (1, Some((_, only))) => only,
            (_, first) => {
                buckets.extend(first);
                Arc::new(RoutedStore::new(buckets))
            }
        };
        let StackOptions { cache, endpoint, reach, create_wait, is_open, left, journal, state, metrics } =
            options;
        let store: Arc<dyn MultipartStore> = match endpoint {
            Some(endpoint) => Arc::new(Conditional::new(store, endpoint, state.clone())),
            None => store,
        };
        let store = Arc::new(Throttle::new(store));
        let cached = Arc::new(Cached::new(store, cache, metrics).minding(reach.clone()));
        let below = Arc::clone(&cached) as Arc<dyn MultipartStore>;
        let creates = Creates::load(below, state, left, is_open, create_wait, shutdown);
        let with_creates = Arc::new(WithCreates::new(Arc::clone(&cached), creates.clone()));
        let names = Arc::new(WithJournal::new(Arc::clone(&with_creates), journal));
        Self { names, with_creates, cached, creates, reach }
    }

    /// For work that may wait as long as `policy` says.
    pub fn namespace(&self, policy: RetryPolicy) -> Namespace {
        Namespace::new(Arc::clone(&self.names), policy)
    }

    /// For a request: as [`Self::namespace`], and it tells when its time is used up. Unless it `saves` something it waits
    /// for a short time only while S3 is out of reach.
    pub fn for_request(&self, policy: RetryPolicy, saves: bool) -> Namespace {
        Namespace::minding(Arc::clone(&self.names), policy, self.reach.clone(), saves)
    }

    /// For whoever stores what was accepted: it does not see that.
    pub fn below_journal(&self, policy: RetryPolicy) -> Arc<dyn MultipartStore> {
        let below = Arc::clone(&self.with_creates) as Arc<dyn MultipartStore>;
        Arc::new(Retry::new(below, policy).minding(self.reach.clone(), true))
    }

    pub fn journal(&self) -> &Journal {
        self.names.journal()
    }

    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// What is held and remembered, without waiting for anything.
    pub fn names(&self) -> &WithJournal {
        &self.names
    }

    /// The empty objects that wait for their content.
    pub fn creates(&self) -> &Creates {
        &self.creates
    }

    /// Bytes that the caches use, about.
    pub fn cache_used(&self) -> u64 {
        self.cached.used()
    }
}

/// A bucket as its endpoint shows it: versions have one name everywhere.
pub fn of_endpoint(store: S3Store) -> Arc<dyn MultipartStore> {
    if store.is_aws() { Arc::new(store) } else { Arc::new(Aliases::new(Arc::new(store))) }
}
