//! Connections to the far end: each of them shown to be one to this user's program, or root's, before the password
//! goes there; used again while they last.
//!
//! The kernel knows the user of a socket when its program has accepted it, and whoever answers has. So a connection
//! asks without the password first.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::AbortOnDropHandle;

use super::{Body, FarError, HEALTH};
use crate::logging::with_causes;
use crate::peer::{Owners, own_uid};

/// A far end as long as it is the same one.
#[derive(Debug)]
pub(super) struct Line {
    address: SocketAddr,
    authorization: HeaderValue,
    owners: Arc<dyn Owners>,
    idle: Mutex<Vec<Connection>>,
    /// Parts of bodies and answers that have gone to the far end or come from there.
    movements: AtomicU64,
    /// Why whoever answers there is not led to.
    stranger: Mutex<Option<FarError>>,
    retired: CancellationToken,
    refused: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Body>,
    _driver: AbortOnDropHandle<()>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("cannot connect to it")]
    Io(#[source] io::Error),
    #[error("it does not speak HTTP")]
    Http(#[from] hyper::Error),
    #[error("another user's program (uid {0}) has taken its port")]
    Foreign(u32),
    #[error("cannot tell whose program answers there")]
    Unknown,
}

impl LineError {
    /// What to say where somebody answers, and must not be told the password.
    fn stranger(&self) -> Option<FarError> {
        let hint = match self {
            Self::Foreign(_) => "end that program",
            Self::Unknown => {
                "in Docker's daemon.json leave out \"userland-proxy\": false, so that a program of root's answers"
            }
            Self::Io(_) | Self::Http(_) => return None,
        };
        Some(FarError::new(self.to_string(), hint))
    }
}

impl Line {
    pub(super) fn new(address: SocketAddr, authorization: HeaderValue, owners: Arc<dyn Owners>) -> Self {
        let (retired, refused) = (CancellationToken::new(), CancellationToken::new());
        let (idle, movements, stranger) = (Mutex::default(), AtomicU64::new(0), Mutex::default());
        Self { address, authorization, owners, idle, movements, stranger, retired, refused }
    }

    /// It is lost: whoever waits for it need not.
    pub(super) fn retire(&self) {
        self.retired.cancel();
        self.idle.lock().clear();
    }

    pub(super) async fn retired(&self) {
        self.retired.cancelled().await;
    }

    /// The same, for who lives as long as the line.
    pub(super) fn retirement(&self) -> WaitForCancellationFutureOwned {
        self.retired.clone().cancelled_owned()
    }

    /// Something of a body or an answer has moved.
    pub(super) fn note_movement(&self) {
        self.movements.fetch_add(1, Ordering::Relaxed);
    }

    /// Grows with whatever moves.
    pub(super) fn movements(&self) -> u64 {
        self.movements.load(Ordering::Relaxed)
    }

    /// Another password is asked for.
    pub(super) fn refuse(&self) {
        self.refused.cancel();
    }

    pub(super) async fn refused(&self) -> FarError {
        self.refused.cancelled().await;
        FarError::new(
            "the remote gateway wants another password",
            "s3dav reconnects with its current password",
        )
    }

    /// Only for what goes over a connection of [`Self::connection`].
    pub(super) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }

    /// Whether it answers. Looks at a new connection, which is kept.
    pub(super) async fn probe(&self) -> Result<(), LineError> {
        let connection = self.connect().await;
        let stranger = connection.as_ref().err().and_then(LineError::stranger);
        match (&connection, &stranger) {
            (Err(error), None) => {
                let error = with_causes(error);
                tracing::debug!(error, address = %self.address, "the remote gateway does not answer");
            }
            (Err(error), Some(told)) if self.stranger.lock().is_none() => {
                tracing::warn!(
                    hint = told.hint,
                    address = %self.address,
                    "the remote gateway cannot be reached: {error}"
                );
            }
            _ => {}
        }
        *self.stranger.lock() = stranger;
        self.give_back(connection?);
        Ok(())
    }

    /// Why nobody is led to whoever answered last.
    pub(super) fn stranger(&self) -> Option<FarError> {
        self.stranger.lock().clone()
    }

    /// One that is idle, or a new one.
    pub(super) async fn connection(&self) -> Result<Connection, LineError> {
        let idle = {
            let mut idle = self.idle.lock();
            idle.retain(|connection| !connection.sender.is_closed());
            let ready = idle.iter().rposition(|connection| connection.sender.is_ready());
            ready.map(|at| idle.swap_remove(at))
        };
        match idle {
            Some(connection) => Ok(connection),
            None => self.connect().await,
        }
    }

    /// Its last answer has been read.
    pub(super) fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock();
        if idle.len() < MOST_IDLE && !self.retired.is_cancelled() && !connection.sender.is_closed() {
            idle.push(connection);
        }
    }

    /// A stream, with its own address and that of the far end.
    async fn reach(&self) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (own, far) = (stream.local_addr()?, stream.peer_addr()?);
        Ok((stream, own, far))
    }

    async fn connect(&self) -> Result<Connection, LineError> {
        let (stream, own, far) = self.reach().await.map_err(LineError::Io)?;
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to the remote gateway has ended");
            }
        });
        let driver = AbortOnDropHandle::new(driver);
        let none = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let mut question = Request::new(none);
        *question.uri_mut() = http::Uri::from_static(HEALTH);
        question.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
        let mut answer = sender.send_request(question).await?;
        while let Some(frame) = answer.frame().await {
            frame?;
        }
        match self.owners.uid(far, own).await.map_err(LineError::Io)? {
            Some(uid) if uid == own_uid() || uid == ROOT => {}
            Some(uid) => return Err(LineError::Foreign(uid)),
            None => return Err(LineError::Unknown),
        }
        sender.ready().await?;
        Ok(Connection { sender, _driver: driver })
    }
}

const ROOT: u32 = 0;
/// Bytes that may wait in a socket. With the system's own size a slow tunnel would take nothing for many seconds, and
/// then a megabyte at once: a line that moves would look as if it stood still.
const SEND_BUFFER: u32 = 128 << 10;
/// As many as clients usually have.
const MOST_IDLE: usize = 32;
