//! Making folders, deleting files and trees.

use std::sync::Arc;

use super::hidden::{hidden_keys, possible_markers, refusal};
use super::markers;
use super::metadata::{Located, Node};
use super::silence::{Silence, writer};
use super::upload::Target;
use super::{Failure, ResourcePath, S3FileSystem, Shared};
use crate::fs::Client;
use crate::fs::context::Depth;
use crate::fs::error::log_failure;
use crate::fs::following::Following;
use crate::object::{Attributes, Condition, DeleteTarget, ETag, Key, parent_prefix};
use crate::store::journal::NewFile;
use crate::store::namespace::Namespace;
use crate::store::tree::{self, Leaf};
use crate::store::{ListPage, ObjectStore, Payload, PutObject, StoreError};
use crate::sync::Use;

impl S3FileSystem {
    /// MKCOL: a marker, the zero-byte object `folder/`.
    pub(super) async fn put_folder(&self, path: &ResourcePath) -> Result<(), Failure> {
        let entered = self.enter(&[(path, Use::Folder)])?;
        if self.locate(path).await?.is_some() {
            return Err(Failure::Exists);
        }
        let Target { key, new_name, .. } = self.write_target(path).await?;
        let (store, shared) = (self.patient_store(), Arc::clone(&self.shared));
        let folder = Located { key: key.clone(), node: Node::Folder { covers_object: false } };
        let may_accept = self.may_accept().then(|| self.context.client.clone());
        let made = self.detached(async move {
            let (prefix, _name) = (format!("{key}/"), new_name);
            let made = match may_accept {
                Some(client) => put_or_accept_marker(&store, &shared, &client, &prefix).await,
                None => put_marker(&store, &prefix).await,
            };
            match made {
                // Made by somebody else in this moment.
                Err(Failure::Store(StoreError::ConditionFailed)) => return Err(Failure::Exists),
                made => made?,
            }
            entered.made_folder();
            shared.dates.touch_parent(&prefix);
            shared.dates.touch(&prefix);
            log_failure(shared.state.remove_properties(&prefix).await);
            Ok(())
        });
        made.await?;
        // This request may go on to put something into it.
        self.located.lock().insert(path.clone(), Some(folder));
        Ok(())
    }

    /// DELETE of a file or of a folder with everything in it.
    pub(super) async fn remove(&self, path: &ResourcePath) -> Result<(), Failure> {
        let is_folder = self.locate(path).await?.ok_or(Failure::NotFound)?.is_folder();
        self.refuse_protected(path, "deleted")?;
        if is_folder && self.context.depth == Some(Depth::Zero) {
            return Err(Failure::BadRequest("a folder is deleted with Depth: infinity".to_owned()));
        }
        let entered = self.enter(&[(path, if is_folder { Use::Tree } else { Use::File })])?;
        let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
        if located.is_folder() != is_folder {
            return Err(Failure::UnderWay);
        }
        let (store, shared) = (self.patient_store(), Arc::clone(&self.shared));
        let tree = self.tree.lock().take().filter(|(prefix, _)| *prefix == located.prefix());
        let (client, own_condition) = (self.context.client.clone(), self.context.if_match.clone());
        let may_accept = self.may_accept() && !self.context.has_own_condition && !is_folder;
        let key = Key::new(&located.key)?;
        if let Node::File(now) = &located.node
            && !self.context.has_own_condition
            && self.shared.seen_versions.must_be_told(&self.context, &located.key, (&now.etag, now.size))
        {
            return Err(Failure::Changed);
        }
        let remove = async move {
            let _entered = entered;
            let following = Following::of_properties(&shared.state, &located.id(), None).await;
            let removing = Removing { store: &store, shared: &shared, client: &client, located: &located };
            let removed = if may_accept {
                removing.run_or_accept().await
            } else {
                removing.run(own_condition, tree).await.map(|()| Made::InStore)
            };
            let made = match removed {
                Ok(made) => made,
                Err(failure) => {
                    if let Some(following) = following {
                        following.failed(&failure, &shared.looking(), &shared.shutdown).await;
                    }
                    return Err(failure);
                }
            };
            log_failure(shared.state.remove_properties(&located.id()).await);
            following.into_iter().for_each(Following::end);
            if made == Made::InStore {
                log_failure(keep_parent(&store, &shared, &located.key).await);
            } else {
                shared.dates.touch_parent(&located.key);
            }
            Ok(())
        };
        if may_accept { self.detached(remove).await } else { self.unless_silent(&key, false, remove).await }
    }

    /// A bucket is never emptied by a slip.
    pub(super) fn refuse_protected(&self, path: &ResourcePath, what: &str) -> Result<(), Failure> {
        if self.is_protected(path) {
            Err(Failure::Forbidden(format!("a whole bucket cannot be {what}")))
        } else {
            Ok(())
        }
    }
}

/// A DELETE that nothing interrupts.
struct Removing<'a> {
    store: &'a Namespace,
    shared: &'a Arc<Shared>,
    client: &'a Client,
    located: &'a Located,
}

/// Where a change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    InStore,
    /// On this machine, and in the store later.
    Accepted,
}

