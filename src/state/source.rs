//! Whose state a directory holds: a note beside the database that people can read, and commands find it by. No secret
//! is in it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::identity::{SourceIdentity, last_start};
use super::{read_private, write_private};

/// What is served with that state, as it was last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SourceNote {
    /// Each `NAME` or `NAME/PREFIX`; none where a directory is served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<String>,
    /// As it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// What another gateway serves, which this one leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub far: Option<String>,
    /// RFC 3339, in UTC.
    #[serde(default)]
    pub last_use: String,
    /// Those of `serve` that were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl SourceNote {
    /// The note in a state directory, if there is one that can be read. Blocks.
    pub fn read(directory: &Path) -> Option<Self> {
        toml::from_str(&read_private(&directory.join(FILE)).ok()?).ok()
    }

    /// Writes it, as of this moment. Blocks.
    pub fn write(&mut self, directory: &Path) -> io::Result<()> {
        let now = OffsetDateTime::from(SystemTime::now());
        let whole = now.replace_nanosecond(0).unwrap_or(now);
        self.last_use = whole.format(&Rfc3339).map_err(io::Error::other)?;
        let text = toml::to_string(self).map_err(io::Error::other)?;
        write_private(&directory.join(FILE), &format!("{HEAD}{text}"))
    }

    /// By which it is told from other sources.
    pub fn identity(&self) -> SourceIdentity {
        match (&self.path, &self.far) {
            (Some(path), _) => SourceIdentity::Path(path.clone()),
            (None, Some(far)) => SourceIdentity::Far(far.clone()),
            (None, None) => {
                SourceIdentity::Buckets { endpoint: self.endpoint.clone(), buckets: self.buckets.clone() }
            }
        }
    }

    /// When it was last used, as a time.
    pub fn last_used(&self) -> Option<SystemTime> {
        OffsetDateTime::parse(&self.last_use, &Rfc3339).ok().map(SystemTime::from)
    }
}

impl std::fmt::Display for SourceNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.path, &self.far) {
            (Some(path), _) => path.display().fmt(f),
            (None, Some(far)) => f.write_str(far),
            (None, None) => f.write_str(&self.buckets.join(", ")),
        }
    }
}

/// When a state was last in use, as far as can be told.
pub fn last_use(directory: &Path) -> Option<SystemTime> {
    let noted = SourceNote::read(directory).and_then(|note| note.last_used());
    // One that was killed has noted its start alone.
    noted.max(last_start(directory))
}

pub(super) const FILE: &str = "source.toml";
const HEAD: &str = "# What the state in this directory belongs to. `s3dav state list` shows it.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(SourceNote::read(place.path()), None);
        let mut note = SourceNote {
            buckets: vec!["photos/2026".into(), "work".into()],
            endpoint: Some("https://minio.example:9000".into()),
            options: vec!["--bucket=photos/2026,work".into()],
            ..SourceNote::default()
        };
        note.write(place.path()).unwrap();
        assert_eq!(SourceNote::read(place.path()), Some(note.clone()));
        assert!(note.last_used().unwrap() <= SystemTime::now());
        assert_eq!(note.to_string(), "photos/2026, work");
        std::fs::write(place.path().join(FILE), "buckets = [").unwrap();
        assert_eq!(SourceNote::read(place.path()), None);
    }
}
