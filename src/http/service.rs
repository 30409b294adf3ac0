//! The life of one request, from top to bottom.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::auth::{Auth, Denied};
use super::body::{BodyLease, Counted, LeasedBody, Remainder, small};
use super::challenges::Challenges;
use super::conn_info::ConnInfo;
use super::guard::{RequestMeta, admit};
use super::guesses::Guesses;
use super::hosts::{AllowedHost, Hosts};
use super::people::Asker;
use super::places::Guest;
use super::ready::Readiness;
use super::record::Record;
use super::refused::Refused;
use super::repeats::{Identity, Repeats};
use super::{date, relayed, status};
use crate::dav::engine::Engine;
use crate::dav::{Body, full, guard, text};
use crate::fs::resource_path::without_empty_segments;
use crate::fs::{RequestContext, UrlPrefix};
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::tally::Tally;

/// How requests are treated.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// Refuse everything that changes something.
    pub read_only: bool,
    pub auth: Auth,
    /// More names for the Host check.
    pub allowed_hosts: Vec<AllowedHost>,
    /// The path below which a proxy shows this server.
    pub url_prefix: UrlPrefix,
    /// Another program may listen at an address of `localhost` where this one does not.
    pub shares_localhost: bool,
    /// How long a request may wait for S3; `None`: by the client's kind.
    pub request_budget: Option<Duration>,
    /// A request body that pauses for longer is given up.
    pub body_stall: Duration,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            auth: Auth::None,
            allowed_hosts: Vec::new(),
            url_prefix: UrlPrefix::default(),
            shares_localhost: false,
            request_budget: None,
            body_stall: Duration::from_secs(120),
        }
    }
}

/// Answers requests. Cloning shares everything.
#[derive(Clone)]
pub struct Service(Arc<Inner>, Serves);

/// What is served at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    All,
    /// The gateway's own resources that tell nothing of what is served; to anybody.
    MetricsAlone,
}

/// Who carries requests out.
#[derive(Clone)]
pub enum Behind {
    Engine(Engine),
    /// Another gateway.
    Relay(Relay),
}

struct Inner {
    behind: Behind,
    options: ServiceOptions,
    hosts: Hosts,
    metrics: Metrics,
    readiness: Arc<dyn Readiness>,
    challenges: Challenges,
    guesses: Guesses,
    repeats: Repeats,
    /// The number of the next request, by which the log names it.
    requests: AtomicU64,
    /// Requests under way that change something, since they were last asked for.
    writes: Mutex<TaskTracker>,
}

impl Service {
    pub fn new(
        behind: Behind,
        options: ServiceOptions,
        metrics: Metrics,
        readiness: Arc<dyn Readiness>,
    ) -> Self {
        let (allowed, shares_localhost) = (options.allowed_hosts.clone(), options.shares_localhost);
        let hosts = Hosts { allowed, shares_localhost, prefix: options.url_prefix.clone() };
        let (challenges, guesses, writes) = (Challenges::default(), Guesses::default(), Mutex::default());
        let (repeats, requests) = (Repeats::default(), AtomicU64::new(1));
        let inner = Inner {
            behind,
            options,
            hosts,
            metrics,
            readiness,
            challenges,
            guesses,
            repeats,
            requests,
            writes,
        };
        Self(Arc::new(inner), Serves::All)
    }

    /// The same gateway's metrics, and nothing else.
    pub fn metrics_alone(&self) -> Self {
        Self(Arc::clone(&self.0), Serves::MetricsAlone)
    }

    /// Who knocked lately.
    pub fn challenges(&self) -> Challenges {
        self.0.challenges.clone()
    }

    /// The requests under way that change something, to wait for their end. Later ones are not among them.
    pub fn writes_under_way(&self) -> TaskTracker {
        let writes = std::mem::take(&mut *self.0.writes.lock());
        writes.close();
        writes
    }

