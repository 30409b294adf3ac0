//! A far gateway, and a gateway that leads to it by whatever way a test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use s3dav::config::{Config, FarSource, Source};
use s3dav::far::{FarOptions, USER};
use s3dav::http::auth::{Access, Credentials};
use s3dav::relay::{Far, FarError, Opened};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::harness::{BUCKET, Behind, TestGateway};

pub const PASSWORD: &str = "a-password-of-the-far-end";

/// Leads where it is told.
#[derive(Debug)]
pub struct TestFar {
    place: watch::Sender<Result<SocketAddr, String>>,
    opened: AtomicUsize,
    closed: AtomicUsize,
}

impl TestFar {
    pub fn new() -> Arc<Self> {
        let place = watch::Sender::new(Err("nowhere yet".to_owned()));
        Arc::new(Self { place, opened: AtomicUsize::new(0), closed: AtomicUsize::new(0) })
    }

    pub fn lead(&self, address: SocketAddr) {
        let _ = self.place.send_replace(Ok(address));
    }

    pub fn lead_nowhere(&self, why: &str) {
        let _ = self.place.send_replace(Err(why.to_owned()));
    }

    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    pub fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Far for TestFar {
    async fn check(&self) -> Result<(), FarError> {
        Ok(())
    }

    async fn open(&self) -> Result<Opened, FarError> {
        let mut place = self.place.subscribe();
        let address = place.borrow_and_update().clone();
        let address = address.map_err(|why| FarError::new(why, "lead it somewhere"))?;
        self.opened.fetch_add(1, Ordering::SeqCst);
        let login = STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let authorization = format!("Basic {login}").parse().unwrap();
        let ended = Box::pin(async move {
            let _ = place.changed().await;
            FarError::new("the way has ended", "wait")
        });
        let (_, trouble) = watch::channel(None);
        Ok(Opened { address, authorization, trouble, ended })
    }

    async fn close(&self) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

/// A configuration that leads there.
pub fn config(wire: &Arc<TestFar>, state: &TempDir, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = crate::harness::config("http://127.0.0.1:1", &[BUCKET], state);
    let far = FarOptions::Given(Arc::clone(wire) as Arc<dyn Far>);
    let source = FarSource { far, name: "far".to_owned(), intake: Default::default() };
    config.source = Source::Far(Box::new(source));
    change(&mut config);
    config
}

/// See the module.
pub struct Pair {
    pub near: TestGateway,
    pub far: TestGateway,
    pub wire: Arc<TestFar>,
}

impl Pair {
    /// The far end first; `change` is for the near one.
    pub async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let far = far().await;
        let wire = TestFar::new();
        wire.lead(far.address().parse().unwrap());
        let near = near(&wire, change).await;
        Self { near, far, wire }
    }
}

/// A gateway that asks everybody for the password.
pub async fn far() -> TestGateway {
    TestGateway::start_with(|config| {
        config.access = Access::Password(Some(Credentials::new(USER, PASSWORD)));
    })
    .await
}

pub async fn near(wire: &Arc<TestFar>, change: impl FnOnce(&mut Config)) -> TestGateway {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let state = Arc::new(tempfile::tempdir().unwrap());
    let made = config(wire, &state, change);
    let elsewhere = Behind::Elsewhere("http://127.0.0.1:1".to_owned());
    TestGateway::start_at(listener, elsewhere, Arc::clone(&state), move |config| *config = made).await
}
