//! The line of the log for each request, with what it cost.
//!
//! It is written when the last byte of the answer has gone, since an answer's content may still cost requests to
//! S3. A path stands there as a name. What follows the `?` and the headers may hold secrets, and are left out: of
//! Destination the path is shown, of User-Agent the program that it names.

use std::borrow::Cow;

use http::{Method, Request, StatusCode, header};
use percent_encoding::percent_decode_str;
use tokio::time::Instant;

use super::conn_info::ConnInfo;
use crate::client::Client;
use crate::dav::Reason;
use crate::logging::milliseconds;
use crate::tally::Tally;

/// See the module; it is written when this is dropped.
#[derive(Debug)]
pub(super) struct Record {
    tally: Tally,
    begun: Instant,
    method: Method,
    path: String,
    destination: Option<String>,
    client: String,
    status: Option<StatusCode>,
    reason: Option<String>,
    /// Bytes that the body was announced to have.
    length: Option<u64>,
    sent: u64,
    has_ended: bool,
}

impl Record {
    /// `None` where the log does not hold such lines. `uid`: the user of this machine whose program asks, if known.
    pub(super) fn begin<B>(
        request: &Request<B>,
        ends: ConnInfo,
        uid: Option<u32>,
        tally: &Tally,
    ) -> Option<Self> {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return None;
        }
        let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let agent = text(header::USER_AGENT.as_str()).unwrap_or_default();
        let client = Client::new(None, ends.peer.ip().to_canonical(), agent);
        Some(Self {
            tally: tally.clone(),
            begun: Instant::now(),
            method: request.method().clone(),
            path: name(request.uri().path()),
            destination: text("destination").map(|to| name(path_of(to))),
            client: client.described(uid),
            status: None,
            reason: None,
            length: None,
            sent: 0,
            has_ended: false,
        })
    }

    /// Notes the head of the answer.
    pub(super) fn answered<B>(&mut self, answer: &http::Response<B>) {
        self.status = Some(answer.status());
        self.reason = answer.extensions().get::<Reason>().map(|reason| reason.0.clone());
        let length = answer.headers().get(header::CONTENT_LENGTH);
        self.length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    }

    /// Notes bytes of the answer's body.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// Notes that the body was sent to its end.
    pub(super) fn ended(&mut self) {
        self.has_ended = true;
    }

    /// How it went: the client may go away, or S3, before all was sent.
    fn end(&self) -> &'static str {
        let is_whole = self.has_ended || self.length.is_some_and(|length| self.sent >= length);
        match self.status {
            None => "not answered",
            Some(_) if is_whole => "answered",
            Some(_) => "answered in part",
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        tracing::debug!(
            request = self.tally.number(),
            method = self.method.as_str(),
            path = self.path,
            destination = self.destination,
            status = self.status.map(|status| status.as_u16()),
            reason = self.reason,
            bytes_in = self.tally.received(),
            bytes_out = self.sent,
            client = self.client,
            s3_requests = self.tally.s3_requests(),
            elapsed_ms = milliseconds(self.begun.elapsed()),
            "{}",
            self.end()
        );
    }
}

/// The path of a URL, or of what has the path alone.
fn path_of(url: &str) -> &str {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let authority = url.split_once("://").map(|(_, rest)| rest).or_else(|| url.strip_prefix("//"));
    match authority {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => url,
    }
}

/// As people write it, and not without end.
fn name(path: &str) -> String {
    let name: Cow<'_, str> = percent_decode_str(path).decode_utf8_lossy();
    let shown = &name[..name.floor_char_boundary(MAX_PATH)];
    if shown.len() < name.len() { format!("{shown}…") } else { name.into_owned() }
}

/// Bytes: as long as a key of S3 may be.
const MAX_PATH: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_name_and_has_no_secrets() {
        assert_eq!(name("/a%20b/%C3%A4"), "/a b/ä");
        assert_eq!(name(&format!("/{}", "ä".repeat(600))).len(), 1023 + '…'.len_utf8());
        for url in
            ["http://me:secret@host:1/a/b?token=1#x", "//me:secret@h/a/b", "/a/b?token=1", "https://h/a/b"]
        {
            assert_eq!(path_of(url), "/a/b");
        }
        assert_eq!(path_of("http://host"), "/");
    }
}
