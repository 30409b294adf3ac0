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
}

/// Notes a mount. Blocks for the time of a small file.
pub(super) fn note(state_dir: &Path, url: &str, point: &Path) {
    let mut all = read(state_dir);
    let new = Noted { url: url.to_owned(), point: point.to_owned() };
    if all.last() == Some(&new) {
        return;
    }
    all.retain(|noted| noted.point != point);
    all.push(new);
    let surplus = all.len().saturating_sub(MOST);
    all.drain(..surplus);
    let written = serde_json::to_string(&all)
        .map_err(std::io::Error::from)
        .and_then(|text| write_private(&state_dir.join(FILE), &text));
    if let Err(error) = written {
        tracing::debug!(%error, "nobody will know whose this mount is when its gateway is gone");
    }
}

/// Whether the gateway with that state has made this mount. Blocks for the time of a small file.
pub fn has_mounted(state_dir: &Path, entry: &Entry) -> bool {
    read(state_dir).iter().any(|noted| noted.point == entry.point && entry.is_of(&noted.url))
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

    #[test]
    fn a_mount_is_known_by_its_point_and_its_address() {
        let place = tempfile::tempdir().unwrap();
        let url = "http://127.0.0.1:8330/";
        assert!(!has_mounted(place.path(), &entry(url, "/a")));
        for point in ["/a", "/b", "/b"] {
            note(place.path(), url, Path::new(point));
        }
        note(place.path(), "http://127.0.0.1:1/", Path::new("/a"));
        assert!(
            has_mounted(place.path(), &entry(url, "/b")) && !has_mounted(place.path(), &entry(url, "/a"))
        );
        for number in 0..MOST {
            note(place.path(), url, &PathBuf::from(format!("/{number}")));
        }
        assert_eq!(read(place.path()).len(), MOST);
        std::fs::write(place.path().join(FILE), "nonsense").unwrap();
        assert!(!has_mounted(place.path(), &entry(url, "/b")));
    }
}
