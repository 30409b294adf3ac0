//! What makes two gateways share one state, and the name of the directory that follows from it.
//!
//! An endpoint has many spellings: `HTTPS://Minio.example:443/` is `https://minio.example`. The name is made of one of
//! them. Earlier versions took the one that was given, so those names are looked for, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use http::Uri;
use sha2::{Digest, Sha256};

use super::DATABASE_FILE;
use super::directory::{LOCK_FILE, base_directory, is_state_directory};

/// What makes two gateways share one state: the same endpoint and the same buckets, or the same
/// directory. Region and profile do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceIdentity {
    /// `endpoint` and `buckets` as given; these each `NAME` or `NAME/PREFIX`.
    Buckets { endpoint: Option<String>, buckets: Vec<String> },
    /// A canonical path.
    Path(PathBuf),
    /// What another gateway serves, by a name of it: a file system's, and its access point's.
    Far(String),
}

impl SourceIdentity {
    /// The directory's name: a readable part and 8 hex digits of a SHA-256.
    pub fn directory_name(&self) -> String {
        match self {
            Self::Buckets { endpoint, buckets } => {
                name_of_buckets(endpoint.as_deref().map(normalized).as_deref(), buckets)
            }
            Self::Path(path) => {
                let last = path.file_name().map(|n| n.to_string_lossy().into_owned());
                // The root has no name, and what begins with a dash would be read as an option.
                name(&last.unwrap_or_else(|| "root".to_owned()), &path.display().to_string())
            }
            Self::Far(far) => name(far, &format!("far\n{far}")),
        }
    }

    /// The names that earlier versions may have given to it.
    fn earlier_names(&self) -> Vec<String> {
        let (endpoint, buckets) = match self {
            Self::Buckets { endpoint: Some(endpoint), buckets } => (endpoint, buckets),
            Self::Path(path) if path.file_name().is_none() => {
                return vec![name("", &path.display().to_string())];
            }
            _ => return Vec::new(),
        };
        let mut names: Vec<String> = Vec::new();
        for spelling in spellings(endpoint) {
            let name = name_of_buckets(Some(&spelling), buckets);
            if name != self.directory_name() && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The states that there are of it in the usual place, the one that was used last first.
    pub fn states(&self) -> Vec<PathBuf> {
        let Some(base) = base_directory() else { return Vec::new() };
        let names = std::iter::once(self.directory_name()).chain(self.earlier_names());
        let mut found: Vec<PathBuf> =
            names.map(|name| base.join(name)).filter(|directory| is_state_directory(directory)).collect();
        found.sort_by_key(|directory| std::cmp::Reverse(last_start(directory)));
        found
    }
}

/// Where a source's state lies unless `--state-dir` says otherwise; `None` without a home.
pub fn default_directory(source: &SourceIdentity) -> Option<PathBuf> {
    let new = base_directory()?.join(source.directory_name());
    Some(source.states().into_iter().next().unwrap_or(new))
}

/// Whether a directory's name is one that a state of that bucket has.
pub fn is_named_after(directory: &Path, bucket: &str) -> bool {
    let name = directory.file_name().and_then(|name| name.to_str()).and_then(|name| name.rsplit_once('-'));
    name.is_some_and(|(readable, _)| readable == readable_part(bucket))
}

/// A start writes into the first, and what follows into the second.
pub(super) fn last_start(directory: &Path) -> Option<SystemTime> {
    let modified = |file: &str| fs::metadata(directory.join(file)).and_then(|meta| meta.modified()).ok();
    [LOCK_FILE, DATABASE_FILE].into_iter().filter_map(modified).max()
}

fn name_of_buckets(endpoint: Option<&str>, buckets: &[String]) -> String {
    let mut sorted = buckets.to_vec();
    sorted.sort();
    let readable = buckets.first().map(String::as_str).unwrap_or_default();
    name(readable, &format!("{}\n{}", endpoint.unwrap_or(""), sorted.join("\n")))
}

fn name(readable: &str, identity: &str) -> String {
    let hash = hex::encode(Sha256::digest(identity));
    format!("{}-{}", readable_part(readable), &hash[..8])
}

/// The first 24 characters, with everything that is awkward in a file name made a dash.
fn readable_part(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    name.chars().map(plain).take(READABLE_CHARS).collect()
}

/// One spelling for all that mean the same: scheme and host in lower case, without the scheme's own port and without
/// slashes at the end.
fn normalized(url: &str) -> String {
    parts(url).map_or_else(|| url.to_owned(), |(server, port, path)| format!("{server}{port}{path}"))
}

/// Those that people write.
fn spellings(url: &str) -> Vec<String> {
    let mut all = vec![url.to_owned()];
    if let Some((server, port, path)) = parts(url) {
        let usual = if server.starts_with("https:") { ":443" } else { ":80" };
        let ports = if port.is_empty() { vec!["", usual] } else { vec![&*port] };
        for port in ports {
            all.extend(["", "/"].map(|end| format!("{server}{port}{path}{end}")));
        }
    }
    all
}

/// `https://host`, `:9000` or nothing, `/path` or nothing.
fn parts(url: &str) -> Option<(String, String, String)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let own = if scheme == "https" { 443 } else { 80 };
    let port = uri.port_u16().filter(|port| *port != own).map(|port| format!(":{port}"));
    let path = uri.path_and_query().map_or("", |path| path.as_str()).trim_end_matches('/');
    let host = uri.host()?.to_ascii_lowercase();
    Some((format!("{scheme}://{host}"), port.unwrap_or_default(), path.to_owned()))
}

/// Long enough to recognise a bucket, short enough for a terminal line and a socket path.
const READABLE_CHARS: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(names: &[&str]) -> SourceIdentity {
        SourceIdentity::Buckets { endpoint: None, buckets: names.iter().map(|n| n.to_string()).collect() }
    }

