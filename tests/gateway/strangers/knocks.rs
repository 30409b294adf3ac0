//! Other users cannot make a command believe that its gateway is not there.

use std::path::Path;

use s3dav::control::{Reply, Request, ask};
use s3dav::http::auth::Access;

use super::{Holding, port};
use crate::harness::TestGateway;
use crate::harness::users::{SOMEBODY, python};

const KNOCKS: &str = include_str!("knocks.py");

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_nonces_pushes_none_out_that_counts() {
    let gateway = TestGateway::start_with(|config| config.access = Access::Peers(None)).await;
    let Some(flood) = python(SOMEBODY, KNOCKS, &[port(&gateway.url)]) else { return };
    let flood = Holding::start(flood, "knocking").await;
    let state_dir = gateway.state.path().join("state");
    for n in 0..50 {
        assert!(is_heard(&gateway, &state_dir, format!("nonce-{n}")).await, "{n}");
    }
    let sent: u64 = flood.finish().await.trim().parse().unwrap();
    assert!(sent > 1000, "{sent}");
}

/// As `s3dav mount` asks.
async fn is_heard(gateway: &TestGateway, state_dir: &Path, nonce: String) -> bool {
    let patience = std::time::Duration::from_secs(20);
    ask(state_dir, Request::Expect { nonce: nonce.clone() }, patience).await.unwrap();
    assert_eq!(gateway.status("GET", &format!("/.s3dav/knock/{nonce}")).await, 200);
    let address = gateway.address().parse().unwrap();
    // Others knock meanwhile.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    matches!(ask(state_dir, Request::Heard { nonce, address }, patience).await, Ok(Reply::Done))
}
