//! What each client last saw of each object: the version that its next write means to replace.

use moka::sync::Cache;

use crate::fs::Client;
use crate::object::ETag;

/// The version that a client last got or made, by client and key. In memory: after a restart the
/// newest version that is known counts instead.
#[derive(Debug)]
pub(super) struct Bases(Cache<(Client, String), ETag>);

impl Default for Bases {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(MAX_BASES)
                .eviction_policy(moka::policy::EvictionPolicy::lru())
                .build(),
        )
    }
}

impl Bases {
    pub(super) fn of(&self, client: &Client, key: &str) -> Option<ETag> {
        self.0.get(&(client.clone(), key.to_owned()))
    }

    /// The client has got or made this version.
    pub(super) fn saw(&self, client: &Client, key: &str, etag: &ETag) {
        let name = (client.clone(), key.to_owned());
        // Reading the same again is common, and looking is cheaper than writing.
        if self.0.get(&name).is_none_or(|known| known != *etag) {
            self.0.insert(name, etag.clone());
        }
    }

    /// The client has removed the object, or moved it away.
    pub(super) fn forget(&self, client: &Client, key: &str) {
        self.0.invalidate(&(client.clone(), key.to_owned()));
    }
}

/// About 300 bytes each: 30 MB at most.
const MAX_BASES: u64 = 100_000;
