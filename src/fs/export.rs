//! How far a file is on its way into the bucket, where what is served is Amazon S3 Files: what is written there is
//! safe at once, and an object of the bucket after a minute without writes, or never.

use std::fmt;
use std::time::Duration;

/// What the file system tells of one file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportStatus {
    pub state: ExportState,
    /// The object, as `s3://bucket/key`; `None` where none has ever been linked to it.
    pub key: Option<String>,
    /// Why there will be none, in the word of S3 Files.
    pub error: Option<String>,
    /// Where a file lay that lost against a change in the bucket.
    pub original: Option<String>,
}

/// See [`ExportStatus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportState {
    /// It will be exported, or is being.
    Pending,
    /// The object is linked, and nothing has changed since, as far as is told.
    Exported,
    /// Nothing is tried any more: others are retried, and told as pending.
    Failed,
}

impl fmt::Display for ExportState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Exported => "exported",
            Self::Failed => "failed",
        })
    }
}

impl ExportStatus {
    /// Reads the attribute of S3 Files: lines of `Name: value`. `unchanged`: for how long the file has been as it
    /// is, since the attribute does not tell a change that waits of a file that has an object already.
    pub fn read(text: &str, unchanged: Duration) -> Self {
        let value = |name: &str| {
            let line = |line: &str| {
                Some(line.split_once(':').filter(|(n, _)| n.trim() == name)?.1.trim().to_owned())
            };
            text.lines().find_map(line).filter(|value| !value.is_empty())
        };
        let (key, error) = (value("S3Key"), value("ExportError"));
        let state = match (&error, &key) {
            (Some(_), _) => ExportState::Failed,
            (None, Some(_)) if unchanged >= QUIET => ExportState::Exported,
            (None, _) => ExportState::Pending,
        };
        Self { state, key, error, original: value("FilePath") }
    }
}

/// What to do about an export that failed, by the word of S3 Files.
pub fn export_hint(error: &str) -> &'static str {
    match error {
        "S3AccessDenied" => "allow the role of the file system to write to the bucket",
        "RoleAssumptionFailed" => {
            "allow Amazon S3 Files to assume the role of the file system: see its trust policy"
        }
        "EncryptionKeyInaccessible" => {
            "enable the bucket's KMS key, and allow the role of the file system to use it"
        }
        "S3BucketNotFound" => "the bucket is gone, or has another name",
        "PathTooLong" | "KeyTooLongToBreakCycle" => {
            "shorten the names on its path: a key has 1024 bytes at most"
        }
        "S3UserMetadataTooLarge" => "the object has too much user metadata (2 KB at most): remove some",
        "FileSizeExceedsS3Limit" => "the file is larger than an object can be: split it",
        "S3ObjectArchived" => "the object is archived (Glacier): restore it, and save the file again",
        "DependencyExportFailed" => {
            "a folder above it failed, or another file that must be exported first: check those"
        }
        _ => "save the file again; if that does not help, ask AWS Support",
    }
}

/// S3 Files exports what has not been written to for so long.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attribute_is_read() {
        let old = QUIET;
        let read = ExportStatus::read("S3Key: s3://bucket/prefix/a: b.txt\nExportError: PathTooLong\n", old);
        assert_eq!((read.state, read.error.as_deref()), (ExportState::Failed, Some("PathTooLong")));
        assert_eq!(read.key.as_deref(), Some("s3://bucket/prefix/a: b.txt"));
        let read = ExportStatus::read("S3Key: s3://bucket/report.csv\nFilePath: /data/report.csv", old);
        assert_eq!((read.state, read.original.as_deref()), (ExportState::Exported, Some("/data/report.csv")));
        for (text, unchanged) in
            [("S3Key: \n", old), ("", old), ("S3Key: s3://b/k", QUIET - Duration::from_secs(1))]
        {
            assert_eq!(ExportStatus::read(text, unchanged).state, ExportState::Pending, "{text:?}");
        }
    }
}
