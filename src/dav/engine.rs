//! dav-server, never bare: every method but PROPFIND goes through here, with what it gets wrong put
//! right before and after.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, BodyStream, Collected, StreamBody};

use super::delivery::watched;
use super::href::{href, own_href};
use super::locks::LockTable;
use super::policy::guard_content;
use super::saves::Saves;
use super::told::Told;
use super::{Body, adapter, full, index, lock_null, propfind, proppatch, refuse, refused, text};
use crate::fs::{Failure, RequestContext, Share};
use crate::page::Order;
use crate::shutdown::Shutdown;
use crate::state::State;

/// WebDAV over a share.
#[derive(Clone)]
pub struct Engine {
    share: Arc<dyn Share>,
    locks: LockTable,
    saves: Saves,
    told: Told,
    /// What is served, as its pages call it.
    source: Arc<str>,
}

impl Engine {
    /// Serves `share`, which people know as `source`; `locks` are its locks, `state` its memory.
    pub fn new(
        share: Arc<dyn Share>,
        source: &str,
        locks: LockTable,
        state: State,
        shutdown: &Shutdown,
    ) -> Self {
        let told = Told::new(state.unsure_since().is_some());
        Self { share, saves: Saves::new(state, locks.clone(), shutdown), locks, told, source: source.into() }
    }

    /// Answers a PROPFIND whose body has been read and checked.
    pub async fn propfind(
        &self,
        context: &Arc<RequestContext>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<Body> {
        let fs = self.share.for_request(Arc::clone(context));
        let locks = self.locks.for_request(Arc::clone(context));
        let answer = propfind::handle(context, fs, &self.told, locks, headers, body).await;
        self.note(context, answer.status());
        answer
    }

    /// Answers a PROPPATCH whose body has been read and checked.
    pub async fn proppatch(
        &self,
        context: &Arc<RequestContext>,
        parts: Parts,
        body: Bytes,
    ) -> Response<Body> {
        let lost = proppatch::lost_changes(&body);
        let answer = self.handle(context, Request::from_parts(parts, full(body))).await;
        let is_as_asked = lost.is_empty() && context.spelling.is_none();
        if is_as_asked || answer.status() != StatusCode::MULTI_STATUS {
            return answer;
        }
        let (head, body) = answer.into_parts();
        let Ok(body) = body.collect().await.map(Collected::to_bytes) else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made");
        };
        if !lost.is_empty() && proppatch::all_succeeded(&body) {
            let fs = self.share.for_request(Arc::clone(context));
            if let Err(failure) = fs.change_properties(&context.path, lost).await {
                return refuse(context, failure);
            }
        }
        let body = match &context.spelling {
            None => body,
            Some(_) => proppatch::with_href(&body, |is_folder| own_href(context, is_folder)).into(),
        };
        let mut answer = Response::from_parts(head, full(body));
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        answer
    }

