//! The vocabulary: what an object, its key, its version and a write to it are.
//!
//! These types lie at the bottom so that every layer can speak of objects without knowing where
//! they are stored. Invariants are checked where a value is made and hold from there on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// The longest key S3 takes, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;

/// An object's key: 1 to [`MAX_KEY_BYTES`] bytes of UTF-8, without a leading bucket name.
///
/// Any such key is legal here, also those that no WebDAV path can name (`a//b`, `./x`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Takes `key` if its length is legal.
    pub fn new(key: impl AsRef<str>) -> Result<Self, InvalidKey> {
        let key = key.as_ref();
        match key.len() {
            0 => Err(InvalidKey::Empty),
            n if n > MAX_KEY_BYTES => Err(InvalidKey::TooLong(n)),
            _ => Ok(Self(key.into())),
        }
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    #[error("a key cannot be empty")]
    Empty,
    #[error("a key of {0} bytes is over the limit of {MAX_KEY_BYTES}")]
    TooLong(usize),
}

/// The prefix of the folder that holds a key or a folder's prefix; empty for the root.
pub fn parent_prefix(key: &str) -> &str {
    let plain = key.strip_suffix('/').unwrap_or(key);
    plain.rfind('/').map_or("", |slash| &plain[..=slash])
}

/// An entity tag, with its quotes, exactly as the store sent it. It is opaque: never computed on.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ETag(Arc<str>);

impl ETag {
    /// The one that S3 gives an empty object, unless it is encrypted with KMS.
    pub fn of_nothing() -> Self {
        Self::new("d41d8cd98f00b204e9800998ecf8427e")
    }

    /// Takes a tag as sent, quoted or not.
    pub fn new(tag: impl AsRef<str>) -> Self {
        let tag = tag.as_ref();
        if tag.starts_with('"') || tag.starts_with("W/") {
            Self(tag.into())
        } else {
            Self(format!("\"{tag}\"").into())
        }
    }

    /// The tag with its quotes, as it stands in a header.
    pub fn quoted(&self) -> &str {
        &self.0
    }

    /// The tag without quotes.
    pub fn unquoted(&self) -> &str {
        self.0.trim_start_matches("W/").trim_matches('"')
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of an object.
///
/// A listing gives size, ETag, date and storage class; content type and user metadata come with
/// HEAD and GET only and are empty otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectMeta {
    /// Length of the content in bytes.
    pub size: u64,
    pub etag: ETag,
    /// The store's date of the object; S3 gives whole seconds.
    pub last_modified: SystemTime,
    pub content_type: Option<String>,
    /// `None` stands for STANDARD.
    pub storage_class: Option<String>,
    /// User metadata: names in lower case, without the `x-amz-meta-` prefix.
    pub user: BTreeMap<String, String>,
}

/// An object as it stands in a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedObject {
    pub key: Key,
    pub meta: ObjectMeta,
}

/// How a name that means the same as another to Unicode is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spelling {
    Stored(String),
    /// There is none.
    Nowhere,
    /// It takes a question to tell.
    Unknown,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListPage {
    /// Objects in byte order of their keys.
    pub objects: Vec<ListedObject>,
    /// Common prefixes in byte order, each ending with a slash.
    pub prefixes: Vec<String>,
    /// How to ask for the next page; `None`: this is the last.
    pub continuation: Option<String>,
    /// Names on it that are not UTF-8: nobody can ask for them.
    pub unreadable: usize,
}

impl ListPage {
    /// Whether there is nothing on it.
    pub fn is_blank(&self) -> bool {
        self.objects.is_empty() && self.prefixes.is_empty() && self.unreadable == 0
    }

    /// Whether there is nothing, here and further on.
    pub fn is_nothing(&self) -> bool {
        self.is_blank() && self.continuation.is_none()
    }
}

/// What has a name: an object with that key, keys below it, both or nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stat {
    pub object: Option<ObjectMeta>,
    /// Some key begins with the name and a slash.
    pub is_prefix: bool,
}

/// What must hold for a write to take place. The store checks it and writes in one step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// Write in any case.
    #[default]
    None,
    /// Only while no object has this key (`If-None-Match: *`).
    IfAbsent,
    /// Only while the object has this ETag (`If-Match`).
    IfMatch(ETag),
}

impl Condition {
    /// The version that must be there.
    pub fn etag(&self) -> Option<&ETag> {
        match self {
            Self::IfMatch(etag) => Some(etag),
            Self::IfAbsent | Self::None => None,
        }
    }
}

/// What must hold for an object to be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ReadCondition {
    #[default]
    None,
    /// Only this version.
    IfMatch(ETag),
    /// Only another version than this.
    IfNoneMatch(ETag),
}

/// What is stored beside an object's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    /// `None`: what the store gives new objects.
    pub storage_class: Option<String>,
    /// Tags as a URL query.
    pub tagging: Option<String>,
    /// User metadata, as in [`ObjectMeta::user`].
    pub user: BTreeMap<String, String>,
}

/// An object to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteTarget {
    pub key: Key,
    /// Only this version of it.
    pub etag: Option<ETag>,
}

impl DeleteTarget {
    /// The condition of its delete.
    pub fn condition(&self) -> Condition {
        self.etag.clone().map_or(Condition::None, Condition::IfMatch)
    }
}

impl From<Key> for DeleteTarget {
    fn from(key: Key) -> Self {
        Self { key, etag: None }
    }
}

/// The store's answer to a write.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub etag: ETag,
    /// The date the object got, as near as the answer tells.
    pub last_modified: SystemTime,
}

/// Where an object lies: what a copy needs to name its source across stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectAddress {
    /// Bucket name, access point ARN or alias.
    pub bucket: String,
    pub key: Key,
}

/// A range of bytes, both ends included, as in `Range: bytes=first-last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    pub first: u64,
    /// `None`: to the end.
    pub last: Option<u64>,
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) => write!(f, "bytes={}-{last}", self.first),
            None => write!(f, "bytes={}-", self.first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded() {
        assert_eq!(Key::new(""), Err(InvalidKey::Empty));
        assert!(Key::new("a".repeat(1024)).is_ok());
        assert_eq!(Key::new("é".repeat(513)), Err(InvalidKey::TooLong(1026)));
    }

    #[test]
    fn parents_of_keys_and_folders() {
        assert_eq!(parent_prefix("a"), "");
        assert_eq!(parent_prefix("a/"), "");
        assert_eq!(parent_prefix("a/b"), "a/");
        assert_eq!(parent_prefix("a/b/"), "a/");
    }

    #[test]
    fn etags_keep_one_pair_of_quotes() {
        assert_eq!(ETag::new("abc"), ETag::new("\"abc\""));
        assert_eq!(ETag::new("\"abc\"").unquoted(), "abc");
    }
}
