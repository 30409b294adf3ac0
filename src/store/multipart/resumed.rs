//! Uploads of bodies that outlive this program: what the store has of them is not sent again.
//!
//! The ledger tells which upload a body is made into. What the store says that it has of that is compared with the file, part
//! by part: number, size and checksum. What cannot be compared, or differs, is sent in its place. So is all of it where the
//! store does not tell of the parts, or not so that it can be read. A passing failure, a stop and a crash leave the upload to the next attempt; any other ends it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;

use super::begun::Begun;
use super::open::OpenUpload;
use super::{Cut, Target, Uploads, lies_in, upload_of};
use crate::logging::with_causes;
use crate::object::{Condition, Written};
use crate::spool::KeptBody;
use crate::store::comparing::is_part;
use crate::store::{ListParts, PayloadBuffer, StoreError, StoreResult, StoredPart};

/// An upload on its way, and what the store has of it.
struct Resumed {
    begun: Arc<Begun>,
    cut: Cut,
    /// By number.
    has: BTreeMap<u32, StoredPart>,
}

impl Uploads {
    /// Whether a body is stored by an upload that another life may go on with: a change that was accepted needs it, and it is
    /// sent in parts.
    pub(super) fn resumes(&self, body: &KeptBody) -> bool {
        let is_large = || body.size() > self.options.multipart_threshold.min(self.options.memory);
        (is_large() || !self.state.uploads_of(body.name()).is_empty()) && self.state.needs_body(body.name())
    }

    /// Stores a body, going on with the upload that an earlier attempt has begun.
    pub(super) async fn resume(
        &self,
        body: &KeptBody,
        target: Target,
        condition: &Condition,
    ) -> StoreResult<Written> {
        if let Some(resumed) = self.take_up(body, &target).await? {
            match self.end(resumed, body, condition).await {
                Err(error) if may_be_of_the_upload(&error) => {
                    let (key, error) = (&target.key, with_causes(&error));
                    tracing::info!(%key, error, "an upload is sent anew, for what was left of it cannot be gone on with");
                }
                stored => return stored,
            }
        }
        let cut = self.cut(Some(body.size()));
        let begun = Begun::new(&target, self, Some((body.name().to_owned(), cut))).await?;
        self.end(Resumed { begun, cut, has: BTreeMap::new() }, body, condition).await
    }

    async fn end(&self, resumed: Resumed, body: &KeptBody, condition: &Condition) -> StoreResult<Written> {
        let begun = Arc::clone(&resumed.begun);
        let stored = self.send_missing(resumed, body, condition).await;
        if let Err(error) = &stored
            && !error.is_passing()
        {
            begun.give_up();
        }
        stored
    }

    /// The upload to `target` that a body is made into, if there is one. One that is gone may have been completed: whoever
    /// asked for it looks, and tries again.
    async fn take_up(&self, body: &KeptBody, target: &Target) -> StoreResult<Option<Resumed>> {
        let rows = self.state.uploads_of(body.name()).into_iter();
        let mut here = rows.filter(|row| row.key == target.key.as_str() && lies_in(row, &*target.store));
        let found = here.find_map(|row| Some((upload_of(&row)?, row.source.clone()?, row)));
        let Some((upload, source, row)) = found else { return Ok(None) };
        let cut = Cut { part_size: source.part_size, grows: source.grows };
        let begun = Begun::of(upload, row, Arc::clone(&target.store), self);
        let has = match parts(&begun).await {
            Ok(has) => has,
            Err(StoreError::UploadGone) => {
                begun.ended();
                return Err(StoreError::UploadGone);
            }
            Err(error) if error.is_passing() && !matches!(error, StoreError::InvalidAnswer(_)) => {
                return Err(error);
            }
            Err(error) => {
                let (key, error) = (&target.key, with_causes(&error));
                tracing::info!(%key, error, "an upload is sent anew, for nobody tells what S3 has of it");
                BTreeMap::new()
            }
        };
        let (key, parts) = (&target.key, has.len());
        tracing::info!(%key, parts, "going on with an upload where it was left");
        Ok(Some(Resumed { begun, cut, has }))
    }

