//! What an SDK error means. The only place that looks at S3's status and error codes.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::{RequestId, RequestIdExt};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::logging::with_causes;
use crate::store::StoreError;

/// Translates a failed call.
pub(super) fn classify<E>(error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(_) => {}
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) if lacks_credentials(&error) => {
            return StoreError::Credentials(with_causes(&error).into());
        }
        SdkError::ConstructionFailure(_) => return StoreError::Rejected(with_causes(&error).into()),
        _ => return StoreError::Unavailable(with_causes(&error).into()),
    }
    let answer = error.raw_response();
    let status = answer.map_or(0, |answer| answer.status().as_u16());
    let code = error.code().unwrap_or_default().to_owned();
    let region = answer.and_then(region_of);
    let cause = || -> Box<dyn Error + Send + Sync> { describe(&error, status).into() };
    match (status, code.as_str()) {
        (_, "NoSuchBucket") => StoreError::NoSuchBucket,
        (
            _,
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
        ) => StoreError::WrongRegion(region),
        (301 | 307, _) => StoreError::WrongRegion(region),
        (400, "") if region.is_some() => StoreError::WrongRegion(region),
        // HEAD has no body to say more; an expired token is what it usually means.
        (400, "") => StoreError::Credentials(cause()),
        (
            _,
            "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "RequestExpired"
            | "ExpiredTokenException"
            // A rotated key: the file that holds the new one is read again.
            | "InvalidAccessKeyId",
        ) => StoreError::Credentials(cause()),
        (_, "RequestTimeTooSkewed") => StoreError::ClockSkew,
        (_, "InvalidObjectState" | "ObjectNotInActiveTierError") => {
            StoreError::Archived(archive_class(answer))
        }
        (_, "SlowDown" | "RequestLimitExceeded" | "TooManyRequests") => StoreError::SlowDown(cause()),
        (
            _,
            "ServiceUnavailable"
            | "InternalError"
            | "RequestTimeout"
            | "OperationAborted"
            | "IncompleteBody"
            | "ConditionalRequestConflict"
            | "BadDigest",
        ) => StoreError::Unavailable(cause()),
        (_, code) if code.contains("Throttling") => StoreError::SlowDown(cause()),
        (404, "NoSuchUpload") => StoreError::UploadGone,
        (404, _) => StoreError::NotFound,
        (304, _) => StoreError::NotModified,
        (412, _) => StoreError::ConditionFailed,
        (416, _) => StoreError::RangeNotSatisfiable,
        (403, _) => StoreError::AccessDenied(cause()),
        (405 | 501, _) => StoreError::Unsupported(describe(&error, status)),
        (413, _) | (_, "EntityTooLarge" | "KeyTooLongError") => {
            StoreError::TooLarge(describe(&error, status))
        }
        (200, _) => StoreError::InvalidAnswer(describe(&error, status)),
        (429, _) => StoreError::SlowDown(cause()),
        (500.., _) => StoreError::Unavailable(cause()),
        _ => StoreError::Rejected(cause()),
    }
}

/// Whether the failure began with the credentials chain.
fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<CredentialsError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The bucket's own region, from the header or, where the header is missing, the body.
fn region_of(answer: &HttpResponse) -> Option<String> {
    if let Some(region) = answer.headers().get("x-amz-bucket-region") {
        return Some(region.to_owned());
    }
    element(answer, "Region")
}

fn archive_class(answer: Option<&HttpResponse>) -> String {
    answer.and_then(|answer| element(answer, "StorageClass")).unwrap_or_else(|| "archive".to_owned())
}

/// The text of an element of the error document, which the SDK does not parse.
fn element(answer: &HttpResponse, name: &str) -> Option<String> {
    let body = std::str::from_utf8(answer.body().bytes()?).ok()?;
    let start = body.find(&format!("<{name}>"))? + name.len() + 2;
    let end = start + body.get(start..)?.find('<')?;
    body.get(start..end).map(str::to_owned)
}

/// Code, message and the ids that AWS support asks for.
fn describe<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, status: u16) -> String {
    let mut text = match (error.code(), error.message()) {
        (Some(code), Some(message)) if code != message => format!("{code}: {message}"),
        (Some(code), _) => code.to_owned(),
        _ => "no error code".to_owned(),
    };
    text.push_str(&format!(" (status {status}"));
    if let Some(id) = error.meta().request_id() {
        text.push_str(&format!(", request {id}"));
    }
    if let Some(id) = error.meta().extended_request_id() {
        text.push_str(&format!(", {id}"));
    }
    text.push(')');
    text
}

/// What one key's entry in the answer to DeleteObjects means.
pub(super) fn of_key(error: &aws_sdk_s3::types::Error) -> StoreError {
    let code = error.code().unwrap_or_default();
    let text = format!("{code}: {}", error.message().unwrap_or_default());
    match code {
        "AccessDenied" => StoreError::AccessDenied(text.into()),
        "NoSuchKey" => StoreError::NotFound,
        "PreconditionFailed" => StoreError::ConditionFailed,
        "SlowDown" => StoreError::SlowDown(text.into()),
        "InternalError" | "ServiceUnavailable" | "OperationAborted" => StoreError::Unavailable(text.into()),
        _ => StoreError::Rejected(text.into()),
    }
}
