//! Who may come in: by the user who holds the other end of the connection, or by HTTP Basic.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::dav::{Body, text};
use crate::peer::{Kernel, Owners, own_uid};

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

impl Access {
    /// The same where `generated` stands in for credentials that nobody named.
    pub fn with(self, generated: impl FnOnce() -> Credentials) -> Auth {
        match self {
            Self::Anyone => Auth::None,
            Self::Password(credentials) => Auth::Basic(credentials.unwrap_or_else(generated)),
            Self::Peers(credentials) => Self::PeersOf(Arc::new(Kernel), credentials).with(generated),
            Self::PeersOf(owners, credentials) => {
                Auth::Peers { owners, uid: own_uid(), credentials: credentials.unwrap_or_else(generated) }
            }
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
    /// Programs of the user `uid` and root's, and whoever knows the name and the password.
    Peers { owners: Arc<dyn Owners>, uid: u32, credentials: Credentials },
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
            Self::Peers { .. } => "Peers",
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
    /// As it is named on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic(_) => "basic",
            Self::Peers { .. } => "peer",
        }
    }

    /// Whether it tells its user's programs from others'.
    pub(super) fn knows_its_own(&self) -> bool {
        matches!(self, Self::Peers { .. })
    }

    /// Whether a program comes in by whose it is, now that it has connected.
    pub(super) async fn trusts(&self, client: SocketAddr, server: SocketAddr) -> bool {
        let Self::Peers { owners, uid, .. } = self else { return false };
        let (owners, uid) = (Arc::clone(owners), *uid);
        // Microseconds, unless the machine has very many connections.
        let asked = tokio::task::spawn_blocking(move || owners.uid(client, server)).await;
        match asked {
            Ok(Ok(owner)) => owner.is_some_and(|owner| owner == uid || owner == ROOT),
            Ok(Err(error)) => {
                tracing::warn!(%error, "it cannot be told whose connection this is; a password is asked for");
                false
            }
            // The program ends.
            Err(_) => false,
        }
    }

    /// The name of who asks, or the answer that asks for it. `is_trusted`: by whose connection it is.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        is_trusted: bool,
    ) -> Result<Option<String>, Box<Response<Body>>> {
        let (credentials, name) = match self {
            Self::None => return Ok(None),
            Self::Peers { .. } if is_trusted => return Ok(None),
            // All of these are one person's: whoever knows the password got it from their state directory.
            Self::Peers { credentials, .. } => (credentials, None),
            Self::Basic(credentials) => (credentials, Some(credentials.user.clone())),
        };
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(decode);
        match sent {
            Some(sent) if bool::from(hash(&sent).ct_eq(&credentials.hash)) => Ok(name),
            Some(_) => Err(Box::new(challenge("the name or the password is wrong"))),
            None => Err(Box::new(challenge("a name and a password are needed"))),
        }
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
