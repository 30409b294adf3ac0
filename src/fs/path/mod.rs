//! A directory as a file system: an NFS mount of Amazon S3 Files, or any other. What it promises
//! stands in `SEMANTICS.md` beside this file.

mod at_once;
mod conflicts;
mod copying;
mod disk;
mod exports;
mod file;
mod file_system;
mod known_names;
mod listing;
mod looking;
mod names;
mod options;
mod part;
mod placing;
mod removal;
mod report;
mod root;
mod spellings;
mod stat;
mod transfer;
mod upload;
mod walk;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::file_system::FileSystem;
use super::new_names::{Maker, NewNames};
use super::seen_versions::SeenVersions;
use super::{Failure, HotFile, RequestContext, ResourcePath, Share};
use crate::cache::ContentCache;
use crate::metrics::Metrics;
use crate::object::{Key, ObjectMeta};
use crate::shutdown::Shutdown;
use crate::spool::Intakes;
use crate::state::State;
use crate::sync::KeyedLock;

use at_once::Buffers;
use conflicts::Conflicts;
use disk::Disk;
use exports::Exports;
use part::Parts;
use root::Root;
use stat::Stat;

pub use options::{DEFAULT_EXPORT_WAIT, PathOptions};
pub use report::ExportReport;

/// A directory that can be served.
#[derive(Debug, Clone)]
pub struct PathShare(Arc<Shared>);

/// What all requests share.
#[derive(Debug)]
struct Shared {
    root: Root,
    disk: Disk,
    parts: Parts,
    buffers: Buffers,
    /// One change of a key at a time.
    changes: KeyedLock<String>,
    new_names: NewNames,
    /// By key and the file's ETag.
    content: ContentCache,
    seen_versions: SeenVersions,
    intakes: Intakes,
    state: State,
    metrics: Metrics,
    shutdown: Shutdown,
    delete_hidden: bool,
    exports: Exports,
    conflicts: Option<Conflicts>,
}

impl PathShare {
    /// Serves `options.directory`; `state` keeps what the directory should not hold.
    pub async fn new(
        options: PathOptions,
        state: State,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> Result<Self, Failure> {
        let disk = Disk::default();
        let directory = options.directory;
        let state_dir = state.directory().to_owned();
        let (wait, show_conflicts) = (options.export_wait, options.show_conflicts);
        let (root, parts, exports, conflicts) = disk
            .run(move || {
                let root = Root::open(&directory)?;
                let exports = Exports::new(&root, wait);
                let conflicts = show_conflicts.then(|| Conflicts::new(&root)).transpose()?;
                Ok((root, Parts::of(&state_dir)?, exports, conflicts))
            })
            .await?;
        let shared = Arc::new(Shared {
            root,
            disk,
            parts,
            buffers: Buffers::default(),
            changes: KeyedLock::default(),
            new_names: NewNames::default(),
            content: ContentCache::new(options.cache.size, options.cache.file_limit),
            seen_versions: SeenVersions::load(state.clone()).await?,
            intakes: Intakes::new(options.intake, &state),
            state,
            metrics,
            shutdown,
            delete_hidden: options.delete_hidden,
            exports,
            conflicts,
        });
        if shared.exports.may_tell() {
            shared.shutdown.background(Arc::clone(&shared).follow_exports());
        }
        Ok(Self(shared))
    }

    /// What takes the bodies of uploads.
    pub fn intakes(&self) -> &Intakes {
        &self.0.intakes
    }

    /// Waits until the directory has answered, whatever; that may take for ever.
    pub async fn answers(&self) {
        let shared = Arc::clone(&self.0);
        // Opened, not only looked at: then a network file system asks its server.
        let _ = self.0.disk.run(move || Ok(shared.root.folder("")?)).await;
    }

    /// Bytes of memory that remembered files use, about.
    pub fn cache_used(&self) -> u64 {
        self.0.content.used()
    }
}

#[async_trait]
impl Share for PathShare {
    fn for_request(&self, context: Arc<RequestContext>) -> Arc<dyn FileSystem> {
        self.0.seen_versions.meet(&context.client);
        Arc::new(PathFileSystem {
            shared: Arc::clone(&self.0),
            context,
            located: Arc::default(),
            maker: self.0.new_names.for_request(),
        })
    }

    async fn hot(&self, context: &RequestContext) -> Option<HotFile> {
        let key = Key::new(context.path.key()).ok().filter(|_| !context.path.has_trailing_slash())?;
        self.0.content.get(&key)?;
        let stat = match self.0.root.find_at_once(key.as_str()).filter(|stat| !stat.is_folder) {
            Some(stat) => stat,
            None => {
                let (shared, name) = (Arc::clone(&self.0), key.clone());
                // Opened, not only looked at: then a network file system asks its server.
                let opened = move || Ok(shared.root.file(name.as_str())?.1);
                self.0.disk.by(context.deadline, opened).await.ok()?
            }
        };
        let held = self.0.content.version(&key, &stat.etag)?;
        self.0.seen_versions.offer(context, key.as_str(), &stat.etag, stat.size);
        Some(HotFile {
            content: held.content.clone(),
            etag: stat.etag,
            modified: stat.modified,
            content_type: held.meta.content_type.clone(),
        })
    }

