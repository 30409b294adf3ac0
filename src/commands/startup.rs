//! What is found out about the buckets before they are served.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::{CommandError, prefix};
use crate::config::{BucketSpec, Caution};
use crate::store::advice::{GivenOptions, given};
use crate::store::{ListRequest, MultipartStore, StoreError};

/// How a gateway is started.
pub(super) struct Manner {
    /// Whether what most likely never heals is waited for: by a service, and where the source was reached before, as
    /// a captive portal looks the same.
    pub(super) is_patient: bool,
    /// The path of the endpoint's URL.
    pub(super) path: Option<String>,
}

/// Asks each bucket for its first key. What only a person can change ends the program, each with a
/// message of its own; what can heal by itself is said, and the program goes on. Gives what may be a mistake.
pub(super) async fn check(
    buckets: &[(BucketSpec, Arc<dyn MultipartStore>)],
    manner: &Manner,
) -> Result<Vec<Caution>, CommandError> {
    let checks = buckets.iter().map(|(spec, whole)| async move {
        let probe = ListRequest::probe(&below(spec));
        let answer = tokio::time::timeout(PATIENCE, whole.list(&probe)).await;
        (spec, whole, answer.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer".into()))))
    });
    let mut cautions = Vec::new();
    for (spec, whole, answer) in join_all(checks).await {
        let name = spec.folder();
        match answer {
            Ok(page) if page.is_nothing() && spec.prefix.is_empty() => {
                tracing::info!(bucket = %name, "the bucket is empty");
            }
            Ok(page) if page.is_nothing() => {
                let looked = tokio::time::timeout(PATIENCE, prefix::look(&**whole, spec)).await;
                let Ok(caution) = looked else { continue };
                let caution = caution?;
                tracing::warn!(bucket = %name, hint = caution.hint, "{}", caution.message);
                cautions.push(caution);
            }
            Ok(_) => tracing::debug!(bucket = %name, "the bucket can be listed"),
            Err(error) if heals(&error, manner) => {
                let hint = error.hint();
                tracing::warn!(
                    bucket = %name,
                    %error,
                    hint,
                    "S3 is not available yet; serving, and retrying until it is"
                );
            }
            Err(error) => return Err(fatal(name, error, manner.path.as_deref(), given())),
        }
    }
    Ok(cautions)
}

/// What the keys that are served begin with.
pub(super) fn below(spec: &BucketSpec) -> String {
    if spec.prefix.is_empty() { String::new() } else { format!("{}/", spec.prefix) }
}

fn heals(error: &StoreError, manner: &Manner) -> bool {
    let never_does = match error {
        StoreError::Blocked(_) => true,
        StoreError::InvalidAnswer(_) => manner.path.is_some(),
        _ => false,
    };
    if never_does {
        return manner.is_patient;
    }
    if matches!(error, StoreError::Credentials(cause) if wrong_key(&cause.to_string()).is_some()) {
        return false;
    }
    matches!(
        error,
        StoreError::Unavailable(_)
            | StoreError::SlowDown(_)
            | StoreError::Credentials(_)
            | StoreError::InvalidAnswer(_)
    )
}

pub(super) fn fatal(
    bucket: &str,
    error: StoreError,
    path: Option<&str>,
    given: &GivenOptions,
) -> CommandError {
    if let StoreError::AccessDenied(cause) | StoreError::Credentials(cause) = &error
        && let Some(wrong) = wrong_key(&cause.to_string())
    {
        tracing::debug!(bucket, %cause, "S3 refused the credentials");
        let hint = "check the access key and its secret, or choose another --profile";
        return CommandError::hinted(anyhow::anyhow!(wrong), hint);
    }
    let (message, hint) = match &error {
        StoreError::NoSuchBucket | StoreError::NotFound | StoreError::InvalidAnswer(_) if path.is_some() => (
            format!(
                "there is no bucket {bucket:?} below {}, where --endpoint-url leads",
                path.unwrap_or("/")
            ),
            "check its spelling, and leave the path out of --endpoint-url, unless the server serves S3 below it",
        ),
        StoreError::NoSuchBucket | StoreError::NotFound if is_alias(bucket) && given.has_endpoint => (
            format!("there is no bucket {bucket:?}, and only AWS has access points"),
            "leave out --endpoint-url, or remove it from the environment",
        ),
        StoreError::NoSuchBucket | StoreError::NotFound => (
            format!("there is no bucket {bucket:?}"),
            "check its spelling, the account (--profile) and the server (--endpoint-url)",
        ),
        StoreError::AccessDenied(cause) if cause.to_string().contains("s3:ListBucket") => (
            format!("the bucket {bucket:?} may not be listed"),
            "grant s3:ListBucket on the bucket: without it no folder can be shown; if one folder may be listed, serve \
             that alone, as BUCKET/FOLDER",
        ),
        StoreError::AccessDenied(_) => (
            format!("access to the bucket {bucket:?} is denied"),
            "the policies of the bucket and of the credentials must allow s3:ListBucket, s3:GetObject, \
             s3:PutObject and s3:DeleteObject; `s3dav iam-policy` prints all that is needed",
        ),
        StoreError::Unsupported(_) => (
            format!("the bucket {bucket:?} cannot be listed"),
            "s3dav needs ListObjectsV2, which the server does not know; a newer version of it may",
        ),
        StoreError::ClockSkew => (
            "this machine's clock and S3's differ by over 15 minutes".to_owned(),
            "set the clock, then start again",
        ),
        _ => (format!("the bucket {bucket:?} cannot be served"), ""),
    };
    let hint =
        Some(hint).filter(|hint| !hint.is_empty()).map(str::to_owned).or_else(|| error.hint_with(given));
    // It would say the same again, or speak of an answer that is none of S3's.
    let is_not_of_s3 = path.is_some() && matches!(error, StoreError::InvalidAnswer(_));
    let says_all = is_not_of_s3 || matches!(error, StoreError::NoSuchBucket | StoreError::NotFound);
    let error = if says_all { anyhow::anyhow!(message) } else { anyhow::Error::new(error).context(message) };
    CommandError { error, hint, exit_code: 1 }
}

/// Whether it is the alias of an access point: no bucket's name may end so.
fn is_alias(bucket: &str) -> bool {
    bucket.ends_with("-s3alias")
}

/// What S3 has against the keys themselves, by its code.
fn wrong_key(cause: &str) -> Option<&'static str> {
    let says = |code| cause.contains(code);
    if says("InvalidAccessKeyId") {
        return Some("S3 does not know this access key (InvalidAccessKeyId)");
    }
    says("SignatureDoesNotMatch")
        .then_some("the secret key does not match the access key (SignatureDoesNotMatch)")
}

/// A start that takes longer looks like a hang.
const PATIENCE: Duration = Duration::from_secs(10);
