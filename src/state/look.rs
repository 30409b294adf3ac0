//! A look at a database before it is opened for writing. What redb would change goes to memory, so that what is damaged
//! can be kept as it was found.
//!
//! A look reads all of it, as the start of a gateway should: about a second for 100,000 rows in an unoptimised build.
//! After a crash redb reads it once more when it opens it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redb::{Database, Error, StorageBackend};

use super::head::Head;
use super::schema;

/// What a database is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Look {
    Whole,
    /// It was not closed in order, and redb may go back to what was there before its last commit: when it is opened, or
    /// only when it is told to check it.
    Crashed {
        is_seen_when_opened: bool,
    },
    /// It was closed in order, and yet it must be repaired. An error of the look itself: it cannot be.
    Damaged,
}

/// Opens one for a look into it. What is done to it is forgotten. Blocks.
pub(super) fn without_writing(file: File) -> Result<Database, Error> {
    let builder = &mut Database::builder();
    Ok(builder.set_cache_size(CACHE_BYTES).create_with_backend(Unwritten::new(file)?)?)
}

/// Looks at all of a database. Blocks.
pub(super) fn look(file: File, head: &Head) -> Result<Look, Error> {
    let repair = Arc::new(Repair::default());
    let note = Arc::clone(&repair);
    let mut database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .set_repair_callback(move |session| note.come_to(session.progress()))
        .create_with_backend(Unwritten::new(file)?)?;
    // A repair has looked at everything.
    let is_seen_when_opened = repair.was_made.load(Ordering::Relaxed);
    let is_whole = !is_seen_when_opened && database.check_integrity()?;
    // The head also says so in the middle of a repair; whoever is killed then has lost nothing.
    let was_in_repair = is_seen_when_opened && !repair.went_back.load(Ordering::Relaxed);
    let is_damaged = head.is_closed && (!was_in_repair || schema::is_closed(&database)?);
    Ok(match (is_whole, is_damaged) {
        (true, _) => Look::Whole,
        (false, true) => Look::Damaged,
        (false, false) => Look::Crashed { is_seen_when_opened },
    })
}

/// What redb has done to open a database.
#[derive(Debug, Default)]
struct Repair {
    was_made: AtomicBool,
    /// To what was there before the last commit.
    went_back: AtomicBool,
}

impl Repair {
    /// Told at its begin, when the last commit was found damaged, and when all was found whole.
    fn come_to(&self, progress: f64) {
        self.was_made.store(true, Ordering::Relaxed);
        if progress > 0.0 && progress < FOUND_WHOLE {
            self.went_back.store(true, Ordering::Relaxed);
        }
    }
}

/// Of the progress that redb tells: two of three readings.
const FOUND_WHOLE: f64 = 0.5;

/// A file, and what would have been written to it.
#[derive(Debug)]
struct Unwritten {
    file: File,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    len: u64,
    /// Of the file: what lies behind has been cut off since.
    valid: u64,
    /// By number.
    blocks: BTreeMap<u64, Box<[u8; BLOCK_BYTES]>>,
}

impl Unwritten {
    fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, changes: Mutex::new(Changes { len, valid: len, blocks: BTreeMap::new() }) })
    }

    /// Reads what the file has, and zeros behind its end.
    fn read_file(&self, offset: u64, out: &mut [u8], valid: u64) -> io::Result<()> {
        let count = valid.saturating_sub(offset).min(out.len() as u64) as usize;
        self.file.read_exact_at(&mut out[..count], offset)?;
        out[count..].fill(0);
        Ok(())
    }
}

/// The blocks that a range touches: number, where it begins in the block, and how many bytes of it there are.
fn blocks(offset: u64, count: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, end) = (offset, offset + count as u64);
    std::iter::from_fn(move || {
        let (number, within) = (at / BLOCK_BYTES as u64, (at % BLOCK_BYTES as u64) as usize);
        let count = (BLOCK_BYTES - within).min((end - at) as usize);
        at += count as u64;
        (count > 0).then_some((number, within, count))
    })
}

impl StorageBackend for Unwritten {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changes.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = self.changes.lock();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > changes.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_file(offset, out, changes.valid)?;
        let mut done = 0;
        for (number, within, count) in blocks(offset, out.len()) {
            if let Some(block) = changes.blocks.get(&number) {
                out[done..done + count].copy_from_slice(&block[within..within + count]);
            }
            done += count;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changes = self.changes.lock();
        if len < changes.len {
            let last = len / BLOCK_BYTES as u64;
            changes.blocks.split_off(&(last + 1));
            if let Some(block) = changes.blocks.get_mut(&last) {
                block[(len % BLOCK_BYTES as u64) as usize..].fill(0);
            }
        }
        changes.valid = changes.valid.min(len);
        changes.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = self.changes.lock();
        let valid = changes.valid;
        let mut done = 0;
        for (number, within, count) in blocks(offset, data.len()) {
            let block = match changes.blocks.entry(number) {
                Entry::Occupied(block) => block.into_mut(),
                Entry::Vacant(place) => {
                    let mut block = Box::new([0; BLOCK_BYTES]);
                    self.read_file(number * BLOCK_BYTES as u64, &mut block[..], valid)?;
                    place.insert(block)
                }
            };
            block[within..within + count].copy_from_slice(&data[done..done + count]);
            done += count;
        }
        changes.len = changes.len.max(offset + data.len() as u64);
        Ok(())
    }
}

/// A page of redb's.
const BLOCK_BYTES: usize = 4096;

/// Of the database that are kept in memory: its rows are small, and what is asked often has an index of its own.
pub(super) const CACHE_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![1; 5000]).unwrap();
        let over = Unwritten::new(File::open(&path).unwrap()).unwrap();
        let read = |offset, count| {
            let mut out = vec![9; count];
            over.read(offset, &mut out).map(|()| out)
        };
        over.write(4090, &[2; 10]).unwrap();
        assert_eq!(read(4088, 14).unwrap(), [1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1]);
        assert!(read(4990, 11).is_err(), "beyond the end");
        over.set_len(4095).unwrap();
        over.set_len(10_000).unwrap();
        assert_eq!(read(4093, 4).unwrap(), [2, 2, 0, 0], "what was cut off is gone");
        assert_eq!(read(8190, 5).unwrap(), [0; 5]);
        assert_eq!(over.len().unwrap(), 10_000);
        assert_eq!(std::fs::read(&path).unwrap(), vec![1; 5000]);
    }
}
