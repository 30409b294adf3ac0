//! What is known of keys and prefixes, folder by folder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use moka::ops::compute::Op;
use moka::sync::Cache;

use super::Times;
use super::folder::Folder;
use super::knowledge::{Asked, Freshness, Tick, What};
use crate::object::{Key, ListPage, ListedObject, ObjectMeta, Spelling, parent_prefix};

/// See the module.
#[derive(Debug)]
pub struct MetadataCache {
    folders: Cache<String, Arc<Folder>>,
    ticks: AtomicU64,
    times: Times,
}

/// A question under way. Its answer counts for what has not changed since it was asked.
///
/// It holds the folder's record: if the record is dropped meanwhile, so is what would be learned.
#[derive(Debug)]
pub struct Question<'a> {
    cache: &'a MetadataCache,
    folder: Arc<Folder>,
    prefix: Box<str>,
    asked: Asked,
}

impl MetadataCache {
    /// `size`: bytes in all.
    pub fn new(size: u64, times: Times) -> Self {
        let weight = |_: &String, folder: &Arc<Folder>| u32::try_from(folder.weight()).unwrap_or(u32::MAX);
        let folders = Cache::builder().max_capacity(size).weigher(weight).build();
        Self { folders, ticks: AtomicU64::new(1), times }
    }

    /// Bytes in use, about.
    pub fn used(&self) -> u64 {
        self.folders.weighted_size()
    }

    /// Whether anything is remembered at all.
    pub fn is_on(&self) -> bool {
        !self.times.metadata.is_zero()
    }

    /// The object at `key`: unknown, known to be absent, or there.
    pub fn object(&self, key: &Key, freshness: Freshness) -> Option<Option<ObjectMeta>> {
        if key.as_str().ends_with('/') {
            // A marker: its name is known as the folder's.
            return None;
        }
        match self.look(key.as_str(), freshness)? {
            What::Object(meta) => Some(Some(meta)),
            _ => Some(None),
        }
    }

    /// Whether anything lies below `prefix`, which ends with a slash.
    pub fn prefix(&self, prefix: &str, freshness: Freshness) -> Option<bool> {
        if let Some(what) = self.look(prefix, freshness) {
            return Some(what == What::Prefix);
        }
        self.folders.get(prefix)?.is_empty(&self.times).map(|empty| !empty)
    }

    /// A page of a folder's listing.
    pub fn page(&self, prefix: &str, continuation: Option<&str>, freshness: Freshness) -> Option<ListPage> {
        self.folders.get(prefix)?.page(continuation, freshness, &self.times)
    }

    /// The files that follow `key` in its folder, in the order of their names, as it was last listed, each as it was last
    /// known.
    pub fn files_after(&self, key: &Key, most: usize) -> Vec<ListedObject> {
        let Some(folder) = self.folders.get(parent_prefix(key.as_str())) else { return Vec::new() };
        let listed = folder.files_after(key.as_str(), most).into_iter();
        let newest = listed.filter_map(|file| Some((self.object(&file.key, Freshness::Any)??, file.key)));
        newest.map(|(meta, key)| ListedObject { key, meta }).collect()
    }

    /// How a child of `prefix` that means the same as `name` to Unicode is spelled.
    pub fn spelling(&self, prefix: &str, name: &str) -> Spelling {
        self.folders.get(prefix).map_or(Spelling::Unknown, |folder| folder.spelling(name, &self.times))
    }

    /// Whether this is the second child of its folder in a row of which nothing is known: then the
    /// next ones are near, and a page of the listing serves them all.
    pub fn is_asked_again(&self, name: &Key) -> bool {
        self.folder(parent_prefix(name.as_str())).is_asked_again(name.as_str(), &self.times)
    }

