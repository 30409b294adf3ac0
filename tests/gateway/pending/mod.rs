//! What is saved while S3 is away: accepted on this machine, shown, and stored later.

mod changes;
mod crashes;
mod durability;
mod faults;
mod given_up;
mod killed_uploads;
mod losers;
mod moves;
mod on_its_way;
mod orders;
mod own_disk;
mod phases;
mod read_only;
mod refusals;
mod resuming;
mod saves;
mod silence;
mod stops;
mod syncs;
mod ten_minutes;
mod told;
mod two;
mod yielding;

pub use resuming::cut_off;

use std::sync::Arc;
use std::time::Duration;

use s3dav::config::Config;
use s3dav::control::{self, ControlError, Reply, Request};
use s3dav::embedded::EmbeddedS3;
use s3dav::store::journal::Durability;
use tempfile::TempDir;

use crate::finder::client::Finder;
use crate::harness::door::Door;
use crate::harness::{Behind, Bucket, TestGateway, buckets, drained, embedded};

/// A gateway whose way to S3 can be shut, and S3 itself, as others see it.
pub struct Away {
    pub gateway: TestGateway,
    pub mac: Finder,
    pub door: Door,
    s3: Arc<EmbeddedS3>,
    pub bucket: Bucket,
}

/// Keeps what is saved, and waits for S3 for moments only.
fn keeping(config: &mut Config) {
    let source = buckets(config);
    source.file_system.keeps = true;
    source.file_system.store_patience = PATIENCE;
    source.file_system.drain_pause = Duration::from_millis(100);
    source.lost_wait = Duration::from_millis(300);
}

impl Away {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_as(durability: Durability) -> Self {
        Self::start_with(|config| buckets(config).file_system.durability = durability).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let s3 = embedded().await;
        let door = Door::before(&s3.endpoint_url()).await;
        let bucket = Bucket::of(&s3.endpoint_url(), crate::harness::BUCKET).await;
        Self::start_on(s3, door, bucket, Arc::new(tempfile::tempdir().unwrap()), change).await
    }

    async fn start_on(
        s3: Arc<EmbeddedS3>,
        door: Door,
        bucket: Bucket,
        state: Arc<TempDir>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let behind = Behind::Elsewhere(format!("http://{}", door.address));
        let gateway = TestGateway::start_behind(behind, state, |config| {
            keeping(config);
            change(config);
        })
        .await;
        Self { mac: Finder::of(&gateway), gateway, door, s3, bucket }
    }

    /// The same gateway once more, after an orderly end.
    pub async fn restarted(self) -> Self {
        self.restarted_with(|_| {}).await
    }

    async fn restarted_with(self, change: impl FnOnce(&mut Config)) -> Self {
        self.restarted_after(async {}, change).await
    }

    /// The same; something happens while no gateway runs.
    async fn restarted_after(
        self,
        between: impl Future<Output = ()>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let Self { gateway, door, s3, bucket, .. } = self;
        let (_, state) = gateway.end().await;
        between.await;
        Self::start_on(s3, door, bucket, state, change).await
    }

    /// Saves as a program does that has the document open.
    pub async fn save(&self, path: &str, content: impl Into<bytes::Bytes>) -> u16 {
        let token = self.mac.lock(path).await;
        let status = self.mac.put(path, &token, content).await;
        assert_eq!(self.mac.unlock(path, &token).await, 204);
        status
    }

    /// The files in which bodies are kept.
    fn bodies(&self) -> Vec<String> {
        drained::bodies(&self.gateway.state.path().join("state"))
    }

    /// The saves that are not stored, as `s3dav status` tells of them.
    async fn told(&self) -> serde_json::Value {
        let state = self.gateway.state.path().join("state");
        loop {
            match control::ask(&state, Request::Status, Duration::from_secs(30)).await {
                Ok(Reply::Status(status)) => return serde_json::to_value(status.saves).unwrap(),
                // It has only just started.
                Err(ControlError::NotRunning { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Until nothing is pending any more.
    pub async fn drained(&self) {
        self.gateway.drained().await;
    }
}

const PATIENCE: Duration = Duration::from_millis(300);
