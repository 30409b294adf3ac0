//! The content of an upload, kept until it is known where it went.
//!
//! S3 checks the condition of a multipart upload at its end only, and what was sent cannot be read
//! back: without a copy of our own a body whose condition was lost would be lost with it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::Uploads;
use crate::object::{Attributes, Condition, Key, Written};
use crate::store::{ObjectStore, StoreError, StoreResult};

/// A body that was not stored where it should be.
#[derive(Debug)]
pub enum Kept {
    Memory {
        body: Bytes,
        /// The memory that it uses.
        reserved: Option<OwnedSemaphorePermit>,
    },
    Disk {
        spool: Spool,
        /// Bytes.
        size: u64,
    },
}

impl Kept {
    /// A body without a byte.
    pub fn nothing() -> Self {
        Self::Memory { body: Bytes::new(), reserved: None }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory { body, .. } => body.len() as u64,
            Self::Disk { size, .. } => *size,
        }
    }

    /// Stores the body, maybe somewhere else than it was meant for.
    pub async fn store(
        &self,
        uploads: &Uploads,
        store: &Arc<dyn ObjectStore>,
        key: &Key,
        attributes: &Attributes,
        condition: &Condition,
    ) -> StoreResult<Written> {
        let (spool, size) = match self {
            Self::Memory { body, .. } => return store.put(key, body.clone(), attributes, condition).await,
            Self::Disk { spool, size } => (spool, *size),
        };
        let target = (key.clone(), attributes.clone(), condition.clone());
        let mut writer = uploads.writer(Arc::clone(store), target, Some(size), false)?;
        let mut position = 0;
        while position < size {
            let chunk = spool.read(position, CHUNK.min(size - position)).await?;
            position += chunk.len() as u64;
            writer.write(chunk).await?;
        }
        writer.finish().await.map_err(|unfinished| unfinished.error)
    }
}

/// A body's copy in a file without a name: it vanishes with the process.
#[derive(Debug, Clone)]
pub struct Spool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    /// What of all spools' room this one uses, in bytes.
    used: AtomicU64,
    room: Arc<AtomicU64>,
    /// Some of it could not be written.
    broken: AtomicBool,
}

impl Spool {
    /// A file in `directory`; `room` is what all spools may still use, in bytes.
    pub(super) fn new(directory: &Path, room: &Arc<AtomicU64>) -> std::io::Result<Self> {
        let file = tempfile::tempfile_in(directory)?;
        let (room, used) = (Arc::clone(room), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { file, used, room, broken: AtomicBool::new(false) })))
    }

    /// Whether everything is there.
    pub(super) fn is_whole(&self) -> bool {
        !self.0.broken.load(Ordering::Acquire)
    }

    /// Keeps bytes of the body. A disk that is full costs the copy, not the upload.
    pub(super) async fn write(&self, position: u64, bytes: Bytes) {
        let length = bytes.len() as u64;
        let inner = &self.0;
        let take = |room: u64| room.checked_sub(length);
        let has_room =
            self.is_whole() && inner.room.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok();
        if !has_room {
            inner.broken.store(true, Ordering::Release);
            return;
        }
        inner.used.fetch_add(length, Ordering::AcqRel);
        let spool = self.clone();
        let written = tokio::task::spawn_blocking(move || spool.0.file.write_all_at(&bytes, position)).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::info!(outcome = ?written, "no room to keep a copy of an upload");
            inner.broken.store(true, Ordering::Release);
        }
    }

    pub(super) async fn read(&self, position: u64, length: u64) -> StoreResult<Bytes> {
        let spool = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = BytesMut::zeroed(length as usize);
            spool.0.file.read_exact_at(&mut bytes, position).map(|()| bytes.freeze())
        });
        let bytes = read.await.map_err(|error| StoreError::Unavailable(error.into()))?;
        bytes.map_err(|error| StoreError::Rejected(error.into()))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.room.fetch_add(*self.used.get_mut(), Ordering::AcqRel);
    }
}

/// Bytes read from the disk at once.
const CHUNK: u64 = 1 << 20;
