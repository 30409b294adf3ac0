//! Bugs put in on purpose, to see that the tests find them. They exist only in builds with the
//! feature `seeded-bugs`, which nothing but that test uses.

#[cfg(feature = "seeded-bugs")]
static SOWN: parking_lot::Mutex<Option<Bug>> = parking_lot::Mutex::new(None);

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// An answer that is older than a change fills the cache after it.
    StaleFill,
    /// A PUT goes out without its condition.
    LostCondition,
    /// A delete does not reach the cache.
    MissedInvalidation,
    /// A range from memory begins a byte too early.
    WrongRange,
    /// A listing that failed passes for an empty one.
    SwallowedListError,
}

/// Puts a bug in, or takes it out again.
#[cfg(feature = "seeded-bugs")]
pub fn sow(bug: Option<Bug>) {
    *SOWN.lock() = bug;
}

/// Whether this bug is in: never, in a real build.
#[inline(always)]
pub fn has(bug: Bug) -> bool {
    #[cfg(feature = "seeded-bugs")]
    return *SOWN.lock() == Some(bug);
    #[cfg(not(feature = "seeded-bugs"))]
    {
        let _ = bug;
        false
    }
}
