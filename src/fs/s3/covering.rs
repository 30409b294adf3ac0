//! Whether somebody has made a folder where a new file is to be: of many files of one folder, one listing tells it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::object::{Key, parent_prefix};
use crate::store::{ListRequest, MultipartStore, PAGE_KEYS, StoreResult, listing};

/// What S3 last told of the folders that lie in folders. It counts for changes that were accepted before it was asked.
#[derive(Debug, Default)]
pub(super) struct Covering(Mutex<HashMap<String, Arc<tokio::sync::Mutex<Told>>>>);

#[derive(Debug, Default)]
struct Told {
    /// When it was asked, for the first time for one file alone.
    asked: Option<Instant>,
    listed: Option<Listed>,
}

/// The begin of a folder's listing.
#[derive(Debug)]
struct Listed {
    asked: Instant,
    /// Each ends with a slash.
    folders: HashSet<String>,
    /// Its last name; `None`: there are no more.
    end: Option<String>,
}

impl Covering {
    /// Whether a folder has the name of `key`, as of a moment after `accepted`.
    pub(super) async fn has_folder(
        &self,
        store: &dyn MultipartStore,
        key: &Key,
        accepted: Instant,
    ) -> StoreResult<bool> {
        let (parent, folder) = (parent_prefix(key.as_str()), format!("{key}/"));
        let told = self.of(parent);
        let mut told = told.lock().await;
        if let Some(known) = told.listed.as_ref().and_then(|listed| listed.has(&folder, accepted)) {
            return Ok(known);
        }
        let now = Instant::now();
        if told.asked.replace(now).is_some_and(|before| now - before < SOON) {
            match Listed::ask(store, parent).await {
                Ok(listed) => told.listed = Some(listed),
                Err(error) if error.is_transient() => return Err(error),
                // It is not for us to list.
                Err(_) => {}
            }
            if let Some(known) = told.listed.as_ref().and_then(|listed| listed.has(&folder, accepted)) {
                return Ok(known);
            }
        }
        drop(told);
        listing::any(store, &folder).await
    }

    fn of(&self, parent: &str) -> Arc<tokio::sync::Mutex<Told>> {
        let mut all = self.0.lock();
        if all.len() >= MOST && !all.contains_key(parent) {
            all.clear();
        }
        Arc::clone(all.entry(parent.to_owned()).or_default())
    }
}

impl Listed {
    async fn ask(store: &dyn MultipartStore, parent: &str) -> StoreResult<Self> {
        let asked = Instant::now();
        // One that is as long as a page may be is answered from memory.
        let request = ListRequest { max_keys: PAGE_KEYS - 1, ..ListRequest::children(parent) };
        let page = store.list(&request).await?;
        let last = page.objects.last().map(|object| object.key.as_str().to_owned());
        let last = last.max(page.prefixes.last().cloned()).unwrap_or_default();
        let end = page.continuation.is_some().then_some(last);
        Ok(Self { asked, folders: page.prefixes.into_iter().collect(), end })
    }

    /// Whether a folder is there; `None`: it does not tell.
    fn has(&self, folder: &str, accepted: Instant) -> Option<bool> {
        let is_told = self.end.as_ref().is_none_or(|end| folder <= end.as_str());
        (self.asked >= accepted && self.asked.elapsed() < SOON && is_told)
            .then(|| self.folders.contains(folder))
    }
}

/// Files that are stored one after the other belong together.
const SOON: Duration = Duration::from_secs(10);
/// Folders of which something is remembered: a thousand names each.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Attributes, Condition};
    use crate::store::memory::MemoryStore;
    use crate::store::{ObjectStore, PutObject};

    async fn put(store: &MemoryStore, key: &str) {
        let (key, body) = (&Key::new(key).unwrap(), "x".into());
        let (attributes, condition) = (&Attributes::default(), &Condition::None);
        store.put(PutObject { key, body, attributes, condition }).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_make_before_a_change_is_accepted_is_seen() {
        let (store, covering) = (MemoryStore::default(), Covering::default());
        let has = async |name: &str, accepted| {
            covering.has_folder(&store, &Key::new(name).unwrap(), accepted).await.unwrap()
        };
        let begun = Instant::now();
        put(&store, "d/a/x").await;
        put(&store, "d/b").await;
        for _ in 0..3 {
            assert!(has("d/a", begun).await && !has("d/b", begun).await && !has("d/c", begun).await);
        }
        put(&store, "d/c/x").await;
        assert!(!has("d/c", begun).await, "it was asked after that was accepted");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(has("d/c", Instant::now()).await);
    }

    #[tokio::test]
    async fn what_is_beyond_the_begin_of_a_listing_is_asked_for() {
        let (store, covering) = (MemoryStore::default(), Covering::default());
        let begun = Instant::now();
        for number in 0..PAGE_KEYS {
            put(&store, &format!("d/{number:04}/x")).await;
        }
        put(&store, "d/z/x").await;
        for name in ["d/0000", "d/0999", "d/z", "d/zz", "d/00000", "d/0999"] {
            let is_there = covering.has_folder(&store, &Key::new(name).unwrap(), begun).await.unwrap();
            assert_eq!(is_there, name.len() == 6 || name == "d/z", "{name}");
        }
    }
}
