//! Objects in parts: the operations of multipart uploads, each one S3 request.

use async_trait::async_trait;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, EncodingType, StorageClass,
};

use super::S3Store;
use super::class::Class;
use super::convert::{self, etag, if_match, if_none_match, invalid, metadata};
use super::counting::AnswerDate;
use super::operations::{LONGEST_SENDING, SERVER_SIDE_WORK, once, send, within};
use super::parts;
use super::payload::{Outgoing, checksum, compare};
use super::sending::Progress;
use crate::checksum::Crc32c;
use crate::object::{Attributes, Key, Written};
use crate::store::comparing::Expected;
use crate::store::{
    CompleteUpload, CopyPart, ListParts, MultipartStore, Part, PartsPage, StoreError, StoreResult, Upload,
    UploadPart,
};

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for S3Store {
    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload> {
        let date = AnswerDate::default();
        // S3 wants to know beforehand, and makes one of the whole out of those of the parts.
        let is_told = self.options.sends_checksums();
        let algorithm = is_told.then_some(ChecksumAlgorithm::Crc32C);
        let kind = is_told.then_some(ChecksumType::FullObject);
        let own_class = attributes.storage_class.as_deref().map(StorageClass::from);
        let class = own_class.or_else(|| self.storage_class());
        let output = self
            .call(Class::Write, |client| {
                client
                    .create_multipart_upload()
                    .bucket(&self.bucket)
                    .key(key.as_str())
                    .set_content_type(attributes.content_type.clone())
                    .set_cache_control(attributes.cache_control.clone())
                    .set_content_disposition(attributes.content_disposition.clone())
                    .set_content_encoding(attributes.content_encoding.clone())
                    .set_content_language(attributes.content_language.clone())
                    .set_tagging(attributes.tagging.clone())
                    .set_metadata(metadata(attributes))
                    .set_checksum_algorithm(algorithm.clone())
                    .set_checksum_type(kind.clone())
                    .set_storage_class(class.clone())
                    .set_server_side_encryption(self.encryption())
                    .set_ssekms_key_id(self.kms_key())
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .customize()
                    // An upload that a lost answer began would be known to nobody.
                    .config_override(once(within(self.options.attempt_timeout)))
                    .interceptor(date.clone())
                    .send()
            })
            .await?;
        let id = output.upload_id.ok_or_else(|| invalid("an upload without an id"))?;
        Ok(Upload { key: key.clone(), id, begun: date.get(), may_have_twin: false })
    }

    async fn upload_part(&self, request: UploadPart<'_>) -> StoreResult<Part> {
        let UploadPart { upload, number, body } = request;
        let outgoing = Outgoing::new(&body, &self.options);
        let output = self
            .call(Class::Write, |client| {
                let builder = client
                    .upload_part()
                    .bucket(&self.bucket)
                    .key(upload.key.as_str())
                    .upload_id(&upload.id)
                    .part_number(number as i32)
                    .content_length(body.len() as i64)
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .set_checksum_algorithm(outgoing.algorithm())
                    .set_checksum_crc32_c(outgoing.crc32c.clone())
                    .body(outgoing.stream());
                send!(self, builder, within(LONGEST_SENDING), AnswerDate::default(), outgoing, &body)
            })
            .await?;
        outgoing.compare(output.checksum_crc32_c())?;
        Ok(Part { number, etag: etag(output.e_tag())?, crc32c: output.checksum_crc32_c })
    }

    async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<Part> {
        self.upload_part_copy(request).await
    }

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        let CompleteUpload { upload, parts, size, crc32c, condition } = request;
        let crc32c = crc32c.filter(|_| self.options.sends_checksums()).map(Crc32c::base64);
        let kind = crc32c.is_some().then_some(ChecksumType::FullObject);
        let named = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(part.number as i32)
                .e_tag(part.etag.quoted())
                .set_checksum_crc32_c(part.crc32c.clone())
                .build()
        });
        let named = CompletedMultipartUpload::builder().set_parts(Some(named.collect())).build();
        let output = self
            .call(Class::Write, |client| {
                client
                    .complete_multipart_upload()
                    .bucket(&self.bucket)
                    .key(upload.key.as_str())
                    .upload_id(&upload.id)
                    .multipart_upload(named.clone())
                    // Others may not know it.
                    .set_mpu_object_size(self.options.is_aws().then_some(size as i64))
                    .set_checksum_crc32_c(crc32c.clone())
                    .set_checksum_type(kind.clone())
                    .set_if_none_match(if_none_match(condition))
                    .set_if_match(if_match(condition))
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .customize()
                    .config_override(once(within(SERVER_SIDE_WORK)))
                    .send()
            })
            .await;
        let told = checksum(&output, |output| output.checksum_crc32_c());
        let answered = output
            .and_then(|output| Ok(Written { etag: etag(output.e_tag())?, last_modified: upload.begun }));
        let expected = Expected::Parts(parts, size, upload.begun);
        let written = self.confirmed(&upload.key, answered, expected).await?;
        compare(crc32c.as_deref(), told.as_deref())?;
        Ok(written)
    }

    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
        let aborted = self
            .call(Class::Write, |client| {
                client
                    .abort_multipart_upload()
                    .bucket(&self.bucket)
                    .key(upload.key.as_str())
                    .upload_id(&upload.id)
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .send()
            })
            .await;
        match aborted {
            Ok(_) | Err(StoreError::NotFound | StoreError::UploadGone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn list_uploads(&self, key: &Key) -> StoreResult<Vec<Upload>> {
        let output = self
            .call(Class::List, |client| {
                client
                    .list_multipart_uploads()
                    .bucket(&self.bucket)
                    // Those of the key itself come first.
                    .prefix(key.as_str())
                    .encoding_type(EncodingType::Url)
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .send()
            })
            .await?;
        Ok(convert::uploads(key, output))
    }

    async fn list_parts(&self, request: ListParts<'_>) -> StoreResult<PartsPage> {
        let ListParts { upload, after } = request;
        let output = self
            .call(Class::List, |client| {
                client
                    .list_parts()
                    .bucket(&self.bucket)
                    .key(upload.key.as_str())
                    .upload_id(&upload.id)
                    .set_part_number_marker((after > 0).then(|| after.to_string()))
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .send()
            })
            .await?;
        parts::page(after, &output)
    }
}
