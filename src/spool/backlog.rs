//! What came of a body and was not taken yet, in a file.
//!
//! The file consists of slots. One that was read is written again, so that a body needs room for what it
//! is ahead, not for all of it; and where there is no more room, it goes on as slots become free.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::room::Room;
use super::scratch::Scratch;

/// A queue of bytes with one writer and one reader.
#[derive(Debug)]
pub(super) struct Backlog {
    file: Scratch,
    /// The file's.
    room: Room,
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
    pub(super) fn new(file: Scratch, room: Room) -> Self {
        Self { file, room, queue: Mutex::default(), grown: Notify::new(), freed: Notify::new() }
    }

    /// Takes the bytes off `bytes`; waits while there is no room. Those that are left must go to the sink
    /// itself, when the reader has ended. While it waits, nobody sees whether the client is still there: for
    /// as long as the sink takes to go on or to give up.
    pub(super) async fn append(&self, bytes: &mut Bytes) {
        while !bytes.is_empty() {
            let mut returned = pin!(self.room.returned());
            returned.as_mut().enable();
            match self.next_place() {
                Next::At(position, room) => {
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
                Next::Full => tokio::select! {
                    () = self.freed.notified() => {}
                    () = returned => {}
                },
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
            let place = Next::At(slot.number * SLOT + slot.written, SLOT - slot.written);
            queue.growing = true;
            return place;
        }
        let number = match queue.free.pop() {
            Some(number) => number,
            None if self.file.grow(SLOT) => {
                if queue.made == 0 {
                    tracing::info!("an upload is stored slowly; what arrives waits on disk");
                }
                queue.made += 1;
                queue.made - 1
            }
            None => {
                // Where it has nothing the reader need not wait for more.
                queue.growing = !queue.slots.is_empty();
                self.grown.notify_one();
                return Next::Full;
            }
        };
        queue.growing = true;
        queue.slots.push_back(Slot { number, written: 0, read: 0 });
        Next::At(number * SLOT, SLOT)
    }

    /// The one that reads.
    pub(super) fn reader(self: Arc<Self>) -> Reader {
        Reader(self)
    }
}

/// The end of a backlog from which it is worked off.
pub(super) struct Reader(Arc<Backlog>);

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
    use std::time::Duration;

    use super::*;
    use crate::spool::Quota;

    fn room(bytes: u64) -> (Room, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        (Room::new(directory.path(), Quota::of(bytes)), directory)
    }

    fn backlog(room: &Room, directory: &tempfile::TempDir) -> Arc<Backlog> {
        Arc::new(Backlog::new(Scratch::new(directory.path(), room).unwrap(), room.clone()))
    }

    /// `length` bytes of which none is like its neighbours.
    fn pattern(length: usize) -> Bytes {
        (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect::<Vec<_>>().into()
    }

    /// Waits until all its slots hold what was written.
    async fn full(backlog: &Backlog, slots: usize) {
        let is_full = || {
            let queue = backlog.queue.lock();
            queue.slots.len() == slots && queue.slots.iter().all(|slot| slot.written == SLOT)
        };
        while !is_full() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_body_larger_than_the_room_goes_through_it() {
        let (room, directory) = room(3 * SLOT);
        let backlog = backlog(&room, &directory);
        let (whole, reader) = (pattern(20 << 20), Arc::clone(&backlog).reader());
        let mut body = whole.clone();
        let reading = async {
            full(&backlog, 3).await;
            assert_eq!(room.left(), 0);
            let mut read = Vec::new();
            while read.len() < whole.len() {
                read.extend_from_slice(&reader.next().await.unwrap().unwrap());
            }
            read
        };
        let ((), read) = tokio::join!(backlog.append(&mut body), reading);
        assert!(read == whole && body.is_empty());
        assert!(reader.next().await.unwrap().is_none());
        let mut more = Bytes::from("more");
        backlog.append(&mut more).await;
        assert_eq!(more, "more", "it is closed");
        drop((reader, backlog));
        assert_eq!(room.left(), 3 * SLOT, "given back");
    }

    #[tokio::test]
    async fn a_reader_that_fails_does_not_leave_the_writer_waiting() {
        let (room, directory) = room(SLOT);
        let backlog = backlog(&room, &directory);
        let reader = Arc::clone(&backlog).reader();
        let mut body = pattern(2 << 20);
        let failing = async {
            full(&backlog, 1).await;
            drop(reader);
        };
        tokio::join!(backlog.append(&mut body), failing);
        assert_eq!(body.len(), 1 << 20);
    }

    #[tokio::test]
    async fn without_any_room_it_waits_until_the_sink_takes_more() {
        let (room, directory) = room(0);
        let backlog = backlog(&room, &directory);
        let reader = Arc::clone(&backlog).reader();
        let mut body = pattern(100);
        let reading = async {
            assert!(reader.next().await.unwrap().is_none(), "there is nothing to wait for");
            drop(reader);
        };
        tokio::join!(backlog.append(&mut body), reading);
        assert_eq!(body.len(), 100);
    }

    #[tokio::test]
    async fn room_that_others_give_back_is_used() {
        let (room, directory) = room(SLOT);
        let (first, second) = (backlog(&room, &directory), backlog(&room, &directory));
        let _reader = Arc::clone(&second).reader();
        first.append(&mut pattern(1 << 20)).await;
        let mut body = pattern(1 << 20);
        let ending = async {
            tokio::task::yield_now().await;
            assert_eq!(room.left(), 0);
            drop(first);
        };
        tokio::join!(second.append(&mut body), ending);
        assert!(body.is_empty());
    }
}
