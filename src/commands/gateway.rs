//! A gateway put together from its configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::{CommandError, startup};
use crate::config::{BucketSpec, Config, Listen};
use crate::dav::engine::Engine;
use crate::dav::locks::LockTable;
use crate::fs::resource_path::RESERVED;
use crate::fs::s3::S3Share;
use crate::http::{Server, Service};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::state::{State, StateError, UploadRow};
use crate::store::ObjectStore;
use crate::store::buckets::Buckets;
use crate::store::cached::Cached;
use crate::store::conditional::Conditional;
use crate::store::multipart::Uploads;
use crate::store::paced::Paced;
use crate::store::patient::{Limit, Patience, Patient};
use crate::store::prefixed::Prefixed;
use crate::store::read_ahead::ReadAheads;
use crate::store::s3::{ConnectError, S3Store};

/// A gateway that has its sockets, its state and its clients, and waits for [`Gateway::run`].
pub struct Gateway {
    server: Server,
    state: State,
    metrics: Metrics,
    shutdown: Shutdown,
    shutdown_timeout: Duration,
}

impl Gateway {
    /// Puts a gateway together on `listeners`. Buckets that can never be served end it here; an S3
    /// that is away does not.
    pub async fn new(
        config: Config,
        listeners: Vec<TcpListener>,
        shutdown: Shutdown,
    ) -> Result<Self, CommandError> {
        let metrics = Metrics::default();
        let url = listeners.first().and_then(|listener| listener.local_addr().ok()).map(url);
        let state = State::open(&config.state_dir, &url.unwrap_or_default()).await.map_err(taken)?;
        let mut stores: BTreeMap<String, Arc<dyn ObjectStore>> = BTreeMap::new();
        for bucket in &config.buckets {
            let store =
                S3Store::new(&bucket.bucket, config.s3.clone(), metrics.clone()).await.map_err(connect)?;
            let store = Prefixed::wrap(Arc::new(store), &bucket.prefix);
            stores.insert(bucket.folder().to_owned(), store);
        }
        startup::check(&stores).await?;
        let store: Arc<dyn ObjectStore> = match (stores.len(), stores.pop_first()) {
            (1, Some((_, only))) => only,
            (_, first) => {
                stores.extend(first);
                Arc::new(Buckets::new(stores))
            }
        };
        let store: Arc<dyn ObjectStore> = Arc::new(Paced::new(store));
        let store = match config.trusts_conditions || config.s3.is_aws() {
            true => store,
            false => Arc::new(Conditional::new(store, &scratch_prefix(&config.buckets))),
        };
        let store: Arc<dyn ObjectStore> = Arc::new(Cached::new(store, config.cache, metrics.clone()));
        let uploads = Uploads::new(config.uploads, state.clone(), shutdown.clone());
        let leftovers = state.uploads().await?;
        abort_leftovers(&uploads, Arc::clone(&store), leftovers, &shutdown);
        let share = S3Share::new(
            store,
            uploads,
            ReadAheads::new(config.read_ahead),
            state.clone(),
            metrics.clone(),
            shutdown.clone(),
            config.file_system,
        )
        .await?;
        let locks = LockTable::load(state.clone()).await?;
        let service = Service::new(Engine::new(Arc::new(share), locks), config.service, metrics.clone());
        let server = Server::new(listeners, service, config.limits);
        Ok(Self { server, state, metrics, shutdown, shutdown_timeout: config.shutdown_timeout })
    }

    /// The addresses that are served, as URLs.
    pub fn urls(&self) -> Vec<String> {
        self.server.addresses().into_iter().map(url).collect()
    }

    /// The gateway's counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Serves until the shutdown begins, then ends in order: requests, uploads, state.
    pub async fn run(self) {
        let Self { server, state, shutdown, shutdown_timeout, .. } = self;
        server.run(&shutdown, shutdown_timeout).await;
        if tokio::time::timeout(shutdown_timeout.max(LEAST_DRAIN), shutdown.drained()).await.is_err() {
            tracing::warn!("some uploads could not be ended; the next start sees to them");
        }
        if let Err(error) = state.sync().await {
            tracing::warn!(%error, "the state could not be synced");
        }
    }
}

/// Where the endpoint may be asked what it can: below the gateway's own folder, of the first bucket
/// if there are several.
fn scratch_prefix(buckets: &[BucketSpec]) -> String {
    match buckets {
        [first, _, ..] => format!("{}/{RESERVED}/", first.folder()),
        _ => format!("{RESERVED}/"),
    }
}

/// Aborting what the last life left may wait for S3; serving need not wait for it.
fn abort_leftovers(
    uploads: &Uploads,
    store: Arc<dyn ObjectStore>,
    rows: Vec<UploadRow>,
    shutdown: &Shutdown,
) {
    if rows.is_empty() {
        return;
    }
    let (uploads, stop) = (uploads.clone(), shutdown.clone());
    shutdown.background(async move {
        let patience = Patience { limit: Limit::Each(LEFTOVER_PATIENCE), for_credentials: true };
        let store = Patient::new(store, patience);
        let (ended, left) = tokio::select! {
            counts = uploads.abort_leftovers(&store, rows) => counts,
            () = stop.begun() => return,
        };
        tracing::info!(ended, left, "saw to uploads that were cut off when the gateway last ran");
    });
}

/// Opens the sockets.
pub async fn bind(listen: &Listen) -> Result<Vec<TcpListener>, CommandError> {
    let mut listeners = Vec::new();
    for address in &listen.addresses {
        match TcpListener::bind(*address).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                let message = anyhow::anyhow!("the port of {address} is taken");
                let hint =
                    "another s3dav may be running; stop it, or choose a port with --listen 127.0.0.1:PORT";
                return Err(CommandError::hinted(message, hint));
            }
            Err(error) if listen.is_default => {
                tracing::info!(%address, %error, "not serving at this address")
            }
            Err(error) => {
                let message = anyhow::Error::new(error).context(format!("cannot serve at {address}"));
                return Err(CommandError::hinted(message, "is it an address of this machine?"));
            }
        }
    }
    match listeners.is_empty() {
        true => Err(anyhow::anyhow!("none of the addresses can be served").into()),
        false => Ok(listeners),
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/")
}

fn taken(error: StateError) -> CommandError {
    match error {
        StateError::Taken { .. } => CommandError::hinted(
            error,
            "use that one, or give this one a state of its own: --state-dir, or another --data for the demo",
        ),
        other => other.into(),
    }
}

fn connect(error: ConnectError) -> CommandError {
    let hint = match &error {
        ConnectError::UnknownProfile(_) => "`aws configure list-profiles` shows those that exist",
        ConnectError::CaBundle { .. } | ConnectError::NoCertificate { .. } => {
            "--ca-bundle and AWS_CA_BUNDLE name a file in PEM format"
        }
        ConnectError::HttpClient(_) => "check HTTPS_PROXY and NO_PROXY",
    };
    CommandError::hinted(error, hint)
}

/// Long enough to abort an upload or two.
const LEAST_DRAIN: Duration = Duration::from_secs(5);
/// Per upload that is left over.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(600);
