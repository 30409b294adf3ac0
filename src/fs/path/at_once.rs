//! What the kernel has cached is had at once, by the thread that sends it: to hand that to another thread and to be woken again
//! costs more than the work.
//!
//! Nothing here waits. Only file systems of this machine are asked, none that a network or a program is behind; names
//! are looked up (`RESOLVE_CACHED`) and files read (`RWF_NOWAIT`) only as far as they are cached. `None` means "not
//! at once" and tells nothing else: then a thread that may wait is asked, see [`super::disk`]. On a file system in memory
//! (tmpfs) small files are written so, too: see [`super::placing`].
//!
//! What can still hold a call up is this machine's own: a virus scanner that is asked before a file is opened (fanotify);
//! memory that was swapped out, or has to be made free; and this machine's NFS server, where a client of it has the file that
//! is replaced on loan (a delegation).

use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use cap_std::fs::{Dir, File, Metadata};
use parking_lot::Mutex;

use super::stat::Stat;

/// A file system that never waits for anything but this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Local {
    kind: Kind,
    /// Others may be mounted below it.
    device: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "no other system promises not to wait"))]
enum Kind {
    Disk,
    /// All of it is there, as this program is.
    Memory,
}

impl Local {
    /// Blocks.
    pub(super) fn of(folder: &Dir) -> Option<Self> {
        let kind = system::kind_of(folder)?;
        let device = Stat::of(&folder.dir_metadata().ok()?)?.identity.0;
        Some(Self { kind, device })
    }

    /// Whether it holds the file or folder that `stat` tells of.
    pub(super) fn holds(self, stat: &Stat) -> bool {
        stat.identity.0 == self.device
    }

    /// The file or folder at `path` below `folder`, no link on the way.
    pub(super) fn find(self, folder: &Dir, path: &str) -> Option<Stat> {
        let place = system::open(folder, path, system::Wanted::DirEntry)?;
        Stat::of(&Metadata::from_file(&place).ok()?)
    }

    /// Whether no write waits for a disk.
    pub(super) fn is_memory(self) -> bool {
        self.kind == Kind::Memory
    }

    /// Opens the folder at `path` below `folder`, no link on the way, if all of it is in memory.
    pub(super) fn open_in_memory(self, folder: &Dir, path: &str) -> Option<Dir> {
        if !self.is_memory() {
            return None;
        }
        Some(Dir::from_std_file(system::open(folder, path, system::Wanted::Folder)?))
    }

    /// Whether nothing leads on from `name` in a folder in memory, or nothing is there.
    pub(super) fn ends_at(folder: &Dir, name: &OsStr) -> bool {
        system::ends_at(folder, name)
    }

    /// Opens the file at `path` below `folder`, no link on the way; never waits for the other end of a pipe.
    pub(super) fn open(self, folder: &Dir, path: &str) -> Option<(File, Stat)> {
        // Opening a pipe would let whoever waits at its other end go on.
        self.find(folder, path).filter(|stat| !stat.is_folder)?;
        let file = system::open(folder, path, system::Wanted::Content)?;
        let stat = Stat::of(&Metadata::from_file(&file).ok()?).filter(|stat| !stat.is_folder)?;
        Some((File::from_std(file), stat))
    }
}

/// What the system does at once.
#[cfg(target_os = "linux")]
mod system {
    use cap_std::fs::{Dir, File};
    use rustix::fs::{Mode, OFlags, ResolveFlags, fstatfs, openat2};
    use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};

    use super::{Kind, OsStr};

    /// What a file is opened for.
    pub(super) enum Wanted {
        /// To see what it is; it is not touched.
        DirEntry,
        Folder,
        Content,
    }

    pub(super) fn kind_of(folder: &Dir) -> Option<Kind> {
        match fstatfs(folder).ok()?.f_type {
            EXT | XFS | BTRFS => Some(Kind::Disk),
            TMPFS => Some(Kind::Memory),
            _ => None,
        }
    }

    pub(super) fn open(folder: &Dir, path: &str, wanted: Wanted) -> Option<std::fs::File> {
        let flags = match wanted {
            Wanted::DirEntry => OFlags::PATH,
            Wanted::Folder => OFlags::PATH | OFlags::DIRECTORY,
            Wanted::Content => OFlags::RDONLY | OFlags::NONBLOCK,
        };
        let resolve =
            ResolveFlags::CACHED | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        openat2(folder, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve).ok().map(Into::into)
    }

    pub(super) fn ends_at(folder: &Dir, name: &OsStr) -> bool {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let found = openat2(folder, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
        matches!(found, Ok(_) | Err(Errno::NOENT))
    }

    /// Reads from the byte `start` on what is there; at least one byte.
    pub(super) fn read(kind: Kind, file: &File, space: &mut [u8], start: u64) -> Option<usize> {
        let count = match kind {
            Kind::Disk => {
                preadv2(file, &mut [std::io::IoSliceMut::new(space)], start, ReadWriteFlags::NOWAIT)
            }
            Kind::Memory => pread(file, space, start),
        };
        count.ok().filter(|count| *count > 0)
    }

    const EXT: rustix::fs::FsWord = 0xEF53;
    const XFS: rustix::fs::FsWord = 0x5846_5342;
    const BTRFS: rustix::fs::FsWord = 0x9123_683E;
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
}

/// No other system promises not to wait.
#[cfg(not(target_os = "linux"))]
mod system {
    use cap_std::fs::{Dir, File};

    use super::{Kind, OsStr};

    pub(super) enum Wanted {
        DirEntry,
        Folder,
        Content,
    }

