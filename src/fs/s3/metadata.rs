//! Finding what is at a path, and saying it to the engine.

use std::time::SystemTime;

use futures_util::future::{join, join_all};

use super::{Resource, ResourcePath, S3FileSystem};
use crate::fs::file_system::Meta;
use crate::fs::names::other_spellings;
use crate::fs::{Failure, guessed_type};
use crate::object::{Key, ObjectMeta};
use crate::store::{ListRequest, ObjectStore};

/// Something that exists.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Located {
    /// As it is stored, which may be another spelling than the path's. No slash at the end; empty
    /// for the root.
    pub(super) key: String,
    pub(super) node: Node,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    File(ObjectMeta),
    Folder {
        /// An object has the folder's name and cannot be seen.
        covers_object: bool,
    },
}

impl Located {
    pub(super) fn is_folder(&self) -> bool {
        matches!(self.node, Node::Folder { .. })
    }

    /// Whether it is a folder that hides an object of the same name.
    pub(super) fn covers_object(&self) -> bool {
        matches!(self.node, Node::Folder { covers_object: true })
    }

    /// The prefix of a folder's children.
    pub(super) fn prefix(&self) -> String {
        folder_prefix(&self.key)
    }

    /// The resource's name in the state database.
    pub(super) fn id(&self) -> String {
        if self.is_folder() { self.prefix() } else { self.key.clone() }
    }
}

/// `a` -> `a/`; the root's prefix is empty.
pub(super) fn folder_prefix(key: &str) -> String {
    match key {
        "" => String::new(),
        key => format!("{key}/"),
    }
}

impl S3FileSystem {
    /// What is at `path`; `None` if nothing is. Asked once per request.
    pub(super) async fn locate(&self, path: &ResourcePath) -> Result<Option<Located>, Failure> {
        if path.is_root() {
            let node = Node::Folder { covers_object: false };
            return Ok(Some(Located { key: String::new(), node }));
        }
        if let Some(known) = self.located.lock().get(path) {
            return Ok(known.clone());
        }
        let found = self.search(path).await?;
        self.context.outcome.note_existence(path, found.is_some());
        self.located.lock().insert(path.clone(), found.clone());
        Ok(found)
    }

    /// Asks for all spellings at once; the exact one goes first.
    async fn search(&self, path: &ResourcePath) -> Result<Option<Located>, Failure> {
        if path.is_reserved() {
            return Ok(None);
        }
        if self.is_protected(path) {
            return self.locate_bucket(path).await;
        }
        if let Some(key) = self.known_spelling(path)
            && let Some(located) = self.locate_key(key).await?
        {
            return Ok(Some(located));
        }
        let spellings = other_spellings(path);
        let asked = std::iter::once(path).chain(&spellings).map(|spelling| self.locate_key(spelling.key()));
        for found in join_all(asked).await {
            if let Some(located) = found? {
                return Ok(Some(located));
            }
        }
        match self.stored_spelling(path).await? {
            Some(key) if key != path.key() && spellings.iter().all(|asked| asked.key() != key) => {
                self.locate_key(key).await
            }
            _ => Ok(None),
        }
    }

    /// The folder of one of several buckets: known without asking S3.
    async fn locate_bucket(&self, path: &ResourcePath) -> Result<Option<Located>, Failure> {
        let prefix = folder_prefix(&path.key());
        let folders = self.store.list(&ListRequest::children("")).await?.prefixes;
        let node = Node::Folder { covers_object: false };
        Ok(folders.contains(&prefix).then(|| Located { key: path.key(), node }))
    }

    /// A file, or a folder by anything below it, in one round trip. A folder covers a file.
    async fn locate_key(&self, text: String) -> Result<Option<Located>, Failure> {
        let Ok(key) = Key::new(&text) else { return Ok(None) };
        let stat = if self.context.method == http::Method::DELETE {
            let (stat, page) = self.store.stat_tree(&key).await?;
            // Other spellings of the name are asked for at once, and have no tree.
            if let Some(page) = page.filter(|_| stat.is_prefix) {
                *self.tree.lock() = Some((folder_prefix(&text), page));
            }
            stat
        } else {
            self.store.stat(&key).await?
        };
        let object = match stat.object {
            Some(meta) if stat.is_prefix => self.is_really_there(&key).await.then_some(meta),
            object => object,
        };
        Ok(match (stat.is_prefix, object) {
            (true, object) => {
                Some(Located { key: text, node: Node::Folder { covers_object: object.is_some() } })
            }
            (false, Some(meta)) => Some(Located { key: text, node: Node::File(meta) }),
            (false, None) => None,
        })
    }