    /// Notes that something about the children of `prefix` is being asked.
    pub fn ask(&self, prefix: &str) -> Question<'_> {
        let folder = self.folder(prefix);
        Question { cache: self, folder, prefix: prefix.into(), asked: self.asked(Instant::now()) }
    }

    /// Notes that a folder is being made, if nothing is known to lie there. What is learned counts as old, since somebody
    /// else may put something into it meanwhile: it is for when the store is away.
    pub fn make(&self, marker: &Key) -> Option<Question<'_>> {
        let prefix = marker.as_str();
        let is_new = prefix.ends_with('/') && self.prefix(prefix, Freshness::Any) == Some(false);
        // Of one that was listed more is known: what was deleted in it.
        let is_unlisted = self.page(prefix, None, Freshness::Any).is_none();
        let old = Instant::now().checked_sub(self.times.of_listing(1)).filter(|_| is_new && is_unlisted)?;
        let folder = self.folder(prefix);
        Some(Question { cache: self, folder, prefix: prefix.into(), asked: self.asked(old) })
    }

    /// `key` has been written, by a request that was `begun` then.
    pub fn wrote(&self, key: &Key, meta: ObjectMeta, begun: Instant) {
        let (name, now) = (key.as_str(), self.asked(begun));
        self.learn(home(name), name, What::Object(meta), now);
        self.appeared(home(name), now);
    }

    /// `key` has been deleted, by a request that was `begun` then.
    pub fn removed(&self, key: &Key, begun: Instant) {
        let (name, now) = (key.as_str(), self.asked(begun));
        self.learn(home(name), name, What::Nothing, now);
        self.thinned(home(name), now);
    }

    /// `key` may have changed, or may change yet: the next who looks asks. What was known is kept for
    /// [`Freshness::Any`].
    pub fn doubt(&self, key: &Key) {
        let (name, now) = (key.as_str(), self.asked(Instant::now()));
        self.learn(home(name), name, What::Doubtful, now);
        self.thinned(home(name), now);
    }

    fn look(&self, name: &str, freshness: Freshness) -> Option<What> {
        let parent = parent_prefix(name);
        if let Some(folder) = self.folders.get(parent)
            && let Some(what) = folder.look(name, freshness, &self.times)
        {
            return Some(what);
        }
        // Where there is no folder there is nothing in it.
        if parent.is_empty() {
            None
        } else {
            (self.look(parent, freshness)? == What::Nothing).then_some(What::Nothing)
        }
    }

    /// Something lies below `prefix` now, and so below all that it lies in.
    fn appeared(&self, mut prefix: &str, now: Asked) {
        while !prefix.is_empty() {
            let parent = parent_prefix(prefix);
            if let Some(folder) = self.folders.get(parent)
                && folder.look(prefix, Freshness::Listed, &self.times) != Some(What::Prefix)
            {
                folder.learn(prefix, What::Prefix, now, &self.times);
            }
            prefix = parent;
        }
    }

    /// Something below `prefix` may be gone: if it was the last, so is the folder.
    fn thinned(&self, mut prefix: &str, now: Asked) {
        while !prefix.is_empty() {
            let what = match self.folders.get(prefix).and_then(|folder| folder.is_empty(&self.times)) {
                Some(false) => return,
                Some(true) => What::Nothing,
                None => What::Doubtful,
            };
            if let Some(folder) = self.folders.get(parent_prefix(prefix)) {
                folder.learn(prefix, what, now, &self.times);
            }
            prefix = parent_prefix(prefix);
        }
    }

    fn learn(&self, prefix: &str, name: &str, what: What, asked: Asked) {
        self.learn_in(prefix, &self.folder(prefix), name, what, asked);
    }

    /// Facts are small: that a folder has grown by some need not be known at once.
    fn learn_in(&self, prefix: &str, folder: &Arc<Folder>, name: &str, what: What, asked: Asked) {
        if folder.learn(name, what, asked, &self.times) && asked.tick.0.is_multiple_of(WEIGH_EVERY) {
            self.weigh(prefix, folder);
        }
    }

    fn folder(&self, prefix: &str) -> Arc<Folder> {
        self.folders.get_with_by_ref(prefix, || Arc::new(Folder::new(prefix)))
    }

    fn asked(&self, at: Instant) -> Asked {
        Asked { tick: Tick(self.ticks.fetch_add(1, Ordering::Relaxed)), at }
    }

    /// Tells moka the weight of a folder that has grown, if it still is the folder's record.
    fn weigh(&self, prefix: &str, folder: &Arc<Folder>) {
        self.folders.entry_by_ref(prefix).and_compute_with(|entry| match entry {
            Some(entry) if Arc::ptr_eq(entry.value(), folder) => Op::Put(Arc::clone(folder)),
            _ => Op::Nop,
        });
    }
}

impl Question<'_> {
    /// The answer is about one object.
    pub fn object(&self, key: &Key, meta: Option<ObjectMeta>) {
        if key.as_str().ends_with('/') {
            // A marker: where there is one there is the folder; without it there may be one still.
            meta.into_iter().for_each(|_| self.learn(key.as_str(), What::Prefix));
            return;
        }
        let what = meta.map_or(What::Nothing, What::Object);
        self.learn(key.as_str(), what);
    }

    /// The answer is whether anything lies below a prefix.
    pub fn prefix(&self, prefix: &str, is_there: bool) {
        self.learn(prefix, if is_there { What::Prefix } else { What::Nothing });
    }

    /// The answer is a page of the folder's listing.
    pub fn page(&self, continuation: Option<&str>, page: &ListPage) {
        if !self.folder.learn_page(continuation, page, self.asked) {
            return;
        }
        self.cache.weigh(&self.prefix, &self.folder);
        if continuation.is_none() && !self.prefix.is_empty() {
            // A listing also tells whether the folder exists.
            let what = if page.is_nothing() { What::Nothing } else { What::Prefix };
            if let Some(parent) = self.cache.folders.get(parent_prefix(&self.prefix)) {
                parent.learn(&self.prefix, what, self.asked, &self.cache.times);
            }
        }
    }

    /// The folder is made, and nothing else is in it.
    pub fn made(&self, marker: &Key, meta: &ObjectMeta) {
        let objects = vec![ListedObject { key: marker.clone(), meta: meta.clone() }];
        self.page(None, &ListPage { objects, ..ListPage::default() });
    }

    /// The answer is everything below the folder, undelimited and in one page.
    pub fn tree(&self, page: &ListPage) {
        let mut folders: BTreeMap<&str, ListPage> = BTreeMap::new();
        folders.entry(&self.prefix).or_default();
        for object in &page.objects {
            let folder = home(object.key.as_str());
            folders.entry(folder).or_default().objects.push(object.clone());
            let mut below = folder;
            while below.len() > self.prefix.len() {
                let above = folders.entry(parent_prefix(below)).or_default();
                if above.prefixes.last().is_none_or(|last| last != below) {
                    above.prefixes.push(below.to_owned());
                }
                below = parent_prefix(below);
            }
        }
        for (prefix, page) in folders {
            let folder = self.cache.folder(prefix);
            Question { cache: self.cache, folder, prefix: prefix.into(), asked: self.asked }
                .page(None, &page);
        }
    }

    fn learn(&self, name: &str, what: What) {
        self.cache.learn_in(&self.prefix, &self.folder, name, what, self.asked);
    }
}

/// The folder in whose listing a key stands; a marker stands in its own.
fn home(key: &str) -> &str {
    if key.ends_with('/') { key } else { parent_prefix(key) }
}

/// Facts between two weighings: some 25 KiB.
const WEIGH_EVERY: u64 = 64;
