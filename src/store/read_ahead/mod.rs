//! Reading an object faster than one connection goes: while its head is read, ranges further on are
//! fetched into memory.
//!
//! How far ahead is a window that grows while reading goes on and begins small where reading jumps.
//! The head itself goes straight from S3 to the reader and needs no memory, so that readers get on
//! even when all memory for reading ahead is taken. All requests carry the ETag: what is read is one
//! version, or ends with an error.

mod growth;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::reader::ObjectReader;
use super::{Content, MultipartStore, StoreError, StoreResult};
use crate::object::{ByteRange, ETag, Key};
use crate::sync::{Budget, Portion};
use crate::tally::carried;

use growth::Growth;

/// How much memory reading ahead may take.
#[derive(Debug, Clone, Copy)]
pub struct ReadAheadOptions {
    /// Bytes for one reader; 0: none.
    pub window: u64,
    /// Bytes for all readers together.
    pub total: u64,
}

impl Default for ReadAheadOptions {
    fn default() -> Self {
        Self { window: DEFAULT_WINDOW, total: DEFAULT_TOTAL }
    }
}

/// What all readers share.
#[derive(Debug, Clone)]
pub struct ReadAheads {
    options: ReadAheadOptions,
    memory: Budget,
    /// Where readers stopped, and the window they had: a range that goes on from there continues.
    stopped: Cache<(Key, u64), u64>,
}

impl ReadAheads {
    pub fn new(options: ReadAheadOptions) -> Self {
        let memory = Budget::of_bytes(options.total);
        let stopped = Cache::builder().max_capacity(MAX_STOPPED).time_to_live(STOPPED_FOR).build();
        Self { options, memory, stopped }
    }

    /// The first range to ask for when an object, or a part of it, is wanted: where it ends may not
    /// be known yet.
    pub fn first_range(wanted: Option<ByteRange>) -> ByteRange {
        let first = wanted.map_or(0, |range| range.first);
        let piece = first.saturating_add(PIECE - 1);
        ByteRange { first, last: Some(wanted.and_then(|range| range.last).unwrap_or(piece).min(piece)) }
    }

    /// A reader of `[start, end)` of a version; `begun` is content that was asked for already.
    pub fn reader(
        &self,
        store: Arc<dyn MultipartStore>,
        (key, etag): (Key, ETag),
        (start, end): (u64, u64),
        begun: Option<Content>,
    ) -> ReadAhead {
        let window = match start {
            0 => PIECE,
            _ => self.stopped.remove(&(key.clone(), start)).unwrap_or(0),
        };
        let begun = begun.filter(|content| content.first == start && content.meta.etag == etag);
        let head_end = match &begun {
            Some(content) => end.min(start + content.length),
            None => end.min(start.saturating_add(PIECE)),
        };
        let head = ObjectReader::new(Arc::clone(&store), key.clone(), etag.clone(), start, head_end);
        let head = head.continuing(begun);
        let window = window.min(self.options.window);
        let shared = self.clone();
        let next = head_end;
        ReadAhead {
            shared,
            store,
            key,
            etag,
            head: Head::Direct(head),
            pieces: VecDeque::new(),
            start,
            position: start,
            head_end,
            next,
            end,
            window,
            growth: Growth::default(),
        }
    }
}

/// See the module.
pub struct ReadAhead {
    shared: ReadAheads,
    store: Arc<dyn MultipartStore>,
    key: Key,
    etag: ETag,
    head: Head,
    /// What follows the head, in order.
    pieces: VecDeque<Piece>,
    start: u64,
    /// The next byte to hand out.
    position: u64,
    /// Where the head ends.
    head_end: u64,
    /// The first byte that was not asked for yet.
    next: u64,
    /// One behind the last byte to hand out.
    end: u64,
    /// Bytes that may be fetched ahead of the head.
    window: u64,
    growth: Growth,
}

/// What is read now.
enum Head {
    Direct(ObjectReader),
    Fetched { piece: Piece, ready: VecDeque<Bytes> },
}

/// A range that is being fetched into memory.
struct Piece {
    length: u64,
    batches: mpsc::UnboundedReceiver<StoreResult<VecDeque<Bytes>>>,
    /// Ends with the reader.
    fetching: AbortOnDropHandle<()>,
    _memory: Portion,
}