    async fn send_missing(
        &self,
        resumed: Resumed,
        body: &KeptBody,
        condition: &Condition,
    ) -> StoreResult<Written> {
        let Resumed { begun, cut, mut has } = resumed;
        let mut open = OpenUpload::of(begun, self, PARALLEL_PARTS);
        // Read to its end, and so compared with what arrived.
        let (mut pieces, mut buffer) = (body.read(0, body.size()), PayloadBuffer::default());
        let mut left = body.size();
        while left > 0 {
            let number = open.sent + 1;
            let length = self.part_size(cut, number).min(left);
            // What is held meanwhile is on its way.
            let memory = self.memory.take(length).await;
            while (buffer.len() as u64) < length
                && let Some(piece) = pieces.next().await
            {
                let piece = piece.map_err(|error| StoreError::Lost(error.into()))?;
                let room = piece.len();
                buffer.push(piece, room);
            }
            // A part is in memory, so its length is one there.
            let part = buffer.split_to(length as usize);
            left -= length;
            match has.remove(&number) {
                Some(stored) if is_part(&stored, &part).await => open.has(stored.part),
                _ => open.send(part, Some(memory)).await?,
            }
        }
        open.complete((body.size(), Some(body.crc32c())), condition).await
    }
}

/// Whether another upload of the same body may fare better.
fn may_be_of_the_upload(error: &StoreError) -> bool {
    let is_of_the_object =
        matches!(error, StoreError::ConditionFailed | StoreError::NotFound | StoreError::UploadGone);
    !(error.is_passing() || is_of_the_object || matches!(error, StoreError::Lost(_)))
}

/// All parts that the store has, by number.
async fn parts(begun: &Begun) -> StoreResult<BTreeMap<u32, StoredPart>> {
    let (mut parts, mut after) = (BTreeMap::new(), 0);
    loop {
        let page = begun.store.list_parts(ListParts { upload: &begun.upload, after }).await?;
        parts.extend(page.parts.into_iter().map(|part| (part.part.number, part)));
        match page.next {
            // S3 has no more of them than that.
            Some(next) if next > after && next <= super::MAX_PARTS => after = next,
            _ => return Ok(parts),
        }
    }
}

/// Nobody waits for it, and what is cut off in the middle is sent again: on a thin line eight parts at once would all be
/// halfway through at each outage.
const PARALLEL_PARTS: usize = 2;

#[cfg(test)]
mod tests {
    use super::super::UploadOptions;
    use super::*;
    use crate::object::{Attributes, Key};
    use crate::shutdown::Shutdown;
    use crate::spool::{IntakeOptions, Intakes};
    use crate::state::{State, UploadRow};
    use crate::store::memory::MemoryStore;
    use crate::store::{MultipartStore, UploadPart};

    #[tokio::test]
    async fn all_pages_of_parts_are_read() {
        let place = tempfile::tempdir().unwrap();
        let state = State::open(place.path(), "test").await.unwrap();
        let intakes = Intakes::new(IntakeOptions::default(), &state);
        let uploads = Uploads::new(UploadOptions::default(), intakes, state, Shutdown::default());
        let (store, key) = (Arc::new(MemoryStore::default()), Key::new("file").unwrap());
        let upload = store.create_upload(&key, &Attributes::default()).await.unwrap();
        for number in 1..=2001 {
            store.upload_part(UploadPart { upload: &upload, number, body: "x".into() }).await.unwrap();
        }
        let row = UploadRow::new(String::new(), String::new(), String::new());
        let begun = Begun::of(upload, row, store, &uploads);
        assert!(parts(&begun).await.unwrap().into_keys().eq(1..=2001));
    }
}
