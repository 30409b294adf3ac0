//! Writing an object whose length need not be known: one PUT if it is small, parts otherwise.
//!
//! Parts are sent while the body still arrives. Memory is reserved before it is filled, from one
//! pool for all writers, in a way that cannot deadlock: a writer waits only while it holds nothing,
//! or while what it holds is on its way out. A writer that is dropped unfinished leaves no trace:
//! its upload is aborted, and the ledger row sees to it if we die.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::{ObjectStore, Part, StoreError, StoreResult, Upload};
use crate::object::{Attributes, Condition, Key, Written};
use crate::shutdown::Shutdown;
use crate::state::{State, UploadRow};

/// How uploads are cut and how much memory they share.
#[derive(Debug, Clone, Copy)]
pub struct UploadOptions {
    /// Bodies up to this many bytes are sent in one PUT.
    pub multipart_threshold: u64,
    /// Bytes of a part; grows with the object so that 10,000 suffice.
    pub part_size: u64,
    /// Bytes that all uploads together may hold.
    pub memory: u64,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self { multipart_threshold: 16 << 20, part_size: 8 << 20, memory: 128 << 20 }
    }
}

/// What all writers of a source share.
#[derive(Debug, Clone)]
pub struct Uploads {
    options: UploadOptions,
    /// One permit a KiB.
    memory: Arc<Semaphore>,
    state: State,
    shutdown: Shutdown,
}

impl Uploads {
    /// `state` keeps the ledger; aborts run under `shutdown`.
    pub fn new(options: UploadOptions, state: State, shutdown: Shutdown) -> Self {
        let memory = Arc::new(Semaphore::new(kib(options.memory) as usize));
        Self { options, memory, state, shutdown }
    }

    /// A writer to `key`. `length` in bytes if the client told it. Nothing is sent yet.
    pub fn writer(
        &self,
        store: Arc<dyn ObjectStore>,
        key: Key,
        attributes: Attributes,
        condition: Condition,
        length: Option<u64>,
    ) -> StoreResult<MultipartWriter> {
        let largest = self.largest_object();
        if let Some(length) = length.filter(|length| *length > largest) {
            return Err(StoreError::TooLarge(format!(
                "{length} bytes, and {largest} is the most with this upload memory"
            )));
        }
        Ok(MultipartWriter {
            shared: self.clone(),
            target: Target { store, key, attributes },
            condition,
            length,
            written: 0,
            buffer: BytesMut::new(),
            reserved: None,
            parts: None,
        })
    }

    /// Aborts what an earlier life of this source left behind: `rows`, read before anything new
    /// was begun. Returns how many were ended and how many could not be.
    pub async fn abort_leftovers(&self, store: &dyn ObjectStore, rows: Vec<UploadRow>) -> (usize, usize) {
        let (mut ended, mut left) = (0, 0);
        for row in rows {
            match self.abort_leftover(store, &row).await {
                Ok(()) => ended += 1,
                Err(error) => {
                    tracing::warn!(%error, key = %row.key, "an upload of the last run could not be aborted");
                    left += 1;
                }
            }
        }
        (ended, left)
    }

    async fn abort_leftover(&self, store: &dyn ObjectStore, row: &UploadRow) -> StoreResult<()> {
        let key = Key::new(&row.key)?;
        let address = store.address(&key);
        if address.bucket != row.bucket || address.key.as_str() != row.object {
            return Err(StoreError::Rejected("it belongs to a bucket that is not served now".into()));
        }
        let upload = Upload { key, id: row.id.clone(), begun: SystemTime::UNIX_EPOCH };
        store.abort_upload(&upload).await?;
        Ok(self.state.end_upload(&upload.id).await?)
    }

    /// The largest part that two fit into the memory of.
    fn largest_part(&self) -> u64 {
        (self.options.memory / 2).clamp(self.options.part_size, MAX_PART)
    }

    fn largest_object(&self) -> u64 {
        self.largest_part().saturating_mul(u64::from(MAX_PARTS))
    }

