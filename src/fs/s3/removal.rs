//! Making folders, deleting files and trees.

use std::sync::Arc;

use bytes::Bytes;

use super::folder_dates::parent_prefix;
use super::hidden::{hidden_keys, refusal};
use super::metadata::{Located, Node};
use super::{Failure, ResourcePath, S3FileSystem, Shared};
use crate::fs::context::Depth;
use crate::object::{Attributes, Condition, Key};
use crate::store::tree;
use crate::store::{ObjectStore, StoreError, listing};

impl S3FileSystem {
    /// MKCOL: a marker, the zero-byte object `folder/`.
    pub(super) async fn make_folder(&self, path: &ResourcePath) -> Result<(), Failure> {
        if self.locate(path).await?.is_some() {
            return Err(Failure::Exists);
        }
        let target = self.write_target(path).await?;
        let (store, shared) = (self.patient_store(), Arc::clone(&self.shared));
        self.detached(async move {
            let prefix = format!("{}/", target.key);
            match put_marker(&*store, &prefix).await {
                // Made by somebody else in this moment.
                Err(Failure::Store(StoreError::ConditionFailed)) => return Err(Failure::Exists),
                made => made?,
            }
            shared.dates.touch_parent(&prefix);
            shared.dates.touch(&prefix);
            shared.afterwards(shared.state.remove_properties(&prefix).await);
            Ok(())
        })
        .await
    }

    /// DELETE of a file or of a folder with everything in it.
    pub(super) async fn delete(&self, path: &ResourcePath) -> Result<(), Failure> {
        let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
        self.refuse_protected(path, "deleted")?;
        if located.is_folder() && self.context.depth == Some(Depth::Zero) {
            return Err(Failure::BadRequest("a folder is deleted with Depth: infinity".to_owned()));
        }
        let (store, shared) = (self.patient_store(), Arc::clone(&self.shared));
        let condition = self.context.if_match.clone().map_or(Condition::None, Condition::IfMatch);
        self.detached(async move {
            match &located.node {
                Node::File(_) => store.delete(&Key::new(&located.key)?, &condition).await?,
                Node::Folder { .. } => delete_tree(&store, &shared, &located).await?,
            }
            shared.afterwards(shared.state.remove_properties(&located.id()).await);
            shared.afterwards(keep_parent(&store, &shared, &located.key).await);
            Ok(())
        })
        .await
    }

    /// A bucket is never emptied by a slip.
    pub(super) fn refuse_protected(&self, path: &ResourcePath, what: &str) -> Result<(), Failure> {
        match self.is_protected(path) {
            true => Err(Failure::Forbidden(format!("a whole bucket cannot be {what} here"))),
            false => Ok(()),
        }
    }
}

/// Deletes a folder's objects, unless some of them could not be seen by whoever asked.
async fn delete_tree(store: &Arc<dyn ObjectStore>, shared: &Shared, folder: &Located) -> Result<(), Failure> {
    let keys = deletable(store, shared, folder).await?;
    delete_keys(store, &keys).await
}

/// The keys that make a folder, and the one that it covers, if it may be deleted or replaced.
pub(super) async fn deletable(
    store: &Arc<dyn ObjectStore>,
    shared: &Shared,
    folder: &Located,
) -> Result<Vec<Key>, Failure> {
    let leaves = tree::list(store, &folder.prefix()).await?;
    if !shared.options.delete_hidden {
        let mut hidden = hidden_keys(&leaves);
        if folder.covers_object() {
            hidden.push(&folder.key);
        }
        if !hidden.is_empty() {
            return Err(Failure::Conflict(refusal(&hidden)));
        }
    }
    let mut keys: Vec<Key> = leaves.into_iter().map(|leaf| leaf.key).collect();
    if folder.covers_object() {
        keys.push(Key::new(&folder.key)?);
    }
    Ok(keys)
}

pub(super) async fn delete_keys(store: &Arc<dyn ObjectStore>, keys: &[Key]) -> Result<(), Failure> {
    tree::delete(store, keys).await.map_err(|failure| Failure::DeleteIncomplete {
        key: failure.key.to_string(),
        left: failure.left,
        source: failure.error,
    })
}

/// After `key` (a file's, or a folder's without its slash) is gone: the folder that held it stays,
/// by a marker if nothing else keeps it.
pub(super) async fn keep_parent(
    store: &Arc<dyn ObjectStore>,
    shared: &Shared,
    key: &str,
) -> Result<(), Failure> {
    let parent = parent_prefix(key);
    shared.dates.touch(parent);
    let is_bucket = shared.options.bucket_folders && parent.matches('/').count() == 1;
    if parent.is_empty() || is_bucket {
        return Ok(());
    }
    if listing::any(&**store, parent).await? {
        return Ok(());
    }
    match put_marker(&**store, parent).await {
        Err(Failure::Store(StoreError::ConditionFailed)) => Ok(()),
        made => made,
    }
}

/// Writes a folder's marker if there is none.
pub(super) async fn put_marker(store: &dyn ObjectStore, prefix: &str) -> Result<(), Failure> {
    let key = Key::new(prefix)?;
    let attributes =
        Attributes { content_type: Some("application/x-directory".to_owned()), ..Attributes::default() };
    store.put(&key, Bytes::new(), &attributes, &Condition::IfAbsent).await?;
    Ok(())
}
