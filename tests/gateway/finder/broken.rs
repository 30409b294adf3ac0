//! A front that is wrong on purpose: a proxy that changes answers. What a scenario looks for it must miss
//! here, or it looks for nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A request on its way.
pub struct Asked {
    pub method: String,
    /// As it was sent, percent-encoded.
    pub path: String,
    pub headers: HeaderMap,
    /// Of the body in bytes; before it has come, what was announced, or 0.
    pub length: usize,
}

/// Its answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn is(&mut self, status: u16) {
        self.status = status;
        self.body.clear();
    }

    pub fn header(&mut self, name: &'static str, value: &'static str) {
        self.headers.insert(name, HeaderValue::from_static(value));
    }

    /// The request is answered so and not carried out.
    pub fn swallow(&mut self) {
        self.header(SWALLOWED, "1");
    }

    /// Nothing is taken of the request's body for so many milliseconds.
    pub fn stall(&mut self, milliseconds: u32) {
        self.headers.insert(STALLED, milliseconds.into());
    }

    /// The answer comes so many milliseconds later.
    pub fn delay(&mut self, milliseconds: u32) {
        self.headers.insert(LATE, milliseconds.into());
    }

    pub fn replace(&mut self, what: &str, with: &str) {
        self.body = self.body.replace(what, with);
    }
}

/// What is wrong with a front.
pub type Fault = fn(&Asked, &mut Answer);

/// How a fault tells the front of what is no part of an answer.
const SWALLOWED: &str = "x-swallowed";
const STALLED: &str = "x-stalled";
const LATE: &str = "x-late";

/// Starts a front before `gateway` that has this fault; gives its URL.
pub async fn front(gateway: &str, fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway: Arc<str> = gateway.into();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let gateway = Arc::clone(&gateway);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let gateway = Arc::clone(&gateway);
                    async move { Ok::<_, Infallible>(pass_on(request, &gateway, fault).await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    url
}

async fn pass_on(request: http::Request<Incoming>, gateway: &str, fault: Fault) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let announced = parts.headers.get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
    let mut asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        headers: parts.headers.clone(),
        length: announced.unwrap_or_default(),
    };
    // A fault may swallow the request before it is carried out.
    let mut early = Answer { status: 204, headers: HeaderMap::new(), body: String::new() };
    fault(&asked, &mut early);
    if early.headers.remove(SWALLOWED).is_some() {
        return made(early, Bytes::new());
    }
    wait(early.headers.remove(STALLED)).await;
    let body = body.collect().await.unwrap().to_bytes();
    asked.length = body.len();
    let mut headers = parts.headers;
    for name in ["host", "content-length", "transfer-encoding"] {
        headers.remove(name);
    }
    if let Some(destination) = headers.get("destination").and_then(|value| value.to_str().ok()) {
        let path = destination.splitn(4, '/').nth(3).unwrap_or_default();
        headers.insert("destination", format!("{gateway}/{path}").parse().unwrap());
    }
    let request = crate::harness::client().request(parts.method, format!("{gateway}{}", parts.uri));
    let answer = request.headers(headers).body(body).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = answer.bytes().await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    let mut answer = Answer { status, headers, body: text.clone() };
    fault(&asked, &mut answer);
    // A content that is no text is passed on as it is.
    let body = if answer.body == text { body } else { answer.body.clone().into() };
    wait(answer.headers.remove(LATE)).await;
    made(answer, body)
}

async fn wait(milliseconds: Option<HeaderValue>) {
    if let Some(value) = milliseconds {
        tokio::time::sleep(Duration::from_millis(value.to_str().unwrap().parse().unwrap())).await;
    }
}

fn made(answer: Answer, body: Bytes) -> Response<Full<Bytes>> {
    let mut made = Response::new(Full::new(body));
    *made.status_mut() = StatusCode::from_u16(answer.status).unwrap();
    *made.headers_mut() = answer.headers;
    for name in ["content-length", "transfer-encoding", "connection"] {
        made.headers_mut().remove(name);
    }
    made
}
