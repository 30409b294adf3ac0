//! Endpoints that are broken, or mean harm: what they send neither fills the memory nor reaches a terminal as
//! it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::process::{Process, command, outcome, serve};
use crate::harness::{client, embedded};

/// How every request is answered, but for HEAD: nothing is there.
#[derive(Clone)]
enum Way {
    Whole {
        status: u16,
        headers: String,
        body: Vec<u8>,
    },
    /// The piece again and again, for as long as somebody takes it.
    Endless {
        status: u16,
        start: &'static str,
        piece: Vec<u8>,
    },
}

/// An endpoint of a few lines.
#[derive(Clone)]
struct Endpoint {
    url: String,
    way: Arc<Mutex<Way>>,
    /// The most bytes of one endless answer that were taken.
    most: Arc<AtomicU64>,
    /// The heads of all requests.
    heads: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    async fn start(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            way: Arc::new(Mutex::new(way)),
            most: Arc::default(),
            heads: Arc::default(),
        };
        let serving = endpoint.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let endpoint = serving.clone();
                tokio::spawn(async move { endpoint.answer(stream).await });
            }
        });
        endpoint
    }

    async fn answer(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut buffer = [0; 4096];
        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut buffer).await {
                Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
        self.heads.lock().push(String::from_utf8_lossy(&head).into_owned());
        if head.starts_with(b"HEAD ") {
            let _ = stream.write_all(b"HTTP/1.1 404 X\r\nconnection: close\r\n\r\n").await;
            return;
        }
        let way = self.way.lock().clone();
        match way {
            Way::Whole { status, headers, body } => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
            }
            Way::Endless { status, start, piece } => {
                let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/xml\r\n\r\n{start}");
                let mut sent = 0;
                let mut next = head.into_bytes();
                while sent < ENOUGH && stream.write_all(&next).await.is_ok() {
                    sent += next.len() as u64;
                    self.most.fetch_max(sent, Ordering::Relaxed);
                    next.clone_from(&piece);
                }
            }
        }
    }
}

const EMPTY: &str =
    "<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated></ListBucketResult>";
/// Bytes after which an endless answer ends all the same.
const ENOUGH: u64 = 512 << 20;
/// What may be sent of an answer that is given up at 16 MiB: sockets have buffers on both sides.
const MOST_SENT: u64 = 48 << 20;
/// Bytes. A gateway without work takes a fourth of this.
const MOST_MEMORY: u64 = 256 << 20;

fn xml(status: u16, body: impl Into<Vec<u8>>) -> Way {
    Way::Whole { status, headers: "content-type: application/xml\r\n".to_owned(), body: body.into() }
}

fn error(status: u16, code: &str, message: &str) -> Way {
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    xml(status, body)
}

