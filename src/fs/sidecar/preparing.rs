//! Documents that a program prepares among macOS's own files, in `.TemporaryItems`, and then moves to their
//! place: files, and folders that are shown as one document.

use std::collections::HashMap;

use futures_util::StreamExt;

use super::ShelvedFileSystem;
use crate::fs::file_system::{OpenMode, Transfer};
use crate::fs::{Failure, ResourcePath};

impl ShelvedFileSystem {
    /// Puts what is on the shelf at `from` to `to`, which is not. What fails midway stays on the shelf.
    pub(super) async fn bring_out(
        &self,
        from: ResourcePath,
        to: ResourcePath,
        kind: Transfer,
    ) -> Result<(), Failure> {
        let row = self.find(&from)?;
        let fs = self.clone();
        self.detached(async move {
            if row.is_folder {
                fs.bring_out_folder(&from, to).await?
            } else {
                fs.bring_out_file(&from, to, row.size).await?
            }
            if kind == Transfer::Move {
                fs.shelf.state.clear_shelf(vec![from.path_key()]).await?;
            }
            Ok(())
        })
        .await
    }

    async fn bring_out_file(&self, from: &ResourcePath, to: ResourcePath, size: u64) -> Result<(), Failure> {
        let mut source = self.open_shelved(from).await?;
        let mode = OpenMode::Write { size: Some(size), create_new: false };
        let mut target = self.inner.open(to, mode).await?;
        let mut left = size;
        while left > 0 {
            let bytes = source.read(PIECE).await?;
            left = left.saturating_sub(bytes.len() as u64);
            target.write(bytes).await?;
        }
        target.commit().await.map(drop)
    }

    async fn bring_out_folder(&self, from: &ResourcePath, to: ResourcePath) -> Result<(), Failure> {
        let rows = self.shelf.state.shelf().within(&from.path_key());
        // Where each folder goes; a folder comes before what is in it.
        let mut places = HashMap::new();
        let mut stay_shelved = Vec::new();
        for (path, row) in rows {
            let parent = path.parent().and_then(|parent| places.get(&parent));
            let target = match parent {
                Some(parent) => child(parent, &row.name),
                None if path == from.path_key() => to.clone(),
                // It goes with a folder that stays on the shelf.
                None => continue,
            };
            if self.is_shelved(&target) {
                stay_shelved.push((path, target.path_key()));
                continue;
            }
            if row.is_folder {
                self.make_room_for(&target).await?;
                places.insert(path, target);
            } else {
                self.bring_out_file(&ResourcePath::from(&path), target, row.size).await?;
            }
        }
        // A copy of them: the originals go with the folder.
        Ok(self.shelf.state.transfer_shelf(stay_shelved, true).await?)
    }

    /// A folder that is empty, as the client has made sure of one that it replaces.
    async fn make_room_for(&self, folder: &ResourcePath) -> Result<(), Failure> {
        match self.inner.make_folder(folder).await {
            Err(Failure::Exists) => match self.inner.list(folder).await?.1.next().await {
                None => Ok(()),
                Some(_) => Err(Failure::Conflict("the folder that it would replace is not empty".to_owned())),
            },
            made => made,
        }
    }
}

fn child(folder: &ResourcePath, name: &str) -> ResourcePath {
    let mut segments = folder.segments().to_vec();
    segments.push(name.to_owned());
    ResourcePath::default().with_segments(segments)
}

/// Bytes read at once.
const PIECE: usize = 1 << 20;
