//! What an SDK error means. The only place that looks at S3's status and error codes, and where the texts of
//! an endpoint come in: what a terminal would act on is escaped here.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::{RequestId, RequestIdExt};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::bounding::TooLong;
use super::class::Class;
use super::dating::request_date;
use super::naming::{Naming, NotS3s};
use super::obstacles::{self, Lost};
use super::options::S3Options;
use super::text::harmless;
use crate::logging::with_causes;
use crate::store::error::Unexplained;
use crate::store::looked::LookTooOld;
use crate::store::obstacle::Obstacle;
use crate::store::{NotFoundAnywhere, Setting, StoreError};

/// Translates a failed call.
pub(super) fn classify<E>(
    error: SdkError<E, HttpResponse>,
    class: Class,
    naming: &Naming,
    options: &S3Options,
) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    if !matches!(error, SdkError::ServiceError(_)) {
        return unanswered(&error, options);
    }
    // A failure of the key service itself passes.
    let is_refused = error.raw_response().is_some_and(|answer| matches!(answer.status().as_u16(), 400 | 403));
    let setting = setting(error.code().unwrap_or_default(), options).filter(|_| is_refused);
    match (answered(&error, class, naming), class, setting) {
        (StoreError::AccessDenied(cause) | StoreError::Rejected(cause), Class::Write, Some(setting)) => {
            StoreError::SettingRefused { setting, cause: cause.to_string() }
        }
        (error, ..) => error,
    }
}

/// What an answer means.
fn answered<E>(error: &SdkError<E, HttpResponse>, class: Class, naming: &Naming) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let answer = error.raw_response();
    let status = answer.map_or(0, |answer| answer.status().as_u16());
    let code = error.code().unwrap_or_default().to_owned();
    let region = answer.and_then(region_of);
    let cause = || -> Box<dyn Error + Send + Sync> { describe(error, status).into() };
    match (status, code.as_str()) {
        (_, "NoSuchBucket") => StoreError::NoSuchBucket,
        (_, "InvalidBucketName") => StoreError::InvalidBucket(cause()),
        (400, _) if obstacles::wants_tls(answer) => Obstacle::OnlyTls.into(),
        (
            _,
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
        ) => StoreError::WrongRegion(region),
        (301 | 307, _) => StoreError::WrongRegion(region),
        (400, "") if region.is_some() => StoreError::WrongRegion(region),
        // A token that has expired is what it usually means where it is not about one object.
        (400, "") if matches!(class, Class::List) => StoreError::Credentials(cause()),
        (400, "") => StoreError::Rejected(Unexplained(describe(error, status)).into()),
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
        (status, code) if is_of_clocks(status, code, answer) => StoreError::ClockSkew,
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
        (400, code) if demands_checksum(code, error.message()) => StoreError::ChecksumDemanded(cause()),
        (404, "NoSuchUpload") => StoreError::UploadGone,
        (404, code) => missing(code, answer, naming).unwrap_or_else(|| StoreError::Unavailable(cause())),
        (304, _) => StoreError::NotModified,
        (412, _) => StoreError::ConditionFailed,
        (416, _) => StoreError::RangeNotSatisfiable,
        (403, "") => StoreError::AccessDenied(Unexplained(describe(error, status)).into()),
        (403, _) => StoreError::AccessDenied(cause()),
        (405 | 501, _) => StoreError::Unsupported(describe(error, status)),
        (413, _) | (_, "EntityTooLarge" | "KeyTooLongError") => {
            StoreError::TooLarge(describe(error, status))
        }
        (200..=299, _) => StoreError::InvalidAnswer(describe(error, status)),
        (429, _) => StoreError::SlowDown(cause()),
        (500.., _) => StoreError::Unavailable(cause()),
        _ => StoreError::Rejected(cause()),
    }
}

/// What it means that there is no answer, or none that can be read.
fn unanswered<E: Error + Send + Sync + 'static>(
    error: &SdkError<E, HttpResponse>,
    options: &S3Options,
) -> StoreError {
    match error {
        _ if has_cause::<LookTooOld>(error) => StoreError::Unavailable(LookTooOld.into()),
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_)
            if has_cause::<CredentialsError>(error) =>
        {
            StoreError::Credentials(without_credentials(error))
        }
        SdkError::ConstructionFailure(_) => StoreError::Rejected(causes(error).into()),
        _ if has_cause::<TooLong>(error) => StoreError::InvalidAnswer(causes(error)),
        _ => lost(error, options),
    }
}

