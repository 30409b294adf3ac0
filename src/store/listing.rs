//! Listings as streams of entries, and the keys a listing must not show.

use std::sync::Arc;

use futures_util::stream::{self, Stream};

use super::{ListPage, ListRequest, MultipartStore, ObjectStore, StoreError, StoreResult};
use crate::object::ListedObject;

/// One entry of a folder as the store sees it: an object, or everything behind a common prefix.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    Object(ListedObject),
    /// Ends with a slash.
    Prefix(String),
}

impl Entry {
    /// The key or prefix.
    pub fn name(&self) -> &str {
        match self {
            Self::Object(object) => object.key.as_str(),
            Self::Prefix(prefix) => prefix,
        }
    }
}

/// Sees to it that a listing comes forward: a broken server may tell the same pages again and again.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// Behind which everything comes.
    last: Option<String>,
    /// Pages in a row that had nothing.
    empty: usize,
}

impl Progress {
    /// Takes the next page, or refuses it.
    pub(super) fn take(&mut self, page: ListPage) -> StoreResult<ListPage> {
        let names = || {
            let objects = page.objects.iter().map(|object| object.key.as_str());
            objects.chain(page.prefixes.iter().map(String::as_str))
        };
        let (Some(first), Some(last)) = (names().min(), names().max()) else {
            self.empty += 1;
            return if self.empty > MOST_EMPTY && page.continuation.is_some() {
                Err(StoreError::InvalidAnswer("a listing that comes to no end".to_owned()))
            } else {
                Ok(page)
            };
        };
        if self.last.as_deref().is_some_and(|before| first < before || last <= before) {
            return Err(StoreError::InvalidAnswer("a listing that goes back to where it was".to_owned()));
        }
        (self.last, self.empty) = (Some(last.to_owned()), 0);
        Ok(page)
    }
}

/// The pages of a listing, from `first` on. Ends after an error.
pub fn pages(
    store: Arc<dyn MultipartStore>,
    request: ListRequest,
    first: ListPage,
) -> impl Stream<Item = StoreResult<ListPage>> + Send {
    enum Next {
        Page(ListPage),
        Continue(String),
        End,
    }
    stream::unfold((Next::Page(first), Progress::default()), move |(next, mut progress)| {
        let (store, mut request) = (Arc::clone(&store), request.clone());
        async move {
            let page = match next {
                Next::Page(page) => Ok(page),
                Next::Continue(token) => {
                    request.continuation = Some(token);
                    store.list(&request).await
                }
                Next::End => return None,
            };
            let page = page.and_then(|page| progress.take(page));
            let next = match page.as_ref().ok().and_then(|page| page.continuation.clone()) {
                Some(token) => Next::Continue(token),
                None => Next::End,
            };
            Some((page, (next, progress)))
        }
    })
}

/// Whether any key begins with `prefix`. A page may be empty and yet not the last.
pub async fn any<S: ObjectStore + ?Sized>(store: &S, prefix: &str) -> StoreResult<bool> {
    let (mut request, mut progress) = (ListRequest::probe(prefix), Progress::default());
    loop {
        let page = progress.take(store.list(&request).await?)?;
        match page.continuation {
            Some(token) if page.is_blank() => request.continuation = Some(token),
            _ => return Ok(!page.is_blank()),
        }
    }
}

/// A page's objects and prefixes as one sequence in byte order.
pub fn merged(page: ListPage) -> impl Iterator<Item = Entry> {
    let mut objects = page.objects.into_iter().peekable();
    let mut prefixes = page.prefixes.into_iter().peekable();
    std::iter::from_fn(move || {
        let object_first = match (objects.peek(), prefixes.peek()) {
            (Some(object), Some(prefix)) => object.key.as_str() < prefix.as_str(),
            (object, _) => object.is_some(),
        };
        if object_first { objects.next().map(Entry::Object) } else { prefixes.next().map(Entry::Prefix) }
    })
}

