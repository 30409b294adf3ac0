//! moto's S3 server: another hand's idea of the protocol.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::Tools;
use crate::harness::{BUCKET, client};

/// A server that runs until dropped.
pub struct Moto {
    pub endpoint: String,
    _child: Child,
}

impl Moto {
    /// Starts it with a bucket. Of `tools` it is `moto_server`.
    pub async fn start(tools: &Tools) -> Self {
        let moto = Self::start_with(tools, &[]).await;
        let url = format!("{}/{BUCKET}", moto.endpoint);
        assert!(client().put(url).send().await.unwrap().status().is_success());
        moto
    }

    /// Starts it on https, with a certificate and its key as PEM files.
    pub async fn start_tls(tools: &Tools, certificate: &str, key: &str) -> Self {
        Self::start_with(tools, &["-c", certificate, "-k", key]).await
    }

    async fn start_with(tools: &Tools, more: &[&str]) -> Self {
        let mut command = tools.command("moto_server");
        command.args(["-H", "127.0.0.1", "-p", "0"]).args(more);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let endpoint = loop {
            let line = tokio::time::timeout(START, lines.next_line()).await.expect("moto does not start");
            let line = line.unwrap().expect("moto ended");
            if let Some(at) = line.find("http://127.0.0.1:").or_else(|| line.find("https://127.0.0.1:")) {
                break line[at..].split_whitespace().next().unwrap().to_owned();
            }
        };
        // Its log must be read, or it blocks.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { endpoint, _child: child }
    }
}

/// On a machine that is busy with other tests.
const START: Duration = Duration::from_secs(60);
