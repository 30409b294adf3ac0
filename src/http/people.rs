//! A refusal, for whoever looks at it in a browser: the same status and headers, and a page that says the cause and
//! what to do. Programs get the plain text.

use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use super::hosts::Hosts;
use crate::dav::{Body, Hint, Reason, full};
use crate::page::{self, Problem};

/// Who asked: a person, for an address of that path below the root's, or a program.
#[derive(Debug)]
pub(super) struct Asker(Option<String>);

impl Asker {
    pub(super) fn of<B>(request: &Request<B>, hosts: &Hosts) -> Self {
        let is_person = request.method() == Method::GET && page::is_wanted(request.headers());
        Self(is_person.then(|| hosts.prefix.rest(request.uri().path()).to_owned()))
    }

    /// The answer as that asker is shown it.
    pub(super) fn shown(&self, answer: Response<Body>) -> Response<Body> {
        let is_refusal = answer.status().is_client_error() || answer.status().is_server_error();
        let kind = answer.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        // The gateway that this one leads to makes pages itself.
        let is_page = kind.is_some_and(|kind| kind.starts_with(b"text/html"));
        match &self.0 {
            Some(path) if is_refusal && !is_page && !HAS_ITS_OWN.contains(&answer.status()) => {
                page(path, answer)
            }
            _ => answer,
        }
    }
}

fn page(path: &str, answer: Response<Body>) -> Response<Body> {
    let (mut parts, _) = answer.into_parts();
    let retry_after =
        parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let page = Problem {
        status: parts.status,
        message: parts.extensions.get::<Reason>().map_or("", |reason| &reason.0),
        hint: parts.extensions.get::<Hint>().map(|hint| &*hint.0),
        retry_after,
        path,
    }
    .page();
    for of_content in OF_CONTENT {
        parts.headers.remove(of_content);
    }
    page::mark(&mut parts.headers);
    Response::from_parts(parts, full(page))
}

/// Of the plain text that the page takes the place of.
const OF_CONTENT: [header::HeaderName; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_DISPOSITION, header::ETAG];
/// A browser's viewer asks for parts with its own hands.
const HAS_ITS_OWN: [StatusCode; 2] = [StatusCode::RANGE_NOT_SATISFIABLE, StatusCode::PRECONDITION_FAILED];
