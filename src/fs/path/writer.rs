//! Writing a part, piece by piece: one is written while the next arrives.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::Shared;
use super::disk::parent_missing;
use super::part::Part;
use super::root::DirEntry;
use crate::fs::Failure;
use crate::open_file::{Open, forget, write_pieces};
use crate::spool::Sink;

/// A part that grows.
pub(super) struct PartWriter {
    shared: Arc<Shared>,
    part: Growing,
    /// How long the disk may take for a piece.
    patience: Duration,
    /// What has come and is not being written yet.
    buffer: Vec<Bytes>,
    buffered: usize,
    /// Bytes that were given to the disk.
    written: u64,
    writing: Option<AbortOnDropHandle<Result<(), Failure>>>,
}

/// A part and its file.
pub(super) enum Growing {
    /// Nothing is there before the last piece has come, which is all of it.
    Planned(Plan),
    Made(Part, Open<File>),
}

/// A part to be made.
#[derive(Clone)]
pub(super) struct Plan {
    /// What it is for.
    pub(super) key: String,
    /// From the start no one may read it who may not read the file.
    pub(super) mode: Option<u32>,
}

impl Plan {
    /// Blocks.
    pub(super) fn make(&self, shared: &Arc<Shared>) -> Result<(Part, Open<File>), Failure> {
        self.make_beside(shared, &shared.root.place(&self.key).map_err(parent_missing)?)
    }

    /// The same in the folder of `place`. Blocks.
    fn make_beside(&self, shared: &Arc<Shared>, place: &DirEntry) -> Result<(Part, Open<File>), Failure> {
        let made = Part::new(shared, place, |place| place.create(self.mode));
        let (part, file) = made.map_err(parent_missing)?;
        Ok((part, Open::new(file)))
    }
}

impl Sink for PartWriter {
    type Error = Failure;

    async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.buffered += bytes.len();
        self.buffer.push(bytes);
        if self.buffered >= PIECE { self.write_out().await } else { Ok(()) }
    }
}

impl PartWriter {
    pub(super) fn new(shared: &Arc<Shared>, part: Growing, patience: Duration) -> Self {
        Self {
            shared: Arc::clone(shared),
            part,
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
        let file = self.file().await?;
        let buffer = std::mem::take(&mut self.buffer);
        let start = self.written;
        self.written += std::mem::take(&mut self.buffered) as u64;
        let (disk, deadline) = (self.shared.disk.clone(), Instant::now() + self.patience);
        let writing = async move { disk.by(deadline, move || Ok(write_all(&file, &buffer, start)?)).await };
        self.writing = Some(AbortOnDropHandle::new(tokio::spawn(writing)));
        Ok(())
    }

    async fn file(&mut self) -> Result<Open<File>, Failure> {
        let plan = match &self.part {
            Growing::Made(_, file) => return Ok(file.share()),
            Growing::Planned(plan) => plan.clone(),
        };
        let (shared, deadline) = (Arc::clone(&self.shared), Instant::now() + self.patience);
        let (part, file) = self.shared.disk.by(deadline, move || plan.make(&shared)).await?;
        let shared = file.share();
        self.part = Growing::Made(part, file);
        Ok(shared)
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
        Ok(Unfinished { shared: self.shared, part: self.part, rest: self.buffer, start: self.written })
    }
}

/// A part without its last piece: whoever syncs it writes that first, in one go, which for a small file is all.
pub(super) struct Unfinished {
    shared: Arc<Shared>,
    part: Growing,
    rest: Vec<Bytes>,
    start: u64,
}

impl Unfinished {
    /// Whether nothing of it is there yet.
    pub(super) fn is_planned(&self) -> bool {
        matches!(self.part, Growing::Planned(_))
    }

    /// `place`: where it goes, if that is open. Blocks.
    pub(super) fn complete(self, place: Option<&DirEntry>) -> Result<(Part, Open<File>), Failure> {
        let (part, file) = match (self.part, place) {
            (Growing::Made(part, file), _) => (part, file),
            (Growing::Planned(plan), Some(place)) => plan.make_beside(&self.shared, place)?,
            (Growing::Planned(plan), None) => plan.make(&self.shared)?,
        };
        write_all(&file, &self.rest, self.start)?;
        Ok((part, file))
    }
}

/// Writes all chunks, which begin at the byte `start`. Whole pieces nothing will change any more: the disk begins with
/// them while the rest arrives, so that little is left for the sync at the end.
fn write_all(mut file: &File, chunks: &[Bytes], start: u64) -> io::Result<()> {
    let end = start + write_pieces(chunks, |slices, _| file.write_vectored(slices))?;
    let (from, to) = (start - start % PIECE as u64, end - end % PIECE as u64);
    forget(file, from, to.saturating_sub(from));
    Ok(())
}

/// Bytes of one write: Amazon S3 Files meters each, and a network file system sends 1 MiB at once.
pub(super) const PIECE: usize = 1 << 20;
