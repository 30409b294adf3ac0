//! What Amazon S3 Files keeps in `.s3files-lost+found-*`, shown as a folder of the root that can only be read: files
//! that lost against a change in the bucket, where they lay before if that is told, else by their own names. All of
//! this blocks; see [`super::disk`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::names::{self, Owner};
use super::root::{Root, leads_nowhere};
use super::stat::Stat;
use super::{Located, Shared, path_name};
use crate::fs::resource_path::is_showable_key;
use crate::fs::{Failure, Resource, ResourcePath};

/// The folder that is shown. Cloning is not needed: one a directory.
#[derive(Debug)]
pub(super) struct Conflicts {
    /// Its name, which nothing else in the root has when the gateway starts.
    name: String,
    /// What was found last, and when.
    found: Mutex<Option<(Instant, Arc<Index>)>>,
}

/// The files by the keys where they are shown, below the folder, and the folders of S3 Files itself.
#[derive(Debug, Default)]
struct Index {
    files: BTreeMap<String, String>,
    folder: Option<String>,
}

impl Conflicts {
    pub(super) fn new(root: &Root) -> io::Result<Self> {
        for name in NAMES {
            if root.find(name)?.is_none() {
                return Ok(Self { name: name.to_owned(), found: Mutex::default() });
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("the folder has {} already", NAMES.join(" and ")),
        ))
    }

    /// The key below the folder that `path` names; empty for the folder itself.
    pub(super) fn below(&self, path: &ResourcePath) -> Option<String> {
        let (first, rest) = path.segments().split_first()?;
        (*first == self.name).then(|| rest.join("/"))
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        name == self.name
    }

    /// What is shown at `below`.
    pub(super) fn locate(&self, shared: &Shared, below: &str) -> Result<Option<Located>, Failure> {
        let index = self.index(shared)?;
        let Some(folder) = &index.folder else { return Ok(None) };
        let is_folder = below.is_empty() || index.files.keys().any(|shown| is_below(shown, below));
        let key = if is_folder { Some(folder) } else { index.files.get(below) };
        let Some(key) = key else { return Ok(None) };
        let found = shared.root.find(key)?.filter(|found| found.stat.is_folder == is_folder);
        Ok(found.map(|found| self.located(key, below, found.stat)))
    }

    /// The children of the folder at `below`.
    pub(super) fn children(&self, shared: &Shared, below: &str) -> Result<Vec<Resource>, Failure> {
        let index = self.index(shared)?;
        let mut names = BTreeSet::new();
        for shown in index.files.keys().filter(|shown| below.is_empty() || is_below(shown, below)) {
            let rest = if below.is_empty() { shown } else { &shown[below.len() + 1..] };
            let child = rest.split('/').next().unwrap_or_default();
            let child = if below.is_empty() { child.to_owned() } else { format!("{below}/{child}") };
            names.insert(child);
        }
        let located = names.iter().map(|child| self.locate(shared, child));
        located.filter_map(|child| child.map(|c| Some(c?.resource())).transpose()).collect()
    }

    fn located(&self, key: &str, below: &str, stat: Stat) -> Located {
        let shown = if below.is_empty() { self.name.clone() } else { format!("{}/{below}", self.name) };
        Located { key: key.to_owned(), stat, is_link: false, shown: Some(shown) }
    }

    /// The folder, as the listing of the root shows it in place of `name`, if that is S3 Files'.
    pub(super) fn stands_for(&self, shared: &Shared, name: &str) -> Result<Option<Resource>, Failure> {
        let found = shared.root.find(name)?.filter(|found| found.stat.is_folder);
        Ok(found.map(|found| self.located(name, "", found.stat).resource()))
    }

    fn index(&self, shared: &Shared) -> Result<Arc<Index>, Failure> {
        let mut found = self.found.lock();
        if let Some((_, index)) = found.as_ref().filter(|(when, _)| when.elapsed() < MEMORY) {
            return Ok(Arc::clone(index));
        }
        let index = Arc::new(Index::read(shared)?);
        *found = Some((Instant::now(), Arc::clone(&index)));
        Ok(index)
    }
}

impl Index {
    fn read(shared: &Shared) -> Result<Self, Failure> {
        let mut index = Self::default();
        for entry in shared.root.folder("")?.entries()? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            // There is one, of the file system that is mounted.
            if names::owner(&name) == Some(Owner::S3Files) && index.folder.is_none() {
                index.add(shared, name)?;
            }
        }
        Ok(index)
    }

    fn add(&mut self, shared: &Shared, folder: String) -> Result<(), Failure> {
        let opened = match shared.root.folder(&folder) {
            Err(error) if leads_nowhere(&error) => return Ok(()),
            opened => opened?,
        };
        for entry in opened.entries()?.take(MOST) {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !entry.file_type()?.is_file() || !is_showable_key(&name) {
                continue;
            }
            let key = format!("{folder}/{name}");
            let original = shared.exports.status(&shared.root, &key)?.and_then(|status| status.original);
            self.files.insert(shown(&name, original.as_deref()), key);
        }
        self.folder = Some(folder);
        Ok(())
    }
}

/// Where the file of this name is shown: what lost several times lost each time under another identifier.
fn shown(name: &str, original: Option<&str>) -> String {
    let Some((id, rest)) = name.split_once('_') else { return name.to_owned() };
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id || rest.is_empty() {
        return name.to_owned();
    }
    let original = original.map(|path| path.trim_matches('/')).filter(|path| {
        is_showable_key(path)
            && !path.split('/').any(|name| matches!(name, "" | "." | ".."))
            && !path.is_empty()
    });
    let original = original.unwrap_or(rest);
    let last = path_name(original);
    let parent = &original[..original.len() - last.len()];
    match last.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) {
        Some((stem, extension)) => format!("{parent}{stem} ({id}).{extension}"),
        None => format!("{parent}{last} ({id})"),
    }
}

fn is_below(key: &str, folder: &str) -> bool {
    key.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

const NAMES: [&str; 2] = ["Conflicts", "Conflicts of S3 Files"];
/// How long what was found is taken for what is there: a look costs two listings, and a question a file.
const MEMORY: Duration = Duration::from_secs(5);
/// Files that are shown.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lost_is_shown_where_it_lay() {
        assert_eq!(shown("abcdef1234_report.csv", Some("/data/report.csv")), "data/report (abcdef1234).csv");
        assert_eq!(shown("abcdef1234_report.csv", None), "report (abcdef1234).csv");
        assert_eq!(shown("ab12_.profile", None), ".profile (ab12)");
        assert_eq!(shown("ab12_Makefile", Some("/src/Makefile")), "src/Makefile (ab12)");
        assert_eq!(shown("notes_of_june.txt", None), "notes_of_june.txt", "no identifier");
        for odd in ["/../etc/passwd", "/a//b", "/", "."] {
            assert_eq!(shown("ab12_x", Some(odd)), "x (ab12)", "{odd}");
        }
    }
}
