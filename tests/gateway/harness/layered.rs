//! A gateway that is put together of the program's own parts, as `commands` does it, with a layer of a test between them
//! and S3: what goes wrong in a store can be tried without a word of it in the program.

use std::sync::Arc;

use s3dav::config::Config;
use s3dav::dav::engine::Engine;
use s3dav::dav::locks::LockTable;
use s3dav::fs::s3::S3Share;
use s3dav::fs::sidecar::Shelved;
use s3dav::http::{Behind as Carrier, Readiness, Server, Service};
use s3dav::metrics::Metrics;
use s3dav::shutdown::Shutdown;
use s3dav::spool::{Bodies, Intakes};
use s3dav::state::State;
use s3dav::store::MultipartStore;
use s3dav::store::journal::Journal;
use s3dav::store::multipart::Uploads;
use s3dav::store::reach::Reach;
use s3dav::store::read_ahead::ReadAheads;
use s3dav::store::s3::S3Store;
use s3dav::store::stack::{BucketStore, Stack, StackOptions};
use tokio::net::TcpListener;

use super::{BUCKET, Behind, TestGateway, buckets, client, config, embedded, s3_options};

/// Nobody asks.
struct Ready;

impl Readiness for Ready {
    fn hindrance(&self) -> Option<&'static str> {
        None
    }
}

impl TestGateway {
    /// Starts one on a bucket whose store lies under `layer`; the endpoint keeps conditions.
    pub async fn layered(
        layer: impl FnOnce(Arc<dyn MultipartStore>) -> Arc<dyn MultipartStore>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let (s3, directory) = (embedded().await, Arc::new(tempfile::tempdir().unwrap()));
        let mut config = config(&s3.endpoint_url(), &[BUCKET], &directory);
        change(&mut config);
        let source = buckets(&mut config).clone();
        let (metrics, shutdown) = (Metrics::default(), Shutdown::default());
        let state = State::open_at(&config.state_dir, "a test", "").await.unwrap();
        let locks = LockTable::load(state.clone()).await.unwrap();
        let store = S3Store::new(BUCKET, s3_options(&s3.endpoint_url()), metrics.clone()).await.unwrap();
        let bucket =
            BucketStore { folder: BUCKET.to_owned(), prefix: String::new(), store: layer(Arc::new(store)) };
        let intakes = Intakes::new(source.intake, &state);
        let options = StackOptions {
            cache: source.cache,
            endpoint: None,
            reach: Reach::new(source.lost_wait, source.file_system.store_patience),
            create_wait: source.create_wait,
            is_open: Arc::new({
                let locks = locks.clone();
                move |path: &s3dav::path_key::PathKey| locks.is_locked(path)
            }),
            left: Vec::new(),
            journal: Journal::load(state.clone(), Bodies::new(&intakes), Vec::new(), source.delay()).await,
            state: state.clone(),
            metrics: metrics.clone(),
        };
        let share = S3Share::new(
            Stack::assemble(vec![bucket], options, &shutdown),
            Uploads::new(source.uploads, intakes, state.clone(), shutdown.clone()),
            ReadAheads::new(source.read_ahead),
            state.clone(),
            metrics.clone(),
            shutdown.clone(),
            source.file_system,
        );
        let share = Shelved::new(share.await.unwrap(), config.shelf, state.clone(), shutdown.clone());
        let engine = Engine::new(Arc::new(share), BUCKET, locks, state.clone(), &shutdown);
        let service = Service::new(Carrier::Engine(engine), config.service, metrics, Arc::new(Ready));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::new(vec![listener], service, config.limits);
        let stop = shutdown.clone();
        let running = tokio::spawn(async move {
            server.run(&stop, config.shutdown_timeout).await;
            state.close().await.unwrap();
        });
        let (behind, state, running) = (Behind::S3(s3), directory, Some(running));
        Self { url, behind, client: client(), shutdown, state, running }
    }
}
