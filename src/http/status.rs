//! The gateway's own resources below `/.s3dav/`: reserved for GET and HEAD, never listed.

use std::net::SocketAddr;

use http::{HeaderValue, Method, Response, StatusCode, header};

use super::knocks::Knocks;
use crate::dav::{Body, full, text};
use crate::metrics::Metrics;

/// Says that the process is alive; needs no credentials.
pub(super) const HEALTH: &str = "/.s3dav/health";
/// Before a nonce: see [`Knocks`]. Needs no credentials, since none are shown to what may be an impostor.
pub(super) const KNOCK: &str = "/.s3dav/knock/";
/// The counters.
pub(super) const METRICS: &str = "/.s3dav/metrics";

pub(super) fn health(method: &Method) -> Response<Body> {
    read_only(method, || text(StatusCode::OK, "ok"))
}

pub(super) fn knock(method: &Method, knocks: &Knocks, nonce: &str, local: SocketAddr) -> Response<Body> {
    knocks.hear(nonce, local);
    read_only(method, || text(StatusCode::OK, "ok"))
}

pub(super) fn metrics(method: &Method, metrics: &Metrics) -> Response<Body> {
    read_only(method, || {
        let mut answer = Response::new(full(metrics.render()));
        let format = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, format);
        answer
    })
}

fn read_only(method: &Method, answer: impl FnOnce() -> Response<Body>) -> Response<Body> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "this belongs to the gateway");
        refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let mut answer = answer();
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if method == Method::HEAD {
        *answer.body_mut() = full("");
    }
    answer
}