    /// The size of part `number`: equal parts where the length is known, else doubling every 1,000.
    fn part_size(&self, number: u32, length: Option<u64>) -> u64 {
        let size = match length {
            Some(length) => {
                let needed = length.div_ceil(u64::from(MAX_PARTS)).next_multiple_of(1 << 20);
                needed.max(self.options.part_size)
            }
            None => self.options.part_size << ((number - 1) / 1000).min(20),
        };
        size.min(self.largest_part())
    }

    /// Waits for memory for `bytes`.
    async fn reserve(&self, bytes: u64) -> OwnedSemaphorePermit {
        let permits = kib(bytes).min(kib(self.options.memory));
        // The semaphore is never closed.
        match Arc::clone(&self.memory).acquire_many_owned(permits).await {
            Ok(permit) => permit,
            Err(_) => unreachable!("the upload memory is never closed"),
        }
    }
}

/// Where the object goes, for the tasks.
#[derive(Debug, Clone)]
struct Target {
    store: Arc<dyn ObjectStore>,
    key: Key,
    attributes: Attributes,
}

/// One object being written; see the module. Nothing is visible before [`Self::finish`].
#[derive(Debug)]
pub struct MultipartWriter {
    shared: Uploads,
    target: Target,
    condition: Condition,
    length: Option<u64>,
    written: u64,
    buffer: BytesMut,
    /// The memory that `buffer` may use.
    reserved: Option<OwnedSemaphorePermit>,
    parts: Option<OpenUpload>,
}

impl MultipartWriter {
    /// Bytes taken so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Takes the next bytes of the body; waits while memory is short.
    pub async fn write(&mut self, mut bytes: Bytes) -> StoreResult<()> {
        self.written += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = self.room().await?;
            let chunk = bytes.split_to(room.min(bytes.len()));
            self.buffer.extend_from_slice(&chunk);
        }
        Ok(())
    }

    /// Stores the object. Everything before was invisible; this is the moment it appears.
    pub async fn finish(mut self) -> StoreResult<Written> {
        if self.parts.is_some() {
            while !self.buffer.is_empty() {
                self.send_part().await?;
            }
        }
        let Target { store, key, attributes } = &self.target;
        match self.parts.take() {
            Some(parts) => parts.complete(self.written, &self.condition).await,
            None => store.put(key, self.buffer.split().freeze(), attributes, &self.condition).await,
        }
    }

    /// How many more bytes the buffer may take; makes room if there is none.
    async fn room(&mut self) -> StoreResult<usize> {
        loop {
            let held = self.reserved.as_ref().map_or(0, |permit| permit.num_permits() as u64 * 1024);
            let limit = self.buffer_limit().min(held);
            let filled = self.buffer.len() as u64;
            if filled < limit {
                return Ok((limit - filled) as usize);
            }
            if filled == 0 {
                let first = self.first_reservation();
                self.reserved = Some(self.shared.reserve(first).await);
                self.buffer.reserve(first as usize);
            } else if !self.grow() {
                self.send_part().await?;
            }
        }
    }

    /// What is reserved while nothing is held: the whole body if it fits one PUT, else one part.
    fn first_reservation(&self) -> u64 {
        match self.length {
            Some(length) if self.fits_one_put(length) => length.max(1),
            _ => self.next_part_size(),
        }
    }

    fn fits_one_put(&self, length: u64) -> bool {
        self.parts.is_none() && length <= self.single_put_limit()
    }

    fn single_put_limit(&self) -> u64 {
        self.shared.options.multipart_threshold.min(self.shared.options.memory)
    }

    /// How much the buffer holds before a part is cut off.
    fn buffer_limit(&self) -> u64 {
        let may_be_one_put = self.length.is_none_or(|length| self.fits_one_put(length));
        match self.parts.is_none() && may_be_one_put {
            true => self.single_put_limit().max(self.next_part_size()),
            false => self.next_part_size(),
        }
    }

    fn next_part_size(&self) -> u64 {
        let number = self.parts.as_ref().map_or(1, |parts| parts.sent + 1);
        self.shared.part_size(number, self.length)
    }

    /// Takes memory for one more part before the first is cut, if it is there at once. Waiting for
    /// it while holding some could deadlock with another writer that does the same.
    fn grow(&mut self) -> bool {
        if self.buffer.len() as u64 >= self.buffer_limit() {
            return false;
        }
        let more = kib(self.shared.options.part_size);
        match (Arc::clone(&self.shared.memory).try_acquire_many_owned(more), &mut self.reserved) {
            (Ok(permit), Some(reserved)) => {
                reserved.merge(permit);
                true
            }
            _ => false,
        }
    }

    /// Sends what is buffered, up to a part's size; its memory is free again when S3 has it.
    async fn send_part(&mut self) -> StoreResult<()> {
        let size = self.next_part_size().min(self.buffer.len() as u64);
        let body = self.buffer.split_to(size as usize).freeze();
        let memory = match &mut self.reserved {
            Some(reserved) if !self.buffer.is_empty() => reserved.split(kib(size) as usize),
            _ => self.reserved.take(),
        };
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => none.insert(OpenUpload::begin(&self.target, &self.shared).await?),
        };
        parts.send(body, memory).await
    }
}

