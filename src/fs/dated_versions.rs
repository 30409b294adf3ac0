//! The dates of versions, and whether they tell one from another.

use std::time::SystemTime;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::object::ETag;

/// The newest version of each key, as far as was seen, by its date.
#[derive(Debug)]
pub(super) struct DatedVersions(Cache<String, Dated>);

/// HTTP's dates have whole seconds, and two versions can have one second.
#[derive(Debug, Clone, PartialEq)]
struct Dated {
    etag: ETag,
    /// Since 1970.
    second: u64,
    /// Another version has the same.
    is_shared: bool,
}

impl Default for DatedVersions {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MAX_KEYS).eviction_policy(EvictionPolicy::lru()).build())
    }
}

impl DatedVersions {
    /// Notes the date of a version; whether no other version is known to have it.
    pub(super) fn note(&self, key: &str, etag: &ETag, modified: SystemTime) -> bool {
        let second = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let known = self.0.get(key);
        let is_shared = known
            .as_ref()
            .is_some_and(|known| known.second == second && (known.is_shared || known.etag != *etag));
        let now = Dated { etag: etag.clone(), second, is_shared };
        if known.as_ref() != Some(&now) {
            self.0.insert(key.to_owned(), now);
        }
        !is_shared
    }
}

/// About 300 bytes each.
const MAX_KEYS: u64 = 100_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tag(text: &str) -> ETag {
        ETag::new(text)
    }

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn a_date_is_proof_while_it_is_one_versions_alone() {
        let versions = DatedVersions::default();
        assert!(versions.note("a", &tag("1"), at(5_000)));
        assert!(versions.note("a", &tag("1"), at(5_000)), "the same version");
        assert!(!versions.note("a", &tag("2"), at(5_900)), "another one of that second");
        assert!(!versions.note("a", &tag("2"), at(5_900)), "still");
        assert!(!versions.note("a", &tag("1"), at(5_000)));
        assert!(versions.note("b", &tag("2"), at(5_000)), "another file");
        assert!(versions.note("a", &tag("3"), at(6_000)), "another second");
        assert!(versions.note("a", &tag("3"), at(7_000)));
    }
}
