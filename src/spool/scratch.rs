//! Files without a name, and the room on disk that they share.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::open_file::Open;

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
}

impl Scratch {
    /// A file in `directory`, which uses no room yet. Blocks, for a moment.
    pub fn new(directory: &Path, room: &Room) -> io::Result<Self> {
        let file = Open::new(tempfile::tempfile_in(directory)?);
        Ok(Self(Arc::new(Inner { file, room: room.clone(), used: AtomicU64::new(0) })))
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
        self.write_all(position, vec![bytes]).await
    }

    /// As [`Self::write`], one piece behind the other.
    pub async fn write_all(&self, mut position: u64, pieces: Vec<Bytes>) -> io::Result<()> {
        let inner = Arc::clone(&self.0);
        let writing = tokio::task::spawn_blocking(move || {
            for piece in pieces {
                inner.file.write_all_at(&piece, position)?;
                position += piece.len() as u64;
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