/// A gateway on an endpoint that is well while it starts.
async fn on(endpoint: &Endpoint, state: &TempDir, more: &[&str]) -> Process {
    let mut options = vec!["--metadata-ttl", "0s"];
    if !more.contains(&"--request-budget") {
        options.extend(["--request-budget", "1s"]);
    }
    options.extend(more);
    Process::gateway(&endpoint.url, state, &options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_an_end_are_given_up() {
    let endless = |status, start| Way::Endless { status, start, piece: vec![b'x'; 64 << 10] };
    let listed = "<ListBucketResult><Name>bucket</Name><Contents><Key>";
    let cases = [
        ("PROPFIND", endless(200, listed)),
        ("PROPFIND", endless(403, "<Error><Code>AccessDenied</Code><Message>")),
        ("GET", endless(500, "<Error><Code>InternalError</Code><Message>")),
        ("DELETE", endless(200, listed)),
        ("PUT", endless(400, "<Error><Code>EntityTooLarge</Code><Message>")),
    ];
    futures_util::future::join_all(cases.map(|(method, way)| is_given_up(method, way))).await;
}

async fn is_given_up(method: &str, way: Way) {
    let (endpoint, state) = (Endpoint::start(xml(200, EMPTY)).await, tempfile::tempdir().unwrap());
    let gateway =
        on(&endpoint, &state, &["--conditional-writes", "yes", "--request-budget", "15s", "-v"]).await;
    *endpoint.way.lock() = way;
    let asked = client().request(method.parse().unwrap(), format!("{}/file", gateway.url));
    let asked = asked.header("Depth", if method == "DELETE" { "infinity" } else { "0" });
    let answer = asked.body(if method == "PUT" { "content" } else { "" }).send().await.unwrap();
    assert_eq!(answer.status(), 503, "{method}");
    let most = endpoint.most.load(Ordering::Relaxed);
    assert!(most <= MOST_SENT, "{method}: {most} bytes were taken");
    assert!(gateway.peak_memory() < MOST_MEMORY, "{method}: {}", gateway.peak_memory());
    let log = gateway.said.lock().clone();
    assert!(
        log.contains("the store's answer is not valid S3: ") && log.contains("16 MiB"),
        "{method}: {log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_countless_entries_is_given_up() {
    let (endpoint, state) = (Endpoint::start(xml(200, EMPTY)).await, tempfile::tempdir().unwrap());
    let gateway = on(&endpoint, &state, &[]).await;
    let entries = "<Contents/>".repeat((15 << 20) / 11);
    *endpoint.way.lock() = xml(200, EMPTY.replace("</ListBucketResult>", &entries) + "</ListBucketResult>");
    let listing = client().request("PROPFIND".parse().unwrap(), &gateway.url).header("Depth", "1");
    assert_eq!(listing.send().await.unwrap().status(), 503);
    assert!(gateway.peak_memory() < MOST_MEMORY, "{}", gateway.peak_memory());
}

/// A page of a listing that holds this key alone; `next`: the token that goes on.
fn page(key: &str, next: Option<&str>) -> Way {
    let goes_on = next.map(|token| format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    let entry = format!(
        "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"e\"</ETag>\
         <Size>1</Size></Contents>"
    );
    xml(
        200,
        format!(
            "<ListBucketResult><Name>bucket</Name><IsTruncated>{}</IsTruncated>{}{entry}</ListBucketResult>",
            next.is_some(),
            goes_on.unwrap_or_default()
        ),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_what_was_not_asked_for_is_not_believed() {
    for (way, what) in [
        (page("precious", None), "a key outside"),
        (page("directory", None), "a key outside"),
        (page("dir/x", Some("again")), "goes on where it was"),
    ] {
        let (endpoint, state) = (Endpoint::start(xml(200, EMPTY)).await, tempfile::tempdir().unwrap());
        let gateway = on(&endpoint, &state, &["--conditional-writes", "yes"]).await;
        *endpoint.way.lock() = way;
        for (method, depth) in [("DELETE", "infinity"), ("PROPFIND", "1")] {
            let request = client().request(method.parse().unwrap(), format!("{}/dir/", gateway.url));
            let request = request.header("Depth", depth).timeout(Duration::from_secs(20));
            let answered = async { request.send().await?.error_for_status()?.bytes().await };
            let answered = answered.await;
            let changes = |head: &String| head.starts_with("POST ") || head.starts_with("DELETE ");
            let heads = endpoint.heads.lock().clone();
            assert!(!heads.iter().any(changes), "{what}: {heads:#?}");
            assert!(answered.as_ref().is_err_and(|e| !e.is_timeout()), "{method} {what}: {answered:?}");
        }
        let log = gateway.said.lock().clone();
        assert!(log.contains(what), "{log}");
    }
}

/// What terminals act on, and what hides text from its readers.
const HARMFUL: [char; 5] = ['\u{9b}', '\u{7f}', '\u{202e}', '\u{2066}', '\u{2028}'];

fn is_harmless(text: &str) -> bool {
    !text.contains("\nnot a line of its own") && !text.contains(HARMFUL)
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_s3_do_nothing_to_a_terminal() {
    let message = "denied\nnot a line of its own\u{9b}31m\u{7f}\u{202e}\u{2066}\u{2028}end";
    let (endpoint, state) =
        (Endpoint::start(error(403, "AccessDenied", message)).await, tempfile::tempdir().unwrap());
    let (code, _, said) = outcome(serve(&endpoint.url, &state, &[])).await;
    assert!(code == 1 && said.contains("access to the bucket \"bucket\" is denied"), "{said}");
    assert!(
        said.contains(r"denied\nnot a line of its own\u{9b}31m\u{7f}\u{202e}\u{2066}\u{2028}end"),
        "{said}"
    );
    assert!(is_harmless(&said), "{said:?}");

    *endpoint.way.lock() = xml(200, EMPTY);
    let gateway = on(&endpoint, &state, &["-vv"]).await;
    let url = format!("{}/file", gateway.url);
    for (status, code) in
        [(503, "ServiceUnavailable"), (400, "Strange\u{9b}\nnot a line of its own"), (413, "X")]
    {
        *endpoint.way.lock() = error(status, code, message);
        let answer = client().get(&url).send().await.unwrap();
        assert!(answer.status().is_client_error() || answer.status().is_server_error(), "{status}");
        let text = answer.text().await.unwrap();
        assert!(is_harmless(&text), "{text:?}");
    }
    *endpoint.way.lock() = error(503, "ServiceUnavailable", message);
    client().get(&url).send().await.unwrap();
    let state_dir = state.path().join("state");
    for more in [&[][..], &["--json"]] {
        let arguments = [&["status", "--state-dir", state_dir.to_str().unwrap()], more].concat();
        let (code, said, _) = outcome(command(&arguments)).await;
        assert_eq!(code, 0);
        assert!(said.contains("31m") && is_harmless(&said), "{said:?}");
    }
    let log = gateway.said.lock().clone();
    assert!(log.contains("31m") && is_harmless(&log), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_of_s3_is_cut() {
    let (endpoint, state) = (Endpoint::start(xml(200, EMPTY)).await, tempfile::tempdir().unwrap());
    let gateway = on(&endpoint, &state, &[]).await;
    *endpoint.way.lock() = error(400, "Strange", &"long ".repeat(1 << 20));
    let answer = client().get(format!("{}/file", gateway.url)).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    let text = answer.text().await.unwrap();
    assert!(text.contains("Strange: long long") && text.len() < 4096, "{} bytes", text.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_none_is_not_gone_to() {
    let moved = |headers: &str, region: &str| Way::Whole {
        status: 301,
        headers: format!("content-type: application/xml\r\n{headers}"),
        body: format!("<Error><Code>PermanentRedirect</Code><Region>{region}</Region></Error>").into(),
    };
    let long = "a".repeat(33);
    for way in [
        moved("x-amz-bucket-region: 127.0.0.1:19191/#\r\n", "eu-central-1"),
        moved("", "127.0.0.1:19191/#"),
        moved("", "E U"),
        moved("", ""),
        moved("", &long),
    ] {
        let (endpoint, state) = (Endpoint::start(xml(200, EMPTY)).await, tempfile::tempdir().unwrap());
        let gateway = on(&endpoint, &state, &[]).await;
        *endpoint.way.lock() = way;
        let answer = client().get(format!("{}/file", gateway.url)).send().await.unwrap();
        assert_eq!(answer.status(), 503);
        let text = answer.text().await.unwrap();
        assert!(text.contains("region unknown"), "{text}");
        let heads = endpoint.heads.lock().clone();
        let own = |head: &String| head.contains("/us-east-1/s3/aws4_request");
        assert!(heads.iter().all(own), "{heads:#?}");
    }
    let s3 = embedded().await;
    s3.hooks().set_region(Some("eu-central-1"));
    let state = tempfile::tempdir().unwrap();
    let gateway = Process::gateway(&s3.endpoint_url(), &state, &[]).await;
    let answer = client().get(format!("{}/file", gateway.url)).send().await.unwrap();
    assert_eq!(answer.status(), 404, "one that is a region is");
}
