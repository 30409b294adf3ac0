//! How to reach S3 and how to write to it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_s3::types::StorageClass;

use super::ConnectError;
use crate::named::names;
use crate::spelling;

/// See the module. Everything unset is left to aws-config's chain.
#[derive(Debug, Clone)]
pub struct S3Options {
    pub region: Option<String>,
    pub profile: Option<String>,
    pub endpoint_url: Option<String>,
    /// `https://host/bucket/key`, or `https://bucket.host/key`; `None`: what the profile says, else what the
    /// endpoint takes.
    pub force_path_style: Option<bool>,
    /// Nothing is signed: for buckets that are open to everybody.
    pub no_sign_request: bool,
    /// Of AWS: endpoints with IPv6 and IPv4, ...
    pub dual_stack: bool,
    /// ... those whose cryptography is validated, ...
    pub fips: bool,
    /// ... and the one at the nearest edge.
    pub accelerate: bool,
    /// Class of new objects; `None`: the bucket's default.
    pub storage_class: Option<String>,
    /// `AES256`, `aws:kms` or `aws:kms:dsse`; `None`: the bucket's default.
    pub sse: Option<String>,
    pub sse_kms_key_id: Option<String>,
    pub requester_pays: bool,
    /// Account that must own the buckets.
    pub expected_bucket_owner: Option<String>,
    pub checksums: Checksums,
    /// PEM file of additional certificate authorities.
    pub ca_bundle: Option<PathBuf>,
    /// Fixed credentials instead of the chain. For the embedded server.
    pub credentials: Option<FixedCredentials>,
    /// How long one attempt of a request without a body may take.
    pub attempt_timeout: Duration,
    /// Bytes a second that one of several uploads gets of the slowest line: one that gets less is taken for
    /// dead.
    pub slowest_share: usize,
    /// HTTP requests under way at once, downloads counted to their last byte.
    pub max_connections: usize,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            region: None,
            profile: None,
            endpoint_url: None,
            force_path_style: None,
            no_sign_request: false,
            dual_stack: false,
            fips: false,
            accelerate: false,
            storage_class: None,
            sse: None,
            sse_kms_key_id: None,
            requester_pays: false,
            expected_bucket_owner: None,
            checksums: Checksums::Auto,
            ca_bundle: None,
            credentials: None,
            attempt_timeout: Duration::from_secs(15),
            // 64 KiB/s for eight parts.
            slowest_share: 8 << 10,
            max_connections: 64,
        }
    }
}

impl S3Options {
    /// How long nothing may be seen of a body of `bytes` bytes. What is seen to go goes into buffers first, and
    /// what is in those when the body ends takes its time on a slow line.
    pub(super) fn silence(&self, bytes: usize) -> Duration {
        let buffered = bytes.min(MOST_BUFFERED);
        self.attempt_timeout + Duration::from_millis((buffered * 1000 / self.slowest_share) as u64)
    }

    /// Whether requests go to AWS itself, which is known to have everything.
    pub fn is_aws(&self) -> bool {
        let Some(url) = &self.endpoint_url else { return true };
        let host = host_of(url).unwrap_or_default();
        AWS.iter().any(|domain| host.ends_with(domain))
    }

    /// Where requests go, always spelled the same; empty where that is AWS's own.
    pub fn endpoint(&self) -> String {
        let Some(given) = &self.endpoint_url else { return String::new() };
        let (Ok(url), Some(host)) = (given.parse::<http::Uri>(), host_of(given)) else {
            return given.clone();
        };
        let is_https = url.scheme_str() != Some("http");
        let (scheme, usual) = if is_https { ("https", 443) } else { ("http", 80) };
        let port = url.port_u16().unwrap_or(usual);
        format!("{scheme}://{host}:{port}{}", url.path().trim_end_matches('/'))
    }

