//! What is known of one folder: its listing as far as it was read, and what was learned of single
//! children since.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use unicode_normalization::UnicodeNormalization;

use super::Times;
use super::knowledge::{Asked, Freshness, Tick, What};
use super::listing::{Listing, Page, apply, is_ordered, last_name};
use crate::object::{ListPage, ListedObject, ObjectMeta, Spelling};

/// See the module.
#[derive(Debug)]
pub(super) struct Folder {
    /// Empty for the root.
    prefix: Box<str>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    listing: Option<Listing>,
    /// Newer than the listing, or of what it does not cover.
    facts: BTreeMap<Box<str>, Fact>,
    /// Answers to older questions are not believed.
    barrier: Tick,
    /// The child that was last asked for while nothing was known, composed.
    cold: Option<(String, Instant)>,
}

#[derive(Debug, Clone)]
struct Fact {
    what: What,
    asked: Tick,
    learned: Instant,
    /// What was known of a thing in doubt, and when that had been asked for.
    before: Option<(What, Tick)>,
}

impl Folder {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into(), known: Mutex::default() }
    }

    /// What has `name`; `None` if that is not known.
    pub(super) fn look(&self, name: &str, freshness: Freshness, times: &Times) -> Option<What> {
        let (known, now) = (self.known.lock(), Instant::now());
        if freshness == Freshness::Any {
            return known.latest(name, &self.prefix);
        }
        let listing = known.listing(freshness, times, now);
        if let Some(fact) = known.facts.get(name)
            && (now < fact.learned + times.metadata || listing.is_some_and(|l| fact.asked > l.asked))
        {
            return Some(fact.what.clone()).filter(|what| *what != What::Doubtful);
        }
        listing?.find(name, &self.prefix)
    }

    /// The page that `continuation` asks for, with all that was learned since.
    pub(super) fn page(
        &self,
        continuation: Option<&str>,
        freshness: Freshness,
        times: &Times,
    ) -> Option<ListPage> {
        let known = self.known.lock();
        let listing = known.listing(freshness, times, Instant::now())?;
        let token = |index: usize| match index {
            0 => None,
            _ => listing.pages[index - 1].page.continuation.as_deref(),
        };
        let index = (0..listing.pages.len()).find(|index| token(*index) == continuation)?;
        let mut page = listing.pages[index].page.clone();
        for (name, fact) in known.facts_of(listing, index) {
            if fact.what == What::Doubtful && freshness != Freshness::Any {
                return None;
            }
            if let Some((what, _)) = fact.told().filter(|(_, asked)| *asked > listing.asked) {
                apply(&mut page, name, what, &self.prefix);
            }
        }
        Some(page)
    }

    /// The files that follow `name` on its page of the listing, however old that is.
    pub(super) fn files_after(&self, name: &str, most: usize) -> Vec<ListedObject> {
        let known = self.known.lock();
        let Some(page) = known.listing.as_ref().and_then(|listing| listing.page_of(name)) else {
            return Vec::new();
        };
        let first = page.objects.partition_point(|object| object.key.as_str() <= name);
        page.objects[first..].iter().take(most).cloned().collect()
    }

    /// How a child that means `name` to Unicode is spelled.
    pub(super) fn spelling(&self, name: &str, times: &Times) -> Spelling {
        let known = self.known.lock();
        let Some(listing) = known.listing(Freshness::Listed, times, Instant::now()) else {
            return Spelling::Unknown;
        };
        let composed: String = name.nfc().collect();
        let listed = listing.spellings.get(&composed).map(|spelled| spelled.to_string());
        match listed.or_else(|| known.learned_spelling(&composed, &self.prefix)) {
            Some(spelled) => Spelling::Stored(spelled),
            None if listing.is_complete() => Spelling::Nowhere,
            None => Spelling::Unknown,
        }
    }

    /// Whether the folder is known to hold something, or nothing.
    pub(super) fn is_empty(&self, times: &Times) -> Option<bool> {
        let known = self.known.lock();
        let is_there = |fact: &Fact| matches!(fact.what, What::Object(_) | What::Prefix);
        let now = Instant::now();
        let young = |fact: &Fact| now < fact.learned + times.metadata;
        if known.facts.values().any(|fact| is_there(fact) && young(fact)) {
            return Some(false);
        }
        let listing = known.listing(Freshness::Listed, times, now)?;
        let newer = |name: &str| known.facts.get(name).filter(|fact| fact.asked > listing.asked);
        let stays = |name: &str| newer(name).is_none_or(is_there);
        let has_unreadable = listing.pages.iter().any(|page| page.page.unreadable > 0);
        if has_unreadable || listing.names().any(stays) {
            return Some(false);
        }
        let complete = listing.is_complete();
        let doubtful = known.facts.values().any(|fact| fact.what == What::Doubtful);
        (complete && !doubtful).then_some(true)
    }

    /// Whether another child than `name` was asked for a moment ago while nothing was known, and
    /// the listing has not been begun.
    pub(super) fn is_asked_again(&self, name: &str, times: &Times) -> bool {
        let (mut known, now) = (self.known.lock(), Instant::now());
        if known.listing(Freshness::Listed, times, now).is_some() {
            return false;
        }
        let composed: String = name.nfc().collect();
        let before = known.cold.replace((composed.clone(), now));
        before.is_some_and(|(other, at)| other != composed && now < at + times.metadata)
    }

    /// Takes what was learned of one child, unless something newer is known. An object's date stays
    /// the one that was first given for its version.
    pub(super) fn learn(&self, name: &str, mut what: What, asked: Asked, times: &Times) -> bool {
        let Asked { tick: asked, at: learned } = asked;
        let mut known = self.known.lock();
        let newer = |listing: &Listing| listing.asked > asked && listing.page_of(name).is_some();
        let is_stale = asked < known.barrier
            || known.facts.get(name).is_some_and(|fact| fact.asked >= asked)
            || known.listing.as_ref().is_some_and(newer);
        if is_stale {
            return false;
        }
        if let What::Object(meta) = &mut what {
            known.complete(name, meta, &self.prefix);
        }
        let before = match what {
            What::Doubtful => known.facts.get(name).and_then(Fact::told).map(|(what, at)| (what.clone(), at)),
            _ => None,
        };
        known.facts.insert(name.into(), Fact { what, asked, learned, before });
        if known.facts.len() > MAX_FACTS {
            known.shed(asked, Instant::now(), times);
        }
        true
    }

    /// Takes a page of the listing, if it continues what is known and nothing newer is.
    pub(super) fn learn_page(&self, continuation: Option<&str>, page: &ListPage, asked: Asked) -> bool {
        let Asked { tick: asked, at: learned } = asked;
        let known = &mut *self.known.lock();
        if asked < known.barrier || !is_ordered(page) {
            return false;
        }
        let mut page = page.clone();
        for ListedObject { key, meta } in &mut page.objects {
            known.complete(key.as_str(), meta, &self.prefix);
        }
        let end = page.continuation.is_some().then(|| last_name(&page).map(str::to_owned));
        let page = match end {
            // Legal, but it tells of nothing.
            Some(None) => return false,
            Some(Some(end)) => Page { page, end: Some(end) },
            None => Page { page, end: None },
        };
        match (continuation, &mut known.listing) {
            (None, Some(listing)) if listing.asked > asked => return false,
            (None, _) => {
                known.facts.retain(|_, fact| fact.asked > asked);
                known.listing =
                    Some(Listing { asked, learned, pages: Vec::new(), spellings: HashMap::new() });
            }
            (Some(token), Some(listing)) if listing.continues_with(token) => {}
            _ => return false,
        }
        let Some(listing) = &mut known.listing else { return false };
        listing.push(page, &self.prefix);
        true
    }

    /// Bytes of memory, roughly.
    pub(super) fn weight(&self) -> usize {
        let known = self.known.lock();
        let listing = known.listing.as_ref().map_or(0, |listing| {
            listing.names().map(|name| name.len() + LISTED).sum::<usize>() + listing.spellings.len() * LISTED
        });
        OVERHEAD + self.prefix.len() + known.facts.len() * FACT + listing
    }
}