/// A multipart upload that was begun and noted. Dropped unfinished, it aborts itself.
#[derive(Debug)]
struct OpenUpload {
    upload: Upload,
    store: Arc<dyn ObjectStore>,
    shared: Uploads,
    sent: u32,
    running: JoinSet<StoreResult<Part>>,
    done: Vec<Part>,
    ended: bool,
}

impl OpenUpload {
    async fn begin(target: &Target, shared: &Uploads) -> StoreResult<Self> {
        let (Target { store, key, attributes }, shared) = (target.clone(), shared.clone());
        let shutdown = shared.shutdown.clone();
        // Detached: a client that leaves between the two steps must not leave an upload unnoted.
        let begun = shutdown.complete(async move {
            let upload = store.create_upload(&key, &attributes).await?;
            let address = store.address(&key);
            let row = UploadRow {
                id: upload.id.clone(),
                bucket: address.bucket,
                object: address.key.to_string(),
                key: key.to_string(),
            };
            let (state, running) = (shared.state.clone(), JoinSet::new());
            let open = Self { upload, store, shared, sent: 0, running, done: Vec::new(), ended: false };
            state.begin_upload(row).await?;
            Ok(open)
        });
        begun.await.map_err(|e| StoreError::Unavailable(e.into()))?
    }

    async fn send(&mut self, body: Bytes, memory: Option<OwnedSemaphorePermit>) -> StoreResult<()> {
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
        let (store, upload, number) = (Arc::clone(&self.store), self.upload.clone(), self.sent);
        self.running.spawn(async move {
            let part = store.upload_part(&upload, number, body).await;
            drop(memory);
            part
        });
        Ok(())
    }

    async fn complete(mut self, size: u64, condition: &Condition) -> StoreResult<Written> {
        while let Some(part) = self.running.join_next().await {
            self.done.push(joined(part)?);
        }
        self.done.sort_by_key(|part| part.number);
        let written = self.store.complete_upload(&self.upload, &self.done, size, condition).await?;
        self.ended = true;
        if let Err(error) = self.shared.state.end_upload(&self.upload.id).await {
            tracing::warn!(%error, "an ended upload stays noted; the next start aborts it in vain");
        }
        Ok(written)
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (store, state, upload) =
            (Arc::clone(&self.store), self.shared.state.clone(), self.upload.clone());
        let mut running = std::mem::take(&mut self.running);
        self.shared.shutdown.background(async move {
            // A part that arrives after the abort would be billed: stop them first.
            running.shutdown().await;
            let ended = match store.abort_upload(&upload).await {
                Ok(()) => state.end_upload(&upload.id).await.map_err(StoreError::from),
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::warn!(%error, key = %upload.key, "an unfinished upload stays until the next start");
            }
        });
    }
}

fn joined(part: Result<StoreResult<Part>, tokio::task::JoinError>) -> StoreResult<Part> {
    part.map_err(|e| StoreError::Unavailable(e.into()))?
}

/// Permits for `bytes`, rounded up.
fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// S3's limit.
const MAX_PARTS: u32 = 10_000;
/// S3's limit: 5 GiB.
const MAX_PART: u64 = 5 << 30;
/// One upload alone fills a fast line with this many; the memory bounds them all.
const PARALLEL_PARTS: usize = 8;
