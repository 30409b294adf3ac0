//! The path below which a reverse proxy shows this server.
//!
//! Some proxies pass requests on with that path, others without it: both are understood. Every address in an answer
//! begins with it, since the client sees the server there alone.

use std::str::FromStr;

use percent_encoding::percent_decode_str;

use super::resource_path::{PathError, ResourcePath};

/// The prefix of all addresses; by default none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UrlPrefix {
    /// As it was given, without the slash at its end.
    text: String,
    /// Without escapes.
    segments: Vec<String>,
}

/// What a prefix must be like.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not the path below which a proxy shows this server")]
pub struct NoPrefix(String);

impl FromStr for UrlPrefix {
    type Err = NoPrefix;

    fn from_str(text: &str) -> Result<Self, NoPrefix> {
        let no_prefix = || NoPrefix(text.to_owned());
        // It is written into XML and HTML as it is.
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "/-._~%@:+,=".contains(c);
        let shortened = text.strip_suffix('/').filter(|_| text.starts_with('/')).ok_or_else(no_prefix)?;
        if text.contains("//") || !text.chars().all(is_legal) {
            return Err(no_prefix());
        }
        let path = ResourcePath::parse(text).map_err(|_| no_prefix())?;
        Ok(Self { text: shortened.to_owned(), segments: path.segments().to_vec() })
    }
}

impl UrlPrefix {
    /// Before the path of an address, which begins with a slash.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The same without escapes.
    pub fn decoded(&self) -> String {
        self.segments.iter().flat_map(|segment| ["/", segment]).collect()
    }

    /// What of a request's path is this server's: all of it, if it comes without the prefix. It is empty where the
    /// prefix comes without its last slash.
    pub fn rest<'p>(&self, path: &'p str) -> &'p str {
        let mut rest = path;
        for wanted in &self.segments {
            let at = rest.trim_start_matches('/');
            let segment = &at[..at.find('/').unwrap_or(at.len())];
            if at.len() == rest.len() || percent_decode_str(segment).ne(wanted.bytes()) {
                return path;
            }
            rest = &at[segment.len()..];
        }
        rest
    }

    /// Whether a child of a folder has the prefix for its path. Its address would be taken for another one's, and
    /// whoever walks through all folders would come to the root again: it is not shown.
    pub fn hides(&self, folder: &ResourcePath, child: &str) -> bool {
        self.segments.split_last().is_some_and(|(last, above)| last == child && above == folder.segments())
    }

    /// Reads the path of a request, or of an address in it.
    pub fn path(&self, encoded: &str) -> Result<ResourcePath, PathError> {
        match self.rest(encoded) {
            "" if !encoded.is_empty() => Ok(ResourcePath::default()),
            rest => ResourcePath::parse(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> UrlPrefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_is_a_path_between_slashes() {
        for text in ["/proxy/8330/", "/user/jo%40x.org/proxy/1/", "/~me/", "/a.b/"] {
            assert_eq!(prefix(text).text(), text.trim_end_matches('/'));
        }
        assert_eq!((prefix("/"), prefix("/").decoded()), (UrlPrefix::default(), String::new()));
        assert_eq!(prefix("/jo%40x/").decoded(), "/jo@x");
        for text in [
            "",
            "a",
            "/a",
            "a/",
            "//",
            "/a//b/",
            "/a//",
            "/./",
            "/a/../",
            "/%2e%2e/",
            "/a?b/",
            "/a#/",
            "/a b/",
            "/a&b/",
            "/a\"/",
            "/<a>/",
            "/%2/",
            "/%2F/",
            "/%00/",
            "/\u{e9}/",
            "http://h/a/",
        ] {
            assert!(text.parse::<UrlPrefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_comes_with_the_prefix_or_without_it() {
        let prefix = prefix("/user/jo%40x/");
        for (path, rest) in [
            ("/user/jo%40x/a/b", "/a/b"),
            ("/user/jo@x/a//b/", "/a//b/"),
            ("//user//jo%40x//a", "//a"),
            ("/user/jo%40x/", "/"),
            ("/user/jo%40x", ""),
            ("/a/b", "/a/b"),
            ("/", "/"),
            ("/user", "/user"),
            ("/user/jo%40xy/a", "/user/jo%40xy/a"),
            ("user/jo%40x/a", "user/jo%40x/a"),
        ] {
            assert_eq!(prefix.rest(path), rest, "{path}");
        }
        let read = |path: &str| prefix.path(path).map(|path| (path.key(), path.has_trailing_slash()));
        assert_eq!(read("/user/jo%40x/a"), Ok(("a".to_owned(), false)));
        assert_eq!(read("/user/jo%40x"), Ok((String::new(), false)));
        assert_eq!(read("/user/jo%40x/"), Ok((String::new(), true)));
        assert_eq!(read(""), Err(PathError::Relative));
    }

    #[test]
    fn what_is_named_as_the_prefix_is_hidden() {
        let prefix = prefix("/a/b%20c/");
        let hides = |folder: &str, child: &str| prefix.hides(&ResourcePath::parse(folder).unwrap(), child);
        assert!(hides("/a/", "b c") && hides("/a", "b c"));
        assert!(!hides("/", "a") && !hides("/a/", "b") && !hides("/a/b%20c/", "d") && !hides("/x/", "b c"));
        assert!(!UrlPrefix::default().hides(&ResourcePath::default(), ""));
    }

    #[test]
    fn without_a_prefix_every_path_is_as_it_was() {
        for path in ["/", "//", "/a", "//a//", "", "a"] {
            assert_eq!(UrlPrefix::default().rest(path), path);
            assert_eq!(UrlPrefix::default().path(path), ResourcePath::parse(path));
        }
    }

    #[test]
    fn the_root_is_no_prefix() {
        assert!(prefix("/").is_empty() && UrlPrefix::default().is_empty() && !prefix("/a/").is_empty());
    }
}
