//! What each client last saw of each object: the version that its next write means to replace.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use moka::Equivalent;
use moka::notification::RemovalCause;
use moka::sync::Cache;

use super::context::Offered;
use super::ranges::Ranges;
use super::{Client, RequestContext};
use crate::object::{Condition, ETag};
use crate::state::{State, StateError};

/// The version that a client last got or made, by client and key. It is kept in the state; what it lost of an
/// earlier life is as good as unknown.
#[derive(Debug)]
pub struct SeenVersions {
    seen: Cache<(Client, String), ETag>,
    /// What clients have got of a version, piece by piece.
    pieces: Cache<(Client, String), (ETag, Ranges)>,
    /// Where the latest version of a client lies that lost, with its ETag.
    beside: Cache<(Client, String), (String, ETag)>,
    /// The newest version of each key, as far as was seen, by its date.
    dated: Cache<String, Dated>,
    state: State,
    /// Those of whom something is known of an earlier life that did not end in order.
    unsure: HashSet<Client>,
}

/// The name of an entry without a copy of it; it must hash as that does.
#[derive(Hash)]
struct Seen<'a>(&'a Client, &'a str);

impl Equivalent<(Client, String)> for Seen<'_> {
    fn equivalent(&self, (client, key): &(Client, String)) -> bool {
        self.0 == client && self.1 == key
    }
}

/// HTTP's dates have whole seconds, and two versions can have one second.
#[derive(Debug, Clone, PartialEq)]
struct Dated {
    etag: ETag,
    /// Since 1970.
    second: u64,
    /// Another version has the same.
    is_shared: bool,
}

impl SeenVersions {
    /// Takes up what `state` kept.
    pub async fn load(state: State) -> Result<Self, StateError> {
        let lru = moka::policy::EvictionPolicy::lru;
        // What there is no room for goes from the disk, too.
        let forget = |state: State, row: fn(&str) -> String| {
            move |name: Arc<(Client, String)>, cause| {
                if cause == RemovalCause::Size {
                    state.note_seen(&name.0.to_row(), &row(&name.1), None);
                }
            }
        };
        let (forget_seen, forget_beside) =
            (forget(state.clone(), str::to_owned), forget(state.clone(), beside_row));
        let seen = Cache::builder().max_capacity(MAX_BASES).eviction_policy(lru());
        let seen = seen.eviction_listener(move |name, _, cause| forget_seen(name, cause)).build();
        let beside = Cache::builder().max_capacity(MAX_PIECES);
        let beside = beside.eviction_listener(move |name, _, cause| forget_beside(name, cause)).build();
        let (mut unsure, made_empty) = (HashSet::new(), state.left_empty());
        for row in state.seen().await? {
            let Some(client) = Client::of_row(&row.client) else { continue };
            if state.unsure_since().is_some() {
                unsure.insert(client.clone());
            }
            if let Some(key) = row.key.strip_prefix(BESIDE) {
                if let Some((etag, copy)) = row.etag.split_once(BESIDE) {
                    beside.insert((client, key.to_owned()), (copy.to_owned(), ETag::new(etag)));
                }
            } else if !made_empty.contains(&row.key) {
                seen.insert((client, row.key), ETag::new(row.etag));
            }
        }
        Ok(Self {
            seen,
            pieces: Cache::new(MAX_PIECES),
            beside,
            dated: Cache::builder().max_capacity(MAX_BASES).eviction_policy(lru()).build(),
            state,
            unsure,
        })
    }

    pub fn of(&self, client: &Client, key: &str) -> Option<ETag> {
        self.seen.get(&Seen(client, key))
    }

    /// The version that the request means to replace at `key`, where `now` is, with its date and its bytes; `None`:
    /// it means to make a file, or nobody knows what it has seen.
    pub fn to_replace(
        &self,
        context: &RequestContext,
        key: &str,
        now: Option<(&ETag, SystemTime, u64)>,
    ) -> Option<ETag> {
        if let Some(seen) = self.of(&context.client, key) {
            return Some(seen);
        }
        if self.loser(&context.client, key).is_some() {
            return None;
        }
        let (etag, modified, size) = now?;
        let hints = context.outcome.hints();
        // An empty file is nobody's work; most likely this client made it.
        let is_unknown = size > 0
            && !hints.has_looked
            && (self.unsure.contains(&context.client) || self.state.is_unsure_of_all())
            && self.state.unsure_since().is_some_and(|since| modified + CLOCKS_DIFFER >= since);
        (!hints.was_told_absent && !is_unknown).then(|| etag.clone())
    }

