//! What is saved while S3 is away: accepted on this machine, shown, and stored later.

mod changes;
mod crashes;
mod durability;
mod faults;
mod moves;
mod orders;
mod refusals;
mod saves;
mod silence;
mod yielding;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use s3dav::config::Config;
use s3dav::control::{self, ControlError, PendingAction, Reply, Request};
use s3dav::embedded::EmbeddedS3;
use tempfile::TempDir;

use crate::finder::client::Finder;
use crate::harness::door::Door;
use crate::harness::{Behind, Bucket, TestGateway, buckets, embedded, eventually};

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
        let Self { gateway, door, s3, bucket, .. } = self;
        let (_, state) = gateway.end().await;
        Self::start_on(s3, door, bucket, state, |_| {}).await
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
        let place = self.gateway.state.path().join("state/pending.noindex");
        let entries = fs::read_dir(place).into_iter().flatten().map(Result::unwrap);
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('.')).collect()
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

    async fn is_anything_pending(&self) -> bool {
        let state = self.gateway.state.path().join("state");
        let request = Request::Pending { path: String::new(), action: PendingAction::List };
        match control::ask(&state, request, Duration::from_secs(30)).await {
            Ok(Reply::Pending { changes }) => !changes.is_empty(),
            // It has only just started.
            Err(ControlError::NotRunning { .. }) => true,
            other => panic!("{other:?}"),
        }
    }

    /// Until nothing is pending any more.
    pub async fn drained(&self) {
        eventually("everything is stored, and nothing is left of it here", || async {
            self.bodies().is_empty() && !self.is_anything_pending().await
        })
        .await;
    }
}

const PATIENCE: Duration = Duration::from_millis(300);
