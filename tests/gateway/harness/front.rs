//! A reverse proxy that shows a gateway below a path: with that path, or without it, as it passes requests on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use reqwest::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::client;

/// A running proxy; it ends when this is dropped.
pub struct Front {
    /// Where it shows the gateway: an origin and the path, with its slash.
    pub url: String,
    /// The gateway does not see that path.
    pub strips: bool,
    accepting: AbortHandle,
}

impl Front {
    /// Shows the server at `upstream` below `path`.
    pub async fn start(upstream: SocketAddr, path: &str, strips: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap());
        let shown = Arc::new(Shown { upstream, path: path.to_owned(), strips, client: client() });
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shown)));
            }
        });
        Self { url, strips, accepting: accepting.abort_handle() }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What is shown, and how.
struct Shown {
    upstream: SocketAddr,
    path: String,
    strips: bool,
    client: Client,
}

async fn serve(stream: TcpStream, shown: Arc<Shown>) {
    let answer = service_fn(move |request| {
        let shown = Arc::clone(&shown);
        async move { Ok::<_, Infallible>(shown.pass_on(request).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

impl Shown {
    async fn pass_on(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().unwrap().as_str();
        let inner = match target.strip_prefix(self.path.trim_end_matches('/')) {
            Some(inner) if inner.is_empty() || inner.starts_with(['/', '?']) => inner,
            _ => {
                // Another program of that host would answer.
                let mut lost = Response::new(Full::default());
                *lost.status_mut() = StatusCode::IM_A_TEAPOT;
                return lost;
            }
        };
        let target = if self.strips { inner } else { target };
        let slash = if target.starts_with('/') { "" } else { "/" };
        let url = format!("http://{}{slash}{target}", self.upstream);
        let body = body.collect().await.unwrap().to_bytes();
        let request = self.client.request(parts.method, url).headers(parts.headers).body(body);
        let answer = request.send().await.unwrap();
        let mut passed = Response::builder().status(answer.status());
        *passed.headers_mut().unwrap() = answer.headers().clone();
        passed.headers_mut().unwrap().remove("transfer-encoding");
        passed.body(Full::new(answer.bytes().await.unwrap())).unwrap()
    }
}
