//! The directory that is served, and the only way into it.
//!
//! Every path is resolved from here by the capability-based calls of cap-std: symbolic links are
//! followed as long as they stay inside, and nothing that happens meanwhile leads out. All of this
//! blocks; see [`super::disk`].

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use parking_lot::RwLock;
use rustix::fs::{Access, AtFlags, Mode, OFlags, RawMode, RenameFlags};
use rustix::io::Errno;

use super::at_once::Local;
use super::known_names::KnownNames;
use super::stat::Stat;
use crate::object::parent_prefix;

/// See the module.
#[derive(Debug)]
pub(super) struct Root {
    at: PathBuf,
    open: RwLock<Top>,
    names: KnownNames,
}

/// The directory itself, open.
#[derive(Debug, Clone)]
struct Top {
    folder: Arc<Dir>,
    local: Option<Local>,
}

/// What a key leads to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) stat: Stat,
    /// The key itself names a symbolic link.
    pub(super) is_link: bool,
}

/// A name in a folder that is open.
#[derive(Debug, Clone)]
pub(super) struct DirEntry {
    pub(super) folder: Arc<Dir>,
    pub(super) name: OsString,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { at: path.to_owned(), open: RwLock::new(open(path)?), names: KnownNames::default() })
    }

    /// Does something by path; once more, from the root itself on, if the server replaced what the path
    /// led to meanwhile.
    fn by_path<T>(&self, work: impl Fn(&Dir) -> io::Result<T>) -> io::Result<T> {
        let root = Arc::clone(&self.open.read().folder);
        match work(&root) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::STALE) => {
                let top = open(&self.at)?;
                *self.open.write() = top.clone();
                work(&top.folder)
            }
            done => done,
        }
    }

    /// The file system of a file, if nothing but this machine is behind it.
    pub(super) fn local(&self, stat: &Stat) -> Option<Local> {
        self.open.read().local.filter(|local| local.holds(stat))
    }

    pub(super) fn is_local(&self) -> bool {
        self.open.read().local.is_some()
    }

    /// Whether all of it is in this machine's memory, but for what others may be mounted below it.
    pub(super) fn is_in_memory(&self) -> bool {
        self.open.read().local.is_some_and(Local::is_memory)
    }

    /// The place of `key`, which is not the root, if it is in this machine's memory, and its folder can be opened without waiting:
    /// it is no link, and nothing is mounted there.
    pub(super) fn place_in_memory(&self, key: &str) -> Option<DirEntry> {
        let top = self.open.read();
        let folder = top.local?.open_in_memory(&top.folder, path(parent_prefix(key)))?;
        let place = DirEntry { folder: Arc::new(folder), name: name_of(key) };
        Local::ends_at(&place.folder, &place.name).then_some(place)
    }

    /// What `key` leads to, if that can be told without waiting; see [`super::at_once`].
    pub(super) fn find_at_once(&self, key: &str) -> Option<Stat> {
        let top = self.open.read();
        top.local?.find(&top.folder, path(key))
    }

    /// Opens a file, if that can be done without waiting; see [`super::at_once`].
    pub(super) fn file_at_once(&self, key: &str) -> Option<(File, Stat)> {
        let top = self.open.read();
        top.local?.open(&top.folder, path(key))
    }

    /// What `key` leads to, if it is a file or a folder.
    pub(super) fn find(&self, key: &str) -> io::Result<Option<Found>> {
        let found = self.by_path(|root| {
            let own = root.symlink_metadata(path(key))?;
            if own.is_symlink() { Ok((root.metadata(path(key))?, true)) } else { Ok((own, false)) }
        });
        match found {
            Ok((meta, is_link)) => Ok(Stat::of(&meta).map(|stat| Found { stat, is_link })),
            Err(error) if leads_nowhere(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The name in a folder that means the same as `name` to Unicode, if the folder can be read.
    pub(super) fn find_normalized(&self, folder: &str, name: &str) -> io::Result<Option<String>> {
        match self.by_path(|root| self.names.find(folder, &root.open_dir(path(folder))?, name)) {
            Err(error) if leads_nowhere(&error) => Ok(None),
            // Who may enter it may not be allowed to list it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
            found => found,
        }
    }

    /// What a symbolic link that was found at `key` leads to, without the link itself.
    pub(super) fn follow(&self, key: &str) -> io::Result<Metadata> {
        self.by_path(|root| root.metadata(path(key)))
    }

    /// The key that the links in `key` lead to.
    pub(super) fn resolve(&self, key: &str) -> io::Result<String> {
        let resolved = self.by_path(|root| root.canonicalize(path(key)))?;
        resolved.into_os_string().into_string().map_err(|_| Errno::ILSEQ.into())
    }

    /// Opens a file, and says which one; never waits for the other end of a pipe.
    pub(super) fn file(&self, key: &str) -> io::Result<(File, Stat)> {
        let (file, meta) = self.by_path(|root| {
            // Opening a pipe would let whoever waits at its other end go on.
            if !root.metadata(path(key))?.is_file() {
                return Err(Errno::ISDIR.into());
            }
            let file = root.open_with(path(key), &reading())?;
            let meta = file.metadata()?;
            Ok((file, meta))
        })?;
        match Stat::of(&meta) {
            Some(stat) if stat.is_folder => Err(Errno::ISDIR.into()),
            Some(stat) => Ok((file, stat)),
            None => Err(Errno::NOENT.into()),
        }
    }

    /// Opens a file or a folder, and tells when anything of it last changed; never waits for the other end of a pipe.
    pub(super) fn anything(&self, key: &str) -> io::Result<(File, SystemTime)> {
        let file = self.by_path(|root| root.open_with(path(key), &reading()))?;
        let changed = Stat::of(&file.metadata()?).ok_or(Errno::NOENT)?.last_change();
        Ok((file, changed))
    }

    /// Whether a server keeps what is here, and speaks NFS.
    pub(super) fn is_nfs(&self) -> bool {
        #[cfg(target_os = "linux")]
        let is_nfs = rustix::fs::fstatfs(&*self.open.read().folder)
            .is_ok_and(|told| told.f_type == rustix::fs::NFS_SUPER_MAGIC);
        // Amazon S3 Files mounts on Linux alone.
        #[cfg(not(target_os = "linux"))]
        let is_nfs = false;
        is_nfs
    }

    pub(super) fn folder(&self, key: &str) -> io::Result<Arc<Dir>> {
        Ok(Arc::new(self.by_path(|root| root.open_dir(path(key)))?))
    }

    /// The place of `key`, which is not the root, in its folder.
    pub(super) fn place(&self, key: &str) -> io::Result<DirEntry> {
        Ok(DirEntry { folder: self.folder(parent_prefix(key))?, name: name_of(key) })
    }
}

fn name_of(key: &str) -> OsString {
    key[parent_prefix(key).len()..].trim_end_matches('/').into()
}

/// Never waits for the other end of a pipe.
fn reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    options
}

impl DirEntry {
    /// What is here, links followed by `root`; `key` is this place's.
    pub(super) fn find(&self, root: &Root, key: &str) -> io::Result<Option<Stat>> {
        match self.folder.symlink_metadata(&self.name) {
            Ok(meta) if meta.is_symlink() => Ok(root.find(key)?.map(|found| found.stat)),
            Ok(meta) => Ok(Stat::of(&meta)),
            Err(error) if leads_nowhere(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file or folder that is here; links are not followed.
    pub(super) fn stat(&self) -> io::Result<Option<Stat>> {
        match self.folder.symlink_metadata(&self.name) {
            Ok(meta) => Ok(Stat::of(&meta)),
            Err(error) if leads_nowhere(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn remove_file(&self) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty())?)
    }

    pub(super) fn remove_folder(&self) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR)?)
    }

    pub(super) fn make_folder(&self) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.folder, &self.name, Mode::from_raw_mode(0o777))?)
    }

    /// A new file for writing that only its maker knows of, with at most the rights of `mode`.
    pub(super) fn create(&self, mode: Option<u32>) -> io::Result<std::fs::File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode((mode.unwrap_or(0o666) & 0o777) as RawMode);
        let file = rustix::fs::openat(&self.folder, &self.name, flags, mode)?;
        Ok(file.into())
    }

    /// Opens the file of this name; fails if a link took its place.
    pub(super) fn open_file(&self) -> io::Result<(std::fs::File, Stat)> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())?.into();
        let stat = Stat::of(&Metadata::from_file(&file)?).filter(|stat| !stat.is_folder);
        Ok((file, stat.ok_or(Errno::NOENT)?))
    }

    /// Opens the folder of this name; fails if a link took its place.
    pub(super) fn open_folder(&self) -> io::Result<Arc<Dir>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())?;
        Ok(Arc::new(Dir::from_std_file(folder.into())))
    }

    /// The same, where nothing is mounted; else `EXDEV`.
    pub(super) fn open_own_folder(&self) -> io::Result<Arc<Dir>> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{ResolveFlags, openat2};
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat2(&self.folder, &self.name, flags, Mode::empty(), ResolveFlags::NO_XDEV) {
                // Before 5.6, and where a sandbox forbids it.
                Err(Errno::NOSYS | Errno::PERM) => {}
                folder => return Ok(Arc::new(Dir::from_std_file(folder?.into()))),
            }
        }
        let folder = self.open_folder()?;
        let is_own = folder.dir_metadata()?.dev() == self.folder.dir_metadata()?.dev();
        if is_own { Ok(folder) } else { Err(Errno::XDEV.into()) }
    }

    /// Whether names in the folder may be changed: not where it is mounted for reading only, or rights are missing.
    pub(super) fn may_leave(&self) -> io::Result<()> {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        Ok(rustix::fs::accessat(&self.folder, ".", wanted, AtFlags::empty())?)
    }

    /// Another name in the same folder.
    pub(super) fn beside(&self, name: impl Into<OsString>) -> Self {
        Self { folder: Arc::clone(&self.folder), name: name.into() }
    }

    /// Bytes of the longest name that the folder's file system takes.
    pub(super) fn longest_name(&self) -> usize {
        let told = rustix::fs::fstatvfs(&self.folder).map(|told| told.f_namemax as usize);
        // What does not tell takes what all take.
        told.ok().filter(|bytes| *bytes > 0).unwrap_or(usize::MAX)
    }

    /// Moves what is here to `to`, in place of what may be there.
    pub(super) fn rename_over(&self, to: &Self) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.folder, &self.name, &to.folder, &to.name)?)
    }

    /// Whether this is a file of which `other` is another name: a rename leaves both then. Two spellings of one
    /// name, on a disk that takes capitals for small letters, are no such pair.
    pub(super) fn is_second_name_of(&self, other: &Self) -> io::Result<bool> {
        // Mostly the rename took this name away.
        let (Some(own), Some(others)) = (self.stat()?, other.stat()?) else { return Ok(false) };
        if own.is_folder || own.identity != others.identity || own.links < 2 {
            return Ok(false);
        }
        let (folder, others) = (self.folder.dir_metadata()?, other.folder.dir_metadata()?);
        if (folder.dev(), folder.ino()) != (others.dev(), others.ino()) {
            return Ok(true);
        }
        let (mut has_own, mut has_other) = (false, false);
        let folder = Self { folder: Arc::clone(&self.folder), name: ".".into() }.open_folder()?;
        for entry in folder.entries()? {
            let name = entry?.file_name();
            has_own |= name == self.name;
            has_other |= name == other.name;
        }
        Ok(has_own && has_other && self.name != other.name)
    }

    /// Moves what is here to `to` if nothing is there, in one step where the file system can.
    pub(super) fn rename_new(&self, to: &Self) -> io::Result<()> {
        match self.rename_with(to, RenameFlags::NOREPLACE) {
            Err(error) if is_unsupported(&error) => {}
            done => return done,
        }
        // A second name cannot replace anything either; folders cannot have one.
        let linked = rustix::fs::linkat(&self.folder, &self.name, &to.folder, &to.name, AtFlags::empty());
        match linked {
            Ok(()) => return self.remove_file(),
            Err(Errno::EXIST) => return Err(Errno::EXIST.into()),
            Err(_) => {}
        }
        match to.folder.symlink_metadata(&to.name) {
            Ok(_) => Err(Errno::EXIST.into()),
            Err(error) if leads_nowhere(&error) => self.rename_over(to),
            Err(error) => Err(error),
        }
    }

    /// Lets two things change places in one step; `false` where the file system cannot.
    pub(super) fn exchange(&self, with: &Self) -> io::Result<bool> {
        match self.rename_with(with, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(error) if is_unsupported(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn rename_with(&self, to: &Self, flags: RenameFlags) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(&self.folder, &self.name, &to.folder, &to.name, flags)?)
    }

    /// Waits until the folder's names are on the disk.
    pub(super) fn sync_folder(&self) -> io::Result<()> {
        // The folder may be open for looking up names only, which is not enough for this.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.folder, ".", flags, Mode::empty())?;
        match rustix::fs::fsync(folder) {
            // Some file systems have nothing to sync here.
            Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
            synced => Ok(synced?),
        }
    }
}

