//! Why no client of S3 can be made, or no credentials be had, and what to do.

use aws_sdk_s3::types::StorageClass;

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the certificate file {path} cannot be read")]
    CaBundle { path: String, source: std::io::Error },
    #[error("the certificate file {path} holds no usable certificate")]
    NoCertificate { path: String },
    #[error("the profile {0:?} is in neither of the AWS configuration files")]
    UnknownProfile(String),
    #[error("the profile {profile:?} has {has}, but no {lacks}")]
    HalfAKey { profile: String, has: &'static str, lacks: &'static str },
    #[error("the environment has {has}, but no {lacks}")]
    HalfAKeyInEnvironment { has: &'static str, lacks: &'static str },
    #[error("the profile {profile:?} takes its credentials from {source_profile:?}, which refers back to it")]
    Circle { profile: String, source_profile: String },
    #[error(
        "the profile {profile:?} takes its credentials from {source_profile:?}, and there is no such profile"
    )]
    UnknownSource { profile: String, source_profile: String },
    #[error("{kind} selects an endpoint of AWS, but {endpoint} is named as well")]
    TwoEndpoints { kind: String, endpoint: String },
    #[error("the profile {profile:?} assumes a role that requires an MFA code (mfa_serial)")]
    AsksForCode { profile: String },
    #[error("the profile {profile:?} uses `aws login`, whose sessions s3dav cannot read")]
    LoginSession { profile: String },
    #[error("there is no storage class {class:?}: AWS has {}", StorageClass::values().join(", "))]
    UnknownStorageClass { class: String, near: Option<&'static str> },
    #[error("the HTTP client cannot be created")]
    HttpClient(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ConnectError {
    /// What to do next.
    pub fn hint(&self) -> String {
        let hint = match self {
            Self::UnknownProfile(_) => "`aws configure list-profiles` shows those that exist",
            Self::UnknownStorageClass { near: Some(near), .. } => return format!("did you mean {near}?"),
            Self::UnknownStorageClass { near: None, .. } => "leave it out for the bucket's own",
            Self::AsksForCode { profile } => {
                let command =
                    format!("eval \"$(aws configure export-credentials --profile {profile} --format env)\"");
                return format!("start a session first, which asks for the code: {command}");
            }
            Self::LoginSession { profile } => {
                let line = format!(
                    "credential_process = aws configure export-credentials --profile {profile} --format process"
                );
                return format!("create another profile with this line, and use that: {line}");
            }
            Self::CaBundle { .. } | Self::NoCertificate { .. } => {
                "--ca-bundle and AWS_CA_BUNDLE name a file in PEM format"
            }
            Self::HalfAKey { lacks, .. } => {
                return format!("add {lacks} there, too; `aws configure` asks for both");
            }
            Self::HalfAKeyInEnvironment { has, lacks } => return format!("set {lacks}, too, or unset {has}"),
            Self::Circle { .. } => "one of them needs keys of its own, or a source_profile that has some",
            Self::UnknownSource { .. } => {
                "check its source_profile; `aws configure list-profiles` shows those that exist"
            }
            Self::TwoEndpoints { .. } => "leave out one of them",
            Self::HttpClient(_) => "check HTTPS_PROXY and NO_PROXY",
        };
        hint.to_owned()
    }
}
