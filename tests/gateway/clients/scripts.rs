//! Clients that a script drives from beginning to end.

use super::{bash, run};
use crate::harness::TestGateway;
use crate::harness::clients::{needs, webdav_script};

async fn script(script: &str, names: &[&'static str]) {
    let Some(tools) = needs(names) else { return };
    for gateway in TestGateway::both().await {
        let local = tempfile::tempdir().unwrap();
        let variables =
            [("URL", &*gateway.url), ("HOST", &gateway.address()), ("LOCAL", local.path().to_str().unwrap())];
        bash(&tools, script, &variables).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_puts_and_resumes() {
    script(include_str!("curl.sh"), &["bash", "curl", "cmp", "head", "sed", "tail", "tr"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cadaver_does_all_of_its_commands() {
    script(include_str!("cadaver.sh"), &["bash", "cadaver", "cat", "cmp", "grep"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gio_mounts_it() {
    let names = ["bash", "gio", "dbus-run-session", "dbus-daemon", "grep", "mkdir", "wc"];
    script(include_str!("gio.sh"), &names).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npms_webdav_works() {
    let Some(tools) = needs(&["node", "npm's webdav"]) else { return };
    for gateway in TestGateway::both().await {
        let mut node = tools.command("node");
        node.arg(webdav_script()).arg(tools.path("npm's webdav")).arg(&gateway.url);
        let result = run(&mut node).await;
        result.unwrap_or_else(|problem| panic!("{problem}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_webdavclient3_and_webdav4_work() {
    let Some(tools) = needs(&["webdavclient3"]) else { return };
    for gateway in TestGateway::both().await {
        let local = tempfile::tempdir().unwrap();
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/clients/webdav_clients.py");
        let result =
            run(tools.command("webdavclient3").arg(program).arg(&gateway.url).arg(local.path())).await;
        result.unwrap_or_else(|problem| panic!("{problem}"));
    }
}
