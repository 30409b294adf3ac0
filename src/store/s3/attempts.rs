//! The line of the log for each HTTP request to S3.

use std::time::Instant;

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use http::Uri;
use percent_encoding::percent_decode_str;

use crate::logging::milliseconds;
use crate::tally::{self, Tally};

/// Logs each attempt, where the log holds such lines. Of its URL only the key is shown, or the prefix of a listing.
#[derive(Debug, Clone)]
pub(super) struct LogAttempts {
    pub(super) bucket: String,
}

/// An attempt under way; its request is gone when it has been sent.
#[derive(Debug)]
struct Attempt {
    begun: Instant,
    key: Option<String>,
    range: Option<String>,
}

impl Storable for Attempt {
    type Storer = StoreReplace<Self>;
}

impl Intercept for LogAttempts {
    fn name(&self) -> &'static str {
        "LogAttempts"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if tracing::enabled!(tracing::Level::TRACE) {
            let request = context.request();
            let key = request.uri().parse().ok().map(|uri| key(&uri, &self.bucket));
            let range = request.headers().get("range").map(str::to_owned);
            config.interceptor_state().store_put(Attempt { begun: Instant::now(), key, range });
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(Attempt { begun, key, range }) = config.load::<Attempt>() else { return Ok(()) };
        tracing::trace!(
            request = tally::current().as_ref().map(Tally::number),
            operation = config.load::<Metadata>().map(|metadata| metadata.name()),
            bucket = self.bucket,
            key,
            range,
            // Without one no answer came.
            status = context.response().map(|answer| answer.status().as_u16()),
            elapsed_ms = milliseconds(begun.elapsed()),
            "S3 answered"
        );
        Ok(())
    }
}

/// The key of a request's URL; of a listing the prefix.
fn key(uri: &Uri, bucket: &str) -> String {
    let parameters = uri.query().unwrap_or_default().split('&');
    let prefix = parameters.filter_map(|parameter| parameter.strip_prefix("prefix=")).next();
    let path = uri.path();
    let is_in_host = uri.host().is_some_and(|host| host.starts_with(&format!("{bucket}.")));
    // An endpoint may have a path of its own.
    let in_bucket = match path.split_once(&format!("/{bucket}")) {
        Some((_, rest)) if !is_in_host && (rest.is_empty() || rest.starts_with('/')) => rest,
        _ => path,
    };
    let text = prefix.unwrap_or_else(|| in_bucket.strip_prefix('/').unwrap_or(in_bucket));
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_a_name_and_nothing_else_of_the_url() {
        for (url, expected) in [
            ("http://127.0.0.1:9000/photos/a%20b/c.jpg?x-id=GetObject&X-Amz-Signature=1", "a b/c.jpg"),
            ("https://photos.s3.eu-west-1.amazonaws.com/photos/c.jpg", "photos/c.jpg"),
            ("https://s3.example/path/photos/c.jpg", "c.jpg"),
            ("https://s3.example/photos?list-type=2&delimiter=%2F&prefix=2026%2F", "2026/"),
            ("https://s3.example/photos/?delete", ""),
            ("https://s3.example/photos2/x", "photos2/x"),
        ] {
            assert_eq!(key(&url.parse().unwrap(), "photos"), expected, "{url}");
        }
    }
}
