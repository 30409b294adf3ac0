//! Files and folders on the shelf.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::{AppleMetadata, Shelf, ShelvedFileSystem, meta, now};
use crate::fs::declared::DeclaredBody;
use crate::fs::file_system::{Meta, OpenFile, Reading, Writing};
use crate::fs::{Failure, ResourcePath};
use crate::state::{MOST_IN_ROW, NewContent, Place, ShelfRow, millis};

/// An empty file of that name and date.
pub(super) fn empty(name: &str, modified: SystemTime) -> ShelfRow {
    ShelfRow {
        name: name.to_owned(),
        is_folder: false,
        size: 0,
        version: format!("shelf-{}", millis(modified)),
        modified: millis(modified),
        place: Place::Memory(Bytes::new()),
        absent: None,
    }
}

impl ShelvedFileSystem {
    pub(super) async fn open_shelved(&self, path: &ResourcePath) -> Result<OpenFile, Failure> {
        let row = self.find(path)?;
        if row.is_folder {
            return Err(Failure::IsFolder);
        }
        let content = match &row.place {
            Place::Memory(bytes) => Content::Here(bytes.clone()),
            Place::File(name) => {
                let file = self.shelf.state.shelf_file(name);
                let opened = tokio::task::spawn_blocking(move || File::open(file)).await?;
                Content::File(Arc::new(opened.map_err(Failure::OwnDisk)?))
            }
            Place::Row => {
                let content = self.shelf.state.shelf_content(&path.path_key()).await?;
                Content::Here(content.ok_or(Failure::NotFound)?)
            }
        };
        Ok(OpenFile::Reading(Box::new(ShelvedFile { row, content, position: 0 })))
    }

    /// Begins to write a file; `length` in bytes if the client told it.
    pub(super) async fn shelve_file(
        &self,
        path: &ResourcePath,
        length: Option<u64>,
    ) -> Result<OpenFile, Failure> {
        if self.shelf.find(path).is_some_and(|row| row.is_folder) {
            return Err(Failure::IsFolder);
        }
        self.check_parent(path)?;
        let arriving = Arriving {
            shelf: self.shelf.clone(),
            path: path.clone(),
            declared: DeclaredBody::new(&self.context, length),
            buffer: BytesMut::new(),
            file: None,
        };
        arriving.check_room(length.unwrap_or_default())?;
        Ok(OpenFile::Writing(Box::new(arriving)))
    }

    pub(super) async fn shelve_empty(&self, path: &ResourcePath) -> Result<OpenFile, Failure> {
        let mut file = self.shelve_file(path, Some(0)).await?;
        file.commit().await?;
        Ok(file)
    }

    pub(super) async fn shelve_folder(&self, path: &ResourcePath) -> Result<(), Failure> {
        if self.shelf.find(path).is_some() {
            return Err(Failure::Exists);
        }
        self.check_parent(path)?;
        let row = ShelfRow { is_folder: true, place: Place::Row, ..new_row(path.name(), 0) };
        Ok(self.shelf.state.shelve(&path.path_key(), row, None).await?)
    }
}

fn new_row(name: &str, size: u64) -> ShelfRow {
    ShelfRow {
        name: name.to_owned(),
        is_folder: false,
        size,
        version: Uuid::new_v4().simple().to_string(),
        modified: now(),
        place: Place::Row,
        absent: None,
    }
}

/// A file on the shelf being read.
struct ShelvedFile {
    row: ShelfRow,
    content: Content,
    position: u64,
}

enum Content {
    Here(Bytes),
    File(Arc<File>),
}

#[async_trait]
impl Reading for ShelvedFile {
    fn meta(&self) -> Meta {
        meta(&self.row)
    }