    #[test]
    fn the_name_is_stable_and_ignores_the_order_of_buckets() {
        let name = buckets(&["a-bucket/with/a/long/prefix/in/it"]).directory_name();
        assert!(name.starts_with("a-bucket-with-a-long-pre-"), "{name}");
        assert!(is_named_after(Path::new(&name), "a-bucket/with/a/long/prefix/in/it"));
        assert!(!is_named_after(Path::new(&name), "a-bucket"));
        let suffix = |i: SourceIdentity| i.directory_name().rsplit('-').next().unwrap().to_owned();
        assert_eq!(suffix(buckets(&["a", "b"])), suffix(buckets(&["b", "a"])));
        assert_ne!(suffix(buckets(&["a", "b"])), suffix(buckets(&["a"])));
        let root = SourceIdentity::Path("/".into());
        assert_eq!(root.earlier_names(), [root.directory_name().trim_start_matches("root")]);
    }

    #[test]
    fn an_endpoint_has_one_spelling() {
        for (same, others) in [
            (
                "https://minio.example",
                &["https://Minio.Example/", "HTTPS://minio.example:443", "https://minio.example:443/"][..],
            ),
            ("http://127.0.0.1:9000", &["http://127.0.0.1:9000/", "HTTP://127.0.0.1:9000"]),
            ("http://[::1]", &["http://[::1]:80/"]),
            ("https://host/Storage/v1/s3", &["https://HOST:443/Storage/v1/s3/"]),
        ] {
            assert_eq!(normalized(same), same);
            for other in others {
                assert_eq!(normalized(other), same, "{other}");
            }
        }
        for other in
            ["http://minio.example", "https://minio.example:80", "https://minio.example/a", "nonsense"]
        {
            assert_ne!(normalized(other), "https://minio.example", "{other}");
        }
    }

    #[test]
    fn names_of_earlier_versions_are_known() {
        let identity = |endpoint: &str| SourceIdentity::Buckets {
            endpoint: Some(endpoint.to_owned()),
            buckets: vec!["a".to_owned()],
        };
        let earlier = |given: &str, spelled: &str| {
            let name = name_of_buckets(Some(spelled), &["a".to_owned()]);
            identity(given).earlier_names().contains(&name)
        };
        assert!(earlier("https://host", "https://host/"));
        assert!(earlier("https://host", "https://host:443"));
        assert!(earlier("HTTPS://Host", "HTTPS://Host"));
        assert!(earlier("http://host:9000/", "http://host:9000/"));
        assert!(!earlier("http://host:9000/", "http://host:9000"), "that is the name of today");
        assert!(buckets(&["a"]).earlier_names().is_empty());
    }
}
