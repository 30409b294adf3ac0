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
    /// The file system's access point, itself.
    AccessPoint,
    /// The rules of EventBridge that S3 Files makes of its own.
    OwnRules,
    AllRules,
    /// Nothing smaller can be named.
    Everything,
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
    write(
        "s3:ListMultipartUploadParts",
        On::Objects,
        "WriteFiles",
        "to go on with a large upload after a crash, a stop or an outage, instead of sending all of it again",
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

/// For what mounts the file system, beside [`FILE_SYSTEM`]: to find the mount target, and to read large files from S3
/// itself, which is faster, and costs nothing of the file system.
pub const MOUNT_HELPER: &[Grant] = &[
    read("s3files:ListMountTargets", On::FileSystem, "FindMountTarget", "to find the address to mount from"),
    read("s3files:GetAccessPoint", On::AccessPoint, "SeeAccessPoint", "to mount through the access point"),
    read("s3:GetObject", On::Objects, "ReadFromBucket", "to read large files from S3 itself"),
    read("s3:GetObjectVersion", On::Objects, "ReadFromBucket", "to read them as the file system knows them"),
    read("s3:ListBucket", On::Listings, "ListForReads", "to tell what is missing from what is forbidden"),
];

/// For S3 Files itself, by the role that keeps file system and bucket the same.
pub const SERVICE: &[Grant] = &[
    read("s3:ListBucket", On::Bucket, "ListBucket", "to find what is in the bucket"),
    read("s3:ListBucketVersions", On::Bucket, "ListBucket", "to know which version is the newest"),
    write("s3:AbortMultipartUpload", On::Objects, "SyncObjects", "to leave no parts of an export"),
    write("s3:DeleteObject*", On::Objects, "SyncObjects", "to export what was deleted"),
    read("s3:GetObject*", On::Objects, "SyncObjects", "to import what is read"),
    read("s3:List*", On::Objects, "SyncObjects", "to see the parts of an export"),
    write("s3:PutObject*", On::Objects, "SyncObjects", "to export what was written"),
    read("events:DeleteRule", On::OwnRules, "WatchBucket", "to be told of changes of the bucket"),
    read("events:DisableRule", On::OwnRules, "WatchBucket", "the same"),
    read("events:EnableRule", On::OwnRules, "WatchBucket", "the same"),
    read("events:PutRule", On::OwnRules, "WatchBucket", "the same"),
    read("events:PutTargets", On::OwnRules, "WatchBucket", "the same"),
    read("events:RemoveTargets", On::OwnRules, "WatchBucket", "the same"),
    read("events:DescribeRule", On::AllRules, "SeeRules", "to find its rule again"),
    read("events:ListRuleNamesByTarget", On::AllRules, "SeeRules", "the same"),
    read("events:ListRules", On::AllRules, "SeeRules", "the same"),
    read("events:ListTargetsByRule", On::AllRules, "SeeRules", "the same"),
];

/// For a task that is reached by sessions of SSM.
pub const SESSIONS: &[Grant] = &[
    read("ssmmessages:CreateControlChannel", On::Everything, "HoldSessions", "to be reached by a session"),
    read("ssmmessages:CreateDataChannel", On::Everything, "HoldSessions", "the same"),
    read("ssmmessages:OpenControlChannel", On::Everything, "HoldSessions", "the same"),
    read("ssmmessages:OpenDataChannel", On::Everything, "HoldSessions", "the same"),
];