    async fn offered(&self, context: &RequestContext) {
        self.0.seen_versions.note_offered(context).await;
    }

    fn delivered(&self, context: &RequestContext, first: u64, count: u64) {
        self.0.seen_versions.delivered(context, first, count);
    }

    fn unlocked(&self, _: &RequestContext) {}

    /// The file system's own dates are told.
    fn unanswered(&self, _: &RequestContext) {}
}

/// Something that exists.
#[derive(Debug, Clone, PartialEq)]
struct Located {
    /// Relative to the root, as it is spelled there; no slash at the end.
    key: String,
    stat: Stat,
    is_link: bool,
    /// Where it is shown, if not there: see [`conflicts`].
    shown: Option<String>,
}

impl Located {
    /// The resource's name in the state database.
    fn id(&self) -> String {
        if self.stat.is_folder && !self.key.is_empty() { format!("{}/", self.key) } else { self.key.clone() }
    }
}

/// The directory, for one request.
#[derive(Debug, Clone)]
struct PathFileSystem {
    shared: Arc<Shared>,
    context: Arc<RequestContext>,
    /// What was found in this request: the engine asks more than once.
    located: Arc<Mutex<HashMap<ResourcePath, Option<Located>>>>,
    maker: Maker,
}

impl PathFileSystem {
    /// Does something with the disk within this request's budget.
    async fn disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let shared = Arc::clone(&self.shared);
        let result = self.shared.disk.by(self.context.deadline, move || work(&shared)).await;
        self.shared.metrics.note_trouble("the disk", result.as_ref().err().and_then(Failure::trouble));
        result
    }

    /// Does something that must not stop halfway because the client went away.
    async fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        self.shared.shutdown.complete(work).await?
    }

    /// What is at `path`; `None` if nothing is. Asked once per request.
    async fn locate(&self, path: &ResourcePath) -> Result<Option<Located>, Failure> {
        if let Some(known) = self.located.lock().get(path) {
            return Ok(known.clone());
        }
        let found = if is_unseen(path) {
            None
        } else if let Some(located) = self.shared.find_at_once(path) {
            self.shared.metrics.note_trouble("the disk", None);
            Some(located)
        } else {
            let spelled = path.clone();
            self.disk(move |shared| shared.search(&spelled)).await?
        };
        self.context.outcome.note_existence(path, found.is_some());
        self.located.lock().insert(path.clone(), found.clone());
        Ok(found)
    }

    /// The folder that holds `path`, or why nothing can be made there.
    async fn parent_of(&self, path: &ResourcePath) -> Result<Located, Failure> {
        match self.locate(&path.parent()).await? {
            Some(parent) if parent.stat.is_folder => Ok(parent),
            _ => Err(Failure::ParentMissing),
        }
    }

    /// What is to be changed at `path` must be the user's.
    fn refuse_protected(&self, path: &ResourcePath, what: &str) -> Result<(), Failure> {
        if path.is_root() {
            return Err(Failure::Forbidden(format!("the served directory itself cannot be {what}")));
        }
        if self.shared.is_conflict(path) {
            let message = "conflicts are read-only: copy the file back to its place";
            return Err(Failure::Forbidden(message.to_owned()));
        }
        let is_own = |name: &String| names::owner(name) == Some(names::Owner::Gateway);
        if path.is_reserved() || path.segments().iter().any(is_own) {
            return Err(Failure::Forbidden("this name is reserved for the gateway".to_owned()));
        }
        match path.segments().iter().find_map(|name| names::owner(name).map(|_| name)) {
            Some(name) => Err(Failure::Forbidden(format!("{name:?} is reserved for the file system"))),
            None => Ok(()),
        }
    }

    /// See [`SeenVersions::note`].
    fn note_basis(&self, key: &str, stat: &Stat) {
        self.shared.seen_versions.note(&self.context, key, &stat.etag, stat.size, stat.modified);
    }
}

/// Whether nothing is at `path` for a client, whatever is there.
fn is_unseen(path: &ResourcePath) -> bool {
    path.is_reserved() || path.segments().iter().any(|name| names::is_unseen(name))
}

impl Shared {
    /// Keeps a small file's whole content, if it is sure to be this version's.
    fn keep(&self, key: &str, stat: &Stat, content: &bytes::Bytes) {
        let Ok(key) = Key::new(key) else { return };
        if stat.is_fresh() {
            return;
        }
        let meta = ObjectMeta {
            size: stat.size,
            etag: stat.etag.clone(),
            last_modified: stat.modified,
            content_type: super::guessed_type(&path_name(key.as_str())),
            storage_class: None,
            user: Default::default(),
        };
        self.content.put(&key, meta, content.clone());
    }
}

fn path_name(key: &str) -> String {
    key.rsplit('/').next().unwrap_or_default().to_owned()
}
