//! Looks at many names at once: pages of listings, each good for names that follow each other, and for a second.
//! Only where listings are known to show at once what was written.
//!
//! A page only ever confirms what is expected of a name. What it does not is looked at by itself: it may have
//! changed again, and some listings tell other ETags than the objects have.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::object::{ETag, Key, ListPage, parent_prefix};

use super::Kind;

/// What was seen of a name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    /// `None`: nothing is there.
    pub(super) etag: Option<ETag>,
    /// A write that relies on it is sent until then.
    pub(super) until: Instant,
}

/// A page that is to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// For which writes: others look by themselves.
    pub(super) kind: Kind,
    pub(super) prefix: String,
    pub(super) first: Key,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Looks {
    /// How long a look counts.
    age: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pages: Vec<Page>,
    /// Names that many writes are going to be made to, with what they have in common.
    ahead: HashMap<(Kind, Key), (Arc<Ahead>, Instant)>,
    /// Sources that are looked at again before they are deleted.
    moved: HashMap<Key, Instant>,
    runs: HashMap<(Kind, String), Run>,
    /// Keys that the gateway writes to, or wrote to not long ago: a page may have been under way.
    written: HashMap<Key, Written>,
}

/// Writes to one key.
#[derive(Debug, Clone, Copy)]
struct Written {
    under_way: usize,
    /// When one began or ended.
    last: Instant,
}

/// Writes that are under way until this is dropped.
pub(super) struct Writing<'a> {
    looks: &'a Looks,
    keys: Vec<&'a Key>,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.looks.change(&self.keys, |under_way| under_way.saturating_sub(1));
    }
}

/// Names that are written to together.
#[derive(Debug)]
pub(super) struct Ahead {
    pub(super) prefix: String,
    /// One page is asked for at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// Writes of one kind to one folder, each soon after the one before.
#[derive(Debug)]
struct Run {
    count: usize,
    last: Instant,
    /// When a page was asked for.
    asked: Option<Instant>,
}

#[derive(Debug)]
struct Page {
    wanted: Wanted,
    asked: Instant,
    /// `None`: it tells of all that follow.
    end: Option<Key>,
    found: HashMap<Key, ETag>,
    /// Written since by the gateway itself.
    unsure: HashSet<Key>,
}

impl Page {
    fn covers(&self, key: &Key) -> bool {
        key.as_str().starts_with(&self.wanted.prefix)
            && *key >= self.wanted.first
            && self.end.as_ref().is_none_or(|end| key <= end)
    }
}

impl Looks {
    pub(super) fn new(age: Duration) -> Self {
        Self { age, inner: Mutex::default() }
    }

    /// Until when a look counts that was asked for then.
    pub(super) fn until(&self, asked: Instant) -> Instant {
        asked + self.age
    }

    /// How long the answer to a look must count still: a write has to be sent within.
    pub(super) fn least(&self) -> Duration {
        self.age / LEAST_OF_AGE
    }

    /// What a page shows of a name, if it is young enough to count.
    pub(super) fn at(&self, kind: Kind, key: &Key) -> Option<Look> {
        let (inner, now) = (self.inner.lock(), Instant::now());
        let fits = |page: &&Page| page.wanted.kind == kind && now < page.asked + self.age && page.covers(key);
        let page = inner.pages.iter().rev().find(fits)?;
        let until = page.asked + self.age;
        (!page.unsure.contains(key)).then(|| Look { etag: page.found.get(key).cloned(), until })
    }

