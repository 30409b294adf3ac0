//! What is mounted on this machine, as the system lists it without asking any file system.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

#[cfg(target_os = "macos")]
use crate::process;

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// A URL, for one of ours.
    pub source: String,
    pub point: PathBuf,
    /// `webdav`, `fuse`, …
    pub kind: String,
    /// Who mounted it, where the table tells: that of Linux does of FUSE.
    pub owner: Option<u32>,
}

/// The table cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the table of mounts cannot be read")]
pub struct TableError(#[source] io::Error);

impl Entry {
    /// Whether this is a mount of what is served at `url`.
    pub fn is_of(&self, url: &str) -> bool {
        self.is_webdav() && self.source.trim_end_matches('/').eq_ignore_ascii_case(url.trim_end_matches('/'))
    }

    /// Whether it comes from a server at that address, of whatever path.
    pub fn is_at(&self, address: SocketAddr) -> bool {
        let authority = self.source.split('/').nth(2).unwrap_or_default();
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let is_host = host.eq_ignore_ascii_case("localhost")
            || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| {
                ip == address.ip() || (address.ip().is_unspecified() && ip.is_loopback())
            });
        self.is_webdav() && is_host && port.parse() == Ok(address.port())
    }

    pub(super) fn is_webdav(&self) -> bool {
        matches!(self.kind.as_str(), "webdav" | "fuse" | "davfs" | "fuse.davfs")
            && self.source.starts_with("http")
    }

    /// Whether anything listens where it comes from; a mount of an ended gateway has nothing there.
    pub(super) async fn server_answers(&self) -> bool {
        let authority = self.source.split('/').nth(2).unwrap_or_default();
        matches!(timeout(CONNECT_LIMIT, TcpStream::connect(authority)).await, Ok(Ok(_)))
    }
}

/// What is mounted at a place; the last of several hides the others. The path is resolved.
pub async fn entry_at(point: &Path) -> Result<Option<Entry>, TableError> {
    Ok(entries().await?.into_iter().rev().find(|entry| entry.point == point))
}

/// All that is mounted, the oldest first.
#[cfg(not(target_os = "macos"))]
pub async fn entries() -> Result<Vec<Entry>, TableError> {
    let text = tokio::fs::read_to_string("/proc/self/mountinfo").await.map_err(TableError)?;
    Ok(of_mountinfo(&text))
}

/// All that is mounted, the oldest first.
#[cfg(target_os = "macos")]
pub async fn entries() -> Result<Vec<Entry>, TableError> {
    // It prints what the kernel remembers, without asking the file systems.
    let text = process::run(process::system("mount"), LIST_LIMIT).await;
    Ok(of_mount_output(&text.map_err(|error| TableError(io::Error::other(error)))?))
}

/// Linux's `/proc/self/mountinfo`.
#[cfg_attr(target_os = "macos", allow(dead_code))]
pub(super) fn of_mountinfo(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (kind, source, options) = (right.next()?, right.next()?, right.next().unwrap_or_default());
        let owner = options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok());
        let point = unescaped(left.split(' ').nth(4)?);
        Some(Entry { source: unescaped(source), point: point.into(), kind: kind.to_owned(), owner })
    };
    text.lines().filter_map(entry).collect()
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let digits = more.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[3..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// macOS's `mount`: `SOURCE on POINT (KIND, OPTION, …)`.
#[cfg_attr(not(target_os = "macos"), allow(dead_code))]
pub(super) fn of_mount_output(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let (places, options) = line.trim_end().strip_suffix(')')?.rsplit_once(" (")?;
        let (source, point) = places.split_once(" on ")?;
        let kind = options.split(',').next()?.trim();
        Some(Entry { source: source.to_owned(), point: point.into(), kind: kind.to_owned(), owner: None })
    };
    text.lines().filter_map(entry).collect()
}

/// On the loopback.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
#[cfg(target_os = "macos")]
const LIST_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_linux() {
        let text = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
            99 22 0:50 / /mnt/a\\040b\\134c rw,nosuid shared:7 - fuse http://127.0.0.1:8330/ rw,user_id=0\n";
        let entries = of_mountinfo(text);
        assert_eq!(entries[0].source, "/dev/sda1");
        assert_eq!(entries[1].point, PathBuf::from("/mnt/a b\\c"));
        assert!(entries[1].is_of("http://127.0.0.1:8330") && !entries[1].is_of("http://127.0.0.1:83/"));
        assert!(!entries[0].is_of("/dev/sda1"));
        let is_at = |address: &str| entries[1].is_at(address.parse().unwrap());
        assert!(is_at("127.0.0.1:8330") && is_at("0.0.0.0:8330"));
        assert!(!is_at("127.0.0.1:83") && !is_at("[::1]:8330"));
        assert_eq!((entries[0].owner, entries[1].owner), (None, Some(0)));
    }

    #[test]
    fn the_table_of_macos() {
        let text = "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n\
            map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)\n\
            http://127.0.0.1:8330/ on /private/tmp/s3files (webdav, nodev, noexec, nosuid, mounted by me)\n\
            //me@nas/x on /Volumes/on and (on) (smbfs, nodev)\n";
        let entries = of_mount_output(text);
        assert_eq!(entries.len(), 4);
        assert_eq!((&*entries[2].kind, entries[2].point.to_str()), ("webdav", Some("/private/tmp/s3files")));
        assert!(entries[2].is_of("http://127.0.0.1:8330/"));
        assert_eq!(entries[3].point, PathBuf::from("/Volumes/on and (on)"));
    }
}
