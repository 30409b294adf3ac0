//! Directories that backups leave out.

use std::io;
use std::path::Path;

use rustix::fs::{XattrFlags, setxattr};

/// Has programs that make backups leave `directory` out: Time Machine, and on Linux those that know the attribute of
/// freedesktop.org. Fails where the file system has no extended attributes.
pub(super) fn exclude(directory: &Path) -> io::Result<()> {
    Ok(setxattr(directory, ATTRIBUTE, VALUE, XattrFlags::empty())?)
}

#[cfg(target_os = "macos")]
const ATTRIBUTE: &str = "com.apple.metadata:com_apple_backup_excludeItem";
/// As `tmutil addexclusion` writes it: the text `com.apple.backupd`, as a binary property list.
#[cfg(target_os = "macos")]
const VALUE: &[u8] = b"bplist00_\x10\x11com.apple.backupd\x08\0\0\0\0\0\0\x01\x01\0\0\0\0\0\0\0\x01\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x1c";
#[cfg(not(target_os = "macos"))]
const ATTRIBUTE: &str = "user.xdg.robots.backup";
#[cfg(not(target_os = "macos"))]
const VALUE: &[u8] = b"false";
