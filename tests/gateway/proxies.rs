//! A proxy with TLS before an S3 server that has none.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::harness::clients::{Tools, needs};
use crate::harness::process::Process;
use crate::harness::{BUCKET, Bucket, client, embedded};

/// Bytes of a file that goes up in parts.
const LARGE: usize = 17 << 20;

/// Starts it, with the certificate of a directory, before a server. It cannot choose a port itself: where somebody
/// has taken the one that was free a moment ago, it ends, and another is tried.
async fn nginx(tools: &Tools, place: &Path, upstream: &str) -> (SocketAddr, Child) {
    let directory = place.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("{name}_temp_path {directory}/{name};")).join(" ");
    loop {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "daemon off; master_process off; pid {directory}/pid; events {{}}\n\
             http {{ access_log off; {temporary} client_max_body_size 0;\n\
             server {{ listen {address} ssl; ssl_certificate {directory}/cert.pem;\n\
             ssl_certificate_key {directory}/key.pem; location / {{ proxy_pass {upstream};\n\
             proxy_http_version 1.1; proxy_set_header Host $http_host; }} }} }}\n"
        );
        std::fs::write(place.join("nginx.conf"), config).unwrap();
        let mut command = tools.command("nginx");
        command.args(["-e", "stderr", "-p"]).arg(place).args(["-c", "nginx.conf"]);
        let mut child = command.spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            if TcpStream::connect(address).await.is_ok() {
                return (address, child);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_nginx_with_tls_files_and_folders_are_written_and_moved() {
    let Some(tools) = needs(&["openssl", "nginx"]) else { return };
    let (s3, place, state) = (embedded().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut request = tools.command("openssl");
    request.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '));
    request.args("-keyout key.pem -out cert.pem -subj /CN=here -addext basicConstraints=CA:FALSE".split(' '));
    request.args(["-addext", "subjectAltName=IP:127.0.0.1"]).current_dir(&place);
    assert!(request.output().await.unwrap().status.success());
    let (address, _nginx) = nginx(&tools, place.path(), &s3.endpoint_url()).await;
    let bundle = place.path().join("cert.pem");
    let more = ["--ca-bundle", bundle.to_str().unwrap()];
    let gateway = Process::gateway(&format!("https://{address}"), &state, &more).await;
    let at = |path: &str| format!("{}{path}", gateway.url);
    let send = async |method: &str, path: &str, body: Bytes| {
        let request =
            client().request(method.parse().unwrap(), at(path)).header("Destination", at("/moved/"));
        request.body(body).send().await.unwrap().status().as_u16()
    };
    let large = Bytes::from(vec![7; LARGE]);
    assert_eq!(send("MKCOL", "/folder/", Bytes::new()).await, 201);
    assert_eq!(send("PUT", "/folder/small", Bytes::from("content")).await, 201);
    assert_eq!(send("PUT", "/folder/large", large.clone()).await, 201);
    let is_of_parts = |(name, target): &(String, String)| {
        name == "CompleteMultipartUpload" && target.contains("/folder/large")
    };
    assert_eq!(s3.hooks().transcript().iter().filter(|request| is_of_parts(request)).count(), 1);
    assert_eq!(send("MOVE", "/folder/", Bytes::new()).await, 201);
    for (name, content) in [("small", Bytes::from("content")), ("large", large)] {
        let got = client().get(at(&format!("/moved/{name}"))).send().await.unwrap();
        assert!(got.status() == 200 && got.bytes().await.unwrap() == content, "{name}");
    }
    let keys = Bucket::of(&s3.endpoint_url(), BUCKET).await.keys().await;
    assert!(keys.iter().all(|key| key.starts_with("moved/")), "{keys:?}");
}
