//! Open files: reading one version, writing one file.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cap_std::fs::File;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::at_once::{Local, SMALL, piece_at_once};
use super::root::Root;
use super::stat::Stat;
use super::{PathFileSystem, Shared};
use crate::fs::disk_error::DiskError;
use crate::fs::file_system::{Meta, OpenFile, Reading};
use crate::fs::{Failure, RequestContext, ResourcePath};
use crate::object::ByteRange;
use crate::open_file::Open;

impl PathFileSystem {
    pub(super) async fn open_to_read(&self, path: &ResourcePath) -> Result<OpenFile, Failure> {
        let opened = match self.begin_reading(path).await? {
            Some(opened) => opened,
            None => {
                let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
                if located.stat.is_folder {
                    return Err(Failure::IsFolder);
                }
                // Content is wanted only if the conditions allow it, which the engine looks at next.
                let range = self.context.range;
                self.disk(move |shared| Opened::open(shared, located.key, range, false)).await?
            }
        };
        if path.same_resource(&self.context.path) {
            self.note_basis(&opened.key, &opened.stat);
        }
        let name = super::path_name(&opened.key);
        self.context.outcome.set_content_type(crate::fs::guessed_type(&name));
        let (shared, context) = (Arc::clone(&self.shared), Arc::clone(&self.context));
        Ok(OpenFile::Reading(Box::new(Download { shared, context, opened })))
    }

    /// Opens a file, with its first bytes, without a look before. `None` where that would not do: it is no file, has
    /// another spelling, or may not be wanted.
    async fn begin_reading(&self, path: &ResourcePath) -> Result<Option<Opened>, Failure> {
        if !self.context.surely_reads(path) || super::is_unseen(path) || self.shared.is_conflict(path) {
            return Ok(None);
        }
        let (key, range) = (path.key(), self.context.range);
        let opened = match Opened::open_at_once(&self.shared, &key, range) {
            Some(opened) => {
                self.shared.metrics.note_trouble("the disk", None);
                Ok(opened)
            }
            None => self.disk(move |shared| Opened::open(shared, key, range, true)).await,
        };
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(Failure::NotFound | Failure::IsFolder) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn open_to_write(
        &self,
        path: &ResourcePath,
        size: Option<u64>,
        create_new: bool,
    ) -> Result<OpenFile, Failure> {
        Ok(OpenFile::Writing(Box::new(self.begin_upload(path, create_new, size).await?)))
    }

    pub(super) async fn create_empty(&self, path: &ResourcePath) -> Result<OpenFile, Failure> {
        if path.has_trailing_slash() {
            return Err(Failure::Conflict("there is no such folder; make it with MKCOL".to_owned()));
        }
        let mut file = self.open_to_write(path, Some(0), false).await?;
        file.commit().await?;
        Ok(file)
    }
}

/// A file being read in one request.
struct Download {
    shared: Arc<Shared>,
    context: Arc<RequestContext>,
    opened: Opened,
}

#[async_trait]
impl Reading for Download {
    fn meta(&self) -> Meta {
        self.opened.stat.meta()
    }

    async fn read(&mut self, most: usize) -> Result<Bytes, Failure> {
        self.opened.read(&self.shared, &self.context, most).await
    }

    fn seek(&mut self, start: u64) {
        self.opened.seek(start);
    }
}

/// One version of a file being read, one piece ahead of the client.
#[derive(Debug)]
struct Opened {
    key: String,
    content: Content,
    stat: Stat,
    /// The file as it was when it was last read from: its rights and names may be others since.
    seen: Stat,
    /// One behind the last byte that is wanted.
    end: u64,
    /// The next byte to hand out.
    position: u64,
    /// What was read from there on.
    ready: Bytes,
    /// The next piece may be had at once: nobody needs to go ahead.
    is_near: bool,
    /// What comes after it.
    next: Option<AbortOnDropHandle<Result<Piece, Failure>>>,
}

/// Where a file's bytes come from.
#[derive(Debug)]
enum Content {
    /// All of them are here, and the file is closed.
    Whole(Bytes),
    /// `local`: what is in memory is had at once.
    File { file: Open<File>, local: Option<Local> },
}

impl Opened {
    /// Opens `key`; `begins`: reads the first piece, too, whole if it is small. Blocks.
    fn open(shared: &Shared, key: String, range: Option<ByteRange>, begins: bool) -> Result<Self, Failure> {
        let (file, stat) = shared.root.file(&key)?;
        let first = if begins {
            let most = shared.first_piece(&stat);
            Some(piece(&shared.root, (&key, &file), &stat, bounds(range, &stat), most)?)
        } else {
            None
        };
        Ok(Self::new(shared, key, (file, stat), range, first))
    }

    /// The same with the first piece, if that can be had without waiting.
    fn open_at_once(shared: &Shared, key: &str, range: Option<ByteRange>) -> Option<Self> {
        let (file, stat) = shared.root.file_at_once(key)?;
        let (start, end) = bounds(range, &stat);
        let most = shared.first_piece(&stat).min(end.saturating_sub(start));
        if most > SMALL as u64 && shared.content.takes(stat.size) {
            // What is remembered must be whole, and must not keep a larger buffer.
            return None;
        }
        let local = shared.root.local(&stat)?;
        let first = piece_at_once((&file, local), &shared.buffers, &stat, start, most)?;
        Some(Self::new(shared, key.to_owned(), (file, stat), range, Some(first)))
    }