    /// Refuses a storage class that AWS does not have; others may have their own.
    pub(super) fn check_storage_class(&self) -> Result<(), ConnectError> {
        let known = StorageClass::values();
        let Some(class) = self.storage_class.as_deref().filter(|class| !known.contains(class)) else {
            return Ok(());
        };
        if !self.is_aws() {
            tracing::warn!("the storage class {class} is not one of AWS's; the endpoint must support it");
            return Ok(());
        }
        let near = spelling::like(class, known.iter().copied(), str::to_ascii_uppercase, LIKE_ENOUGH);
        let near = near.first().copied();
        Err(ConnectError::UnknownStorageClass { class: class.to_owned(), near })
    }

    /// Whether checksums are sent and checked where S3 knows them.
    pub fn sends_checksums(&self) -> bool {
        match self.checksums {
            Checksums::Auto => self.is_aws(),
            Checksums::WhenSupported => true,
            Checksums::WhenRequired => false,
        }
    }

    /// Whether TLS protects the bodies, so that signing need not hash them.
    pub fn is_https(&self) -> bool {
        self.endpoint_url.as_ref().is_none_or(|url| url.starts_with("https:"))
    }
}

/// The host of a URL, in small letters; without the brackets of an address.
pub(super) fn host_of(url: &str) -> Option<String> {
    let url: http::Uri = url.parse().ok()?;
    let host = url.host()?.trim_end_matches('.').to_ascii_lowercase();
    Some(host.trim_start_matches('[').trim_end_matches(']').to_owned())
}

/// An access key and its secret.
#[derive(Clone)]
pub struct FixedCredentials {
    pub access_key: String,
    pub secret: String,
}

impl fmt::Debug for FixedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret must not reach a log.
        f.debug_struct("FixedCredentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// When to send and check integrity checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksums {
    /// [`Checksums::WhenSupported`] for AWS, [`Checksums::WhenRequired`] for others: some of them
    /// refuse the headers.
    #[default]
    Auto,
    WhenSupported,
    WhenRequired,
}

names!(Checksums {
    Auto = "auto": "always on AWS, elsewhere only where an operation requires one",
    WhenSupported = "when-supported": "wherever an operation supports one",
    WhenRequired = "when-required": "only where an operation requires one",
});

/// What the hosts of all of AWS's endpoints end with: those of a VPC, FIPS and dual-stack, too.
const AWS: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"];
/// From 0 to 1; as the suggestions for options.
const LIKE_ENOUGH: f64 = 0.7;
/// Bytes of one body in the buffers of this program and the system.
const MOST_BUFFERED: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_is_told_from_other_endpoints() {
        let at = |url: &str| S3Options { endpoint_url: Some(url.into()), ..S3Options::default() };
        assert!(S3Options::default().is_aws());
        for url in [
            "https://s3.eu-west-1.amazonaws.com",
            "https://S3.cn-north-1.amazonaws.com.cn:443/",
            "https://bucket.vpce-1a2b3c4d-5e6f.s3.us-east-1.vpce.amazonaws.com",
            "https://s3-fips.dualstack.us-gov-west-1.amazonaws.com",
            "https://s3.eusc-de-east-1.amazonaws.eu",
        ] {
            assert!(at(url).is_aws(), "{url}");
        }
        for url in [
            "https://amazonaws.com.example.org/",
            "https://notamazonaws.com",
            "http://127.0.0.1:9000",
            "http://[::1]:9000",
        ] {
            assert!(!at(url).is_aws(), "{url}");
        }
        assert!(!at("http://127.0.0.1:9000").is_https());
    }

    #[test]
    fn an_endpoint_has_one_spelling() {
        let endpoint =
            |url: &str| S3Options { endpoint_url: Some(url.into()), ..S3Options::default() }.endpoint();
        for same in ["https://s3.example.org", "HTTPS://S3.Example.org./", "https://s3.example.org:443/"] {
            assert_eq!(endpoint(same), "https://s3.example.org:443");
        }
        for other in ["http://s3.example.org", "https://s3.example.org:9000", "https://s3.example.org/path"] {
            assert_ne!(endpoint(other), "https://s3.example.org:443");
        }
        assert_eq!(S3Options::default().endpoint(), "");
    }
}
