//! The actions of IAM that S3 wants to be allowed for a request.

use http::{HeaderMap, header};

use super::quirks::Quirks;

/// All that any request to this server wants.
pub const ACTIONS: &[&str] = &[
    LIST,
    GET,
    PUT,
    DELETE,
    ABORT,
    LIST_UPLOADS,
    LIST_PARTS,
    GET_TAGS,
    PUT_TAGS,
    LIST_ALL,
    CREATE,
    DECRYPT,
    DATA_KEY,
    OTHER,
];

pub(super) const LIST: &str = "s3:ListBucket";
pub(super) const GET: &str = "s3:GetObject";
pub(super) const DELETE: &str = "s3:DeleteObject";
pub(super) const GET_TAGS: &str = "s3:GetObjectTagging";
pub(super) const PUT_TAGS: &str = "s3:PutObjectTagging";
const PUT: &str = "s3:PutObject";
const ABORT: &str = "s3:AbortMultipartUpload";
const LIST_UPLOADS: &str = "s3:ListBucketMultipartUploads";
const LIST_PARTS: &str = "s3:ListMultipartUploadParts";
const LIST_ALL: &str = "s3:ListAllMyBuckets";
const CREATE: &str = "s3:CreateBucket";
/// Denied, these two mean that a key of KMS encrypts the bucket, and may not be used.
const DECRYPT: &str = "kms:Decrypt";
const DATA_KEY: &str = "kms:GenerateDataKey";
/// Whatever else there is.
const OTHER: &str = "s3:*";

/// Those of a request. What depends on the object, such as its tags, is seen to where that is known.
fn needed(operation: &str, headers: &HeaderMap) -> Vec<&'static str> {
    let mut needed = match operation {
        "ListObjectsV2" | "HeadBucket" => vec![LIST],
        "HeadObject" => vec![GET],
        "GetObject" => vec![GET, DECRYPT],
        "PutObject" => vec![PUT, DATA_KEY],
        "CopyObject" => vec![GET, PUT, DECRYPT, DATA_KEY],
        "CreateMultipartUpload" => vec![PUT, DATA_KEY],
        "UploadPart" | "CompleteMultipartUpload" => vec![PUT, DECRYPT],
        "UploadPartCopy" => vec![GET, PUT, DECRYPT],
        "AbortMultipartUpload" => vec![ABORT],
        "ListMultipartUploads" => vec![LIST_UPLOADS],
        "ListParts" => vec![LIST_PARTS],
        "DeleteObject" => vec![DELETE],
        // Each of them is denied by itself.
        "DeleteObjects" => vec![],
        "GetObjectTagging" => vec![GET_TAGS],
        "ListBuckets" => vec![LIST_ALL],
        "CreateBucket" => vec![CREATE],
        _ => vec![OTHER],
    };
    if matches!(operation, "PutObject" | "CopyObject" | "CompleteMultipartUpload" | "DeleteObject")
        && headers.get(header::IF_MATCH).is_some_and(|etag| etag != "*")
    {
        needed.push(GET);
    }
    if matches!(operation, "PutObject" | "CreateMultipartUpload") && headers.contains_key("x-amz-tagging") {
        needed.push(PUT_TAGS);
    }
    needed
}

impl Quirks {
    pub(super) fn denies(&self, action: &str) -> bool {
        self.denied_actions.iter().any(|denied| denied == action)
    }

    /// Whether an action is denied that a request wants.
    pub(super) fn denies_one_of(&self, operation: &str, headers: &HeaderMap) -> bool {
        !self.denied_actions.is_empty() && needed(operation, headers).iter().any(|action| self.denies(action))
    }
}
