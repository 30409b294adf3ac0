//! What can be known of a name, when it was asked for, and how old it may be to count.

use std::time::Instant;

use crate::object::ObjectMeta;

/// A place in the order of all questions and changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Tick(pub(super) u64);

/// When a question was asked, or a change was ended: its place in the order, and the moment from
/// which on its age counts. An answer is as old as its question, however long it was on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) tick: Tick,
    pub(super) at: Instant,
}

/// How old something may be to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As old as a listing may get.
    Listed,
    /// As old as a single fact may get.
    Single,
    /// Any age, for want of better.
    Any,
}

/// What has a name. Names are whole keys, or whole prefixes with their slash.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Object(ObjectMeta),
    Prefix,
    Nothing,
    /// It may have changed, nobody knows how: it must be asked for. What was known before still counts for
    /// want of better.
    Doubtful,
}
