//! What the kernel has of an open file in memory is read at once, by the thread that sends it: to hand that to another
//! thread and to be woken again costs more than the work.
//!
//! Nothing here waits. Only file systems of this machine are asked, none that a network or a program is behind, and
//! a file is read only as far as it is in memory (`RWF_NOWAIT`). `None` means "not at once" and tells nothing else:
//! then a thread that may wait is asked, see [`super::disk`]. Names are always looked up there.

use std::io;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use cap_std::fs::{Dir, File};
use parking_lot::Mutex;

use super::stat::Stat;

/// A file system that never waits for anything but this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "no other system promises not to wait"))]
pub(super) enum Local {
    Disk,
    /// All of it is there, as this program is.
    Memory,
}

#[cfg(target_os = "linux")]
impl Local {
    /// Blocks.
    pub(super) fn of(folder: &Dir) -> Option<Self> {
        match rustix::fs::fstatfs(folder).ok()?.f_type {
            EXT | XFS | BTRFS => Some(Self::Disk),
            TMPFS => Some(Self::Memory),
            _ => None,
        }
    }

    /// Reads from the byte `start` on what is there; at least one byte.
    fn read(self, file: &File, space: &mut [u8], start: u64) -> Option<usize> {
        use rustix::io::{ReadWriteFlags, pread, preadv2};
        let count = match self {
            Self::Disk => {
                let mut slices = [std::io::IoSliceMut::new(space)];
                preadv2(file, &mut slices, start, ReadWriteFlags::NOWAIT)
            }
            Self::Memory => pread(file, space, start),
        };
        count.ok().filter(|count| *count > 0)
    }
}

#[cfg(not(target_os = "linux"))]
impl Local {
    pub(super) fn of(_: &Dir) -> Option<Self> {
        None
    }

    fn read(self, _: &File, _: &mut [u8], _: u64) -> Option<usize> {
        None
    }
}

/// What was read from the byte `start` on, one byte or up to `most`, of the version that `seen` tells of; and the
/// file as it was then.
pub(super) fn piece_at_once(
    (file, local): (&File, Local),
    buffers: &Buffers,
    seen: &Stat,
    start: u64,
    most: u64,
) -> Option<(Bytes, Stat)> {
    let wanted = most.min(BUFFER as u64) as usize;
    let mut buffer = buffers.take(wanted);
    let count = local.read(file, &mut buffer.bytes[..wanted], start)?;
    // To look at its name as well may take longer.
    let there = || Err(io::ErrorKind::WouldBlock.into());
    let now = Stat::of(&file.metadata().ok()?)?;
    let is_same = now.has_content_of(seen, there).unwrap_or(false);
    is_same.then(|| (Bytes::from_owner(buffer).slice(..count), now))
}

/// Memory for pieces, used again: what has just been written and read is in the processor's own.
#[derive(Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// At least `size` bytes, up to [`BUFFER`].
    fn take(&self, size: usize) -> Buffer {
        if size <= SMALL {
            return Buffer { bytes: vec![0; size], home: Weak::new() };
        }
        let bytes = self.0.lock().pop().unwrap_or_else(|| vec![0; BUFFER]);
        Buffer { bytes, home: Arc::downgrade(&self.0) }
    }
}

/// A buffer that comes back when the last byte of it has been sent.
struct Buffer {
    bytes: Vec<u8>,
    home: Weak<Mutex<Vec<Vec<u8>>>>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.upgrade() else { return };
        let mut kept = home.lock();
        if kept.len() < KEPT {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Bytes of a piece: a few of them fit in a processor's second-level cache.
const BUFFER: usize = 256 << 10;
/// Bytes. Less is not worth a buffer, which a slow client would hold.
const SMALL: usize = 64 << 10;
/// Buffers that wait for use: 4 MiB, enough for sixteen downloads that run.
const KEPT: usize = 16;

#[cfg(target_os = "linux")]
const EXT: rustix::fs::FsWord = 0xEF53;
#[cfg(target_os = "linux")]
const XFS: rustix::fs::FsWord = 0x5846_5342;
#[cfg(target_os = "linux")]
const BTRFS: rustix::fs::FsWord = 0x9123_683E;
#[cfg(target_os = "linux")]
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;

    use super::super::root::Root;
    use super::*;

    /// A file in memory, which is never too slow for this, and how it is.
    fn in_memory(content: &str) -> (tempfile::TempDir, File, Stat) {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::write(directory.path().join("file"), content).unwrap();
        let (file, stat) = Root::open(directory.path()).unwrap().file("file").unwrap();
        (directory, file, stat)
    }

    #[test]
    fn a_directory_in_memory_is_local() {
        let (directory, ..) = in_memory("");
        let folder = Dir::open_ambient_dir(directory.path(), cap_std::ambient_authority()).unwrap();
        assert_eq!(Local::of(&folder), Some(Local::Memory));
        let of_the_kernel = Dir::open_ambient_dir("/proc", cap_std::ambient_authority()).unwrap();
        assert_eq!(Local::of(&of_the_kernel), None);
    }

    #[test]
    fn a_piece_is_what_is_there() {
        let (_directory, file, stat) = in_memory("12345");
        let piece =
            |start, most| piece_at_once((&file, Local::Memory), &Buffers::default(), &stat, start, most);
        assert_eq!(piece(1, 3).unwrap(), ("234".into(), stat.clone()));
        assert_eq!(piece(3, 9).unwrap().0, "45");
        assert!(piece(5, 1).is_none(), "nothing is there");
    }

    #[test]
    fn a_piece_of_another_version_is_none() {
        let (directory, file, stat) = in_memory("12345");
        fs::write(directory.path().join("file"), "123456").unwrap();
        assert!(piece_at_once((&file, Local::Memory), &Buffers::default(), &stat, 0, 5).is_none());
    }

    #[test]
    fn buffers_come_back_when_the_last_byte_has_gone() {
        let buffers = Buffers::default();
        let kept = || buffers.0.lock().len();
        let bytes = Bytes::from_owner(buffers.take(BUFFER));
        let part = bytes.slice(5..);
        drop(bytes);
        assert_eq!(kept(), 0);
        drop(part);
        assert_eq!(kept(), 1);
        drop(buffers.take(BUFFER));
        assert_eq!(kept(), 1, "it is used again");
        let many: Vec<_> = (0..KEPT + 3).map(|_| buffers.take(BUFFER)).collect();
        drop(many);
        drop(buffers.take(SMALL));
        assert_eq!(kept(), KEPT);
    }
}
