//! Request paths and names: what a path may be, and which keys it can show.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

use crate::object::MAX_KEY_BYTES;
use crate::path_key::PathKey;

/// A path of a request, decoded: its segments, none of them empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ResourcePath {
    segments: Vec<String>,
    /// Whether the client wrote a slash at the end.
    trailing_slash: bool,
}

/// Why a path cannot name anything here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path does not begin with a slash")]
    Relative,
    #[error("the path is not UTF-8")]
    NotUtf8,
    #[error("the path holds a broken percent escape")]
    BrokenEscape,
    #[error("the path holds an escaped slash")]
    EscapedSlash,
    #[error("the path holds a control character")]
    Control,
    #[error("the path holds a `.` or `..` segment")]
    Dots,
    #[error("the path holds an empty segment")]
    Empty,
    #[error("a name is over {MAX_NAME_BYTES} bytes")]
    NameTooLong,
    #[error("the path is over {MAX_KEY_BYTES} bytes")]
    TooLong,
}

/// What file systems and Finder take as one name, in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// The names of one path: each has a byte, and a slash behind it.
pub const MAX_SEGMENTS: usize = MAX_KEY_BYTES / 2;
/// The folder at the root that belongs to the gateway.
pub const RESERVED: &str = ".s3dav";

impl ResourcePath {
    /// Reads the path of a URL, percent-encoded. Empty segments mean nothing: `/a//b` is `/a/b`.
    pub fn parse(encoded: &str) -> Result<Self, PathError> {
        let Some(rest) = encoded.strip_prefix('/') else { return Err(PathError::Relative) };
        let trailing_slash = rest.is_empty() || rest.ends_with('/');
        let segments = rest.split('/').filter(|segment| !segment.is_empty());
        let segments = segments.map(decode_segment).collect::<Result<Vec<_>, _>>()?;
        let path = Self { segments, trailing_slash };
        // One more for the slash of a folder's marker.
        if path.key().len() < MAX_KEY_BYTES { Ok(path) } else { Err(PathError::TooLong) }
    }

    /// The path of a key, without a slash at its end; `None`: no path shows it.
    pub fn of_key(key: &str) -> Option<Self> {
        let segments = key.split('/').map(str::to_owned).collect();
        let is_shown = key.split('/').all(is_showable) && key.len() < MAX_KEY_BYTES;
        is_shown.then_some(Self { segments, trailing_slash: false })
    }

    pub fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether the client wrote a slash at the end, as one does for folders.
    pub fn has_trailing_slash(&self) -> bool {
        self.trailing_slash
    }

    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The last segment; empty for the root.
    pub fn name(&self) -> &str {
        self.segments.last().map(String::as_str).unwrap_or_default()
    }

    /// The folder that holds it; the root holds itself.
    pub fn parent(&self) -> Self {
        let keep = self.segments.len().saturating_sub(1);
        Self { segments: self.segments[..keep].to_vec(), trailing_slash: true }
    }

    /// The key that an object at this path has; empty for the root.
    pub fn key(&self) -> String {
        self.segments.join("/")
    }

    /// The same segments in other spellings.
    pub fn with_segments(&self, segments: Vec<String>) -> Self {
        Self { segments, trailing_slash: self.trailing_slash }
    }

    /// Whether one is the other, or lies within it.
    pub fn overlaps(&self, other: &Self) -> bool {
        let shared = self.segments.len().min(other.segments.len());
        self.segments[..shared] == other.segments[..shared]
    }

    /// What tells it from paths that find other objects.
    pub fn path_key(&self) -> PathKey {
        PathKey::of_segments(&self.segments)
    }

    /// Whether it is, or lies in, the gateway's own folder.
    pub fn is_reserved(&self) -> bool {
        self.segments.first().is_some_and(|first| first == RESERVED)
    }

    /// Whether both name the same resource, however they end.
    pub fn same_resource(&self, other: &Self) -> bool {
        self.segments == other.segments
    }
}

/// A path as it is meant: see [`ResourcePath::parse`].
pub fn without_empty_segments(path: &str) -> Cow<'_, str> {
    let mut path = Cow::Borrowed(path);
    while path.contains("//") {
        path = Cow::Owned(path.replace("//", "/"));
    }
    path
}

/// As the resource is kept: in the one spelling, without a slash at the end.
impl From<&PathKey> for ResourcePath {
    fn from(path: &PathKey) -> Self {
        Self { segments: path.segments().map(str::to_owned).collect(), trailing_slash: false }
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.key())
    }
}

