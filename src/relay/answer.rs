//! What the far end answers, on its way to the client.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::line::{Connection, Line};
use super::upload::Fragment;

/// A body that keeps its connection until it has been read, and breaks off when its line is lost.
pub(super) struct Answered {
    body: Incoming,
    line: Arc<Line>,
    retired: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Runs while the far end is waited for.
    stall: Pin<Box<Sleep>>,
    is_waiting: bool,
    connection: Option<Connection>,
    /// Of the request, which may be answered before its body has gone. A body that breaks off would take the
    /// connection along, and this one.
    _request: mpsc::Sender<Fragment>,
}

impl Answered {
    pub(super) fn new(
        body: Incoming,
        line: Arc<Line>,
        connection: Connection,
        request: mpsc::Sender<Fragment>,
    ) -> Self {
        let (retired, stall) = (Box::pin(line.retirement()), Box::pin(sleep(STALL)));
        let connection = Some(connection);
        Self { body, line, retired, stall, is_waiting: false, connection, _request: request }
    }

    /// The far end is waited for: why that is given up.
    fn poll_loss(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !std::mem::replace(&mut self.is_waiting, true) {
            self.stall.as_mut().reset(Instant::now() + STALL);
        }
        if self.retired.as_mut().poll(cx).is_ready() {
            let message = "the remote gateway was lost in the middle of its answer";
            return Poll::Ready(io::Error::new(io::ErrorKind::ConnectionAborted, message));
        }
        self.stall.as_mut().poll(cx).map(|()| {
            io::Error::new(io::ErrorKind::TimedOut, "the remote gateway stopped in the middle of its answer")
        })
    }
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            return self.poll_loss(cx).map(|error| Some(Err(error)));
        };
        self.is_waiting = false;
        self.line.note_movement();
        if frame.is_none()
            && let Some(connection) = self.connection.take()
        {
            self.line.give_back(connection);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        // Whoever knows that it is at its end does not ask for it.
        if self.body.is_end_stream()
            && let Some(connection) = self.connection.take()
        {
            self.line.give_back(connection);
        }
    }
}

/// The fields that `Connection` names, in whatever case.
pub fn connection_names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|names| names.split(',')).map(str::trim)
}

/// Leaves out what is about one connection alone (RFC 9110, section 7.6.1).
pub(super) fn end_to_end(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = connection_names(headers).filter_map(|name| name.parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

static HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A far end that says nothing more for so long, while its answer is waited for, says no more. It ends an answer itself
/// when S3 is silent for a shorter time.
const STALL: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_about_one_connection_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Own"),
            ("keep-alive", "timeout=5"),
            ("x-own", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("etag", "\"1\""),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.append(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        end_to_end(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["etag"]);
    }
}
