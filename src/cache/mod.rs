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
        Self { size: DEFAULT_SIZE, file_limit: DEFAULT_FILE_LIMIT, times: Times::default() }
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
        Self { metadata: DEFAULT_TTL, longest_listing: Duration::from_secs(600) }
    }
}

impl Times {
    fn of_listing(&self, pages: usize) -> Duration {
        self.metadata.saturating_mul(pages as u32).min(self.longest_listing.max(self.metadata))
    }
}

/// Bytes of memory: a thousand files of the largest size that is kept, and as much for metadata.
pub const DEFAULT_SIZE: u64 = 256 << 20;
/// Bytes of a file: what programs read again and again, such as sources and previews, is mostly smaller.
pub const DEFAULT_FILE_LIMIT: u64 = 128 << 10;
/// What others change is seen within it; Finder asks for the same things many times in less.
pub const DEFAULT_TTL: Duration = Duration::from_secs(10);

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
