//! Outside programs that some tests need. Where one is missing the test says that it was skipped;
//! with `S3DAV_REQUIRE_CLIENTS=1` that is a failure.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The program's path, or `None` after saying that the test is skipped.
pub fn find(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|dir| dir.join(program)).find(|path| path.is_file());
    if found.is_none() {
        skip(program);
    }
    found
}

/// Says that a test is skipped, or fails where nothing may be.
pub fn skip(what: &str) {
    let required = std::env::var("S3DAV_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
    assert!(!required, "{what} is needed here (S3DAV_REQUIRE_CLIENTS=1)");
    // CI counts these lines.
    eprintln!("SKIPPED: {what} is not installed");
}

/// moto's S3 server: another hand's idea of the protocol.
pub struct Moto {
    pub endpoint: String,
    _child: Child,
}

impl Moto {
    /// Starts it with a bucket. `S3DAV_MOTO` names the program where it is not in the path.
    pub async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// Starts it on https, with a certificate and its key as PEM files.
    pub async fn start_tls(certificate: &str, key: &str) -> Option<Self> {
        Self::start_with(&["-c", certificate, "-k", key]).await
    }

    async fn start_with(more: &[&str]) -> Option<Self> {
        let program = match std::env::var_os("S3DAV_MOTO") {
            Some(path) => PathBuf::from(path),
            None => find("moto_server")?,
        };
        let mut child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let endpoint = loop {
            let line = lines.next_line().await.unwrap().expect("moto ended");
            if let Some(at) = line.find("http://127.0.0.1:").or_else(|| line.find("https://127.0.0.1:")) {
                break line[at..].split_whitespace().next().unwrap().to_owned();
            }
        };
        // Its log must be read, or it blocks.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let moto = Self { endpoint, _child: child };
        if more.is_empty() {
            let url = format!("{}/{}", moto.endpoint, super::BUCKET);
            assert!(super::client().put(url).send().await.unwrap().status().is_success());
        }
        Some(moto)
    }
}
