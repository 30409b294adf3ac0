//! Names that are stored in a spelling which no rule gives: some keyboards compose a letter with one of its marks,
//! and not with the other. Only a listing of the folder tells such a name.

use futures_util::{TryStreamExt, pin_mut};
use unicode_normalization::UnicodeNormalization;

use super::metadata::folder_prefix;
use super::{Failure, ResourcePath, S3FileSystem};
use crate::fs::names::{first_letters, has_one_spelling};
use crate::object::Spelling;
use crate::store::listing::{self, merged};
use crate::store::{ListPage, ListRequest, ObjectStore};

impl S3FileSystem {
    /// The key of what means the same as `path` to Unicode, segment by segment. It may be `path`'s own, or gone.
    pub(super) async fn stored_spelling(&self, path: &ResourcePath) -> Result<Option<String>, Failure> {
        let (parent, name) = (path.parent(), path.name());
        if let Some(top) = first_of_many_spellings(&parent)
            && !self.is_folder(&top).await?
        {
            // What lies in it is asked for in vain, level by level.
            return Ok(None);
        }
        let folder = if parent.key().is_ascii() {
            folder_prefix(&parent.key())
        } else {
            match Box::pin(self.locate(&parent)).await? {
                Some(found) if found.is_folder() => found.prefix(),
                _ => return Ok(None),
            }
        };
        if has_one_spelling(name) {
            return Ok(Some(format!("{folder}{name}")));
        }
        Ok(self.stored_name(&folder, name).await?.map(|stored| format!("{folder}{stored}")))
    }

    /// The key that is known to mean the same as `path`, while S3 is away: of no other can it be asked whether it is there.
    pub(super) fn known_spelling(&self, path: &ResourcePath) -> Option<String> {
        let parent = path.parent().key();
        if has_one_spelling(path.name()) || !parent.is_ascii() || !self.shared.store.reach().is_lost() {
            return None;
        }
        let folder = folder_prefix(&parent);
        match self.store.find_normalized(&folder, path.name()) {
            Spelling::Stored(stored) if stored != path.name() => Some(format!("{folder}{stored}")),
            _ => None,
        }
    }

    async fn is_folder(&self, path: &ResourcePath) -> Result<bool, Failure> {
        Ok(Box::pin(self.locate(path)).await?.is_some_and(|found| found.is_folder()))
    }

    /// The child of a folder that means the same as `name`.
    async fn stored_name(&self, folder: &str, name: &str) -> Result<Option<String>, Failure> {
        match self.store.find_normalized(folder, name) {
            Spelling::Stored(stored) => return Ok(Some(stored)),
            Spelling::Nowhere => return Ok(None),
            Spelling::Unknown => {}
        }
        let page = self.store.list(&ListRequest::children(folder)).await?;
        let has_more = page.continuation.is_some();
        match find(page, folder, name) {
            None if has_more => self.stored_name_among_many(folder, name).await,
            found => Ok(found),
        }
    }

    /// The same in a folder that no page holds: only what begins alike is listed.
    async fn stored_name_among_many(&self, folder: &str, name: &str) -> Result<Option<String>, Failure> {
        for start in first_letters(name) {
            let request = ListRequest { prefix: format!("{folder}{start}"), ..ListRequest::children(folder) };
            let first = self.store.list(&request).await?;
            let pages = listing::pages(self.patient_store().objects(), request, first);
            pin_mut!(pages);
            for _ in 0..MOST_PAGES {
                let Some(page) = pages.try_next().await? else { break };
                if let Some(found) = find(page, folder, name) {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }
}

/// The uppermost folder of a path, if it is not its last, of which the spelling is open.
fn first_of_many_spellings(path: &ResourcePath) -> Option<ResourcePath> {
    let first = path.segments().iter().position(|name| !has_one_spelling(name))?;
    (first + 1 < path.segments().len()).then(|| path.with_segments(path.segments()[..=first].to_vec()))
}

/// The name on a page of a folder's listing that means the same as `name`.
fn find(page: ListPage, folder: &str, name: &str) -> Option<String> {
    merged(page).find_map(|entry| {
        let child = entry.name().strip_prefix(folder)?.trim_end_matches('/');
        (!child.is_ascii() && child.nfc().eq(name.nfc())).then(|| child.to_owned())
    })
}

/// Names that begin alike up to a letter with a mark fill more pages only in a bucket of millions.
const MOST_PAGES: usize = 10;
