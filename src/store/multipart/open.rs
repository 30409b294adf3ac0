//! A multipart upload under way.

use std::sync::Arc;

use futures_util::future::join;
use tokio::task::JoinSet;

use super::retained::Spool;
use super::{MAX_PARTS, Uploads};
use crate::logging::with_causes;
use crate::object::{Attributes, ByteRange, Condition, Key, Written};
use crate::state::UploadRow;
use crate::store::{
    CompleteUpload, CopyPart, CopySource, MultipartStore, Part, Payload, StoreError, StoreResult, Upload,
    UploadPart,
};
use crate::sync::Portion;
use crate::tally::carried;

/// Where the object goes, for the tasks.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) store: Arc<dyn MultipartStore>,
    pub(super) key: Key,
    pub(super) attributes: Attributes,
}

/// A multipart upload that was begun and noted. Dropped unfinished, it aborts itself.
#[derive(Debug)]
pub(super) struct OpenUpload {
    upload: Upload,
    row: UploadRow,
    store: Arc<dyn MultipartStore>,
    shared: Uploads,
    pub(super) sent: u32,
    /// Bytes sent.
    position: u64,
    /// Keeps what is sent.
    spool: Option<Spool>,
    running: JoinSet<StoreResult<Part>>,
    done: Vec<Part>,
    ended: bool,
}

impl OpenUpload {
    pub(super) async fn begin(target: &Target, shared: &Uploads, spool: Option<Spool>) -> StoreResult<Self> {
        let (Target { store, key, attributes }, shared) = (target.clone(), shared.clone());
        let shutdown = shared.shutdown.clone();
        // Detached: a client that leaves between the two steps must not leave an upload unnoted.
        let begun = shutdown.complete(async move {
            let address = store.address(&key);
            let row = UploadRow::new(address.bucket, address.key.to_string(), key.to_string());
            note(&shared, &row).await;
            let upload = match store.create_upload(&key, &attributes).await {
                Ok(upload) => upload,
                Err(error) => {
                    // Otherwise the next start looks whether there is one.
                    if !error.may_have_been_applied() {
                        shared.state.end_upload(&row);
                    }
                    return Err(error);
                }
            };
            // The row of a twin stays for the next start, when none of ours are under way.
            let row = if upload.may_have_twin { row.another() } else { row };
            let (row, running) = (row.with_id(upload.id.clone()), JoinSet::new());
            let open = Self {
                upload,
                row,
                store,
                shared,
                sent: 0,
                position: 0,
                spool,
                running,
                done: Vec::new(),
                ended: false,
            };
            note(&open.shared, &open.row).await;
            Ok(open)
        });
        begun.await.map_err(|e| StoreError::Unavailable(e.into()))?
    }

    /// What keeps the body, if anything does.
    pub(super) fn spool(&self) -> Option<Spool> {
        self.spool.clone()
    }

    /// Sends the next part; `memory` is what its body uses.
    pub(super) async fn send(&mut self, body: Payload, memory: Option<Portion>) -> StoreResult<()> {
        let number = self.next_number().await?;
        let (store, upload) = (Arc::clone(&self.store), self.upload.clone());
        let (spool, position) = (self.spool.clone(), self.position);
        self.position += body.len() as u64;
        self.running.spawn(carried(async move {
            let keeping = async {
                if let Some(spool) = spool {
                    spool.write(position, &body).await;
                }
            };
            let request = UploadPart { upload: &upload, number, body: body.clone() };
            let (part, ()) = join(store.upload_part(request), keeping).await;
            drop((body, memory));
            part
        }));
        Ok(())
    }

    /// Makes the next part of a range of another object.
    pub(super) async fn send_copy(&mut self, source: &CopySource, range: ByteRange) -> StoreResult<()> {
        let number = self.next_number().await?;
        let (store, upload, source) = (Arc::clone(&self.store), self.upload.clone(), source.clone());
        self.running.spawn(carried(async move {
            store.copy_part(CopyPart { upload: &upload, number, source: &source, range }).await
        }));
        Ok(())
    }

    /// Waits for a place among the parts under way.
    async fn next_number(&mut self) -> StoreResult<u32> {
        while self.running.len() >= PARALLEL_PARTS {
            let Some(part) = self.running.join_next().await else { break };
            self.done.push(joined(part)?);
        }
        while let Some(part) = self.running.try_join_next() {
            self.done.push(joined(part)?);
        }
        if self.sent == MAX_PARTS {
            let reason = format!("over {MAX_PARTS} parts; raise --upload-memory or --part-size");
            return Err(StoreError::TooLarge(reason));
        }
        self.sent += 1;
        Ok(self.sent)
    }

    pub(super) async fn complete(mut self, size: u64, condition: &Condition) -> StoreResult<Written> {
        while let Some(part) = self.running.join_next().await {
            self.done.push(joined(part)?);
        }
        self.done.sort_by_key(|part| part.number);
        let (upload, parts) = (&self.upload, self.done.as_slice());
        let written = self.store.complete_upload(CompleteUpload { upload, parts, size, condition }).await?;
        self.ended = true;
        self.shared.state.end_upload(&self.row);
        Ok(written)
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (store, state) = (Arc::clone(&self.store), self.shared.state.clone());
        let (upload, row) = (self.upload.clone(), self.row.clone());
        let mut running = std::mem::take(&mut self.running);
        self.shared.shutdown.background(async move {
            // A part that arrives after the abort would be billed: stop them first.
            running.shutdown().await;
            match store.abort_upload(&upload).await {
                Ok(()) => state.end_upload(&row),
                Err(error) => {
                    tracing::warn!(error = with_causes(&error), key = %upload.key, "an unfinished upload stays until the next start");
                }
            }
        });
    }
}

async fn note(shared: &Uploads, row: &UploadRow) {
    if let Err(error) = shared.state.begin_upload(row).await {
        tracing::warn!(
            error = with_causes(&error),
            "an upload cannot be recorded; if this program dies now, it stays unfinished"
        );
    }
}

fn joined(part: Result<StoreResult<Part>, tokio::task::JoinError>) -> StoreResult<Part> {
    part.map_err(|e| StoreError::Unavailable(e.into()))?
}

/// One upload alone fills a fast line with this many; the memory bounds them all.
pub(super) const PARALLEL_PARTS: usize = 8;