    fn new(
        shared: &Shared,
        key: String,
        (file, stat): (File, Stat),
        range: Option<ByteRange>,
        first: Option<Piece>,
    ) -> Self {
        let (position, end) = bounds(range, &stat);
        let local = shared.root.local(&stat);
        let begins = first.is_some();
        let (ready, seen) = first.unwrap_or_else(|| (Bytes::new(), stat.clone()));
        let content = if begins && ready.len() as u64 == stat.size {
            if !ready.is_empty() && shared.content.takes(stat.size) {
                shared.keep(&key, &stat, &ready);
            }
            Content::Whole(ready.clone())
        } else {
            Content::File { file: Open::new(file), local }
        };
        Self { key, content, stat, seen, end, position, ready, is_near: local.is_some(), next: None }
    }

    fn seek(&mut self, start: u64) {
        if start == self.position {
            return;
        }
        let ready = match &self.content {
            Content::Whole(whole) => whole.slice(whole.len().min(start as usize)..),
            Content::File { .. } => Bytes::new(),
        };
        // Where another range ends is not known here.
        (self.position, self.ready, self.next, self.end) = (start, ready, None, self.stat.size);
    }

    async fn read(
        &mut self,
        shared: &Arc<Shared>,
        context: &RequestContext,
        most: usize,
    ) -> Result<Bytes, Failure> {
        let Content::File { file, local } = &self.content else { return Ok(self.hand_out(most)) };
        if self.ready.is_empty() {
            let at_once = local.filter(|_| self.next.is_none()).and_then(|local| {
                let wanted = self.end_behind(self.position).saturating_sub(self.position);
                piece_at_once((file, local), &shared.buffers, &self.seen, self.position, wanted)
            });
            self.is_near = at_once.is_some();
            (self.ready, self.seen) = match (at_once, self.next.take()) {
                (Some(piece), _) => piece,
                (None, Some(next)) => next.await??,
                (None, None) => self.fetch(shared, context, file, self.position).await??,
            };
        }
        let after = self.position + self.ready.len() as u64;
        if !self.is_near && self.next.is_none() && after < self.end {
            self.next = Some(self.fetch(shared, context, file, after));
        }
        Ok(self.hand_out(most))
    }

    fn hand_out(&mut self, most: usize) -> Bytes {
        let chunk = self.ready.split_to(most.min(self.ready.len()));
        self.position += chunk.len() as u64;
        chunk
    }

    /// Where reading from `start` on ends. A reader that goes on behind the end of its range gets what is there.
    fn end_behind(&self, start: u64) -> u64 {
        if start < self.end { self.end } else { self.stat.size }
    }

    fn fetch(
        &self,
        shared: &Arc<Shared>,
        context: &RequestContext,
        file: &Open<File>,
        start: u64,
    ) -> AbortOnDropHandle<Result<Piece, Failure>> {
        let (file, seen, disk) = (file.share(), self.seen.clone(), shared.disk.clone());
        let (shared, key) = (Arc::clone(shared), self.key.clone());
        let end = self.end_behind(start);
        let deadline = Instant::now() + context.budget;
        AbortOnDropHandle::new(tokio::spawn(async move {
            disk.by(deadline, move || piece(&shared.root, (&key, &file), &seen, (start, end), PIECE)).await
        }))
    }
}

impl Shared {
    /// Bytes of the piece that a client waits for: all of a file that is to be remembered.
    fn first_piece(&self, stat: &Stat) -> u64 {
        if self.content.takes(stat.size) { stat.size } else { FIRST_PIECE }
    }
}

/// The first byte that is wanted, and the one behind the last.
fn bounds(range: Option<ByteRange>, stat: &Stat) -> (u64, u64) {
    let end =
        range.and_then(|range| range.last).map_or(stat.size, |last| stat.size.min(last.saturating_add(1)));
    (range.map_or(0, |range| range.first), end)
}

/// What was read, and the file as it was then.
type Piece = (Bytes, Stat);

/// Up to `most` bytes of `[start, end)` of a file and its key, of the version that `seen` tells of. Blocks.
fn piece(
    root: &Root,
    (key, file): (&str, &File),
    seen: &Stat,
    (start, end): (u64, u64),
    most: u64,
) -> Result<Piece, Failure> {
    let wanted = most.min(end.saturating_sub(start)) as usize;
    let mut read = Vec::with_capacity(wanted);
    while read.len() < wanted {
        let at = start + read.len() as u64;
        let space = rustix::buffer::spare_capacity(&mut read);
        match rustix::io::pread(file, space, at) {
            Ok(0) => return Err(Failure::Disk(DiskError::ChangedWhileRead)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(std::io::Error::from(errno).into()),
        }
    }
    // The space may be larger than was asked for.
    read.truncate(wanted);
    // A file that is written in place while it is read would come out as a mix.
    let there = || Ok(root.find(key)?.map(|found| found.stat));
    match Stat::of(&file.metadata()?) {
        Some(now) if now.has_content_of(seen, there)? => Ok((read.into(), now)),
        _ => Err(Failure::Disk(DiskError::ChangedWhileRead)),
    }
}

/// Bytes of one read: Amazon S3 Files meters each, and streams from S3 from this size on.
const PIECE: u64 = 1 << 20;
/// Bytes of the first one, which the client waits for.
const FIRST_PIECE: u64 = 256 << 10;