    /// Answers any other request. Its headers have been checked.
    pub async fn handle(&self, context: &Arc<RequestContext>, mut request: Request<Body>) -> Response<Body> {
        if let Some(answer) = self.hot(context, request.headers()).await {
            self.share.offered(context).await;
            self.told.note(context, answer.status());
            return watched(&self.share, context, answer);
        }
        let fs = || self.share.for_request(Arc::clone(context));
        if let Some(file) = self.saves.in_the_way(context, fs).await {
            return refuse(context, Failure::Unstored { file });
        }
        if matches!(context.method.as_str(), "PUT" | "COPY" | "MOVE" | "DELETE") {
            context.outcome.set_hints(self.told.hints(context));
        }
        if lock_null::is_met(context, request.headers(), &self.locks, fs).await {
            request.headers_mut().remove(header::IF_NONE_MATCH);
        }
        self.saves.begin(context).await;
        let names_version = names_version(request.headers());
        let answer = self.carry_out_on_newest(context, request).await;
        self.note(context, answer.status());
        self.saves.note(context, answer.status()).await;
        let is_known = answer.status() == StatusCode::NOT_MODIFIED && names_version;
        let has_content = matches!(answer.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        if context.method != Method::GET || !(is_known || has_content) {
            return answer;
        }
        self.share.offered(context).await;
        if is_known {
            // It has what it names.
            self.share.delivered(context, 0, u64::MAX);
        }
        watched(&self.share, context, answer)
    }

    /// Takes note of what became of a request.
    fn note(&self, context: &RequestContext, status: StatusCode) {
        self.told.note(context, status);
        // A disk without room is a reason of its own.
        let is_unanswered = status.is_server_error() && status != StatusCode::INSUFFICIENT_STORAGE;
        let quirks = context.client.quirks();
        if is_unanswered && quirks.takes_5xx_for_absence && quirks.caches_negative_lookups {
            self.share.unanswered(context);
        }
    }

    /// A file that others replace between the look at it and its first byte is looked at once more.
    async fn carry_out_on_newest(
        &self,
        context: &Arc<RequestContext>,
        request: Request<Body>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let again = (context.method == Method::GET).then(|| Request::from_parts(parts.clone(), full("")));
        let answer = self.carry_out(context, Request::from_parts(parts, body)).await;
        match again.filter(|_| context.outcome.take_replaced()) {
            Some(again) => self.carry_out(context, again).await,
            None => answer,
        }
    }

    async fn carry_out(&self, context: &Arc<RequestContext>, mut request: Request<Body>) -> Response<Body> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let as_folder = AsFolder {
            with_slash: is_read
                .then(|| index::with_slash(context, request.uri(), request.headers()))
                .flatten(),
            order: Order::parse(request.uri().query()),
        };
        *request.uri_mut() = target(context);
        // The engine would answer 304 to a date that is merely older.
        let since = if is_read { request.headers_mut().remove(header::IF_MODIFIED_SINCE) } else { None };
        let since = since.filter(|_| !request.headers().contains_key(header::IF_NONE_MATCH));
        let wants_end = is_read && wants_end(request.headers());
        let fs = self.share.for_request(Arc::clone(context));
        let locks = self.locks.for_request(Arc::clone(context));
        let carried_out = adapter::handle(context, fs, locks, request);
        let answer = AssertUnwindSafe(carried_out).catch_unwind().await;
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(_) => {
                tracing::error!(method = %context.method, path = %context.path, "the WebDAV engine panicked");
                return text(StatusCode::INTERNAL_SERVER_ERROR, "internal error");
            }
        };
        if let Some(refusal) = refusal(context) {
            return refusal;
        }
        if context.method.as_str() == "UNLOCK" {
            self.share.unlocked(context);
        }
        if wants_end {
            mark_whole(&mut answer);
        }
        if is_read {
            self.finish_read(context, answer, since, as_folder).await
        } else {
            finish(context, answer).await
        }
    }

    /// A plain GET of a file in memory needs no engine, which would look at it three times.
    async fn hot(&self, context: &RequestContext, headers: &HeaderMap) -> Option<Response<Body>> {
        let is_plain = context.method == Method::GET
            && context.range.is_none()
            && !context.is_conditional
            && !headers.contains_key(header::IF_MODIFIED_SINCE)
            && !headers.contains_key(header::RANGE);
        if !is_plain {
            return None;
        }
        let file = self.share.hot(context).await?;
        let length = file.content.len();
        let mut answer = Response::new(full(file.content));
        let headers = answer.headers_mut();
        let kind = file.content_type.and_then(|kind| kind.parse().ok());
        let kind = kind.unwrap_or(header::HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CONTENT_LENGTH, length.into());
        headers.insert(header::ACCEPT_RANGES, header::HeaderValue::from_static("bytes"));
        headers.insert(header::ETAG, file.etag.quoted().parse().ok()?);
        headers.insert(header::LAST_MODIFIED, httpdate::fmt_http_date(file.modified).parse().ok()?);
        guard_content(headers);
        Some(answer)
    }

    async fn finish_read(
        &self,
        context: &Arc<RequestContext>,
        mut answer: Response<Body>,
        since: Option<header::HeaderValue>,
        as_folder: AsFolder,
    ) -> Response<Body> {
        // The engine's two words for a folder.
        if matches!(answer.status(), StatusCode::FOUND | StatusCode::METHOD_NOT_ALLOWED) {
            return match as_folder.with_slash {
                Some(location) => index::moved(location),
                None => self.folder(context, as_folder.order).await,
            };
        }
        if !matches!(answer.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            return finish(context, answer).await;
        }
        let is_same = since.is_some_and(|since| same_date(&since, answer.headers()));
        if is_same && !context.outcome.date_is_no_proof() {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer.headers_mut().remove(header::CONTENT_LENGTH);
            answer.headers_mut().remove(header::CONTENT_RANGE);
            *answer.body_mut() = full("");
            return answer;
        }
        if let Some(refused) = beyond_end(context, &answer) {
            return refused;
        }
        let stored = context.outcome.content_type().and_then(|t| t.parse().ok());
        if let Some(stored) = stored {
            answer.headers_mut().insert(header::CONTENT_TYPE, stored);
        }
        guard_content(answer.headers_mut());
        if context.method == Method::HEAD {
            return answer;
        }
        begun(context, answer).await
    }

    /// What is at the path is a folder: a listing for browsers, 200 for all.
    async fn folder(&self, context: &Arc<RequestContext>, order: Order) -> Response<Body> {
        let fs = self.share.for_request(Arc::clone(context));
        match index::answer(&*fs, context, &self.source, order).await {
            Ok(mut answer) if context.method == Method::HEAD => {
                *answer.body_mut() = full("");
                answer
            }
            Ok(answer) => answer,
            Err(failure) => refuse(context, failure),
        }
    }
}

