//! litmus, the WebDAV conformance suite, against the gateway over two S3 servers.

use std::process::Stdio;

use tokio::process::Command;

use crate::harness::clients::{self, Moto};
use crate::harness::process::Process;
use crate::harness::{TestGateway, config};

/// Runs all suites; returns what did not pass.
async fn litmus(url: &str) -> Option<Vec<String>> {
    let program = clients::find("litmus")?;
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .args(["-k", &format!("{url}/")])
        .env("TESTS", "basic copymove props locks http")
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let summaries = text.matches("<- summary for").count();
    assert_eq!(summaries, 5, "a suite did not run:\n{text}");
    let is_bad = |line: &&str| {
        (line.contains("FAIL") || line.contains("WARNING") || line.contains("SKIPPED"))
            && !line.contains("delete_fragment")
    };
    Some(text.lines().filter(is_bad).map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn litmus_passes_over_the_embedded_server_and_a_directory() {
    for gateway in TestGateway::both().await {
        if let Some(bad) = litmus(&gateway.url).await {
            assert!(bad.is_empty(), "{bad:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn litmus_passes_over_moto() {
    let Some(moto) = Moto::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    let gateway = Process::gateway(&moto.endpoint, &state, &[]).await;
    if let Some(bad) = litmus(&gateway.url).await {
        assert!(bad.is_empty(), "{bad:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn litmus_passes_below_a_prefix_and_in_one_of_several_buckets() {
    let s3 = crate::harness::embedded_with(&["one", "two"]).await;
    let state = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let endpoint = s3.endpoint_url();
    let for_config = std::sync::Arc::clone(&state);
    let gateway = TestGateway::start_on(s3, state, move |c| {
        *c = config(&endpoint, &["one/some/prefix", "two"], &for_config);
    })
    .await;
    if let Some(bad) = litmus(&format!("{}/one", gateway.url)).await {
        assert!(bad.is_empty(), "{bad:#?}");
    }
}
