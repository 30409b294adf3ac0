//! What each client last saw of each object: the version that its next write means to replace.

use std::time::SystemTime;

use moka::Equivalent;
use moka::sync::Cache;

use super::{Client, RequestContext};
use crate::object::{Condition, ETag};
use crate::seeded::{self, Bug};

/// The version that a client last got or made, by client and key. In memory: after a restart the
/// newest version that is known counts instead.
#[derive(Debug)]
pub struct Bases {
    seen: Cache<(Client, String), ETag>,
    /// The newest version of each key, as far as was seen, by its date.
    dated: Cache<String, Dated>,
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

impl Default for Bases {
    fn default() -> Self {
        let lru = moka::policy::EvictionPolicy::lru;
        Self {
            seen: Cache::builder().max_capacity(MAX_BASES).eviction_policy(lru()).build(),
            dated: Cache::builder().max_capacity(MAX_BASES).eviction_policy(lru()).build(),
        }
    }
}

impl Bases {
    pub fn of(&self, client: &Client, key: &str) -> Option<ETag> {
        self.seen.get(&Seen(client, key))
    }

    /// The client has got or made this version.
    pub fn saw(&self, client: &Client, key: &str, etag: &ETag) {
        // Reading the same again is common, and looking is cheaper than writing.
        if self.of(client, key).is_none_or(|known| known != *etag) {
            self.seen.insert((client.clone(), key.to_owned()), etag.clone());
        }
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

    /// A version of the request's target is looked at, of `size` bytes: whoever gets it, or hears that
    /// it has not changed, has it.
    pub fn note(&self, context: &RequestContext, key: &str, etag: &ETag, size: u64, modified: SystemTime) {
        if !self.date_is_proof(&context.client, key, etag, modified) {
            context.outcome.set_date_is_no_proof();
        }
        let is_refused = context.range.is_some_and(|range| range.first >= size)
            || context.if_match.as_ref().is_some_and(|wanted| wanted != etag);
        if context.method == http::Method::GET && !is_refused {
            self.saw(&context.client, key, etag);
        }
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
        self.seen.invalidate(&Seen(client, key));
    }
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
            _ if seeded::has(Bug::LostCondition) => Condition::None,
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
