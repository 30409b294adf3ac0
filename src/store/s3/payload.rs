//! Bodies of several pieces as the SDK's.
//!
//! The SDK hashes only what lies in one piece. Any other body it would send in chunks, with the checksum behind it
//! (`aws-chunked`), which many servers do not take, and without a hash in the signature. So the hash of several pieces is
//! computed here, and the request is the same. The checksum is the one of what arrived, not of what is sent: what went
//! wrong in between is refused by S3.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};

use super::convert::invalid;
use super::options::S3Options;
use crate::store::{Payload, StoreResult};

/// A payload and what is told of it.
pub(super) struct Outgoing {
    payload: Payload,
    /// Base64 of the CRC-32C, where one is sent.
    pub(super) crc32c: Option<String>,
    pub(super) signature: SignPayload,
}

impl Outgoing {
    pub(super) fn new(payload: &Payload, options: &S3Options) -> Self {
        let is_ours = payload.as_one().is_none();
        let crc32c = options.sends_checksums().then(|| payload.crc32c().base64());
        // Over TLS it is not signed, and without credentials nothing is.
        let is_signed = is_ours && !options.is_https() && !options.no_sign_request;
        let signature = SignPayload(is_signed.then(|| sha256(payload)));
        Self { payload: payload.clone(), crc32c, signature }
    }

    /// The header that goes with [`Self::crc32c`].
    pub(super) fn algorithm(&self) -> Option<ChecksumAlgorithm> {
        self.crc32c.is_some().then_some(ChecksumAlgorithm::Crc32C)
    }

    /// Refuses the answer to it that tells another checksum.
    pub(super) fn compare(&self, answered: Option<&str>) -> StoreResult<()> {
        compare(self.crc32c.as_deref(), answered)
    }

    /// Can be read as often as the request is repeated.
    pub(super) fn stream(&self) -> ByteStream {
        match self.payload.as_one() {
            Some(bytes) => ByteStream::from(bytes),
            None => {
                let payload = self.payload.clone();
                ByteStream::new(SdkBody::retryable(move || SdkBody::from_body_1_x(Pieces::of(&payload))))
            }
        }
    }
}

/// Puts the payload's hash into the signature: the SHA-256 in hexadecimal, if the SDK does not compute it.
#[derive(Debug, Clone)]
pub(super) struct SignPayload(Option<String>);

impl Intercept for SignPayload {
    fn name(&self) -> &'static str {
        "SignPayload"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(sha256) = &self.0 {
            config.interceptor_state().store_put(PayloadSigningOverride::Precomputed(sha256.clone()));
        }
        Ok(())
    }
}

/// The checksum that an answer tells, in base64.
pub(super) fn checksum<T>(answer: &StoreResult<T>, of: impl FnOnce(&T) -> Option<&str>) -> Option<String> {
    answer.as_ref().ok().and_then(of).map(str::to_owned)
}

/// Refuses an answer that tells another checksum than was sent, both in base64.
pub(super) fn compare(sent: Option<&str>, answered: Option<&str>) -> StoreResult<()> {
    match (sent, answered) {
        // That of a checksum of checksums says of how many.
        (Some(sent), Some(answered)) if sent != answered && !answered.contains('-') => {
            Err(invalid("the checksum of something else than was sent"))
        }
        _ => Ok(()),
    }
}

fn sha256(payload: &Payload) -> String {
    let mut digest = Sha256::new();
    payload.pieces().iter().for_each(|piece| digest.update(piece));
    hex::encode(digest.finalize())
}

/// The pieces as a body: a frame each.
struct Pieces {
    left: VecDeque<Bytes>,
    /// Bytes of them.
    length: u64,
}

impl Pieces {
    fn of(payload: &Payload) -> Self {
        Self { left: payload.pieces().iter().cloned().collect(), length: payload.len() as u64 }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.left.pop_front();
        self.length -= next.as_ref().map_or(0, Bytes::len) as u64;
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    /// Exact, so that the length is told and nothing is sent in chunks.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::super::options::Checksums;
    use super::*;
    use crate::checksum::Crc32c;
    use crate::store::StoreError;

    fn several() -> Payload {
        Payload::from_iter(["The quick brown fox ", "jumps over ", "the lazy dog"].map(Bytes::from))
    }

    fn options(endpoint: &str, checksums: Checksums) -> S3Options {
        S3Options { endpoint_url: Some(endpoint.to_owned()), checksums, ..S3Options::default() }
    }

    #[test]
    fn what_is_computed_of_pieces_is_what_is_computed_of_the_whole() {
        // As `sha256sum` has it, and the tables of CRC-32C.
        assert_eq!(sha256(&several()), "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592");
        assert_eq!(several().crc32c(), Crc32c(0x2262_0404));
    }

    #[test]
    fn what_nobody_needs_is_not_computed() {
        let (http, https) = ("http://127.0.0.1:9000", "https://s3.example");
        for (endpoint, checksums, has_crc32c, has_sha256) in [
            (http, Checksums::WhenRequired, false, true),
            (http, Checksums::WhenSupported, true, true),
            (https, Checksums::WhenRequired, false, false),
            (https, Checksums::WhenSupported, true, false),
        ] {
            let options = options(endpoint, checksums);
            let outgoing = Outgoing::new(&several(), &options);
            assert_eq!((outgoing.crc32c.is_some(), outgoing.signature.0.is_some()), (has_crc32c, has_sha256));
            assert_eq!(outgoing.algorithm().is_some(), has_crc32c);
            let unsigned = S3Options { no_sign_request: true, ..options.clone() };
            assert!(Outgoing::new(&several(), &unsigned).signature.0.is_none());
            let of_one = Outgoing::new(&"in one piece".into(), &options);
            assert_eq!((of_one.crc32c.is_some(), of_one.signature.0), (has_crc32c, None));
        }
    }

    #[test]
    fn what_arrived_counts_and_not_what_is_sent() {
        let options = options("https://s3.example", Checksums::WhenSupported);
        let outgoing = Outgoing::new(&several().arrived_as(Crc32c(1)), &options);
        assert_eq!(outgoing.crc32c.as_deref(), Some("AAAAAQ=="));
        assert!(matches!(outgoing.compare(Some("AAAAAg==")), Err(StoreError::InvalidAnswer(_))));
        for answered in [None, Some("AAAAAQ=="), Some("AAAAAg==-2")] {
            outgoing.compare(answered).unwrap();
        }
    }

    #[tokio::test]
    async fn a_body_tells_its_length_and_can_be_sent_again() {
        let outgoing = Outgoing::new(&several(), &options("http://127.0.0.1:9000", Checksums::WhenRequired));
        let body = outgoing.stream().into_inner();
        assert_eq!((body.content_length(), body.bytes()), (Some(43), None));
        for _ in 0..2 {
            let mut body = body.try_clone().unwrap();
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!((first, body.content_length()), ("The quick brown fox ".into(), Some(23)));
            assert_eq!(body.collect().await.unwrap().to_bytes(), "jumps over the lazy dog");
        }
        let of_one = Outgoing::new(&"in one piece".into(), &S3Options::default()).stream().into_inner();
        assert_eq!(of_one.bytes(), Some("in one piece".as_bytes()), "the SDK looks into it");
    }
}
