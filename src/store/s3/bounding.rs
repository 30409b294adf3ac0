//! Answers that are read whole before anything is made of them: all but the content of objects. A broken or
//! hostile endpoint must not fill the memory with one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextMut;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Ends answers that are longer than any of S3's.
#[derive(Debug)]
pub(super) struct BoundAnswers;

/// Why an answer was not read to its end.
#[derive(Debug, thiserror::Error)]
#[error("it is over {} MiB, or has more than {MAX_TAGS} tags", MAX_ANSWER >> 20)]
pub(super) struct TooLong;

impl Intercept for BoundAnswers {
    fn name(&self) -> &'static str {
        "BoundAnswers"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let reads_object = config.load::<Metadata>().is_some_and(|metadata| metadata.name() == "GetObject");
        let answer = context.response_mut();
        if reads_object && answer.status().is_success() {
            return Ok(());
        }
        let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
        *answer.body_mut() = SdkBody::from_body_1_x(Bounded { body, bytes: 0, tags: 0 });
        Ok(())
    }
}

/// A body that fails when it gets too long.
struct Bounded {
    body: SdkBody,
    bytes: usize,
    tags: usize,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.bytes += data.len();
            this.tags += data.iter().filter(|byte| **byte == b'<').count();
        }
        if this.bytes > MAX_ANSWER || this.tags > MAX_TAGS {
            return Poll::Ready(Some(Err(TooLong.into())));
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }

    fn is_end_stream(&self) -> bool {
        Body::is_end_stream(&self.body)
    }
}

/// Bytes: four times a page of 1,000 keys of the longest names, escaped.
const MAX_ANSWER: usize = 16 << 20;
/// An empty element takes 11 bytes of a listing and 300 of memory. A page of 1,000 keys has 28,000 tags.
const MAX_TAGS: usize = 1 << 18;
