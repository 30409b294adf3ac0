//! What can be done to files and folders in one request, whatever is served and whatever protocol asks.
//!
//! Folders are handled whole: a tree is copied, moved or deleted in one call, never walked from above.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Children, ExportStatus, Failure, Resource, ResourcePath};
use crate::object::ETag;
use crate::spool::IntakeError;
use crate::state::{PropertyChange, StoredProperty};

/// What can be done to files and folders, in one request.
#[async_trait]
pub trait FileSystem: Send + Sync + 'static {
    /// What is at `path`, which the request is about to act on or to read.
    async fn metadata(&self, path: &ResourcePath) -> Result<Meta, Failure>;

    /// Opens a file, or makes it. One that the request surely reads is asked for its content at once, which also tells
    /// what it is.
    async fn open(&self, path: ResourcePath, mode: OpenMode) -> Result<OpenFile, Failure>;

    /// MKCOL.
    async fn make_folder(&self, path: &ResourcePath) -> Result<(), Failure>;

    /// COPY of the request's folder with `Depth: 0`: the folder and its properties, no children.
    async fn copy_folder_alone(&self, to: &ResourcePath) -> Result<(), Failure>;

    /// DELETE of a file, or of a folder with everything in it.
    async fn delete(&self, path: &ResourcePath) -> Result<(), Failure>;

    /// COPY or MOVE of a file, or of a folder with everything in it; what is at the destination is
    /// replaced.
    async fn transfer(&self, from: ResourcePath, to: ResourcePath, kind: Transfer) -> Result<(), Failure>;

    /// Changes dead properties of what is at `path`, all or none.
    async fn change_properties(
        &self,
        path: &ResourcePath,
        changes: Vec<PropertyChange>,
    ) -> Result<(), Failure>;

    /// What is at `path`, as a listing shows it.
    async fn stat(&self, path: &ResourcePath) -> Result<Resource, Failure>;

    /// What is at `path`, and its children if it is a folder. The first page has been fetched when
    /// this returns; an error later means that the listing is not complete.
    async fn list(&self, path: &ResourcePath) -> Result<(Resource, Children), Failure>;

    /// The dead properties of a resource.
    async fn properties(&self, id: &str) -> Result<Vec<StoredProperty>, Failure>;

    /// How far `resource` is on its way into a bucket, where that is another's work; `None` where nobody tells.
    async fn export(&self, resource: &Resource) -> Result<Option<ExportStatus>, Failure>;
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// GET, HEAD.
    Read,
    /// PUT: a whole file, new or in the place of another.
    Write {
        /// Bytes, if the client told it.
        size: Option<u64>,
        /// Nothing may be there.
        create_new: bool,
    },
    /// LOCK of nothing: the file is made, and stays empty for now.
    CreateEmpty,
}

/// Whether the source stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    Copy,
    Move,
}

/// A file being read, or being written as a whole.
pub enum OpenFile {
    Reading(Box<dyn Reading>),
    Writing(Box<dyn Writing>),
    /// It is in its place.
    Written(Meta),
    /// It was being written, and nothing of it is left.
    Failed,
}

/// One version of a file being read.
#[async_trait]
pub trait Reading: Send {
    fn meta(&self) -> Meta;

    /// Up to `most` bytes, at least one where the range that was asked for goes on.
    async fn read(&mut self, most: usize) -> Result<Bytes, Failure>;

    /// Goes on reading at `start`, in bytes.
    fn seek(&mut self, start: u64);
}

/// A file on its way. Dropping it undoes everything.
#[async_trait]
pub trait Writing: Send {
    /// Takes the next bytes of it. What has failed is dropped.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Failure>;

    /// Puts what was written in its place. Once begun it goes on without the client.
    async fn commit(self: Box<Self>) -> Result<Meta, Failure>;
}

impl OpenFile {
    /// Of what is in its place.
    pub fn meta(&self) -> Option<Meta> {
        match self {
            Self::Reading(file) => Some(file.meta()),
            Self::Written(meta) => Some(meta.clone()),
            Self::Writing(_) | Self::Failed => None,
        }
    }

    /// See [`Reading::read`].
    pub async fn read(&mut self, most: usize) -> Result<Bytes, Failure> {
        match self {
            Self::Reading(file) => file.read(most).await,
            _ => Err(Failure::BadRequest("the file is not open for reading".to_owned())),
        }
    }

    /// See [`Writing::write`]. After an error nothing more is taken.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        match self {
            Self::Writing(file) => {
                let written = file.write(bytes).await;
                if written.is_err() {
                    *self = Self::Failed;
                }
                written
            }
            Self::Failed => Err(IntakeError::Ended.into()),
            _ => Err(Failure::BadRequest("the file is not open for writing".to_owned())),
        }
    }

    /// See [`Writing::commit`].
    pub async fn commit(&mut self) -> Result<Meta, Failure> {
        let meta = match std::mem::replace(self, Self::Failed) {
            Self::Writing(file) => file.commit().await?,
            Self::Written(meta) => meta,
            Self::Failed => return Err(IntakeError::Ended.into()),
            Self::Reading(_) => {
                return Err(Failure::BadRequest("the file is not open for writing".to_owned()));
            }
        };
        *self = Self::Written(meta.clone());
        Ok(meta)
    }
}

/// What is known of a file or folder without opening it.
#[derive(Debug, Clone)]
pub struct Meta {
    pub is_folder: bool,
    /// Bytes; 0 for folders.
    pub size: u64,
    pub etag: Option<ETag>,
    pub modified: SystemTime,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Takes so many writes.
    struct Takes {
        left: usize,
        _held: Arc<()>,
    }

    #[async_trait]
    impl Writing for Takes {
        async fn write(&mut self, _: Bytes) -> Result<(), Failure> {
            self.left = self.left.checked_sub(1).ok_or(Failure::NoRoom)?;
            Ok(())
        }

        async fn commit(self: Box<Self>) -> Result<Meta, Failure> {
            let meta = Meta { is_folder: false, size: 7, etag: None, modified: SystemTime::UNIX_EPOCH };
            if self.left == 0 { Ok(meta) } else { Err(Failure::NoRoom) }
        }
    }

    fn has_ended<T>(result: Result<T, Failure>) -> bool {
        matches!(result, Err(Failure::Intake(IntakeError::Ended)))
    }

    #[tokio::test]
    async fn what_fails_is_dropped_and_takes_nothing_more() {
        let held = Arc::new(());
        for fails_late in [false, true] {
            let takes = Takes { left: 1 + usize::from(fails_late), _held: Arc::clone(&held) };
            let mut file = OpenFile::Writing(Box::new(takes));
            file.write(Bytes::new()).await.unwrap();
            assert!(file.meta().is_none() && Arc::strong_count(&held) == 2);
            let failed =
                if fails_late { file.commit().await.map(drop) } else { file.write(Bytes::new()).await };
            assert!(matches!(failed, Err(Failure::NoRoom)));
            assert_eq!(Arc::strong_count(&held), 1);
            assert!(has_ended(file.write(Bytes::new()).await) && has_ended(file.commit().await));
            assert!(file.meta().is_none());
        }
    }

    #[tokio::test]
    async fn what_is_in_its_place_stays_there() {
        let mut file = OpenFile::Writing(Box::new(Takes { left: 0, _held: Arc::default() }));
        for _ in 0..2 {
            assert_eq!(file.commit().await.unwrap().size, 7);
            assert_eq!(file.meta().unwrap().size, 7);
            assert!(matches!(file.write(Bytes::new()).await, Err(Failure::BadRequest(_))));
        }
    }
}