    async fn read(&mut self, most: usize) -> Result<Bytes, Failure> {
        let left = self.row.size.saturating_sub(self.position);
        let (start, count) = (self.position, left.min(most as u64) as usize);
        let bytes = match &self.content {
            Content::Here(bytes) => {
                let start = (start as usize).min(bytes.len());
                bytes.slice(start..bytes.len().min(start + count))
            }
            Content::File(file) => {
                let file = Arc::clone(file);
                let read = move || {
                    let mut bytes = vec![0; count];
                    file.read_exact_at(&mut bytes, start)?;
                    Ok::<_, std::io::Error>(Bytes::from(bytes))
                };
                tokio::task::spawn_blocking(read).await?.map_err(Failure::OwnDisk)?
            }
        };
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    fn seek(&mut self, start: u64) {
        self.position = start;
    }
}

/// A file on its way to the shelf.
struct Arriving {
    shelf: Shelf,
    path: ResourcePath,
    declared: DeclaredBody,
    /// What is not in the file: everything, as long as it is little.
    buffer: BytesMut,
    file: Option<Part>,
}

/// A file that no row names yet; gone when it is dropped.
struct Part {
    shelf: Shelf,
    name: Option<String>,
    file: Arc<File>,
}

impl Arriving {
    /// Refuses what there is no room for.
    fn check_room(&self, size: u64) -> Result<(), Failure> {
        let Shelf { options, state, .. } = &self.shelf;
        let (shelf, at) = (state.shelf(), self.path.path_key());
        let old = shelf.get(&at).map_or(0, |row| row.size);
        let bytes = shelf.bytes().saturating_sub(old).saturating_add(size);
        let is_full = bytes > options.limit || shelf.len() >= MOST_ROWS;
        if is_full { Err(Failure::ShelfFull { limit: options.limit }) } else { Ok(()) }
    }

    /// Writes what has come into a file.
    async fn spill(&mut self) -> Result<(), Failure> {
        self.check_room(self.declared.taken())?;
        let (state, shelf) = (self.shelf.state.clone(), self.shelf.clone());
        let part = match self.file.take() {
            Some(part) => part,
            None => {
                let made = tokio::task::spawn_blocking(move || state.new_shelf_file()).await?;
                let (name, file) = made.map_err(Failure::OwnDisk)?;
                Part { shelf, name: Some(name), file: Arc::new(file) }
            }
        };
        let (file, bytes) = (Arc::clone(&part.file), self.buffer.split().freeze());
        self.file = Some(part);
        let written = tokio::task::spawn_blocking(move || (&*file).write_all(&bytes)).await?;
        written.map_err(Failure::OwnDisk)
    }
}

#[async_trait]
impl Writing for Arriving {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.declared.take(&bytes)?;
        self.buffer.extend_from_slice(&bytes);
        if self.buffer.len() > MOST_IN_ROW { self.spill().await } else { Ok(()) }
    }

    async fn commit(mut self: Box<Self>) -> Result<Meta, Failure> {
        let size = self.declared.end()?;
        self.check_room(size)?;
        if self.file.is_some() {
            self.spill().await?;
        }
        let (row, path, state) = (new_row(self.path.name(), size), self.path.path_key(), &self.shelf.state);
        let is_passing = self.shelf.options.metadata == AppleMetadata::Discard;
        let content = match &mut self.file {
            Some(part) => {
                let file = Arc::clone(&part.file);
                let synced = tokio::task::spawn_blocking(move || file.sync_all()).await?;
                synced.map_err(Failure::OwnDisk)?;
                NewContent::File(part.name.take().unwrap_or_default())
            }
            None if is_passing => NewContent::Passing(self.buffer.split().freeze()),
            None => NewContent::Small(self.buffer.split().freeze()),
        };
        let (state, stored) = (state.clone(), row.clone());
        self.shelf
            .shutdown
            .complete(async move { state.shelve(&path, stored, Some(content)).await })
            .await??;
        Ok(meta(&row))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        let file = self.shelf.state.shelf_file(&name);
        self.shelf.shutdown.background(async move {
            // One that stays is removed at the next start.
            let _ = tokio::task::spawn_blocking(move || std::fs::remove_file(file)).await;
        });
    }
}

/// 200 bytes of memory each.
const MOST_ROWS: usize = 500_000;
