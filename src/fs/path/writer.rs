//! Writing a part, piece by piece: one is written while the next arrives.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::Shared;
use super::part::Part;
use crate::fs::Failure;
use crate::intake::Sink;
use crate::open_file::Open;

/// A part that grows.
pub(super) struct PartWriter {
    shared: Arc<Shared>,
    part: Part,
    file: Open<File>,
    /// How long the disk may take for a piece.
    patience: Duration,
    /// What has come and is not being written yet.
    buffer: Vec<Bytes>,
    buffered: usize,
    /// Bytes that were given to the disk.
    written: u64,
    writing: Option<AbortOnDropHandle<Result<(), Failure>>>,
}

impl Sink for PartWriter {
    type Error = Failure;

    async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.buffered += bytes.len();
        self.buffer.push(bytes);
        match self.buffered >= PIECE {
            true => self.write_out().await,
            false => Ok(()),
        }
    }
}

impl PartWriter {
    pub(super) fn new(shared: &Arc<Shared>, (part, file): (Part, Open<File>), patience: Duration) -> Self {
        Self {
            shared: Arc::clone(shared),
            part,
            file,
            patience,
            buffer: Vec::new(),
            buffered: 0,
            written: 0,
            writing: None,
        }
    }

    /// Waits for what is being written, and begins with what has come since.
    async fn write_out(&mut self) -> Result<(), Failure> {
        self.settle().await?;
        let (buffer, file) = (std::mem::take(&mut self.buffer), self.file.share());
        let start = self.written;
        self.written += std::mem::take(&mut self.buffered) as u64;
        let (disk, deadline) = (self.shared.disk.clone(), Instant::now() + self.patience);
        let writing = async move { disk.by(deadline, move || Ok(write_all(&file, &buffer, start)?)).await };
        self.writing = Some(AbortOnDropHandle::new(tokio::spawn(writing)));
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Failure> {
        match self.writing.take() {
            Some(writing) => writing.await?,
            None => Ok(()),
        }
    }

    /// The part, of which the end is still to be written.
    pub(super) async fn finish(mut self) -> Result<Unfinished, Failure> {
        self.settle().await?;
        Ok(Unfinished { part: self.part, file: self.file, rest: self.buffer, start: self.written })
    }
}

/// A part without its last piece: whoever syncs it writes that first, in one go, which for a small file is all.
pub(super) struct Unfinished {
    part: Part,
    file: Open<File>,
    rest: Vec<Bytes>,
    start: u64,
}

impl Unfinished {
    /// Blocks.
    pub(super) fn complete(self) -> io::Result<(Part, Open<File>)> {
        write_all(&self.file, &self.rest, self.start)?;
        Ok((self.part, self.file))
    }
}

/// Writes all chunks, with as few calls as there can be, from the byte `start` on.
fn write_all(mut file: &File, chunks: &[Bytes], start: u64) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut left = &mut slices[..];
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut left, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let end = start + chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
    send_off(file, start - start % PIECE as u64, end - end % PIECE as u64);
    Ok(())
}

/// Lets the disk begin with whole pieces that nothing will change any more, so that it works while the
/// rest arrives and little is left for the sync at the end.
#[cfg(target_os = "linux")]
fn send_off(file: &File, start: u64, end: u64) {
    // Advice: where it is not taken, the sync does everything.
    let length = std::num::NonZeroU64::new(end.saturating_sub(start));
    if length.is_some() {
        let _ = rustix::fs::fadvise(file, start, length, rustix::fs::Advice::DontNeed);
    }
}

#[cfg(not(target_os = "linux"))]
fn send_off(_: &File, _: u64, _: u64) {}

/// Bytes of one write: Amazon S3 Files meters each, and a network file system sends 1 MiB at once.
const PIECE: usize = 1 << 20;
