//! What AWS must allow: one table, from which `s3dav iam-policy` and `docs/IAM.md` come.
//!
//! [`table`] says which actions there are, and for what each is needed; a test takes each of them away, and sees
//! that fail. [`policy`] makes the document for a bucket or a file system of it, [`trust`] the one that says who may
//! take the role.

mod arn;
mod document;
mod policy;
mod table;
mod trust;

pub use arn::{Arn, IamError, partition_of};
pub use document::Document;
pub use policy::{BucketPart, FileSystemPart, of_bucket, of_file_system};
pub use table::{BUCKET, FILE_SYSTEM, Grant};
pub use trust::{Names, Trust, trust};
