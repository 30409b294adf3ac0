//! Request bodies: bounded, watched, and given back when nobody wanted them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep};

use super::places::UnderWay;
use super::record::Record;
use crate::dav::{Body, check_xml, text};
use crate::metrics::{Direction, Metrics};
use crate::tally::{self, Tally};

/// Reads a whole body of at most `limit` bytes.
async fn read(mut body: LeasedBody, limit: usize) -> Result<Bytes, (StatusCode, String)> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > limit {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("the body is over {limit} bytes")));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

/// The body of anything but a PUT: small, and XML where there is one.
pub(super) async fn small(method: &Method, body: LeasedBody) -> Result<Bytes, Box<Response<Body>>> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let body = read(body, MAX_BODY).await.map_err(|(status, message)| Box::new(text(status, &message)))?;
    if body.iter().all(u8::is_ascii_whitespace) {
        // Some write a line's end where there is nothing to say.
        return Ok(Bytes::new());
    }
    let takes_xml = matches!(method.as_str(), "PROPFIND" | "PROPPATCH" | "LOCK");
    if takes_xml && !body.is_empty() {
        check_xml(&body).map_err(|message| Box::new(text(StatusCode::BAD_REQUEST, &message)))?;
    }
    if !takes_xml && !body.is_empty() {
        let message = "this method takes no body";
        return Err(Box::new(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)));
    }
    Ok(body)
}

/// Where a body returns to when whoever had it lets go of it.
#[derive(Clone, Default)]
pub(super) struct BodyLease(Arc<Mutex<Returned>>);

#[derive(Default)]
struct Returned {
    body: Option<Incoming>,
    /// Somebody asked for it, so that a client that waited for that is sending now.
    asked: bool,
    /// All of it has arrived.
    is_whole: bool,
    /// Why it did not arrive whole.
    failure: Option<StatusCode>,
    /// The client takes the end of a connection for the end of everything.
    keeps_connection: bool,
}

impl BodyLease {
    /// Lends `body` out.
    pub(super) fn lend(&self, body: Incoming, stall: Duration, metrics: Metrics) -> LeasedBody {
        if body.is_end_stream() {
            self.note_whole();
        }
        let (body, lease) = (Some(body), self.clone());
        let tally = tally::current();
        LeasedBody { body, lease, stall, timer: None, waiting: false, asked: false, metrics, tally }
    }

    /// The status for a body that did not arrive whole: the client's doing, whatever came of it.
    pub(super) fn failure(&self) -> Option<StatusCode> {
        self.0.lock().failure
    }

    /// Nothing more of the body is waited for.
    pub(super) fn note_whole(&self) {
        self.0.lock().is_whole = true;
    }

    /// Whether all of the body has arrived.
    pub(super) fn is_whole(&self) -> bool {
        self.0.lock().is_whole
    }

    /// From now on what is left of a body is [`Remainder`].
    pub(super) fn keep_connection(&self) {
        self.0.lock().keeps_connection = true;
    }

    /// Whether the client still waits for being asked for its body.
    pub(super) fn is_awaited(&self) -> bool {
        let returned = self.0.lock();
        returned.body.is_some() && !returned.asked
    }

    /// What is left of the body, if it is to be read after the answer.
    pub(super) fn rest(&self) -> Option<Remainder> {
        let mut returned = self.0.lock();
        if returned.keeps_connection { returned.body.take().map(Remainder) } else { None }
    }

    /// Reads what is left of the body, so that the connection can live on; says whether it can.
    pub(super) async fn drain(&self) -> bool {
        let body = self.0.lock().body.take();
        let Some(mut body) = body else { return self.failure().is_none() };
        let all = async {
            let mut left = DRAIN_BYTES;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return false };
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(DRAIN_TIME, all).await.unwrap_or(false)
    }
}

/// What macOS's client still sends after the answer. It looks for one while it sends, and fails the program's
/// next write; an answer after the end would come with the file's close, which tells nobody. And one
/// connection that breaks takes the whole mount down for a while.
pub(super) struct Remainder(Incoming);

impl Remainder {
    /// Reads it, and throws it away. When this ends too early, the connection does.
    pub(super) async fn read(mut self) {
        let all = async { while let Some(Ok(_)) = self.0.frame().await {} };
        let _ = tokio::time::timeout(REST_TIME, all).await;
    }
}

/// A body that must go on arriving.
pub(super) struct LeasedBody {
    body: Option<Incoming>,
    lease: BodyLease,
    stall: Duration,
    /// Made when the client is first waited for.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer runs: it does only while the client is waited for.
    waiting: bool,
    asked: bool,
    metrics: Metrics,
    /// Of the request that it belongs to.
    tally: Option<Tally>,
}

impl LeasedBody {
    fn fail(&mut self, status: StatusCode) {
        self.body = None;
        self.lease.0.lock().failure = Some(status);
    }
}

impl HttpBody for LeasedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if !this.asked {
            this.asked = true;
            this.lease.0.lock().asked = true;
        }
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let body_ends = body.is_end_stream();
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                this.metrics.body_bytes(Direction::Received, length);
                this.tally.iter().for_each(|tally| tally.add_received(length));
                this.waiting = false;
                if body_ends {
                    this.lease.note_whole();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.fail(StatusCode::BAD_REQUEST);
                Poll::Ready(Some(Err(io::Error::other(error))))
            }
            Poll::Ready(None) => {
                this.body = None;
                this.lease.note_whole();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(this.stall)));
                if !this.waiting {
                    this.waiting = true;
                    timer.as_mut().reset(Instant::now() + this.stall);
                }
                std::task::ready!(timer.as_mut().poll(cx));
                this.fail(StatusCode::REQUEST_TIMEOUT);
                let message = "the client stopped sending the body";
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, message))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for LeasedBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            self.lease.0.lock().body = Some(body);
        }
    }
}

/// An answer's body, counted.
pub(super) struct Counted {
    pub(super) body: Body,
    pub(super) metrics: Metrics,
    pub(super) tally: Tally,
    pub(super) record: Option<Record>,
    /// Until the last byte has gone.
    pub(super) _under_way: UnderWay,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let frame = this.tally.enter(|| Pin::new(&mut this.body).poll_frame(cx));
        let frame = std::task::ready!(frame);
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            this.metrics.body_bytes(Direction::Sent, length);
            this.record.iter_mut().for_each(|record| record.sent(length));
        }
        if frame.is_none() {
            this.record.iter_mut().for_each(Record::ended);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // What has an end in sight is not asked for it.
        if self.body.is_end_stream() {
            self.record.iter_mut().for_each(Record::ended);
        }
    }
}

/// Bytes. XML bodies of real clients are below 2 KiB; PROPPATCH of many properties may need more.
const MAX_BODY: usize = 64 << 10;
/// A refused upload is read up to here rather than resetting the connection.
const DRAIN_BYTES: usize = 64 << 20;
/// And for so long.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// A large file, at memory's speed.
const REST_TIME: Duration = Duration::from_secs(75);
