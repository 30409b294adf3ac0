//! S3 itself, over aws-sdk-s3: the only place that sees the SDK's types.

mod addressing;
mod attempts;
mod bounding;
mod chain;
mod class;
mod client;
mod connect_error;
mod convert;
mod copying;
mod counting;
mod dating;
mod deleting;
mod denied;
mod errors;
mod headers;
mod naming;
mod obstacles;
mod operations;
mod options;
mod parts;
mod payload;
mod profile;
mod reading;
mod sending;
mod text;
mod unread;
mod uploads;
mod version_1;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{RequestPayer, ServerSideEncryption, StorageClass};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::time::timeout;

use super::reach::Reach;
use super::{StoreError, StoreResult};
use crate::metrics::Metrics;
use crate::sync::{Budget, Portion};

pub use chain::{Chain, Keys, NoKeys};
pub use connect_error::ConnectError;
pub use options::{Checksums, FixedCredentials, S3Options};

use class::Class;
use client::Clients;
use counting::CountRequests;
use errors::classify;

/// A bucket, or what stands for one: an access point's ARN or alias.
#[derive(Debug)]
pub struct S3Store {
    clients: Arc<Clients>,
    options: S3Options,
    bucket: String,
    /// In the list of problems, for what is wrong with writing alone.
    writing: String,
    /// Downloads, each counted until its last byte was taken: a client that pauses one must not
    /// keep everything else from S3.
    downloads: Budget,
    /// Everything else.
    requests: Budget,
    metrics: Metrics,
    /// The endpoint was seen not to delete many objects at once.
    deletes_singly: AtomicBool,
}

impl S3Store {
    /// Prepares access to `bucket`. Nothing is sent to S3 yet.
    pub async fn new(bucket: &str, options: S3Options, metrics: Metrics) -> Result<Self, ConnectError> {
        Self::telling(Reach::default(), bucket, options, metrics).await
    }

    /// The same; `reach` hears of each answer.
    pub async fn telling(
        reach: Reach,
        bucket: &str,
        mut options: S3Options,
        metrics: Metrics,
    ) -> Result<Self, ConnectError> {
        let downloads = Budget::of_places(options.max_connections);
        let requests = Budget::of_places(options.max_connections);
        let count = CountRequests { bucket: bucket.to_owned(), metrics: metrics.clone(), reach };
        let clients = Clients::new(&mut options, bucket, count).await?;
        options.check_storage_class()?;
        let (bucket, writing) = (bucket.to_owned(), format!("{bucket}, writing"));
        let deletes_singly = AtomicBool::new(false);
        Ok(Self { clients, options, bucket, writing, downloads, requests, metrics, deletes_singly })
    }

    /// The path of the endpoint's URL, if it has one.
    pub fn endpoint_path(&self) -> Option<String> {
        let url: http::Uri = self.options.endpoint_url.as_deref()?.parse().ok()?;
        let path = url.path().trim_end_matches('/');
        (!path.is_empty()).then(|| path.to_owned())
    }

    /// Where requests go, always spelled the same; the profile may have named it. Empty: AWS itself.
    pub fn endpoint(&self) -> String {
        self.options.endpoint()
    }

    /// Whether it is AWS itself; the profile may have named another endpoint.
    pub fn is_aws(&self) -> bool {
        self.options.is_aws()
    }

    /// Runs one call; when the answer says that region or credentials are others now, once more
    /// with those.
    async fn call<T, E, F>(&self, class: Class, call: impl Fn(Client) -> F) -> StoreResult<T>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        Ok(self.call_holding(&self.requests, class, call).await?.0)
    }

    /// As [`Self::call`]; the connection counts as used until the place is dropped.
    async fn call_holding<T, E, F>(
        &self,
        places: &Budget,
        class: Class,
        call: impl Fn(Client) -> F,
    ) -> StoreResult<(T, Portion)>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let result = self.call_now(places, class, call).await;
        let result = result.map_err(|error| self.clients.with_hint(error));
        // What is right with reading says nothing of writing.
        let place = match (class, &result) {
            (Class::Write, Err(StoreError::SettingRefused { .. })) => &self.writing,
            _ => &self.bucket,
        };
        if matches!((class, &result), (Class::Write, Ok(_))) {
            self.metrics.note_trouble(&self.writing, None);
        }
        self.metrics.note_trouble(place, result.as_ref().err().and_then(StoreError::trouble));
        result
    }

    async fn call_now<T, E, F>(
        &self,
        places: &Budget,
        class: Class,
        call: impl Fn(Client) -> F,
    ) -> StoreResult<(T, Portion)>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let place = timeout(PLACE_PATIENCE, places.place()).await;
        let place = place.map_err(|e| StoreError::Unavailable(e.into()))?;
        let (client, generation) = self.clients.get(class);
        let error = match call(client).await {
            Ok(output) => {
                self.clients.addressing().settle();
                return Ok((output, place));
            }
            Err(error) => self.classified(error, class),
        };
        match &error {
            StoreError::WrongRegion(Some(region)) => self.clients.move_to(region.clone()).await,
            StoreError::Credentials(_) if self.clients.reload(generation).await => {}
            _ => {
                if let Some(output) = self.in_other_style(class, &error, call).await {
                    return Ok((output, place));
                }
                // Others are asked again and again.
                let is_asked = matches!(class, Class::List);
                return Err(if is_asked { self.looked_at_again(error).await } else { error });
            }
        }
        let (client, _) = self.clients.get(class);
        let output = call(client).await;
        Ok((output.map_err(|error| self.classified(error, class))?, place))
    }

    fn classified<E>(&self, error: SdkError<E, HttpResponse>, class: Class) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        classify(error, class, self.clients.naming(), &self.options)
    }

    /// Runs a call that failed once more, with the bucket's name in the other place, if that was never tried.
    async fn in_other_style<T, E, F>(
        &self,
        class: Class,
        error: &StoreError,
        call: impl Fn(Client) -> F,
    ) -> Option<T>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        // Whether a bucket is there is asked by listing it.
        if !matches!(class, Class::List) {
            return None;
        }
        let style = self.clients.addressing().other_for(error)?;
        let client = self.clients.in_style(style, class).await;
        let output = timeout(STYLE_PATIENCE, call(client)).await.ok()?.ok()?;
        self.clients.keep(style).await;
        Some(output)
    }

    fn payer(&self) -> Option<RequestPayer> {
        self.options.requester_pays.then_some(RequestPayer::Requester)
    }

    fn owner(&self) -> Option<String> {
        self.options.expected_bucket_owner.clone()
    }

    fn encryption(&self) -> Option<ServerSideEncryption> {
        self.options.sse.as_deref().map(ServerSideEncryption::from)
    }

    fn kms_key(&self) -> Option<String> {
        self.options.sse_kms_key_id.clone()
    }

    fn storage_class(&self) -> Option<StorageClass> {
        self.options.storage_class.as_deref().map(StorageClass::from)
    }
}

/// A request that waits longer for its turn is asked for again later.
const PLACE_PATIENCE: Duration = Duration::from_secs(20);
/// Where a name server is away, nobody knows the host; the start must not wait long for that.
const STYLE_PATIENCE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod properties;