    /// Whether a folder covers an object that was found: some servers find one by the name of any folder. Where
    /// it matters, a listing tells, in which the object's own key would be the first.
    async fn is_really_there(&self, key: &Key) -> bool {
        if !matches!(self.context.method.as_str(), "COPY" | "DELETE" | "MOVE") {
            return true;
        }
        match self.store.list(&ListRequest::probe(key.as_str())).await {
            Ok(page) => page.objects.first().is_some_and(|first| first.key == *key),
            Err(_) => true,
        }
    }

    /// The folder that holds `path`, or why nothing can be made there.
    pub(super) async fn parent_of(&self, path: &ResourcePath) -> Result<Located, Failure> {
        match self.locate(&path.parent()).await? {
            Some(parent) if parent.is_folder() => Ok(parent),
            _ => Err(Failure::ParentMissing),
        }
    }

    /// What the engine is told of a path.
    pub(super) async fn engine_metadata(&self, path: &ResourcePath) -> Result<Meta, Failure> {
        let creates = matches!(self.context.method.as_str(), "PUT" | "MKCOL");
        let located = if creates && path.same_resource(&self.context.path) {
            join(self.locate(path), self.locate(&path.parent())).await.0?
        } else {
            self.locate(path).await?
        };
        let located = located.ok_or(Failure::NotFound)?;
        self.note_basis(path, &located);
        Ok(self.meta(&located))
    }

    /// See [`crate::fs::seen_versions::SeenVersions::note`].
    pub(super) fn note_basis(&self, path: &ResourcePath, located: &Located) {
        if let Node::File(meta) = &located.node
            && path.same_resource(&self.context.path)
        {
            let seen_versions = &self.shared.seen_versions;
            seen_versions.note(&self.context, &located.key, &meta.etag, meta.size, meta.last_modified);
        }
    }

    pub(super) fn meta(&self, located: &Located) -> Meta {
        match &located.node {
            Node::File(meta) => Meta {
                is_folder: false,
                size: meta.size,
                etag: Some(meta.etag.clone()),
                modified: meta.last_modified,
            },
            Node::Folder { .. } => {
                Meta { is_folder: true, size: 0, etag: None, modified: self.folder_date(&located.prefix()) }
            }
        }
    }

    /// The date of a folder, of which only the answers of some methods tell.
    fn folder_date(&self, prefix: &str) -> SystemTime {
        let dates = &self.shared.dates;
        let tells = matches!(self.context.method.as_str(), "PROPFIND" | "GET" | "HEAD");
        if tells { dates.show(prefix) } else { dates.of(prefix) }
    }

    pub(super) fn resource(&self, located: &Located) -> Resource {
        let name = located.key.rsplit('/').next().unwrap_or_default().to_owned();
        match &located.node {
            Node::File(meta) => self.file_resource(name, located.key.clone(), meta),
            Node::Folder { .. } => self.folder_resource(name, located.prefix()),
        }
    }

    pub(super) fn file_resource(&self, name: String, key: String, meta: &ObjectMeta) -> Resource {
        Resource {
            content_type: meta.content_type.clone().or_else(|| guessed_type(&name)),
            name,
            id: key,
            is_folder: false,
            size: meta.size,
            modified: meta.last_modified,
            is_date_stored: true,
            etag: Some(meta.etag.clone()),
            kept_mtime: meta.user.get(KEPT_MTIME).cloned(),
            export: None,
        }
    }

    pub(super) fn folder_resource(&self, name: String, prefix: String) -> Resource {
        Resource {
            name,
            is_folder: true,
            size: 0,
            modified: self.folder_date(&prefix),
            is_date_stored: false,
            etag: None,
            content_type: None,
            kept_mtime: None,
            export: None,
            id: prefix,
        }
    }
}

/// The user metadata in which a client's modification time is kept; rclone's name for it.
pub(super) const KEPT_MTIME: &str = "mtime";
