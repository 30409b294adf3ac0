//! What a relay's gateway does with a request whose sender may come in: it is the far gateway's to answer.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, Uri, Version, header};

use super::body::LeasedBody;
use super::date;
use crate::dav::{Body, text};
use crate::relay::{ForwardError, Relay, connection_names};

/// Sends it there as it came: the far gateway is shown by the same names.
pub(super) async fn answer(
    relay: &Relay,
    mut head: Parts,
    body: LeasedBody,
    patience: Duration,
) -> Response<Body> {
    if hides_its_meaning(&head) {
        return text(StatusCode::BAD_REQUEST, "Connection names what the request means");
    }
    if let Some(host) = head.uri.authority().map(|authority| authority.as_str().to_owned())
        && let Ok(host) = HeaderValue::try_from(host)
    {
        head.headers.insert(header::HOST, host);
    }
    let path = head.uri.path_and_query().cloned();
    head.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    head.version = Version::HTTP_11;
    head.extensions.clear();
    match relay.forward(head, body, patience).await {
        Ok(mut answer) => {
            if !answer.headers().contains_key(header::DATE) {
                date::leave_out(&mut answer);
            }
            answer
        }
        Err(error) => refused(&error),
    }
}

/// Whether `Connection` takes away, on the way, what a direct gateway would heed: a condition, or a destination.
fn hides_its_meaning(head: &Parts) -> bool {
    connection_names(&head.headers).any(|name| {
        let name = name.to_ascii_lowercase();
        name.starts_with("if") || name.starts_with("content-") || MEANING.contains(&&*name)
    })
}

const MEANING: [&str; 7] =
    ["authorization", "depth", "destination", "lock-token", "overwrite", "range", "timeout"];

fn refused(error: &ForwardError) -> Response<Body> {
    let status = match error {
        ForwardError::Broken => StatusCode::BAD_REQUEST,
        ForwardError::Away(_) | ForwardError::Slow(_) | ForwardError::Lost => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut answer = text(status, &error.to_string());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    answer
}
