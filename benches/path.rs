//! s3dav over a directory beside a bare hyper file server: hot small GETs, a large download, and a
//! large upload beside `cp` and a sync. Prints the figures and their ratios.
//!
//! `cargo bench --bench path`; `TMPDIR` says on which disk.

#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3dav::commands::gateway::Gateway;
use s3dav::config::{Config, Listen, Source};
use s3dav::fs::path::PathOptions;
use s3dav::shutdown::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of the small file and of the large one.
const SMALL: usize = 4096;
const LARGE: usize = 1 << 30;
/// Connections of the small GETs, each with one request under way.
const CONNECTIONS: usize = 8;
/// How long each contender is measured.
const TIME: Duration = Duration::from_secs(4);
/// Rounds of the large transfers; the middle one counts.
const ROUNDS: usize = 3;
/// Bytes that the bare server reads at once, the best of those tried.
const PIECE: usize = 1 << 20;

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    std::fs::write(root.join("small"), vec![b'x'; SMALL]).unwrap();
    std::fs::write(root.join("large"), vec![b'x'; LARGE]).unwrap();
    // A file that changed just now is not remembered.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let bare = bare_file_server(root.clone()).await;
    let state = tempfile::tempdir().unwrap();
    let gateway = gateway(root.clone(), state.path().join("state")).await;

    let (hyper, own) = (small_gets(&bare).await, small_gets(&gateway).await);
    println!("GET of {SMALL} bytes, {CONNECTIONS} connections, requests per second:");
    println!("  bare hyper file server  {hyper:>9.0}");
    println!("  s3dav --path            {own:>9.0}  {:.2} of it", own / hyper);

    let (mut hyper, mut own) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        hyper.push(download(&bare).await);
        own.push(download(&gateway).await);
    }
    report("GET of 1 GiB", "bare hyper file server", hyper, own);

    let (mut copied, mut own) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let root = root.clone();
        copied.push(tokio::task::spawn_blocking(move || copy_and_sync(&root)).await.unwrap());
        own.push(upload(&gateway).await);
    }
    report("PUT of 1 GiB", "cp and fsync", copied, own);
}

fn report(what: &str, other: &str, mut theirs: Vec<f64>, mut own: Vec<f64>) {
    theirs.sort_by(f64::total_cmp);
    own.sort_by(f64::total_cmp);
    let (theirs, own) = (theirs[ROUNDS / 2], own[ROUNDS / 2]);
    println!("{what}, seconds, the median of {ROUNDS}:");
    println!("  {other:<22}  {theirs:>9.2}");
    println!("  s3dav --path            {own:>9.2}  {:.2} of its speed", theirs / own);
}

/// What hyper's users would write: one blocking call opens the file and reads its beginning, others
/// read on while the client takes what was read.
async fn bare_file_server(root: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let root = root.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let path = root.join(request.uri().path().trim_start_matches('/'));
                    async move { Ok::<_, Infallible>(file(path).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

type Chunks = std::pin::Pin<Box<dyn futures_util::Stream<Item = io::Result<Frame<Bytes>>> + Send>>;

async fn file(path: PathBuf) -> http::Response<StreamBody<Chunks>> {
    let open = move || {
        let mut file = File::open(path).unwrap();
        let size = file.metadata().unwrap().len();
        let mut first = vec![0; PIECE.min(size as usize)];
        file.read_exact(&mut first).unwrap();
        (Arc::new(file), size, Bytes::from(first))
    };
    let (file, size, first) = tokio::task::spawn_blocking(open).await.unwrap();
    let chunks = stream::unfold((file, 0, Some(first)), move |(file, at, ready)| async move {
        let chunk = match ready {
            Some(chunk) => chunk,
            None if at == size => return None,
            None => {
                let file = Arc::clone(&file);
                let read = move || {
                    let mut piece = vec![0; PIECE.min((size - at) as usize)];
                    file.read_exact_at(&mut piece, at).unwrap();
                    Bytes::from(piece)
                };
                tokio::task::spawn_blocking(read).await.unwrap()
            }
        };
        let next = at + chunk.len() as u64;
        Some((Ok(Frame::data(chunk)), (file, next, None)))
    });
    let mut answer = http::Response::new(StreamBody::new(Box::pin(chunks) as Chunks));
    answer.headers_mut().insert("content-length", size.into());
    answer
}

async fn gateway(directory: PathBuf, state_dir: PathBuf) -> String {
    let source = Source::Path(PathOptions::new(directory));
    let config = Config {
        listen: Listen::parse(&["127.0.0.1:0".into()]).unwrap(),
        access: s3dav::http::auth::Access::Anyone,
        shutdown_timeout: Duration::from_secs(1),
        ..Config::new(source, state_dir)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let gateway = Gateway::new(config, vec![listener], Shutdown::default()).await;
    tokio::spawn(gateway.unwrap_or_else(|failure| panic!("{:#}", failure.error)).run());
    address
}

/// Requests per second over all connections.
async fn small_gets(address: &str) -> f64 {
    let begun = Instant::now();
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let address = address.to_owned();
            tokio::spawn(async move {
                let mut stream = connect(&address, "GET", "small", 0).await;
                let (mut count, mut answer) = (0_u64, vec![0; 64 << 10]);
                while begun.elapsed() < TIME {
                    let mut read = 0;
                    while !is_whole(&answer[..read]) {
                        read += stream.read(&mut answer[read..]).await.unwrap();
                    }
                    count += 1;
                    stream.write_all(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
                }
                count
            })
        })
        .collect();
    let mut total = 0;
    for connection in connections {
        total += connection.await.unwrap();
    }
    total as f64 / begun.elapsed().as_secs_f64()
}

/// Whether a small answer has come.
fn is_whole(answer: &[u8]) -> bool {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    head.is_some_and(|head| answer.len() == head + 4 + SMALL)
}

async fn connect(address: &str, method: &str, name: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let head = format!("{method} /{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn download(address: &str) -> f64 {
    let begun = Instant::now();
    let mut stream = connect(address, "GET", "large", 0).await;
    let (mut read, mut buffer) = (0, vec![0; 1 << 20]);
    while read < LARGE {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "it broke off");
        read += count;
    }
    begun.elapsed().as_secs_f64()
}

async fn upload(address: &str) -> f64 {
    let begun = Instant::now();
    let mut stream = connect(address, "PUT", "uploaded", LARGE).await;
    let piece = vec![b'y'; 1 << 20];
    for _ in 0..LARGE / piece.len() {
        stream.write_all(&piece).await.unwrap();
    }
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 2");
    begun.elapsed().as_secs_f64()
}

fn copy_and_sync(root: &std::path::Path) -> f64 {
    let begun = Instant::now();
    let target = root.join("copied");
    assert!(
        std::process::Command::new("cp")
            .args(["--reflink=never", "--sparse=never"])
            .arg(root.join("large"))
            .arg(&target)
            .status()
            .unwrap()
            .success()
    );
    File::open(&target).unwrap().sync_all().unwrap();
    begun.elapsed().as_secs_f64()
}