    /// The client has got or made this version.
    pub fn saw(&self, client: &Client, key: &str, etag: &ETag) {
        // Reading the same again is common, and looking is cheaper than writing.
        if self.of(client, key).is_none_or(|known| known != *etag) {
            self.seen.insert((client.clone(), key.to_owned()), etag.clone());
            self.state.note_seen(&client.to_row(), key, Some(etag.quoted()));
        }
        self.pieces.invalidate(&Seen(client, key));
        self.forget_loser(client, key);
    }

    /// The client's connection took `count` bytes from `first` on of what the request was offered.
    pub fn delivered(&self, context: &RequestContext, first: u64, count: u64) {
        let Some(Offered { key, etag, size, known }) = context.outcome.offered() else { return };
        let client = &context.client;
        let seen = self.of(client, &key);
        // It has made or got a newer one while this came.
        if seen != known || seen.as_ref() == Some(&etag) {
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
        self.beside.insert((client.clone(), key.to_owned()), (copy.to_owned(), etag.clone()));
        let place = format!("{}{BESIDE}{copy}", etag.quoted());
        self.state.note_seen(&client.to_row(), &beside_row(key), Some(&place));
    }

    fn forget_loser(&self, client: &Client, key: &str) {
        if self.loser(client, key).is_some() {
            self.beside.invalidate(&Seen(client, key));
            self.state.note_seen(&client.to_row(), &beside_row(key), None);
        }
    }

    /// Where the client's version of `key` lies that lost, if it has not seen the winner since.
    pub fn loser(&self, client: &Client, key: &str) -> Option<(String, ETag)> {
        self.beside.get(&Seen(client, key))
    }

    /// Notes the date of a version that was read or written; whether no other version is known to
    /// have it.
    pub fn dates(&self, key: &str, etag: &ETag, modified: SystemTime) -> bool {
        let second = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let known = self.dated.get(key);
        let is_shared = known
            .as_ref()
            .is_some_and(|known| known.second == second && (known.is_shared || known.etag != *etag));
        let now = Dated { etag: etag.clone(), second, is_shared };
        if known.as_ref() != Some(&now) {
            self.dated.insert(key.to_owned(), now);
        }
        !is_shared
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

    /// What the client has seen in a folder. Looks through all that is remembered.
    pub fn below(&self, client: &Client, folder: &str) -> Vec<(String, ETag)> {
        let prefix = format!("{folder}/");
        let seen = self.seen.iter().filter(|(name, _)| name.0 == *client && name.1.starts_with(&prefix));
        seen.map(|(name, etag)| (name.1.clone(), etag)).collect()
    }

    /// What the client knew in the folder `from` it knows in `to` now.
    pub fn moved(&self, client: &Client, from: &str, to: &str) {
        for (key, etag) in self.below(client, from) {
            self.saw(client, &format!("{to}{}", &key[from.len()..]), &etag);
            self.forget(client, &key);
        }
    }

    /// The client has removed a folder, or something else took its place.
    pub fn forget_below(&self, client: &Client, folder: &str) {
        self.below(client, folder).iter().for_each(|(key, _)| self.forget(client, key));
    }

    /// The client has removed the object, or moved it away.
    pub fn forget(&self, client: &Client, key: &str) {
        if self.of(client, key).is_some() {
            self.seen.invalidate(&Seen(client, key));
            self.state.note_seen(&client.to_row(), key, None);
        }
        self.pieces.invalidate(&Seen(client, key));
        self.forget_loser(client, key);
    }
}

/// The key under which the state knows the copy beside `key`.
fn beside_row(key: &str) -> String {
    format!("{BESIDE}{key}")
}

/// On what condition a body takes its place.
#[derive(Debug, Clone)]
pub struct WriteCondition {
    pub condition: Condition,
    /// The client asked for it itself, and is told when it does not hold.
    pub is_clients_own: bool,
}

impl WriteCondition {
    /// `basis`: the version that the client means to replace, as far as is known.
    pub fn of(context: &RequestContext, basis: Option<ETag>, create_new: bool) -> Self {
        let condition = match (&context.if_match, basis) {
            _ if create_new => Condition::IfAbsent,
            (Some(etag), _) => Condition::IfMatch(etag.clone()),
            (None, Some(basis)) => Condition::IfMatch(basis),
            (None, None) => Condition::IfAbsent,
        };
        let is_clients_own = create_new || context.has_own_condition;
        Self { condition, is_clients_own }
    }
}

/// About 300 bytes each, in either of two caches: 60 MB at most.
const MAX_BASES: u64 = 100_000;
/// Files that clients are reading in pieces, and those that lost: few at any time.
const MAX_PIECES: u64 = 10_000;
/// What marks the rows of copies beside a winner; no key of a file holds it.
const BESIDE: char = '\u{1}';
/// Between this machine and S3.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);
