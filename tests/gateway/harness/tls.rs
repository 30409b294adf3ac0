//! A server with TLS and a certificate of its own.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::clients::Tools;

/// A server of one page, whose certificate signed itself and is for 127.0.0.1 alone.
pub struct Tls {
    pub url: String,
    /// The path of its certificate.
    pub certificate: String,
    _place: TempDir,
    _server: Child,
}

impl Tls {
    /// `constraints`: the basic ones of the certificate, such as `CA:FALSE`.
    pub async fn start(tools: &Tools, constraints: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut request = tools.command("openssl");
        request.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '));
        request.args("-keyout key.pem -out cert.pem -subj /CN=here -addext".split(' '));
        request.args(["subjectAltName=IP:127.0.0.1", "-addext", &format!("basicConstraints={constraints}")]);
        assert!(request.current_dir(&place).output().await.unwrap().status.success());
        let mut server = tools.command("openssl");
        server.args("s_server -www -accept 127.0.0.1:0 -cert cert.pem -key key.pem".split(' '));
        server.current_dir(&place).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut server = server.spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("openssl ended");
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                break address.to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let certificate = place.path().join("cert.pem").to_str().unwrap().to_owned();
        Self { url: format!("https://{address}"), certificate, _place: place, _server: server }
    }
}