    /// Takes a page that was asked for then. One in no order tells of nothing.
    pub(super) fn learn(&self, wanted: Wanted, page: ListPage, asked: Instant) {
        let end = page.continuation.is_some().then(|| page.objects.last().map(|object| object.key.clone()));
        let (false, true) = (end == Some(None), page.objects.is_sorted_by(|a, b| a.key < b.key)) else {
            return;
        };
        let found = page.objects.into_iter().map(|object| (object.key, object.meta.etag)).collect();
        let mut inner = self.inner.lock();
        let now = Instant::now();
        inner.pages.retain(|page| now < page.asked + self.age);
        if inner.pages.len() < MOST_PAGES {
            let is_unsure = |written: &Written| written.under_way > 0 || written.last >= asked;
            let unsure = inner.written.iter().filter(|(_, written)| is_unsure(written));
            let unsure = unsure.map(|(key, _)| key.clone()).collect();
            inner.pages.push(Page { wanted, asked, end: end.flatten(), found, unsure });
        }
    }

    /// Writes to these keys are sent from now on, until what this gives is dropped: what was seen of them before, or
    /// is seen meanwhile, does not count.
    pub(super) fn writing<'a>(&'a self, keys: Vec<&'a Key>) -> Writing<'a> {
        self.change(&keys, |under_way| under_way + 1);
        Writing { looks: self, keys }
    }

    fn change(&self, keys: &[&Key], count: impl Fn(usize) -> usize) {
        let mut inner = self.inner.lock();
        let now = Instant::now();
        inner.written.retain(|_, written| written.under_way > 0 || now < written.last + self.age);
        for key in keys.iter().copied() {
            for page in inner.pages.iter_mut().filter(|page| page.covers(key)) {
                page.unsure.insert(key.clone());
            }
            let written = inner.written.entry(key.clone()).or_insert(Written { under_way: 0, last: now });
            *written = Written { under_way: count(written.under_way), last: now };
        }
    }

    /// Notes names that many writes of a kind are going to be made with; the page that tells of the first of them.
    pub(super) fn expect(&self, kind: Kind, keys: &[Key]) -> Option<Wanted> {
        let (first, last) = (keys.iter().min()?, keys.iter().max()?);
        let prefix = common_prefix(first.as_str(), last.as_str()).to_owned();
        let ahead = Arc::new(Ahead { prefix: prefix.clone(), turn: tokio::sync::Mutex::default() });
        let (mut inner, now) = (self.inner.lock(), Instant::now());
        inner.ahead.retain(|_, (_, noted)| now < *noted + EXPECTED_FOR);
        inner.ahead.extend(keys.iter().map(|key| ((kind, key.clone()), (Arc::clone(&ahead), now))));
        Some(Wanted { kind, prefix, first: first.clone() })
    }

    /// What a name has in common with others of [`Self::expect`].
    pub(super) fn expected(&self, kind: Kind, key: &Key) -> Option<Arc<Ahead>> {
        let inner = self.inner.lock();
        let (ahead, noted) = inner.ahead.get(&(kind, key.clone()))?;
        (Instant::now() < *noted + EXPECTED_FOR).then(|| Arc::clone(ahead))
    }

    /// The page that tells of those that are left.
    pub(super) fn rest(&self, kind: Kind, ahead: &Arc<Ahead>) -> Option<Wanted> {
        let inner = self.inner.lock();
        let left = inner.ahead.iter().filter(|(_, (other, _))| Arc::ptr_eq(other, ahead));
        let first = left.map(|((_, key), _)| key).min()?.clone();
        Some(Wanted { kind, prefix: ahead.prefix.clone(), first })
    }

    /// A name has been looked at, or will be by itself.
    pub(super) fn met(&self, kind: Kind, key: &Key) {
        self.inner.lock().ahead.remove(&(kind, key.clone()));
    }

    /// Names that no page tells of: each is looked at by itself.
    pub(super) fn give_up(&self, ahead: &Arc<Ahead>) {
        self.inner.lock().ahead.retain(|_, (other, _)| !Arc::ptr_eq(other, ahead));
    }

    /// Notes sources that are looked at before they are deleted.
    pub(super) fn expect_moves(&self, keys: impl Iterator<Item = Key>) {
        let (mut inner, now) = (self.inner.lock(), Instant::now());
        inner.moved.retain(|_, noted| now < *noted + EXPECTED_FOR);
        inner.moved.extend(keys.map(|key| (key, now)));
    }

