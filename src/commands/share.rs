//! What is served, put together from its configuration.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::answering::{Answering, Asked};
use super::{CommandError, startup};
use crate::config::{BucketSource, BucketSpec, Caution, FarSource};
use crate::fs::Share;
use crate::fs::path::{PathOptions, PathShare};
use crate::fs::resource_path::RESERVED;
use crate::fs::s3::S3Share;
use crate::fs::sidecar::{ShelfOptions, Shelved};
use crate::logging::with_causes;
use crate::metrics::Metrics;
use crate::relay::{FarError, Relay};
use crate::shutdown::Shutdown;
use crate::spool::{Bodies, Intakes};
use crate::state::{Change, CreateRow, Left, LeftChange, QuestionRow, Recovered, State};
use crate::store::creates::IsOpen;
use crate::store::journal::Journal;
use crate::store::layers::conditional::{Endpoint, forget_question};
use crate::store::layers::retry::{Limit, RetryPolicy};
use crate::store::multipart::Uploads;
use crate::store::namespace::Namespace;
use crate::store::reach::Reach;
use crate::store::read_ahead::ReadAheads;
use crate::store::s3::{ConnectError, S3Store};
use crate::store::stack::{self, BucketStore, Stack, StackOptions};

/// What is served, and how much of it is remembered.
pub(super) struct Served {
    pub(super) content: Content,
    pub(super) cache: CacheUse,
    /// What is served, if that is in buckets.
    pub(super) bucket: Option<S3Share>,
    pub(super) intakes: Intakes,
    /// What may be a mistake.
    pub(super) cautions: Vec<Caution>,
    /// For whoever wants to know whether it answers.
    pub(super) answering: Arc<Answering>,
    /// What is served, if that is a directory.
    pub(super) directory: Option<PathShare>,
}

/// Who has the files.
pub(super) enum Content {
    Share(Arc<dyn Share>),
    /// Another gateway.
    Relay(FarEnd),
}

/// Another gateway, and what keeps it reached.
pub(super) struct FarEnd {
    pub(super) relay: Relay,
    pub(super) _kept: AbortOnDropHandle<()>,
}

/// Bytes that the caches use, and may use.
pub(super) struct CacheUse {
    pub(super) used: Box<dyn Fn() -> u64 + Send + Sync>,
    pub(super) limit: u64,
}

