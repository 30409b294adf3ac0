//! The writer of one object.

use bytes::Bytes;

use super::open::OpenUpload;
use super::retained::{RetainedBody, Spool};
use super::{Cut, NewObject, SentUpload, Target, Uploads};
use crate::checksum::Crc32c;
use crate::object::{Condition, Written};
use crate::spool::Sink;
use crate::store::{PayloadBuffer, PutObject, StoreError, StoreResult};
use crate::sync::Portion;

/// One object being written; see the module. Nothing is visible before [`Self::finish`].
#[derive(Debug)]
pub struct MultipartWriter {
    shared: Uploads,
    target: Target,
    condition: Condition,
    length: Option<u64>,
    cut: Cut,
    written: u64,
    buffer: PayloadBuffer,
    /// The memory that `buffer` may use.
    reserved: Option<Portion>,
    parts: Option<OpenUpload>,
    keep: bool,
    sent: SentUpload,
}

/// An object that was not stored.
#[derive(Debug)]
pub struct Unfinished {
    pub error: StoreError,
    /// Its body, if it was to be kept and there was room.
    pub retained: Option<RetainedBody>,
}

impl From<StoreError> for Unfinished {
    fn from(error: StoreError) -> Self {
        Self { error, retained: None }
    }
}

impl Sink for MultipartWriter {
    type Error = StoreError;

    /// Waits while memory is short.
    async fn write(&mut self, mut bytes: Bytes) -> StoreResult<()> {
        self.written += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = self.room().await?;
            let chunk = bytes.split_to(room.min(bytes.len()));
            self.buffer.push(chunk, room);
        }
        Ok(())
    }
}

impl MultipartWriter {
    pub(super) fn new(shared: Uploads, target: Target, object: NewObject) -> Self {
        let NewObject { condition, length, keep, sent, .. } = object;
        let cut = shared.cut(length);
        Self {
            shared,
            target,
            condition,
            length,
            cut,
            written: 0,
            buffer: PayloadBuffer::default(),
            reserved: None,
            parts: None,
            keep,
            sent,
        }
    }

    /// Stores the object, of which `crc32c` was computed when it arrived. Everything before was invisible; this is the moment
    /// it appears.
    pub async fn finish(mut self, crc32c: Crc32c) -> Result<Written, Unfinished> {
        if self.parts.is_some() {
            while !self.buffer.is_empty() {
                self.send_part().await?;
            }
        }
        let Target { store, key, attributes } = &self.target;
        match self.parts.take() {
            Some(parts) => {
                let spool = parts.spool();
                let written = parts.complete((self.written, Some(crc32c)), &self.condition).await;
                let retained = || {
                    spool.filter(Spool::is_whole).map(|spool| RetainedBody::Disk {
                        spool,
                        size: self.written,
                        crc32c,
                    })
                };
                written.map_err(|error| Unfinished { error, retained: retained() })
            }
            None => {
                let body = self.buffer.split_to(usize::MAX).arrived_as(crc32c);
                let (content, condition) = (body.clone(), &self.condition);
                let written = store.put(PutObject { key, body: content, attributes, condition }).await;
                let reserved = self.reserved.take();
                let retained = self.keep.then_some(RetainedBody::Memory { body, reserved });
                written.map_err(|error| Unfinished { error, retained })
            }
        }
    }

    /// How many more bytes the buffer may take; makes room if there is none.
    async fn room(&mut self) -> StoreResult<usize> {
        loop {
            let held = self.reserved.as_ref().map_or(0, Portion::amount);
            let limit = self.buffer_limit().min(held);
            let filled = self.buffer.len() as u64;
            if filled < limit {
                return Ok((limit - filled) as usize);
            }
            if filled == 0 {
                let first = self.first_reservation();
                self.reserved = Some(self.shared.memory.take(first).await);
            } else if !self.grow() {
                self.send_part().await?;
            }
        }
    }

    /// What is reserved while nothing is held: the whole body if it fits one PUT, else one part.
    fn first_reservation(&self) -> u64 {
        match self.length {
            Some(length) if self.fits_one_put(length) => length.max(1),
            _ => self.next_part_size(),
        }
    }

    fn fits_one_put(&self, length: u64) -> bool {
        self.parts.is_none() && length <= self.single_put_limit()
    }

    fn single_put_limit(&self) -> u64 {
        self.shared.options.multipart_threshold.min(self.shared.options.memory)
    }

    /// How much the buffer holds before a part is cut off.
    fn buffer_limit(&self) -> u64 {
        let may_be_one_put = self.length.is_none_or(|length| self.fits_one_put(length));
        let part = self.next_part_size();
        if self.parts.is_some() || !may_be_one_put {
            part
        } else if self.length.is_none() {
            // Whole parts: what is left over when the first are cut must not be a small one.
            (self.single_put_limit() / part * part).max(part)
        } else {
            self.single_put_limit().max(part)
        }
    }

    fn next_part_size(&self) -> u64 {
        let number = self.parts.as_ref().map_or(1, |parts| parts.sent + 1);
        self.shared.part_size(self.cut, number)
    }

    /// Takes memory for one more part before the first is cut, if it is there at once. Waiting for
    /// it while holding some could deadlock with another writer that does the same.
    fn grow(&mut self) -> bool {
        if self.buffer.len() as u64 >= self.buffer_limit() {
            return false;
        }
        match (self.shared.memory.try_take(self.shared.options.part_size), &mut self.reserved) {
            (Some(more), Some(reserved)) => {
                reserved.merge(more);
                true
            }
            _ => false,
        }
    }

    /// Sends what is buffered, up to a part's size; its memory is free again when S3 has it.
    async fn send_part(&mut self) -> StoreResult<()> {
        let size = self.next_part_size().min(self.buffer.len() as u64);
        let body = self.buffer.split_to(size as usize);
        let memory = match &mut self.reserved {
            Some(reserved) if !self.buffer.is_empty() => reserved.split(size),
            _ => self.reserved.take(),
        };
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => {
                let spool = if self.keep { self.shared.spool(self.length.unwrap_or_default()) } else { None };
                let open = OpenUpload::begin(&self.target, &self.shared, spool).await?;
                self.sent.note(open.begun(), self.cut);
                none.insert(open)
            }
        };
        parts.send(body, memory).await
    }
}
