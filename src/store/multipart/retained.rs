//! The content of an upload, kept until it is known where it went.
//!
//! S3 checks the condition of a multipart upload at its end only, and what was sent cannot be read
//! back: without a copy of our own a body whose condition was lost would be lost with it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;

use super::{NewObject, SentUpload, Target, Uploads};
use crate::checksum::Crc32c;
use crate::object::{Attributes, Condition, Key, Written};
use crate::spool::{KeptBody, Scratch, Sink};
use crate::store::{MultipartStore, Payload, PutObject, StoreError, StoreResult};
use crate::sync::Portion;

/// A body that was not stored where it should be.
#[derive(Debug)]
pub enum RetainedBody {
    Memory {
        body: Payload,
        /// The memory that it uses.
        reserved: Option<Portion>,
    },
    Disk {
        spool: Spool,
        /// Bytes.
        size: u64,
        /// Of what arrived.
        crc32c: Crc32c,
    },
    /// In a file of its own.
    Kept(KeptBody),
}

impl RetainedBody {
    /// A body without a byte.
    pub fn nothing() -> Self {
        Self::Memory { body: Payload::default(), reserved: None }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory { body, .. } => body.len() as u64,
            Self::Disk { size, .. } => *size,
            Self::Kept(body) => body.size(),
        }
    }

    /// Of what arrived.
    fn crc32c(&self) -> Crc32c {
        match self {
            Self::Memory { body, .. } => body.crc32c(),
            Self::Disk { crc32c, .. } => *crc32c,
            Self::Kept(body) => body.crc32c(),
        }
    }

    /// The body, piece by piece.
    pub fn chunks(&self) -> BoxStream<'_, StoreResult<Bytes>> {
        let (spool, size) = match self {
            Self::Memory { body, .. } => return stream::iter(body.pieces().iter().cloned().map(Ok)).boxed(),
            Self::Disk { spool, size, .. } => (spool, *size),
            Self::Kept(body) => {
                let pieces = body.read(0, body.size());
                return pieces.map(|piece| piece.map_err(|error| StoreError::Lost(error.into()))).boxed();
            }
        };
        let pieces = stream::iter((0..size).step_by(CHUNK as usize));
        pieces.then(move |position| spool.read(position, CHUNK.min(size - position))).boxed()
    }

    /// Stores the body, maybe somewhere else than it was meant for.
    pub async fn store(
        &self,
        uploads: &Uploads,
        store: &Arc<dyn MultipartStore>,
        key: &Key,
        attributes: &Attributes,
        condition: &Condition,
    ) -> StoreResult<Written> {
        let size = match self {
            Self::Memory { body, .. } => {
                let body = body.clone();
                return store.put(PutObject { key, body, attributes, condition }).await;
            }
            Self::Kept(body) if uploads.resumes(body) => {
                let (store, key, attributes) = (Arc::clone(store), key.clone(), attributes.clone());
                return uploads.resume(body, Target { store, key, attributes }, condition).await;
            }
            Self::Disk { .. } | Self::Kept(_) => self.size(),
        };
        let object = NewObject {
            key: key.clone(),
            attributes: attributes.clone(),
            condition: condition.clone(),
            length: Some(size),
            keep: false,
            sent: SentUpload::default(),
        };
        let mut writer = uploads.writer(Arc::clone(store), object)?;
        let mut chunks = self.chunks();
        while let Some(chunk) = chunks.next().await {
            writer.write(chunk?).await?;
        }
        writer.finish(self.crc32c()).await.map_err(|unfinished| unfinished.error)
    }
}

/// A body's copy on disk.
#[derive(Debug, Clone)]
pub struct Spool {
    /// `None`: some of it could not be written, and the rest takes no room.
    file: Arc<Mutex<Option<Scratch>>>,
}

impl Spool {
    pub(super) fn new(file: Scratch) -> Self {
        Self { file: Arc::new(Mutex::new(Some(file))) }
    }

    async fn read(&self, position: u64, length: u64) -> StoreResult<Bytes> {
        let read = match self.file() {
            Some(file) => file.read(position, length).await,
            None => Err(io::ErrorKind::NotFound.into()),
        };
        read.map_err(|error| StoreError::Lost(error.into()))
    }

    /// Whether everything is there.
    pub(super) fn is_whole(&self) -> bool {
        self.file().is_some()
    }

    fn file(&self) -> Option<Scratch> {
        self.file.lock().clone()
    }

    /// Keeps bytes of the body. A disk that is full costs the copy, not the upload.
    pub(super) async fn write(&self, position: u64, body: &Payload) {
        let Some(file) = self.file() else { return };
        let written = if file.grow(body.len() as u64) {
            file.write_aside(position, body.pieces().to_vec()).await
        } else {
            Err(io::ErrorKind::QuotaExceeded.into())
        };
        if let Err(error) = written {
            tracing::info!(%error, "no room to keep a copy of an upload");
            *self.file.lock() = None;
        }
    }
}

/// Bytes read from the disk at once.
const CHUNK: u64 = 1 << 20;
