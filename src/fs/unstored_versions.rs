//! Versions that are not stored yet: who knows them, and what they were stored as.

use moka::sync::Cache;

use super::Client;
use crate::object::ETag;
use crate::store::journal::is_unstored;

/// See the module.
#[derive(Debug)]
pub(super) struct UnstoredVersions {
    /// Who knows of which, and of which keys; some may know others since.
    known_by: Cache<ETag, Vec<(Client, String)>>,
    /// Somebody may be getting one still.
    stored_as: Cache<ETag, ETag>,
}

impl UnstoredVersions {
    /// Room for `most` of either.
    pub(super) fn new(most: u64) -> Self {
        let lru = moka::policy::EvictionPolicy::lru;
        Self {
            known_by: Cache::builder().max_capacity(most).eviction_policy(lru()).build(),
            stored_as: Cache::builder().max_capacity(most).eviction_policy(lru()).build(),
        }
    }

    /// The client knows of this version, if it is one of these.
    pub(super) fn note(&self, client: &Client, key: &str, etag: &ETag) {
        if is_unstored(etag) {
            self.known_by.entry_by_ref(etag).and_upsert_with(|before| {
                let mut names = before.map(moka::Entry::into_value).unwrap_or_default();
                let name = (client.clone(), key.to_owned());
                names.retain(|other| *other != name);
                names.push(name);
                names
            });
        }
    }

    /// Who knows of it, and will know it by another name.
    pub(super) fn take(&self, pending: &ETag) -> Vec<(Client, String)> {
        self.known_by.remove(pending).unwrap_or_default()
    }

    /// It is stored as this now, where it was meant to be.
    pub(super) fn is_stored_as(&self, pending: &ETag, etag: &ETag) {
        self.stored_as.insert(pending.clone(), etag.clone());
    }

    /// A version by the name that it is stored by, if that is known.
    pub(super) fn as_stored(&self, etag: &ETag) -> ETag {
        let stored = if is_unstored(etag) { self.stored_as.get(etag) } else { None };
        stored.unwrap_or_else(|| etag.clone())
    }
}
