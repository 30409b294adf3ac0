//! Files that are nobody's but this user's.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a file that only this user can read at any moment, whole or not at all. Blocks.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = OsString::from(path);
    temporary.push(".new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, path)
}
