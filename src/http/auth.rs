//! Who may come in: by the user who holds the other end of the connection, or by HTTP Basic.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::dav::{Body, text};
use crate::logging::Rarely;
use crate::named::names;
use crate::peer::{Kernel, Owners, Peer, own_uid};

/// Who may come in, as it is configured.
#[derive(Debug, Clone)]
pub enum Access {
    /// Anyone on this machine.
    Anyone,
    /// This user's programs and root's; others by these credentials, or by generated ones.
    Peers(Option<Credentials>),
    /// The same, by another's word than the kernel's.
    PeersOf(Arc<dyn Owners>, Option<Credentials>),
    /// Whoever knows these credentials, or generated ones.
    Password(Option<Credentials>),
}

/// The kinds of [`Access`], as an option names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    Peer,
    Basic,
    None,
}

names!(AuthMode {
    Peer = "peer": "your own programs and root's; others by password",
    Basic = "basic": "by password only",
    None = "none": "everyone on this machine",
});

impl Access {
    /// The same where `generated` stands in for credentials that nobody named.
    pub fn with(self, generated: impl FnOnce() -> Credentials) -> Auth {
        match self {
            Self::Anyone => Auth::None,
            Self::Password(credentials) => Auth::Basic(credentials.unwrap_or_else(generated)),
            Self::Peers(credentials) => Self::PeersOf(Arc::new(Kernel::open()), credentials).with(generated),
            Self::PeersOf(owners, credentials) => Auth::Peers(Peers {
                owners,
                uid: own_uid(),
                deputies: None,
                credentials: credentials.unwrap_or_else(generated),
                warned: Arc::default(),
            }),
        }
    }
}

/// Who may come in.
#[derive(Clone, Default)]
pub enum Auth {
    /// Anyone who reaches the address, which is this machine's own.
    #[default]
    None,
    /// Whoever knows the name and the password.
    Basic(Credentials),
    /// Programs of one user and root's, and whoever knows the name and the password.
    Peers(Peers),
}

/// One user's programs, and how they are told from others'.
#[derive(Clone)]
pub struct Peers {
    owners: Arc<dyn Owners>,
    uid: u32,
    deputies: Option<Arc<dyn Deputies>>,
    credentials: Credentials,
    warned: Arc<Rarely>,
}

/// Programs of other users that act for this one, such as the program of a mount.
#[async_trait]
pub trait Deputies: Send + Sync {
    /// Whether those of `uid` come in, at this moment.
    async fn are(&self, uid: u32) -> bool;
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// Somebody who needs no password; the user, where one was asked for.
    Trusted(Option<u32>),
    /// Somebody who has not shown the password yet.
    Stranger(Option<u32>),
    /// Nobody any more.
    Gone,
}

/// Why somebody does not come in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No name and password were sent.
    Unasked,
    /// They were wrong; the name that was sent.
    Wrong(String),
}

/// A name and a password, kept as hashes so that comparing them takes the same time for all.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    hash: [u8; 32],
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.user)
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic(_) => "Basic",
            Self::Peers(_) => "Peers",
        })
    }
}

impl Credentials {
    /// The only ones that are let in by name.
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), hash: hash(&format!("{user}:{password}")) }
    }
}

impl Auth {
    pub fn mode(&self) -> AuthMode {
        match self {
            Self::None => AuthMode::None,
            Self::Basic(_) => AuthMode::Basic,
            Self::Peers(_) => AuthMode::Peer,
        }
    }

    /// The same, where these programs of others come in, too.
    pub fn with_deputies(self, deputies: Arc<dyn Deputies>) -> Self {
        match self {
            Self::Peers(peers) => Self::Peers(Peers { deputies: Some(deputies), ..peers }),
            other => other,
        }
    }

    /// Who has just connected.
    pub(super) async fn caller(&self, stream: &TcpStream) -> Caller {
        match self {
            Self::None => Caller::Trusted(None),
            Self::Basic(_) => Caller::Stranger(None),
            Self::Peers(peers) => peers.caller(stream).await,
        }
    }

    /// The name of who asks, or why they do not come in. `is_trusted`: by whose connection it is.
    pub(super) fn check(&self, headers: &HeaderMap, is_trusted: bool) -> Result<Option<String>, Denied> {
        let (credentials, name) = match self {
            _ if is_trusted => return Ok(None),
            Self::None => return Ok(None),
            // All of these are one person's: whoever knows the password got it from their state directory.
            Self::Peers(peers) => (&peers.credentials, None),
            Self::Basic(credentials) => (credentials, Some(credentials.user.clone())),
        };
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(decode);
        match sent {
            Some(sent) if bool::from(hash(&sent).ct_eq(&credentials.hash)) => Ok(name),
            Some(sent) => Err(Denied::Wrong(sent.split(':').next().unwrap_or_default().to_owned())),
            None => Err(Denied::Unasked),
        }
    }
}

impl Peers {
    async fn caller(&self, stream: &TcpStream) -> Caller {
        let asked = timeout(KERNEL_TIME, self.ask(stream)).await;
        match asked.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
            Ok(caller) => caller,
            Err(error) => {
                if let Some(before) = self.warned.now() {
                    let message = "cannot tell which user this connection belongs to; asking for a password";
                    tracing::warn!(%error, before, message);
                }
                Caller::Stranger(None)
            }
        }
    }

    async fn ask(&self, stream: &TcpStream) -> std::io::Result<Caller> {
        Ok(match Peer::of(stream, &*self.owners).await? {
            Peer::Gone => Caller::Gone,
            Peer::User(uid) if self.trusts(uid).await => Caller::Trusted(Some(uid)),
            Peer::User(uid) => Caller::Stranger(Some(uid)),
            Peer::Unknown => Caller::Stranger(None),
        })
    }

    async fn trusts(&self, uid: u32) -> bool {
        let is_deputy = async {
            match &self.deputies {
                Some(deputies) => deputies.are(uid).await,
                None => false,
            }
        };
        uid == self.uid || uid == ROOT || is_deputy.await
    }
}

impl Denied {
    /// The answer that asks for a name and a password.
    pub(super) fn answer(&self) -> Response<Body> {
        challenge(match self {
            Self::Unasked => "a user name and a password are required",
            Self::Wrong(_) => "wrong user name or password",
        })
    }
}

const ROOT: u32 = 0;

fn decode(header: &str) -> Option<String> {
    let (scheme, value) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn challenge(message: &str) -> Response<Body> {
    let mut answer = text(StatusCode::UNAUTHORIZED, message);
    let value = HeaderValue::from_static("Basic realm=\"s3dav\", charset=\"UTF-8\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    answer
}

/// The kernel answers within milliseconds.
const KERNEL_TIME: Duration = Duration::from_secs(5);
