//! What is at a path.

use std::io;
use std::time::{Duration, SystemTime};

use cap_std::fs::{Metadata, MetadataExt};

use crate::fs::file_system::Meta;
use crate::object::ETag;

/// A file or a folder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stat {
    pub(super) is_folder: bool,
    /// Bytes; 0 for folders.
    pub(super) size: u64,
    /// The file's own modification time.
    pub(super) modified: SystemTime,
    /// When anything of it last changed, nanoseconds since 1970.
    changed: i128,
    /// Inode, size, and both times in nanoseconds: another version has another one.
    pub(super) etag: ETag,
    pub(super) mode: u32,
    /// Device and inode: what the file is, whatever its names.
    pub(super) identity: (u64, u64),
    /// User and group.
    pub(super) owner: (u32, u32),
    /// Names that it has.
    pub(super) links: u64,
}

impl Stat {
    /// `None` for what is neither a file nor a folder: devices, pipes, sockets.
    pub(super) fn of(meta: &Metadata) -> Option<Self> {
        if !meta.is_dir() && !meta.is_file() {
            return None;
        }
        let size = if meta.is_dir() { 0 } else { meta.len() };
        let modified = nanoseconds(meta.mtime(), meta.mtime_nsec());
        let changed = nanoseconds(meta.ctime(), meta.ctime_nsec());
        Some(Self {
            is_folder: meta.is_dir(),
            size,
            modified: showable(modified),
            changed,
            etag: ETag::new(format!("{:x}-{size:x}-{modified:x}-{changed:x}", meta.ino())),
            // Never a right that comes with another owner (setuid).
            mode: meta.mode() & 0o777,
            identity: (meta.dev(), meta.ino()),
            owner: (meta.uid(), meta.gid()),
            links: meta.nlink(),
        })
    }

    pub(super) fn meta(&self) -> Meta {
        Meta {
            is_folder: self.is_folder,
            size: self.size,
            etag: (!self.is_folder).then(|| self.etag.clone()),
            modified: self.modified,
        }
    }

    /// When anything of it last changed.
    pub(super) fn last_change(&self) -> SystemTime {
        showable(self.changed)
    }

    /// Whether two changes of the file may still look the same: clocks of file systems tick slowly.
    pub(super) fn is_fresh(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        now.as_nanos().cast_signed() - self.changed < SLOWEST_TICK.as_nanos().cast_signed()
    }

    /// Whether this is the version that `etag` told of, as far as its content goes: a program that
    /// renames it or changes its rights meanwhile changes nothing that could be lost.
    pub(super) fn has_content_as(&self, etag: &ETag) -> bool {
        let content = |etag: &ETag| Some(etag.unquoted().rsplit_once('-')?.0.to_owned());
        content(&self.etag) == content(etag)
    }

    /// Whether what was read since `before` is one version's, as far as can be told. A program can set back the
    /// date of what it has written, but not that of the last change of anything. This one moves with rights,
    /// owners and names, too; a rename is known by what is `there` now, at the file's own name.
    pub(super) fn has_content_of(
        &self,
        before: &Self,
        there: impl FnOnce() -> io::Result<Option<Self>>,
    ) -> io::Result<bool> {
        if (self.size, self.modified) != (before.size, before.modified) {
            return Ok(false);
        }
        let beside = |stat: &Self| (stat.mode, stat.owner, stat.links);
        if self.changed == before.changed || beside(self) != beside(before) {
            return Ok(true);
        }
        Ok(there()?.is_none_or(|there| there.identity != self.identity))
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

/// A time that HTTP can write, and any client read: 1970 to 2106.
fn showable(nanoseconds: i128) -> SystemTime {
    let seconds = (nanoseconds / 1_000_000_000).clamp(0, LATEST.into());
    let rest = if nanoseconds < 0 { 0 } else { (nanoseconds % 1_000_000_000) as u32 };
    // Clamped: not negative, and within range.
    SystemTime::UNIX_EPOCH + Duration::new(seconds as u64, rest)
}

/// The last second that fits 32 bits.
const LATEST: u32 = u32::MAX;
/// NFS servers and old file systems give whole seconds.
const SLOWEST_TICK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_http_cannot_write_are_moved_to_the_nearest() {
        assert_eq!(showable(-5), SystemTime::UNIX_EPOCH);
        assert_eq!(showable(1_500_000_000), SystemTime::UNIX_EPOCH + Duration::from_millis(1500));
        let late = showable(i128::from(i64::MAX) * 1_000_000_000);
        assert!(httpdate::fmt_http_date(late).contains("2106"));
    }
}
