//! A folder's listing as far as it was read: pages, one after the other.

use std::collections::HashMap;
use std::time::Instant;

use unicode_normalization::UnicodeNormalization;

use super::knowledge::{Tick, What};
use crate::object::{ListPage, ListedObject, ObjectMeta};

/// See the module.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) asked: Tick,
    pub(super) learned: Instant,
    /// One after the other, from the first on.
    pub(super) pages: Vec<Page>,
    /// Names that are not ASCII, by their composed form.
    pub(super) spellings: HashMap<String, Box<str>>,
}

#[derive(Debug)]
pub(super) struct Page {
    pub(super) page: ListPage,
    /// The last name that this page tells of; `None`: it tells of all that follow.
    pub(super) end: Option<String>,
}

impl Listing {
    pub(super) fn push(&mut self, page: Page, prefix: &str) {
        let objects = page.page.objects.iter().map(|object| object.key.as_str());
        for name in objects.chain(page.page.prefixes.iter().map(String::as_str)) {
            let child = name.strip_prefix(prefix).unwrap_or(name).trim_end_matches('/');
            if !child.is_ascii() {
                self.spellings.insert(child.nfc().collect(), child.into());
            }
        }
        self.pages.push(page);
    }

    pub(super) fn continues_with(&self, token: &str) -> bool {
        self.pages.last().is_some_and(|page| page.page.continuation.as_deref() == Some(token))
    }

    /// Whether it was read to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.pages.last().is_some_and(|page| page.end.is_none())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.pages.iter().flat_map(|page| {
            let objects = page.page.objects.iter().map(|object| object.key.as_str());
            objects.chain(page.page.prefixes.iter().map(String::as_str))
        })
    }

    /// The page that tells of `name`.
    pub(super) fn page_of(&self, name: &str) -> Option<&ListPage> {
        let index = self.pages.partition_point(|page| page.end.as_deref().is_some_and(|end| end < name));
        self.pages.get(index).map(|page| &page.page)
    }

    pub(super) fn object(&self, name: &str, prefix: &str) -> Option<&ObjectMeta> {
        if is_prefix(name, prefix) {
            return None;
        }
        let objects = &self.page_of(name)?.objects;
        let at = objects.binary_search_by(|object| object.key.as_str().cmp(name)).ok()?;
        objects.get(at).map(|object| &object.meta)
    }

    pub(super) fn find(&self, name: &str, prefix: &str) -> Option<What> {
        let page = self.page_of(name)?;
        Some(if is_prefix(name, prefix) {
            match page.prefixes.binary_search_by(|other| other.as_str().cmp(name)) {
                Ok(_) => What::Prefix,
                Err(_) => What::Nothing,
            }
        } else {
            self.object(name, prefix).map_or(What::Nothing, |meta| What::Object(meta.clone()))
        })
    }
}

/// Whether a name in the folder `own` is a prefix: its own marker ends with a slash, too.
fn is_prefix(name: &str, own: &str) -> bool {
    name.ends_with('/') && name != own
}

/// Brings a page up to date.
pub(super) fn apply(page: &mut ListPage, name: &str, what: &What, own: &str) {
    if is_prefix(name, own) {
        let at = page.prefixes.binary_search_by(|other| other.as_str().cmp(name));
        match (what, at) {
            (What::Prefix, Err(at)) => page.prefixes.insert(at, name.to_owned()),
            (What::Nothing, Ok(at)) => drop(page.prefixes.remove(at)),
            _ => {}
        }
        return;
    }
    let at = page.objects.binary_search_by(|object| object.key.as_str().cmp(name));
    match (what, at) {
        (What::Object(meta), Ok(at)) => page.objects[at].meta = meta.clone(),
        (What::Object(meta), Err(at)) => {
            // A name that was an object's is a key.
            let Ok(key) = crate::object::Key::new(name) else { return };
            page.objects.insert(at, ListedObject { key, meta: meta.clone() });
        }
        (What::Nothing, Ok(at)) => drop(page.objects.remove(at)),
        _ => {}
    }
}

pub(super) fn last_name(page: &ListPage) -> Option<&str> {
    let object = page.objects.last().map(|object| object.key.as_str());
    object.max(page.prefixes.last().map(String::as_str))
}

/// Some stores list in no order; what such a page does not tell cannot be known.
pub(super) fn is_ordered(page: &ListPage) -> bool {
    page.objects.is_sorted_by(|a, b| a.key < b.key) && page.prefixes.is_sorted_by(|a, b| a < b)
}