impl Fact {
    /// What was last told of it, and when that was asked for.
    fn told(&self) -> Option<(&What, Tick)> {
        match &self.what {
            What::Doubtful => self.before.as_ref().map(|(what, asked)| (what, *asked)),
            what => Some((what, self.asked)),
        }
    }
}

impl Known {
    /// What was last told of `name`, however long ago, and whatever may have changed since.
    fn latest(&self, name: &str, prefix: &str) -> Option<What> {
        let told = self.facts.get(name).and_then(Fact::told);
        let listed =
            self.listing.as_ref().and_then(|listing| Some((listing.find(name, prefix)?, listing.asked)));
        match (told, listed) {
            (Some((_, asked)), Some((listed, at))) if asked < at => Some(listed),
            (Some((what, _)), _) => Some(what.clone()),
            (None, listed) => listed.map(|(what, _)| what),
        }
    }

    /// The child that is spelled so when it is composed, among those that single facts tell of.
    fn learned_spelling(&self, composed: &str, prefix: &str) -> Option<String> {
        let there = |fact: &Fact| matches!(fact.what, What::Object(_) | What::Prefix);
        let names = self.facts.iter().filter(|(name, fact)| !name.is_ascii() && there(fact));
        let mut children =
            names.map(|(name, _)| name.strip_prefix(prefix).unwrap_or(name).trim_end_matches('/'));
        children.find(|child| child.nfc().eq(composed.chars())).map(str::to_owned)
    }

