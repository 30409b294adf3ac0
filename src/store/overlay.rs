//! Objects that are not in the store yet, laid over what it lists.

use moka::sync::Cache;

use super::{ListPage, ListRequest, StoreResult};
use crate::object::{Key, ListedObject, ObjectMeta};

/// Where pages of listings ended: what is laid over one must fall between its ends.
#[derive(Debug)]
pub(super) struct PageEnds(Cache<String, String>);

/// Between which names something belongs on a page.
#[derive(Debug)]
pub(super) struct Bounds {
    lower: Option<String>,
    upper: Option<String>,
}

impl Default for PageEnds {
    fn default() -> Self {
        Self(Cache::new(MOST_PAGES))
    }
}

impl PageEnds {
    /// The bounds of a page as the store gave it, and notes where it ended.
    pub(super) fn of(&self, page: &ListPage, request: &ListRequest) -> Bounds {
        let before = request.continuation.as_ref().map(|token| {
            let first = || page.objects.first().map(|object| object.key.to_string());
            self.0.get(token).or_else(first).unwrap_or_default()
        });
        let end = last_name(page).map(str::to_owned);
        if let (Some(token), Some(end)) = (&page.continuation, &end) {
            self.0.insert(token.clone(), end.clone());
        }
        Bounds { lower: before, upper: page.continuation.is_some().then_some(end).flatten() }
    }
}

impl Bounds {
    /// Lays objects, whose keys begin with what is asked for, over the page. `replaces`: they are newer than what is on
    /// it.
    pub(super) fn lay(
        &self,
        objects: impl IntoIterator<Item = (Key, ObjectMeta)>,
        page: &mut ListPage,
        request: &ListRequest,
        replaces: bool,
    ) {
        for (key, meta) in objects {
            let name = key.as_str();
            let is_here = self.lower.as_deref().is_none_or(|lower| name > lower)
                && self.upper.as_deref().is_none_or(|upper| name <= upper)
                && request.start_after.as_deref().is_none_or(|start| name > start);
            let rest = &name[request.prefix.len()..];
            match rest.find('/').filter(|_| request.delimited) {
                _ if !is_here => {}
                Some(slash) => {
                    let prefix = &name[..request.prefix.len() + slash + 1];
                    if let Err(at) = page.prefixes.binary_search_by(|other| other.as_str().cmp(prefix)) {
                        page.prefixes.insert(at, prefix.to_owned());
                    }
                }
                None => match page.objects.binary_search_by(|other| other.key.as_str().cmp(name)) {
                    Ok(at) if replaces => page.objects[at] = ListedObject { key, meta },
                    Ok(_) => {}
                    Err(at) => page.objects.insert(at, ListedObject { key, meta }),
                },
            }
        }
    }
}

/// The answer to a listing, made again if what was laid over it has gone to the store meanwhile: it may be neither on the
/// listing nor laid over it any more.
pub(super) async fn steady<L, T, F: Future<Output = StoreResult<T>>>(
    laid: impl Fn() -> L,
    is_laid: impl Fn(&L) -> bool,
    list: impl Fn() -> F,
) -> StoreResult<T> {
    for _ in 0..MOST_LISTINGS {
        let before = laid();
        let answer = list().await?;
        if is_laid(&before) {
            return Ok(answer);
        }
    }
    list().await
}

/// The last name on a page, in byte order.
fn last_name(page: &ListPage) -> Option<&str> {
    let object = page.objects.last().map(|object| object.key.as_str());
    object.max(page.prefixes.last().map(String::as_str))
}

/// Of one page, while more and more goes to the store.
const MOST_LISTINGS: usize = 3;
/// Pages whose ends are remembered: those of listings under way.
const MOST_PAGES: u64 = 10_000;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::object::ETag;

    fn objects<'a>(keys: &'a [&str], etag: &'a str) -> impl Iterator<Item = (Key, ObjectMeta)> + use<'a> {
        keys.iter().map(move |key| {
            let meta = ObjectMeta {
                size: 0,
                etag: ETag::new(etag),
                last_modified: SystemTime::UNIX_EPOCH,
                content_type: None,
                storage_class: None,
                user: Default::default(),
            };
            (Key::new(*key).unwrap(), meta)
        })
    }

    fn page(keys: &[&str], continuation: Option<&str>) -> ListPage {
        let objects = objects(keys, "old").map(|(key, meta)| ListedObject { key, meta }).collect();
        ListPage { objects, continuation: continuation.map(str::to_owned), ..ListPage::default() }
    }

    fn names(page: &ListPage) -> Vec<String> {
        page.objects.iter().map(|object| object.key.to_string()).chain(page.prefixes.clone()).collect()
    }

    #[test]
    fn each_page_gets_its_own() {
        let (ends, over) = (PageEnds::default(), ["d/a", "d/c", "d/e/f", "d/g"]);
        let request = ListRequest::children("d/");
        let mut first = page(&["d/b", "d/d"], Some("more"));
        ends.of(&first, &request).lay(objects(&over, "new"), &mut first, &request, false);
        assert_eq!(names(&first), ["d/a", "d/b", "d/c", "d/d"]);
        let second_request = ListRequest { continuation: Some("more".to_owned()), ..request };
        let mut second = page(&["d/f"], None);
        ends.of(&second, &second_request).lay(objects(&over, "new"), &mut second, &second_request, false);
        assert_eq!(names(&second), ["d/f", "d/g", "d/e/"]);
        let (tree, mut whole) = (ListRequest::tree("d/"), page(&["d/c"], None));
        ends.of(&whole, &tree).lay(objects(&over, "new"), &mut whole, &tree, false);
        assert_eq!(names(&whole), over);
    }

    #[test]
    fn what_is_newer_is_shown_instead() {
        let (ends, request) = (PageEnds::default(), ListRequest::children("d/"));
        for (replaces, etag) in [(true, "new"), (false, "old")] {
            let mut page = page(&["d/a", "d/b"], None);
            ends.of(&page, &request).lay(objects(&["d/b"], "new"), &mut page, &request, replaces);
            assert_eq!((page.objects.len(), page.objects[1].meta.etag.clone()), (2, ETag::new(etag)));
        }
    }
}
