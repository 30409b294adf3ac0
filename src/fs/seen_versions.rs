//! What each client last saw of each object: the version that its next write means to replace.

mod moves;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use moka::notification::RemovalCause;
use moka::sync::Cache;

use super::client_key::ClientKey;
use super::context::Offered;
use super::dated_versions::DatedVersions;
use super::losers::{Losers, unseen};
use super::ranges::Ranges;
use super::unstored_versions::UnstoredVersions;
use super::{Client, RequestContext};
use crate::object::ETag;
use crate::state::{State, StateError};
use crate::store::journal::{MadeVersion, is_unstored};

/// The version that a client last got or made, by client and key. It is kept in the state; what it lost of an
/// earlier life is as good as unknown.
#[derive(Debug)]
pub struct SeenVersions {
    seen: Cache<(Client, String), ETag>,
    unstored: UnstoredVersions,
    /// What clients have got of a version, piece by piece.
    pieces: Cache<(Client, String), (ETag, Ranges)>,
    losers: Losers,
    dated: DatedVersions,
    /// Those that have asked for anything, and whether the disk knows of them.
    met: Cache<Client, bool>,
    state: State,
    /// Those of whom something is known of an earlier life that did not end in order.
    unsure: HashSet<Client>,
}

impl SeenVersions {
    /// Takes up what `state` kept.
    pub async fn load(state: State) -> Result<Self, StateError> {
        let lru = moka::policy::EvictionPolicy::lru;
        // What there is no room for goes from the disk, too.
        let forget = state.clone();
        let seen = Cache::builder().max_capacity(MAX_BASES).eviction_policy(lru());
        let seen = seen.eviction_listener(move |name: Arc<(Client, String)>, _, cause| {
            if cause == RemovalCause::Size {
                forget.note_seen(&name.0.to_row(), &name.1, None);
            }
        });
        let seen = seen.build();
        let unstored = UnstoredVersions::new(MAX_BASES);
        let losers = Losers::new(state.clone());
        let forget = state.clone();
        let met = Cache::builder().max_capacity(MAX_CLIENTS).eviction_policy(lru());
        let met = met.eviction_listener(move |client: Arc<Client>, _, cause| {
            if cause == RemovalCause::Size {
                forget.note_seen(&client.to_row(), MET, None);
            }
        });
        let met = met.build();
        let (mut unsure, made_empty) = (HashSet::new(), state.left_empty());
        for row in state.seen().await? {
            let Some(client) = Client::of_row(&row.client) else { continue };
            if state.unsure_since().is_some() {
                unsure.insert(client.clone());
            }
            if row.key == MET {
                met.insert(client, true);
                continue;
            }
            let known = losers.recall(&client, &row);
            let is_seen = known.is_none() && !made_empty.contains(&row.key);
            let known = known.or_else(|| is_seen.then(|| (row.key, ETag::new(row.etag))));
            let Some((key, etag)) = known else { continue };
            unstored.note(&client, &key, &etag);
            if is_seen {
                seen.insert((client, key), etag);
            }
        }
        Ok(Self {
            seen,
            unstored,
            pieces: Cache::new(MAX_PIECES),
            losers,
            dated: DatedVersions::default(),
            met,
            state,
            unsure,
        })
    }

    /// A client asks for something: in a life after a crash it may have seen more than the rows tell. Whether the disk does
    /// not know of it yet.
    pub fn meet(&self, client: &Client) -> bool {
        let is_known = self.met.get(client);
        if is_known.is_none() {
            self.met.insert(client.clone(), false);
            self.state.note_seen(&client.to_row(), MET, Some(""));
        }
        is_known != Some(true)
    }

