//! The directory, as one request sees it.

use async_trait::async_trait;

use super::{Located, PathFileSystem, path_name};
use crate::fs::file_system::{FileSystem, Meta, OpenFile, OpenMode, Transfer};
use crate::fs::{Children, ExportStatus, Failure, Resource, ResourcePath, guessed_type};
use crate::state::{PropertyChange, StoredProperty};

#[async_trait]
impl FileSystem for PathFileSystem {
    async fn metadata(&self, path: &ResourcePath) -> Result<Meta, Failure> {
        let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
        if path.same_resource(&self.context.path) && !located.stat.is_folder {
            self.note_basis(&located.key, &located.stat);
        }
        Ok(located.stat.meta())
    }

    async fn open(&self, path: ResourcePath, mode: OpenMode) -> Result<OpenFile, Failure> {
        match mode {
            OpenMode::Read => self.open_to_read(&path).await,
            OpenMode::Write { size, create_new } => self.open_to_write(&path, size, create_new).await,
            OpenMode::CreateEmpty => self.create_empty(&path).await,
        }
    }

    async fn make_folder(&self, path: &ResourcePath) -> Result<(), Failure> {
        self.make_directory(path).await
    }

    async fn copy_folder_alone(&self, to: &ResourcePath) -> Result<(), Failure> {
        self.copy_directory_alone(to).await
    }

    async fn delete(&self, path: &ResourcePath) -> Result<(), Failure> {
        self.remove(path).await
    }

    async fn transfer(&self, from: ResourcePath, to: ResourcePath, kind: Transfer) -> Result<(), Failure> {
        self.place_tree(from, to, kind).await
    }

    async fn change_properties(
        &self,
        path: &ResourcePath,
        changes: Vec<PropertyChange>,
    ) -> Result<(), Failure> {
        let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
        if self.shared.is_conflict(path) {
            self.refuse_protected(path, "changed")?;
        }
        let (state, id) = (self.shared.state.clone(), located.id());
        self.detached(async move { Ok(state.change_properties(&id, changes).await?) }).await
    }

    async fn stat(&self, path: &ResourcePath) -> Result<Resource, Failure> {
        let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
        Ok(located.resource())
    }

    async fn list(&self, path: &ResourcePath) -> Result<(Resource, Children), Failure> {
        let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
        Ok((located.resource(), self.children(&located).await?))
    }

    async fn properties(&self, id: &str) -> Result<Vec<StoredProperty>, Failure> {
        Ok(self.shared.state.properties(id).await?)
    }

    async fn export(&self, resource: &Resource) -> Result<Option<ExportStatus>, Failure> {
        if !self.shared.exports.may_tell() {
            return Ok(None);
        }
        let key = resource.id.trim_end_matches('/').to_owned();
        self.disk(move |shared| Ok(shared.exports.status(&shared.root, &key)?)).await
    }
}

impl Located {
    /// As a listing shows it.
    pub(super) fn resource(&self) -> Resource {
        let (name, stat) = (path_name(self.shown.as_deref().unwrap_or(&self.key)), &self.stat);
        Resource {
            content_type: (!stat.is_folder).then(|| guessed_type(&name)).flatten(),
            name,
            id: self.id(),
            is_folder: stat.is_folder,
            size: stat.size,
            modified: stat.modified,
            is_date_stored: true,
            etag: (!stat.is_folder).then(|| stat.etag.clone()),
            kept_mtime: None,
            export: None,
        }
    }
}
