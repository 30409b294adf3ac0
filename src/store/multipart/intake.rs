//! A body that is taken without a pause, however slowly the store takes it.
//!
//! Some clients give an upload up when nothing of it is taken for half a minute. So when the store lets a
//! body wait, what comes goes to a file, and from there to the store in its own time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::Uploads;
use super::kept::Spool;
use super::writer::{MultipartWriter, Unfinished};
use crate::object::Written;
use crate::store::{StoreError, StoreResult};

/// One object being written; see the module. Nothing is visible before [`Self::finish`].
#[derive(Debug)]
pub struct Intake {
    uploads: Uploads,
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    Ready(Box<MultipartWriter>),
    /// It works off what is on disk; ends when it has caught up.
    Behind {
        backlog: Arc<Backlog>,
        task: AbortOnDropHandle<StoreResult<Box<MultipartWriter>>>,
    },
    /// It failed.
    Gone,
}

impl Intake {
    pub(super) fn new(uploads: Uploads, writer: MultipartWriter) -> Self {
        Self { uploads, writer: Writer::Ready(Box::new(writer)) }
    }

    /// Takes the next bytes of the body. Waits for the store for a moment only, as long as there is room on
    /// disk.
    pub async fn write(&mut self, bytes: Bytes) -> StoreResult<()> {
        match std::mem::replace(&mut self.writer, Writer::Gone) {
            Writer::Ready(writer) => self.hand_over(writer, bytes).await,
            Writer::Behind { backlog, task } => {
                if !task.is_finished() && backlog.append(&bytes).await {
                    self.writer = Writer::Behind { backlog, task };
                    return Ok(());
                }
                // It has caught up or failed, or there is no more room.
                let writer = ended(task).await?;
                self.hand_over(writer, bytes).await
            }
            Writer::Gone => Err(StoreError::UploadGone),
        }
    }

    async fn hand_over(&mut self, mut writer: Box<MultipartWriter>, bytes: Bytes) -> StoreResult<()> {
        let mut writing = Box::pin(async move { writer.write(bytes).await.map(|()| writer) });
        if let Ok(written) = timeout(self.uploads.options.pause, &mut writing).await {
            self.writer = Writer::Ready(written?);
            return Ok(());
        }
        let Some(backlog) = self.uploads.backlog() else {
            self.writer = Writer::Ready(writing.await?);
            return Ok(());
        };
        tracing::info!("the store is slow; what comes of an upload is kept on disk meanwhile");
        let backlog = Arc::new(backlog);
        let source = Arc::clone(&backlog);
        let task = tokio::spawn(async move {
            let mut writer = writing.await?;
            while let Some(chunk) = source.next().await? {
                writer.write(chunk).await?;
            }
            Ok(writer)
        });
        self.writer = Writer::Behind { backlog, task: AbortOnDropHandle::new(task) };
        Ok(())
    }

    /// Stores the object; see [`MultipartWriter::finish`].
    pub async fn finish(self) -> Result<Written, Unfinished> {
        match self.writer {
            Writer::Ready(writer) => writer.finish().await,
            Writer::Behind { task, .. } => ended(task).await?.finish().await,
            Writer::Gone => Err(StoreError::UploadGone.into()),
        }
    }
}

async fn ended(
    task: AbortOnDropHandle<StoreResult<Box<MultipartWriter>>>,
) -> StoreResult<Box<MultipartWriter>> {
    task.await.map_err(|error| StoreError::Unavailable(error.into()))?
}

/// What came of a body and was not taken yet.
#[derive(Debug)]
pub(super) struct Backlog {
    spool: Spool,
    progress: Mutex<Progress>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Progress {
    /// Bytes.
    written: u64,
    read: u64,
    /// More is just being written.
    growing: bool,
    /// The reader has had everything, and does not come back.
    closed: bool,
}

impl Backlog {
    pub(super) fn new(spool: Spool) -> Self {
        Self { spool, progress: Mutex::default(), changed: Notify::new() }
    }

    /// Whether it took the bytes; not without room, and not once the reader has caught up.
    async fn append(&self, bytes: &Bytes) -> bool {
        let position = {
            let mut progress = self.progress.lock();
            if progress.closed {
                return false;
            }
            progress.growing = true;
            progress.written
        };
        self.spool.write(position, bytes.clone()).await;
        let is_there = self.spool.is_whole();
        {
            let mut progress = self.progress.lock();
            progress.growing = false;
            if is_there {
                progress.written += bytes.len() as u64;
            }
        }
        self.changed.notify_one();
        is_there
    }

    /// The next bytes; `None`: that was all so far, and nothing more is taken.
    async fn next(&self) -> StoreResult<Option<Bytes>> {
        loop {
            let (start, length) = {
                let mut progress = self.progress.lock();
                let length = CHUNK.min(progress.written - progress.read);
                if length == 0 && !progress.growing {
                    progress.closed = true;
                    return Ok(None);
                }
                let start = progress.read;
                progress.read += length;
                (start, length)
            };
            if length > 0 {
                return Ok(Some(self.spool.read(start, length).await?));
            }
            self.changed.notified().await;
        }
    }
}

/// How long the store is waited for by default: clients wait for 30 s.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// Bytes read from the disk at once.
const CHUNK: u64 = 1 << 20;