    /// Takes up what clients have made, oldest first, that is on disk when what they have seen may not be.
    pub fn recall(&self, made: &[MadeVersion]) {
        if self.state.unsure_since().is_none() {
            return;
        }
        let makers: HashMap<&ETag, &str> = made.iter().map(|made| (&made.etag, &*made.writer)).collect();
        for made in made {
            let Some(client) = Client::of_row(&made.writer) else { continue };
            let is_older = self.of(&client, made.key.as_str()).is_none_or(|known| {
                let maker = makers.get(&known);
                // What others have made is known of what was read since.
                Some(&known) == made.basis.as_ref()
                    || maker.map_or(is_unstored(&known), |maker| *maker == made.writer)
            });
            if is_older {
                self.made(&client, made.key.as_str(), &made.etag);
            }
        }
    }

    pub fn of(&self, client: &Client, key: &str) -> Option<ETag> {
        self.seen.get(&ClientKey(client, key))
    }

    /// The version that the request means to replace at `key`, where `now` is, with its date and its bytes; `None`:
    /// it means to make a file, or nobody knows what it has seen.
    pub fn to_replace(
        &self,
        context: &RequestContext,
        key: &str,
        now: Option<(&ETag, SystemTime, u64)>,
    ) -> Option<ETag> {
        let client = &context.client;
        if let Some(seen) = self.of(client, key) {
            // Nothing that it has not got is there any more.
            return (now.is_some() || seen != unseen()).then_some(seen);
        }
        if self.loser(client, key).is_some() {
            return None;
        }
        let (etag, modified, size) = now?;
        let hints = context.outcome.hints();
        // What has come to a file that was made empty is most likely what its maker sent.
        let looks_count = !client.quirks().looks_before_it_saves || self.state.left_empty().contains(key);
        let has_looked = hints.has_looked && looks_count;
        // An empty file is nobody's work; most likely this client made it.
        let is_unknown = size > 0
            && !has_looked
            && (self.unsure.contains(client) || self.state.is_unsure_of_all())
            && self.state.unsure_since().is_some_and(|since| modified + CLOCKS_DIFFER >= since);
        (!hints.was_told_absent && !is_unknown).then(|| etag.clone())
    }

    /// The client has got or made this version.
    pub fn saw(&self, client: &Client, key: &str, etag: &ETag) {
        self.made(client, key, etag);
        self.losers.forget(client, key);
    }

    /// The client has made this version, which may lose yet, and lies then where one that lost before does.
    pub fn made(&self, client: &Client, key: &str, etag: &ETag) {
        let etag = &self.as_stored(etag);
        // Reading the same again is common, and looking is cheaper than writing.
        if self.of(client, key).is_none_or(|known| known != *etag) {
            self.unstored.note(client, key, etag);
            self.seen.insert((client.clone(), key.to_owned()), etag.clone());
            self.state.note_seen(&client.to_row(), key, Some(etag.quoted()));
        }
        self.pieces.invalidate(&ClientKey(client, key));
    }

    /// The client's connection took `count` bytes from `first` on of what the request was offered.
    pub fn delivered(&self, context: &RequestContext, first: u64, count: u64) {
        let Some(Offered { key, etag, size, known }) = context.outcome.offered() else { return };
        let client = &context.client;
        let seen = self.of(client, &key);
        // What it had made lost, or may lose, and is not what it gets.
        let was_unstored = known.as_ref().is_some_and(|known| is_unstored(known) && *known != etag);
        let is_lost = match &seen {
            Some(seen) => *seen == unseen(),
            None => self.loser(client, &key).is_some(),
        };
        let has_lost = was_unstored && is_lost;
        // It has made or got a newer one while this came.
        if (seen != known && !has_lost) || seen.as_ref() == Some(&etag) {
            return;
        }
        if count >= size {
            return self.saw(client, &key, &etag);
        }
        // Pieces may end at once.
        let pieces = self.pieces.entry((client.clone(), key.clone())).and_upsert_with(|before| {
            let before = before.map(moka::Entry::into_value).filter(|(version, _)| *version == etag);
            let mut ranges = before.map(|(_, ranges)| ranges).unwrap_or_default();
            ranges.add(first, first.saturating_add(count));
            (etag.clone(), ranges)
        });
        if pieces.value().1.cover(size) {
            self.saw(client, &key, &etag);
        }
    }

