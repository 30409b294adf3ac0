//! Ways to a far gateway that are slow or silent: what moves is let be, and what does not is ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::unfold;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::far::Pair;
use crate::harness::eventually;

/// What a way does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Carries everything.
    Open,
    /// Carries everything; answers only after a while.
    Late(Duration),
    /// Carries what is under way, little at a time. New connections have no answer; the first one breaks.
    Narrow,
    /// Carries nothing more, and does not say so. New connections as above.
    Dead,
}

/// A way with little room of its own.
struct Line {
    way: watch::Sender<Way>,
    /// Bytes that have gone to the far end.
    carried: Arc<AtomicU64>,
    _accepting: AbortOnDropHandle<()>,
}

impl Line {
    async fn lead(pair: &Pair) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(ROOM).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(64).unwrap();
        let address = listener.local_addr().unwrap();
        let (way, carried) = (watch::Sender::new(Way::Open), Arc::new(AtomicU64::new(0)));
        let (to, known, counted) = (pair.far.address().parse().unwrap(), way.clone(), Arc::clone(&carried));
        let accepting = tokio::spawn(async move {
            let (mut connections, mut held) = (JoinSet::new(), Vec::new());
            let mut breaks = true;
            while let Ok((stream, _)) = listener.accept().await {
                if matches!(*known.borrow(), Way::Open | Way::Late(_)) {
                    connections.spawn(carry(stream, to, known.subscribe(), Arc::clone(&counted)));
                } else if !std::mem::take(&mut breaks) {
                    held.push(stream);
                }
            }
        });
        let before = pair.wire.opened();
        pair.wire.lead(address);
        eventually("the new way is used", || async { pair.wire.opened() > before }).await;
        Self { way, carried, _accepting: AbortOnDropHandle::new(accepting) }
    }

    fn carried(&self) -> u64 {
        self.carried.load(Ordering::SeqCst)
    }
}

async fn carry(near: TcpStream, to: SocketAddr, way: watch::Receiver<Way>, carried: Arc<AtomicU64>) {
    let Ok(far) = TcpStream::connect(to).await else { return };
    let ((mut asks, mut hears), (mut tells, mut takes)) = (near.into_split(), far.into_split());
    let mut known = way.clone();
    let out = async {
        let mut bytes = vec![0; STEP];
        while let Ok(read @ 1..) = asks.read(&mut bytes).await {
            let now = *known.borrow_and_update();
            match now {
                Way::Narrow => sleep(Duration::from_millis(100)).await,
                Way::Dead => return std::future::pending().await,
                Way::Open | Way::Late(_) => {}
            }
            carried.fetch_add(read as u64, Ordering::SeqCst);
            if takes.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let (mut bytes, mut answers) = (vec![0; STEP], 0);
        while let Ok(read @ 1..) = tells.read(&mut bytes).await {
            answers += 1;
            let now = *way.borrow();
            match now {
                Way::Late(time) if answers > 1 => sleep(time).await,
                Way::Dead => return std::future::pending().await,
                _ => {}
            }
            if hears.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = out => {}
        () = back => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_and_a_slow_copy_are_not_cut() {
    let pair = Pair::new(|config| config.service.request_budget = Some(Duration::from_secs(2))).await;
    let pieces = unfold(0, |number| async move {
        sleep(Duration::from_millis(600)).await;
        (number < 6).then(|| (Ok::<_, std::io::Error>(vec![b'a'; 1000]), number + 1))
    });
    let body = reqwest::Body::wrap_stream(pieces);
    assert_eq!(pair.near.put("/a", body).await, 201);
    assert_eq!(pair.far.bucket().await.get("a").await.unwrap().len(), 6000);
    let line = Line::lead(&pair).await;
    assert_eq!(pair.near.status("GET", "/a").await, 200);
    line.way.send_replace(Way::Late(Duration::from_secs(4)));
    assert_eq!(pair.near.transfer("COPY", "/a", "/b").await, 201);
    assert_eq!(pair.near.transfer("COPY", "/a", "/b").await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_moves_keeps_a_line_that_answers_no_probe() {
    let pair = Pair::new(|_| {}).await;
    let line = Line::lead(&pair).await;
    assert_eq!(pair.near.put("/small", "content").await, 201);
    let opened = pair.wire.opened();
    let saving = tokio::spawn({
        let near = pair.near.clone_handle();
        async move { near.put("/large", vec![b'a'; LARGE]).await }
    });
    line.way.send_replace(Way::Narrow);
    eventually("it is under way", || async { line.carried() > 100_000 }).await;
    let asking = tokio::spawn({
        let near = pair.near.clone_handle();
        async move { near.status("GET", "/small").await }
    });
    let saved = timeout(Duration::from_secs(100), saving).await.expect("it comes to an end").unwrap();
    assert_eq!(saved, 201);
    assert_eq!(pair.wire.opened(), opened, "the line was kept");
    assert!(line.carried() < LARGE as u64 * 3 / 2, "it was sent once: {}", line.carried());
    asking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_ends_when_its_line_is_dead() {
    let pair = Pair::new(|_| {}).await;
    assert_eq!(pair.near.put("/large", vec![b'a'; 16 << 20]).await, 201);
    let line = Line::lead(&pair).await;
    let answer = pair.near.request("GET", "/large").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.bytes_stream();
    assert!(body.next().await.unwrap().is_ok());
    line.way.send_replace(Way::Dead);
    let asking = tokio::spawn({
        let near = pair.near.clone_handle();
        async move { near.status("GET", "/large").await }
    });
    let last = async {
        let mut last = None;
        while let Some(piece) = body.next().await {
            last = Some(piece.is_ok());
        }
        last
    };
    let last = timeout(Duration::from_secs(60), last).await.expect("it ends");
    assert_eq!(last, Some(false), "it is not taken for whole");
    asking.abort();
}

/// Bytes that wait in a way's socket, about.
const ROOM: u32 = 128 << 10;
const STEP: usize = 16 << 10;
/// Bytes that take longer in steps of 100 ms than a line without an answer to a probe would be kept for.
const LARGE: usize = 4 << 20;
