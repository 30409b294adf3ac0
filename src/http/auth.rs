//! HTTP Basic authentication.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::dav::{Body, text};

/// Who may come in.
#[derive(Clone, Default)]
pub enum Auth {
    /// Anyone who reaches the address, which is this machine's own.
    #[default]
    None,
    /// Whoever knows the name and the password.
    Basic(Credentials),
}

/// A name and a password, kept as hashes so that comparing them takes the same time for all.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    hash: [u8; 32],
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic(_) => "Basic",
        })
    }
}

impl Credentials {
    /// The only ones that are let in.
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), hash: hash(&format!("{user}:{password}")) }
    }
}

impl Auth {
    /// The name of who asks, or the answer that asks for it.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<Option<String>, Box<Response<Body>>> {
        let Self::Basic(credentials) = self else { return Ok(None) };
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(decode);
        match sent {
            Some(sent) if bool::from(hash(&sent).ct_eq(&credentials.hash)) => {
                Ok(Some(credentials.user.clone()))
            }
            Some(_) => Err(Box::new(challenge("the name or the password is wrong"))),
            None => Err(Box::new(challenge("a name and a password are needed"))),
        }
    }
}

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
