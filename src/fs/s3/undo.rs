//! A change that was accepted and came to nothing: its client knows what it knew before.

use super::Shared;
use crate::fs::Client;
use crate::fs::error::log_failure;
use crate::object::{Condition, ETag, Key};
use crate::state::Change;
use crate::store::journal::Pending;

/// What went along with a change that came to nothing. Its client knows what it knew before: it has not seen what is there.
pub(super) async fn undo(shared: &Shared, change: &Pending) {
    let taken = match &change.row.change {
        Change::Put { .. } => None,
        Change::Delete => change.condition(),
        Change::Move(_) => change.source_condition(),
    };
    put_back(shared, change, taken.as_ref().and_then(Condition::etag)).await;
}

/// The same, of a change that took this version away.
pub(super) async fn put_back(shared: &Shared, change: &Pending, taken: Option<&ETag>) {
    let key = change.key().as_str();
    let from = change.from().map_or(key, Key::as_str);
    if let (Some(client), Some(version)) = (Client::of_row(&change.row.writer), taken)
        && shared.seen_versions.of(&client, from).is_none()
    {
        shared.seen_versions.saw(&client, from, version);
    }
    if let Some(from) = change.from() {
        let (state, from) = (&shared.state, from.as_str());
        // Where the copy is, or something else has properties by now, they stay.
        if change.copied().is_none() && state.properties(from).await.is_ok_and(|own| own.is_empty()) {
            log_failure(state.transfer_properties(key, from, false).await);
        }
        shared.dates.touch_parent(from);
    }
    shared.dates.touch_parent(key);
}