    /// The client's version of `key` lost, and lies at `copy` now.
    pub fn lost(&self, client: &Client, key: &str, copy: &str, etag: &ETag) {
        let etag = &self.as_stored(etag);
        self.unstored.note(client, key, etag);
        self.losers.note(client, key, copy, etag);
    }

    /// What clients know as the version `pending` was stored as `etag`, at `place`, which may be another than it was meant
    /// for.
    pub fn stored(&self, pending: &ETag, (meant, place): (&str, &str), etag: &ETag) {
        if place == meant {
            self.unstored.is_stored_as(pending, etag);
        }
        for (client, key) in self.unstored.take(pending) {
            if self.losers.of(&client, &key).is_some_and(|(_, copy)| copy == *pending) {
                self.lost(&client, &key, place, etag);
            }
            if self.of(&client, &key).as_ref() != Some(pending) {
                continue;
            }
            if place == key {
                self.saw(&client, &key, etag);
            } else {
                self.forget_version(&client, &key);
                self.lost(&client, &key, place, etag);
            }
        }
    }

    fn as_stored(&self, etag: &ETag) -> ETag {
        self.unstored.as_stored(etag)
    }

    fn forget_version(&self, client: &Client, key: &str) {
        self.seen.invalidate(&ClientKey(client, key));
        self.state.note_seen(&client.to_row(), key, None);
    }

    /// Where the client's version of `key` lies that lost, if it has not seen the winner since.
    pub fn loser(&self, client: &Client, key: &str) -> Option<(String, ETag)> {
        self.losers.of(client, key)
    }

    /// The same, if what the client saves again takes its place: it has not got any of another version since.
    pub fn replaceable_loser(&self, client: &Client, key: &str) -> Option<(String, ETag)> {
        self.loser(client, key).filter(|(_, etag)| *etag != unseen())
    }

    /// Notes the date of a version that was read or written; whether no other version is known to have it.
    pub fn dates(&self, key: &str, etag: &ETag, modified: SystemTime) -> bool {
        self.dated.note(key, etag, modified)
    }

    /// Whether its date tells the version that is there from any other one that the client may have.
    fn date_is_proof(&self, client: &Client, key: &str, etag: &ETag, modified: SystemTime) -> bool {
        self.dates(key, etag, modified) && self.of(client, key).is_none_or(|seen| seen == *etag)
    }

    /// A version of the request's target is looked at, of `size` bytes: a GET offers it to the client.
    pub fn note(&self, context: &RequestContext, key: &str, etag: &ETag, size: u64, modified: SystemTime) {
        if !self.date_is_proof(&context.client, key, etag, modified) {
            context.outcome.set_date_is_no_proof();
        }
        if context.method == http::Method::GET {
            self.offer(context, key, etag, size);
        }
    }

    /// The answer holds this version, of `size` bytes, or a part of it: it is seen when that has been delivered.
    pub fn offer(&self, context: &RequestContext, key: &str, etag: &ETag, size: u64) {
        let known = self.of(&context.client, key);
        context.outcome.set_offered(Offered { key: key.to_owned(), etag: etag.clone(), size, known });
    }

    /// Puts on disk what must be there before the client gets any of what it is offered: that there is such a client, and
    /// that it goes on from another version than its own.
    pub async fn note_offered(&self, context: &RequestContext) {
        let client = &context.client;
        let Some(offered) = context.outcome.offered() else { return };
        let (is_new, goes_on) = (self.meet(client), self.goes_on_from(client, &offered));
        if !is_new && !goes_on {
            return;
        }
        match self.state.sync().await {
            Ok(()) => self.met.insert(client.clone(), true),
            Err(error) => tracing::warn!(%error, "what a client has seen cannot be noted on disk"),
        }
    }

