//! The head of a database's file, as redb's documentation of its format has it: what redb does not tell whoever opens
//! it.
//!
//! After a crash redb goes back by itself to what was there before the last commit, if that did not come to the disk
//! whole: nothing of it had been acknowledged. Only the head tells that from damage. What was damaged by that same
//! crash, or since, cannot be told from it where redb can go back behind it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is said at the begin of a file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Head {
    /// It was closed in order: all of it must be there.
    pub(super) is_closed: bool,
    /// The version of its format, if that is another one.
    pub(super) foreign: Option<u8>,
}

impl Head {
    /// Reads it; there is nothing to know of a file that is no database.
    pub(super) fn read(file: &File) -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Self::default()),
            read => read?,
        }
        if !bytes.starts_with(MAGIC) {
            return Ok(Self::default());
        }
        // No checksum can be looked at before the format is known. But a damaged byte is only one of two.
        let [first, second] = VERSIONS_AT.map(|at| bytes[at]);
        let is_foreign = first == second && first != VERSION && first != 0;
        Ok(Self {
            is_closed: bytes[FLAGS_AT] & IS_OPEN == 0,
            foreign: if is_foreign { Some(first) } else { None },
        })
    }
}

const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
const FLAGS_AT: usize = 9;
/// Of the flags: it was not closed since it was opened for writing.
const IS_OPEN: u8 = 2;
/// Of both commit slots.
const VERSIONS_AT: [usize; 2] = [64, 192];
/// Of the format that this program's redb reads and writes.
const VERSION: u8 = 3;
const BYTES: usize = 193;