    /// Who may come in.
    pub fn auth(&self) -> &Auth {
        match self.1 {
            Serves::All => &self.0.options.auth,
            Serves::MetricsAlone => &Auth::None,
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Answers one request. `crowded`: others wait for a connection, so this one is not kept; what is left of
    /// the body goes to `rests`, to be read while it is answered.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        ends: ConnInfo,
        guest: &Arc<Guest>,
        crowded: bool,
        rests: &UnboundedSender<Remainder>,
    ) -> Response<Counted> {
        let (begun, under_way, asker) = (Instant::now(), guest.begin(), Asker::of(&request, &self.0.hosts));
        let tally = Tally::new(self.0.requests.fetch_add(1, Ordering::Relaxed));
        let mut record = Record::begin(&request, ends, guest.uid(), &tally);
        let method = request.method().clone();
        let _write = WRITES.contains(&method.as_str()).then(|| self.0.writes.lock().token());
        let lease = BodyLease::default();
        let expects = request.headers().contains_key(header::EXPECT);
        let routed = AssertUnwindSafe(self.route(request, ends, guest, &lease)).catch_unwind();
        let routed = tally.scope(routed).await;
        let mut answer = match routed {
            Ok(answer) => answer.unwrap_or_else(|refusal| *refusal),
            Err(_) => {
                tracing::error!(%method, "a request panicked");
                text(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
            }
        };
        if let Some(status) = lease.failure() {
            answer = text(status, "the body did not arrive whole");
        }
        let whole = match lease.rest() {
            Some(rest) => rests.send(rest).is_ok(),
            // A client that waits for "100 Continue" has sent no body to read, and sends none now.
            None => !(expects && lease.is_awaited()) && lease.drain().await,
        };
        if crowded || !whole {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED && !answer.headers().contains_key(header::ALLOW)
        {
            answer.headers_mut().insert(header::ALLOW, self.allowed());
        }
        answer = asker.shown(answer);
        answer.headers_mut().insert(header::SERVER, HeaderValue::from_static(SERVER));
        date::add(&mut answer);
        guard(answer.headers_mut());
        self.0.metrics.dav_request(known(&method), answer.status().as_u16(), begun.elapsed());
        record.iter_mut().for_each(|record| record.answered(&answer));
        let metrics = self.0.metrics.clone();
        answer.map(|body| Counted { body, metrics, tally, record, _under_way: under_way })
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        ends: ConnInfo,
        guest: &Guest,
        lease: &BodyLease,
    ) -> Result<Response<Body>, Box<Response<Body>>> {
        let inner = &*self.0;
        let (mut parts, body) = request.into_parts();
        let body = lease.lend(body, inner.options.body_stall, inner.metrics.clone());
        let own = without_empty_segments(inner.hosts.prefix.rest(parts.uri.path()));
        if self.1 == Serves::MetricsAlone {
            // To anybody, by whatever name a Service or a router gives it.
            return Ok(status::at_metrics_address(&parts.method, &own, &*inner.readiness, &inner.metrics));
        }
        inner
            .hosts
            .check(&parts.method, &parts.uri, &parts.headers, canonical(ends.local))
            .map_err(refuse)?;
        if own == status::HEALTH {
            return Ok(status::health(&parts.method));
        }
        if own == status::READY {
            return Ok(status::ready(&parts.method, &*inner.readiness));
        }
        if let Some(nonce) = own.strip_prefix(status::KNOCK) {
            return Ok(status::knock(&parts.method, &inner.challenges, nonce, ends.local));
        }
        let principal = match inner.options.auth.check(&parts.headers, ends.is_trusted) {
            Ok(principal) => principal,
            Err(denied) => return Err(Box::new(self.deny(denied, ends).await)),
        };
        if !ends.is_trusted {
            guest.make_known();
        }
        if own == status::METRICS {
            return Ok(status::metrics(&parts.method, &inner.metrics));
        }
        self.check_method(&parts.method)?;
        if parts.method == Method::OPTIONS {
            return Ok(self.options());
        }
        // Nobody who was not asked who they are has an ID.
        let is_known = !matches!(inner.options.auth, Auth::None);
        let identity = Identity::take(&mut parts, principal.as_ref()).filter(|_| is_known);
        let facts = RequestMeta {
            principal,
            peer: canonical(ends.peer),
            budget: inner.options.request_budget,
            local: canonical(ends.local),
        };
        let came = matches!(inner.behind, Behind::Relay(_)).then(|| parts.clone());
        let admitted = admit(&parts.method, &parts.uri, &mut parts.headers, &inner.hosts, facts);
        let context = admitted.map_err(refuse)?;
        let context = Arc::new(context);
        if context.client.quirks().goes_down_with_a_connection {
            lease.keep_connection();
        }
        match &inner.behind {
            Behind::Relay(relay) => {
                Ok(relayed::answer(relay, came.unwrap_or(parts), body, context.budget).await)
            }
            Behind::Engine(engine) => match identity {
                Some(identity) => Ok(self.once(engine, identity, (context, parts, body), lease).await),
                None => self.carry_out(engine, context, parts, body).await,
            },
        }
    }

    /// What is done here, if it has not been done before. It goes on without its connection.
    async fn once(
        &self,
        engine: &Engine,
        identity: Identity,
        (context, parts, body): (Arc<RequestContext>, http::request::Parts, LeasedBody),
        lease: &BodyLease,
    ) -> Response<Body> {
        let (service, engine, write) = (self.clone(), engine.clone(), self.0.writes.lock().token());
        let carry = async move {
            let answer = service.carry_out(&engine, context, parts, body).await;
            drop(write);
            answer.unwrap_or_else(|refusal| *refusal)
        };
        self.0.repeats.once(identity, lease, carry).await
    }

    /// What is done here.
    async fn carry_out(
        &self,
        engine: &Engine,
        context: Arc<RequestContext>,
        parts: http::request::Parts,
        body: LeasedBody,
    ) -> Result<Response<Body>, Box<Response<Body>>> {
        if parts.method == Method::PUT {
            let body = body.boxed_unsync();
            let mut answer = engine.handle(&context, Request::from_parts(parts, body)).await;
            let is_made = context.makes_empty() && answer.status().is_success();
            if is_made && context.client.quirks().sizes_what_is_dated {
                date::leave_out(&mut answer);
            }
            return Ok(answer);
        }
        let body = small(&parts.method, body).await?;
        if parts.method.as_str() == "PROPFIND" {
            return Ok(engine.propfind(&context, &parts.headers, &body).await);
        }
        if parts.method.as_str() == "PROPPATCH" {
            return Ok(engine.proppatch(&context, parts, body).await);
        }
        Ok(engine.handle(&context, Request::from_parts(parts, full(body))).await)
    }

    /// The answer to whoever does not come in; a wrong password costs time, and the connection.
    async fn deny(&self, denied: Denied, ends: ConnInfo) -> Response<Body> {
        let mut answer = denied.answer();
        if let Denied::Wrong(name) = denied {
            if self.0.guesses.wrong(canonical(ends.peer), &name).await.is_err() {
                answer = text(StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords from this address");
            }
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    fn check_method(&self, method: &Method) -> Result<(), Box<Response<Body>>> {
        let name = method.as_str();
        if !READS.contains(&name) && !WRITES.contains(&name) {
            let status = match name {
                "POST" | "PATCH" | "TRACE" | "CONNECT" | "REPORT" | "SEARCH" | "ACL" => {
                    StatusCode::METHOD_NOT_ALLOWED
                }
                _ => StatusCode::NOT_IMPLEMENTED,
            };
            let mut answer = text(status, "this method is not supported");
            answer.headers_mut().insert(header::ALLOW, self.allowed());
            return Err(Box::new(answer));
        }
        if self.0.options.read_only && WRITES.contains(&name) {
            return Err(Box::new(text(StatusCode::FORBIDDEN, "the gateway runs with --read-only")));
        }
        Ok(())
    }

    /// From memory: mounting must not depend on S3.
    fn options(&self) -> Response<Body> {
        let mut answer = text(StatusCode::OK, "");
        let headers = answer.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::ALLOW, self.allowed());
        // Class 2 is locking; without it macOS mounts read-only, as it should then.
        let class = if self.0.options.read_only { "1" } else { "1, 2" };
        headers.insert("dav", HeaderValue::from_static(class));
        headers.insert("ms-author-via", HeaderValue::from_static("DAV"));
        answer
    }

    fn allowed(&self) -> HeaderValue {
        HeaderValue::from_static(if self.0.options.read_only {
            "OPTIONS, GET, HEAD, PROPFIND"
        } else {
            "OPTIONS, GET, HEAD, PROPFIND, PROPPATCH, PUT, MKCOL, DELETE, COPY, MOVE, LOCK, UNLOCK"
        })
    }
}

fn refuse(refused: Refused) -> Box<Response<Body>> {
    let mut answer = text(refused.status, &refused.message);
    if refused.status == StatusCode::NOT_IMPLEMENTED {
        // What is behind a body in an unknown coding is not to be trusted.
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Box::new(answer)
}

/// An IPv4 client of an IPv6 socket is still an IPv4 client.
fn canonical(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

fn known(method: &Method) -> &'static str {
    READS.iter().chain(WRITES).find(|name| **name == method.as_str()).copied().unwrap_or("other")
}

const READS: &[&str] = &["OPTIONS", "GET", "HEAD", "PROPFIND"];
const WRITES: &[&str] = &["PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPPATCH", "LOCK", "UNLOCK"];
const SERVER: &str = concat!("s3dav/", env!("CARGO_PKG_VERSION"));
