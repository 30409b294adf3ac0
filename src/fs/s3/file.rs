//! Opening files, and what is known of those that are written.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use super::metadata::{KEPT_MTIME, Located, Node, folder_prefix};
use super::tree_locks::{Entered, Use};
use super::upload::{Placed, Target, Upload};
use super::{Failure, ResourcePath, S3FileSystem};
use crate::fs::file_system::{Meta, OpenFile, OpenMode, Writing};
use crate::fs::guessed_type;
use crate::fs::new_names::Spot;
use crate::object::{Attributes, ObjectMeta, Written};

impl S3FileSystem {
    /// See [`FileSystem::open`](crate::fs::FileSystem::open).
    pub(super) async fn open_file(&self, path: ResourcePath, mode: OpenMode) -> Result<OpenFile, Failure> {
        match mode {
            OpenMode::Read => self.open_to_read(&path).await,
            OpenMode::Write { size, create_new } => {
                let target = self.enter_target(&path).await?;
                let attributes = self.attributes(path.name());
                let upload = self.begin_upload(target, attributes, create_new, size)?;
                Ok(OpenFile::Writing(Box::new(Sending { fs: self.clone(), upload })))
            }
            OpenMode::CreateEmpty if path.has_trailing_slash() => {
                Err(Failure::Conflict("there is no such folder; make it with MKCOL".to_owned()))
            }
            OpenMode::CreateEmpty => {
                let (target, entered) = self.enter_target(&path).await?;
                Ok(OpenFile::Written(meta_of(self.create_empty(target, entered).await?)))
            }
        }
    }

    async fn enter_target(&self, path: &ResourcePath) -> Result<(Target, Entered), Failure> {
        let entered = self.enter(&[(path, Use::Inside)])?;
        Ok((self.write_target(path).await?, entered))
    }

    /// Where a new or replaced object goes.
    pub(super) async fn write_target(&self, path: &ResourcePath) -> Result<Target, Failure> {
        if path.is_reserved() {
            return Err(Failure::Forbidden(format!(
                "/{} is reserved for the gateway",
                crate::fs::resource_path::RESERVED
            )));
        }
        if self.is_protected(path) {
            return Err(Failure::Forbidden(
                "only buckets are shown here, and they cannot be created".to_owned(),
            ));
        }
        match self.find_or_begin(path).await? {
            Spot::Taken(Located { node: Node::Folder { .. }, .. }) => Err(Failure::IsFolder),
            Spot::Taken(Located { node: Node::File(meta), key }) => {
                self.context.refuse_to_empty(meta.size)?;
                let replaces = Some((meta.etag, meta.last_modified, meta.size));
                Ok(Target { key, replaces, new_name: None })
            }
            Spot::New { key, name } => Ok(Target { key, replaces: None, new_name: Some(name) }),
        }
    }

    /// What is at `path`, or the name under which something can be made there.
    pub(super) async fn find_or_begin(&self, path: &ResourcePath) -> Result<Spot<Located>, Failure> {
        if let Some(found) = self.locate(path).await? {
            return Ok(Spot::Taken(found));
        }
        let again = async {
            self.located.lock().remove(path);
            self.locate(path).await
        };
        let prefix = async { Ok(folder_prefix(&self.parent_of(path).await?.key)) };
        self.maker.spot(path, &self.context.client, again, prefix).await
    }

    /// An empty object, unless somebody else was first; says what is there then.
    async fn create_empty(&self, target: Target, entered: Entered) -> Result<Placed, Failure> {
        let name = target.key.rsplit('/').next().unwrap_or_default();
        let attributes = self.attributes(name);
        let mut upload = self.begin_upload((target, entered), attributes, false, Some(0))?;
        self.commit(&mut upload).await
    }

    /// What is stored beside the content.
    fn attributes(&self, name: &str) -> Attributes {
        let sent = self.context.content_type.clone();
        // curl's default says nothing about the file.
        let sent = sent.filter(|t| !t.starts_with("application/x-www-form-urlencoded"));
        let mut attributes =
            Attributes { content_type: sent.or_else(|| guessed_type(name)), ..Attributes::default() };
        if let Some(mtime) = &self.context.mtime {
            attributes.user.insert(KEPT_MTIME.to_owned(), mtime.clone());
        }
        attributes
    }
}

/// An object being written.
struct Sending {
    fs: S3FileSystem,
    upload: Upload,
}

#[async_trait]
impl Writing for Sending {
    fn meta(&self) -> Meta {
        Meta { is_folder: false, size: 0, etag: None, modified: SystemTime::now() }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.upload.write(bytes).await
    }

    async fn commit(&mut self) -> Result<Meta, Failure> {
        Ok(meta_of(self.fs.commit(&mut self.upload).await?))
    }
}

fn meta_of(placed: Placed) -> Meta {
    match placed {
        Placed::There { size, written: Written { etag, last_modified: modified } } => {
            Meta { is_folder: false, size, etag: Some(etag), modified }
        }
        // The object's own ETag is not that of what the client sent.
        Placed::Beside { size } => Meta { is_folder: false, size, etag: None, modified: SystemTime::now() },
        Placed::Existing(ObjectMeta { size, etag, last_modified: modified, .. }) => {
            Meta { is_folder: false, size, etag: Some(etag), modified }
        }
    }
}
