//! Where what clients have saved and lost lies, beside what won.

use std::sync::Arc;
use std::time::Duration;

use moka::notification::RemovalCause;
use moka::sync::Cache;

use super::Client;
use super::client_key::ClientKey;
use crate::object::ETag;
use crate::state::{SeenRow, State};

/// The latest of each client and file, until it has seen what won. They are kept in the state.
#[derive(Debug)]
pub(super) struct Losers {
    /// The key of the copy, and its ETag.
    beside: Cache<(Client, String), (String, ETag)>,
    /// Who has just been told that this version of somebody else's is in the place of its own.
    told: Cache<(Client, String), ETag>,
    state: State,
}

impl Losers {
    pub(super) fn new(state: State) -> Self {
        let forget = state.clone();
        let lru = moka::policy::EvictionPolicy::lru;
        let beside = Cache::builder().max_capacity(MAX_LOSERS).eviction_policy(lru());
        // What there is no room for goes from the disk, too.
        let beside = beside.eviction_listener(move |name: Arc<(Client, String)>, _, cause| {
            if cause == RemovalCause::Size {
                forget.note_seen(&name.0.to_row(), &row_key(&name.1), None);
            }
        });
        let told = Cache::builder().max_capacity(MAX_LOSERS).eviction_policy(lru()).time_to_live(TOLD_TIME);
        Self { beside: beside.build(), told: told.build(), state }
    }

    /// Takes up a row of the state; returns its key and the version that lost, if it is one of these.
    pub(super) fn recall(&self, client: &Client, row: &SeenRow) -> Option<(String, ETag)> {
        let key = row.key.strip_prefix(MARK)?;
        // No other row is written there.
        let Some((etag, copy)) = row.etag.split_once(MARK) else { return Some((key.to_owned(), unseen())) };
        let etag = ETag::new(etag);
        self.beside.insert((client.clone(), key.to_owned()), (copy.to_owned(), etag.clone()));
        Some((key.to_owned(), etag))
    }

    /// The client's version of `key` lies at `copy` now.
    pub(super) fn note(&self, client: &Client, key: &str, copy: &str, etag: &ETag) {
        self.forget_told(client, key);
        self.beside.insert((client.clone(), key.to_owned()), (copy.to_owned(), etag.clone()));
        let place = format!("{}{MARK}{copy}", etag.quoted());
        self.state.note_seen(&client.to_row(), &row_key(key), Some(&place));
    }

    pub(super) fn forget(&self, client: &Client, key: &str) {
        if self.of(client, key).is_some() {
            self.beside.invalidate(&ClientKey(client, key));
            self.state.note_seen(&client.to_row(), &row_key(key), None);
        }
    }

    pub(super) fn of(&self, client: &Client, key: &str) -> Option<(String, ETag)> {
        self.beside.get(&ClientKey(client, key))
    }

    /// Something else is there.
    pub(super) fn forget_told(&self, client: &Client, key: &str) {
        self.told.invalidate(&ClientKey(client, key));
    }

    /// The client is told that `now` is in the place of its own version. Whether that is news.
    pub(super) fn tell(&self, client: &Client, key: &str, now: &ETag) -> bool {
        let is_news = self.told.get(&ClientKey(client, key)).is_none_or(|told| told != *now);
        if is_news {
            self.told.insert((client.clone(), key.to_owned()), now.clone());
        }
        is_news
    }
}

/// The ETag of no version: whoever knows a file by this has not seen it, and does not replace it.
pub(super) fn unseen() -> ETag {
    ETag::new("none")
}

/// The key under which the state knows the copy beside `key`.
fn row_key(key: &str) -> String {
    format!("{MARK}{key}")
}

/// What marks these rows; no key of a file holds it.
const MARK: char = '\u{1}';
/// Few at any time.
const MAX_LOSERS: u64 = 10_000;
/// As long as absences are remembered that were told.
const TOLD_TIME: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_there_is_no_room_for_goes_from_the_disk_too() {
        let place = tempfile::tempdir().unwrap();
        let state = State::open(place.path(), "a test").await.unwrap();
        let losers = Losers::new(state.clone());
        let me = Client::new(Some("me".to_owned()), [127, 0, 0, 1].into(), "agent/1.0");
        for number in 0..MAX_LOSERS + 1000 {
            losers.note(&me, &number.to_string(), "copy", &ETag::new("1"));
        }
        losers.beside.run_pending_tasks();
        state.sync().await.unwrap();
        let rows = state.seen().await.unwrap().len() as u64;
        assert_eq!(rows, losers.beside.entry_count());
        assert!(rows <= MAX_LOSERS, "{rows}");
    }
}
