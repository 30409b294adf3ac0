//! Notebooks: fsspec, directly and behind a proxy; and deploy/jupyter in a JupyterLab, which Chromium drives.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use s3dav::embedded::EmbeddedS3;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::printed;
use crate::harness::browser::Browser;
use crate::harness::clients::{Tools, needs};
use crate::harness::front::Front;
use crate::harness::process::send_signal;
use crate::harness::{BUCKET, Behind, Bucket, KEYS, TestGateway, client, embedded, eventually};

const JULY: &str = "day,value\n1,20\n2,22\n";

async fn fsspec(tools: &Tools, arguments: &[&str]) {
    let mut python = tools.command("JupyterLab");
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/platforms/fsspec_clients.py"));
    printed(python.args(arguments)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fsspec_works_directly_and_below_the_path_of_a_proxy() {
    let Some(tools) = needs(&["JupyterLab"]) else { return };
    for gateway in TestGateway::both().await {
        gateway.bucket().await.put("measurements/july.csv", JULY).await;
        for kind in ["webdav", "http"] {
            fsspec(&tools, &[kind, &format!("{}/", gateway.url)]).await;
        }
    }
    for strips in [true, false] {
        let state = Arc::new(tempfile::tempdir().unwrap());
        let gateway = TestGateway::start_behind(Behind::S3(embedded().await), state, |config| {
            config.service.url_prefix = "/proxy/8330/".parse().unwrap();
        })
        .await;
        gateway.bucket().await.put("measurements/july.csv", JULY).await;
        let address = gateway.url.trim_start_matches("http://").trim_end_matches("/proxy/8330");
        let front = Front::start(address.parse().unwrap(), "/proxy/8330/", strips).await;
        for kind in ["webdav", "http"] {
            for url in [&front.url, &format!("{}/", gateway.url)] {
                fsspec(&tools, &[kind, url]).await;
            }
        }
    }
}

/// A Jupyter server that is set up as deploy/jupyter says.
struct Jupyter {
    child: Child,
    /// With its last slash.
    url: String,
    /// Where its gateway listens, once there is one.
    port: u16,
    place: TempDir,
}

impl Jupyter {
    async fn start(tools: &Tools, s3: &EmbeddedS3) -> Self {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        for name in ["config/lab/user-settings/@jupyterlab/apputils-extension", "home", "work"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        // Nobody is asked whether they want news.
        let settings =
            "config/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings";
        fs::write(path(settings), r#"{"fetchNews": "false"}"#).unwrap();
        let configuration =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/jupyter/jupyter_server_config.py");
        fs::copy(configuration, path("config/jupyter_server_config.py")).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = tools.command("JupyterLab");
        command.args(["-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1", "--port=0"]);
        command.args(["--ServerApp.allow_remote_access=True"]);
        command.arg(format!("--IdentityProvider.token={TOKEN}"));
        command.arg(format!("--ServerApp.root_dir={}", path("work").display()));
        let program = Path::new(env!("CARGO_BIN_EXE_s3dav")).parent().unwrap();
        let search = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{search}", program.display()));
        command.env("HOME", path("home")).env("JUPYTER_CONFIG_DIR", path("config"));
        command.env("JUPYTER_RUNTIME_DIR", path("run")).env("JUPYTER_S3DAV_PORT", port.to_string());
        of_a_task(&mut command, s3, &path("state"));
        let log = fs::File::create(path("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut jupyter = Self { child: command.spawn().unwrap(), url: String::new(), port, place };
        eventually("Jupyter listens", || async { jupyter.known().is_some() }).await;
        jupyter.url = jupyter.known().unwrap();
        eventually("Jupyter answers", || async { jupyter.status("GET", "api/contents", None).await == 200 })
            .await;
        jupyter
    }

    /// What it says of itself to its other programs.
    fn known(&self) -> Option<String> {
        let files = fs::read_dir(self.place.path().join("run")).ok()?;
        let mut files = files.map(|entry| entry.unwrap().path());
        let file = files.find(|path| {
            path.to_string_lossy().contains("jpserver-")
                && path.extension().is_some_and(|kind| kind == "json")
        })?;
        let told: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
        told["url"].as_str().map(str::to_owned)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.path().join("log")).unwrap()
    }

    async fn status(&self, method: &str, path: &str, host: Option<&str>) -> u16 {
        let request = client().request(method.parse().unwrap(), format!("{}{path}", self.url));
        let request = request.header("Authorization", format!("token {TOKEN}"));
        let request = match host {
            Some(host) => request.header("Host", host),
            None => request,
        };
        request.send().await.map_or(0, |answer| answer.status().as_u16())
    }
}

/// What a task's environment says of its bucket.
fn of_a_task(command: &mut Command, s3: &EmbeddedS3, state: &Path) {
    let endpoint = s3.endpoint_url();
    for (name, value) in [
        ("S3DAV_BUCKET", BUCKET),
        ("S3DAV_ENDPOINT_URL", &endpoint),
        ("S3DAV_FORCE_PATH_STYLE", "true"),
        ("AWS_ACCESS_KEY_ID", KEYS.0),
        ("AWS_SECRET_ACCESS_KEY", KEYS.1),
        ("AWS_REGION", "us-east-1"),
    ] {
        command.env(name, value);
    }
    command.env("S3DAV_STATE_DIR", state);
}

fn notebook() -> String {
    let code = "import fsspec\nbucket = fsspec.filesystem(\"webdav\", base_url=\"http://127.0.0.1:8330/\")\nbucket.ls(\"measurements\", detail=False)\n";
    json!({
        "cells": [
            { "cell_type": "markdown", "id": "title", "metadata": {}, "source": "# Measurements of July" },
            { "cell_type": "code", "id": "code", "metadata": {}, "execution_count": null, "outputs": [], "source": code },
        ],
        "metadata": { "kernelspec": { "name": "python3", "display_name": "Python 3", "language": "python" } },
        "nbformat": 4,
        "nbformat_minor": 5,
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn jupyterlab_has_the_bucket_in_its_sidebar_and_a_tile_for_its_folders() {
    let Some(tools) = needs(&["chromium", "JupyterLab"]) else { return };
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    for (key, content) in
        [("analysis.ipynb", notebook().as_str()), ("measurements/july.csv", JULY), ("readme.txt", "Read me")]
    {
        bucket.put(key, content).await;
    }
    let jupyter = Jupyter::start(&tools, &s3).await;
    let mut browser = Browser::start(&tools).await;
    // Wide enough for the sidebar and a notebook.
    browser.resize(1100, 520).await;
    let lab = format!("{}lab", jupyter.url);
    // It takes the token out of its address.
    browser.call("Page.navigate", json!({ "url": format!("{lab}?token={TOKEN}") })).await;
    let tile = "[...document.querySelectorAll('.jp-LauncherCard')].find(card => card.textContent.includes('Bucket'))";
    browser.until(tile).await;
    behind_the_tile(&jupyter, &mut browser).await;
    for path in ["s3dav/", &format!("proxy/{}/", jupyter.port)] {
        // What it does not pass on.
        assert_eq!(jupyter.status("PROPFIND", path, None).await, 405);
    }
    fsspec(&tools, &["http", &format!("{}proxy/{}/", jupyter.url, jupyter.port), TOKEN]).await;
    fsspec(&tools, &["http", &format!("{}s3dav/", jupyter.url), TOKEN]).await;
    fsspec(&tools, &["webdav", &format!("http://127.0.0.1:{}/", jupyter.port)]).await;

    browser.open(&lab).await;
    // It has put back what was open, and takes clicks.
    browser.until("document.querySelector('#jupyterlab-splash') === null").await;
    browser.until(tile).await;
    browser.click("document.querySelector('[data-id^=Bucket_]')", 1).await;
    browser.until("document.querySelector('[data-id^=Bucket_].lm-mod-current')").await;
    let row =
        "[...document.querySelectorAll('.rt-group-name')].find(row => row.textContent === 'analysis.ipynb')";
    browser.click(row, 2).await;
    browser.until("document.querySelector('.jp-MarkdownCell h1')?.textContent.includes('of July')").await;
    browser.until("document.querySelector('.jp-CodeCell .cm-content')").await;
    browser.until("document.querySelector('#jp-main-statusbar').textContent.includes('| Idle')").await;
    browser.document("jupyter.png", 200_000).await;
    // Into the last line, which is empty.
    browser.click("[...document.querySelectorAll('.jp-CodeCell .cm-line')].at(-1)", 1).await;
    browser.insert("print('edited here')").await;
    browser.press_with_control('s').await;
    let stored = || async { bucket.get("analysis.ipynb").await.unwrap() };
    eventually("the notebook is stored", || async {
        let stored = String::from_utf8_lossy(&stored().await).into_owned();
        stored.contains("print('edited here')") && stored.contains("Measurements of July")
    })
    .await;
    assert!(!jupyter.log().contains("Error while saving"), "{}", jupyter.log());

    let mut jupyter = jupyter;
    send_signal("TERM", &jupyter.child.id().unwrap().to_string());
    jupyter.child.wait().await.unwrap();
    let gateway = format!("http://127.0.0.1:{}/.s3dav/health", jupyter.port);
    eventually("its gateway ends with it", || async { client().get(&gateway).send().await.is_err() }).await;
}

/// The page, its links, and what lies in the bucket, as a browser gets them from the tile.
async fn behind_the_tile(jupyter: &Jupyter, browser: &mut Browser) {
    let shown = format!("{}s3dav/", jupyter.url);
    browser.open(&shown).await;
    let links =
        browser.value("[...document.querySelectorAll('nav a, tbody a')].map(link => link.href).sort()").await;
    let expected = ["analysis.ipynb", "measurements/", "readme.txt"].map(|name| format!("{shown}{name}"));
    assert_eq!(links, json!(expected));
    browser.open(&format!("{}proxy/{}/measurements", jupyter.url, jupyter.port)).await;
    let up = format!("{}proxy/{}/", jupyter.url, jupyter.port);
    let links =
        browser.value("[...document.querySelectorAll('nav a, tbody a')].map(link => link.href)").await;
    assert_eq!(links, json!([up, format!("{up}measurements/july.csv")]));
    // A page of the bucket is no page of Jupyter's: the header that says so passes the proxy.
    let script = "<title>before</title><script>document.title = 'ran'</script>";
    let put = client().put(format!("http://127.0.0.1:{}/page.html", jupyter.port)).body(script).send().await;
    assert_eq!(put.unwrap().status(), 201);
    browser.open(&format!("{shown}page.html")).await;
    let page = browser.value("[document.title, origin]").await;
    assert_eq!(page, json!(["before", "null"]));
    // Under the name by which people reach it.
    assert_eq!(jupyter.status("GET", "s3dav/readme.txt", Some("hub.example.com")).await, 200);
}

const TOKEN: &str = "of-a-test";
