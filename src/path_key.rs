//! The path of a resource in one spelling: what tells resources apart, and what is kept of them on disk.

use std::borrow::{Borrow, Cow};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::UnicodeNormalization;

/// A path whose segments are composed (NFC), none of them empty: two spellings of one name are one path key.
///
/// Its text is a slash before each segment and none at the end; the root's is `/` where it is shown or stored, and
/// empty where other paths are compared with it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PathKey(String);

impl PathKey {
    /// Of decoded segments, in any spelling.
    pub fn of_segments<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Self {
        Self(
            segments
                .into_iter()
                .fold(String::new(), |path, segment| path + "/" + &composed(segment.as_ref())),
        )
    }

    /// Of an object's key, a folder's prefix, or the text of a path: empty segments mean nothing.
    pub fn of_text(text: &str) -> Self {
        Self::of_segments(text.split('/').filter(|segment| !segment.is_empty()))
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last segment; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The segments, the root's child first.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }

    /// The folder that holds it; the root has none.
    pub fn parent(&self) -> Option<Self> {
        self.0.rfind('/').map(|slash| Self(self.0[..slash].to_owned()))
    }

    /// What is called `name` in this folder.
    pub fn child(&self, name: &str) -> Self {
        debug_assert!(!name.is_empty() && !name.contains('/'), "{name:?} is no name");
        Self(format!("{}/{}", self.0, composed(name)))
    }

    /// Whether it is `folder`, or lies within it.
    pub fn is_within(&self, folder: &Self) -> bool {
        self.below(folder).is_some()
    }

    /// Where it is when the folder `from` that holds it, or it itself, has become `to`; `None`: it is not there.
    pub fn moved(&self, from: &Self, to: &Self) -> Option<Self> {
        self.below(from).map(|rest| Self(format!("{}{rest}", to.0)))
    }

    /// What all paths within this folder begin with.
    pub fn prefix(&self) -> String {
        format!("{}/", self.0)
    }

    /// The text from the folder on: empty, or beginning with a slash.
    fn below(&self, folder: &Self) -> Option<&str> {
        self.0.strip_prefix(&*folder.0).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// As it is shown and stored.
    pub fn as_str(&self) -> &str {
        if self.is_root() { "/" } else { &self.0 }
    }
}

/// Paths are ordered as their texts; the root's is empty then. For ranges: what is looked up by [`PathKey::as_str`] is
/// never the root.
impl Borrow<str> for PathKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PathKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for PathKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PathKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of_text(&Cow::<str>::deserialize(deserializer)?))
    }
}

fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PathKey {
        PathKey::of_text(text)
    }

    #[test]
    fn one_resource_has_one_path_key() {
        for same in ["d/caf\u{e9}", "//d//caf\u{e9}", "d/cafe\u{301}/", "/d/cafe\u{301}"] {
            assert_eq!(path(same), PathKey::of_segments(["d", "cafe\u{301}"]), "{same}");
        }
        for root in ["", "/", "//"] {
            assert_eq!(path(root), PathKey::default(), "{root}");
        }
        assert_eq!((path("").to_string(), path("a/b").to_string()), ("/".to_owned(), "/a/b".to_owned()));
        assert_ne!(path("A"), path("a"));
    }

    #[test]
    fn all_lies_within_the_root() {
        let root = PathKey::default();
        assert!(path("a/b").is_within(&root) && root.is_within(&root) && !root.is_within(&path("a")));
        assert!(path("a/b").is_within(&path("a")) && path("a").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")) && !path("a").is_within(&path("a/b")));
    }

    #[test]
    fn a_path_is_taken_apart_and_put_together() {
        let (root, file) = (PathKey::default(), path("a/b"));
        assert_eq!(file.parent(), Some(path("a")));
        assert_eq!(path("a").parent(), Some(root.clone()));
        assert_eq!(root.parent(), None);
        assert_eq!((file.name(), root.name()), ("b", ""));
        assert_eq!(file.segments().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(root.segments().count(), 0);
        assert_eq!(root.child("a").child("cafe\u{301}"), path("a/caf\u{e9}"));
        assert_eq!((root.prefix(), file.prefix()), ("/".to_owned(), "/a/b/".to_owned()));
    }

    #[test]
    fn what_lies_in_a_folder_moves_with_it() {
        let (root, from, to) = (PathKey::default(), path("a"), path("c/d"));
        assert_eq!(path("a/b").moved(&from, &to), Some(path("c/d/b")));
        assert_eq!(from.moved(&from, &to), Some(to.clone()));
        assert_eq!(path("ab").moved(&from, &to), None);
        assert_eq!(path("a/b").moved(&from, &root), Some(path("b")));
        assert_eq!(path("b").moved(&root, &to), Some(path("c/d/b")));
    }

    #[test]
    fn its_text_is_read_back() {
        for (text, key) in [("\"/\"", path("")), ("\"/a/b\"", path("a/b"))] {
            assert_eq!(serde_json::to_string(&key).unwrap(), text);
            assert_eq!(serde_json::from_str::<PathKey>(text).unwrap(), key);
        }
        assert_eq!(
            serde_json::from_str::<PathKey>("\"\"").unwrap(),
            path(""),
            "as the shelf wrote it before"
        );
    }
}
