//! The gateway's own resources below `/.s3dav/`: reserved for GET and HEAD, never listed.

use std::net::SocketAddr;

use http::{HeaderValue, Method, Response, StatusCode, header};

use super::challenges::Challenges;
use super::ready::Readiness;
use crate::dav::{Body, full, text};
use crate::metrics::Metrics;
/// Says that the process is alive; needs no credentials.
pub(super) use crate::relay::HEALTH;

/// Says that it can do its work; needs no credentials.
pub(super) const READY: &str = "/.s3dav/ready";
/// Before a nonce: see [`Challenges`]. Needs no credentials, since none are shown to what may be an impostor.
pub(super) const KNOCK: &str = "/.s3dav/knock/";
/// The counters.
pub(super) const METRICS: &str = "/.s3dav/metrics";
/// The same, as Prometheus asks unless it is told otherwise; only at the address for metrics alone.
const USUAL_METRICS: &str = "/metrics";

/// What is answered at the address for metrics alone: nothing of what is served.
pub(super) fn at_metrics_address(
    method: &Method,
    path: &str,
    readiness: &dyn Readiness,
    of: &Metrics,
) -> Response<Body> {
    match path {
        METRICS | USUAL_METRICS => metrics(method, of),
        HEALTH => health(method),
        READY => ready(method, readiness),
        _ => text(StatusCode::NOT_FOUND, "only metrics are served here, at /metrics"),
    }
}

pub(super) fn health(method: &Method) -> Response<Body> {
    read_only(method, || text(StatusCode::OK, "ok"))
}

pub(super) fn ready(method: &Method, readiness: &dyn Readiness) -> Response<Body> {
    read_only(method, || match readiness.hindrance() {
        None => text(StatusCode::OK, "ready"),
        Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
    })
}

pub(super) fn knock(
    method: &Method,
    challenges: &Challenges,
    nonce: &str,
    local: SocketAddr,
) -> Response<Body> {
    challenges.hear(nonce, local);
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
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "this path is reserved for the gateway");
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
