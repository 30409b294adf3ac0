//! One life of the gateway: put together as the program does it, over the seed's bucket and disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Faulty;
use super::steps::Steps;
use super::world::World;
use crate::cache::{CacheOptions, Times};
use crate::fs::Share;
use crate::fs::s3::{S3FileSystemOptions, S3Share};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::spool::{Bodies, IntakeOptions, Intakes, Quota};
use crate::state::{Change, CreateRow, Left, LeftChange, PendingRow, Phase, State};
use crate::store::MultipartStore;
use crate::store::journal::Journal;
use crate::store::layers::retry::{Limit, RetryPolicy};
use crate::store::multipart::{UploadOptions, Uploads};
use crate::store::reach::Reach;
use crate::store::read_ahead::{ReadAheadOptions, ReadAheads};
use crate::store::stack::{BucketStore, Stack, StackOptions};

/// See the module.
pub(super) struct Life {
    pub(super) share: S3Share,
    pub(super) state: State,
    stack: Stack,
    shutdown: Shutdown,
}

impl Life {
    /// Begins in a directory, with what an earlier one left there.
    pub(super) async fn begin(world: &Arc<World>, steps: &Arc<Steps>, directory: &Path) -> Self {
        let (plan, shutdown) = (&world.plan, Shutdown::default());
        let state = State::open(directory, "a simulation").await.unwrap();
        assert_eq!(state.damage(), None);
        let left = state.recover();
        let reach = Reach::new(PATIENCE, PATIENCE);
        let store: Arc<dyn MultipartStore> = Arc::new(Faulty::new(world, steps, &reach));
        let bucket = BucketStore { folder: "bucket".to_owned(), prefix: String::new(), store };
        let intakes =
            Intakes::new(IntakeOptions { quota: Quota::of(1 << 30), ..IntakeOptions::default() }, &state);
        let bodies = Bodies::new(&intakes);
        let mut cache = CacheOptions { size: 1 << 20, ..CacheOptions::default() };
        if plan.forgets {
            (cache.file_limit, cache.times) = (0, Times { metadata: Duration::ZERO, ..cache.times });
        }
        let options = StackOptions {
            cache,
            endpoint: None,
            reach,
            create_wait: Duration::from_secs(10),
            is_open: Arc::new(|_| false),
            left: unaccepted(left.creates, &left.accepted, &state).await,
            journal: Journal::load(state.clone(), bodies, left.accepted, plan.delay).await,
            state: state.clone(),
            metrics: Metrics::default(),
        };
        let stack = Stack::assemble(vec![bucket], options, &shutdown);
        let uploads = UploadOptions { multipart_threshold: 100, ..UploadOptions::default() };
        let uploads = Uploads::new(uploads, intakes, state.clone(), shutdown.clone());
        if !left.uploads.is_empty() {
            let (uploads, store) = (uploads.clone(), stack.namespace(LEFTOVER));
            shutdown.background(async move {
                uploads.abort_leftovers(&store, left.uploads).await;
            });
        }
        let options = S3FileSystemOptions {
            keeps: true,
            durability: plan.durability,
            store_patience: PATIENCE,
            ..S3FileSystemOptions::default()
        };
        let reads = ReadAheads::new(ReadAheadOptions::default());
        let share = (stack.clone(), uploads, reads, state.clone(), Metrics::default(), shutdown.clone());
        let share = S3Share::new(share.0, share.1, share.2, share.3, share.4, share.5, options);
        Self { share: share.await.unwrap(), state, stack, shutdown }
    }

    /// Ends as a program does that is asked to.
    pub(super) async fn end(self) {
        self.shutdown.begin();
        self.shutdown.drained().await;
        self.state.close().await.unwrap();
    }

    /// What is not in the store yet.
    pub(super) fn left(&self) -> Vec<PendingRow> {
        let mut rows = self.state.pending();
        // What became of a content is the affair of `dav`, which is not here.
        rows.retain(|row| row.phase != Phase::Expected && row.phase != Phase::Missing);
        rows
    }

    /// Has everything tried again that was refused.
    pub(super) fn retry(&self) {
        self.stack.journal().retry(|_| true);
    }

    pub(super) fn share(&self) -> &dyn Share {
        &self.share
    }
}

/// As `commands::share` does it.
async fn unaccepted(mut creates: Vec<CreateRow>, accepted: &[LeftChange], state: &State) -> Vec<CreateRow> {
    let is_put = |left: &&LeftChange| matches!(left.row.change, Change::Put { .. });
    let keys: Vec<&str> = accepted.iter().filter(is_put).map(|left| left.row.key.as_str()).collect();
    for create in creates.extract_if(.., |create| keys.contains(&create.key.as_str())) {
        state.end_create(&create.key, Left::Content).await.unwrap();
    }
    creates
}

const PATIENCE: Duration = Duration::from_secs(5);
const LEFTOVER: RetryPolicy =
    RetryPolicy { limit: Limit::Each(Duration::from_secs(600)), for_credentials: true };
