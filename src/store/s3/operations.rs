//! The store's operations, each one S3 request.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::types::StorageClass;
use futures_util::stream;

use super::S3Store;
use super::class::Class;
use super::convert::{
    self, content_range, copy_source, date, etag, if_match, if_none_match, invalid, length, metadata,
};
use super::counting::AnswerDate;
use super::naming::NotS3s;
use super::payload::{Outgoing, checksum};
use super::sending::Progress;
use super::version_1;
use crate::object::{Attributes, Condition, DeleteTarget, ETag, Key, ObjectAddress, ObjectMeta, Written};
use crate::store::comparing::Expected;
use crate::store::looked;
use crate::store::{
    Content, CopyObject, Foreseen, GetObject, ListPage, ListRequest, ObjectStore, PutObject, StoreError,
    StoreResult,
};

/// A request's own time limit, in place of the client's.
pub(super) fn within(limit: Duration) -> Builder {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(limit).build();
    Builder::new().timeout_config(timeouts)
}

/// A request that whoever waits for it repeats: twice would multiply the time it may take.
pub(super) fn once(config: Builder) -> Builder {
    config.retry_config(RetryConfig::disabled())
}

/// A write that depends on the object's state, or on a look at it, is not repeated below: its own first attempt may
/// be what it meets. Whoever waits for this one knows how to tell.
fn once_if(conditional: bool, config: Builder) -> Builder {
    if conditional || looked::is_relied_on() { once(config) } else { config }
}

