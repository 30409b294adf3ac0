//! Listings: without Finder's own files, and as the proof of what is not there any more.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use unicode_normalization::UnicodeNormalization;

use super::{Shelf, ShelvedFileSystem, now, resource};
use crate::fs::apple_files::owner_of;
use crate::fs::error::log_failure;
use crate::fs::{Children, ResourcePath};
use crate::path_key::PathKey;
use crate::state::{Absent, ShelfRow};

impl ShelvedFileSystem {
    /// What is in a folder on the shelf.
    pub(super) fn shelved_children(&self, path: &ResourcePath) -> Children {
        let (folder, shelf) = (path.path_key(), self.shelf.state.shelf());
        let rows = shelf.children(&folder).into_iter().filter(|child| child.is_row);
        let children = rows.filter_map(|child| {
            let path = folder.child(&child.name);
            let row = shelf.get(&path)?.clone();
            Some(Ok(resource(path, row)))
        });
        stream::iter(children.collect::<Vec<_>>()).boxed()
    }

    /// The folder's children for this client; what they show to be gone is noted at their end.
    pub(super) fn watched(&self, folder: &ResourcePath, children: Children) -> Children {
        let hides = self.context.client.quirks().writes_sidecars;
        let (metadata, in_root) = (self.shelf.options.metadata, folder.is_root());
        let watch = Watch::of(&self.shelf, folder);
        if !hides && watch.waiting.is_empty() {
            return children;
        }
        let ends = children.map(Some).chain(stream::iter([None]));
        let watched = ends.scan(watch, |watch, child| {
            match &child {
                Some(Ok(child)) => watch.saw(&child.name),
                Some(Err(_)) => watch.broke_off(),
                None => watch.ended(),
            }
            std::future::ready(Some(child))
        });
        let shown = watched.filter_map(move |child| {
            let is_hidden = |name: &str| hides && metadata.takes_name(name, in_root);
            let child = child.filter(|child| !child.as_ref().is_ok_and(|child| is_hidden(&child.name)));
            std::future::ready(child)
        });
        shown.boxed()
    }
}

/// What belongs to a folder's children, until they are seen.
struct Watch {
    shelf: Shelf,
    folder: PathKey,
    /// By the child's name: the paths of what belongs to it, and whether it was seen.
    waiting: HashMap<String, (Vec<PathKey>, bool)>,
}

impl Watch {
    fn of(shelf: &Shelf, folder: &ResourcePath) -> Self {
        let (path, in_root) = (folder.path_key(), folder.is_root());
        let mut waiting: HashMap<String, (Vec<PathKey>, bool)> = HashMap::new();
        for child in shelf.state.shelf().children(&path) {
            let is_own = shelf.options.metadata.takes_name(&child.name, in_root);
            let owner = if is_own {
                owner_of(&child.name).filter(|_| child.is_row)
            } else {
                Some(child.name.as_str())
            };
            if let Some(owner) = owner {
                let root = path.child(&child.name);
                waiting.entry(owner.to_owned()).or_default().0.push(root);
            }
        }
        Self { shelf: shelf.clone(), folder: path, waiting }
    }

    fn saw(&mut self, name: &str) {
        if self.waiting.is_empty() {
            return;
        }
        let composed: String = name.nfc().collect();
        if let Some((_, was_seen)) = self.waiting.get_mut(&composed) {
            *was_seen = true;
        }
    }

    /// What was not seen may be there all the same.
    fn broke_off(&mut self) {
        self.waiting.clear();
    }

    fn ended(&mut self) {
        let now = now();
        let (mut marked, mut over) = (Vec::new(), Vec::new());
        for (_, (roots, was_seen)) in self.waiting.drain() {
            let rows = roots.iter().flat_map(|root| self.shelf.state.shelf().within(root));
            for (path, row) in rows.collect::<Vec<_>>() {
                match judged(&row, was_seen, &self.folder, now) {
                    Verdict::Stays => {}
                    Verdict::Marked(absent) => marked.push((path, ShelfRow { absent, ..row })),
                    Verdict::Over => over.push(path),
                }
            }
        }
        if marked.is_empty() && over.is_empty() {
            return;
        }
        let state = self.shelf.state.clone();
        self.shelf.shutdown.background(async move {
            if !over.is_empty() {
                tracing::info!(count = over.len(), "removing Finder's data of files that are long gone");
                log_failure(state.clear_shelf(over).await);
            }
            if !marked.is_empty() {
                log_failure(state.mark_shelf(marked).await);
            }
        });
    }
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Stays,
    Marked(Option<Absent>),
    Over,
}

/// What a whole listing of `folder` at `now` means for a row whose owner it showed or not.
fn judged(row: &ShelfRow, was_seen: bool, folder: &PathKey, now: u64) -> Verdict {
    match (&row.absent, was_seen) {
        (None, true) => Verdict::Stays,
        // Another folder's listing missed it, and may still.
        (Some(absent), true) if absent.folder != *folder => Verdict::Stays,
        (Some(_), true) => Verdict::Marked(None),
        (None, false) => Verdict::Marked(Some(Absent { since: now, folder: folder.clone() })),
        (Some(absent), false) if now.saturating_sub(absent.since) > KEPT_WITHOUT_OWNER.as_millis() as u64 => {
            Verdict::Over
        }
        (Some(_), false) => Verdict::Stays,
    }
}

/// A bucket may be filled anew, or a wrong prefix be served for a while.
const KEPT_WITHOUT_OWNER: Duration = Duration::from_secs(30 * 24 * 3600);

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::fs::sidecar::file::empty;

    #[test]
    fn what_lost_its_owner_is_kept_for_thirty_days() {
        const DAY: u64 = 24 * 3600 * 1000;
        let (row, folder) = (empty("._x", SystemTime::UNIX_EPOCH), PathKey::of_text("/a"));
        let absent = |since, folder: &str| Some(Absent { since, folder: PathKey::of_text(folder) });
        let marked = |since, folder: &str| ShelfRow { absent: absent(since, folder), ..row.clone() };
        assert_eq!(judged(&row, true, &folder, DAY), Verdict::Stays);
        assert_eq!(judged(&row, false, &folder, DAY), Verdict::Marked(absent(DAY, "/a")));
        assert_eq!(judged(&marked(DAY, "/a"), false, &folder, 31 * DAY), Verdict::Stays);
        assert_eq!(judged(&marked(DAY, "/a"), false, &folder, 31 * DAY + 1), Verdict::Over);
        assert_eq!(judged(&marked(DAY, "/a"), true, &folder, 40 * DAY), Verdict::Marked(None));
        assert_eq!(judged(&marked(DAY, ""), true, &folder, 40 * DAY), Verdict::Stays, "its folder is gone");
    }
}