/// Finds objects that a folder of the same name hides: `a` where `a/...` exists.
///
/// Between `a` and `a/` other keys may sort (`a!`, `a-b`), on other pages even, so an object is
/// held back until a key that sorts behind its folder has been seen. Entries go in and come out in
/// byte order, but for that delay.
#[derive(Debug, Default)]
pub struct ShadowFilter {
    /// Each name starts with the one before it, so there are at most as many as a key has bytes.
    held: Vec<ListedObject>,
}

/// What became of entries.
#[derive(Debug, Default, PartialEq)]
pub struct Sifted {
    /// To be shown.
    pub shown: Vec<Entry>,
    /// Hidden by folders.
    pub shadowed: Vec<ListedObject>,
}

impl ShadowFilter {
    /// Takes the next entry and says what is settled by it.
    pub fn push(&mut self, entry: Entry) -> Sifted {
        let mut sifted = Sifted::default();
        while let Some(last) = self.held.last() {
            let name = last.key.as_str();
            let shadowed = entry.name().strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
            if !shadowed && may_still_be_shadowed(name, entry.name()) {
                break;
            }
            // `last` is there: the loop's condition saw it.
            let Some(object) = self.held.pop() else { break };
            if shadowed { sifted.shadowed.push(object) } else { sifted.shown.push(Entry::Object(object)) }
        }
        sifted.shown.sort_by(|a, b| a.name().cmp(b.name()));
        match entry {
            Entry::Object(object) if !object.key.as_str().ends_with('/') => self.held.push(object),
            other => sifted.shown.push(other),
        }
        sifted
    }

    /// No more entries: everything held back is shown.
    pub fn finish(self) -> Vec<Entry> {
        self.held.into_iter().map(Entry::Object).collect()
    }
}

/// Whether a key at or behind `current` can still lie below `name/`.
fn may_still_be_shadowed(name: &str, current: &str) -> bool {
    current.strip_prefix(name).is_some_and(|rest| rest.as_bytes().first().is_none_or(|byte| *byte < b'/'))
}

/// More than a server goes over at once where it looks for something to show.
const MOST_EMPTY: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ETag, Key, ObjectMeta};

    fn object(key: &str) -> ListedObject {
        let meta = ObjectMeta {
            size: 0,
            etag: ETag::new("e"),
            last_modified: std::time::UNIX_EPOCH,
            content_type: None,
            storage_class: None,
            user: Default::default(),
        };
        ListedObject { key: Key::new(key).unwrap(), meta }
    }

    fn sift(names: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut sorted = names.to_vec();
        sorted.sort();
        let mut filter = ShadowFilter::default();
        let (mut shown, mut shadowed) = (Vec::new(), Vec::new());
        for name in sorted {
            let entry =
                if name.ends_with('/') { Entry::Prefix(name.into()) } else { Entry::Object(object(name)) };
            let sifted = filter.push(entry);
            shown.extend(sifted.shown);
            shadowed.extend(sifted.shadowed);
        }
        shown.extend(filter.finish());
        let names = shown.iter().map(|e| e.name().to_owned()).collect();
        (names, shadowed.iter().map(|o| o.key.to_string()).collect())
    }

    #[test]
    fn objects_shadowed_by_folders_are_found_across_neighbours() {
        let (shown, shadowed) = sift(&["a", "a!", "a!!", "a!/", "a-b", "a/", "b", "b0", "c/", "c0"]);
        assert_eq!(shadowed, ["a!", "a"]);
        let mut sorted = shown.clone();
        sorted.sort();
        assert_eq!(sorted, ["a!!", "a!/", "a-b", "a/", "b", "b0", "c/", "c0"]);
    }

    #[test]
    fn a_deep_chain_of_prefixes_loses_nothing() {
        let (shown, shadowed) = sift(&["x", "x!", "x!!", "x!!!", "x!!!!"]);
        assert_eq!(shown.len(), 5);
        assert!(shadowed.is_empty());
    }
}
