//! Buckets that are named in the host, `bucket.DOMAIN`, instead of the path.

use http::{HeaderMap, Uri, header};
use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

use super::hooks::Hooks;
use super::policies::Refusal;
use super::quirks::Quirks;

/// Tells the protocol layer which bucket a host names, by [`Quirks::domain`].
pub(super) struct Hosts(pub(super) Hooks);

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let address = VirtualHost::new(host);
        Ok(match bucket_of(&self.0.quirks(), host) {
            Some(bucket) => address.with_bucket(bucket.to_owned()),
            None => address,
        })
    }
}

/// The bucket that a host names, if it names one.
fn bucket_of<'h>(quirks: &Quirks, host: &'h str) -> Option<&'h str> {
    let host = host.split(':').next().unwrap_or(host);
    host.strip_suffix(quirks.domain?)?.strip_suffix('.')
}

fn bucket_of_request<'h>(quirks: &Quirks, headers: &'h HeaderMap) -> Option<&'h str> {
    bucket_of(quirks, headers.get(header::HOST)?.to_str().ok()?)
}

/// The request's target as it would be with the bucket in the path.
pub(super) fn in_path_style(quirks: &Quirks, uri: &Uri, headers: &HeaderMap) -> Uri {
    let bucket = bucket_of_request(quirks, headers);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let in_path = bucket.and_then(|bucket| format!("/{bucket}{target}").parse().ok());
    in_path.unwrap_or_else(|| uri.clone())
}

/// Why a request is not looked at: the bucket is named where this server wants none.
pub(super) fn refusal(quirks: &Quirks, headers: &HeaderMap) -> Option<Refusal> {
    let refused = match bucket_of_request(quirks, headers) {
        Some(_) => quirks.refuses_hosts,
        None => quirks.refuses_paths,
    };
    refused.map(|(status, code)| (status, code, "Please name the bucket in another place."))
}
