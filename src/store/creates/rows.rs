//! The rows that are held, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::object::{Key, ListPage, ListedObject};
use crate::state::CreateRow;
use crate::store::ListRequest;

/// One of them.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) create: CreateRow,
    /// When its content has been waited for. Not by the wall clock, which may be set back meanwhile.
    due: Instant,
    /// Held while its content, or the empty object itself, goes to the store.
    pub(super) turn: Mutex<()>,
    /// A write of its content had no answer: the store may have it.
    attempted: AtomicBool,
    /// It is of an earlier life, and the store has not been asked about it yet.
    is_left: AtomicBool,
}

impl Row {
    pub(super) fn is_due(&self) -> bool {
        self.due <= Instant::now()
    }

    pub(super) fn attempted(&self) -> bool {
        self.attempted.load(Ordering::Relaxed)
    }

    pub(super) fn set_attempted(&self) {
        self.attempted.store(true, Ordering::Relaxed);
    }

    /// Its content may have been on its way when an earlier life ended: only the store knows.
    pub(super) fn set_left(&self) {
        self.set_attempted();
        self.is_left.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Relaxed)
    }

    pub(super) fn set_asked(&self) {
        self.is_left.store(false, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub(super) struct Rows(RwLock<BTreeMap<Key, Arc<Row>>>);

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.0.read().len()
    }

    /// `wait`: how long from now on its content is waited for.
    pub(super) fn insert(&self, key: Key, create: CreateRow, wait: Duration) {
        let row = Row {
            create,
            due: Instant::now() + wait,
            turn: Mutex::default(),
            attempted: AtomicBool::default(),
            is_left: AtomicBool::default(),
        };
        self.0.write().insert(key, Arc::new(row));
    }

    pub(super) fn remove(&self, key: &Key) {
        self.0.write().remove(key);
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Row>> {
        self.0.read().get(key).cloned()
    }

    /// Whether this very row is still held.
    pub(super) fn has(&self, key: &Key, row: &Row) -> bool {
        self.0.read().get(key).is_some_and(|held| std::ptr::eq(&**held, row))
    }

    pub(super) fn all(&self) -> Vec<(Key, Arc<Row>)> {
        self.0.read().iter().map(|(key, row)| (key.clone(), Arc::clone(row))).collect()
    }

    /// Those whose keys begin with `prefix`.
    pub(super) fn below(&self, prefix: &str) -> Vec<(Key, Arc<Row>)> {
        // Few are held at any time.
        self.all().into_iter().filter(|(key, _)| key.as_str().starts_with(prefix)).collect()
    }

    /// Adds to a page what belongs there: behind `lower`, and, if others follow, before the page's end.
    pub(super) fn add_to(&self, page: &mut ListPage, request: &ListRequest, lower: Option<&str>) {
        let upper = page.continuation.is_some().then(|| last_name(page)).flatten().map(str::to_owned);
        for (key, row) in self.below(&request.prefix) {
            let name = key.as_str();
            let is_here = lower.is_none_or(|lower| name > lower)
                && upper.as_deref().is_none_or(|upper| name <= upper)
                && request.start_after.as_deref().is_none_or(|start| name > start);
            let rest = &name[request.prefix.len()..];
            match rest.find('/').filter(|_| request.delimited) {
                _ if !is_here => {}
                Some(slash) => {
                    let prefix = &name[..request.prefix.len() + slash + 1];
                    if let Err(at) = page.prefixes.binary_search_by(|other| other.as_str().cmp(prefix)) {
                        page.prefixes.insert(at, prefix.to_owned());
                    }
                }
                None => {
                    let meta = super::meta(&row.create);
                    if let Err(at) = page.objects.binary_search_by(|other| other.key.as_str().cmp(name)) {
                        page.objects.insert(at, ListedObject { key, meta });
                    }
                }
            }
        }
    }
}

/// The last name on a page, in byte order.
pub(super) fn last_name(page: &ListPage) -> Option<&str> {
    let object = page.objects.last().map(|object| object.key.as_str());
    object.max(page.prefixes.last().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(keys: &[&str]) -> Rows {
        let rows = Rows::default();
        for key in keys {
            let create =
                CreateRow { key: key.to_string(), content_type: None, user: BTreeMap::new(), made: 0 };
            rows.insert(Key::new(key).unwrap(), create, Duration::ZERO);
        }
        rows
    }

    fn page(keys: &[&str], continuation: Option<&str>) -> ListPage {
        let rows = rows(keys);
        let mut page = ListPage::default();
        rows.add_to(&mut page, &ListRequest::tree(""), None);
        ListPage { continuation: continuation.map(str::to_owned), ..page }
    }

    #[test]
    fn each_page_gets_its_own() {
        let held = rows(&["d/a", "d/c", "d/e/f", "d/g", "e"]);
        let names = |page: &ListPage| -> Vec<String> {
            page.objects.iter().map(|object| object.key.to_string()).chain(page.prefixes.clone()).collect()
        };
        let request = ListRequest::children("d/");
        let mut first = page(&["d/b", "d/d"], Some("more"));
        held.add_to(&mut first, &request, None);
        assert_eq!(names(&first), ["d/a", "d/b", "d/c", "d/d"]);
        let mut second = page(&["d/f"], None);
        held.add_to(&mut second, &request, Some("d/d"));
        assert_eq!(names(&second), ["d/f", "d/g", "d/e/"]);
        let mut tree = page(&["d/c"], None);
        held.add_to(&mut tree, &ListRequest::tree("d/"), None);
        assert_eq!(names(&tree), ["d/a", "d/c", "d/e/f", "d/g"]);
    }
}