/// Sends an operation's builder, with options that the builder itself does not have.
macro_rules! send {
    ($store:expr, $builder:expr, $config:expr, $date:expr, $outgoing:expr, $body:expr) => {{
        let progress = Progress::of($body);
        let operation = $builder.customize().config_override($config);
        let operation = operation.interceptor($date.clone()).interceptor(progress.clone());
        let operation = operation.interceptor($outgoing.signature.clone());
        // Over TLS the payload's hash protects nothing that TLS and the checksum do not.
        let operation =
            if $store.options.is_https() { operation.disable_payload_signing() } else { operation };
        progress.watch($store.options.silence($body.len()), operation.send())
    }};
}
pub(super) use send;

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for S3Store {
    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        let output = match self.head_object(key, None).await {
            Err(StoreError::Unavailable(cause)) if cause.is::<NotS3s>() => {
                return self.head_by_get(key).await;
            }
            Err(denied @ StoreError::AccessDenied(_)) => return self.unseen(key, denied).await,
            output => output?,
        };
        Ok(ObjectMeta {
            size: length(output.content_length())?,
            etag: etag(output.e_tag())?,
            last_modified: date(output.last_modified())?,
            content_type: output.content_type,
            storage_class: output.storage_class.map(|class| class.as_str().to_owned()),
            user: output.metadata.unwrap_or_default().into_iter().collect(),
        })
    }

    async fn get(&self, request: GetObject<'_>) -> StoreResult<Content> {
        let (output, place) = self.get_object(request).await?;
        let length = length(output.content_length())?;
        let (first, size) = match output.content_range() {
            Some(range) => content_range(range)?,
            None => (0, length),
        };
        let meta = ObjectMeta {
            size,
            etag: etag(output.e_tag())?,
            last_modified: date(output.last_modified())?,
            content_type: output.content_type,
            storage_class: output.storage_class.map(|class| class.as_str().to_owned()),
            user: output.metadata.unwrap_or_default().into_iter().collect(),
        };
        let body = stream::unfold((output.body, place), |(mut body, place)| async move {
            let chunk = body.next().await?;
            Some((chunk.map_err(|e| StoreError::Unavailable(e.into())), (body, place)))
        });
        Ok(Content { meta, first, length, body: Box::pin(body) })
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        if let Some(marker) = version_1::marker(request) {
            return self.list_by_marker(request, marker).await;
        }
        let output = self
            .call(Class::List, |client| {
                convert::list_request(client, request)
                    .bucket(&self.bucket)
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .send()
            })
            .await;
        match output {
            // Where nothing begins with the prefix the listing is empty.
            Err(StoreError::NotFound) => Err(invalid("a listing that was not found")),
            Err(StoreError::Unsupported(why)) => {
                Err(StoreError::Unsupported(format!("ListObjectsV2: {why}")))
            }
            output => match (output?, &request.start_after) {
                (output, Some(after)) if version_1::is_one(&output) => {
                    self.list_by_marker(request, after).await
                }
                (output, _) => convert::list_page(request, output),
            },
        }
    }

    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
        let PutObject { key, body, attributes, condition } = request;
        let (date, outgoing) = (AnswerDate::default(), Outgoing::new(&body, &self.options));
        let output = self
            .call(Class::Write, |client| {
                let builder = client
                    .put_object()
                    .bucket(&self.bucket)
                    .key(key.as_str())
                    .content_length(body.len() as i64)
                    .set_content_type(attributes.content_type.clone())
                    .set_metadata(metadata(attributes))
                    .set_storage_class(self.storage_class())
                    .set_server_side_encryption(self.encryption())
                    .set_ssekms_key_id(self.kms_key())
                    .set_if_none_match(if_none_match(condition))
                    .set_if_match(if_match(condition))
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .set_checksum_algorithm(outgoing.algorithm())
                    .set_checksum_crc32_c(outgoing.crc32c.clone())
                    .body(outgoing.stream());
                let config = once_if(*condition != Condition::None, within(LONGEST_SENDING));
                send!(self, builder, config, date, outgoing, &body)
            })
            .await;
        let told = checksum(&output, |output| output.checksum_crc32_c());
        let answered =
            output.and_then(|output| Ok(Written { etag: etag(output.e_tag())?, last_modified: date.get() }));
        let written = self.confirmed(key, answered, Expected::Body(&body)).await?;
        outgoing.compare(told.as_deref())?;
        Ok(written)
    }

    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
        let (begun, CopyObject { source, to, condition }) = (SystemTime::now(), request);
        let output = self
            .call(Class::Write, |client| {
                client
                    .copy_object()
                    .bucket(&self.bucket)
                    .key(to.as_str())
                    .copy_source(copy_source(&source.address))
                    .set_copy_source_if_match(source.etag.as_ref().map(|etag| etag.quoted().to_owned()))
                    .set_if_none_match(if_none_match(condition))
                    .set_if_match(if_match(condition))
                    .set_storage_class(source.storage_class.as_deref().map(StorageClass::from))
                    .set_server_side_encryption(self.encryption())
                    .set_ssekms_key_id(self.kms_key())
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .customize()
                    .config_override(once(within(SERVER_SIDE_WORK)))
                    .send()
            })
            .await;
        let answered = output.and_then(|output| {
            let result = output.copy_object_result.ok_or_else(|| invalid("a copy without a result"))?;
            Ok(Written { etag: etag(result.e_tag())?, last_modified: date(result.last_modified())? })
        });
        self.confirmed(to, answered, Expected::Copy(source, begun)).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        self.call(Class::Write, |client| {
            client
                .delete_object()
                .bucket(&self.bucket)
                .key(key.as_str())
                .set_if_match(if_match(condition))
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.owner())
                .customize()
                .config_override(once_if(*condition != Condition::None, within(self.options.attempt_timeout)))
                .send()
        })
        .await?;
        Ok(())
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        self.delete_objects(objects).await
    }

    async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes> {
        self.all_attributes(key, version).await
    }

    fn address(&self, key: &Key) -> ObjectAddress {
        ObjectAddress { bucket: self.bucket.clone(), key: key.clone() }
    }

    /// Conditions are kept here: there is nothing to look at.
    async fn foresee(&self, _: &[Foreseen]) {}
}

impl S3Store {
    /// A page of a server that knows the first version of listings only.
    async fn list_by_marker(&self, request: &ListRequest, marker: &str) -> StoreResult<ListPage> {
        let output = self
            .call(Class::List, |client| {
                version_1::request(client, request, marker)
                    .bucket(&self.bucket)
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .send()
            })
            .await?;
        let mut page = convert::list_page(request, version_1::output(output))?;
        // Some tell a folder again behind which they go on.
        page.prefixes.retain(|prefix| prefix != marker);
        Ok(page)
    }
}

/// One body that goes out bit by bit; see [`super::sending`].
pub(super) const LONGEST_SENDING: Duration = Duration::from_secs(3600);
/// Copies and completions are answered when S3 is done; minutes for large objects.
pub(super) const SERVER_SIDE_WORK: Duration = Duration::from_secs(300);
