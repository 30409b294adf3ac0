//! Accepting connections, and letting them end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Once};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::body::Rest;
use super::service::{Ends, Service};
use crate::shutdown::Shutdown;

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; more wait in the socket's queue.
    pub connections: usize,
    /// From one request to the end of the next one's headers. Long, since a client like Finder
    /// takes a closed connection badly.
    pub header_time: Duration,
    /// Connections at once of programs that must be asked for a password, of all that there are.
    pub strangers: usize,
    /// The time from one request to the next on those.
    pub stranger_time: Duration,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Headers of a request.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            header_time: Duration::from_secs(600),
            strangers: 64,
            stranger_time: Duration::from_secs(15),
            header_bytes: 64 << 10,
            headers: 100,
        }
    }
}

/// A server that has its sockets and waits for [`Server::run`].
pub struct Server {
    listeners: Vec<TcpListener>,
    service: Service,
    limits: Limits,
}

impl Server {
    pub fn new(listeners: Vec<TcpListener>, service: Service, limits: Limits) -> Self {
        Self { listeners, service, limits }
    }

    /// The addresses that are served.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves until the shutdown begins; then lets requests in flight finish within `grace`.
    pub async fn run(self, shutdown: &Shutdown, grace: Duration) {
        let places = Places {
            all: Arc::new(Semaphore::new(self.limits.connections)),
            strangers: Arc::new(Semaphore::new(self.limits.strangers)),
        };
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            let (service, places) = (self.service.clone(), places.clone());
            accepting.spawn(accept(listener, service, self.limits, places, shutdown.clone(), grace));
        }
        while accepting.join_next().await.is_some() {}
    }
}

/// Room for connections.
#[derive(Clone)]
struct Places {
    all: Arc<Semaphore>,
    /// Other users must not be able to shut this one out.
    strangers: Arc<Semaphore>,
}

async fn accept(
    listener: TcpListener,
    service: Service,
    limits: Limits,
    places: Places,
    shutdown: Shutdown,
    grace: Duration,
) {
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places.all).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            next = next => next,
            Some(_) = connections.join_next() => continue,
            () = shutdown.begun() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (service, shutdown, places) = (service.clone(), shutdown.clone(), places.clone());
                connections.spawn(async move {
                    let _counted = service.metrics().connection();
                    serve(stream, peer, service, limits, places, shutdown).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::warn!(?grace, "requests were still running at the end");
        // Waits until they are gone, so that what they leave behind is known to the shutdown.
        connections.shutdown().await;
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    service: Service,
    limits: Limits,
    places: Places,
    shutdown: Shutdown,
) {
    let Ok(local) = stream.local_addr() else { return };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection without TCP_NODELAY will be slow");
    }
    let is_trusted = service.auth().trusts(peer, local).await;
    let ends = Ends { local, peer, is_trusted };
    let is_stranger = service.auth().knows_its_own() && !is_trusted;
    let header_time = if is_stranger { limits.stranger_time } else { limits.header_time };
    let room = is_stranger.then(|| Arc::clone(&places.strangers).try_acquire_owned());
    if let Some(Err(_)) = room {
        tracing::debug!(%peer, "too many connections of other users");
        return;
    }
    let asked = Arc::new(Notify::new());
    let (first, has_asked) = (Once::new(), Arc::clone(&asked));
    // At most one at a time: the next request comes after it.
    let (rests, unread) = mpsc::unbounded_channel();
    let answer = service_fn(move |request| {
        first.call_once(|| has_asked.notify_one());
        let (service, rests) = (service.clone(), rests.clone());
        let crowded = places.all.available_permits() == 0;
        async move { Ok::<_, Infallible>(service.answer(request, ends, crowded, &rests).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_buf_size(limits.header_bytes.max(MIN_BUFFER))
        .max_header_size(limits.header_bytes)
        .max_headers(limits.headers)
        .half_close(false);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
    let serving = async {
        tokio::select! {
        ended = &mut connection => ended,
        () = shutdown.begun() => {
            // What was just accepted is about to ask; its request would be lost.
            let first = tokio::time::timeout(FIRST_REQUEST, asked.notified());
            tokio::select! {
                ended = &mut connection => ended,
                _ = first => {
                    // No further request on this connection; the one under way goes on.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
        }
    };
    let ended = tokio::select! {
        ended = serving => ended,
        () = read_all(unread) => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

/// Goes on as long as the connection may have more.
async fn read_all(mut unread: UnboundedReceiver<Rest>) {
    while let Some(rest) = unread.recv().await {
        rest.read().await;
    }
}

/// Out of file descriptors, most likely: let some go before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// From a connection to its first request, when the program ends meanwhile.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// hyper's own least.
const MIN_BUFFER: usize = 8192;
