//! What is being written and not yet in its place: a hidden name in the same folder, so that putting
//! it in its place is one rename.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::removal::remove_all;
use super::root::{DirEntry, leads_nowhere};
use super::{Shared, names};
use crate::fs::error::log_failure;
use crate::state::{read_private, write_private};

/// Names for parts. They tell this gateway's from others', and this life's from the last one's.
#[derive(Debug)]
pub(super) struct Parts {
    /// Of all lives of this gateway.
    source: String,
    run: String,
    number: AtomicU64,
}

impl Parts {
    /// For the gateway that holds `state_dir`, as only one does at a time. Blocks.
    pub(super) fn of(state_dir: &Path) -> io::Result<Self> {
        let file = state_dir.join("parts-id");
        let id = match read_private(&file) {
            Ok(id) if id.len() == ID_LENGTH => id,
            _ => {
                let id = random();
                write_private(&file, &id)?;
                id
            }
        };
        let source = format!("{id}-");
        let run = format!("{source}{}", random());
        Ok(Self { source, run, number: AtomicU64::new(0) })
    }

    /// A place that nothing has, in the folder of another.
    pub(super) fn place_beside(&self, place: &DirEntry) -> DirEntry {
        place.beside(names::part_name(&self.run, self.number.fetch_add(1, Ordering::Relaxed)))
    }

    /// Whether a killed gateway left this: it is nobody's now.
    pub(super) fn is_orphan(&self, name: &str) -> bool {
        names::is_orphan(name, &self.source, &self.run)
    }
}

fn random() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..ID_LENGTH].to_owned()
}

const ID_LENGTH: usize = 12;

/// A part; gone when it is dropped before it was placed.
#[derive(Debug)]
pub(super) struct Part {
    shared: Arc<Shared>,
    /// `None` when it has been placed.
    place: Option<DirEntry>,
}

impl Part {
    /// A part in the folder of `target`, which `make` makes. Blocks.
    pub(super) fn new<T>(
        shared: &Arc<Shared>,
        target: &DirEntry,
        make: impl FnOnce(&DirEntry) -> io::Result<T>,
    ) -> io::Result<(Self, T)> {
        let place = shared.parts.place_beside(target);
        let made = make(&place)?;
        Ok((Self { shared: Arc::clone(shared), place: Some(place) }, made))
    }

    pub(super) fn place(&self) -> io::Result<&DirEntry> {
        self.place.as_ref().ok_or_else(|| io::Error::other("the part has been placed"))
    }

    /// It is in its place, or somebody else sees to it.
    pub(super) fn done(mut self) {
        self.place = None;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let shared = Arc::clone(&self.shared);
        self.shared.shutdown.background(async move {
            let removed = shared.disk.run(move || Ok(remove_part(&place)?)).await;
            log_failure(removed);
        });
    }
}

/// Removes a file or a tree that is hidden, or replaced. Blocks.
pub(super) fn remove_part(place: &DirEntry) -> io::Result<()> {
    match place.folder.symlink_metadata(&place.name) {
        Ok(meta) if meta.is_dir() => remove_all(place),
        Ok(_) => place.remove_file(),
        Err(error) if leads_nowhere(&error) => Ok(()),
        Err(error) => Err(error),
    }
}
