//! What Finder does and needs, scenario by scenario: each passes on a bucket and on a directory, and fails
//! before a front that is wrong in the way that it looks for.
//!
//! The numbers are those of our list of what is known of macOS's client. Not here yet, since it needs what is
//! not built: 27 (a PUT that succeeds while S3 is away, from a journal on disk). Times that a Mac would count in
//! minutes are shortened: a request's and a pause's to a tenth.

mod lasting;
mod listing;
mod locking;
mod mounting;
mod moving;
mod reading;
mod weather;
mod writing;

use std::time::Duration;

use s3dav::config::Config;

use super::broken::{Fault, front};
use super::client::Finder;
use crate::harness::{TestGateway, buckets};

/// A gateway, and the Mac that came to it.
pub struct World {
    pub gateway: TestGateway,
    pub mac: Finder,
}

impl World {
    async fn new(kind: Kind, fault: Option<Fault>) -> Self {
        let gateway = match kind {
            Kind::Bucket => TestGateway::start_with(change).await,
            Kind::Directory => {
                let behind =
                    crate::harness::Behind::Directory(std::sync::Arc::new(tempfile::tempdir().unwrap()));
                let state = std::sync::Arc::new(tempfile::tempdir().unwrap());
                TestGateway::start_behind(behind, state, |config| config.service.request_budget = BUDGET)
                    .await
            }
        };
        let url = match fault {
            Some(fault) => front(&gateway.url, fault).await,
            None => gateway.url.clone(),
        };
        Self { mac: Finder::at(&url), gateway }
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

#[derive(Clone, Copy)]
enum Kind {
    Bucket,
    Directory,
}

/// Others' changes are seen after a tenth of a second, and memory is too small for a large upload.
fn change(config: &mut Config) {
    let source = buckets(config);
    source.cache.times.metadata = TTL;
    source.uploads.part_size = 5 << 20;
    source.uploads.memory = 16 << 20;
    source.uploads.intake.pause = Duration::from_millis(500);
    config.service.request_budget = BUDGET;
}

/// How long others' changes may go unnoticed.
pub const TTL: Duration = Duration::from_millis(100);
const BUDGET: Option<Duration> = Some(Duration::from_millis(7500));

/// Whether a scenario passes; one that fails panics in its own task.
async fn passes<F: Future<Output = ()> + Send + 'static>(
    scenario: fn(World) -> F,
    kind: Kind,
    fault: Option<Fault>,
) -> Result<(), String> {
    let world = World::new(kind, fault).await;
    let run = tokio::spawn(async move { scenario(world).await });
    run.await.map_err(|error| error.to_string())
}

/// A scenario of this name, and a fault that it must find.
macro_rules! scenarios {
    ($($name:ident fails if $fault:expr;)*) => {
        mod holds {
            use crate::finder::scenarios::{Kind, passes};
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    for kind in [Kind::Bucket, Kind::Directory] {
                        passes(super::$name, kind, None).await.unwrap();
                    }
                }
            )*
        }
        mod finds {
            use crate::finder::broken::Fault;
            use crate::finder::scenarios::{Kind, passes};
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let fault: Fault = $fault;
                    let passed = passes(super::$name, Kind::Bucket, Some(fault)).await;
                    assert!(passed.is_err(), "it misses the fault");
                }
            )*
        }
    };
}
use scenarios;
