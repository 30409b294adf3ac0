//! Which paths are Finder's own, for whom, and what they belong to. Nothing here looks at anything but the path.

use super::resource_path::is_icon;
use super::{Client, ResourcePath};
use crate::named::names;
use crate::path_key::PathKey;

/// Where what macOS keeps beside files goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppleMetadata {
    /// On this machine, in the state directory.
    #[default]
    Shelf,
    /// Into what is served, as plain files that everybody sees.
    Bucket,
    /// Nowhere: taken, and forgotten after a minute.
    Discard,
}

names!(AppleMetadata {
    Shelf = "shelf": "on this machine",
    Bucket = "bucket": "as files in what is served",
    Discard = "discard": "in memory, for a minute",
});

impl AppleMetadata {
    /// Whether requests of `client` for `path` are answered from the shelf.
    pub fn shelves(self, client: &Client, path: &ResourcePath) -> bool {
        client.quirks().writes_sidecars && self.takes(path)
    }

    /// The same, whoever asks.
    pub(super) fn takes(self, path: &ResourcePath) -> bool {
        let is_own = |(at, name): (usize, &String)| self.takes_name(name, at == 0);
        path.segments().iter().enumerate().any(is_own)
    }

    /// The same of a name in a folder that the shelf does not hold.
    pub(super) fn takes_name(self, name: &str, in_root: bool) -> bool {
        let is_metadata = name.starts_with("._") || name == ".DS_Store" || is_icon(name);
        (is_metadata && self != Self::Bucket)
            || EVERYWHERE.contains(&name)
            || (in_root && IN_ROOT.contains(&name))
    }
}

/// What belongs to the file of this name; `None`: it belongs to the folder that it is in, as the icon does.
pub(super) fn owner_of(name: &str) -> Option<&str> {
    let owner = name.strip_prefix("._").filter(|_| !is_icon(name));
    owner.filter(|owner| !owner.is_empty() && *owner != ".")
}

/// Where the shelf keeps what belongs to the file or folder at `path`, besides what is in it.
pub(super) fn companion_of(path: &PathKey) -> Option<PathKey> {
    let name = format!("._{}", path.name());
    owner_of(&name)?;
    Some(path.parent()?.child(&name))
}

/// The file or folder that what the shelf has at `path` belongs to.
pub(super) fn owner_of_shelved(path: &PathKey) -> PathKey {
    let mut owner = PathKey::default();
    for (at, name) in path.segments().enumerate() {
        if AppleMetadata::Shelf.takes_name(name, at == 0) {
            return owner_of(name).map_or(owner.clone(), |name| owner.child(name));
        }
        owner = owner.child(name);
    }
    owner
}

/// Whether a file is there for Finder though nobody made it: an empty one, never listed. It keeps
/// Spotlight from reading the whole bucket.
pub(super) fn is_virtual(path: &ResourcePath) -> bool {
    matches!(path.segments(), [name] if name == ".metadata_never_index")
}

/// Flags that macOS looks for in every folder.
const EVERYWHERE: &[&str] = &[".localized", ".hidden", ".ql_disablethumbnails", ".ql_disablecache"];

/// What macOS looks for at the root of every volume, or makes there.
const IN_ROOT: &[&str] = &[
    ".Spotlight-V100",
    ".TemporaryItems",
    ".Trashes",
    ".VolumeIcon.icns",
    ".apdisk",
    ".fseventsd",
    ".metadata_direct_scope_only",
    ".metadata_never_index",
    ".metadata_never_index_unless_rootfs",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn client(product: &str) -> Client {
        Client::new(None, [127, 0, 0, 1].into(), product)
    }

    #[test]
    fn finders_own_files_are_told_from_the_users() {
        let shelves = |mode: AppleMetadata, product: &str, path: &str| {
            mode.shelves(&client(product), &ResourcePath::parse(path).unwrap())
        };
        for path in [
            "/._.",
            "/._x",
            "/a/._x",
            "/a/b/.DS_Store",
            "/a/.localized",
            "/.TemporaryItems/folders.501/x",
            "/.Trashes/",
            "/.metadata_never_index",
            "/._folder/x",
            "/a/Icon%0D",
            "/a/._Icon%0D",
        ] {
            assert!(shelves(AppleMetadata::Shelf, "WebDAVFS", path), "{path}");
            assert!(shelves(AppleMetadata::Discard, "WebDAVFS", path), "{path}");
            assert!(!shelves(AppleMetadata::Shelf, "davfs2", path), "{path}");
        }
        for path in
            ["/", "/x", "/a/.Trashes", "/.hiddenfile", "/.DS_Store2", "/DCIM", "/mach_kernel", "/_._x"]
        {
            assert!(!shelves(AppleMetadata::Shelf, "WebDAVFS", path), "{path}");
        }
        for path in ["/a/._x", "/.DS_Store", "/a/Icon%0D", "/a/._Icon%0D"] {
            assert!(!shelves(AppleMetadata::Bucket, "WebDAVFS", path), "{path}");
        }
        assert!(shelves(AppleMetadata::Bucket, "WebDAVFS", "/a/.localized"));
    }

    #[test]
    fn what_belongs_to_whom() {
        assert_eq!(owner_of("._a.txt"), Some("a.txt"));
        assert_eq!(owner_of("._."), None);
        assert_eq!(owner_of("._"), None);
        assert_eq!(owner_of(".DS_Store"), None);
        assert_eq!(owner_of("Icon\r"), None);
        assert_eq!(owner_of("._Icon\r"), None);
    }

    #[test]
    fn what_finder_keeps_belongs_to_somebody() {
        for (path, owner) in
            [("/d/._a", "/d/a"), ("/d/.DS_Store", "/d"), ("/.Trashes/501/x", ""), ("/._d", "/d")]
        {
            assert_eq!(owner_of_shelved(&PathKey::of_text(path)), PathKey::of_text(owner));
        }
        assert_eq!(companion_of(&PathKey::of_text("/d/a")), Some(PathKey::of_text("/d/._a")));
    }
}