/// A directory.
pub(super) async fn of_path(
    options: PathOptions,
    shelf: ShelfOptions,
    state: &State,
    left: Recovered,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> Result<Served, CommandError> {
    let limit = options.cache.size;
    let path = PathShare::new(options, state.clone(), metrics.clone(), shutdown.clone()).await?;
    let (used, intakes) = (path.clone(), path.intakes().clone());
    let asked = Asked::Directory(path.clone());
    let answering = Answering::new(asked, metrics.clone(), shutdown.clone());
    let cache = CacheUse { used: Box::new(move || used.cache_used()), limit };
    let directory = Some(path.clone());
    let share = Shelved::new(path, shelf, state.clone(), shutdown.clone());
    share.recover(left.transfers).await;
    let (content, cautions) = (Content::Share(Arc::new(share)), Vec::new());
    Ok(Served { content, cache, bucket: None, intakes, cautions, answering, directory })
}

/// What another gateway serves. The first start must succeed; later ones have clients, who wait.
pub(super) async fn of_far(
    source: FarSource,
    state: &State,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> Result<Served, CommandError> {
    let intakes = Intakes::new(source.intake, state);
    let far = source.far.far(&source.name, state.directory());
    let is_first = !state.was_reached();
    let failed = |error: FarError| {
        let hint = error.hint.clone();
        CommandError::hinted(error, hint)
    };
    if is_first {
        far.check().await.map_err(failed)?;
    }
    let relay = Relay::new(far, intakes.clone(), metrics.clone());
    let keeping = relay.clone();
    let kept = AbortOnDropHandle::new(tokio::spawn(async move { keeping.keep().await }));
    if is_first && let Err(error) = relay.reached(FAR_START).await {
        drop(kept);
        relay.close().await;
        return Err(failed(error));
    }
    let answering = Answering::new(Asked::Far(relay.clone()), metrics.clone(), shutdown.clone());
    let cache = CacheUse { used: Box::new(|| 0), limit: 0 };
    let content = Content::Relay(FarEnd { relay, _kept: kept });
    Ok(Served { content, cache, bucket: None, intakes, cautions: Vec::new(), answering, directory: None })
}

/// What an earlier life left, for whoever serves a state or sends what waits in it.
pub(super) fn left(state: &State) -> Recovered {
    state.recover()
}

/// One bucket, or several as folders. Buckets that can never be served end it here; an S3 that is away
/// does not.
pub(super) async fn of_buckets(
    source: BucketSource,
    shelf: ShelfOptions,
    is_open: IsOpen,
    state: &State,
    left: Recovered,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> Result<Served, CommandError> {
    let mut stores = Vec::new();
    let (reach, mut asked) = (Reach::new(source.lost_wait, source.file_system.store_patience), Vec::new());
    let (mut is_aws, mut path, mut url) = (true, None, String::new());
    for bucket in &source.buckets {
        let store = S3Store::telling(reach.clone(), &bucket.bucket, source.s3.clone(), metrics.clone());
        let store = store.await.map_err(connect)?;
        (is_aws, path, url) = (store.is_aws(), store.endpoint_path(), store.endpoint());
        let store = stack::of_endpoint(store);
        asked.push((bucket.clone(), Arc::clone(&store)));
        let (folder, prefix) = (bucket.folder().to_owned(), bucket.prefix.clone());
        stores.push(BucketStore { folder, prefix, store });
    }
    let manner = startup::Manner { is_patient: source.is_patient || state.was_reached(), path };
    let cautions = startup::check(&asked, &manner).await?;
    let trusts = source.trusts_conditions || is_aws;
    let intakes = Intakes::new(source.intake, state);
    let bodies = Bodies::new(&intakes);
    let options = StackOptions {
        cache: source.cache,
        endpoint: (!trusts).then(|| endpoint(&source, &url, &reach)),
        reach,
        create_wait: source.create_wait,
        is_open,
        left: unaccepted(left.creates, &left.accepted, state).await,
        journal: Journal::load(state.clone(), bodies, left.accepted, source.delay()).await,
        state: state.clone(),
        metrics: metrics.clone(),
    };
    let store = Stack::assemble(stores, options, shutdown);
    let cached = store.clone();
    let cache = CacheUse { used: Box::new(move || cached.cache_used()), limit: source.cache.size };
    let uploads = Uploads::new(source.uploads, intakes.clone(), state.clone(), shutdown.clone());
    uploads.abort_in_background(Arc::new(store.namespace(LEFTOVER)), left.uploads);
    forget_questions(state, store.namespace(LEFTOVER), left.questions, shutdown);
    let share = S3Share::new(
        store,
        uploads,
        ReadAheads::new(source.read_ahead),
        state.clone(),
        metrics.clone(),
        shutdown.clone(),
        source.file_system,
    );
    let share = share.await?;
    let bucket = Some(share.clone());
    let share = Shelved::new(share, shelf, state.clone(), shutdown.clone());
    share.recover(left.transfers).await;
    let content = Content::Share(Arc::new(share));
    let asked = asked.into_iter().map(|(bucket, store)| (startup::below(&bucket), store)).collect();
    let asked = Asked::Buckets(asked);
    let answering = Answering::new(asked, metrics.clone(), shutdown.clone());
    Ok(Served { content, cache, bucket, intakes, cautions, answering, directory: None })
}

/// The empty files whose content was not accepted: the row of that stands for the others.
async fn unaccepted(mut creates: Vec<CreateRow>, accepted: &[LeftChange], state: &State) -> Vec<CreateRow> {
    let puts = accepted.iter().filter(|left| matches!(left.row.change, Change::Put { .. }));
    let keys: HashSet<&str> = puts.map(|left| left.row.key.as_str()).collect();
    for create in creates.extract_if(.., |create| keys.contains(create.key.as_str())) {
        if let Err(error) = state.end_create(&create.key, Left::Content).await {
            let (key, error) = (&create.key, with_causes(&error));
            tracing::warn!(key, error, "a file that was made empty is noted on disk still");
        }
    }
    creates
}

/// Whom to ask what it can.
fn endpoint(source: &BucketSource, url: &str, reach: &Reach) -> Endpoint {
    let bucket = source.buckets.first().map_or("", |spec| &spec.bucket);
    let (name, prefix) = (format!("{url}\0{bucket}"), scratch_prefix(&source.buckets));
    Endpoint { name, prefix, reach: reach.clone(), look_age: source.look_age }
}

/// Where the endpoint may be asked what it can: below the gateway's own folder, of the first bucket
/// if there are several.
fn scratch_prefix(buckets: &[BucketSpec]) -> String {
    match buckets {
        [first, _, ..] => format!("{}/{RESERVED}/", first.folder()),
        _ => format!("{RESERVED}/"),
    }
}

/// Removing what endpoints were asked with may wait for S3; serving need not wait for it.
fn forget_questions(state: &State, store: Namespace, rows: Vec<QuestionRow>, shutdown: &Shutdown) {
    if rows.is_empty() {
        return;
    }
    let (state, stop) = (state.clone(), shutdown.clone());
    let forget = async move {
        for row in rows {
            if let Err(error) = forget_question(&store, &state, &row).await {
                let keys = row.keys.join(", ");
                tracing::warn!(
                    keys,
                    error = with_causes(&error),
                    "keys that were written to test the endpoint could not be removed"
                );
            }
        }
    };
    shutdown.background(async move {
        tokio::select! {
            () = forget => {}
            () = stop.begun() => {}
        }
    });
}

fn connect(error: ConnectError) -> CommandError {
    let hint = error.hint();
    let exit_code = if matches!(error, ConnectError::UnknownStorageClass { .. }) { 2 } else { 1 };
    CommandError { exit_code, ..CommandError::hinted(error, hint) }
}

/// Of a container: its mount has a minute.
const FAR_START: Duration = Duration::from_secs(100);
/// Per upload that is left over.
const LEFTOVER: RetryPolicy =
    RetryPolicy { limit: Limit::Each(Duration::from_secs(600)), for_credentials: true };