fn decode_segment(encoded: &str) -> Result<String, PathError> {
    let bytes = encoded.as_bytes();
    for (at, _) in encoded.match_indices('%') {
        let escape = (bytes.get(at + 1), bytes.get(at + 2));
        match escape {
            (Some(a), Some(b)) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {}
            _ => return Err(PathError::BrokenEscape),
        }
    }
    let name = percent_decode_str(encoded).decode_utf8().map_err(|_| PathError::NotUtf8)?;
    if name.contains('/') {
        return Err(PathError::EscapedSlash);
    }
    check_name(&name)?;
    Ok(name.into_owned())
}

fn check_name(name: &str) -> Result<(), PathError> {
    match name {
        "" => Err(PathError::Empty),
        "." | ".." => Err(PathError::Dots),
        _ if name.len() > MAX_NAME_BYTES => Err(PathError::NameTooLong),
        _ if is_icon(name) => Ok(()),
        _ if name.chars().any(char::is_control) => Err(PathError::Control),
        _ => Ok(()),
    }
}

/// Whether it is one of the two files that give a folder an icon of its own in Finder: the only names with a
/// control character that anybody means.
pub fn is_icon(name: &str) -> bool {
    name.strip_prefix("._").unwrap_or(name) == "Icon\r"
}

/// Whether a key's segment can stand in a path.
pub fn is_showable(name: &str) -> bool {
    check_name(name).is_ok()
}

