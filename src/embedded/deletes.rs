//! Deletes of many objects at once.

use s3s::S3ErrorCode;
use s3s::S3Result;
use s3s::dto::*;
use s3s::s3_error;

use super::actions::{DELETE, GET};
use super::rules::Conditions;
use super::service::Service;

pub(super) async fn many(service: &Service, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
    if input.delete.objects.len() > 1000 {
        return Err(s3_error!(MalformedXML));
    }
    let quiet = input.delete.quiet == Some(true);
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for object in input.delete.objects {
        match one(service, &input.bucket, &object.key, object.e_tag).await? {
            None => deleted.push(DeletedObject { key: Some(object.key), ..Default::default() }),
            Some(code) => errors.push(Error {
                code: Some(code.as_str().to_owned()),
                key: Some(object.key),
                ..Default::default()
            }),
        }
    }
    Ok(DeleteObjectsOutput {
        deleted: (!quiet).then_some(deleted),
        errors: (!errors.is_empty()).then_some(errors),
        ..Default::default()
    })
}

/// Deletes one of them; why it does not, if it does not.
async fn one(
    service: &Service,
    bucket: &str,
    key: &str,
    etag: Option<ETag>,
) -> S3Result<Option<S3ErrorCode>> {
    let quirks = service.quirks();
    if quirks.denies(DELETE) || (etag.is_some() && quirks.denies(GET)) {
        return Ok(Some(S3ErrorCode::AccessDenied));
    }
    let if_match = etag.map(ETagCondition::ETag);
    let conditions = service.heeded("DeleteObjects", Conditions { if_match, if_none_match: None });
    let removed = service.bucket(bucket, |bucket| {
        Ok(conditions.check(bucket.objects.get(key).map(|o| &**o)).map(|()| bucket.objects.remove(key)))
    })?;
    match removed {
        Ok(removed) => {
            service.storage.discard(bucket, removed).await;
            Ok(None)
        }
        Err(error) => Ok(Some(error.code().clone())),
    }
}