/// How a path is answered that turns out to be a folder.
struct AsFolder {
    /// Where a browser is sent instead.
    with_slash: Option<header::HeaderValue>,
    order: Order,
}

/// The target as every layer read it, spelled so that the engine cannot read it otherwise.
fn target(context: &RequestContext) -> Uri {
    let path = href(&context.path, context.path.has_trailing_slash());
    let path = format!("{}{path}", context.prefix.text());
    // Escaped throughout: always a valid URI.
    path.parse().unwrap_or_else(|_| Uri::from_static("/"))
}

/// The answer to a failure that the engine cannot express.
fn refusal(context: &RequestContext) -> Option<Response<Body>> {
    context.outcome.failure().map(|failure| refused(context, &failure))
}

/// Whether the last so many bytes are wanted, of whatever version.
fn wants_end(headers: &HeaderMap) -> bool {
    let range = headers.get(header::RANGE);
    range.is_some_and(|range| range.as_bytes().starts_with(b"bytes=-"))
        && !headers.contains_key(header::IF_RANGE)
}

/// A file that is shorter than the end that is wanted is all of that end; the engine sends it as if nothing had
/// been said.
fn mark_whole(answer: &mut Response<Body>) {
    let length = answer.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
    let Some(last) = length.checked_sub(1).filter(|_| answer.status() == StatusCode::OK) else { return };
    if let Ok(range) = header::HeaderValue::try_from(format!("bytes 0-{last}/{length}")) {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        answer.headers_mut().insert(header::CONTENT_RANGE, range);
    }
}

/// The answer to a range of which only a part is there, for a client that would take all of it to have come. One
/// that begins with the file it does not ask for.
fn beyond_end(context: &RequestContext, answer: &Response<Body>) -> Option<Response<Body>> {
    let range = context.range.filter(|range| range.first > 0 && context.client.quirks().pads_short_reads)?;
    let part = answer.headers().get(header::CONTENT_RANGE)?;
    let size = part.to_str().ok()?.rsplit_once('/')?.1.parse::<u64>().ok()?;
    if range.last? < size {
        return None;
    }
    let mut refused = text(StatusCode::RANGE_NOT_SATISFIABLE, "the range reaches beyond the end of the file");
    let size = header::HeaderValue::try_from(format!("bytes */{size}")).ok()?;
    refused.headers_mut().insert(header::CONTENT_RANGE, size);
    Some(refused)
}

/// Waits for the first bytes, so that a store that is away is a 503 and not a broken 200.
async fn begun(context: &RequestContext, answer: Response<Body>) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    let mut frames = Box::pin(BodyStream::new(body).peekable());
    if let Some(Err(_)) = frames.as_mut().peek().await {
        return refusal(context)
            .unwrap_or_else(|| text(StatusCode::SERVICE_UNAVAILABLE, "the file cannot be read"));
    }
    Response::from_parts(parts, StreamBody::new(frames).boxed_unsync())
}

/// Small answers are made whole, with their length.
async fn finish(context: &RequestContext, answer: Response<Body>) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made"),
    };
    // The engine works while its multistatus is read, and may have failed only then.
    if let Some(refusal) = refusal(context) {
        return refusal;
    }
    parts.headers.remove(header::CONNECTION);
    parts.headers.remove(header::TRANSFER_ENCODING);
    if context.outcome.mtime_kept() {
        parts.headers.insert("x-oc-mtime", header::HeaderValue::from_static("accepted"));
    }
    if parts.status != StatusCode::NO_CONTENT && parts.status != StatusCode::NOT_MODIFIED {
        parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
    } else {
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    Response::from_parts(parts, full(body))
}

/// Whether the request says which version the client has, by its ETag or its date.
fn names_version(headers: &HeaderMap) -> bool {
    let named = headers.get(header::IF_NONE_MATCH).or(headers.get(header::IF_MODIFIED_SINCE));
    named.is_some_and(|named| named.as_bytes().trim_ascii() != b"*")
}

fn same_date(since: &header::HeaderValue, headers: &HeaderMap) -> bool {
    let parse = |value: &header::HeaderValue| -> Option<SystemTime> {
        httpdate::parse_http_date(value.to_str().ok()?).ok()
    };
    let modified = headers.get(header::LAST_MODIFIED).and_then(parse);
    modified.is_some() && modified == parse(since)
}