    /// What a client saves does not take the place of its own version that has lost, or may lose yet, once it has got another
    /// one, or a part of that. Whether this is news.
    fn goes_on_from(&self, client: &Client, offered: &Offered) -> bool {
        let Offered { key, known, .. } = offered;
        let etag = &self.as_stored(&offered.etag);
        let own = self.of(client, key);
        // Its own may have lost while it came.
        if own.as_ref() == Some(etag) || known.as_ref() == Some(&offered.etag) {
            return false;
        }
        let (waits, unseen) = (own.as_ref().is_some_and(is_unstored), unseen());
        if waits {
            self.made(client, key, &unseen);
        }
        let lost = self.replaceable_loser(client, key);
        if let Some((copy, _)) = &lost {
            self.lost(client, key, copy, &unseen);
        }
        waits || lost.is_some()
    }

    /// Whether the client would delete somebody else's version that it has not got, in the place of its own, which has lost
    /// there, or waits, or is empty, or of none that it knows of. `now` is there, with its bytes. When it asks again it knows.
    pub fn must_be_told(&self, context: &RequestContext, key: &str, (now, size): (&ETag, u64)) -> bool {
        let client = &context.client;
        let (own, now) = (self.of(client, key).map(|own| self.as_stored(&own)), &self.as_stored(now));
        let has_own = own.as_ref().is_some_and(|own| {
            *own == unseen() || is_unstored(own) || (size > 0 && *own == ETag::of_nothing())
        });
        let is_others = own.as_ref() != Some(now);
        let knows_of_none = own.is_none() && context.outcome.hints().was_told_absent;
        // A program may move a file aside, save it anew, and delete what it moved: that is as good as its own that waits.
        let is_unknown = has_own || knows_of_none || self.loser(client, key).is_some();
        is_others && is_unknown && self.losers.tell(client, key, now)
    }

    /// What the client has seen in a folder. Looks through all that is remembered.
    pub fn below(&self, client: &Client, folder: &str) -> Vec<(String, ETag)> {
        let prefix = format!("{folder}/");
        let seen = self.seen.iter().filter(|(name, _)| name.0 == *client && name.1.starts_with(&prefix));
        seen.map(|(name, etag)| (name.1.clone(), etag)).collect()
    }

    /// The client has removed a folder, or something else took its place.
    pub fn forget_below(&self, client: &Client, folder: &str) {
        self.below(client, folder).iter().for_each(|(key, _)| self.forget(client, key));
    }

    /// The client has removed the object, or moved it away.
    pub fn forget(&self, client: &Client, key: &str) {
        if self.of(client, key).is_some() {
            self.forget_version(client, key);
        }
        self.pieces.invalidate(&ClientKey(client, key));
        self.losers.forget(client, key);
    }
}

