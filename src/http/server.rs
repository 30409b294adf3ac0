//! Accepting connections, and letting them end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Once};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::auth::Caller;
use super::body::Remainder;
use super::conn_info::ConnInfo;
use super::places::{Place, Places};
use super::service::Service;
use crate::logging::{Rarely, milliseconds};
use crate::shutdown::Shutdown;
use crate::sync::Budget;

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; for more those that are idle make room.
    pub connections: usize,
    /// From one request to the end of the next one's headers. Long, since a client like Finder
    /// takes a closed connection badly.
    pub header_time: Duration,
    /// Connections at once of programs that must be asked for a password, of all that there are.
    pub strangers: usize,
    /// The time from one request to the next on those.
    pub stranger_time: Duration,
    /// Connections that wait to be told apart, or for a place; more wait in the socket's queue.
    pub at_the_door: usize,
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
            at_the_door: 64,
            header_bytes: 64 << 10,
            headers: 100,
        }
    }
}

impl Limits {
    /// For the address of metrics alone: a few programs ask there, each few seconds.
    pub fn of_metrics() -> Self {
        Self { connections: 16, header_time: Duration::from_secs(30), at_the_door: 8, ..Self::default() }
    }

    /// These, or fewer, where only so many files and connections can be open.
    pub fn within(self, descriptors: u64) -> Self {
        // The rest is for S3 and the disk.
        let connections = self.connections.min(usize::try_from(descriptors / 4).unwrap_or(usize::MAX)).max(1);
        let few = (connections / 4).max(1);
        Self {
            connections,
            strangers: self.strangers.min(few),
            at_the_door: self.at_the_door.min(few),
            ..self
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

    /// Serves until the shutdown begins; then lets requests in flight finish within `grace`.
    pub async fn run(self, shutdown: &Shutdown, grace: Duration) {
        let places = Places::new(self.limits.connections, self.limits.strangers);
        let front = Front { service: self.service, limits: self.limits, places, shutdown: shutdown.clone() };
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept(listener, front.clone(), grace));
        }
        while accepting.join_next().await.is_some() {}
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Front {
    service: Service,
    limits: Limits,
    places: Places,
    shutdown: Shutdown,
}

async fn accept(listener: TcpListener, front: Front, grace: Duration) {
    let mut connections = JoinSet::new();
    let (door, failed) = (Budget::of_places(front.limits.at_the_door), Rarely::default());
    loop {
        let next = async {
            let at_the_door = door.place().await;
            (listener.accept().await, at_the_door)
        };
        let (accepted, at_the_door) = tokio::select! {
            next = next => next,
            Some(_) = connections.join_next() => continue,
            () = front.shutdown.begun() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let front = front.clone();
                connections.spawn(async move {
                    let _counted = front.service.metrics().connection();
                    let entered = front.come_in(&stream, peer).await;
                    drop(at_the_door);
                    if let Some((place, is_trusted)) = entered {
                        front.serve(stream, peer, place, is_trusted).await;
                    }
                });
            }
            Err(error) => {
                if let Some(before) = failed.now() {
                    tracing::warn!(%error, before, "a connection could not be accepted");
                }
                // Anything else is about that connection alone, such as its reset.
                if is_lack(&error) {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::warn!(grace_ms = milliseconds(grace), "requests were still running at the end");
        // Waits until they are gone, so that what they leave behind is known to the shutdown.
        connections.shutdown().await;
    }
}

impl Front {
    /// Finds out who has connected, and gives them a place; whether they are trusted. `None` if they go away
    /// again.
    async fn come_in(&self, stream: &TcpStream, peer: SocketAddr) -> Option<(Place, bool)> {
        let address = peer.ip().to_canonical();
        match self.service.auth().caller(stream).await {
            Caller::Gone => None,
            Caller::Stranger(uid) => Some((self.places.take((address, uid), true)?, false)),
            Caller::Trusted(uid) => tokio::select! {
                // Whoever has been accepted is answered, also at the end, if there is room.
                biased;
                place = self.places.wait((address, uid)) => Some((place, true)),
                () = self.shutdown.begun() => None,
            },
        }
    }

    /// Answers what comes on a connection until it ends.
    async fn serve(&self, stream: TcpStream, peer: SocketAddr, place: Place, is_trusted: bool) {
        let Ok(local) = stream.local_addr() else { return };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY will be slow");
        }
        let ends = ConnInfo { local, peer, is_trusted };
        let asked = Arc::new(Notify::new());
        let (first, has_asked, guest) = (Once::new(), Arc::clone(&asked), place.guest());
        // At most one at a time: the next request comes after it.
        let (rests, unread) = mpsc::unbounded_channel();
        let answer = service_fn(move |request| {
            first.call_once(|| has_asked.notify_one());
            let (service, rests, guest) = (self.service.clone(), rests.clone(), Arc::clone(&guest));
            let crowded = self.places.are_awaited();
            async move { Ok::<_, Infallible>(service.answer(request, ends, &guest, crowded, &rests).await) }
        });
        let mut connection = pin!(self.http().serve_connection(TokioIo::new(stream), answer));
        let serving = async {
            tokio::select! {
                // First of all what has come: a request that is there is answered before anybody must go.
                biased;
                ended = connection.as_mut() => return ended,
                () = self.last_request(&place, &asked) => {}
            }
            if place.guest().is_stranger() && !self.shutdown.has_begun() {
                return Ok(());
            }
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(FAREWELL, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) if place.guest().is_busy() => connection.await,
                Err(_) => Ok(()),
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

    fn http(&self) -> http1::Builder {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_time)
            .max_buf_size(self.limits.header_bytes.max(MIN_BUFFER))
            .max_header_size(self.limits.header_bytes)
            .max_headers(self.limits.headers)
            // The service dates its answers itself; what hyper refuses as no HTTP has no date.
            .auto_date_header(false)
            .half_close(false);
        http
    }

    /// Waits until no further request is answered on a connection.
    async fn last_request(&self, place: &Place, asked: &Notify) {
        tokio::select! {
            () = place.is_over(self.limits.stranger_time) => {
                if !place.guest().is_stranger() {
                    // What was sent just before is on its way through the machine.
                    tokio::time::sleep(LAST_MOMENT).await;
                }
            }
            () = self.shutdown.begun() => {
                // What was just accepted is about to ask; its request would be lost.
                let _ = tokio::time::timeout(FIRST_REQUEST, asked.notified()).await;
            }
        }
    }
}

/// Whether descriptors or memory are short.
fn is_lack(error: &std::io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}

/// Goes on as long as the connection may have more.
async fn read_all(mut unread: UnboundedReceiver<Remainder>) {
    while let Some(rest) = unread.recv().await {
        rest.read().await;
    }
}

/// A request that is in the machine when its connection must go.
const LAST_MOMENT: Duration = Duration::from_millis(50);
/// The last bytes of an answer.
const FAREWELL: Duration = Duration::from_secs(1);
/// Some descriptors or memory are let go before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// From a connection to its first request, when the program ends meanwhile.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// hyper's own least.
const MIN_BUFFER: usize = 8192;
