//! The ceiling of hot small GETs, in requests per second: a bare hyper server, the bare WebDAV engine
//! on its in-memory file system, and s3dav over the embedded S3 server, all in one run.
//!
//! And what it costs a connection to find out whose it is, and what its owner feels of connections that are
//! closed at once. `cargo bench --bench engine` prints the figures and their ratios; with `-- hot`, those of the
//! GETs alone.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dav_server::memfs::MemFs;
use dav_server::{DavHandler, memls::MemLs};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3dav::commands::gateway::Gateway;
use s3dav::config::{BucketSource, BucketSpec, Config, Listen, Source};
use s3dav::embedded::{EmbeddedOptions, EmbeddedS3};
use s3dav::http::auth::Access;
use s3dav::shutdown::Shutdown;
use s3dav::store::s3::{FixedCredentials, S3Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of the file.
const SIZE: usize = 4096;
/// Connections, each with one request under way.
const CONNECTIONS: usize = 8;
/// Connections a second.
const FLOOD: u32 = 400;
/// How long each contender is measured.
const TIME: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() {
    let hyper = measure(&bare_hyper().await).await;
    let engine = measure(&bare_engine().await).await;
    let (address, _keep) = gateway(Access::Anyone).await;
    let gateway = measure(&address).await;
    println!("GET of {SIZE} bytes, {CONNECTIONS} connections, requests per second:");
    println!("  bare hyper              {hyper:>9.0}");
    println!("  bare engine, in memory  {engine:>9.0}  {:.2} of hyper", engine / hyper);
    println!("  s3dav                   {gateway:>9.0}  {:.2} of hyper", gateway / hyper);
    if std::env::args().any(|argument| argument == "hot") {
        return;
    }
    let open = connections(&address).await;
    let (address, _keep) = self::gateway(Access::Peers(None)).await;
    let peers = connections(&address).await;
    let (calm, flooded) = (waits(&address, 0).await, waits(&address, FLOOD).await);
    println!("OPTIONS, each on a connection of its own, one after another:");
    println!("  --auth none             {:>9.1} µs", open * 1e6);
    println!("  --auth peer             {:>9.1} µs  {:.2} of that", peers * 1e6, peers / open);
    println!("the same with --auth peer, the slowest of a hundred:");
    println!("  alone                   {:>9.1} µs", calm * 1e6);
    println!("  beside {FLOOD} a second     {:>9.1} µs  {:.2} of that", flooded * 1e6, flooded / calm);
}

/// Seconds that a connection with one request takes.
async fn connections(address: &str) -> f64 {
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < TIME / 2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        count += 1;
    }
    begun.elapsed().as_secs_f64() / f64::from(count)
}

/// Seconds that all but the slowest hundredth take, beside so many a second that are closed when they have sent a
/// request.
async fn waits(address: &str, flood: u32) -> f64 {
    let (begun, flooded) = (Instant::now(), address.to_owned());
    let flooding = tokio::spawn(async move {
        for n in 0..flood * TIME.as_secs() as u32 {
            tokio::time::sleep_until((begun + Duration::from_secs(1) * n / flood).into()).await;
            let mut stream = TcpStream::connect(&flooded).await.unwrap();
            let _ =
                stream.write_all(b"PUT /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx").await;
        }
    });
    let mut times = Vec::new();
    while begun.elapsed() < TIME {
        let one = Instant::now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        times.push(one.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    flooding.await.unwrap();
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

async fn bare_hyper() -> String {
    let body = Bytes::from(vec![b'x'; SIZE]);
    serve(move |_| {
        let body = body.clone();
        async move { http::Response::new(Full::new(body)) }
    })
    .await
}

async fn bare_engine() -> String {
    let handler = DavHandler::builder().filesystem(MemFs::new()).locksystem(MemLs::new()).build_handler();
    let put = http::Request::put("/file").body(Full::new(Bytes::from(vec![b'x'; SIZE]))).unwrap();
    assert!(handler.handle(put).await.status().is_success());
    serve(move |request| {
        let handler = handler.clone();
        async move { handler.handle(request).await }
    })
    .await
}

async fn gateway(access: Access) -> (String, impl Drop) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = EmbeddedOptions { buckets: vec!["bench".into()], ..Default::default() };
    let s3 = EmbeddedS3::start(listener, options).await.unwrap();
    let (state, keys) = (tempfile::tempdir().unwrap(), s3.keys().clone());
    let options = S3Options {
        endpoint_url: Some(s3.endpoint_url()),
        force_path_style: Some(true),
        credentials: Some(FixedCredentials { access_key: keys.access_key, secret: keys.secret }),
        ..S3Options::default()
    };
    let buckets = vec![BucketSpec::parse("bench").unwrap()];
    let source = BucketSource { trusts_conditions: true, ..BucketSource::new(buckets, options) };
    let source = Source::Buckets(Box::new(source));
    let config = Config {
        listen: Listen::parse(&["127.0.0.1:0".into()]).unwrap(),
        access,
        shutdown_timeout: Duration::from_secs(1),
        ..Config::new(source, state.path().join("state"))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let gateway = Gateway::new(config, vec![listener], Shutdown::default()).await;
    let gateway = gateway.unwrap_or_else(|failure| panic!("{:#}", failure.error));
    tokio::spawn(gateway.run());
    let put = format!(
        "PUT /file HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n{}",
        "x".repeat(SIZE)
    );
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(put.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");
    (address, Keep(s3, state))
}

/// Lives as long as the gateway is measured.
struct Keep(#[allow(dead_code)] EmbeddedS3, #[allow(dead_code)] tempfile::TempDir);

impl Drop for Keep {
    fn drop(&mut self) {}
}

/// Serves on a free port until the process ends.
async fn serve<F, R, B>(answer: F) -> String
where
    F: Fn(http::Request<hyper::body::Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = http::Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answer = answer.clone();
                    async move { Ok::<_, Infallible>(answer(request).await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

/// Requests per second over all connections.
async fn measure(address: &str) -> f64 {
    let begun = Instant::now();
    let address: Arc<str> = address.into();
    let clients: Vec<_> =
        (0..CONNECTIONS).map(|_| tokio::spawn(client(Arc::clone(&address), begun + TIME))).collect();
    let mut total = 0_u64;
    for client in clients {
        total += client.await.unwrap();
    }
    total as f64 / begun.elapsed().as_secs_f64()
}

async fn client(address: Arc<str>, end: Instant) -> u64 {
    let mut stream = TcpStream::connect(&*address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; SIZE * 2];
    let mut count = 0;
    while Instant::now() < end {
        stream.write_all(b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut read = 0;
        let whole = loop {
            read += stream.read(&mut buffer[read..]).await.unwrap();
            if let Some(head) = buffer[..read].windows(4).position(|window| window == b"\r\n\r\n") {
                break head + 4 + SIZE;
            }
        };
        while read < whole {
            read += stream.read(&mut buffer[read..]).await.unwrap();
        }
        count += 1;
    }
    count
}
