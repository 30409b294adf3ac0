//! Opening files, and what is known of those that are written.

use super::metadata::{KEPT_MTIME, Located, Node, folder_prefix};
use super::upload::Target;
use super::{Failure, ResourcePath, S3FileSystem};
use crate::fs::file_system::{OpenFile, OpenMode, Writing};
use crate::fs::guessed_type;
use crate::fs::new_names::Spot;
use crate::object::Attributes;
use crate::sync::{Entered, Use};

impl S3FileSystem {
    /// See [`FileSystem::open`](crate::fs::FileSystem::open).
    pub(super) async fn open_file(&self, path: ResourcePath, mode: OpenMode) -> Result<OpenFile, Failure> {
        match mode {
            OpenMode::Read => self.open_to_read(&path).await,
            OpenMode::Write { size, create_new } => {
                let target = self.enter_target(&path).await?;
                let attributes = self.attributes(path.name());
                let upload = self.begin_upload(target, attributes, create_new, size).await?;
                Ok(OpenFile::Writing(Box::new(upload)))
            }
            OpenMode::CreateEmpty if path.has_trailing_slash() => {
                Err(Failure::Conflict("there is no such folder; make it with MKCOL".to_owned()))
            }
            OpenMode::CreateEmpty => {
                let (target, entered) = self.enter_target(&path).await?;
                let attributes = self.attributes(target.key.rsplit('/').next().unwrap_or_default());
                // Where somebody else is first, it is what is there then.
                let upload = self.begin_upload((target, entered), attributes, false, Some(0)).await?;
                Ok(OpenFile::Written(Box::new(upload).commit().await?))
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
