//! What a client tells of a body before it comes, and whether that is what came.

use bytes::Bytes;
use md5::{Digest, Md5};

use super::{Failure, RequestContext};
use crate::spool::Intakes;

/// Refuses a body that would have to pause. Only one that macOS streams, as it does when a file is copied: it
/// gives that up after half a minute, and says so. Of a document that is saved a refusal is not even shown, and
/// others just take longer.
pub fn find_room(context: &RequestContext, intakes: &Intakes) -> Result<(), Failure> {
    let is_full = context.streamed_length.is_some_and(|length| intakes.is_full_for(length));
    if context.client.quirks().aborts_paused_uploads && is_full { Err(Failure::NoRoom) } else { Ok(()) }
}

/// The announced length and MD5 of a body, and what has come of it.
pub struct DeclaredBody {
    length: Option<u64>,
    /// What must come out, and what has come out so far.
    md5: Option<(Vec<u8>, Md5)>,
    taken: u64,
}

impl DeclaredBody {
    /// `length` in bytes, if the client told it.
    pub fn new(context: &RequestContext, length: Option<u64>) -> Self {
        let md5 = context.content_md5.clone().map(|wanted| (wanted, Md5::new()));
        Self { length, md5, taken: 0 }
    }

    /// Bytes that have come.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Counts the next bytes.
    pub fn take(&mut self, bytes: &Bytes) -> Result<(), Failure> {
        self.taken += bytes.len() as u64;
        if self.length.is_some_and(|length| self.taken > length) {
            return Err(Failure::BadRequest("the body is longer than announced".to_owned()));
        }
        if let Some((_, md5)) = &mut self.md5 {
            md5.update(bytes);
        }
        Ok(())
    }

    /// Nothing more comes. Gives the size in bytes.
    pub fn end(&mut self) -> Result<u64, Failure> {
        let size = self.taken;
        if self.length.is_some_and(|length| length != size) {
            return Err(Failure::BadRequest(format!("the body ended after {size} bytes")));
        }
        let is_meant = self.md5.take().is_none_or(|(wanted, md5)| *md5.finalize() == *wanted);
        if is_meant {
            Ok(size)
        } else {
            Err(Failure::BadRequest("the body does not match content-md5".to_owned()))
        }
    }
}
