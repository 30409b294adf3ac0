//! What a client knows of what it has moved.

use super::SeenVersions;
use crate::fs::losers::unseen;
use crate::fs::{Client, RequestContext};
use crate::object::ETag;
use crate::path_key::PathKey;

impl SeenVersions {
    /// The client has moved this version, of `size` bytes: what it has not got it knows of at its new place, and not of what it
    /// is. Whether it is such a one.
    pub fn moved_as(
        &self,
        context: &RequestContext,
        (from, to): (&str, &str),
        (etag, size): (&ETag, u64),
    ) -> bool {
        let is_unseen = match self.of(&context.client, from) {
            // What it made empty the store may call otherwise.
            Some(seen) if seen == ETag::of_nothing() && size == 0 => false,
            Some(seen) => self.as_stored(&seen) != self.as_stored(etag),
            None => self.knows_of_none(context, from),
        };
        if is_unseen {
            self.moved_unseen(&context.client, to);
        }
        is_unseen
    }

    /// Whether the client knows that nothing is at what it moves, or that its own was lost there: then what is there is somebody
    /// else's.
    pub fn knows_of_none(&self, context: &RequestContext, from: &str) -> bool {
        // What is in a folder may have been shown since that was absent.
        let was_absent =
            context.outcome.hints().source_was_absent && PathKey::of_text(from) == context.path.path_key();
        was_absent || self.loser(&context.client, from).is_some()
    }

    /// The client has moved to `key` what it has not got: it knows of something there, and not of what.
    pub fn moved_unseen(&self, client: &Client, key: &str) {
        self.losers.forget_told(client, key);
        self.made(client, key, &unseen());
    }

    pub fn has_moved_unseen(&self, client: &Client, key: &str) -> bool {
        self.of(client, key) == Some(unseen())
    }

    /// What the client moved to `key` lost, and lies at `copy` now. What it has not seen of that, it does not replace when it
    /// saves again.
    pub fn moved_beside(&self, client: &Client, key: &str, copy: &str, (etag, has_seen): (&ETag, bool)) {
        let unseen = unseen();
        self.lost(client, key, copy, if has_seen { etag } else { &unseen });
    }

    /// What the client knew in the folder `from` it knows in `to` now.
    pub fn moved(&self, client: &Client, from: &str, to: &str) {
        for (key, etag) in self.below(client, from) {
            self.saw(client, &format!("{to}{}", &key[from.len()..]), &etag);
            self.forget(client, &key);
        }
    }
}
