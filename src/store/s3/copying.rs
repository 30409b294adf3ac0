//! What a copy in parts needs: the parts themselves, and all that is stored beside the content.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::class::Class;
use super::convert::{copy_source, etag, invalid};
use super::operations::{SERVER_SIDE_WORK, once, within};
use super::{S3Store, StoreError, StoreResult};
use crate::object::{Attributes, ETag, Key};
use crate::store::{CopyPart, Part};

impl S3Store {
    /// UploadPartCopy.
    pub(super) async fn upload_part_copy(&self, request: CopyPart<'_>) -> StoreResult<Part> {
        let CopyPart { upload, number, source, range } = request;
        let output = self
            .call(Class::Write, |client| {
                client
                    .upload_part_copy()
                    .bucket(&self.bucket)
                    .key(upload.key.as_str())
                    .upload_id(&upload.id)
                    .part_number(number as i32)
                    .copy_source(copy_source(&source.address))
                    .copy_source_range(range.to_string())
                    .set_copy_source_if_match(source.etag.as_ref().map(|etag| etag.quoted().to_owned()))
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .customize()
                    .config_override(once(within(SERVER_SIDE_WORK)))
                    .send()
            })
            .await?;
        let result = output.copy_part_result.ok_or_else(|| invalid("a copied part without a result"))?;
        Ok(Part { number, etag: etag(result.e_tag())?, crc32c: result.checksum_crc32_c })
    }

    /// Everything of a version that CopyObject would keep: HeadObject and GetObjectTagging.
    pub(super) async fn all_attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes> {
        let output = self.head_object(key, Some(version)).await?;
        Ok(Attributes {
            content_type: output.content_type,
            cache_control: output.cache_control,
            content_disposition: output.content_disposition,
            content_encoding: output.content_encoding,
            content_language: output.content_language,
            storage_class: None,
            tagging: self.tagging(key).await?,
            user: output.metadata.unwrap_or_default().into_iter().collect(),
        })
    }

    /// The tags as a URL query, the form in which they are set.
    async fn tagging(&self, key: &Key) -> StoreResult<Option<String>> {
        let tags = self
            .call(Class::Read, |client| {
                client
                    .get_object_tagging()
                    .bucket(&self.bucket)
                    .key(key.as_str())
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .customize()
                    .config_override(within(TAGGING_TIMEOUT))
                    .send()
            })
            .await;
        let tags = match tags {
            Ok(tags) => tags.tag_set,
            // An endpoint without tags, or not for us to read.
            Err(error @ (StoreError::Unsupported(_) | StoreError::AccessDenied(_))) => {
                tracing::warn!(%key, %error, "copied without its tags, which cannot be read");
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> =
            tags.iter().map(|tag| format!("{}={}", escape(tag.key()), escape(tag.value()))).collect();
        Ok((!pairs.is_empty()).then(|| pairs.join("&")))
    }
}

const TAGGING_TIMEOUT: Duration = Duration::from_secs(15);
