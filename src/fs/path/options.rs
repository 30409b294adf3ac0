//! What is served, and what is to be done with doubtful wishes.

use std::path::PathBuf;
use std::time::Duration;

use crate::cache::CacheOptions;
use crate::spool::IntakeOptions;

/// See the module.
#[derive(Debug, Clone)]
pub struct PathOptions {
    pub directory: PathBuf,
    /// DELETE of a folder takes along what no path can show.
    pub delete_hidden: bool,
    /// What Amazon S3 Files keeps as lost is shown as a folder.
    pub show_conflicts: bool,
    /// On Amazon S3 Files: from a write to the first look whether it is exported.
    pub export_wait: Duration,
    pub cache: CacheOptions,
    /// How bodies wait for the disk.
    pub intake: IntakeOptions,
}

impl PathOptions {
    /// With the defaults.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            delete_hidden: false,
            show_conflicts: false,
            export_wait: DEFAULT_EXPORT_WAIT,
            cache: CacheOptions::default(),
            intake: IntakeOptions::default(),
        }
    }
}

/// Amazon S3 Files exports a file a minute after its last write; before, there is nothing to be seen.
pub const DEFAULT_EXPORT_WAIT: Duration = Duration::from_secs(70);
