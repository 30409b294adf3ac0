//! Bodies on their way to S3: given up when nothing of them goes out any more, not when they take long.
//!
//! Several share one line, so how long one of them may take cannot be said beforehand; that a line is dead
//! shows by none of it going out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::store::Payload;
use crate::tally::{self, Tally};

/// When something of a request's body went out last.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    last: Mutex<Instant>,
    payload: Payload,
    /// Of the request that it is sent for: the connection reads the body, in a task of its own.
    tally: Option<Tally>,
}

impl Progress {
    /// Of a request that sends `payload`.
    pub(super) fn of(payload: &Payload) -> Self {
        let (last, payload) = (Mutex::new(Instant::now()), payload.clone());
        Self(Arc::new(Inner { last, payload, tally: tally::current() }))
    }

    /// Waits for the answer, as long as there is something of the body, or the answer itself, every `silence`.
    pub(super) async fn watch<T, E>(
        self,
        silence: Duration,
        sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, SdkError<E, HttpResponse>> {
        let silent = async {
            loop {
                let end = *self.0.last.lock() + silence;
                if end <= Instant::now() {
                    return;
                }
                sleep_until(end).await;
            }
        };
        let tally = self.0.tally.clone();
        tokio::select! {
            answer = sent => {
                tally.iter().filter(|_| answer.is_ok()).for_each(Tally::note_taken);
                answer
            }
            () = silent => Err(SdkError::timeout_error(format!("nothing was sent or received for {silence:?}"))),
        }
    }

    /// So many bytes have gone out in this attempt.
    fn note(&self, sent: usize) {
        *self.0.last.lock() = Instant::now();
        if self.0.payload.has_come_further(sent) {
            self.0.tally.iter().for_each(Tally::note_taken);
        }
    }
}

impl Intercept for Progress {
    fn name(&self) -> &'static str {
        "Progress"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.note(0);
        let request = context.request_mut();
        let body =
            Watched { body: request.take_body(), piece: Bytes::new(), sent: 0, progress: self.clone() };
        *request.body_mut() = SdkBody::from_body_1_x(body);
        Ok(())
    }
}

/// A body in pieces small enough to see it go.
struct Watched {
    body: SdkBody,
    /// What the body has given, and nobody has taken yet.
    piece: Bytes,
    /// Bytes that were taken.
    sent: usize,
    progress: Progress,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.piece.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.piece = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
        // Whoever asks for the next piece has taken those before.
        this.progress.note(this.sent);
        let next = this.piece.split_to(this.piece.len().min(PIECE));
        this.sent += next.len();
        Poll::Ready(Some(Ok(Frame::data(next))))
    }

    fn size_hint(&self) -> SizeHint {
        let (body, piece) = (Body::size_hint(&self.body), self.piece.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + piece);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + piece);
        }
        hint
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && Body::is_end_stream(&self.body)
    }
}

/// Bytes that are seen to go at once.
const PIECE: usize = 64 << 10;
