//! What is on the shelf, in memory: probes are answered from here.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use crate::path_key::PathKey;

/// A file or a folder on the shelf.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShelfRow {
    /// The last segment of its path, as the client spelled it.
    pub name: String,
    pub is_folder: bool,
    /// Bytes; 0 for folders.
    pub size: u64,
    /// Changes with the content: an ETag without its quotes.
    pub version: String,
    /// Milliseconds since 1970.
    pub modified: u64,
    /// Where the content lies.
    pub place: Place,
    /// Since when what it belongs to is not there any more.
    pub absent: Option<Absent>,
}

/// Where a content lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Place {
    /// In the database.
    Row,
    /// In a file of this name, in the state directory's `shelf`.
    File(String),
    /// Only here, and not for long.
    #[serde(skip)]
    Memory(Bytes),
}

/// The listing that did not show what an entry belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Absent {
    /// Milliseconds since 1970.
    pub since: u64,
    /// The folder that was listed.
    #[serde(serialize_with = "root_is_empty")]
    pub folder: PathKey,
}

/// As all versions of this program read it.
fn root_is_empty<S: Serializer>(folder: &PathKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if folder.is_root() { "" } else { folder.as_str() })
}

/// A name in a folder that the shelf holds something for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Composed (NFC).
    pub name: String,
    /// Whether it is on the shelf itself; if not, something below it is.
    pub is_row: bool,
}

/// Rows by path.
#[derive(Debug, Clone, Default)]
pub struct Index {
    rows: BTreeMap<PathKey, ShelfRow>,
    bytes: u64,
}

impl Index {
    pub fn get(&self, path: &PathKey) -> Option<&ShelfRow> {
        self.rows.get(path)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of all contents.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All rows, folders before what is in them.
    pub fn iter(&self) -> impl Iterator<Item = (&PathKey, &ShelfRow)> {
        self.rows.iter()
    }

    /// The rows at and below `path`.
    pub fn within(&self, path: &PathKey) -> Vec<(PathKey, ShelfRow)> {
        let own = self.rows.get_key_value(path).into_iter();
        own.chain(self.below(path)).map(|(path, row)| (path.clone(), row.clone())).collect()
    }

    /// What the shelf holds something for in the folder at `path`.
    pub fn children(&self, path: &PathKey) -> Vec<Child> {
        let prefix = path.prefix();
        let (mut found, mut from) = (Vec::new(), Bound::Included(prefix.clone()));
        while let Some((next, _)) =
            self.rows.range::<str, _>((from.as_ref().map(String::as_str), Bound::Unbounded)).next()
        {
            let next: &str = next.borrow();
            let Some(rest) = next.strip_prefix(&*prefix) else { break };
            let (name, is_row) = rest.split_once('/').map_or((rest, true), |(name, _)| (name, false));
            // Skips what is below: the slash is followed by the zero.
            from = if is_row {
                Bound::Excluded(next.to_owned())
            } else {
                Bound::Included(format!("{prefix}{name}0"))
            };
            found.push(Child { name: name.to_owned(), is_row });
        }
        found
    }

    fn below<'i>(&'i self, path: &'i PathKey) -> impl Iterator<Item = (&'i PathKey, &'i ShelfRow)> {
        let prefix = path.prefix();
        let from = (Bound::Included(&*prefix), Bound::Unbounded);
        self.rows.range::<str, _>(from).take_while(move |(at, _)| at.is_within(path))
    }

    pub(super) fn insert(&mut self, path: PathKey, row: ShelfRow) -> Option<ShelfRow> {
        self.bytes += row.size;
        let old = self.rows.insert(path, row);
        self.bytes -= old.as_ref().map_or(0, |old| old.size);
        old
    }

    pub(super) fn remove(&mut self, path: &PathKey) -> Option<ShelfRow> {
        let old = self.rows.remove(path);
        self.bytes -= old.as_ref().map_or(0, |old| old.size);
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(size: u64) -> ShelfRow {
        ShelfRow {
            name: String::new(),
            is_folder: false,
            size,
            version: String::new(),
            modified: 0,
            place: Place::Row,
            absent: None,
        }
    }

    #[test]
    fn a_listing_of_the_root_is_written_as_older_programs_read_it() {
        for (folder, text) in [("/", r#"{"since":7,"folder":""}"#), ("/a", r#"{"since":7,"folder":"/a"}"#)] {
            let absent = Absent { since: 7, folder: PathKey::of_text(folder) };
            assert_eq!(serde_json::to_string(&absent).unwrap(), text);
            assert_eq!(serde_json::from_str::<Absent>(text).unwrap(), absent);
        }
    }

    #[test]
    fn children_are_found_without_looking_at_what_is_below() {
        let mut index = Index::default();
        for path in ["/._x", "/a/._y", "/a/b/._z", "/a.b/._z", "/.T", "/.T/in", "/a0"] {
            index.insert(PathKey::of_text(path), row(1));
        }
        let names = |path: &str| -> Vec<(String, bool)> {
            index
                .children(&PathKey::of_text(path))
                .into_iter()
                .map(|child| (child.name, child.is_row))
                .collect()
        };
        let expect = |names: &[(&str, bool)]| -> Vec<(String, bool)> {
            names.iter().map(|(name, is_row)| (name.to_string(), *is_row)).collect()
        };
        assert_eq!(
            names(""),
            expect(&[(".T", true), (".T", false), ("._x", true), ("a.b", false), ("a", false), ("a0", true)])
        );
        assert_eq!(names("/a"), expect(&[("._y", true), ("b", false)]));
        assert_eq!(names("/nothing"), expect(&[]));
        assert_eq!(index.within(&PathKey::of_text("/a")).len(), 2);
        assert_eq!(index.bytes(), 7);
        index.insert(PathKey::of_text("/._x"), row(5));
        index.remove(&PathKey::of_text("/a0"));
        assert_eq!((index.bytes(), index.len()), (10, 6));
    }
}
