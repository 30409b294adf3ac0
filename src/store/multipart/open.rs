//! A multipart upload under way.

use std::sync::Arc;

use futures_util::future::join;
use tokio::task::JoinSet;

use super::begun::Begun;
use super::retained::Spool;
use super::{MAX_PARTS, Target, Uploads};
use crate::checksum::Crc32c;
use crate::object::{ByteRange, Condition, Written};
use crate::shutdown::Shutdown;
use crate::store::{
    CompleteUpload, CopyPart, CopySource, Part, Payload, StoreError, StoreResult, UploadPart,
};
use crate::sync::Portion;
use crate::tally::carried;

/// A multipart upload that is under way.
#[derive(Debug)]
pub(super) struct OpenUpload {
    begun: Arc<Begun>,
    shutdown: Shutdown,
    pub(super) sent: u32,
    /// Bytes sent.
    position: u64,
    /// Keeps what is sent.
    spool: Option<Spool>,
    /// Parts at once.
    most: usize,
    running: JoinSet<StoreResult<Part>>,
    done: Vec<Part>,
}

impl OpenUpload {
    pub(super) async fn begin(target: &Target, shared: &Uploads, spool: Option<Spool>) -> StoreResult<Self> {
        let begun = Begun::new(target, shared, None).await?;
        let mut open = Self::of(begun, shared, PARALLEL_PARTS);
        open.spool = spool;
        Ok(open)
    }

    /// The same of one that was begun, with so many parts at once.
    pub(super) fn of(begun: Arc<Begun>, shared: &Uploads, most: usize) -> Self {
        let (running, shutdown) = (JoinSet::new(), shared.shutdown.clone());
        Self { begun, shutdown, sent: 0, position: 0, spool: None, most, running, done: Vec::new() }
    }

    pub(super) fn begun(&self) -> &Arc<Begun> {
        &self.begun
    }

    /// What keeps the body, if anything does.
    pub(super) fn spool(&self) -> Option<Spool> {
        self.spool.clone()
    }

    /// Sends the next part; `memory` is what its body uses.
    pub(super) async fn send(&mut self, body: Payload, memory: Option<Portion>) -> StoreResult<()> {
        let number = self.next_number().await?;
        let (begun, spool, position) = (Arc::clone(&self.begun), self.spool.clone(), self.position);
        self.position += body.len() as u64;
        self.running.spawn(carried(async move {
            let keeping = async {
                if let Some(spool) = spool {
                    spool.write(position, &body).await;
                }
            };
            let request = UploadPart { upload: &begun.upload, number, body: body.clone() };
            let (part, ()) = join(begun.store.upload_part(request), keeping).await;
            drop((body, memory));
            part
        }));
        Ok(())
    }

    /// Makes the next part of a range of another object.
    pub(super) async fn send_copy(&mut self, source: &CopySource, range: ByteRange) -> StoreResult<()> {
        let number = self.next_number().await?;
        let (begun, source) = (Arc::clone(&self.begun), source.clone());
        self.running.spawn(carried(async move {
            let request = CopyPart { upload: &begun.upload, number, source: &source, range };
            begun.store.copy_part(request).await
        }));
        Ok(())
    }

    /// The store has the next part.
    pub(super) fn has(&mut self, part: Part) {
        self.sent += 1;
        self.done.push(part);
    }

    /// Waits for a place among the parts under way.
    async fn next_number(&mut self) -> StoreResult<u32> {
        while self.running.len() >= self.most {
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

    /// Makes the object of its parts: of so many bytes, with this checksum, where it is known.
    pub(super) async fn complete(
        mut self,
        (size, crc32c): (u64, Option<Crc32c>),
        condition: &Condition,
    ) -> StoreResult<Written> {
        while let Some(part) = self.running.join_next().await {
            self.done.push(joined(part)?);
        }
        self.done.sort_by_key(|part| part.number);
        let Begun { upload, store, .. } = &*self.begun;
        let parts = self.done.as_slice();
        let written =
            store.complete_upload(CompleteUpload { upload, parts, size, crc32c, condition }).await?;
        self.begun.ended();
        Ok(written)
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let (mut running, begun) = (std::mem::take(&mut self.running), Arc::clone(&self.begun));
        self.shutdown.background(async move {
            // A part that arrives after the abort would be billed: stop them first.
            running.shutdown().await;
            drop(begun);
        });
    }
}

fn joined(part: Result<StoreResult<Part>, tokio::task::JoinError>) -> StoreResult<Part> {
    part.map_err(|e| StoreError::Unavailable(e.into()))?
}

/// One upload alone fills a fast line with this many; the memory bounds them all.
pub(super) const PARALLEL_PARTS: usize = 8;