/// The last link of the chain is the service of a virtual machine: who is told of that has set nothing up.
fn without_credentials(error: &(dyn Error + 'static)) -> Box<dyn Error + Send + Sync> {
    let text = causes(error);
    if text.contains("IMDS") || text.contains("no providers in chain provided credentials") {
        NotFoundAnywhere.into()
    } else {
        text.into()
    }
}

/// Nothing came of a request on its way.
fn lost(error: &(dyn Error + 'static), options: &S3Options) -> StoreError {
    if let Some(address) = obstacles::refusing(error, options) {
        return StoreError::Unavailable(format!("{} refuses connections", harmless(&address)).into());
    }
    match (obstacles::of(error), obstacles::lost_by(error)) {
        (Some(obstacle), _) => obstacle.into(),
        (None, Some(by)) => StoreError::Unavailable(Lost { text: causes(error), by }.into()),
        (None, None) => StoreError::Unavailable(causes(error).into()),
    }
}

/// Which setting of new objects, one that was given, a code is about.
fn setting(code: &str, options: &S3Options) -> Option<Setting> {
    if code == "InvalidStorageClass" {
        return options.storage_class.is_some().then_some(Setting::StorageClass);
    }
    let is_of_encryption = code.starts_with("KMS.") || code.starts_with("InvalidEncryptionAlgorithm");
    (is_of_encryption && options.sse.is_some()).then_some(Setting::Encryption)
}

/// What a 404 proves. S3 says what is not there; whoever does not is not S3, or means something else: `None`.
fn missing(code: &str, answer: Option<&HttpResponse>, naming: &Naming) -> Option<StoreError> {
    match code {
        "NoSuchKey" | "NoSuchVersion" => Some(StoreError::NotFound),
        // The SDK's word for an answer without a body.
        "NotFound" if answer.is_none_or(|answer| has_body(answer) || naming.believes(answer)) => {
            Some(StoreError::NotFound)
        }
        "NotFound" => Some(StoreError::Unavailable(NotS3s.into())),
        _ => None,
    }
}

/// Whether a header with a checksum is missing: AWS has no code of its own for that.
fn demands_checksum(code: &str, message: Option<&str>) -> bool {
    let message = message.unwrap_or_default().to_ascii_lowercase();
    let names_one = message.contains("content-md5") || message.contains("x-amz-checksum");
    code == "MissingContentMD5" || (code == "InvalidRequest" && names_one)
}

/// Whether the failure is, or comes from, a `T`.
fn has_cause<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    obstacles::causes(error).any(|cause| cause.is::<T>())
}

/// The bucket's own region, from the header or, where the header is missing, the body.
fn region_of(answer: &HttpResponse) -> Option<String> {
    let told = answer.headers().get("x-amz-bucket-region").map(str::to_owned);
    told.or_else(|| element(answer, "Region")).filter(|region| is_region(region))
}

/// Whether it is a region's name: it becomes a part of host names and signatures.
pub(super) fn is_region(name: &str) -> bool {
    // AWS has small letters, digits and hyphens; others are free to choose.
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=MAX_REGION_BYTES).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// Whether a request was refused for its date. HEAD has no body to say so.
fn is_of_clocks(status: u16, code: &str, answer: Option<&HttpResponse>) -> bool {
    let may_be = status == 403 && matches!(code, "" | "SignatureDoesNotMatch");
    code == "RequestTimeTooSkewed" || (may_be && answer.is_some_and(is_skewed))
}

/// Whether the endpoint's clock and this machine's differ much, or the one that dated the request: the SDK adds what it has
/// learned that this machine's lacks.
fn is_skewed(answer: &HttpResponse) -> bool {
    let date = answer.headers().get("date").and_then(|date| httpdate::parse_http_date(date).ok());
    let apart = |date: SystemTime, own: SystemTime| {
        own.duration_since(date).unwrap_or_else(|ahead| ahead.duration()) > MUCH_SKEW
    };
    let own = [Some(SystemTime::now()), request_date(answer)];
    date.is_some_and(|date| own.into_iter().flatten().any(|own| apart(date, own)))
}

fn archive_class(answer: Option<&HttpResponse>) -> String {
    let class = answer.and_then(|answer| element(answer, "StorageClass"));
    class.map_or_else(|| "archive".to_owned(), |class| harmless(&class))
}

fn has_body(answer: &HttpResponse) -> bool {
    answer.body().bytes().is_some_and(|body| !body.is_empty())
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
        (Some(code), Some(message)) if code != message => format!("{code}: {}", without_tokens(message)),
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
    harmless(&text)
}

fn causes(error: &(dyn Error + 'static)) -> String {
    let text = with_causes(error);
    // What a program that was to bring credentials has said may hold them.
    let shown = text.split_once("Stderr:").map_or(text.as_str(), |(before, _)| before.trim_end());
    harmless(shown)
}

/// A message of the endpoint without what is as long as signatures and session tokens are: some repeat the headers that
/// they were sent.
fn without_tokens(message: &str) -> String {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "+/=_-%".contains(c);
    let mut shown = String::with_capacity(message.len());
    let mut rest = message;
    while !rest.is_empty() {
        let length = rest.find(|c| !is_of_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        shown.push_str(if length < SIGNATURE { word } else { "…" });
        let between = after.find(is_of_token).unwrap_or(after.len());
        shown.push_str(&after[..between]);
        rest = &after[between..];
    }
    shown
}

/// What one key's entry in the answer to DeleteObjects means.
pub(super) fn of_key(error: &aws_sdk_s3::types::Error) -> StoreError {
    let code = error.code().unwrap_or_default();
    let text = harmless(&format!("{code}: {}", without_tokens(error.message().unwrap_or_default())));
    match code {
        "AccessDenied" => StoreError::AccessDenied(text.into()),
        "NoSuchKey" => StoreError::NotFound,
        "PreconditionFailed" => StoreError::ConditionFailed,
        "SlowDown" => StoreError::SlowDown(text.into()),
        "InternalError" | "ServiceUnavailable" | "OperationAborted" => StoreError::Unavailable(text.into()),
        _ => StoreError::Rejected(text.into()),
    }
}

/// S3 tolerates 15 minutes, and others less; clocks that are set differ by seconds.
const MUCH_SKEW: Duration = Duration::from_secs(5 * 60);
/// Bytes; the longest is `us-isob-east-1`.
const MAX_REGION_BYTES: usize = 32;
/// Characters of a signature; a session token has hundreds, a secret key never comes back.
const SIGNATURE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_neither_signature_nor_token() {
        let (signature, token) = ("0a".repeat(32), "IQoJb3JpZ2luX2Vj/+".repeat(20));
        let said = format!("echo Credential=AKIA/x, Signature={signature} \"{token}\", key ä/b.txt");
        assert_eq!(without_tokens(&said), "echo Credential=AKIA/x, … \"…\", key ä/b.txt");
        assert_eq!(without_tokens("plain"), "plain");
    }

    #[test]
    fn texts_are_one_harmless_line() {
        assert_eq!(harmless("plain ü \\"), "plain ü \\");
        assert_eq!(harmless("a\r\n\t\0\u{1b}[31m\u{7f}\u{9b}"), r"a\r\n\t\u{0}\u{1b}[31m\u{7f}\u{9b}");
        assert_eq!(harmless("\u{202e}\u{2066}\u{2029}"), r"\u{202e}\u{2066}\u{2029}");
        assert_eq!(harmless(&"é".repeat(2001)), "é".repeat(2000) + "…");
    }

    #[test]
    fn regions_are_told_from_what_else_a_header_may_hold() {
        for name in ["us-east-1", "us-isob-east-1", "garage", "auto", "EU", "zone_1.b"] {
            assert!(is_region(name), "{name}");
        }
        for name in ["", "a b", "127.0.0.1:19191/#", "a\n", &"a".repeat(33)] {
            assert!(!is_region(name), "{name:?}");
        }
    }
}
