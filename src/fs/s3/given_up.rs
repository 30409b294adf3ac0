//! What a user gave up of what was accepted. S3 may have got it all the same: then it is nobody else's.

use std::time::Duration;

use futures_util::TryStreamExt;
use moka::sync::Cache;

use super::Shared;
use super::drain::undo;
use crate::checksum::{Crc32c, Crc32cDigest};
use crate::object::{ETag, Key, ReadCondition};
use crate::state::Change;
use crate::store::journal::Discarded;
use crate::store::{GetObject, MultipartStore, StoreResult, existing};

/// Contents by their keys.
#[derive(Debug)]
pub(super) struct GivenUp(Cache<Key, Vec<Content>>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Content {
    /// Bytes.
    size: u64,
    crc32c: Crc32c,
}

impl Default for GivenUp {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MAX_KEYS).time_to_live(TIME).build())
    }
}

impl GivenUp {
    /// The version at `key`, if it has a content that was given up there.
    pub(super) async fn version_at(
        &self,
        store: &dyn MultipartStore,
        key: &Key,
    ) -> StoreResult<Option<ETag>> {
        let Some(contents) = self.0.get(key) else { return Ok(None) };
        let Some(meta) = existing(store.head(key).await)? else { return Ok(None) };
        if contents.iter().all(|content| content.size != meta.size) {
            return Ok(None);
        }
        let condition = &ReadCondition::IfMatch(meta.etag.clone());
        let mut there = store.get(GetObject { condition, ..GetObject::whole(key) }).await?.body;
        let mut digest = Crc32cDigest::default();
        while let Some(piece) = there.try_next().await? {
            digest.update(&piece);
        }
        let there = Content { size: meta.size, crc32c: digest.end() };
        Ok(contents.contains(&there).then_some(meta.etag))
    }

    fn add(&self, key: Key, content: Content) {
        self.0.entry(key).and_upsert_with(|before| {
            let mut contents = before.map(moka::Entry::into_value).unwrap_or_default();
            contents.retain(|other| *other != content);
            if contents.len() >= MAX_CONTENTS {
                contents.remove(0);
            }
            contents.push(content);
            contents
        });
    }
}

/// Its client knows what it knew before.
pub(super) async fn note(shared: &Shared, discarded: &Discarded) {
    let Discarded { change, replaced, .. } = discarded;
    let key = change.key();
    if let Some(replaced) = replaced {
        shared.seen_versions.stored(&change.etag(), (key.as_str(), key.as_str()), replaced);
    }
    match &change.row.change {
        Change::Put { body } => {
            let (size, crc32c) = body.as_ref().map_or((0, 0), |body| (body.size, body.crc32c));
            shared.given_up.add(key.clone(), Content { size, crc32c: Crc32c(crc32c) });
        }
        Change::Delete | Change::Move(_) => undo(shared, change).await,
    }
}

/// Few are given up by hand.
const MAX_KEYS: u64 = 1_000;
/// Of one key.
const MAX_CONTENTS: usize = 16;
/// As long as what was told of a file is remembered; what S3 took in the last moment is there by then.
const TIME: Duration = Duration::from_secs(600);
