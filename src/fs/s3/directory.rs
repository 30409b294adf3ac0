//! Listing a folder: one request a page, nothing per entry.

use std::collections::HashSet;

use futures_util::future::join;
use futures_util::stream::{self, Stream, StreamExt};
use unicode_normalization::UnicodeNormalization;

use super::folder_dates::Seen;
use super::metadata::{Located, Node, folder_prefix};
use super::{Children, Failure, Resource, ResourcePath, S3FileSystem};
use crate::fs::resource_path::is_showable_key;
use crate::object::Key;
use crate::store::listing::{self, Entry, ShadowFilter};
use crate::store::{ListPage, ListRequest, ObjectStore, StoreResult, seen};

impl S3FileSystem {
    /// See [`crate::fs::FileSystem::list`]. The listing itself is the proof that the folder exists; a
    /// HEAD goes along where the path may be a file's.
    pub(super) async fn list_folder(&self, path: &ResourcePath) -> Result<(Resource, Children), Failure> {
        if path.is_reserved() {
            return Err(Failure::NotFound);
        }
        if let Some(found) = self.list_exact(path).await? {
            return Ok(found);
        }
        // Empty: the root or a bucket, or a name in another spelling, or nothing.
        let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
        if located.is_folder() {
            let request = ListRequest::children(&located.prefix());
            let first = self.store.list(&request).await?;
            Ok(self.children(&located, request, first))
        } else {
            Ok((self.resource(&located), stream::empty().boxed()))
        }
    }

    async fn list_exact(&self, path: &ResourcePath) -> Result<Option<(Resource, Children)>, Failure> {
        let request = ListRequest::children(&folder_prefix(&path.key()));
        let key =
            Key::new(path.key()).ok().filter(|_| !path.has_trailing_slash() && !self.is_protected(path));
        let (head, first) = match key {
            Some(key) => {
                let (head, first) = join(self.store.head(&key), self.store.list(&request)).await;
                // The listing says more of a failure than a HEAD, which has no body.
                let first = first?;
                (seen(head, !first.is_nothing())?, first)
            }
            None => (None, self.store.list(&request).await?),
        };
        if first.is_nothing() && !path.is_root() {
            let located = head.map(|meta| Located { key: path.key(), node: Node::File(meta) });
            return Ok(located.map(|located| (self.resource(&located), stream::empty().boxed())));
        }
        let located = Located { key: path.key(), node: Node::Folder { covers_object: head.is_some() } };
        Ok(Some(self.children(&located, request, first)))
    }

    pub(super) fn children(
        &self,
        folder: &Located,
        request: ListRequest,
        first: ListPage,
    ) -> (Resource, Children) {
        // The client reads at its own pace, so each further page has a budget of its own.
        let pages = listing::pages(self.patient_store().objects(), request, first);
        let view = (self.clone(), folder.prefix());
        (self.resource(folder), visible(pages, view).boxed())
    }
}

/// A folder's pages on their way to the client.
struct Showing {
    fs: S3FileSystem,
    prefix: String,
    /// Gone after an error: then the end is none.
    filter: Option<ShadowFilter>,
    seen: Seen,
    /// Composed names that are not ASCII, for a client that takes all spellings of one for one file: it would
    /// delete another than the one that it shows.
    spelled: Option<HashSet<String>>,
}

impl Showing {
    fn page(&mut self, page: ListPage) -> Vec<Resource> {
        if page.unreadable > 0 {
            tracing::debug!(count = page.unreadable, "left out of a listing: names that are not UTF-8");
            self.fs.shared.metrics.hidden_keys(page.unreadable as u64);
        }
        let mut shown = Vec::with_capacity(page.objects.len() + page.prefixes.len());
        for entry in listing::merged(page) {
            let sifted = self.filter.as_mut().map(|filter| filter.push(entry)).unwrap_or_default();
            sifted.shadowed.iter().for_each(|object| self.hide(object.key.as_str()));
            shown.extend(sifted.shown.into_iter().filter_map(|entry| self.child(entry)));
        }
        shown
    }

    fn end(&mut self) -> Vec<Resource> {
        let Some(filter) = self.filter.take() else { return Vec::new() };
        let last = filter.finish().into_iter().filter_map(|entry| self.child(entry)).collect();
        self.fs.shared.dates.saw(&self.prefix, std::mem::take(&mut self.seen));
        self.fs.note_listing(&self.prefix);
        last
    }

    /// An entry as a child; `None` for the folder's own marker and hidden keys.
    fn child(&mut self, entry: Entry) -> Option<Resource> {
        let name = entry.name().strip_prefix(&self.prefix)?;
        if name.is_empty() {
            if let Entry::Object(marker) = &entry {
                self.seen.marker(marker.meta.last_modified);
                if marker.meta.size > 0 {
                    self.hide(entry.name());
                }
            }
            return None;
        }
        if !is_showable_key(entry.name()) {
            self.hide(entry.name());
            return None;
        }
        self.seen.child(name);
        if !self.is_first_spelling(name) {
            self.hide(entry.name());
            return None;
        }
        let name = name.strip_suffix('/').unwrap_or(name).to_owned();
        Some(match entry {
            Entry::Object(object) => self.fs.file_resource(name, object.key.to_string(), &object.meta),
            Entry::Prefix(prefix) => self.fs.folder_resource(name, prefix),
        })
    }

    fn is_first_spelling(&mut self, name: &str) -> bool {
        match &mut self.spelled {
            Some(spelled) if !name.is_ascii() => spelled.insert(name.trim_end_matches('/').nfc().collect()),
            _ => true,
        }
    }

    fn hide(&self, key: &str) {
        tracing::debug!(key, "left out of a listing: no path can show it");
        self.fs.shared.metrics.hidden_keys(1);
    }
}

/// The children that pages hold, in order, ending with the first error.
fn visible(
    pages: impl Stream<Item = StoreResult<ListPage>> + Send + 'static,
    (fs, prefix): (S3FileSystem, String),
) -> impl Stream<Item = Result<Resource, Failure>> + Send {
    let spelled = fs.context.client.quirks().merges_unicode_forms.then(HashSet::new);
    let showing =
        Showing { fs, prefix, filter: Some(ShadowFilter::default()), seen: Seen::default(), spelled };
    let pages = pages.map(Some).chain(stream::iter([None]));
    let children = pages.scan(showing, |showing, page| {
        let children: Vec<Result<Resource, Failure>> = match page {
            Some(Ok(page)) => showing.page(page).into_iter().map(Ok).collect(),
            Some(Err(error)) => {
                showing.filter = None;
                vec![Err(error.into())]
            }
            None => showing.end().into_iter().map(Ok).collect(),
        };
        std::future::ready(Some(stream::iter(children)))
    });
    children.flatten()
}
