//! A log file that does not grow for ever.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// A file that is renamed to `NAME.1` when it is full; what had that name is gone.
#[derive(Debug)]
pub(super) struct Rotating {
    path: PathBuf,
    file: File,
    /// Bytes.
    length: u64,
    most: u64,
}

impl Rotating {
    /// Appends to the file, which is made, with its directory, if it is missing.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::with_most(path, MOST_BYTES)
    }

    fn with_most(path: &Path, most: u64) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            // It may be a state directory, which must be its user's alone.
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let (path, file) = open(path)?;
        let meta = file.metadata()?;
        // A pipe or a terminal stays what it is.
        let most = if meta.is_file() { most } else { u64::MAX };
        Ok(Self { path, file, length: meta.len(), most })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        fs::rename(&self.path, old)?;
        self.file = append(&self.path, OFlags::NOFOLLOW)?;
        self.length = 0;
        Ok(())
    }
}

impl Write for Rotating {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length > 0 && self.length + bytes.len() as u64 > self.most {
            self.rotate()?;
        }
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The file, and where it really is. A link is followed where nobody else has made it, such as `/dev/stderr`.
fn open(path: &Path) -> io::Result<(PathBuf, File)> {
    match append(path, OFlags::NOFOLLOW) {
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {}
        file => return Ok((path.to_owned(), file?)),
    }
    let uid = fs::symlink_metadata(path)?.uid();
    if uid != ROOT && uid != rustix::process::geteuid().as_raw() {
        let message = format!("{} is a symbolic link of another user's (uid {uid})", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let file = append(&target, OFlags::empty())?;
    Ok((target, file))
}

fn append(path: &Path, flags: OFlags) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(flags.bits() as i32).open(path)
}

const ROOT: u32 = 0;
/// Of each of the two files: some weeks of an ordinary gateway's life.
const MOST_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_last_lines() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("logs/s3dav.log");
        let mut log = Rotating::with_most(&path, 20).unwrap();
        for line in ["first line\n", "second\n", "third line\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "third line\n");
        assert_eq!(
            fs::read_to_string(place.path().join("logs/s3dav.log.1")).unwrap(),
            "first line\nsecond\n"
        );
        drop(log);
        let mut again = Rotating::with_most(&path, 20).unwrap();
        again.write_all(b"fourth\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third line\nfourth\n");
    }
    #[test]
    fn a_link_is_followed_unless_another_user_made_it() {
        let place = tempfile::tempdir().unwrap();
        let (link, file) = (place.path().join("link"), place.path().join("file"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        fs::write(&file, "").unwrap();
        for line in ["first line\n", "second line\n"] {
            Rotating::with_most(&link, 15).unwrap().write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "second line\n");
        assert_eq!(fs::read_to_string(place.path().join("file.1")).unwrap(), "first line\n");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mut null = Rotating::with_most(Path::new("/dev/null"), 1).unwrap();
        assert_eq!(null.write(b"much").unwrap() + null.write(b"more").unwrap(), 8);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
            let error = Rotating::open(&link).unwrap_err();
            assert!(error.to_string().contains("another user's (uid 65534)"), "{error}");
        }
    }
}