    /// Whether a source is looked at later in any case; told once.
    pub(super) fn is_moved(&self, key: &Key) -> bool {
        let noted = self.inner.lock().moved.remove(key);
        noted.is_some_and(|noted| Instant::now() < noted + EXPECTED_FOR)
    }

    /// Whoever writes so many files of a folder one after the other is going to write more: the page that tells of
    /// the next ones. One a second and folder at most; what it does not tell of is looked at by itself.
    pub(super) fn run(&self, kind: Kind, key: &Key) -> Option<Wanted> {
        let folder = parent_prefix(key.as_str());
        let (mut inner, now) = (self.inner.lock(), Instant::now());
        inner.runs.retain(|_, run| now < run.last + self.age);
        let run = inner.runs.entry((kind, folder.to_owned()));
        let run = run.or_insert(Run { count: 0, last: now, asked: None });
        (run.count, run.last) = (run.count + 1, now);
        if run.count <= SINGLE_LOOKS || run.asked.is_some_and(|asked| now < asked + self.age) {
            return None;
        }
        run.asked = Some(now);
        Some(Wanted { kind, prefix: folder.to_owned(), first: key.clone() })
    }
}

/// What both names begin with.
pub(super) fn common_prefix<'a>(first: &'a str, last: &str) -> &'a str {
    let common = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    &first[..first.floor_char_boundary(common)]
}

