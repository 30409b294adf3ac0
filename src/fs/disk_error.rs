//! Why a disk does not do what is wanted, by its meaning for whoever asked.

use std::io;

use rustix::io::Errno;

use super::resource_path::MAX_SEGMENTS;

/// Why the disk did not do what was wanted.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("access is denied: {0}")]
    Denied(io::Error),
    #[error("the disk cannot be written: {0}")]
    ReadOnly(io::Error),
    #[error("the disk is full, or the quota is used up: {0}")]
    Full(io::Error),
    #[error("another program is using it: {0}")]
    Busy(io::Error),
    #[error(
        "it cannot be read or written: {0}; on Amazon S3 Files the object may be archived (Glacier): restore \
         it first"
    )]
    Broken(io::Error),
    #[error("the disk does not answer")]
    Hung,
    #[error("it kept being replaced on the server: {0}")]
    Stale(io::Error),
    #[error("the file changed while it was read")]
    ChangedWhileRead,
    #[error("the folder has more than {MAX_SEGMENTS} levels, which no path can name")]
    TooDeep,
    #[error(transparent)]
    Other(io::Error),
}

impl DiskError {
    /// Whether what was to be renamed lies on another file system.
    pub(super) fn is_other_device(&self) -> bool {
        matches!(self, Self::Other(error) if Errno::from_io_error(error) == Some(Errno::XDEV))
    }
}
