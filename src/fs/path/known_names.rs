//! The names in folders that are not ASCII, by what means the same to Unicode. A miss of such a name looks at all
//! names of its folder, and clients miss again and again; so they are remembered while the folder stays as it is.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use cap_std::fs::Dir;
use moka::sync::Cache;
use unicode_normalization::UnicodeNormalization;

use super::stat::Stat;
use crate::object::ETag;

/// See the module.
#[derive(Debug)]
pub(super) struct KnownNames(Cache<String, Arc<Names>>);

#[derive(Debug)]
struct Names {
    /// Of the folder, when they were read: another one whenever something comes or goes.
    version: ETag,
    /// As they are stored, by their composed form.
    stored: HashMap<String, String>,
}

impl Default for KnownNames {
    fn default() -> Self {
        let weight = |folder: &String, names: &Arc<Names>| {
            let bytes: usize =
                names.stored.iter().map(|(one, other)| one.len() + other.len() + PER_NAME).sum();
            u32::try_from(folder.len() + bytes).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(MAX_BYTES).weigher(weight).time_to_live(TTL).build())
    }
}

impl KnownNames {
    /// The name in `folder`, which is open as `dir`, that means the same as `name`. Blocks.
    pub(super) fn find(&self, folder: &str, dir: &Dir, name: &str) -> io::Result<Option<String>> {
        let composed: String = name.nfc().collect();
        // What comes within a tick of the disk's clock leaves the folder's dates as they are: they count once that is
        // over, before it is read.
        let settled = Stat::of(&dir.dir_metadata()?).filter(|now| !now.is_fresh());
        if let Some(names) = self.0.get(folder)
            && settled.as_ref().is_some_and(|now| now.etag == names.version)
        {
            return Ok(names.stored.get(&composed).cloned());
        }
        let stored = read(dir)?;
        let found = stored.get(&composed).cloned();
        if let Some(now) = settled {
            self.0.insert(folder.to_owned(), Arc::new(Names { version: now.etag, stored }));
        }
        Ok(found)
    }
}

/// Of two that mean the same the first one counts.
fn read(dir: &Dir) -> io::Result<HashMap<String, String>> {
    let mut stored = HashMap::new();
    for entry in dir.entries()? {
        if let Ok(name) = entry?.file_name().into_string()
            && !name.is_ascii()
        {
            stored.entry(name.nfc().collect()).or_insert(name);
        }
    }
    Ok(stored)
}

/// A network file system may tell late that a folder has changed.
const TTL: Duration = Duration::from_secs(10);
/// Of all folders together: some 50,000 names.
const MAX_BYTES: u64 = 8 << 20;
/// Bytes that a name takes beside its letters.
const PER_NAME: usize = 64;