/// Whether a key, or the prefix of a folder, can be shown as a path. A slash at the end is that of
/// a marker.
pub fn is_showable_key(key: &str) -> bool {
    let plain = key.strip_suffix('/').unwrap_or(key);
    plain.split('/').all(is_showable) && plain.split('/').next() != Some(RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_keys() {
        let key = |path: &str| ResourcePath::parse(path).map(|p| p.key());
        assert_eq!(key("/"), Ok(String::new()));
        assert_eq!(key("/a/b%20c/"), Ok("a/b c".to_owned()));
        assert_eq!(key("/100%25"), Ok("100%".to_owned()));
        assert_eq!(key("/a+b"), Ok("a+b".to_owned()));
        for same in ["/a/b", "//a/b", "/a///b", "/a/b//", "//a//b//"] {
            assert_eq!(key(same), Ok("a/b".to_owned()), "{same}");
            assert_eq!(
                ResourcePath::parse(same).unwrap().has_trailing_slash(),
                same.ends_with('/'),
                "{same}"
            );
        }
        for root in ["//", "///"] {
            assert_eq!(ResourcePath::parse(root), ResourcePath::parse("/"), "{root}");
        }
        assert_eq!(key("/a/Icon%0D"), Ok("a/Icon\r".to_owned()));
        assert_eq!(key("/a/._Icon%0d"), Ok("a/._Icon\r".to_owned()));
    }

    #[test]
    fn paths_that_name_nothing_are_refused() {
        let cases = [
            ("a", PathError::Relative),
            ("/%ff", PathError::NotUtf8),
            ("/%zz", PathError::BrokenEscape),
            ("/%4", PathError::BrokenEscape),
            ("/a%2fb", PathError::EscapedSlash),
            ("/a%00", PathError::Control),
            ("/Icon%0A", PathError::Control),
            ("/Icon%0D%0D", PathError::Control),
            ("/a/icon%0D", PathError::Control),
            ("/a/../b", PathError::Dots),
            ("/%2e%2e/b", PathError::Dots),
        ];
        for (path, error) in cases {
            assert_eq!(ResourcePath::parse(path), Err(error), "{path}");
        }
        assert_eq!(ResourcePath::parse(&format!("/{}", "n".repeat(256))), Err(PathError::NameTooLong));
        assert_eq!(ResourcePath::parse(&"/abcdefghi".repeat(110)), Err(PathError::TooLong));
    }

    #[test]
    fn overlaps_are_by_segment() {
        let path = |p| ResourcePath::parse(p).unwrap();
        assert!(path("/a").overlaps(&path("/a/b/")));
        assert!(path("/a/b").overlaps(&path("/a/")));
        assert!(!path("/a").overlaps(&path("/ab")));
        assert!(path("/").overlaps(&path("/x")));
    }

    #[test]
    fn some_keys_cannot_be_shown() {
        for hidden in ["a//b", "./a", "a/../b", "/a", ".s3dav/x", "a\u{1}b", "a//"] {
            assert!(!is_showable_key(hidden), "{hidden:?}");
        }
        for shown in ["a", "a/", "a/b", "...", "a/.s3dav/b", "a/Icon\r"] {
            assert!(is_showable_key(shown), "{shown:?}");
        }
    }

    fn path(text: &str) -> ResourcePath {
        ResourcePath::parse(text).unwrap()
    }

    /// Names of so many bytes each, as a key.
    fn names(lengths: &[usize]) -> String {
        lengths.iter().map(|length| "n".repeat(*length)).collect::<Vec<_>>().join("/")
    }

    #[test]
    fn the_longest_names_and_paths_leave_room_for_the_slash_of_a_marker() {
        let (longest, longer) = (names(&[255, 255, 255, 253, 1]), names(&[255, 255, 255, 254, 1]));
        assert_eq!((longest.len(), longer.len()), (1023, 1024));
        for read in [ResourcePath::parse(&format!("/{longest}")).ok(), ResourcePath::of_key(&longest)] {
            assert_eq!(read.unwrap().key(), longest);
        }
        assert_eq!(ResourcePath::parse(&format!("/{longer}")), Err(PathError::TooLong));
        assert_eq!(ResourcePath::of_key(&longer), None);
        assert_eq!(ResourcePath::of_key(&names(&[256])), None);
        let most = "/n".repeat(MAX_SEGMENTS);
        assert_eq!(path(&most).segments().len(), MAX_SEGMENTS);
        assert_eq!(ResourcePath::parse(&(most + "/n")), Err(PathError::TooLong));
    }

    #[test]
    fn escapes_have_two_digits() {
        for broken in ["/%g0", "/%0g", "/a%", "/%+1", "/%%41"] {
            assert_eq!(ResourcePath::parse(broken), Err(PathError::BrokenEscape), "{broken}");
        }
        assert_eq!(path("/%4a%4A%25").key(), "JJ%");
    }

    #[test]
    fn a_path_is_its_segments() {
        let file = path("/a/b c/d%20e");
        assert_eq!(file.segments(), ["a", "b c", "d e"]);
        assert_eq!((file.name(), file.to_string()), ("d e", "/a/b c/d e".to_owned()));
        assert_eq!(file.parent(), path("/a/b%20c/"));
        assert_eq!(path("/a").parent(), path("/"));
        assert_eq!(path("/").parent(), path("/"), "the root holds itself");
        assert_eq!(path("/").name(), "");
        assert!(path("/").is_root() && !file.is_root());
        let other = path("/a/b/").with_segments(vec!["x".to_owned()]);
        assert_eq!(other, path("/x/"));
    }

    #[test]
    fn keys_have_paths_unless_none_shows_them() {
        assert_eq!(ResourcePath::of_key("a/b c").unwrap(), path("/a/b%20c"));
        for hidden in ["a//b", "a/", "", "/a", "../a", "a\u{1}"] {
            assert_eq!(ResourcePath::of_key(hidden), None, "{hidden:?}");
        }
    }

    #[test]
    fn the_gateways_own_folder_is_at_the_root() {
        for own in ["/.s3dav", "/.s3dav/", "/.s3dav/a"] {
            assert!(path(own).is_reserved(), "{own}");
        }
        for other in ["/", "/a", "/a/.s3dav", "/.s3davx"] {
            assert!(!path(other).is_reserved(), "{other}");
        }
    }

    #[test]
    fn a_resource_is_the_same_with_a_slash_and_without() {
        assert!(path("/a/b").same_resource(&path("/a/b/")));
        assert!(!path("/a/b").same_resource(&path("/a")) && !path("/a").same_resource(&path("/A")));
    }

    #[test]
    fn a_resource_has_one_spelling_that_tells_it_apart() {
        let spelled = |text: &str| path(text).path_key().to_string();
        assert_eq!(spelled("/e%CC%81/b/"), "/\u{e9}/b");
        assert_eq!(spelled("/e%CC%81/b/"), spelled("/%C3%A9/b"));
        assert_eq!(spelled("/"), "/");
    }

    #[test]
    fn empty_segments_are_left_out() {
        for (given, left) in [("/a/b/", "/a/b/"), ("//a////b///", "/a/b/"), ("", ""), ("//", "/")] {
            assert_eq!(without_empty_segments(given), left, "{given}");
        }
    }
}
