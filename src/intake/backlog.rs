//! What came of a body and was not taken yet, in a file.
//!
//! The file consists of slots. One that was read is written again, so that a body needs room for what it
//! is ahead, not for all of it; and where there is no more room, it goes on as slots become free.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::scratch::Scratch;

/// A queue of bytes with one writer and one reader.
#[derive(Debug)]
pub(super) struct Backlog {
    file: Scratch,
    queue: Mutex<Queue>,
    /// For the reader: there is more, or nothing comes.
    grown: Notify,
    /// For the writer: a slot is free, or nobody reads any more.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    slots: VecDeque<Slot>,
    /// Numbers of slots that were read.
    free: Vec<u64>,
    made: u64,
    /// The writer is at work: that there is nothing does not mean that this was all.
    growing: bool,
    /// The reader has had everything, or failed, and does not come back.
    closed: bool,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    /// Bytes of it.
    written: u64,
    read: u64,
}

/// Where the next bytes go.
enum Next {
    /// Into a slot from this byte of the file on, so many at most.
    At(u64, u64),
    /// Nowhere before a slot is free.
    Full,
    Closed,
}

impl Backlog {
    pub(super) fn new(file: Scratch) -> Self {
        Self { file, queue: Mutex::default(), grown: Notify::new(), freed: Notify::new() }
    }

    /// Takes the bytes off `bytes`. Those that are left must go to the sink itself, when the reader has
    /// ended. `paused` is called when there is no room, and what it gives is kept until there is.
    pub(super) async fn append<P>(&self, bytes: &mut Bytes, paused: impl Fn() -> P) {
        self.queue.lock().growing = true;
        let mut pause = None;
        while !bytes.is_empty() {
            let next = self.next_place();
            match next {
                Next::At(position, room) => {
                    pause = None;
                    let chunk = bytes.slice(..bytes.len().min(room as usize));
                    let length = chunk.len();
                    if let Err(error) = self.file.write(position, chunk).await {
                        tracing::info!(%error, "an upload cannot wait on disk");
                        break;
                    }
                    bytes.advance(length);
                    if let Some(slot) = self.queue.lock().slots.back_mut() {
                        slot.written += length as u64;
                    }
                    self.grown.notify_one();
                }
                Next::Full => {
                    pause.get_or_insert_with(&paused);
                    self.freed.notified().await;
                }
                Next::Closed => break,
            }
        }
        self.queue.lock().growing = false;
        self.grown.notify_one();
    }

    fn next_place(&self) -> Next {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Next::Closed;
        }
        if let Some(slot) = queue.slots.back().filter(|slot| slot.written < SLOT) {
            return Next::At(slot.number * SLOT + slot.written, SLOT - slot.written);
        }
        let number = match queue.free.pop() {
            Some(number) => number,
            None if self.file.grow(SLOT) => {
                queue.made += 1;
                queue.made - 1
            }
            // Nobody will free any.
            None if queue.slots.is_empty() => return Next::Closed,
            None => return Next::Full,
        };
        queue.slots.push_back(Slot { number, written: 0, read: 0 });
        Next::At(number * SLOT, SLOT)
    }

    /// The one that reads.
    pub(super) fn reader(self: std::sync::Arc<Self>) -> Reader {
        Reader(self)
    }
}

/// The end of a backlog from which it is worked off.
pub(super) struct Reader(std::sync::Arc<Backlog>);

impl Reader {
    /// The next bytes, up to a slot; `None`: that was all so far, and nothing more is taken.
    pub(super) async fn next(&self) -> io::Result<Option<Bytes>> {
        loop {
            let found = {
                let mut queue = self.0.queue.lock();
                let first = queue.slots.front().filter(|slot| slot.read < slot.written);
                let found = first.map(|slot| (slot.number * SLOT + slot.read, slot.written - slot.read));
                if found.is_none() && !queue.growing {
                    queue.closed = true;
                    return Ok(None);
                }
                found
            };
            match found {
                Some((position, length)) => {
                    let bytes = self.0.file.read(position, length).await?;
                    self.done(length);
                    return Ok(Some(bytes));
                }
                None => self.0.grown.notified().await,
            }
        }
    }

    fn done(&self, length: u64) {
        let mut queue = self.0.queue.lock();
        let Some(slot) = queue.slots.front_mut() else { return };
        slot.read += length;
        if slot.read == SLOT {
            let number = slot.number;
            queue.slots.pop_front();
            queue.free.push(number);
            self.0.freed.notify_one();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.queue.lock().closed = true;
        self.0.freed.notify_one();
    }
}

/// Bytes of a slot: what is read from the disk at once.
pub(super) const SLOT: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::scratch::Room;
    use super::*;

    fn backlog(slots: u64) -> (Arc<Backlog>, Room, tempfile::TempDir) {
        let (directory, room) = (tempfile::tempdir().unwrap(), Room::new(slots * SLOT));
        let file = Scratch::new(directory.path(), &room).unwrap();
        (Arc::new(Backlog::new(file)), room, directory)
    }

    /// `length` bytes of which none is like its neighbours.
    fn pattern(length: usize) -> Bytes {
        (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect::<Vec<_>>().into()
    }

    #[tokio::test]
    async fn a_body_larger_than_the_room_goes_through_it() {
        let (backlog, room, _directory) = backlog(3);
        let whole = pattern(20 << 20);
        let (mut body, paused) = (whole.clone(), AtomicUsize::new(0));
        let reader = Arc::clone(&backlog).reader();
        let reading = async {
            let mut read = Vec::new();
            while read.len() < whole.len() {
                read.extend_from_slice(&reader.next().await.unwrap().unwrap());
            }
            read
        };
        let writing = backlog.append(&mut body, || paused.fetch_add(1, Ordering::Relaxed));
        let ((), read) = tokio::join!(writing, reading);
        assert!(read == whole && body.is_empty());
        assert!(paused.into_inner() > 0);
        assert_eq!(room.left(), 0);
        assert!(reader.next().await.unwrap().is_none());
        let mut more = Bytes::from("more");
        backlog.append(&mut more, || ()).await;
        assert_eq!(more, "more", "it is closed");
        drop((reader, backlog));
        assert_eq!(room.left(), 3 * SLOT, "given back");
    }

    #[tokio::test]
    async fn a_reader_that_fails_does_not_leave_the_writer_waiting() {
        let (backlog, _room, _directory) = backlog(1);
        let reader = Arc::clone(&backlog).reader();
        let mut body = pattern(2 << 20);
        let writing = backlog.append(&mut body, || ());
        let failing = async {
            tokio::task::yield_now().await;
            drop(reader);
        };
        tokio::join!(writing, failing);
        assert!(!body.is_empty());
    }

    #[tokio::test]
    async fn without_any_room_nothing_is_taken() {
        let (backlog, _room, _directory) = backlog(0);
        let mut body = pattern(100);
        backlog.append(&mut body, || ()).await;
        assert_eq!(body.len(), 100);
    }
}
