//! Files without a name, and the room on disk that they share.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rustix::io::pwritev;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::open_file::{Open, forget, write_pieces};

/// Bytes on disk that many files may use together.
#[derive(Debug, Clone)]
pub struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all: u64,
    left: AtomicU64,
    returned: Notify,
}

impl Room {
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(Shared { all: bytes, left: AtomicU64::new(bytes), returned: Notify::new() }))
    }

    /// Bytes that nobody uses.
    pub fn left(&self) -> u64 {
        self.0.left.load(Ordering::Acquire)
    }

    /// Bytes that are used.
    pub fn used(&self) -> u64 {
        self.0.all.saturating_sub(self.left())
    }

    fn take(&self, bytes: u64) -> bool {
        let take = |left: u64| left.checked_sub(bytes);
        self.0.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.0.left.fetch_add(bytes, Ordering::AcqRel);
        self.0.returned.notify_waiters();
    }
}

/// A file that vanishes with the process, or with the last that holds it.
#[derive(Debug, Clone)]
pub struct Scratch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Open<File>,
    room: Room,
    /// What of the room it uses, in bytes.
    used: AtomicU64,
    /// Held by the one that has the system forget some of it.
    forgetting: Mutex<()>,
}

impl Scratch {
    /// A file in `directory`, which uses no room yet. Blocks, for a moment.
    pub fn new(directory: &Path, room: &Room) -> io::Result<Self> {
        let file = Open::new(tempfile::tempfile_in(directory)?);
        Ok(Self(Arc::new(Inner {
            file,
            room: room.clone(),
            used: AtomicU64::new(0),
            forgetting: Mutex::new(()),
        })))
    }

    /// Takes room for so many more bytes, if there is any; it is given back when the file is gone.
    pub fn grow(&self, bytes: u64) -> bool {
        let grown = self.0.room.take(bytes);
        if grown {
            self.0.used.fetch_add(bytes, Ordering::AcqRel);
        }
        grown
    }

    /// When another file gives its room back, once this is enabled.
    pub fn room_returned(&self) -> Notified<'_> {
        self.0.room.0.returned.notified()
    }

    /// Writes where there is room: see [`Self::grow`].
    pub async fn write(&self, position: u64, bytes: Bytes) -> io::Result<()> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || inner.file.write_all_at(&bytes, position)).await?
    }

    /// Writes the pieces, one behind the other, of what is hardly ever read again: where there is room as for
    /// [`Self::write`]. Of what is written in order so, the system's memory holds the end only, [`IN_MEMORY`].
    pub async fn write_aside(&self, position: u64, pieces: Vec<Bytes>) -> io::Result<()> {
        let inner = Arc::clone(&self.0);
        let writing = tokio::task::spawn_blocking(move || {
            let written = write_pieces(&pieces, |slices, written| {
                Ok(pwritev(&**inner.file, slices, position + written)?)
            });
            let end = position + written?;
            // Where the disk is slow one part waits for it, not all: what is not forgotten now, the system forgets
            // when it must.
            if let Some(_turn) = inner.forgetting.try_lock() {
                // What is written to the disk at the first time can be forgotten at the second.
                for behind in [IN_MEMORY / 2, IN_MEMORY] {
                    let from = position.saturating_sub(behind);
                    forget(&inner.file, from, end.saturating_sub(behind) - from);
                }
            }
            Ok(())
        });
        writing.await?
    }

    /// Exactly `length` bytes from `position` on.
    pub async fn read(&self, position: u64, length: u64) -> io::Result<Bytes> {
        let inner = Arc::clone(&self.0);
        let reading = tokio::task::spawn_blocking(move || {
            let mut bytes = BytesMut::zeroed(length as usize);
            inner.file.read_exact_at(&mut bytes, position).map(|()| bytes.freeze())
        });
        reading.await?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.room.give_back(*self.used.get_mut());
    }
}

/// Bytes of a file written aside that stay in the system's memory. What fits in is seldom written to the disk at
/// all: the file is gone before. A larger one would push out what others read, and have the system find new
/// memory for each of its pages, which takes longer than to write to them.
const IN_MEMORY: u64 = 128 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_aside_can_be_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = Scratch::new(directory.path(), &Room::new(0)).unwrap();
        // More pieces than a system call takes, and what lies behind by all that stays in memory.
        let pieces: Vec<Bytes> = (0..3000_u32).map(|n| n.to_le_bytes().to_vec().into()).collect();
        let whole = pieces.concat();
        for position in [0, 5000, IN_MEMORY / 2, IN_MEMORY, IN_MEMORY + 12_000] {
            file.write_aside(position, pieces.clone()).await.unwrap();
        }
        for position in [5000, IN_MEMORY / 2, IN_MEMORY, IN_MEMORY + 12_000] {
            assert!(file.read(position, 12_000).await.unwrap() == whole, "at {position}");
        }
        assert!(file.read(0, 5000).await.unwrap() == whole[..5000]);
        file.write_aside(1, Vec::new()).await.unwrap();
    }
}
