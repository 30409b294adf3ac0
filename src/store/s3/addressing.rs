//! Where the bucket's name stands in a URL: in the path, or in the host.
//!
//! AWS has it in the host. Most other servers want it in the path: a name in the host takes a name server, and a
//! certificate, that know each bucket. A few large ones refuse just that. Where neither the user nor the profile
//! says which it is, the likelier one is tried, and once the other one, if the first is refused.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_runtime::env_config::section::EnvConfigSections;
use parking_lot::Mutex;

use super::S3Options;
use super::options::host_of;
use crate::store::StoreError;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Path,
    Host,
}

/// The style in use, and whether the other one may still be tried.
#[derive(Debug)]
pub(super) struct Addressing {
    style: Mutex<Style>,
    is_open: AtomicBool,
}

impl Style {
    fn other(self) -> Self {
        match self {
            Self::Path => Self::Host,
            Self::Host => Self::Path,
        }
    }
}

impl std::fmt::Display for Style {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Path => "the path",
            Self::Host => "the host",
        })
    }
}

impl Addressing {
    /// For a bucket of an endpoint that is known. `profile`: what the profile says.
    pub(super) fn new(options: &S3Options, bucket: &str, profile: Option<Style>) -> Self {
        let given = options.force_path_style.map(|is_path| if is_path { Style::Path } else { Style::Host });
        let is_arn = bucket.starts_with("arn:");
        // A profile speaks of buckets: access points and acceleration are hosts.
        let style = given.or(profile.filter(|_| !is_arn && !options.accelerate));
        let host = options.endpoint_url.as_deref().and_then(host_of).unwrap_or_default();
        // Access points are hosts.
        let is_in_host = options.is_aws() || is_arn || wants_hosts(&host);
        let likely = if is_in_host { Style::Host } else { Style::Path };
        let has_both = !options.is_aws() && !is_arn && host.parse::<IpAddr>().is_err();
        Self {
            style: Mutex::new(style.unwrap_or(likely)),
            is_open: AtomicBool::new(style.is_none() && has_both),
        }
    }

    pub(super) fn style(&self) -> Style {
        *self.style.lock()
    }

    /// S3 has answered: the style is right.
    pub(super) fn settle(&self) {
        if self.is_open.load(Ordering::Relaxed) {
            self.is_open.store(false, Ordering::Relaxed);
        }
    }

    /// The other style, where `error` may come from this one. Given to one caller, once.
    pub(super) fn other_for(&self, error: &StoreError) -> Option<Style> {
        let may_be = may_be_of_style(error) && self.is_open.swap(false, Ordering::Relaxed);
        may_be.then(|| self.style().other())
    }

    /// Goes on with the style that worked.
    pub(super) fn keep(&self, style: Style) {
        tracing::info!("the endpoint expects the bucket's name in {style}; using that");
        *self.style.lock() = style;
    }
}

/// Whether the answer is one to a bucket that is named in the wrong place.
fn may_be_of_style(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NoSuchBucket
            | StoreError::NotFound
            | StoreError::AccessDenied(_)
            | StoreError::Rejected(_)
            | StoreError::Unsupported(_)
            | StoreError::InvalidAnswer(_)
    )
}

/// Whether a host is of those that refuse the bucket's name in the path.
fn wants_hosts(host: &str) -> bool {
    HOSTS.iter().any(|domain| host.strip_suffix(domain).is_some_and(|before| before.ends_with('.')))
}

/// What the profile in use says, as `addressing_style` below `s3`.
pub(super) fn of_profile(profiles: &EnvConfigSections, name: &str) -> Option<Style> {
    let lines = profiles.get_profile(name)?.get("s3")?.lines().filter_map(|line| line.split_once('='));
    let mut styles = lines.filter(|(key, _)| key.trim() == "addressing_style").map(|(_, style)| style.trim());
    match styles.next_back()? {
        "path" => Some(Style::Path),
        "virtual" => Some(Style::Host),
        // `auto`, as if it was not there.
        _ => None,
    }
}

/// Of Alibaba, Tencent, ByteDance and Huawei.
const HOSTS: [&str; 4] = ["aliyuncs.com", "myqcloud.com", "volces.com", "myhuaweicloud.com"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likelier_style_depends_on_the_endpoint() {
        let of = |endpoint: &str, bucket: &str| {
            let endpoint_url = Some(endpoint.to_owned()).filter(|url| !url.is_empty());
            let options = S3Options { endpoint_url, ..S3Options::default() };
            let addressing = Addressing::new(&options, bucket, None);
            (addressing.style(), addressing.is_open.into_inner())
        };
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap";
        for (endpoint, bucket, style, is_open) in [
            ("", "b", Style::Host, false),
            ("https://s3-fips.us-east-1.amazonaws.com", "b", Style::Host, false),
            ("https://minio.example:9000", "b", Style::Path, true),
            ("http://localhost:9000", "b", Style::Path, true),
            ("http://127.0.0.1:9000", "b", Style::Path, false),
            ("http://[::1]:9000/", "b", Style::Path, false),
            ("https://minio.example:9000", arn, Style::Host, false),
            ("https://oss-cn-hangzhou.ALIYUNCS.com/", "b", Style::Host, true),
            ("https://cos.ap-guangzhou.myqcloud.com", "b", Style::Host, true),
            ("https://tos-s3-cn-beijing.volces.com", "b", Style::Host, true),
            ("https://obs.cn-north-4.myhuaweicloud.com:443", "b", Style::Host, true),
            ("https://notmyqcloud.com", "b", Style::Path, true),
        ] {
            assert_eq!(of(endpoint, bucket), (style, is_open), "{endpoint} {bucket}");
        }
    }

    #[test]
    fn the_other_style_is_given_out_once_and_for_what_it_may_mend() {
        let options = S3Options { endpoint_url: Some("http://minio".into()), ..S3Options::default() };
        let addressing = Addressing::new(&options, "b", None);
        for other in [StoreError::ClockSkew, StoreError::Unavailable("away".into())] {
            assert_eq!(addressing.other_for(&other), None);
        }
        assert_eq!(addressing.other_for(&StoreError::NoSuchBucket), Some(Style::Host));
        assert_eq!(addressing.other_for(&StoreError::NoSuchBucket), None);
        let addressing = Addressing::new(&options, "b", None);
        addressing.settle();
        assert_eq!(addressing.other_for(&StoreError::NoSuchBucket), None);
        let given = Addressing::new(&S3Options { force_path_style: Some(false), ..options }, "b", None);
        assert_eq!((given.style(), given.other_for(&StoreError::NoSuchBucket)), (Style::Host, None));
    }
}
