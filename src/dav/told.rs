//! What each client was told of which names: an absence is a basis of its next write, as a version is.
//!
//! In memory. An absence counts for a while only, and until any answer shows the client the name.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::StatusCode;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::fs::context::Hints;
use crate::fs::{Children, Client, RequestContext};
use crate::path_key::PathKey;

/// See the module. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Told(Arc<Inner>);

type Name = (Client, PathKey);

/// What a client has looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Look {
    /// The resource itself.
    At(PathKey),
    /// All that is in the folder.
    Listing(PathKey),
}

#[derive(Debug)]
struct Inner {
    absent: Mutex<HashMap<Name, Instant>>,
    /// What clients have looked at. Only where what they saw before may be lost.
    looked: Option<Cache<(Client, Look), ()>>,
}

impl Told {
    /// `is_unsure`: what clients saw in an earlier life may be lost.
    pub(super) fn new(is_unsure: bool) -> Self {
        let looked = is_unsure.then(|| Cache::new(MOST_LOOKED));
        Self(Arc::new(Inner { absent: Mutex::default(), looked }))
    }

    /// What the client knows of what the request writes, or deletes.
    pub(super) fn hints(&self, context: &RequestContext) -> Hints {
        let written = context.destination.as_ref().unwrap_or(&context.path);
        let name = (context.client.clone(), written.path_key());
        let was_told_absent = self.was_told_absent(&name);
        let moves = context.method.as_str() == "MOVE";
        let source_was_absent =
            moves && self.was_told_absent(&(context.client.clone(), context.path.path_key()));
        let has_looked = self.0.looked.as_ref().is_none_or(|looked| {
            let has = |look: Look| looked.contains_key(&(name.0.clone(), look));
            has(Look::At(name.1.clone())) || name.1.parent().is_some_and(|folder| has(Look::Listing(folder)))
        });
        // A lock changes nothing: it may be one whose end was lost with a connection.
        let makes = context.client.quirks().takes_5xx_for_absence && context.makes_empty();
        Hints { was_told_absent, source_was_absent, has_looked, makes }
    }

    fn was_told_absent(&self, name: &Name) -> bool {
        self.0.absent.lock().get(name).is_some_and(|at| at.elapsed() < ABSENCE_TIME)
    }

    /// Takes note of the answer to a request that is no listing.
    pub(super) fn note(&self, context: &RequestContext, status: StatusCode) {
        let removes = matches!(context.method.as_str(), "DELETE" | "MOVE") && status.is_success();
        let is_absent = status == StatusCode::NOT_FOUND || removes;
        if !self.has_absent() && self.0.looked.is_none() && !is_absent {
            return;
        }
        let looks = matches!(context.method.as_str(), "PROPFIND" | "GET" | "HEAD");
        let is_shown = status.is_success() || status == StatusCode::NOT_MODIFIED;
        if looks && status == StatusCode::NOT_FOUND {
            self.absent(&context.client, context.path.path_key());
        } else if is_shown && looks && is_part_of_a_save(context) {
            self.looked(&context.client, Look::At(context.path.path_key()));
        } else if is_shown && looks {
            self.shown(&context.client, context.path.path_key());
        } else if is_shown && !context.outcome.has_lost() {
            // What a client makes it has seen; the answer to a LOCK says nothing of what is there.
            let made = context.destination.as_ref().unwrap_or(&context.path);
            match context.method.as_str() {
                "PUT" | "MKCOL" => self.shown(&context.client, made.path_key()),
                "COPY" | "MOVE" => self.made(&context.client, made.path_key()),
                _ => {}
            }
        }
        if removes {
            self.absent(&context.client, context.path.path_key());
        }
    }

    fn absent(&self, client: &Client, path: PathKey) {
        let mut absent = self.0.absent.lock();
        if absent.len() >= MOST_ABSENT {
            absent.retain(|_, at| at.elapsed() < ABSENCE_TIME);
        }
        if absent.len() >= MOST_ABSENT {
            absent.clear();
        }
        absent.insert((client.clone(), path.clone()), Instant::now());
        drop(absent);
        self.looked(client, Look::At(path));
    }

    fn shown(&self, client: &Client, path: PathKey) {
        let name = (client.clone(), path);
        self.0.absent.lock().remove(&name);
        self.looked(client, Look::At(name.1));
    }

    /// A file, or a folder with all in it.
    fn made(&self, client: &Client, path: PathKey) {
        self.0.absent.lock().retain(|(who, at), _| who != client || !at.is_within(&path));
        self.looked(client, Look::At(path));
    }

    fn has_absent(&self) -> bool {
        !self.0.absent.lock().is_empty()
    }

    fn looked(&self, client: &Client, look: Look) {
        if let Some(looked) = &self.0.looked {
            looked.insert((client.clone(), look), ());
        }
    }

