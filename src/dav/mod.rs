//! WebDAV: the engine behind its intercepts, our own PROPFIND, our own locks.

mod adapter;
mod delivery;
pub mod engine;
pub mod href;
mod index;
mod lock_null;
pub mod locks;
mod policy;
pub mod propfind;
mod proppatch;
mod saves;
pub mod status;
mod told;
mod xml;

use std::io;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

use crate::fs::{Failure, RequestContext};
use crate::logging::with_causes;

pub use policy::guard;
pub use xml::check as check_xml;

/// A body on its way to or from the client. An error ends it in a way that cannot be taken for its
/// proper end.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The answer to a failure; its cause is logged.
pub(crate) fn refuse(context: &RequestContext, failure: Failure) -> Response<Body> {
    let answer = refused(context, &failure);
    report(context, failure);
    answer
}

/// What the client is told of a failure.
fn refused(context: &RequestContext, failure: &Failure) -> Response<Body> {
    let status = status::of(failure, &context.client);
    let mut answer = text(status, &failure.to_string());
    if let Some(hint) = failure.hint() {
        answer.extensions_mut().insert(Hint(hint));
    }
    if let Some(seconds) = status::retry_after(status) {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

/// Keeps a failure for the answer, unless it says no more than what is there and what is not. The cause is logged
/// here, since it ends here.
fn report(context: &RequestContext, failure: Failure) {
    let RequestContext { method, path, .. } = context;
    if status::of(&failure, &context.client).is_server_error() || failure.is_of_setup() {
        tracing::warn!(%method, %path, error = with_causes(&failure), hint = failure.hint(), "failed");
    }
    if !failure.is_absence() && !matches!(failure, Failure::Exists) {
        context.outcome.set_failure(failure);
    }
}

/// An answer with a short text for people. What S3 or a client has put into it may be long; the beginning tells.
pub fn text(status: StatusCode, message: &str) -> Response<Body> {
    let shown = &message[..message.floor_char_boundary(MAX_TEXT)];
    let body = if message.is_empty() {
        String::new()
    } else if shown.len() < message.len() {
        format!("{shown}…\n")
    } else {
        format!("{message}\n")
    };
    let reason = Reason(body.trim_end().to_owned());
    let mut answer = Response::new(full(body));
    *answer.status_mut() = status;
    if status.is_client_error() || status.is_server_error() {
        answer.extensions_mut().insert(reason);
    }
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

/// Why a request was refused, beside the answer: for the log, and whoever makes a page of it.
#[derive(Debug, Clone)]
pub struct Reason(pub String);

/// What to do about it.
#[derive(Debug, Clone)]
pub struct Hint(pub String);

/// Bytes. macOS has room for 4,096 of an answer to what it copies, headers included, and waits for ever for the
/// end of one that does not fit.
const MAX_TEXT: usize = 2048;

#[cfg(test)]
pub(crate) use adapter::answer_in_memory;
#[cfg(test)]
mod properties;
