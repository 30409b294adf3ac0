//! Clients that a script drives from beginning to end.

use std::path::PathBuf;

use tokio::process::Command;

use super::{bash, run};
use crate::harness::TestGateway;
use crate::harness::clients::{find, skip};

async fn script(script: &str, program: &str) {
    if find(program).is_none() {
        return;
    }
    for gateway in TestGateway::both().await {
        let local = tempfile::tempdir().unwrap();
        let variables =
            [("URL", &*gateway.url), ("HOST", &gateway.address()), ("LOCAL", local.path().to_str().unwrap())];
        bash(script, &variables).await;
    }
}

/// Where a package is installed, by a variable.
fn installed(variable: &str, what: &str) -> Option<PathBuf> {
    let place = std::env::var_os(variable).map(PathBuf::from);
    if place.is_none() {
        skip(what);
    }
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_puts_and_resumes() {
    script(include_str!("curl.sh"), "curl").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cadaver_does_all_of_its_commands() {
    script(include_str!("cadaver.sh"), "cadaver").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gio_mounts_it() {
    script(include_str!("gio.sh"), "gio").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npms_webdav_works() {
    let Some(place) = installed("S3DAV_NPM_WEBDAV", "npm's webdav (S3DAV_NPM_WEBDAV)") else { return };
    for gateway in TestGateway::both().await {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/clients/webdav.mjs");
        let result = run(Command::new("node").arg(program).arg(&place).arg(&gateway.url)).await;
        result.unwrap_or_else(|problem| panic!("{problem}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_webdavclient3_and_webdav4_work() {
    let Some(python) =
        installed("S3DAV_PYTHON_CLIENTS", "a Python with webdavclient3 (S3DAV_PYTHON_CLIENTS)")
    else {
        return;
    };
    for gateway in TestGateway::both().await {
        let local = tempfile::tempdir().unwrap();
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/clients/webdav_clients.py");
        let result = run(Command::new(&python).arg(program).arg(&gateway.url).arg(local.path())).await;
        result.unwrap_or_else(|problem| panic!("{problem}"));
    }
}
