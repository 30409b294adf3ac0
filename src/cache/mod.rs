//! What is known of a bucket without asking it.
//!
//! Pure structures over moka: they hold answers, order them in time and let go of the oldest when
//! they get too large. They ask nobody; `store::cached` does that.
//!
//! Two rules keep them true. What is known has an age, and nothing older than its limit counts
//! ([`Times`]). And every answer remembers when its question was asked: an answer whose
//! question is older than a change of the same thing is not believed. What may have changed is asked for
//! again; what was known of it stays, for those who get no answer.

mod content;
mod folder;
mod knowledge;
mod listing;
mod metadata;

use std::time::Duration;

pub use content::{ContentCache, Held};
pub use knowledge::Freshness;
pub use metadata::{MetadataCache, Question};

/// How much is remembered, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct CacheOptions {
    /// Bytes of memory: half for metadata, half for content.
    pub size: u64,
    /// Bytes of the largest file whose content is kept.
    pub file_limit: u64,
    pub times: Times,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { size: 256 << 20, file_limit: 128 << 10, times: Times::default() }
    }
}

/// How long something counts as known.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// A single fact, and a listing of one page. Zero: nothing is remembered.
    pub metadata: Duration,
    /// The most that a listing of many pages may live; each of its pages gives it one `metadata`.
    pub longest_listing: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { metadata: Duration::from_secs(10), longest_listing: Duration::from_secs(600) }
    }
}

impl Times {
    fn of_listing(&self, pages: usize) -> Duration {
        self.metadata.saturating_mul(pages as u32).min(self.longest_listing.max(self.metadata))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_listings_live_longer_but_not_for_ever() {
        let times = Times::default();
        assert_eq!(times.of_listing(1), Duration::from_secs(10));
        assert_eq!(times.of_listing(7), Duration::from_secs(70));
        assert_eq!(times.of_listing(100), Duration::from_secs(600));
        let none = Times { metadata: Duration::ZERO, ..times };
        assert_eq!(none.of_listing(100), Duration::ZERO);
    }
}