/// A look counts for so long: what others change meanwhile is not seen.
pub const LOOK_AGE: Duration = Duration::from_secs(1);
/// A part of [`LOOK_AGE`], 250 ms.
const LEAST_OF_AGE: u32 = 4;
/// Looks at single names of a folder, before a page of it is asked for.
const SINGLE_LOOKS: usize = 3;
/// Pages of 1,000 names that are kept, each for a second: a few MB. More are not asked for in a second.
const MOST_PAGES: usize = 32;
/// Writes that were announced have begun by then, or take so long that a look at each costs nothing beside them.
const EXPECTED_FOR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ListedObject, ObjectMeta};

    const KIND: Kind = Kind::CopyDestination;

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    fn page(names: &[&str], continuation: Option<&str>) -> ListPage {
        let meta = |name: &str| ObjectMeta {
            size: 0,
            etag: ETag::new(name),
            last_modified: std::time::UNIX_EPOCH,
            content_type: None,
            storage_class: None,
            user: Default::default(),
        };
        let objects = names.iter().map(|name| ListedObject { key: key(name), meta: meta(name) }).collect();
        ListPage { objects, continuation: continuation.map(str::to_owned), ..ListPage::default() }
    }

    fn wanted(prefix: &str, first: &str) -> Wanted {
        Wanted { kind: KIND, prefix: prefix.to_owned(), first: key(first) }
    }

    /// `Some(None)`: it is known that nothing is there.
    fn etag(looks: &Looks, name: &str) -> Option<Option<String>> {
        Some(looks.at(KIND, &key(name))?.etag.map(|etag| etag.unquoted().to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_tells_of_what_it_covers_for_a_second() {
        let looks = Looks::new(LOOK_AGE);
        looks.learn(wanted("d/", "d/b"), page(&["d/b", "d/d"], Some("more")), Instant::now());
        assert_eq!(etag(&looks, "d/b"), Some(Some("d/b".into())));
        assert_eq!(etag(&looks, "d/c"), Some(None));
        for unknown in ["d/a", "d/e", "c", "e"] {
            assert_eq!(etag(&looks, unknown), None, "{unknown}");
        }
        assert_eq!(looks.at(Kind::Put, &key("d/b")), None, "of other writes");
        looks.learn(wanted("d/", "d/e"), page(&[], None), Instant::now());
        assert_eq!(etag(&looks, "d/z"), Some(None), "it was the last page");
        drop(looks.writing(vec![&key("d/c")]));
        assert_eq!(etag(&looks, "d/c"), None, "written since");
        assert!(etag(&looks, "d/b").is_some());
        tokio::time::advance(LOOK_AGE).await;
        assert_eq!(etag(&looks, "d/b"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_tells_nothing_of_what_was_written_while_it_was_under_way() {
        let looks = Looks::new(LOOK_AGE);
        let asked = Instant::now();
        drop(looks.writing(vec![&key("d/b")]));
        let under_way = key("d/c");
        let writing = looks.writing(vec![&under_way]);
        tokio::time::advance(LOOK_AGE / 4).await;
        looks.learn(wanted("d/", "d/a"), page(&["d/b", "d/c", "d/d"], None), asked);
        assert_eq!((etag(&looks, "d/b"), etag(&looks, "d/c")), (None, None));
        assert!(etag(&looks, "d/d").is_some());
        looks.learn(wanted("d/", "d/a"), page(&["d/c"], None), Instant::now());
        assert_eq!(etag(&looks, "d/c"), None, "its write is still under way");
        drop(writing);
        tokio::time::advance(LOOK_AGE / 2).await;
        looks.learn(wanted("d/", "d/a"), page(&["d/b"], None), Instant::now());
        assert!(etag(&looks, "d/b").is_some(), "it was asked for later");
    }

    #[test]
    fn a_page_in_no_order_or_that_ends_nowhere_tells_of_nothing() {
        let looks = Looks::new(LOOK_AGE);
        looks.learn(wanted("", "a"), page(&["c", "b"], None), Instant::now());
        looks.learn(wanted("", "a"), page(&[], Some("more")), Instant::now());
        assert_eq!(etag(&looks, "b"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_fourth_write_of_a_run_asks_for_a_page() {
        let looks = Looks::new(LOOK_AGE);
        let run = |name: &str| looks.run(KIND, &key(name)).is_some();
        assert!(!run("d/1") && !run("e/1") && !run("d/2") && !run("d/3"));
        assert_eq!(looks.run(KIND, &key("d/4")), Some(wanted("d/", "d/4")));
        looks.learn(wanted("d/", "d/4"), page(&["d/4"], None), Instant::now());
        assert!(!run("d/0"), "one a second; this name is looked at by itself");
        tokio::time::advance(LOOK_AGE / 2).await;
        assert!(!run("d/0"));
        tokio::time::advance(LOOK_AGE / 2).await;
        assert!(run("d/5"));
        tokio::time::advance(LOOK_AGE).await;
        assert!(!run("d/6"), "a new one");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_announced_is_known_until_it_is_met() {
        let looks = Looks::new(LOOK_AGE);
        let keys = ["d/b", "d/a", "d/c/x"].map(key);
        assert_eq!(looks.expect(KIND, &keys), Some(wanted("d/", "d/a")));
        assert_eq!(looks.expect(KIND, &[]), None);
        assert!(looks.expected(KIND, &key("d/x")).is_none() && looks.expected(Kind::Put, &keys[0]).is_none());
        assert_eq!(looks.expected(KIND, &keys[0]).unwrap().prefix, "d/");
        let ahead = looks.expected(KIND, &keys[0]).unwrap();
        let other = key("e/a");
        looks.expect(KIND, std::slice::from_ref(&other));
        looks.give_up(&looks.expected(KIND, &other).unwrap());
        assert!(looks.expected(KIND, &other).is_none());
        looks.met(KIND, &keys[1]);
        assert_eq!(looks.rest(KIND, &ahead), Some(wanted("d/", "d/b")));
        looks.met(KIND, &keys[0]);
        assert!(looks.expected(KIND, &keys[0]).is_none());
        looks.expect_moves(keys.iter().cloned());
        assert!(looks.is_moved(&keys[1]) && !looks.is_moved(&keys[1]));
        tokio::time::advance(EXPECTED_FOR).await;
        assert!(looks.expected(KIND, &keys[2]).is_none() && !looks.is_moved(&keys[2]));
    }
}
