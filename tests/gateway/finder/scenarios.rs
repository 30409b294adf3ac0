//! What Finder does and needs, scenario by scenario: each passes on a bucket, with a journal, where it leaves the same in
//! S3, and on a directory, and fails before a front that is wrong in the way that it looks for.
//!
//! The numbers are those of our list of what is known of macOS's client. Times that a Mac would count in
//! minutes are shortened: a request's and a pause's to a tenth.

mod away;
mod lasting;
mod listing;
mod locking;
mod mounting;
mod moving;
mod reading;
mod weather;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use s3dav::config::Config;
use s3dav::store::journal::Durability;

use super::broken::{Fault, front};
use super::client::Finder;
use crate::harness::{Behind, Bucket, TestGateway, buckets};

/// A gateway, and the Mac that came to it.
pub struct World {
    pub gateway: Arc<TestGateway>,
    pub mac: Finder,
    pub kind: Kind,
    /// What is wrong with what stands before the gateway.
    fault: Option<Fault>,
}

impl World {
    async fn new(kind: Kind, fault: Option<Fault>) -> Self {
        let gateway = match kind {
            Kind::Bucket(durability) => TestGateway::start_with(|config| change(config, durability)).await,
            Kind::Directory => {
                let behind = Behind::Directory(Arc::new(tempfile::tempdir().unwrap()));
                let state = Arc::new(tempfile::tempdir().unwrap());
                TestGateway::start_behind(behind, state, |config| config.service.request_budget = BUDGET)
                    .await
            }
        };
        let mac = Finder::at(&before(&gateway.url, fault).await);
        Self { mac, gateway: Arc::new(gateway), kind, fault }
    }

    /// A Mac that comes to another gateway, as it came to this one.
    pub async fn mac_at(&self, url: &str) -> Finder {
        Finder::at(&before(url, self.fault).await)
    }

    /// What is served, once it has all that was accepted.
    pub async fn stored(&self) -> Bucket {
        stored(&self.gateway).await
    }

    /// The S3 server, if there is one.
    pub fn s3(&self) -> Option<&s3dav::embedded::Hooks> {
        self.is_bucket().then(|| self.gateway.hooks())
    }

    pub fn is_bucket(&self) -> bool {
        self.gateway.is_bucket()
    }

    /// Nothing was asked of S3 since the last look.
    pub fn cost_nothing(&self) {
        if let Some(s3) = self.s3() {
            assert_eq!(s3.total(), 0, "{:?}", s3.transcript());
        }
    }

    /// How often S3 was asked since the last look.
    pub fn costs(&self) -> u64 {
        self.s3().map_or(0, |s3| s3.total())
    }

    pub fn forget_costs(&self) {
        if let Some(s3) = self.s3() {
            s3.reset();
        }
    }

    /// Puts a file behind the gateway's back; when this returns it is old enough to be seen.
    pub async fn outside(&self, key: &str, content: &str) {
        self.gateway.bucket().await.put(key, content).await;
        tokio::time::sleep(TTL).await;
    }
}

async fn before(url: &str, fault: Option<Fault>) -> String {
    match fault {
        Some(fault) => front(url, fault).await,
        None => url.to_owned(),
    }
}

async fn stored(gateway: &TestGateway) -> Bucket {
    if gateway.is_bucket() {
        gateway.drained().await;
    }
    gateway.bucket().await
}

/// What is served, and for a bucket when changes are answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Bucket(Durability),
    Directory,
}

/// Others' changes are seen after a tenth of a second, and memory is too small for a large upload.
fn change(config: &mut Config, durability: Durability) {
    let source = buckets(config);
    source.file_system.keeps = true;
    source.file_system.store_patience = PATIENCE;
    source.file_system.durability = durability;
    source.journal_delay = DELAY;
    source.cache.times.metadata = TTL;
    source.uploads.part_size = 5 << 20;
    source.uploads.memory = 16 << 20;
    source.intake.pause = Duration::from_millis(500);
    config.service.request_budget = BUDGET;
}

/// How long others' changes may go unnoticed.
pub const TTL: Duration = Duration::from_millis(100);
const BUDGET: Option<Duration> = Some(Duration::from_millis(7500));
/// How long S3 may take nothing before that is an outage: so long that a busy machine is none.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Long enough for what one answer brings about, short enough that S3 gets things while a scenario goes on.
const DELAY: Duration = Duration::from_millis(50);

/// Whether a scenario passes, and what it leaves; one that fails panics in its own task.
async fn passes<F: Future<Output = ()> + Send + 'static>(
    scenario: fn(World) -> F,
    kind: Kind,
    fault: Option<Fault>,
) -> Result<BTreeMap<String, Bytes>, String> {
    let world = World::new(kind, fault).await;
    let gateway = Arc::clone(&world.gateway);
    let run = tokio::spawn(async move { scenario(world).await });
    run.await.map_err(|error| format!("{kind:?}: {error}"))?;
    if gateway.has_hooks() {
        gateway.hooks().heal();
    }
    Ok(stored(&gateway).await.contents().await)
}

/// Whether it passes on all kinds, and leaves the same in S3 whenever that gets it.
async fn holds<F: Future<Output = ()> + Send + 'static>(scenario: fn(World) -> F) {
    let at_once = passes(scenario, Kind::Bucket(Durability::Store), None).await.unwrap();
    let later = passes(scenario, Kind::Bucket(Durability::Journal), None).await.unwrap();
    assert_eq!(later, at_once, "with a journal S3 gets the same");
    passes(scenario, Kind::Directory, None).await.unwrap();
}

/// A scenario of this name, and a fault that it must find.
macro_rules! scenarios {
    ($($name:ident fails if $fault:expr;)*) => {
        mod holds {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    crate::finder::scenarios::holds(super::$name).await;
                }
            )*
        }
        mod finds {
            use crate::finder::broken::Fault;
            use crate::finder::scenarios::{Durability, Kind, passes};
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let fault: Fault = $fault;
                    let passed = passes(super::$name, Kind::Bucket(Durability::Store), Some(fault)).await;
                    assert!(passed.is_err(), "it misses the fault");
                }
            )*
        }
    };
}
use scenarios;
