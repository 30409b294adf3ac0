//! The directory as PROPFIND sees it.

use async_trait::async_trait;

use super::{Located, PathFileSystem, path_name};
use crate::fs::file_system::FileSystem;
use crate::fs::{Children, ExportStatus, Failure, Resource, ResourcePath, View, guessed_type};
use crate::state::{PropertyChange, StoredProperty};

#[async_trait]
impl View for PathFileSystem {
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

    async fn patch_properties(
        &self,
        path: &ResourcePath,
        changes: Vec<PropertyChange>,
    ) -> Result<(), Failure> {
        self.change_properties(path, changes).await
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
