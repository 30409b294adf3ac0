//! Objects that are read, and what servers do to them on their way.

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;

use super::class::Class;
use super::{S3Store, StoreError, StoreResult};
use crate::object::{ETag, Key, ReadCondition};
use crate::store::error::Unexplained;
use crate::store::{GetObject, ListRequest, ObjectStore};
use crate::sync::Portion;

impl S3Store {
    /// GetObject. The place is to be kept until the body has been read.
    pub(super) async fn get_object(&self, request: GetObject<'_>) -> StoreResult<(GetObjectOutput, Portion)> {
        let (output, place) = self.get_coded(request, Coding::AsItComes).await?;
        if !is_unpacked(output.content_length(), output.e_tag()) {
            return Ok((output, place));
        }
        drop((output, place));
        let (output, place) = self.get_coded(request, Coding::Gzip).await?;
        let is_unpacked = is_unpacked(output.content_length(), output.e_tag());
        // A captive portal's page has no such date.
        if is_unpacked && output.last_modified().is_some() {
            return Err(changed_on_its_way());
        }
        Ok((output, place))
    }

    async fn get_coded(
        &self,
        request: GetObject<'_>,
        coding: Coding,
    ) -> StoreResult<(GetObjectOutput, Portion)> {
        let GetObject { key, range, condition } = request;
        let (wanted, known) = match condition {
            ReadCondition::None => (None, None),
            ReadCondition::IfMatch(etag) => (Some(etag), None),
            ReadCondition::IfNoneMatch(etag) => (None, Some(etag)),
        };
        self.call_holding(&self.downloads, Class::Read, |client| {
            client
                .get_object()
                .bucket(&self.bucket)
                .key(key.as_str())
                .set_range(range.map(|range| range.to_string()))
                .set_if_match(wanted.map(|etag| etag.quoted().to_owned()))
                .set_if_none_match(known.map(|etag| etag.quoted().to_owned()))
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.owner())
                .customize()
                .interceptor(coding)
                .send()
        })
        .await
    }

    /// HeadObject, of one version or whichever there is.
    pub(super) async fn head_object(
        &self,
        key: &Key,
        version: Option<&ETag>,
    ) -> StoreResult<HeadObjectOutput> {
        let output = self.head_explained(key, version, Coding::AsItComes).await?;
        if !is_unpacked(output.content_length(), output.e_tag()) {
            return Ok(output);
        }
        let output = self.head_explained(key, version, Coding::Gzip).await?;
        let is_unpacked = is_unpacked(output.content_length(), output.e_tag());
        if is_unpacked && output.last_modified().is_some() { Err(changed_on_its_way()) } else { Ok(output) }
    }

    /// An answer to HEAD has no body: the same 400 says that the credentials have expired, or that this object is
    /// encrypted with a key that S3 does not have. A listing tells.
    async fn head_explained(
        &self,
        key: &Key,
        version: Option<&ETag>,
        coding: Coding,
    ) -> StoreResult<HeadObjectOutput> {
        let (_, generation) = self.clients.get(Class::Read);
        let cause = match self.head_coded(key, version, coding).await {
            Err(StoreError::Rejected(cause)) if cause.is::<Unexplained>() => cause,
            output => return output,
        };
        match self.list(&ListRequest::probe(key.as_str())).await {
            Err(error @ StoreError::Credentials(_)) => return Err(error),
            Err(error) if error.is_transient() => return Err(error),
            _ => {}
        }
        let cause = if self.clients.get(Class::Read).1 == generation {
            cause
        } else {
            // The listing had other credentials.
            match self.head_coded(key, version, coding).await {
                Err(StoreError::Rejected(cause)) if cause.is::<Unexplained>() => cause,
                output => return output,
            }
        };
        Err(StoreError::AccessDenied(cause))
    }

    async fn head_coded(
        &self,
        key: &Key,
        version: Option<&ETag>,
        coding: Coding,
    ) -> StoreResult<HeadObjectOutput> {
        self.call(Class::Read, |client| {
            client
                .head_object()
                .bucket(&self.bucket)
                .key(key.as_str())
                .set_if_match(version.map(|etag| etag.quoted().to_owned()))
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.owner())
                .customize()
                .interceptor(coding)
                .send()
        })
        .await
    }
}

/// Whether an answer is about another content than is stored. Google decompresses what was stored with gzip.
fn is_unpacked(length: Option<i64>, etag: Option<&str>) -> bool {
    length.is_none() && etag.is_none()
}

fn changed_on_its_way() -> StoreError {
    StoreError::Rejected("the endpoint reports neither the length nor the version of this object".into())
}

/// In what coding an object may come. Said after the request is signed: proxies change this header.
#[derive(Debug, Clone, Copy)]
enum Coding {
    AsItComes,
    Gzip,
}

impl Intercept for Coding {
    fn name(&self) -> &'static str {
        "Coding"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if matches!(self, Self::Gzip) {
            context.request_mut().headers_mut().insert("accept-encoding", "gzip");
        }
        Ok(())
    }
}
