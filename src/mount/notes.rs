//! What was mounted of a gateway, noted in its state directory: so a mount is known by whose it is when its gateway is
//! gone.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Entry;
use crate::state::{read_private, write_private};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    url: String,
    point: PathBuf,
    /// Milliseconds since 1970; 0 where an earlier version has noted it.
    #[serde(default)]
    made: u64,
}

/// Notes a mount that was `made` at that time, in milliseconds since 1970; `None`: it was there already. Blocks for
/// the time of a small file.
pub(super) fn note(state_dir: &Path, url: &str, point: &Path, made: Option<u64>) {
    let mut all = read(state_dir);
    if made.is_none() && all.iter().any(|noted| noted.point == point && noted.url == url) {
        return;
    }
    let new = Noted { url: url.to_owned(), point: point.to_owned(), made: made.unwrap_or_default() };
    all.retain(|noted| noted.point != point);
    all.push(new);
    let surplus = all.len().saturating_sub(MOST);
    all.drain(..surplus);
    let written = serde_json::to_string(&all)
        .map_err(std::io::Error::from)
        .and_then(|text| write_private(&state_dir.join(FILE), &text));
    if let Err(error) = written {
        tracing::debug!(%error, "cannot record which gateway this mount belongs to");
    }
}

/// When the gateway with that state has made this mount, in milliseconds since 1970, if it has: whoever did so last has
/// the mount that is there. Blocks for the time of a small file.
pub fn when_mounted(state_dir: &Path, entry: &Entry) -> Option<u64> {
    if !entry.is_webdav() {
        return None;
    }
    let noted = read(state_dir).into_iter();
    let noted = noted.filter(|noted| noted.point == entry.point && entry.is_of(&noted.url));
    noted.map(|noted| noted.made).max()
}

fn read(state_dir: &Path) -> Vec<Noted> {
    let text = read_private(&state_dir.join(FILE)).unwrap_or_default();
    // An unreadable note is none.
    serde_json::from_str(&text).unwrap_or_default()
}

const FILE: &str = "mounts.json";
/// Mount points of one gateway that are remembered.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(source: &str, point: &str) -> Entry {
        Entry { source: source.into(), point: point.into(), kind: "fuse".into(), owner: None }
    }

    fn has_mounted(state_dir: &Path, entry: &Entry) -> bool {
        when_mounted(state_dir, entry).is_some()
    }

    #[test]
    fn a_mount_is_known_by_its_point_and_its_address() {
        let place = tempfile::tempdir().unwrap();
        let url = "http://127.0.0.1:8330/";
        assert!(!has_mounted(place.path(), &entry(url, "/a")));
        for point in ["/a", "/b", "/b"] {
            note(place.path(), url, Path::new(point), Some(1));
        }
        note(place.path(), "http://127.0.0.1:1/", Path::new("/a"), Some(2));
        assert!(
            has_mounted(place.path(), &entry(url, "/b")) && !has_mounted(place.path(), &entry(url, "/a"))
        );
        for number in 0..MOST {
            note(place.path(), url, &PathBuf::from(format!("/{number}")), Some(3));
        }
        assert_eq!(read(place.path()).len(), MOST);
        std::fs::write(place.path().join(FILE), "nonsense").unwrap();
        assert!(!has_mounted(place.path(), &entry(url, "/b")));
    }

    #[test]
    fn when_a_mount_was_made_is_known() {
        let (place, url) = (tempfile::tempdir().unwrap(), "http://127.0.0.1:8330/");
        let made = || when_mounted(place.path(), &entry(url, "/a"));
        note(place.path(), url, Path::new("/a"), None);
        assert_eq!(made(), Some(0), "some time");
        note(place.path(), url, Path::new("/a"), Some(5));
        note(place.path(), url, Path::new("/a"), None);
        assert_eq!(made(), Some(5), "that it is still there makes it no newer");
        std::fs::write(place.path().join(FILE), format!(r#"[{{"url":"{url}","point":"/a"}}]"#)).unwrap();
        assert_eq!(made(), Some(0), "an earlier version's");
    }
}