    fn listing(&self, freshness: Freshness, times: &Times, now: Instant) -> Option<&Listing> {
        self.listing.as_ref().filter(|listing| match freshness {
            Freshness::Listed => now < listing.learned + times.of_listing(listing.pages.len()),
            Freshness::Single => now < listing.learned + times.metadata,
            Freshness::Any => true,
        })
    }

    /// The facts that are newer than the listing, of the names that a page tells of.
    fn facts_of(&self, listing: &Listing, index: usize) -> impl Iterator<Item = (&str, &Fact)> {
        let before = index.checked_sub(1).and_then(|before| listing.pages[before].end.as_deref());
        let start = before.map_or(Bound::Unbounded, Bound::Excluded);
        let end = listing.pages[index].end.as_deref().map_or(Bound::Unbounded, Bound::Included);
        let asked = listing.asked;
        let facts = self.facts.range::<str, _>((start, end)).filter(move |(_, fact)| fact.asked > asked);
        facts.map(|(name, fact)| (&**name, fact))
    }

    /// Adds to an object what is known of the same version: the date that was first given, and what a
    /// listing leaves out.
    fn complete(&self, name: &str, meta: &mut ObjectMeta, prefix: &str) {
        let before = match self.facts.get(name).and_then(Fact::told) {
            Some((What::Object(before), _)) => Some(before),
            _ => self.listing.as_ref().and_then(|listing| listing.object(name, prefix)),
        };
        let Some(before) = before.filter(|before| before.etag == meta.etag) else { return };
        let apart = meta.last_modified.duration_since(before.last_modified).unwrap_or_default();
        if meta.content_type.is_none() && apart <= SAME_WRITE {
            // A listing does not tell these.
            meta.content_type.clone_from(&before.content_type);
            meta.user.clone_from(&before.user);
        }
        meta.last_modified = before.last_modified;
    }

    /// Makes room: first what is too old to count, and if that does not help, everything.
    fn shed(&mut self, asked: Tick, now: Instant, times: &Times) {
        let listed = self.listing.as_ref().map(|listing| listing.asked);
        self.facts.retain(|_, fact| {
            now < fact.learned + times.metadata || listed.is_some_and(|listed| fact.asked > listed)
        });
        if self.facts.len() > MAX_FACTS {
            *self = Self { barrier: asked, ..Self::default() };
        }
    }
}