impl ReadAhead {
    /// Up to `most` bytes, at least one. An error, never an empty answer, when the content ends
    /// before the range does.
    pub async fn read(&mut self, most: usize) -> StoreResult<Bytes> {
        if self.position == self.head_end {
            self.advance();
        }
        self.fetch_ahead();
        let chunk = match &mut self.head {
            Head::Direct(reader) => reader.read(most).await?,
            Head::Fetched { piece, ready } => {
                while ready.is_empty() {
                    *ready = piece.batches.recv().await.unwrap_or_else(|| Err(ended()))?;
                }
                take(ready, most)
            }
        };
        self.position += chunk.len() as u64;
        Ok(chunk)
    }

    /// Goes on to what follows the head; reading is sequential, so the window may grow.
    fn advance(&mut self) {
        let is_ready = self.pieces.front().is_some_and(|piece| piece.fetching.is_finished());
        let most = self.shared.options.window;
        self.window = self.growth.next(self.window, most, is_ready).max(PIECE).min(most);
        match self.pieces.pop_front() {
            Some(piece) => {
                self.head_end += piece.length;
                self.head = Head::Fetched { piece, ready: VecDeque::new() };
            }
            None => {
                let end = self.end.min(self.next.saturating_add(PIECE));
                let (store, key, etag) = (Arc::clone(&self.store), self.key.clone(), self.etag.clone());
                self.head = Head::Direct(ObjectReader::new(store, key, etag, self.next, end));
                (self.head_end, self.next) = (end, end);
            }
        }
    }

    /// Begins to fetch what fits the window and the memory.
    fn fetch_ahead(&mut self) {
        while self.next < self.end {
            let length = PIECE.min(self.end - self.next);
            if self.next - self.head_end + length > self.window {
                return;
            }
            let Some(memory) = self.shared.memory.try_take(length) else { return };
            self.pieces.push_back(self.fetch(length, memory));
            self.next += length;
        }
    }

    fn fetch(&self, length: u64, memory: Portion) -> Piece {
        let (start, end) = (self.next, self.next + length);
        let (store, key, etag) = (Arc::clone(&self.store), self.key.clone(), self.etag.clone());
        let (sender, batches) = mpsc::unbounded_channel();
        let reader = ObjectReader::new(store, key, etag, start, end);
        let fetching = AbortOnDropHandle::new(tokio::spawn(carried(fetch_into(sender, reader, length))));
        Piece { length, batches, fetching, _memory: memory }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        // Of short reads there is nothing to learn.
        if self.position - self.start >= PIECE {
            self.shared.stopped.insert((self.key.clone(), self.position), self.window);
        }
    }
}

/// Fetches a range and hands it over in batches: waking the reader for every chunk that the network
/// brings would cost more than the chunk.
async fn fetch_into(
    sender: mpsc::UnboundedSender<StoreResult<VecDeque<Bytes>>>,
    mut reader: ObjectReader,
    mut left: u64,
) {
    let (mut batch, mut size) = (VecDeque::new(), 0);
    while left > 0 {
        match reader.read(left as usize).await {
            Ok(chunk) => {
                left -= chunk.len() as u64;
                size += chunk.len();
                batch.push_back(chunk);
            }
            Err(error) => {
                let _ = (sender.send(Ok(batch)), sender.send(Err(error)));
                return;
            }
        }
        if size >= BATCH || left == 0 {
            size = 0;
            if sender.send(Ok(std::mem::take(&mut batch))).is_err() {
                return;
            }
        }
    }
}

/// Up to `most` bytes of the first chunk, of which there is one.
fn take(ready: &mut VecDeque<Bytes>, most: usize) -> Bytes {
    let Some(first) = ready.front_mut() else { return Bytes::new() };
    let taken = first.split_to(most.min(first.len()));
    if first.is_empty() {
        ready.pop_front();
    }
    taken
}

fn ended() -> StoreError {
    StoreError::Unavailable("the content ended early".into())
}

/// Bytes of one request. A round trip costs little beside it, and S3 serves single connections at
/// some 50 to 100 MiB/s.
const PIECE: u64 = 8 << 20;
/// Bytes that are handed over at once.
const BATCH: usize = 512 << 10;
/// About 100 bytes each.
const MAX_STOPPED: u64 = 10_000;
const STOPPED_FOR: Duration = Duration::from_secs(60);
/// Bytes: four requests side by side for one reader.
pub const DEFAULT_WINDOW: u64 = 32 << 20;
/// Bytes: eight such readers.
pub const DEFAULT_TOTAL: u64 = 256 << 20;
