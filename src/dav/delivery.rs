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
    answer.map(|body| Watched { body, share, context, first, length, left: length }.boxed_unsync())
}

/// Of `Content-Range: bytes 5-9/20`: 5.
fn first_byte(answer: &Response<Body>) -> Option<u64> {
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

struct Watched {
    body: Body,
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
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && self.left > 0
        {
            self.left = self.left.saturating_sub(data.len() as u64);
            if self.left == 0 {
                self.share.delivered(&self.context, self.first, self.length);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
