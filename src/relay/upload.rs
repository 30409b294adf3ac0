//! A request's body that can be sent again: what has come of it is kept, first in memory, then on disk.
//!
//! It is sent as it comes, so that the client sees how far it really is. Without room on disk the rest is not kept, and
//! can be sent once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::line::Line;
use crate::spool::{Intakes, Scratch};

/// See the module.
pub(super) struct Upload<B> {
    body: B,
    length: Option<u64>,
    memory: Vec<Bytes>,
    in_memory: u64,
    disk: Option<Scratch>,
    on_disk: u64,
    /// Room that has been taken.
    room: u64,
    /// Has come, and is not kept yet.
    next: Option<Bytes>,
    is_whole: bool,
    /// All that has come is kept.
    is_kept: bool,
    intakes: Intakes,
}

/// Why a body has not been sent to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    /// The far end wants no more of it; it may have answered.
    #[error("the rest is not wanted")]
    Unwanted,
    #[error("its client did not send all of it")]
    Broken,
    #[error("nothing of it was taken for {STALL:?}")]
    Stalled,
    #[error("what was kept of it cannot be read")]
    Unreadable,
}

impl<B: HttpBody<Data = Bytes, Error = io::Error> + Unpin> Upload<B> {
    pub(super) fn new(body: B, intakes: Intakes) -> Self {
        let length = body.size_hint().exact();
        let (memory, disk, next) = (Vec::new(), None, None);
        let (in_memory, on_disk, room, is_whole, is_kept) = (0, 0, 0, false, true);
        Self { body, length, memory, in_memory, disk, on_disk, room, next, is_whole, is_kept, intakes }
    }

    /// Whether it can be sent from its beginning.
    pub(super) fn can_be_sent(&self) -> bool {
        self.is_kept
    }

    /// A body for one request, and what it is fed by.
    pub(super) fn fed(&self, line: Arc<Line>) -> (Fed, mpsc::Sender<Fragment>) {
        let (feed, fragments) = mpsc::channel(FRAGMENTS);
        (Fed { fragments, left: self.length, has_ended: false, line }, feed)
    }

    /// Sends it from the beginning, as far as it is taken. May be given up at any time, and begun again.
    pub(super) async fn feed(&mut self, feed: mpsc::Sender<Fragment>) -> Result<(), FeedError> {
        self.again(&feed).await?;
        loop {
            if let Some(bytes) = self.next.clone() {
                self.keep(&bytes).await;
                self.next = None;
                give(&feed, bytes).await?;
            }
            if self.is_whole {
                // It may have been answered meanwhile.
                let _ = feed.send(Fragment::End).await;
                return Ok(());
            }
            match self.body.frame().await {
                None => self.is_whole = true,
                Some(Ok(frame)) => self.next = frame.into_data().ok(),
                Some(Err(_)) => return Err(FeedError::Broken),
            }
        }
    }

    /// What was kept.
    async fn again(&mut self, feed: &mpsc::Sender<Fragment>) -> Result<(), FeedError> {
        for bytes in &self.memory {
            give(feed, bytes.clone()).await?;
        }
        let Some(disk) = self.disk.clone() else { return Ok(()) };
        let (mut at, length) = (0, self.on_disk);
        while at < length {
            let step = (length - at).min(STEP);
            let Ok(bytes) = disk.read(at, step).await else {
                self.is_kept = false;
                return Err(FeedError::Unreadable);
            };
            give(feed, bytes).await?;
            at += step;
        }
        Ok(())
    }

    async fn keep(&mut self, bytes: &Bytes) {
        let length = bytes.len() as u64;
        if !self.is_kept {
            return;
        }
        if self.on_disk == 0 && self.in_memory + length <= MEMORY {
            self.in_memory += length;
            self.memory.push(bytes.clone());
            return;
        }
        if self.disk.is_none() {
            self.disk = self.intakes.scratch();
        }
        let Some(disk) = self.disk.clone() else {
            self.forget();
            return;
        };
        let end = self.on_disk + length;
        while self.room < end {
            if !disk.grow(ROOM) {
                tracing::info!("there is no room for a copy of an upload; it is sent only once");
                self.forget();
                return;
            }
            self.room += ROOM;
        }
        match disk.write(self.on_disk, bytes.clone()).await {
            Ok(()) => self.on_disk = end,
            Err(error) => {
                tracing::info!(%error, "no copy of an upload can be kept; it is sent only once");
                self.forget();
            }
        }
    }

    fn forget(&mut self) {
        self.is_kept = false;
        (self.memory, self.disk) = (Vec::new(), None);
    }
}

/// Gives `bytes` to the far end, little by little: what is taken shows that it lives.
async fn give(feed: &mpsc::Sender<Fragment>, mut bytes: Bytes) -> Result<(), FeedError> {
    while !bytes.is_empty() {
        let piece = bytes.split_to(bytes.len().min(PIECE));
        let given = timeout(STALL, feed.send(Fragment::Bytes(piece))).await;
        given.map_err(|_| FeedError::Stalled)?.map_err(|_| FeedError::Unwanted)?;
    }
    Ok(())
}

/// A part of a body, or its proper end.
pub(super) enum Fragment {
    Bytes(Bytes),
    End,
}

/// A body that is fed. Where that is given up it breaks off, and does not just end.
pub(super) struct Fed {
    fragments: mpsc::Receiver<Fragment>,
    left: Option<u64>,
    has_ended: bool,
    line: Arc<Line>,
}

impl HttpBody for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        match ready!(self.fragments.poll_recv(cx)) {
            Some(Fragment::Bytes(bytes)) => {
                self.line.note_movement();
                self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Fragment::End) => {
                self.has_ended = true;
                Poll::Ready(None)
            }
            None => {
                self.has_ended = true;
                Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

/// Bytes that are kept in memory; most documents fit.
const MEMORY: u64 = 1 << 20;
/// Bytes of the disk that are taken at once.
const ROOM: u64 = 4 << 20;
/// Bytes that are read from it at once.
const STEP: u64 = 256 << 10;
/// Bytes of a fragment: a line of a few KB/s takes one while a probe waits.
const PIECE: usize = 16 << 10;
/// A far end that takes nothing of a body for so long takes no more of it. A gateway takes a little every few seconds,
/// even while S3 takes nothing, and gives up a client that pauses for so long.
pub(super) const STALL: Duration = Duration::from_secs(120);
/// Fragments of a body that may wait.
const FRAGMENTS: usize = 2;
