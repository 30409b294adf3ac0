//! What follows a change that is on its way to S3: that may take hours, and nobody waits for it so long.

use std::time::Duration;

use s3dav::embedded::{Action, Gate, Rule};

use super::Away;
use crate::harness::eventually;

/// A gateway that has accepted a save of `d/doc` while S3 was away. S3 is back, and takes it when the gate opens.
async fn sending() -> (Away, Gate) {
    let mut away =
        Away::start_with(|config| config.service.request_budget = Some(Duration::from_secs(1))).await;
    away.bucket.put("d/doc", "old").await;
    away.bucket.put("d/other", "other").await;
    assert_eq!(away.mac.list("/d/").await.len(), 3);
    assert_eq!(away.mac.get("/d/doc").await.1, "old");
    away.door.shut().await;
    assert_eq!(away.save("/d/doc", "newer").await, 204);
    let gate = Gate::default();
    let (operation, target) = (Some("PutObject".to_owned()), Some("doc".to_owned()));
    away.s3.hooks().add(Rule {
        operation,
        target,
        times: usize::MAX,
        action: Action::HoldFirst(gate.clone()),
    });
    away.door.open().await;
    gate.reached().await;
    eventually("S3 is known to be back", || async { away.gateway.put("/probe", "").await < 300 }).await;
    (away, gate)
}

impl Away {
    /// S3 has it all then, and no other file.
    async fn has_all(&self, gate: &Gate, expected: &[(&str, &str)]) {
        gate.open();
        self.drained().await;
        assert_eq!(self.gateway.status("DELETE", "/probe").await, 204);
        assert_eq!(self.bucket.keys().await, expected.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        for (key, content) in expected {
            assert_eq!(self.bucket.get(key).await.unwrap(), *content, "{key}");
        }
    }
}

/// Before S3 is asked again, which is what ends a wait for a small file.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), work).await.expect("it waits for what is on its way")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_saves_again_is_answered() {
    let (away, gate) = sending().await;
    assert_eq!(soon(away.save("/d/doc", "newest")).await, 204);
    assert_eq!(away.mac.get("/d/doc").await.1, "newest");
    away.has_all(&gate, &[("d/doc", "newest"), ("d/other", "other")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_moves_it_is_answered() {
    let (away, gate) = sending().await;
    assert_eq!(soon(away.mac.rename("/d/doc", "/d/moved")).await, 201);
    assert_eq!(away.mac.get("/d/moved").await.1, "newer");
    away.has_all(&gate, &[("d/moved", "newer"), ("d/other", "other")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_deletes_it_is_answered() {
    let (away, gate) = sending().await;
    assert_eq!(soon(away.mac.status("DELETE", "/d/doc")).await, 204);
    assert_eq!(away.mac.look("/d/doc").await, 404);
    away.has_all(&gate, &[("d/other", "other")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_later_is_told_in_time() {
    let (away, gate) = sending().await;
    let other = &away.gateway;
    assert_eq!(soon(other.put("/d/doc", "others'")).await, 503);
    let to = format!("{}/e/", other.url);
    let moving = other.request("MOVE", "/d/").header("Destination", to).send();
    assert_eq!(soon(moving).await.unwrap().status(), 503);
    assert_eq!(soon(other.status("DELETE", "/d/")).await, 503);
    // macOS, too, while S3 answers.
    assert_eq!(soon(away.mac.status("DELETE", "/d/")).await, 503);
    assert_eq!(other.put("/d/other", "saved").await, 204, "nothing is begun");
    away.has_all(&gate, &[("d/doc", "newer"), ("d/other", "saved")]).await;
}
