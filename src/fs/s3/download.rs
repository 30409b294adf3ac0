//! GET as its own stat: the first request for a file's content also tells that it is a file.

use super::metadata::{Located, Node};
use super::{Failure, ResourcePath, S3FileSystem};
use crate::object::Key;
use crate::store::read_ahead::ReadAheads;
use crate::store::{Content, GetObject, ObjectStore, StoreError};

impl S3FileSystem {
    /// Asks for the content of the GET under way and keeps it for reading. `None` where that would
    /// not do: a folder's path, another spelling, or a condition that may make the content needless.
    pub(super) async fn locate_by_reading(&self, path: &ResourcePath) -> Result<Option<Located>, Failure> {
        let context = &self.context;
        let is_target = context.method == http::Method::GET && path.same_resource(&context.path);
        let cannot_be_file = path.has_trailing_slash() || path.is_reserved() || self.is_protected(path);
        if !is_target || cannot_be_file || context.is_conditional {
            return Ok(None);
        }
        let key = Key::new(path.key())?;
        let range = ReadAheads::first_range(context.range);
        let whole = GetObject::whole(&key);
        let content = match self.store.get(GetObject { range: Some(range), ..whole }).await {
            // An empty object has no first byte.
            Err(StoreError::RangeNotSatisfiable) if context.range.is_none() => self.store.get(whole).await,
            content => content,
        };
        let content = match content {
            Ok(content) => content,
            // What is not there may be denied, too, and so may what is a folder.
            Err(StoreError::NotFound | StoreError::RangeNotSatisfiable | StoreError::AccessDenied(_)) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let located = Located { key: path.key(), node: Node::File(content.meta.clone()) };
        self.located.lock().insert(path.clone(), Some(located.clone()));
        *self.begun.lock() = Some(content);
        Ok(Some(located))
    }

    /// The content that was asked for already; whoever takes it sees whether it fits.
    pub(super) fn begun(&self) -> Option<Content> {
        self.begun.lock().take()
    }
}
