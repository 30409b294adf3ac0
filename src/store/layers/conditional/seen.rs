//! Which versions objects had, one after the other: a write that passes on one that was replaced shows that the
//! endpoint does not keep conditions, whatever it was asked.
//!
//! Listings are left out: some tell other ETags than the objects have.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::looks::LOOK_AGE;
use crate::object::{Condition, ETag, Key};

/// See the module.
#[derive(Debug)]
pub(super) struct Seen(moka::sync::Cache<Key, Versions>);

#[derive(Debug, Clone)]
struct Versions {
    /// `None`: nothing is there.
    now: Option<ETag>,
    /// When that was asked for, or written.
    at: Instant,
    /// Oldest first.
    before: VecDeque<ETag>,
}

impl Default for Seen {
    fn default() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(MOST_SEEN).time_to_live(SEEN_FOR).build())
    }
}

impl Seen {
    /// Takes an answer to what was asked, or a write that had ended, `at` this moment.
    pub(super) fn note(&self, key: &Key, now: Option<ETag>, at: Instant) {
        let mut before = VecDeque::new();
        if let Some(known) = self.0.get(key) {
            if known.at > at {
                return;
            }
            before = known.before;
            before.extend(known.now);
            before.retain(|etag| Some(etag) != now.as_ref());
            if before.len() > MOST_BEFORE {
                before.pop_front();
            }
        }
        self.0.insert(key.clone(), Versions { now, at, before });
    }

    /// Nobody knows any more what is there.
    pub(super) fn forget(&self, key: &Key) {
        self.0.invalidate(key);
    }

    /// What is there, if a condition cannot hold for it.
    pub(super) fn refutes(&self, key: &Key, condition: &Condition) -> Option<Option<ETag>> {
        let seen = self.0.get(key)?;
        let is_refuted = match condition {
            Condition::None => false,
            // Others may have deleted it since.
            Condition::IfAbsent => seen.now.is_some() && seen.at.elapsed() < LOOK_AGE,
            Condition::IfMatch(wanted) => seen.now.as_ref() != Some(wanted) && seen.before.contains(wanted),
        };
        is_refuted.then_some(seen.now)
    }

    /// Whether this is still what was last seen there.
    pub(super) fn is_still(&self, key: &Key, now: &Option<ETag>) -> bool {
        self.0.get(key).is_some_and(|seen| seen.now == *now)
    }
}

/// Objects whose versions are known: about 3 MB.
const MOST_SEEN: u64 = 10_000;
/// As long as clients that save one file again and again need.
const SEEN_FOR: Duration = Duration::from_secs(3600);
const MOST_BEFORE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_replaced_refutes_and_what_was_never_seen_does_not() {
        let (seen, key) = (Seen::default(), Key::new("k").unwrap());
        let is_refuted = |condition: Condition| seen.refutes(&key, &condition).is_some();
        let version = |name: &str| Condition::IfMatch(ETag::new(name));
        let start = Instant::now();
        assert!(!is_refuted(Condition::IfAbsent) && !is_refuted(version("a")));
        seen.note(&key, Some(ETag::new("a")), start);
        assert!(is_refuted(Condition::IfAbsent) && !is_refuted(version("a")) && !is_refuted(version("b")));
        tokio::time::advance(LOOK_AGE).await;
        assert!(!is_refuted(Condition::IfAbsent), "it may have been deleted since");
        seen.note(&key, Some(ETag::new("b")), Instant::now());
        assert!(is_refuted(version("a")) && !is_refuted(version("b")) && !is_refuted(version("c")));
        assert!(seen.is_still(&key, &Some(ETag::new("b"))));
        // An answer that was long on its way.
        seen.note(&key, Some(ETag::new("a")), start);
        assert!(is_refuted(version("a")));
        seen.note(&key, Some(ETag::new("a")), Instant::now());
        assert!(!is_refuted(version("a")), "it is back");
        seen.note(&key, None, Instant::now());
        assert!(is_refuted(version("a")) && !is_refuted(Condition::IfAbsent));
        seen.forget(&key);
        assert!(!is_refuted(version("a")));
    }
}
