//! Files and directories that are nobody's but this user's: what others have put in their place is neither
//! followed nor believed.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Why something cannot be used; comes as the content of an [`io::Error`].
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("{path} belongs to another user (uid {uid})")]
    Foreign { path: PathBuf, uid: u32 },
    #[error("{0} is a symbolic link")]
    Link(PathBuf),
    #[error("{0} is not a file")]
    NoFile(PathBuf),
    #[error("{0} is not a directory")]
    NoDirectory(PathBuf),
    #[error("{0} is open to other users, and contains something other than a gateway's state")]
    Open(PathBuf),
}

impl Unfit {
    /// Why, if that was what failed.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    fn hint(&self) -> String {
        match self {
            Self::Foreign { .. } => {
                "name a directory of your own with --state-dir, or run s3dav as that user".to_owned()
            }
            Self::Link(_) | Self::NoFile(_) | Self::NoDirectory(_) => {
                "remove it, or name another directory with --state-dir".to_owned()
            }
            Self::Open(path) => {
                format!(
                    "name another directory, which is used for nothing else, such as --state-dir {}",
                    path.join("s3dav").display()
                )
            }
        }
    }
}

/// The next step after an error of the state directory, or of a file in it.
pub fn directory_hint(error: &io::Error) -> String {
    match Unfit::of(error) {
        Some(unfit) => unfit.hint(),
        None if is_full(error) => FULL_HINT.to_owned(),
        None if is_not_ours_to_write(error) => format!(
            "name another directory, one that you can write to, with --state-dir; in a container give it one with \
             --tmpfs /state:uid={} or -v NAME:/state",
            own_uid()
        ),
        None => "name another directory, one that you can write to, with --state-dir".to_owned(),
    }
}

/// Whether its disk has no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The next step then.
pub const FULL_HINT: &str =
    "free some space on its disk, or name a directory on another disk with --state-dir";

fn is_not_ours_to_write(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

impl From<Unfit> for io::Error {
    fn from(unfit: Unfit) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, unfit)
    }
}

/// Opens a file that is this user's, or makes one that only this user can read. It must not be truncated by the
/// options: that would happen before anybody has looked at it.
pub fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let opened = options.mode(0o600).custom_flags(flags(UNFOLLOWED)).open(path);
    let file = opened.map_err(|error| {
        if is_link(&error) {
            Unfit::Link(path.to_owned()).into()
        } else if error.kind() == io::ErrorKind::IsADirectory {
            Unfit::NoFile(path.to_owned()).into()
        } else {
            error
        }
    })?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(Unfit::NoFile(path.to_owned()).into());
    }
    check_owner(path, &meta)?;
    Ok(file)
}

/// An empty file for writing, in place of what was in the old one.
pub fn create_private(path: &Path) -> io::Result<File> {
    let file = open_private(path, OpenOptions::new().write(true).create(true))?;
    file.set_len(0)?;
    Ok(file)
}

/// The text of a file that is this user's.
pub fn read_private(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_private(path, OpenOptions::new().read(true))?.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file that only this user can read at any moment, whole or not at all. Blocks.
///
/// On a full disk it is written over the old one, where that is as long: then a crash may leave a part of each.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    match replace_private(path, text) {
        Err(error) if is_full(&error) => write_over(path, text).map_err(|_| error),
        written => written,
    }
}

fn write_over(path: &Path, text: &str) -> io::Result<()> {
    let mut file = open_private(path, OpenOptions::new().write(true))?;
    if file.metadata()?.len() < text.len() as u64 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

fn replace_private(path: &Path, text: &str) -> io::Result<()> {
    // A new file of a name that nobody knows, for this user alone; it takes the place of a link, too.
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Makes sure of a directory of this user's, and makes it if it is missing; its parent must exist.
pub fn private_directory(path: &Path) -> io::Result<Metadata> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        return Err(Unfit::Link(path.to_owned()).into());
    }
    if !meta.is_dir() {
        return Err(Unfit::NoDirectory(path.to_owned()).into());
    }
    check_owner(path, &meta)?;
    Ok(meta)
}

/// Shuts others out of a directory, and not of one that a link leads to.
pub(super) fn shut(directory: &Path) -> io::Result<()> {
    let flags = flags(OFlags::NOFOLLOW | OFlags::DIRECTORY);
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(directory)?;
    opened.set_permissions(Permissions::from_mode(0o700))
}

/// The user that this program runs as.
pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn check_owner(path: &Path, meta: &Metadata) -> io::Result<()> {
    if meta.uid() == own_uid() {
        Ok(())
    } else {
        Err(Unfit::Foreign { path: path.to_owned(), uid: meta.uid() }.into())
    }
}

fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

fn flags(flags: OFlags) -> i32 {
    // They are those of the system, of which none needs the highest bit.
    flags.bits() as i32
}

/// No link is followed, and nobody waits for a pipe's other end.
const UNFOLLOWED: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn unfit<T>(result: io::Result<T>) -> String {
        Unfit::of(&result.map(drop).unwrap_err()).unwrap().to_string()
    }

    #[test]
    fn neither_links_nor_pipes_are_opened() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::write(at("file"), "precious").unwrap();
        symlink(at("file"), at("link")).unwrap();
        assert!(unfit(read_private(&at("link"))).contains("is a symbolic link"));
        assert!(unfit(create_private(&at("link"))).contains("is a symbolic link"));
        // On macOS rustix cannot make one.
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, Mode, mkfifoat};
            mkfifoat(CWD, at("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
            assert!(unfit(read_private(&at("pipe"))).contains("is not a file"), "and nobody waits for it");
        }
        write_private(&at("link"), "new").unwrap();
        assert_eq!(read_private(&at("link")).unwrap(), "new", "a file has taken the link's place");
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "precious");
        create_private(&at("file")).unwrap();
        assert_eq!(read_private(&at("file")).unwrap(), "");
        symlink(place.path(), at("linked")).unwrap();
        assert!(unfit(private_directory(&at("linked"))).contains("is a symbolic link"));
        assert!(unfit(private_directory(&at("file"))).contains("is not a directory"));
        assert_eq!(private_directory(&at("new")).unwrap().mode() & 0o777, 0o700);
        assert!(shut(&at("linked")).is_err());
        assert_eq!(read_private(&at("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
