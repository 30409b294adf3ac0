//! Small files that a client reads one after the other, in the order of their names: a folder that is copied, pictures that
//! are looked through. The next ones are asked for while it takes the last, so that it waits for few of the round trips.
//! That costs no request more, but for those that are not read in the end: [`AHEAD`] at the most.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use moka::sync::Cache;

use super::{RequestContext, Shared};
use crate::fs::Client;
use crate::object::Key;
use crate::store::layers::retry::{Limit, RetryPolicy};
use crate::store::{GetObject, ObjectStore};
use crate::tally::carried;

/// What each client reads.
#[derive(Debug)]
pub(super) struct Neighbours(Cache<Client, Run>);

/// Files that were read in a row.
#[derive(Debug, Clone)]
struct Run {
    /// How many.
    length: u32,
    last: Key,
    /// The file after the last.
    next: Option<Key>,
    /// What was asked for ahead did not come in time.
    is_slow: bool,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST_CLIENTS).time_to_idle(RUN_TIME).build())
    }
}

impl Neighbours {
    /// A client reads a file, after which `next` comes. Whether it is likely to read that, too.
    fn are_read(&self, client: &Client, key: &Key, next: Option<&Key>) -> bool {
        let before = self.0.get(client);
        let (length, is_slow) = match &before {
            Some(run) if run.next.as_ref() == Some(key) => (run.length + 1, run.is_slow),
            // Asked for once more: what comes after it was asked for then.
            Some(run) if run.last == *key => return false,
            _ => (1, false),
        };
        self.0.insert(client.clone(), Run { length, last: key.clone(), next: next.cloned(), is_slow });
        length >= IN_A_ROW && !is_slow
    }

    /// What was asked for ahead of a client has failed: it would wait for that, and be asked for once more.
    fn failed(&self, client: &Client) {
        if let Some(run) = self.0.get(client) {
            self.0.insert(client.clone(), Run { is_slow: true, ..run });
        }
    }
}

impl Shared {
    /// A client reads a file from its begin to its end.
    pub(super) fn reads_whole(self: &Arc<Self>, context: &RequestContext, key: &Key) {
        let is_read_whole =
            context.method == Method::GET && context.range.is_none() && !context.is_conditional;
        if !is_read_whole || self.store.reach().is_lost() {
            return;
        }
        let next = self.store.names().files_after(key, AHEAD);
        if !self.neighbours.are_read(&context.client, key, next.first().map(|(key, _)| key)) {
            return;
        }
        let to_read = next.into_iter().filter(|(_, is_kept)| *is_kept);
        for (key, _) in to_read.filter(|(key, _)| self.store.names().cached_content(key).is_none()) {
            let (store, shared, client) =
                (self.store.namespace(PATIENCE), Arc::downgrade(self), context.client.clone());
            self.shutdown.background(carried(async move {
                // The cache takes it, or it is larger by now, and nothing of it is read. Whoever asks for it meanwhile waits
                // for this, and is told of a failure by his own.
                if store.get(GetObject::whole(&key)).await.is_err()
                    && let Some(shared) = shared.upgrade()
                {
                    shared.neighbours.failed(&client);
                }
            }));
        }
    }
}

/// Files that are asked for before the client asks.
const AHEAD: usize = 3;
/// So many read in a row are no chance.
const IN_A_ROW: u32 = 3;
/// Who waits longer than that between two files waits for no round trip.
const RUN_TIME: Duration = Duration::from_secs(10);
/// About 300 bytes each.
const MOST_CLIENTS: u64 = 1_000;
/// The client asks itself soon.
const PATIENCE: RetryPolicy =
    RetryPolicy { limit: Limit::Each(Duration::from_secs(2)), for_credentials: false };

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> Client {
        Client::new(Some(name.to_owned()), [127, 0, 0, 1].into(), "agent/1.0")
    }

    #[test]
    fn files_are_read_in_a_row_by_one_client_in_the_order_of_their_names() {
        let neighbours = Neighbours::default();
        let (me, other) = (client("me"), client("other"));
        let names = ["a", "b", "c", "d", "e", "f"].map(|name| Key::new(name).unwrap());
        let reads = |client: &Client, at: usize| neighbours.are_read(client, &names[at], names.get(at + 1));
        assert_eq!([0, 1, 2, 3].map(|at| reads(&me, at)), [false, false, true, true]);
        assert!(!reads(&me, 3), "once more");
        assert!(!reads(&other, 4), "it has read none before");
        assert!(reads(&me, 4));
        assert_eq!([0, 2, 3, 5].map(|at| reads(&me, at)), [false; 4], "here and there");
        assert!(!reads(&me, 0), "after the last none comes");
        assert_eq!([1, 2].map(|at| reads(&me, at)), [false, true]);
        neighbours.failed(&me);
        assert_eq!([3, 4].map(|at| reads(&me, at)), [false; 2], "what was asked for did not come");
        assert_eq!([0, 1, 2].map(|at| reads(&me, at)), [false, false, true], "a new run");
    }
}
