//! Bodies of answers and requests: whole, slow, and cut short.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, BodyStream, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

pub(super) fn whole(text: String) -> Body {
    http_body_util::Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

/// `body`, with a pause before each piece of it.
pub(super) fn slowly(body: Incoming, pause: Duration) -> s3s::Body {
    let frames = stream::unfold(body, move |mut body| async move {
        tokio::time::sleep(pause).await;
        Some((body.frame().await?, body))
    });
    s3s::Body::http_body_unsync(StreamBody::new(frames))
}

/// `body` up to `after` bytes; then an error, or a pause until the gate opens.
pub(super) fn interrupted(body: Body, after: u64, gate: Option<super::Gate>) -> Body {
    let chunks = BodyStream::new(body).filter_map(|frame| {
        std::future::ready(match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(error) => Some(Err(error)),
        })
    });
    let before =
        Interrupted { chunks: Box::pin(chunks), rest: Bytes::new(), left: after, gate, has_failed: false };
    let frames = stream::unfold(before, |mut body| async move {
        let frame = body.next().await?.map(Frame::data);
        Some((frame, body))
    });
    let frames: Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, BoxError>> + Send>> =
        Box::pin(frames);
    StreamBody::new(frames).boxed_unsync()
}

/// A body that is interrupted at a byte, and loses none.
struct Interrupted {
    chunks: Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, BoxError>> + Send>>,
    /// What of a chunk lies behind the interruption.
    rest: Bytes,
    /// Bytes until then.
    left: u64,
    gate: Option<super::Gate>,
    has_failed: bool,
}

impl Interrupted {
    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        if self.has_failed {
            return None;
        }
        if self.left == 0 {
            let Some(gate) = self.gate.take() else {
                self.has_failed = true;
                return Some(Err("cut by a hook".into()));
            };
            gate.passed().await;
            self.left = u64::MAX;
        }
        let mut chunk = if self.rest.is_empty() {
            match self.chunks.next().await? {
                Ok(chunk) => chunk,
                error => return Some(error),
            }
        } else {
            std::mem::take(&mut self.rest)
        };
        self.rest = chunk.split_off(chunk.len().min(self.left.min(usize::MAX as u64) as usize));
        self.left -= chunk.len() as u64;
        Some(Ok(chunk))
    }
}