impl Removing<'_> {
    /// Deletes a file, or accepts that it is deleted where S3 takes nothing.
    async fn run_or_accept(&self) -> Result<Made, Failure> {
        let Node::File(meta) = &self.located.node else { return Err(Failure::IsFolder) };
        let key = Key::new(&self.located.key)?;
        if let Some(removed) = Silence::begin(self.shared, &key).or_none(self.run(None, None)).await {
            return removed.map(|()| Made::InStore);
        }
        let journal = self.shared.store.journal();
        let accepted = journal.accept_deletion(&key, &meta.etag, &writer(self.client)).await;
        match accepted.map_err(Failure::from) {
            Err(failure) if self.shared.is_for_store(&key, &failure) => {
                return self.run(None, None).await.map(|()| Made::InStore);
            }
            accepted => accepted?,
        }
        self.shared.note_accepted(&key, "a deletion");
        self.shared.seen_versions.forget(self.client, &self.located.key);
        Ok(Made::Accepted)
    }

    /// `tree` is the first page of the folder, with its prefix, if it is known.
    async fn run(
        &self,
        own_condition: Option<ETag>,
        tree: Option<(String, ListPage)>,
    ) -> Result<(), Failure> {
        let Self { store, shared, client, located } = self;
        let Node::File(meta) = &located.node else {
            // What is on no list, since it is to be deleted or moved away, would have the folder kept.
            let tree = tree.filter(|_| !shared.store.journal().has_below(&located.prefix()));
            store.settle_below(&located.prefix()).await?;
            let leaves = match tree {
                Some((prefix, first)) => tree::list_from(&store.objects(), &prefix, first).await?,
                None => tree::list(&store.objects(), &located.prefix()).await?,
            };
            return delete_objects(store, &deletable(store, leaves, shared, located).await?).await;
        };
        let etag = own_condition.as_ref().unwrap_or(&meta.etag).clone();
        let key = Key::new(&located.key)?;
        match store.delete(&key, &Condition::IfMatch(etag)).await {
            // It is gone, as was wanted.
            Err(StoreError::NotFound) if own_condition.is_none() => {}
            Err(StoreError::ConditionFailed) if own_condition.is_none() => {
                return Err(Failure::Changed);
            }
            deleted => deleted?,
        }
        shared.seen_versions.forget(client, &located.key);
        Ok(())
    }
}

/// The objects that make a folder, `leaves` and what lies beside it for it, if it may be deleted or
/// replaced: not while it holds what whoever asked could not see.
pub(super) async fn deletable(
    store: &Namespace,
    leaves: Vec<Leaf>,
    shared: &Shared,
    folder: &Located,
) -> Result<Vec<DeleteTarget>, Failure> {
    let beside = markers::beside(store, folder).await?;
    let covers_other = folder.covers_object() && beside.iter().all(|leaf| leaf.key.as_str() != folder.key);
    if !shared.options.delete_hidden {
        let markers = markers::among(store, possible_markers(&leaves)).await?;
        let mut hidden = hidden_keys(&leaves);
        hidden.retain(|key| !markers.contains(*key));
        if covers_other {
            hidden.push(&folder.key);
        }
        if !hidden.is_empty() {
            return Err(Failure::Conflict(refusal(&hidden)));
        }
    }
    let mut objects: Vec<DeleteTarget> = leaves.iter().chain(&beside).map(Leaf::delete_target).collect();
    if covers_other {
        objects.push(Key::new(&folder.key)?.into());
    }
    Ok(objects)
}

pub(super) async fn delete_objects(store: &Namespace, objects: &[DeleteTarget]) -> Result<(), Failure> {
    Ok(tree::delete(&store.objects(), objects).await?)
}

/// After `key` (a file's, or a folder's without its slash) is gone: the folder that held it stays,
/// by a marker if nothing else keeps it.
pub(super) async fn keep_parent(store: &Namespace, shared: &Shared, key: &str) -> Result<(), Failure> {
    let parent = parent_prefix(key);
    shared.dates.touch(parent);
    let is_bucket = shared.options.bucket_folders && parent.matches('/').count() == 1;
    if parent.is_empty() || is_bucket {
        return Ok(());
    }
    if store.is_prefix(parent).await? {
        return Ok(());
    }
    match put_marker(store, parent).await {
        Err(Failure::Store(StoreError::ConditionFailed)) => Ok(()),
        made => made,
    }
}

/// Writes a folder's marker, or accepts it where S3 takes nothing.
async fn put_or_accept_marker(
    store: &Namespace,
    shared: &Arc<Shared>,
    client: &Client,
    prefix: &str,
) -> Result<(), Failure> {
    let (key, attributes) = (Key::new(prefix)?, marker_attributes());
    if let Some(made) = Silence::begin(shared, &key).or_none(put_marker(store, prefix)).await {
        return made;
    }
    let accepted = key.clone();
    let condition = Condition::IfAbsent;
    let marker = NewFile {
        key,
        attributes,
        condition,
        body: None,
        was_sent: false,
        upload: None,
        beside: None,
        loser: None,
    };
    let made = shared.store.names().accept_file(marker, &writer(client)).await;
    match made.map_err(Failure::from) {
        Err(failure) if shared.is_for_store(&accepted, &failure) => return put_marker(store, prefix).await,
        made => drop(made?),
    }
    shared.note_accepted(&accepted, "a folder");
    Ok(())
}

fn marker_attributes() -> Attributes {
    Attributes { content_type: Some("application/x-directory".to_owned()), ..Attributes::default() }
}

/// Writes a folder's marker if there is none.
pub(super) async fn put_marker(store: &dyn ObjectStore, prefix: &str) -> Result<(), Failure> {
    let (key, attributes) = (Key::new(prefix)?, marker_attributes());
    let (body, condition) = (Payload::default(), &Condition::IfAbsent);
    store.put(PutObject { key: &key, body, attributes: &attributes, condition }).await?;
    Ok(())
}