    /// Takes note of what a PROPFIND of a folder shows, as it does.
    pub(super) fn watch(&self, context: &RequestContext, children: Children) -> Children {
        let (told, client) = (self.clone(), context.client.clone());
        let folder = context.path.path_key();
        told.looked(&client, Look::Listing(folder.clone()));
        let noted = children.inspect(move |child| {
            if let Ok(child) = child
                && told.has_absent()
            {
                told.shown(&client, folder.child(&child.name));
            }
        });
        noted.boxed()
    }
}

/// Whether a client that looks at a file whenever it saves one may be about to: that says nothing of what its user has seen.
fn is_part_of_a_save(context: &RequestContext) -> bool {
    context.method.as_str() == "PROPFIND" && context.client.quirks().looks_before_it_saves
}

/// How long a client may take from its look to its write.
const ABSENCE_TIME: Duration = Duration::from_secs(600);
/// About 200 bytes each. Whoever is told of more has no write in mind for each.
const MOST_ABSENT: usize = 10_000;
const MOST_LOOKED: u64 = 100_000;

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::Method;

    use super::*;
    use crate::fs::Resource;

    fn request(method: &str, path: &str) -> RequestContext {
        let client = Client::new(None, [127, 0, 0, 1].into(), "a client");
        RequestContext::bare(Method::from_bytes(method.as_bytes()).unwrap(), path, client)
    }

    #[tokio::test]
    async fn a_look_at_a_folder_is_none_at_what_is_in_it_and_a_listing_is() {
        for (folder, child) in [("/", "/x"), ("/d/", "/d/x")] {
            let (told, look) = (Told::new(true), request("PROPFIND", folder));
            let has_looked = |path: &str| told.hints(&request("PUT", path)).has_looked;
            told.note(&look, StatusCode::MULTI_STATUS);
            assert!(has_looked(folder) && !has_looked(child), "{folder}");
            let children = told.watch(&look, stream::empty().boxed());
            assert!(children.collect::<Vec<_>>().await.is_empty());
            assert!(has_looked(child) && !has_looked("/other/x"), "{folder}");
        }
    }

    #[tokio::test]
    async fn who_has_removed_something_knows_that_nothing_is_there() {
        for (method, status) in [("DELETE", StatusCode::NO_CONTENT), ("MOVE", StatusCode::CREATED)] {
            let told = Told::new(false);
            let destination = (method == "MOVE").then(|| request("GET", "/to").path);
            let removal = RequestContext { destination, ..request(method, "/file") };
            told.note(&removal, StatusCode::SERVICE_UNAVAILABLE);
            assert!(!told.hints(&request("PUT", "/file")).was_told_absent);
            told.note(&removal, status);
            assert!(told.hints(&request("PUT", "/file")).was_told_absent, "{method}");
            assert!(!told.hints(&request("PUT", "/to")).was_told_absent);
            told.note(&request("PUT", "/file"), StatusCode::CREATED);
            assert!(!told.hints(&request("PUT", "/file")).was_told_absent);
        }
    }

    #[tokio::test]
    async fn a_look_that_is_part_of_a_save_shows_nothing_and_a_listing_does() {
        let told = Told::new(false);
        let of_macos = |method: &str, path: &str| {
            let agent = "WebDAVFS/3.0.0 (03008000) Darwin/24.0.0 (arm64)";
            let client = Client::new(None, [127, 0, 0, 1].into(), agent);
            RequestContext::bare(Method::from_bytes(method.as_bytes()).unwrap(), path, client)
        };
        let was_told_absent = || told.hints(&of_macos("PUT", "/d/file")).was_told_absent;
        told.note(&of_macos("PROPFIND", "/d/file"), StatusCode::NOT_FOUND);
        told.note(&of_macos("PROPFIND", "/d/file"), StatusCode::MULTI_STATUS);
        assert!(was_told_absent());
        let child = Resource {
            name: "file".to_owned(),
            id: "d/file".to_owned(),
            is_folder: false,
            size: 1,
            modified: std::time::SystemTime::UNIX_EPOCH,
            is_date_stored: true,
            etag: None,
            content_type: None,
            kept_mtime: None,
            export: None,
        };
        let shown = told.watch(&of_macos("PROPFIND", "/d/"), stream::iter([Ok(child)]).boxed());
        assert_eq!(shown.count().await, 1);
        assert!(!was_told_absent());
    }

    #[tokio::test]
    async fn an_absence_counts_until_the_name_is_shown() {
        let told = Told::new(false);
        let was_told_absent = || told.hints(&request("PUT", "/d/caf%C3%A9")).was_told_absent;
        told.note(&request("HEAD", "/d/cafe%CC%81"), StatusCode::NOT_FOUND);
        assert!(was_told_absent(), "however it is spelled");
        told.note(&request("GET", "/d/caf%C3%A9"), StatusCode::OK);
        assert!(!was_told_absent());
        told.note(&request("PROPFIND", "/d/caf%C3%A9"), StatusCode::NOT_FOUND);
        let copy = RequestContext { destination: Some(request("GET", "/d").path), ..request("COPY", "/e") };
        told.note(&copy, StatusCode::CREATED);
        assert!(!was_told_absent(), "a folder comes with all in it");
    }
}