/// A write's answer and a listing may give dates so far apart for the same write.
const SAME_WRITE: Duration = Duration::from_secs(5);
/// Facts beyond a listing; more and the folder is listed again.
const MAX_FACTS: usize = 10_000;
/// Bytes of a folder beside its children, of a fact, and of a listed child beside its name.
const OVERHEAD: usize = 512;
const FACT: usize = 400;
const LISTED: usize = 200;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::object::{ETag, Key};

    const TIMES: Times =
        Times { metadata: Duration::from_secs(10), longest_listing: Duration::from_secs(600) };
    const JUST_YOUNG: Duration = Duration::from_secs(9);
    const JUST_OLD: Duration = Duration::from_secs(11);

    /// The question of that number, asked so long ago.
    fn asked_before(tick: u64, age: Duration) -> Asked {
        Asked { tick: Tick(tick), at: Instant::now().checked_sub(age).unwrap() }
    }

    fn asked(tick: u64) -> Asked {
        asked_before(tick, Duration::ZERO)
    }

    fn meta(etag: &str) -> ObjectMeta {
        ObjectMeta {
            size: 1,
            etag: ETag::new(etag),
            last_modified: SystemTime::UNIX_EPOCH + Duration::from_secs(1000),
            content_type: None,
            storage_class: None,
            user: Default::default(),
        }
    }

    fn object(etag: &str) -> What {
        What::Object(meta(etag))
    }

    /// A page with objects of one version, prefixes for names that end with a slash, and where it goes on.
    fn page(names: &[&str], continuation: Option<&str>) -> ListPage {
        let (prefixes, objects): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.ends_with('/'));
        let listed = |name| ListedObject { key: Key::new(name).unwrap(), meta: meta("listed") };
        ListPage {
            objects: objects.into_iter().map(listed).collect(),
            prefixes: prefixes.into_iter().map(str::to_owned).collect(),
            continuation: continuation.map(str::to_owned),
            unreadable: 0,
        }
    }

    fn names(page: &ListPage) -> Vec<&str> {
        page.objects.iter().map(|object| object.key.as_str()).collect()
    }

    fn look(folder: &Folder, name: &str) -> Option<What> {
        folder.look(name, Freshness::Listed, &TIMES)
    }

    #[test]
    fn an_answer_counts_only_if_it_was_asked_for_after_all_that_is_known() {
        let folder = Folder::new("d/");
        assert!(folder.learn("d/a", object("1"), asked(5), &TIMES));
        for late in [3, 5] {
            assert!(!folder.learn("d/a", What::Nothing, asked(late), &TIMES), "{late}");
        }
        assert_eq!(look(&folder, "d/a"), Some(object("1")));
        assert!(folder.learn("d/a", What::Nothing, asked(6), &TIMES));
        assert_eq!(look(&folder, "d/a"), Some(What::Nothing));
        assert_eq!(look(&folder, "d/b"), None);
    }

    #[test]
    fn a_listing_replaces_what_was_known_before_it_and_nothing_newer() {
        let folder = Folder::new("d/");
        folder.learn("d/a", object("own"), asked(5), &TIMES);
        assert!(folder.learn_page(None, &page(&["d/b"], None), asked(3)));
        assert_eq!(look(&folder, "d/a"), Some(object("own")), "newer than the listing");
        assert_eq!(look(&folder, "d/b"), Some(object("listed")));
        let shown = folder.page(None, Freshness::Listed, &TIMES).unwrap();
        assert_eq!(names(&shown), ["d/a", "d/b"]);
        assert!(
            !folder.learn_page(None, &page(&["d/x"], None), asked(2)),
            "older than the one that is known"
        );
        assert!(folder.learn_page(None, &page(&["d/b"], None), asked(7)));
        assert_eq!(look(&folder, "d/a"), Some(What::Nothing));
        assert!(!folder.learn("d/c", object("1"), asked(6), &TIMES), "the listing is newer");
        assert!(folder.learn("d/c", object("1"), asked(8), &TIMES));
        assert!(folder.learn("d/b", What::Nothing, asked(9), &TIMES));
        assert_eq!(names(&folder.page(None, Freshness::Listed, &TIMES).unwrap()), ["d/c"]);
    }

    #[test]
    fn what_is_in_doubt_is_asked_for_and_better_than_nothing() {
        let folder = Folder::new("d/");
        folder.learn_page(None, &page(&["d/a", "d/b"], None), asked(1));
        folder.learn("d/a", object("1"), asked(2), &TIMES);
        folder.learn("d/a", What::Doubtful, asked(3), &TIMES);
        folder.learn("d/a", What::Doubtful, asked(4), &TIMES);
        assert_eq!(look(&folder, "d/a"), None);
        assert_eq!(look(&folder, "d/b"), Some(object("listed")), "nobody doubts it");
        assert_eq!(folder.look("d/a", Freshness::Any, &TIMES), Some(object("1")));
        assert_eq!(folder.page(None, Freshness::Listed, &TIMES), None);
        let last = folder.page(None, Freshness::Any, &TIMES).unwrap();
        assert_eq!(last.objects[0].meta.etag, ETag::new("1"));
        folder.learn("d/a", What::Nothing, asked(5), &TIMES);
        assert_eq!(names(&folder.page(None, Freshness::Listed, &TIMES).unwrap()), ["d/b"]);
        // What was known before a listing says less than the listing.
        folder.learn("d/b", object("old"), asked(6), &TIMES);
        folder.learn_page(None, &page(&["d/b"], None), asked(7));
        folder.learn("d/b", What::Doubtful, asked(8), &TIMES);
        assert_eq!(folder.look("d/b", Freshness::Any, &TIMES), Some(object("listed")));
    }

    #[test]
    fn a_listing_tells_of_names_as_far_as_it_was_read() {
        let folder = Folder::new("d/");
        assert!(folder.learn_page(None, &page(&["d/a", "d/c/"], Some("more")), asked(1)));
        assert_eq!(look(&folder, "d/b"), Some(What::Nothing));
        assert_eq!(look(&folder, "d/c/"), Some(What::Prefix));
        assert_eq!(look(&folder, "d/d"), None, "beyond its end");
        assert!(!folder.learn_page(Some("other"), &page(&["d/e"], None), asked(2)));
        assert!(folder.learn("d/d", object("1"), asked(3), &TIMES));
        assert!(folder.learn_page(Some("more"), &page(&["d/e"], None), asked(4)));
        assert_eq!(look(&folder, "d/z"), Some(What::Nothing));
        let second = folder.page(Some("more"), Freshness::Listed, &TIMES).unwrap();
        assert_eq!(names(&second), ["d/d", "d/e"], "each name on the page that tells of it");
        assert_eq!(folder.page(Some("none"), Freshness::Listed, &TIMES), None);
        let odd = Folder::new("d/");
        assert!(!odd.learn_page(None, &page(&[], Some("more")), asked(1)), "it tells of nothing");
        assert!(!odd.learn_page(None, &page(&["d/b", "d/a"], None), asked(1)), "in no order");
        assert!(!odd.learn_page(Some("more"), &page(&["d/a"], None), asked(1)), "without its beginning");
    }

    #[test]
    fn a_fact_lives_as_long_as_its_listing_or_a_time_of_its_own() {
        let folder = Folder::new("d/");
        folder.learn("d/young", object("1"), asked_before(1, JUST_YOUNG), &TIMES);
        folder.learn("d/old", object("1"), asked_before(2, JUST_OLD), &TIMES);
        assert_eq!(look(&folder, "d/young"), Some(object("1")));
        assert_eq!(look(&folder, "d/old"), None);
        assert_eq!(folder.look("d/old", Freshness::Any, &TIMES), Some(object("1")));
        // A listing of two pages lives twice as long, and what is newer with it.
        let listed = Folder::new("d/");
        listed.learn_page(None, &page(&["d/a"], Some("more")), asked_before(1, JUST_OLD));
        listed.learn_page(Some("more"), &page(&["d/b"], None), asked_before(2, JUST_OLD));
        listed.learn("d/c", object("1"), asked_before(3, JUST_OLD), &TIMES);
        assert_eq!(look(&listed, "d/a"), Some(object("listed")));
        assert_eq!(look(&listed, "d/c"), Some(object("1")));
        assert_eq!(listed.look("d/a", Freshness::Single, &TIMES), None);
    }

    #[test]
    fn a_folder_is_empty_only_if_nothing_can_be_in_it() {
        let empty = |folder: &Folder| folder.is_empty(&TIMES);
        let folder = Folder::new("d/");
        assert_eq!(empty(&folder), None);
        folder.learn("d/a", What::Nothing, asked(1), &TIMES);
        assert_eq!(empty(&folder), None);
        folder.learn_page(None, &page(&["d/a"], None), asked(2));
        assert_eq!(empty(&folder), Some(false));
        folder.learn("d/a", What::Doubtful, asked(3), &TIMES);
        assert_eq!(empty(&folder), None);
        folder.learn("d/a", What::Nothing, asked(4), &TIMES);
        assert_eq!(empty(&folder), Some(true));
        folder.learn("d/b/", What::Prefix, asked(5), &TIMES);
        assert_eq!(empty(&folder), Some(false));
        let unread = Folder::new("d/");
        unread.learn_page(None, &ListPage { unreadable: 1, ..ListPage::default() }, asked(1));
        assert_eq!(empty(&unread), Some(false), "something that cannot be named is in it");
        let cut = Folder::new("d/");
        cut.learn_page(None, &page(&["d/a"], Some("more")), asked(1));
        cut.learn("d/a", What::Nothing, asked(2), &TIMES);
        assert_eq!(empty(&cut), None, "more may follow");
    }

    #[test]
    fn a_version_keeps_its_first_date_and_what_a_listing_leaves_out() {
        let written = ObjectMeta { content_type: Some("text/plain".into()), ..meta("1") };
        let later = |seconds: u64, etag: &str| ObjectMeta {
            last_modified: written.last_modified + Duration::from_secs(seconds),
            ..meta(etag)
        };
        let folder = Folder::new("d/");
        folder.learn("d/a", What::Object(written.clone()), asked(1), &TIMES);
        folder.learn("d/a", What::Object(later(5, "1")), asked(2), &TIMES);
        assert_eq!(look(&folder, "d/a"), Some(What::Object(written.clone())));
        // The same content, written anew much later: nobody knows its type.
        folder.learn("d/a", What::Object(later(6, "1")), asked(3), &TIMES);
        assert_eq!(look(&folder, "d/a"), Some(object("1")));
        folder.learn("d/a", What::Object(later(7, "2")), asked(4), &TIMES);
        assert_eq!(look(&folder, "d/a"), Some(What::Object(later(7, "2"))));
    }

    #[test]
    fn names_are_found_in_the_spelling_that_is_stored() {
        let (composed, decomposed) = ("d/\u{e9}", "d/e\u{301}");
        let folder = Folder::new("d/");
        assert_eq!(folder.spelling("\u{e9}", &TIMES), Spelling::Unknown);
        folder.learn_page(None, &page(&[decomposed], Some("more")), asked(1));
        assert_eq!(folder.spelling("\u{e9}", &TIMES), Spelling::Stored("e\u{301}".into()));
        assert_eq!(folder.spelling("\u{fc}", &TIMES), Spelling::Unknown);
        folder.learn_page(Some("more"), &page(&["d/z"], None), asked(2));
        assert_eq!(folder.spelling("\u{fc}", &TIMES), Spelling::Nowhere);
        let single = Folder::new("d/");
        single.learn_page(None, &page(&[], None), asked(1));
        single.learn(composed, object("1"), asked(2), &TIMES);
        assert_eq!(single.spelling("e\u{301}", &TIMES), Spelling::Stored("\u{e9}".into()));
    }

    #[test]
    fn the_second_child_in_a_row_of_which_nothing_is_known_is_noticed() {
        let folder = Folder::new("d/");
        assert!(!folder.is_asked_again("d/a", &TIMES), "the first");
        assert!(!folder.is_asked_again("d/a", &TIMES), "the same");
        assert!(folder.is_asked_again("d/b", &TIMES));
        folder.learn_page(None, &page(&[], None), asked(1));
        assert!(!folder.is_asked_again("d/c", &TIMES), "it is listed");
    }

    #[test]
    fn too_many_facts_are_forgotten_and_what_was_asked_before_is_not_believed() {
        let folder = Folder::new("d/");
        for tick in 1..=MAX_FACTS as u64 {
            folder.learn(&format!("d/{tick:05}"), What::Nothing, asked_before(tick, JUST_OLD), &TIMES);
        }
        assert_eq!(folder.look("d/00001", Freshness::Any, &TIMES), Some(What::Nothing), "there is room");
        assert!(folder.learn("d/young", object("1"), asked(20_000), &TIMES));
        assert_eq!(look(&folder, "d/young"), Some(object("1")), "the old ones made room");
        for tick in 1..=MAX_FACTS as u64 {
            folder.learn(&format!("d/{tick:05}"), What::Nothing, asked(20_000 + tick), &TIMES);
        }
        assert_eq!(folder.known.lock().facts.len(), 0, "all were young");
        assert!(!folder.learn("d/a", object("1"), asked(100), &TIMES), "asked for before that");
        assert!(!folder.learn_page(None, &page(&["d/a"], None), asked(100)));
        assert!(!folder.learn("d/a", object("1"), asked(29_999), &TIMES));
        // What the question that was one too many asked for, too, is believed.
        assert!(folder.learn("d/a", object("1"), asked(30_000), &TIMES));
        assert!(folder.learn_page(None, &page(&["d/a"], None), asked(30_000)));
        assert!(folder.learn("d/a", object("1"), asked(40_000), &TIMES));
    }

    #[test]
    fn of_too_many_facts_those_are_kept_that_still_count() {
        let folder = Folder::new("d/");
        folder.learn("d/old", What::Nothing, asked_before(1, JUST_OLD), &TIMES);
        for tick in 2..=MAX_FACTS as u64 + 1 {
            folder.learn(&format!("d/{tick}"), What::Nothing, asked(tick), &TIMES);
        }
        assert_eq!(folder.known.lock().facts.len(), MAX_FACTS, "the old one made room");
        // However old, what is newer than the listing counts as long as that.
        let listed = Folder::new("d/");
        listed.learn("d/before", object("1"), asked_before(1, JUST_OLD), &TIMES);
        listed.learn_page(None, &page(&["d/0", "d/a"], Some("more")), asked_before(2, JUST_OLD));
        listed.learn("d/before", object("1"), asked_before(1, JUST_OLD), &TIMES);
        listed.learn("d/after", object("1"), asked_before(3, JUST_OLD), &TIMES);
        for tick in 4..MAX_FACTS as u64 + 3 {
            listed.learn(&format!("d/{tick}"), What::Nothing, asked(tick), &TIMES);
        }
        let known = listed.known.lock();
        assert!(!known.facts.contains_key("d/before") && known.facts.contains_key("d/after"));
    }

    #[test]
    fn what_lies_beyond_a_listings_end_is_believed_however_early_it_was_asked_for() {
        let folder = Folder::new("d/");
        folder.learn_page(None, &page(&["d/a", "d/c"], Some("more")), asked(5));
        assert!(!folder.learn("d/b", object("1"), asked(3), &TIMES));
        assert!(folder.learn("d/x", object("1"), asked(3), &TIMES));
        assert!(folder.learn("d/y", object("1"), asked_before(4, JUST_OLD), &TIMES));
        assert_eq!(look(&folder, "d/x"), Some(object("1")));
        assert_eq!(look(&folder, "d/y"), None, "it has only its own time");
        assert_eq!(folder.look("d/y", Freshness::Any, &TIMES), Some(object("1")));
        // The next page is of the listing's question.
        folder.learn_page(Some("more"), &page(&["d/y"], None), asked(6));
        assert_eq!(look(&folder, "d/y"), Some(object("listed")));
        assert_eq!(names(&folder.page(Some("more"), Freshness::Listed, &TIMES).unwrap()), ["d/y"]);
        assert_eq!(folder.look("d/y", Freshness::Any, &TIMES), Some(object("listed")));
    }

    #[test]
    fn answers_to_one_question_count_in_the_order_in_which_they_come() {
        let folder = Folder::new("d/");
        folder.learn("d/a", What::Nothing, asked(5), &TIMES);
        assert!(folder.learn_page(None, &page(&["d/a"], None), asked(5)));
        assert_eq!(look(&folder, "d/a"), Some(object("listed")));
        assert!(folder.learn_page(None, &page(&["d/a", "d/b"], None), asked(5)));
        assert!(folder.learn("d/b", object("1"), asked(5), &TIMES));
        for freshness in [Freshness::Listed, Freshness::Single, Freshness::Any] {
            assert_eq!(folder.look("d/b", freshness, &TIMES), Some(object("1")));
        }
        // The whole is what the listing told.
        let listed = page(&["d/a", "d/b"], None);
        assert_eq!(folder.page(None, Freshness::Listed, &TIMES), Some(listed.clone()));
        folder.learn("d/b", What::Doubtful, asked(6), &TIMES);
        assert_eq!(folder.page(None, Freshness::Any, &TIMES), Some(listed));
        let gone = Folder::new("d/");
        gone.learn_page(None, &page(&["d/a"], None), asked(5));
        gone.learn("d/a", What::Nothing, asked(5), &TIMES);
        assert_eq!(gone.is_empty(&TIMES), Some(false));
    }

    #[test]
    fn a_listing_that_is_young_tells_of_single_children() {
        let folder = Folder::new("d/");
        folder.learn_page(None, &page(&["d/a"], None), asked_before(1, JUST_YOUNG));
        for freshness in [Freshness::Single, Freshness::Listed, Freshness::Any] {
            assert_eq!(folder.look("d/a", freshness, &TIMES), Some(object("listed")));
        }
        let old = Folder::new("d/");
        old.learn_page(None, &page(&["d/a"], None), asked_before(1, JUST_OLD));
        let looks = [Freshness::Single, Freshness::Listed, Freshness::Any]
            .map(|freshness| old.look("d/a", freshness, &TIMES));
        assert_eq!(looks, [None, None, Some(object("listed"))]);
        assert_eq!(old.page(None, Freshness::Listed, &TIMES), None);
        assert_eq!(old.page(None, Freshness::Any, &TIMES), Some(page(&["d/a"], None)));
    }

    #[test]
    fn one_child_that_was_there_a_moment_ago_is_enough_for_a_folder_to_hold_something() {
        for (age, known) in [(JUST_YOUNG, Some(false)), (JUST_OLD, None)] {
            let folder = Folder::new("d/");
            folder.learn("d/a", object("1"), asked_before(1, age), &TIMES);
            assert_eq!(folder.is_empty(&TIMES), known);
        }
        let folder = Folder::new("d/");
        folder.learn_page(None, &page(&["d/a", "d/b"], None), asked(1));
        folder.learn("d/a", What::Nothing, asked(2), &TIMES);
        assert_eq!(folder.is_empty(&TIMES), Some(false), "the other one is there");
    }

    #[test]
    fn a_child_that_was_asked_for_long_ago_is_none_in_a_row() {
        let none = Times { metadata: Duration::ZERO, ..TIMES };
        let folder = Folder::new("d/");
        assert!(!folder.is_asked_again("d/a", &none) && !folder.is_asked_again("d/b", &none));
        assert!(folder.is_asked_again("d/\u{e9}", &TIMES));
        assert!(!folder.is_asked_again("d/e\u{301}", &TIMES), "the same to Unicode");
    }

    #[test]
    fn a_name_that_is_gone_is_no_spelling() {
        let folder = Folder::new("d/");
        folder.learn_page(None, &page(&[], None), asked(1));
        folder.learn("d/\u{e9}", What::Nothing, asked(2), &TIMES);
        assert_eq!(folder.spelling("e\u{301}", &TIMES), Spelling::Nowhere);
        folder.learn("d/\u{fc}/", What::Prefix, asked(3), &TIMES);
        assert_eq!(folder.spelling("u\u{308}", &TIMES), Spelling::Stored("\u{fc}".into()));
        assert_eq!(folder.spelling("e\u{301}", &TIMES), Spelling::Nowhere);
    }

    #[test]
    fn a_listing_takes_over_what_only_single_answers_tell() {
        let typed = |etag: &str, kind: &str| ObjectMeta { content_type: Some(kind.into()), ..meta(etag) };
        let folder = Folder::new("d/");
        folder.learn("d/a", What::Object(typed("listed", "text/plain")), asked(1), &TIMES);
        folder.learn_page(None, &page(&["d/a"], None), asked(2));
        let kept = Some(What::Object(typed("listed", "text/plain")));
        assert_eq!(look(&folder, "d/a"), kept);
        folder.learn_page(None, &page(&["d/a"], None), asked(3));
        assert_eq!(look(&folder, "d/a"), kept, "from the listing before it");
        folder.learn("d/a", What::Object(typed("listed", "text/html")), asked(4), &TIMES);
        assert_eq!(look(&folder, "d/a"), Some(What::Object(typed("listed", "text/html"))), "it tells one");
    }

    #[test]
    fn a_folder_weighs_what_is_known_of_it() {
        let folder = Folder::new("d/");
        assert_eq!(folder.weight(), OVERHEAD + 2);
        folder.learn("d/z", object("1"), asked(2), &TIMES);
        assert_eq!(folder.weight(), OVERHEAD + 2 + FACT);
        folder.learn("d/zz", object("1"), asked(3), &TIMES);
        folder.learn_page(None, &page(&["d/abc", "d/\u{e9}", "d/x/"], Some("more")), asked(1));
        let (names, composed) = (5 + 4 + 4, 1);
        let expected = OVERHEAD + 2 + 2 * FACT + names + (3 + composed) * LISTED;
        assert_eq!(folder.weight(), expected);
    }
}
