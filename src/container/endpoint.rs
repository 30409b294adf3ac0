//! Where the mount's programs get their credentials: as the agent of a container service gives them, on the loopback,
//! for whoever knows a random token that stands in a file of root's.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::credentials::Keeper;
use super::failures::{Failure, Kind};
use super::system::System;
use crate::state::write_private;
use crate::store::s3::Keys;

/// See the module.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    port: u16,
    token: String,
    file: PathBuf,
}

impl Endpoint {
    pub async fn open(system: &System) -> Result<Self, Failure> {
        let file = system.own().join(TOKEN);
        let opened = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let port = listener.local_addr()?.port();
            let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            let (place, text) = (file.clone(), token.clone());
            let written = tokio::task::spawn_blocking(move || write_private(&place, &text));
            written.await.map_err(io::Error::other)??;
            Ok(Self { listener, port, token, file })
        };
        opened.await.map_err(|error: io::Error| Failure::new(Kind::NoEndpoint, error.to_string()))
    }

    /// What tells programs of it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://127.0.0.1:{}{PATH}", self.port)),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", self.file.display().to_string()),
        ]
    }

    /// Answers for ever.
    pub async fn serve(self, keeper: Arc<Keeper>) {
        let door = Arc::new(Door { keeper, token: self.token });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                    Ok((stream, _)) => _ = connections.spawn(Arc::clone(&door).answer_all(stream)),
                    Err(error) => {
                        tracing::debug!(%error, "a program could not ask for credentials");
                        sleep(PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

#[derive(Debug)]
struct Door {
    keeper: Arc<Keeper>,
    token: String,
}

impl Door {
    async fn answer_all(self: Arc<Self>, stream: TcpStream) {
        let answer = service_fn(|request| {
            let answer = self.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
        let served = timeout(LONGEST_CONNECTION, http.serve_connection(TokioIo::new(stream), answer)).await;
        if let Ok(Err(error)) = served {
            tracing::debug!(%error, "a program that asked for credentials went away");
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let given = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let knows = given.is_some_and(|given| given.ct_eq(self.token.as_bytes()).into());
        if !knows {
            return refusal(StatusCode::UNAUTHORIZED, "the token is wrong");
        }
        if request.method() != Method::GET || request.uri().path() != PATH {
            return refusal(StatusCode::NOT_FOUND, "only credentials are served here");
        }
        match self.keeper.current() {
            Some(keys) => response(StatusCode::OK, told(&keys)),
            None => refusal(StatusCode::SERVICE_UNAVAILABLE, "there are no valid credentials"),
        }
    }
}

/// As the agents of container services tell it; all of the fields are required.
fn told(keys: &Keys) -> String {
    let expires = keys.expires.unwrap_or_else(|| SystemTime::now() + WITHOUT_END);
    let expires = OffsetDateTime::from(expires);
    let expires = expires.replace_nanosecond(0).unwrap_or(expires).format(&Rfc3339).unwrap_or_default();
    json!({
        "AccessKeyId": keys.access_key,
        "SecretAccessKey": keys.secret,
        "Token": keys.token.as_deref().unwrap_or_default(),
        "Expiration": expires,
    })
    .to_string()
}

fn refusal(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    response(status, json!({ "code": status.as_str(), "message": message }).to_string())
}

fn response(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

const PATH: &str = "/credentials";
const TOKEN: &str = "token";
/// Of credentials that do not end, as programs are told; they ask again then.
const WITHOUT_END: Duration = Duration::from_secs(3600);
/// A helper, a watchdog and a proxy for each mount.
const MOST_CONNECTIONS: usize = 32;
/// All of them are on this machine.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// One that is kept open longer keeps others out.
const LONGEST_CONNECTION: Duration = Duration::from_secs(30);
/// Descriptors are short, and are let go in a while.
const PAUSE: Duration = Duration::from_millis(100);
