//! A log file that does not grow for ever.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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
            fs::create_dir_all(directory)?;
        }
        let file = append(path)?;
        let length = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, length, most })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        fs::rename(&self.path, old)?;
        self.file = append(&self.path)?;
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

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

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
}