    pub(super) fn kind_of(_: &Dir) -> Option<Kind> {
        None
    }

    pub(super) fn open(_: &Dir, _: &str, _: Wanted) -> Option<std::fs::File> {
        None
    }

    pub(super) fn ends_at(_: &Dir, _: &OsStr) -> bool {
        false
    }

    pub(super) fn read(_: Kind, _: &File, _: &mut [u8], _: u64) -> Option<usize> {
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
    let count = system::read(local.kind, file, &mut buffer.space()[..wanted], start)?;
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
    /// At least `size` bytes, of which [`BUFFER`] is the most that may be asked for.
    fn take(&self, size: usize) -> Buffer {
        if size <= SMALL {
            return Buffer { bytes: vec![0; size], start: 0, home: Weak::new() };
        }
        let bytes = self.0.lock().pop().unwrap_or_else(|| vec![0; BUFFER + PAGE]);
        let start = bytes.as_ptr().align_offset(PAGE);
        Buffer { bytes, start, home: Arc::downgrade(&self.0) }
    }
}

/// A buffer that comes back when the last byte of it has been sent.
struct Buffer {
    bytes: Vec<u8>,
    /// Where its first whole page begins.
    start: usize,
    home: Weak<Mutex<Vec<Vec<u8>>>>,
}

impl Buffer {
    fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..]
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

/// Bytes of a piece: it fits in most processors' second-level cache, and the client is woken less often than by smaller ones.
const BUFFER: usize = 512 << 10;
/// Bytes. Processors copy between whole pages faster.
const PAGE: usize = 4096;
/// Bytes. Less is not worth a buffer, which a slow client would hold, nor another thread.
pub(super) const SMALL: usize = 64 << 10;
/// Buffers that wait for use: 4 MiB, enough for eight downloads that run.
const KEPT: usize = 8;

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

    fn folder(path: impl AsRef<std::path::Path>) -> Dir {
        Dir::open_ambient_dir(path, cap_std::ambient_authority()).unwrap()
    }

    /// The file system in memory.
    fn memory() -> Local {
        Local::of(&folder("/dev/shm")).unwrap()
    }

    #[test]
    fn a_directory_in_memory_is_local() {
        assert_eq!(memory().kind, Kind::Memory);
        assert_eq!(Local::of(&folder("/proc")), None);
    }

    #[test]
    fn what_is_mounted_below_is_another_file_system() {
        let (.., stat) = in_memory("");
        assert!(memory().holds(&stat));
        let of_the_kernel = folder("/proc").metadata("version").unwrap();
        assert!(!memory().holds(&Stat::of(&of_the_kernel).unwrap()));
        let devices = folder("/dev");
        assert!(Local::of(&devices).is_none_or(|local| local.find(&devices, "shm").is_none()));
    }

    #[test]
    fn files_and_folders_are_found() {
        let (directory, _, stat) = in_memory("12345");
        let root = folder(directory.path());
        root.create_dir("folder").unwrap();
        root.write("folder/inner", "").unwrap();
        assert_eq!(memory().find(&root, "file"), Some(stat.clone()));
        assert_eq!(memory().open(&root, "file").unwrap().1, stat);
        assert!(memory().find(&root, ".").unwrap().is_folder);
        assert!(memory().find(&root, "folder").unwrap().is_folder);
        assert!(memory().open(&root, "folder/inner").is_some());
        assert!(memory().open(&root, "folder").is_none());
        assert_eq!(memory().find(&root, "none"), None);
    }

    #[test]
    fn what_may_lead_elsewhere_or_wait_is_left_to_others() {
        let (directory, ..) = in_memory("12345");
        let root = folder(directory.path());
        std::os::unix::fs::symlink("file", directory.path().join("link")).unwrap();
        std::os::unix::fs::symlink(".", directory.path().join("here")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(&root, "pipe", rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for path in ["link", "here/file", "../file", "/etc/passwd", "pipe"] {
            assert_eq!(memory().find(&root, path), None, "{path}");
            assert!(memory().open(&root, path).is_none(), "{path}");
        }
        assert!(memory().open_in_memory(&root, "here").is_none());
        assert!(memory().open_in_memory(&root, ".").is_some());
        assert!(memory().open_in_memory(&folder("/dev"), "shm").is_none(), "it is mounted there");
        let ends_at = |folder: &Dir, name: &str| Local::ends_at(folder, name.as_ref());
        assert!(!ends_at(&root, "link") && !ends_at(&folder("/dev"), "shm"));
        assert!(ends_at(&root, "file") && ends_at(&root, "none"));
    }

    #[test]
    fn a_piece_is_what_is_there() {
        let (_directory, file, stat) = in_memory("12345");
        let piece = |start, most| piece_at_once((&file, memory()), &Buffers::default(), &stat, start, most);
        assert_eq!(piece(1, 3).unwrap(), ("234".into(), stat.clone()));
        assert_eq!(piece(3, 9).unwrap().0, "45");
        assert!(piece(5, 1).is_none(), "nothing is there");
    }

    #[test]
    fn a_piece_of_another_version_is_none() {
        let (directory, file, stat) = in_memory("12345");
        fs::write(directory.path().join("file"), "123456").unwrap();
        assert!(piece_at_once((&file, memory()), &Buffers::default(), &stat, 0, 5).is_none());
    }

    #[test]
    fn buffers_come_back_when_the_last_byte_has_gone() {
        let buffers = Buffers::default();
        let kept = || buffers.0.lock().len();
        let bytes = Bytes::from_owner(buffers.take(BUFFER));
        assert!(bytes.len() >= BUFFER && bytes.as_ptr().align_offset(PAGE) == 0);
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
