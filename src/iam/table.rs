//! The actions, and for what each is needed.

/// An action that must be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub action: &'static str,
    /// On what.
    pub(super) on: On,
    /// Not needed where nothing is written.
    pub is_write: bool,
    /// The statement that it belongs to; those of one are neighbours.
    pub(super) sid: &'static str,
    /// What cannot be done without it, as `docs/IAM.md` says it.
    pub why: &'static str,
}

/// What an action is allowed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// What of the bucket is listed: all, or what lies below a prefix.
    Listings,
    /// The bucket as a whole; no prefix can be named for these.
    Bucket,
    Objects,
    /// The KMS key of the bucket, if it has one.
    Key,
    FileSystem,
}

const fn read(action: &'static str, on: On, sid: &'static str, why: &'static str) -> Grant {
    Grant { action, on, is_write: false, sid, why }
}

const fn write(action: &'static str, on: On, sid: &'static str, why: &'static str) -> Grant {
    Grant { action, on, is_write: true, sid, why }
}

/// For a bucket.
pub const BUCKET: &[Grant] = &[
    read(
        "s3:ListBucket",
        On::Listings,
        "ListFolders",
        "to start, to show folders, and to tell a file that is missing from one that is forbidden",
    ),
    read(
        "s3:GetObject",
        On::Objects,
        "ReadFiles",
        "to read and copy files, and to replace or delete them only as they were last seen",
    ),
    write("s3:PutObject", On::Objects, "WriteFiles", "to write, copy and move files, and to make folders"),
    write("s3:DeleteObject", On::Objects, "WriteFiles", "to delete and move files and folders"),
    write(
        "s3:AbortMultipartUpload",
        On::Objects,
        "WriteFiles",
        "to leave no parts of an upload that breaks off, which would be paid for",
    ),
    write("s3:GetObjectTagging", On::Objects, "WriteFiles", "to copy and move files that have tags"),
    write("s3:PutObjectTagging", On::Objects, "WriteFiles", "to give the copies the same tags"),
    write(
        "s3:ListBucketMultipartUploads",
        On::Bucket,
        "FindUploads",
        "to find and abort an upload after a crash, if its id never came back",
    ),
    read("kms:Decrypt", On::Key, "UseKey", "to read and copy encrypted files, and to write them in parts"),
    write("kms:GenerateDataKey", On::Key, "UseKey", "to write, copy and move encrypted files"),
];

/// For a file system of Amazon S3 Files.
pub const FILE_SYSTEM: &[Grant] = &[
    read("s3files:ClientMount", On::FileSystem, "UseFileSystem", "to mount the file system and read it"),
    write("s3files:ClientWrite", On::FileSystem, "UseFileSystem", "to write to it"),
];
