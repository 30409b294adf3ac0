//! litmus, the WebDAV conformance suite, against the gateway over two S3 servers.

use crate::harness::clients::{LITMUS_SUITES, Moto, Tools, needs};
use crate::harness::process::Process;
use crate::harness::{TestGateway, config};

/// Runs all suites, and wants all to pass.
pub async fn litmus(tools: &Tools, url: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mut litmus = tools.command("litmus");
    litmus.args(["-k", &format!("{url}/")]).env("TESTS", LITMUS_SUITES).current_dir(directory.path());
    let output = litmus.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let summaries = text.matches("<- summary for").count();
    assert_eq!(summaries, 5, "a suite did not run:\n{text}");
    let is_bad = |line: &&str| {
        (line.contains("FAIL") || line.contains("WARNING") || line.contains("SKIPPED"))
            && !line.contains("delete_fragment")
    };
    let bad: Vec<_> = text.lines().filter(is_bad).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn litmus_passes_over_the_embedded_server_and_a_directory() {
    let Some(tools) = needs(&["litmus"]) else { return };
    for gateway in TestGateway::both().await {
        litmus(&tools, &gateway.url).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn litmus_passes_with_empty_segments() {
    let Some(tools) = needs(&["litmus"]) else { return };
    for gateway in TestGateway::both().await {
        gateway.status("MKCOL", "/d").await;
        for below in ["/", "/d/"] {
            litmus(&tools, &format!("{}{below}", gateway.url)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn litmus_passes_over_moto() {
    let Some(tools) = needs(&["litmus", "moto_server"]) else { return };
    let moto = Moto::start(&tools).await;
    let state = tempfile::tempdir().unwrap();
    let gateway = Process::gateway(&moto.endpoint, &state, &[]).await;
    litmus(&tools, &gateway.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn litmus_passes_below_a_prefix_and_in_one_of_several_buckets() {
    let Some(tools) = needs(&["litmus"]) else { return };
    let s3 = crate::harness::embedded_with(&["one", "two"]).await;
    let state = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let endpoint = s3.endpoint_url();
    let for_config = std::sync::Arc::clone(&state);
    let gateway = TestGateway::start_on(s3, state, move |c| {
        *c = config(&endpoint, &["one/some/prefix", "two"], &for_config);
    })
    .await;
    litmus(&tools, &format!("{}/one", gateway.url)).await;
}
