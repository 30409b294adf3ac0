//! One network path for all: a latency, a speed that all connections share, and a request counter.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// What the path is like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// There and back.
    pub round_trip: Duration,
    /// Bytes a second and direction; `None`: as fast as it goes.
    pub speed: Option<u64>,
}

/// A running proxy.
pub struct Proxy {
    pub address: SocketAddr,
    requests: Arc<AtomicU64>,
}

/// One direction of the path: when it is free again.
type Link = Arc<Mutex<Instant>>;

impl Proxy {
    pub async fn start(server: SocketAddr, shape: Shape) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&requests);
        let (up, down): (Link, Link) =
            (Arc::new(Mutex::new(Instant::now())), Arc::new(Mutex::new(Instant::now())));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (counter, up, down) = (Arc::clone(&counter), Arc::clone(&up), Arc::clone(&down));
                tokio::spawn(async move {
                    // The handshake takes a round trip, too.
                    tokio::time::sleep(shape.round_trip).await;
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    let (client_read, client_write) = client.into_split();
                    let (server_read, server_write) = server.into_split();
                    tokio::join!(
                        carry(client_read, server_write, up, shape, Some(counter)),
                        carry(server_read, client_write, down, shape, None)
                    );
                });
            }
        });
        Self { address, requests }
    }

    /// HTTP requests since the last call.
    pub fn take_requests(&self) -> u64 {
        self.requests.swap(0, Ordering::Relaxed)
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    link: Link,
    shape: Shape,
    counter: Option<Arc<AtomicU64>>,
) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Bytes)>(IN_FLIGHT);
    let reading = async move {
        let mut buffer = vec![0; CHUNK];
        let mut tail = Vec::new();
        while let Ok(read) = from.read(&mut buffer).await {
            if read == 0 {
                break;
            }
            let chunk = Bytes::copy_from_slice(&buffer[..read]);
            if let Some(counter) = &counter {
                counter.fetch_add(count_requests(&mut tail, &chunk), Ordering::Relaxed);
            }
            let arrives = passed(&link, shape, read);
            if sender.send((arrives, chunk)).await.is_err() {
                break;
            }
        }
    };
    let writing = async move {
        while let Some((arrives, chunk)) = receiver.recv().await {
            sleep_until(arrives).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}

/// When bytes that go in now come out.
fn passed(link: &Link, shape: Shape, bytes: usize) -> Instant {
    let now = Instant::now();
    let Some(speed) = shape.speed else { return now + shape.round_trip / 2 };
    let mut free = link.lock().unwrap();
    *free = (*free).max(now) + Duration::from_secs_f64(bytes as f64 / speed as f64);
    *free + shape.round_trip / 2
}

/// Counts request lines; bodies here never hold one.
fn count_requests(tail: &mut Vec<u8>, chunk: &[u8]) -> u64 {
    const END: &[u8] = b" HTTP/1.1\r\n";
    tail.extend_from_slice(chunk);
    let count = tail.windows(END.len()).filter(|window| *window == END).count();
    let keep = tail.len().min(END.len() - 1);
    tail.drain(..tail.len() - keep);
    count as u64
}

const CHUNK: usize = 64 << 10;
/// Chunks of one connection under way: more than any path here holds.
const IN_FLIGHT: usize = 256;