fn open(path: &Path) -> io::Result<Top> {
    let folder = Arc::new(Dir::open_ambient_dir(path, ambient_authority())?);
    let local = Local::of(&folder);
    Ok(Top { folder, local })
}

/// A key as a path relative to the root.
fn path(key: &str) -> &str {
    match key.trim_end_matches('/') {
        "" => ".",
        key => key,
    }
}

/// Whether nothing that can be served is there: no such name, or a link that leads in circles or out.
pub(super) fn leads_nowhere(error: &io::Error) -> bool {
    match Errno::from_io_error(error) {
        Some(errno) => matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP),
        // cap-std's own word for a path that leads out.
        None => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// Whether something else is mounted in between.
pub(super) fn is_mounted(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::XDEV)
}

/// Whether a path is too long for the system.
pub(super) fn is_too_long(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NAMETOOLONG)
}

fn is_unsupported(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| matches!(errno, Errno::INVAL | Errno::NOSYS | Errno::NOTSUP))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_is_stale_is_asked_for_once_more() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let stale = |times: u32| {
            let asked = Cell::new(0);
            root.by_path(|_| {
                asked.set(asked.get() + 1);
                if asked.get() <= times { Err(Errno::STALE.into()) } else { Ok(asked.get()) }
            })
        };
        assert_eq!(stale(0).unwrap(), 1);
        assert_eq!(stale(1).unwrap(), 2);
        assert!(stale(2).is_err());
    }

    #[test]
    fn a_root_that_was_mounted_anew_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root");
        std::fs::create_dir(&path).unwrap();
        let root = Root::open(&path).unwrap();
        std::fs::rename(&path, directory.path().join("gone")).unwrap();
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("new"), "").unwrap();
        let asked = Cell::new(false);
        let found =
            root.by_path(
                |root| if !asked.replace(true) { Err(Errno::STALE.into()) } else { root.metadata("new") },
            );
        assert!(found.is_ok());
        assert!(root.find("new").unwrap().is_some(), "it stays open");
    }
}
