//! Listing a folder: one request a page, nothing per entry.

use futures_util::future::join;
use futures_util::stream::{self, Stream, StreamExt};

use super::metadata::{Located, Node, existing, folder_prefix};
use super::{Children, Failure, Resource, ResourcePath, S3FileSystem};
use crate::fs::path::is_showable_key;
use crate::object::Key;
use crate::store::listing::{self, Entry, ShadowFilter};
use crate::store::{ListPage, ListRequest, StoreResult};

impl S3FileSystem {
    /// See [`crate::fs::View::list`]. The listing itself is the proof that the folder exists; a
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
        match located.is_folder() {
            true => {
                let request = ListRequest::children(&located.prefix());
                let first = self.store.list(&request).await?;
                Ok(self.children(&located, request, first))
            }
            false => Ok((self.resource(&located), stream::empty().boxed())),
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
                (existing(head)?, first)
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

    fn children(&self, folder: &Located, request: ListRequest, first: ListPage) -> (Resource, Children) {
        // The client reads at its own pace, so each further page has a budget of its own.
        let pages = listing::pages(self.patient_store(), request, first);
        let view = (self.clone(), folder.prefix());
        (self.resource(folder), visible(pages, view).boxed())
    }

    /// An entry as a child of `prefix`; `None` for the folder's own marker and hidden keys.
    fn child(&self, entry: Entry, prefix: &str) -> Option<Resource> {
        let name = entry.name().strip_prefix(prefix)?;
        if name.is_empty() {
            return None;
        }
        if !is_showable_key(entry.name()) {
            self.hide(entry.name());
            return None;
        }
        let name = name.strip_suffix('/').unwrap_or(name).to_owned();
        Some(match entry {
            Entry::Object(object) => self.file_resource(name, object.key.to_string(), &object.meta),
            Entry::Prefix(prefix) => self.folder_resource(name, prefix),
        })
    }

    fn hide(&self, key: &str) {
        tracing::debug!(key, "left out of a listing: no path can show it");
        self.shared.metrics.hidden_keys(1);
    }
}

/// The children that pages hold, in order, ending with the first error.
fn visible(
    pages: impl Stream<Item = StoreResult<ListPage>> + Send + 'static,
    (fs, prefix): (S3FileSystem, String),
) -> impl Stream<Item = Result<Resource, Failure>> + Send {
    let pages = pages.map(Some).chain(stream::iter([None]));
    let entries = pages.scan(Some(ShadowFilter::default()), move |filter, page| {
        let children: Vec<Result<Resource, Failure>> = match page {
            Some(Ok(page)) => listing::merged(page)
                .flat_map(|entry| {
                    let sifted = filter.as_mut().map(|filter| filter.push(entry)).unwrap_or_default();
                    sifted.shadowed.iter().for_each(|object| fs.hide(object.key.as_str()));
                    sifted.shown
                })
                .filter_map(|entry| fs.child(entry, &prefix).map(Ok))
                .collect(),
            Some(Err(error)) => {
                *filter = None;
                vec![Err(error.into())]
            }
            None => {
                let held = filter.take().map(ShadowFilter::finish).unwrap_or_default();
                held.into_iter().filter_map(|entry| fs.child(entry, &prefix).map(Ok)).collect()
            }
        };
        std::future::ready(Some(stream::iter(children)))
    });
    entries.flatten()
}
