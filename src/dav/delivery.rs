//! A file on its way to a client, of which is noted what the connection took.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;

use super::Body;
use crate::fs::{RequestContext, Share};

/// An answer whose content counts as seen when its last byte has been taken.
pub(super) fn watched(
    share: &Arc<dyn Share>,
    context: &Arc<RequestContext>,
    answer: Response<Body>,
) -> Response<Body> {
    let Some(offered) = context.outcome.offered() else { return answer };
    let first = match answer.status() {
        StatusCode::OK => Some(0),
        StatusCode::PARTIAL_CONTENT => first_byte(&answer),
        _ => None,
    };
    let Some(first) = first else { return answer };
    let length = answer.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(offered.size);
    if length == 0 {
        share.delivered(context, first, 0);
        return answer;
    }
    let (share, context) = (Arc::clone(share), Arc::clone(context));
    answer
        .map(|body| Watched { body, tail: None, share, context, first, length, left: length }.boxed_unsync())
}

/// Of `Content-Range: bytes 5-9/20`: 5.
fn first_byte(answer: &Response<Body>) -> Option<u64> {
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

struct Watched {
    body: Body,
    /// The end of a frame, which is taken when there is room for it.
    tail: Option<Bytes>,
    share: Arc<dyn Share>,
    context: Arc<RequestContext>,
    first: u64,
    length: u64,
    left: u64,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = match self.tail.take() {
            Some(tail) => Poll::Ready(Some(Ok(Frame::data(tail)))),
            None => Pin::new(&mut self.body).poll_frame(context),
        };
        let Poll::Ready(Some(Ok(frame))) = polled else { return polled };
        let mut data = match frame.into_data() {
            Ok(data) => data,
            other => return Poll::Ready(Some(Ok(other.map_or_else(|frame| frame, Frame::data)))),
        };
        if data.len() > TAIL && data.len() as u64 >= self.left {
            self.tail = Some(data.split_off(data.len() - TAIL));
        }
        if self.left > 0 {
            self.left = self.left.saturating_sub(data.len() as u64);
            if self.left == 0 {
                self.share.delivered(&self.context, self.first, self.length);
            }
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.tail.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // The answer has its length.
        if self.tail.is_some() { SizeHint::default() } else { self.body.size_hint() }
    }
}

/// Bytes. More than these wait in front of a connection only where it takes nothing.
const TAIL: usize = 64 << 10;
