//! What AWS must allow: one table, from which `s3dav iam-policy` and `docs/IAM.md` come.
//!
//! [`table`] says which actions there are, and for what each is needed; a test takes each of them away, and sees
//! that fail. [`policy`] makes the document for a bucket or a file system of it, [`trust`] the one that says who may
//! take the role. The roles of the stack of `s3dav stack` are of the same tables, which a test holds against its
//! template; [`deploy`] says what its caller needs.

mod arn;
mod deploy;
mod document;
mod policy;
mod table;
mod trust;

pub use arn::{Arn, IamError, partition_of};
pub use deploy::of_deployer;
pub use document::Document;
pub use policy::{BucketPart, FileSystemPart, of_bucket, of_client, of_file_system, of_service, of_sessions};
pub use table::{BUCKET, FILE_SYSTEM, Grant};
pub use trust::{Names, Trust, trust};
