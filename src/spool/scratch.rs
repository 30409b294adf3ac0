//! Files without a name, and the room on disk that they share.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rustix::io::pwritev;

use super::room::{Room, Taken};
use crate::open_file::{Open, forget, write_pieces};
use crate::sync::blocking;

/// A file that vanishes with the process, or with the last that holds it.
#[derive(Debug, Clone)]
pub struct Scratch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Open<File>,
    /// What is written to it takes room there.
    room: Option<Room>,
    /// What of the room it uses.
    used: Mutex<Option<Taken>>,
    /// Held by the one that has the system forget some of it.
    forgetting: Mutex<()>,
}

impl Scratch {
    /// A file in `directory`, which uses no room yet. Blocks, for a moment.
    pub(super) fn new(directory: &Path, room: &Room) -> io::Result<Self> {
        Ok(Self::with(tempfile::tempfile_in(directory)?, Some(room.clone())))
    }

    /// The same of a file that has a name, and stays for as long as that. Whoever owns it has seen to its room.
    pub(super) fn of(file: File) -> Self {
        Self::with(file, None)
    }

    fn with(file: File, room: Option<Room>) -> Self {
        Self(Arc::new(Inner {
            file: Open::new(file),
            room,
            used: Mutex::default(),
            forgetting: Mutex::new(()),
        }))
    }

    /// Takes room for so many more bytes, if there is any; it is given back when the file is gone.
    pub fn grow(&self, bytes: u64) -> bool {
        let more = self.0.room.as_ref().and_then(|room| room.try_take(bytes));
        let Some(more) = more else { return false };
        match &mut *self.0.used.lock() {
            Some(used) => used.merge(more),
            none => *none = Some(more),
        }
        true
    }

    /// Writes where there is room: see [`Self::grow`].
    pub async fn write(&self, position: u64, bytes: Bytes) -> io::Result<()> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.file.write_all_at(&bytes, position)).await?
    }

    /// Writes the pieces, one behind the other, of what is hardly ever read again: where there is room as for
    /// [`Self::write`]. Of what is written in order so, the system's memory holds the end only, [`IN_MEMORY`].
    pub async fn write_aside(&self, position: u64, pieces: Vec<Bytes>) -> io::Result<()> {
        let inner = Arc::clone(&self.0);
        let writing = blocking(move || {
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
        let reading = blocking(move || {
            let mut bytes = BytesMut::zeroed(length as usize);
            inner.file.read_exact_at(&mut bytes, position).map(|()| bytes.freeze())
        });
        reading.await?
    }
}

/// Bytes of a file written aside that stay in the system's memory. What fits in is seldom written to the disk at
/// all: the file is gone before. A larger one would push out what others read, and have the system find new
/// memory for each of its pages, which takes longer than to write to them.
const IN_MEMORY: u64 = 128 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Quota;

    #[tokio::test]
    async fn what_is_written_aside_can_be_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = Scratch::new(directory.path(), &Room::new(directory.path(), Quota::of(0))).unwrap();
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
