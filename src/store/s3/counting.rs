//! Hooks into the SDK: every HTTP attempt is counted, and an answer's date can be seen.

use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
    FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use parking_lot::Mutex;

use super::naming::is_page;
use crate::metrics::Metrics;
use crate::store::looked::{LookTooOld, is_too_late};
use crate::store::reach::Reach;
use crate::tally::{self, Tally};

/// Counts attempts, each an HTTP request that S3 bills, and tells of answers.
#[derive(Debug, Clone)]
pub(super) struct CountRequests {
    /// Whose requests they are.
    pub(super) bucket: String,
    pub(super) metrics: Metrics,
    pub(super) reach: Reach,
}

impl Intercept for CountRequests {
    fn name(&self) -> &'static str {
        "CountRequests"
    }

    /// The answer to a delete has nothing that must be there, so a captive portal's page would
    /// pass for one.
    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map(|metadata| metadata.name().to_owned());
        let deletes = matches!(operation.as_deref(), Some("DeleteObject" | "AbortMultipartUpload"));
        let answer = context.response();
        // S3 answers these with 204.
        let is_page = is_page(answer) && answer.status().as_u16() == 200;
        if deletes && is_page { Err("a web page came where S3 should answer".into()) } else { Ok(()) }
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map_or("Other", |metadata| known_name(metadata.name()));
        let outcome = match context.response() {
            None => "lost",
            Some(answer) if answer.status().is_success() => "ok",
            Some(_) => "error",
        };
        self.metrics.s3_request(operation, outcome);
        tally::current().iter().for_each(Tally::add_s3_request);
        if let Some(answer) = context.response() {
            self.reach.heard();
            // Others may answer in its place, but not with a success.
            if answer.status().is_success()
                && let Some(server) = answer.headers().get("server").filter(|_| !is_page(answer))
            {
                self.reach.is_served_by(server.get(..MAX_SERVER).unwrap_or(server));
            }
        }
        Ok(())
    }
}

/// Keeps back what relied on a look that does not count any more.
#[derive(Debug)]
pub(super) struct KeepInTime;

impl Intercept for KeepInTime {
    fn name(&self) -> &'static str {
        "KeepInTime"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if is_too_late() { Err(LookTooOld.into()) } else { Ok(()) }
    }
}

/// The operation's name as a label that lives for ever.
fn known_name(name: &str) -> &'static str {
    OPERATIONS.iter().find(|known| **known == name).copied().unwrap_or("Other")
}

const OPERATIONS: &[&str] = &[
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateMultipartUpload",
    "DeleteObject",
    "DeleteObjects",
    "GetObject",
    "GetObjectTagging",
    "HeadObject",
    "ListMultipartUploads",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "PutObject",
    "UploadPart",
    "UploadPartCopy",
];

/// Bytes that a server's name may have; what follows is cut off.
const MAX_SERVER: usize = 200;

/// Keeps the `Date` of an answer: a write's output does not say when the object was made.
#[derive(Debug, Clone, Default)]
pub(super) struct AnswerDate(Arc<Mutex<Option<SystemTime>>>);

impl AnswerDate {
    /// The date seen, else this machine's, in whole seconds.
    pub(super) fn get(&self) -> SystemTime {
        self.0.lock().unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now.as_secs())
        })
    }
}

impl Intercept for AnswerDate {
    fn name(&self) -> &'static str {
        "AnswerDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date =
            context.response().headers().get("date").and_then(|date| httpdate::parse_http_date(date).ok());
        *self.0.lock() = date;
        Ok(())
    }
}