/// About 300 bytes each, in either of two caches: 60 MB at most.
const MAX_BASES: u64 = 100_000;
/// Files that clients are reading in pieces: few at any time.
const MAX_PIECES: u64 = 10_000;
/// The key of a row that tells no more than that there is such a client.
const MET: &str = "";
/// About 100 bytes each.
const MAX_CLIENTS: u64 = 1_000;
/// Between this machine and S3.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::fs::context::Hints;
    use crate::object::Key;
    use crate::state::CreateRow;

    async fn open(place: &tempfile::TempDir) -> (State, SeenVersions) {
        let state = State::open(place.path(), "a test").await.unwrap();
        (state.clone(), SeenVersions::load(state).await.unwrap())
    }

    async fn versions() -> (tempfile::TempDir, State, SeenVersions) {
        let place = tempfile::tempdir().unwrap();
        let (state, versions) = open(&place).await;
        (place, state, versions)
    }

    /// What is known once it has been written down and read again.
    async fn again(state: &State) -> SeenVersions {
        state.sync().await.unwrap();
        SeenVersions::load(state.clone()).await.unwrap()
    }

    fn client(name: &str) -> Client {
        Client::new(Some(name.to_owned()), [127, 0, 0, 1].into(), "agent/1.0")
    }

    fn me() -> Client {
        client("me")
    }

    fn tag(text: &str) -> ETag {
        ETag::new(text)
    }

    fn get() -> RequestContext {
        RequestContext::bare(Method::GET, "/a", me())
    }

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    /// A version of a file that has a content, written long ago.
    fn there(etag: &ETag) -> Option<(&ETag, SystemTime, u64)> {
        Some((etag, at(1_000_000), 7))
    }

    #[tokio::test]
    async fn each_client_has_seen_its_own_version_of_each_file() {
        let (_place, state, versions) = versions().await;
        versions.saw(&me(), "a", &tag("1"));
        versions.saw(&me(), "b", &tag("2"));
        versions.saw(&client("other"), "a", &tag("3"));
        versions.saw(&me(), "a", &tag("1"));
        versions.saw(&me(), "b", &tag("4"));
        for versions in [&versions, &again(&state).await] {
            assert_eq!(versions.of(&me(), "a"), Some(tag("1")));
            assert_eq!(versions.of(&me(), "b"), Some(tag("4")));
            assert_eq!(versions.of(&client("other"), "a"), Some(tag("3")));
            assert_eq!(versions.of(&client("other"), "b"), None);
            assert_eq!(versions.of(&client("third"), "a"), None);
        }
    }

    #[tokio::test]
    async fn what_clients_have_made_they_know_after_a_crash() {
        let made = |who: &str, etag: &str, basis: Option<&str>| MadeVersion {
            writer: client(who).to_row(),
            key: Key::new("a").unwrap(),
            etag: tag(etag),
            basis: basis.map(tag),
        };
        let pending = [
            made("first", "1", Some("0")),
            made("second", "2", Some("0")),
            made("first", "3", Some("2")),
            made("new", "4", None),
            made("reader", "5", Some("0")),
        ];
        // What each has seen that is on disk, and what it knows then.
        let seen = [("first", "0", "3"), ("second", "0", "2"), ("reader", "1", "1"), ("other", "1", "1")];
        let place = tempfile::tempdir().unwrap();
        for ends_in_order in [false, true] {
            let (state, versions) = open(&place).await;
            seen.iter().for_each(|(who, version, _)| versions.saw(&client(who), "a", &tag(version)));
            if ends_in_order {
                state.close().await.unwrap();
            } else {
                state.sync().await.unwrap();
            }
            drop((state, versions));
            let (_state, versions) = open(&place).await;
            versions.recall(&pending);
            for (who, before, after) in seen {
                let known = if ends_in_order { before } else { after };
                assert_eq!(versions.of(&client(who), "a"), Some(tag(known)), "{who}, {ends_in_order}");
            }
            assert_eq!(versions.of(&client("new"), "a"), (!ends_in_order).then(|| tag("4")));
            versions.forget(&client("new"), "a");
        }
    }

    #[tokio::test]
    async fn who_has_seen_what_was_accepted_knows_what_it_is_stored_as() {
        let (_place, state, versions) = versions().await;
        let (one, two) = (tag("\"pending-1\""), tag("\"pending-2\""));
        versions.made(&me(), "a", &one);
        versions.saw(&client("other"), "a", &one);
        versions.saw(&client("third"), "a", &one);
        versions.saw(&client("third"), "a", &tag("newer"));
        versions.made(&me(), "b", &two);
        let again = again(&state).await;
        for versions in [&versions, &again] {
            versions.stored(&one, ("a", "a"), &tag("stored"));
            versions.stored(&two, ("b", "b (conflict)"), &tag("copy"));
            assert_eq!(versions.of(&me(), "a"), Some(tag("stored")));
            assert_eq!(versions.of(&client("other"), "a"), Some(tag("stored")));
            assert_eq!(versions.of(&client("third"), "a"), Some(tag("newer")));
            assert_eq!(versions.of(&me(), "b"), None);
            assert_eq!(versions.loser(&me(), "b"), Some(("b (conflict)".to_owned(), tag("copy"))));
        }
    }

    #[tokio::test]
    async fn a_write_means_to_replace_what_its_client_has_seen() {
        let (_place, _state, versions) = versions().await;
        let now = tag("now");
        assert_eq!(versions.to_replace(&get(), "a", None), None, "there is nothing");
        assert_eq!(versions.to_replace(&get(), "a", there(&now)), Some(now.clone()), "it can only mean this");
        let absent = get();
        absent.outcome.set_hints(Hints { was_told_absent: true, ..Hints::default() });
        assert_eq!(versions.to_replace(&absent, "a", there(&now)), None, "it means to make a file");
        versions.saw(&me(), "a", &tag("seen"));
        for context in [&get(), &absent] {
            for now in [there(&now), None] {
                assert_eq!(versions.to_replace(context, "a", now), Some(tag("seen")));
            }
        }
    }

    #[tokio::test]
    async fn whose_version_lost_means_to_replace_none() {
        let (_place, state, versions) = versions().await;
        let now = tag("now");
        versions.lost(&me(), "a", "a (conflict)", &tag("mine"));
        for versions in [&versions, &again(&state).await] {
            assert_eq!(versions.loser(&me(), "a"), Some(("a (conflict)".to_owned(), tag("mine"))));
            assert_eq!(versions.to_replace(&get(), "a", there(&now)), None);
            assert_eq!(versions.loser(&me(), "b"), None);
            assert_eq!(versions.loser(&client("other"), "a"), None);
            assert_eq!(versions.of(&me(), "a"), None);
        }
        versions.moved_beside(&me(), "c", "c (conflict)", (&tag("theirs"), false));
        assert_ne!(
            versions.loser(&me(), "c").map(|(_, etag)| etag),
            Some(tag("theirs")),
            "it has not seen it"
        );
        assert_eq!(versions.to_replace(&get(), "c", there(&now)), None);
        versions.saw(&me(), "a", &now);
        for versions in [&versions, &again(&state).await] {
            assert_eq!(versions.loser(&me(), "a"), None, "it has seen the winner");
            assert_eq!(versions.to_replace(&get(), "a", there(&now)), Some(now.clone()));
        }
    }

    #[tokio::test]
    async fn after_a_crash_nobody_is_taken_to_have_seen_what_may_be_newer() {
        let place = tempfile::tempdir().unwrap();
        {
            let (state, versions) = open(&place).await;
            versions.saw(&me(), "other", &tag("1"));
            state.sync().await.unwrap();
        }
        let (state, versions) = open(&place).await;
        let since = state.unsure_since().unwrap();
        let now = tag("now");
        let replaced = |context: &RequestContext, modified, size| {
            versions.to_replace(context, "a", Some((&now, modified, size))).is_some()
        };
        let after = since + Duration::from_secs(1);
        assert!(!replaced(&get(), after, 7) && !replaced(&get(), since - CLOCKS_DIFFER, 7));
        assert!(replaced(&get(), since - CLOCKS_DIFFER - Duration::from_millis(1), 7), "it is older");
        assert!(replaced(&get(), after, 0) && !replaced(&get(), after, 1), "it is nobody's work");
        let looked = get();
        looked.outcome.set_hints(Hints { has_looked: true, ..Hints::default() });
        assert!(replaced(&looked, after, 7), "it was told what is there");
        let new = RequestContext::bare(Method::PUT, "/a", client("new"));
        assert!(replaced(&new, after, 7), "nothing is known of it");
        assert_eq!(versions.to_replace(&get(), "other", Some((&now, after, 7))), Some(tag("1")));
    }

    #[tokio::test]
    async fn after_an_orderly_end_nothing_is_unsure() {
        let place = tempfile::tempdir().unwrap();
        {
            let (state, versions) = open(&place).await;
            versions.saw(&me(), "other", &tag("1"));
            state.close().await.unwrap();
        }
        let (state, versions) = open(&place).await;
        assert!(versions.unsure.is_empty());
        let (now, soon) = (tag("now"), SystemTime::now() + Duration::from_secs(60));
        assert_eq!(versions.to_replace(&get(), "a", Some((&now, soon, 7))), Some(now));
        assert_eq!(state.unsure_since(), None);
    }

    #[tokio::test]
    async fn where_all_was_lost_it_may_have_been_anyones() {
        let place = tempfile::tempdir().unwrap();
        drop(open(&place).await);
        std::fs::write(place.path().join("state.redb"), "damaged").unwrap();
        let (state, versions) = open(&place).await;
        assert!(state.is_unsure_of_all());
        let now = tag("now");
        assert_eq!(versions.to_replace(&get(), "a", there(&now)), None);
    }

    #[tokio::test]
    async fn an_empty_file_that_was_left_may_hold_something_by_now() {
        let place = tempfile::tempdir().unwrap();
        {
            let (state, versions) = open(&place).await;
            let key = "made".to_owned();
            let row = CreateRow { key, content_type: None, user: Default::default(), made: 1 };
            state.hold_create(row).await.unwrap();
            versions.saw(&me(), "made", &tag("empty"));
            versions.saw(&me(), "file", &tag("1"));
            state.close().await.unwrap();
        }
        let (_state, versions) = open(&place).await;
        assert_eq!(versions.of(&me(), "made"), None);
        assert_eq!(versions.of(&me(), "file"), Some(tag("1")));
    }

    #[tokio::test]
    async fn a_version_is_seen_when_all_of_it_was_delivered() {
        let (_place, _state, versions) = versions().await;
        let seen = || versions.of(&me(), "a");
        versions.delivered(&get(), 0, 10);
        assert_eq!(seen(), None, "nothing was offered");
        let whole = get();
        versions.offer(&whole, "a", &tag("1"), 10);
        versions.delivered(&whole, 0, 9);
        assert_eq!(seen(), None, "a part of it");
        versions.delivered(&whole, 0, 10);
        assert_eq!(seen(), Some(tag("1")));
        let empty = get();
        versions.offer(&empty, "a", &tag("2"), 0);
        versions.delivered(&empty, 0, 0);
        assert_eq!(seen(), Some(tag("2")));
    }

    #[tokio::test]
    async fn who_gets_the_winner_while_its_own_version_comes_beside_has_seen_the_winner() {
        let (_place, _state, versions) = versions().await;
        let (pending, winner) = (tag("\"pending-1\""), tag("winner"));
        versions.made(&me(), "a", &pending);
        let context = get();
        versions.offer(&context, "a", &winner, 7);
        versions.stored(&pending, ("a", "a (conflict)"), &tag("copy"));
        versions.delivered(&context, 0, 7);
        assert_eq!((versions.of(&me(), "a"), versions.loser(&me(), "a")), (Some(winner), None));
    }

    #[tokio::test]
    async fn the_pieces_of_one_version_make_it_up() {
        let (_place, _state, versions) = versions().await;
        let deliver = |etag: &str, first, count| {
            let context = get();
            versions.offer(&context, "a", &tag(etag), 10);
            versions.delivered(&context, first, count);
            versions.of(&me(), "a")
        };
        assert_eq!(deliver("1", 5, 5), None);
        assert_eq!(deliver("2", 0, 5), None, "it is another version's");
        assert_eq!(deliver("1", 0, 5), None, "it had been forgotten then");
        assert_eq!(deliver("1", 5, 5), Some(tag("1")));
        // What was seen whole, or removed, leaves no pieces.
        assert_eq!(deliver("2", 0, 5), Some(tag("1")));
        versions.saw(&me(), "a", &tag("3"));
        assert_eq!(deliver("2", 5, 5), Some(tag("3")));
        versions.forget(&me(), "a");
        assert_eq!(deliver("2", 0, 5), None);
    }

    #[tokio::test]
    async fn what_comes_late_does_not_undo_what_was_seen_meanwhile() {
        let (_place, _state, versions) = versions().await;
        let late = get();
        versions.offer(&late, "a", &tag("old"), 10);
        versions.saw(&me(), "a", &tag("new"));
        versions.delivered(&late, 0, 10);
        assert_eq!(versions.of(&me(), "a"), Some(tag("new")));
        versions.offer(&late, "a", &tag("newest"), 10);
        versions.delivered(&late, 0, 10);
        assert_eq!(versions.of(&me(), "a"), Some(tag("newest")));
    }

    #[tokio::test]
    async fn a_look_tells_whether_the_date_is_proof_and_a_get_offers_the_version() {
        let (_place, _state, versions) = versions().await;
        let is_proof = |method: Method, etag: &str, modified| {
            let context = RequestContext::bare(method, "/a", me());
            versions.note(&context, "a", &tag(etag), 10, modified);
            (!context.outcome.date_is_no_proof(), context.outcome.offered())
        };
        let (proof, offered) = is_proof(Method::HEAD, "1", at(5_000));
        assert!(proof && offered.is_none());
        let (proof, offered) = is_proof(Method::GET, "2", at(5_000));
        let offered = offered.unwrap();
        assert!(!proof, "two versions have it");
        assert_eq!((offered.key.as_str(), offered.etag, offered.size), ("a", tag("2"), 10));
        assert_eq!(offered.known, None);
        versions.saw(&me(), "a", &tag("2"));
        let (proof, offered) = is_proof(Method::GET, "3", at(9_000));
        assert!(!proof, "the client has another version, whose date nobody knows");
        assert_eq!(offered.unwrap().known, Some(tag("2")));
        versions.saw(&me(), "a", &tag("3"));
        assert!(is_proof(Method::GET, "3", at(9_000)).0);
    }

    #[tokio::test]
    async fn what_was_seen_in_a_folder_moves_and_goes_with_it() {
        let (_place, state, versions) = versions().await;
        for key in ["d/a", "d/e/b", "da", "d"] {
            versions.saw(&me(), key, &tag(key));
        }
        versions.saw(&client("other"), "d/a", &tag("theirs"));
        let below = |versions: &SeenVersions, folder: &str| {
            let mut keys: Vec<String> =
                versions.below(&me(), folder).into_iter().map(|(key, _)| key).collect();
            keys.sort();
            keys
        };
        assert_eq!(below(&versions, "d"), ["d/a", "d/e/b"]);
        versions.moved(&me(), "d", "x/y");
        for versions in [&versions, &again(&state).await] {
            assert_eq!(below(versions, "d"), [""; 0]);
            assert_eq!(below(versions, "x"), ["x/y/a", "x/y/e/b"]);
            assert_eq!(versions.of(&me(), "x/y/e/b"), Some(tag("d/e/b")));
            assert_eq!(versions.of(&client("other"), "d/a"), Some(tag("theirs")));
            assert!(versions.of(&me(), "da").is_some() && versions.of(&me(), "d").is_some());
        }
        versions.forget_below(&me(), "x");
        for versions in [&versions, &again(&state).await] {
            assert_eq!(below(versions, "x"), [""; 0]);
            assert!(versions.of(&me(), "da").is_some());
        }
    }

    #[tokio::test]
    async fn what_is_removed_is_forgotten_with_the_copy_beside_it() {
        let (_place, state, versions) = versions().await;
        versions.saw(&me(), "a", &tag("1"));
        versions.lost(&me(), "a", "copy", &tag("2"));
        versions.saw(&me(), "b", &tag("3"));
        versions.forget(&me(), "a");
        for versions in [&versions, &again(&state).await] {
            assert_eq!((versions.of(&me(), "a"), versions.loser(&me(), "a")), (None, None));
            assert_eq!(versions.of(&me(), "b"), Some(tag("3")));
        }
        assert_eq!(state.seen().await.unwrap().len(), 1);
    }
}
