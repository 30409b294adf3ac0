//! The operations of S3, each by what the service keeps.

use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::actions::{GET_TAGS, PUT_TAGS};
use super::rules::{
    Conditions, DEFAULT_TYPE, check_key, check_metadata, internal, md5_of, read_conditions, streaming, tags,
};
use super::storage::Headers;
use super::{answers, deletes, listing, uploads};

use super::service::Service;
use crate::checksum::Crc32c;

#[async_trait::async_trait]
impl S3 for Service {
    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let bucket = |name| s3s::dto::Bucket { name: Some(name), ..Default::default() };
        let buckets = self.storage.bucket_names().into_iter().map(bucket).collect();
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(buckets), ..Default::default() }))
    }

    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        if self.storage.create_bucket(&req.input.bucket).map_err(internal)? {
            Ok(S3Response::new(CreateBucketOutput::default()))
        } else {
            Err(s3_error!(BucketAlreadyOwnedByYou))
        }
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.bucket(&req.input.bucket, |_| Ok(S3Response::new(HeadBucketOutput::default())))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let (input, quirks) = (req.input, self.hooks.quirks());
        let name = input.bucket.clone();
        Ok(S3Response::new(self.bucket(&name, |bucket| listing::version_2(bucket, input, &quirks))?))
    }

    async fn list_objects(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = req.input;
        let name = input.bucket.clone();
        Ok(S3Response::new(self.bucket(&name, |bucket| listing::version_1(bucket, input))?))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let object = match self.object(&input.bucket, &input.key) {
            Err(_) if self.hooks.quirks().heads_folders && self.is_folder(&input.bucket, &input.key) => {
                return Ok(S3Response::new(answers::folder()));
            }
            object => object?,
        };
        read_conditions(&object, &input.if_match, &input.if_none_match)?;
        let headers = object.headers.clone();
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.content.len() as i64),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            last_modified: Some(object.last_modified.into()),
            accept_ranges: Some("bytes".to_owned()),
            content_type: headers.content_type.or_else(|| Some(DEFAULT_TYPE.to_owned())),
            cache_control: headers.cache_control,
            content_disposition: headers.content_disposition,
            content_encoding: headers.content_encoding,
            content_language: headers.content_language,
            storage_class: headers.storage_class.map(StorageClass::from),
            metadata: Some(headers.metadata.into_iter().collect()),
            ..Default::default()
        }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let object = self.object(&input.bucket, &input.key)?;
        read_conditions(&object, &input.if_match, &input.if_none_match)?;
        let size = object.content.len();
        let range = match &input.range {
            Some(range) => Some(range.check(size).map_err(|_| s3_error!(InvalidRange))?),
            None => None,
        };
        let content_range = range.as_ref().map(|r| format!("bytes {}-{}/{size}", r.start, r.end - 1));
        let range = range.unwrap_or(0..size);
        let length = range.end - range.start;
        let body = object.content.read(range).await.map_err(internal)?;
        let headers = object.headers.clone();
        let partial = content_range.is_some();
        let crc32c = headers.crc32c.filter(|_| !partial && input.checksum_mode.is_some());
        let output = GetObjectOutput {
            body: Some(streaming(body)),
            content_length: Some(length as i64),
            content_range,
            e_tag: Some(ETag::Strong(object.etag.clone())),
            last_modified: Some(object.last_modified.into()),
            accept_ranges: Some("bytes".to_owned()),
            content_type: headers.content_type.or_else(|| Some(DEFAULT_TYPE.to_owned())),
            cache_control: headers.cache_control,
            content_disposition: headers.content_disposition,
            content_encoding: headers.content_encoding,
            content_language: headers.content_language,
            storage_class: headers.storage_class.map(StorageClass::from),
            metadata: Some(headers.metadata.into_iter().collect()),
            checksum_crc32c: crc32c.map(Crc32c::base64),
            ..Default::default()
        };
        if partial {
            Ok(S3Response::with_status(output, http::StatusCode::PARTIAL_CONTENT))
        } else {
            Ok(S3Response::new(output))
        }
    }

    async fn get_object_tagging(
        &self,
        req: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let object = self.object(&req.input.bucket, &req.input.key)?;
        let tag_set = tags(object.headers.tagging.as_deref().unwrap_or_default());
        Ok(S3Response::new(GetObjectTaggingOutput { tag_set, ..Default::default() }))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        check_key(&input.key)?;
        let mut headers = Headers {
            content_type: input.content_type,
            cache_control: input.cache_control,
            content_disposition: input.content_disposition,
            content_encoding: input.content_encoding,
            content_language: input.content_language,
            storage_class: input.storage_class.map(|class| class.as_str().to_owned()),
            tagging: input.tagging,
            metadata: check_metadata(input.metadata)?,
            crc32c: None,
        };
        let received = self.receive(&input.bucket, input.body).await?;
        headers.crc32c = Some(received.crc32c);
        received.verify(input.checksum_crc32c.as_deref(), input.content_md5.as_deref())?;
        let conditions = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
        let conditions = self.heeded("PutObject", conditions);
        let target = (input.bucket.as_str(), input.key.as_str());
        let etag = self.etag(received.md5);
        let object = self.store(target, received.content, etag, headers, conditions).await?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(object.etag.clone())),
            checksum_crc32c: input.checksum_crc32c.map(|_| received.crc32c.base64()),
            ..Default::default()
        }))
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = req.input;
        check_key(&input.key)?;
        let source = self.source(&input.copy_source, input.copy_source_if_match.as_ref())?;
        let quirks = self.quirks();
        if source.headers.tagging.is_some() && (quirks.denies(GET_TAGS) || quirks.denies(PUT_TAGS)) {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        if matches!(&input.copy_source, CopySource::Bucket { bucket, key, .. } if **bucket == *input.bucket && **key == *input.key)
            && input.metadata_directive.is_none()
            && input.storage_class.is_none()
        {
            return Err(s3_error!(InvalidRequest, "This copy request is illegal because it changes nothing"));
        }
        let size = source.content.len();
        if size > uploads::LARGEST_COPY {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size"
            ));
        }
        let mut headers = source.headers.clone();
        // As in S3, a copy's class is STANDARD unless another is named.
        headers.storage_class = input.storage_class.map(|class| class.as_str().to_owned());
        if input.metadata_directive.as_ref().is_some_and(|d| d.as_str() == MetadataDirective::REPLACE) {
            headers.metadata = check_metadata(input.metadata)?;
            headers.content_type = input.content_type;
        }
        let directory = self.storage.directory(&input.bucket);
        let content = source.content.slice(0..size, directory.as_deref()).await.map_err(internal)?;
        let etag = if source.etag.contains('-') {
            md5_of(&content).await.map_err(internal)?
        } else {
            source.etag.clone()
        };
        let etag = self.etag(etag);
        let conditions = self.heeded("CopyObject", Conditions::of_headers(&req.headers));
        let target = (input.bucket.as_str(), input.key.as_str());
        let object = self.store(target, content, etag, headers, conditions).await?;
        let result = CopyObjectResult {
            e_tag: Some(ETag::Strong(object.etag.clone())),
            last_modified: Some(object.last_modified.into()),
            ..Default::default()
        };
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() }))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = req.input;
        let conditions = Conditions { if_match: input.if_match, if_none_match: None };
        let conditions = self.heeded("DeleteObject", conditions);
        let removed = self.bucket(&input.bucket, |bucket| {
            conditions.check(bucket.objects.get(&input.key).map(|o| &**o))?;
            Ok(bucket.objects.remove(&input.key))
        })?;
        self.storage.discard(&input.bucket, removed).await;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        deletes::many(self, req.input).await.map(S3Response::new)
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        uploads::create(self, req.input).map(S3Response::new)
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        uploads::part(self, req.input).await.map(S3Response::new)
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        uploads::part_copy(self, req.input).await.map(S3Response::new)
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        uploads::complete(self, req.input).await.map(S3Response::new)
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        uploads::abort(self, req.input).await.map(S3Response::new)
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        uploads::list(self, req.input).map(S3Response::new)
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        uploads::list_parts(self, req.input).map(S3Response::new)
    }
}
