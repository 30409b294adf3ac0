//! Whose a 404 without a body is. What answers in the place of S3, such as an ingress without a way to it, says
//! 404, too; but the object is there still.
//!
//! Most servers name each answer by a request id. From those a 404 without one is not believed, nor a web page
//! from any. As some may leave it out where there is no body, HEAD is then asked again as GET.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{S3Store, StoreError, StoreResult};
use crate::object::{ByteRange, Key, ObjectMeta};
use crate::store::{GetObject, ObjectStore};

/// Whether the endpoint has named an answer yet. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Naming(Arc<AtomicBool>);

/// Why an absence is not believed.
#[derive(Debug, thiserror::Error)]
#[error("a 404 that is not the store's own: something else answers in its place")]
pub(super) struct NotS3s;

impl Naming {
    /// Whether an answer without a body is the endpoint's own.
    pub(super) fn believes(&self, answer: &HttpResponse) -> bool {
        is_named(answer) || !(is_page(answer) || self.0.load(Ordering::Relaxed))
    }
}

impl Intercept for Naming {
    fn name(&self) -> &'static str {
        "Naming"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if is_named(context.response()) {
            self.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl S3Store {
    /// What HEAD would say, from an answer whose body tells whose it is.
    pub(super) async fn head_by_get(&self, key: &Key) -> StoreResult<ObjectMeta> {
        let first_byte = ByteRange { first: 0, last: Some(0) };
        match self.get(GetObject { range: Some(first_byte), ..GetObject::whole(key) }).await {
            Ok(content) => Ok(content.meta),
            // An empty object has no first byte.
            Err(StoreError::RangeNotSatisfiable) => Err(StoreError::Unavailable(NotS3s.into())),
            Err(error) => Err(error),
        }
    }
}

/// Whether it is a web page, which no S3 server sends by itself.
pub(super) fn is_page(answer: &HttpResponse) -> bool {
    answer.headers().get("content-type").is_some_and(|kind| kind.starts_with("text/html"))
}

fn is_named(answer: &HttpResponse) -> bool {
    REQUEST_IDS.iter().any(|name| answer.headers().get(name).is_some())
}

/// The headers that name an answer: S3's and those of most others, moto's, Google's, Alibaba's, Huawei's and
/// Tencent's.
const REQUEST_IDS: &[&str] = &[
    "x-amz-request-id",
    "x-amz-id-2",
    "x-amzn-requestid",
    "x-guploader-uploadid",
    "x-oss-request-id",
    "x-obs-request-id",
    "x-cos-request-id",
];
