//! How to reach S3 and how to write to it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// See the module. Everything unset is left to aws-config's chain.
#[derive(Debug, Clone)]
pub struct S3Options {
    pub region: Option<String>,
    pub profile: Option<String>,
    pub endpoint_url: Option<String>,
    /// `https://host/bucket/key` instead of `https://bucket.host/key`.
    pub force_path_style: bool,
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
            force_path_style: false,
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
        let host = url.split("://").last().unwrap_or(url).split(['/', ':']).next().unwrap_or("");
        host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
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

/// Bytes of one body in the buffers of this program and the system.
const MOST_BUFFERED: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_is_told_from_other_endpoints() {
        let at = |url: &str| S3Options { endpoint_url: Some(url.into()), ..S3Options::default() };
        assert!(S3Options::default().is_aws());
        assert!(at("https://s3.eu-west-1.amazonaws.com").is_aws());
        assert!(!at("https://amazonaws.com.example.org/").is_aws());
        assert!(!at("http://127.0.0.1:9000").is_aws());
        assert!(!at("http://127.0.0.1:9000").is_https());
    }
}
