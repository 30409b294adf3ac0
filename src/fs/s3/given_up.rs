//! What a user gave up of what was accepted. S3 may have got it all the same: then it is no other client's.

use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use moka::sync::Cache;

use super::{Shared, undo};
use crate::checksum::{Crc32c, Crc32cDigest};
use crate::fs::Client;
use crate::object::{ETag, Key, ReadCondition};
use crate::state::{Change, CreateRow, millis};
use crate::store::journal::{Discarded, Told};
use crate::store::{GetObject, MultipartStore, StoreResult, existing};

/// Contents by their keys.
#[derive(Debug)]
pub(super) struct GivenUp(Cache<Key, Vec<Content>>);

#[derive(Debug, Clone)]
struct Content {
    client: Client,
    /// Bytes.
    size: u64,
    crc32c: Crc32c,
    /// What S3 has of it has come there by then.
    until: SystemTime,
}

impl Default for GivenUp {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MAX_KEYS).time_to_live(TIME).build())
    }
}

impl GivenUp {
    /// The version at `key`, if its content was saved there by this client and given up, and S3 got it before that or
    /// soon after.
    pub(super) async fn version_at(
        &self,
        store: &dyn MultipartStore,
        key: &Key,
        client: &Client,
    ) -> StoreResult<Option<ETag>> {
        let Some(mut contents) = self.0.get(key) else { return Ok(None) };
        let Some(meta) = existing(store.head(key).await)? else { return Ok(None) };
        contents.retain(|content| {
            content.client == *client && content.size == meta.size && meta.last_modified <= content.until
        });
        if contents.is_empty() {
            return Ok(None);
        }
        let condition = &ReadCondition::IfMatch(meta.etag.clone());
        let mut there = store.get(GetObject { condition, ..GetObject::whole(key) }).await?.body;
        let mut digest = Crc32cDigest::default();
        while let Some(piece) = there.try_next().await? {
            digest.update(&piece);
        }
        let crc32c = digest.end();
        Ok(contents.iter().any(|content| content.crc32c == crc32c).then_some(meta.etag))
    }

    fn add(&self, key: Key, content: Content) {
        self.0.entry(key).and_upsert_with(|before| {
            let mut contents = before.map(moka::Entry::into_value).unwrap_or_default();
            if contents.len() >= MAX_CONTENTS {
                contents.remove(0);
            }
            contents.push(content);
            contents
        });
    }
}

/// See [`super::S3Share::discard`].
pub(super) async fn discard(shared: &Shared, fits: impl Fn(&str) -> bool) -> Vec<Told> {
    let (journal, asked) = (shared.store.journal(), millis(SystemTime::now()));
    let discarded = journal.discard(&fits, |discarded| note(shared, discarded)).await;
    // A file that was made empty first, and saved when S3 did not answer any more, is held as that still.
    let is_left = |create: &CreateRow| {
        let is_pending = Key::new(&create.key).is_ok_and(|key| journal.has(&key));
        fits(&create.key) && create.made <= asked && !is_pending
    };
    let empty = shared.store.creates().discard(is_left).await;
    // What was moved twice goes back as it came.
    for discarded in discarded.iter().rev() {
        put_back(shared, discarded).await;
    }
    let mut told: Vec<Told> = discarded.into_iter().map(|discarded| discarded.told).collect();
    for (create, may_be_there) in empty {
        shared.dates.touch_parent(&create.key);
        if told.iter().all(|told| told.key != create.key) {
            told.push(Told::empty_file(create.key, create.made, may_be_there));
        }
    }
    told
}

/// Its client knows what it knew before. Whether it knew what it moved, if it is a move.
fn note(shared: &Shared, discarded: &Discarded) -> bool {
    let Discarded { change, told, replaced, .. } = discarded;
    let key = change.key();
    // A move of which S3 has the copy leaves that.
    let left = change.copied_to().or_else(|| Some((key.clone(), replaced.clone()?)));
    if let Some((place, there)) = left {
        shared.seen_versions.stored(&change.etag(), (key.as_str(), place.as_str()), &there);
    }
    let Some(client) = Client::of_row(&change.row.writer) else { return false };
    let knew = !shared.seen_versions.has_moved_unseen(&client, key.as_str());
    if let Change::Put { body } = &change.row.change {
        let (size, crc32c) = body.as_ref().map_or((0, 0), |body| (body.size, body.crc32c));
        let late = if told.is_under_way { LATE_ON_ITS_WAY } else { LATE };
        let content = Content { client, size, crc32c: Crc32c(crc32c), until: SystemTime::now() + late };
        shared.given_up.add(key.clone(), content);
    }
    knew
}

/// What a deletion or a move took away is there again.
async fn put_back(shared: &Shared, discarded: &Discarded) {
    let Discarded { change, replaced, moved, .. } = discarded;
    match &change.row.change {
        Change::Put { .. } => {}
        Change::Delete => undo::put_back(shared, change, replaced.as_ref()).await,
        Change::Move(_) => undo::put_back(shared, change, moved.as_ref()).await,
    }
}

/// Few are given up by hand.
const MAX_KEYS: u64 = 1_000;
/// Of one key.
const MAX_CONTENTS: usize = 16;
/// For so long they are remembered after the last of a key was given up.
const TIME: Duration = Duration::from_secs(600);
/// Its clock may be ahead of this machine's.
const LATE: Duration = Duration::from_secs(15);
/// S3 carries out what it has got of a request, also when nobody waits for the answer any more: within its own deadline.
const LATE_ON_ITS_WAY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Attributes, Condition};
    use crate::store::memory::MemoryStore;
    use crate::store::{ObjectStore, PutObject};

    /// The version that its client may replace: it has saved `x` there, and given that up, so that S3 has got it by `until`.
    async fn version(until: SystemTime) -> Option<ETag> {
        let (store, given_up) = (MemoryStore::default(), GivenUp::default());
        let key = &Key::new("f").unwrap();
        let (attributes, condition) = (&Attributes::default(), &Condition::None);
        store.put(PutObject { key, body: "x".into(), attributes, condition }).await.unwrap();
        let client = Client::new(None, [127, 0, 0, 1].into(), "agent/1.0");
        let crc32c = Crc32c::of(["x".as_bytes()]);
        given_up.add(key.clone(), Content { client: client.clone(), size: 1, crc32c, until });
        given_up.version_at(&store, key, &client).await.unwrap()
    }

    #[tokio::test]
    async fn what_came_there_later_was_saved_by_somebody() {
        let now = SystemTime::now();
        assert!(version(now + LATE_ON_ITS_WAY).await.is_some());
        assert_eq!(version(now - LATE).await, None);
    }
}
