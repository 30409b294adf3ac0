//! What macOS saves, noted from its begin until it is stored.
//!
//! macOS's client tells no program that an upload has failed. So a file whose content is missing is not moved:
//! it would replace a document by nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use tokio::sync::Notify;
use tokio::time::interval;

use super::locks::LockTable;
use crate::fs::{FileSystem, RequestContext, ResourcePath};
use crate::logging::with_causes;
use crate::path_key::PathKey;
use crate::shutdown::Shutdown;
use crate::state::{PendingRow, Phase, State, millis};

/// See the module. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Saves {
    state: State,
    locks: LockTable,
    expected: Arc<Notify>,
}

impl Saves {
    pub(super) fn new(state: State, locks: LockTable, shutdown: &Shutdown) -> Self {
        let saves = Self { state, locks, expected: Arc::default() };
        shutdown.background(saves.clone().see_to_expected(shutdown.clone()));
        saves
    }

    /// A file that lacks its content and that macOS wants to move, by itself or with a folder.
    pub(super) async fn in_the_way(
        &self,
        context: &RequestContext,
        fs: impl Fn() -> Arc<dyn FileSystem>,
    ) -> Option<PathKey> {
        if context.method.as_str() != "MOVE" || !context.client.quirks().hides_failed_close {
            return None;
        }
        let path = context.path.path_key();
        for row in self.state.lacking(&path) {
            if has_come(&*fs(), &row).await {
                self.state.forget_contents(&row.path);
            }
        }
        if let Some(row) = self.state.lacking(&path).into_iter().next() {
            return Some(row.path);
        }
        self.would_empty(context, &path, fs).await.then_some(path)
    }

    /// Whether a document would be replaced by a file that has been made empty, and that its program has still open.
    /// While its connection is down macOS drops what is saved, and sends nothing of it later.
    async fn would_empty(
        &self,
        context: &RequestContext,
        path: &PathKey,
        fs: impl Fn() -> Arc<dyn FileSystem>,
    ) -> bool {
        let Some(destination) = &context.destination else { return false };
        if !self.state.expects_content(path) || !self.locks.is_locked(path) {
            return false;
        }
        fs().stat(destination).await.is_ok_and(|there| !there.is_folder && there.size > 0)
    }

    /// Notes that a save begins, if the request is one.
    pub(super) async fn begin(&self, context: &RequestContext) {
        if is_save(context) && context.has_content {
            let (path, client) = (context.path.path_key(), context.client.to_string());
            let coming = self.state.begin_content(path, &client, context.declared).await;
            context.outcome.set_coming(coming);
        }
    }

    /// Takes note of what became of a request.
    pub(super) async fn note(&self, context: &RequestContext, status: StatusCode) {
        if let Some(coming) = context.outcome.take_coming() {
            // Whoever stored it would have taken it.
            if matches!(status, StatusCode::METHOD_NOT_ALLOWED | StatusCode::CONFLICT) {
                // There is a folder, or no place for a file: nothing that could be moved.
                return coming.void();
            }
            let failure = context.outcome.failure().map(|failure| failure.to_string());
            coming.failed(failure.unwrap_or_else(|| format!("the answer was {status}")));
        }
        let is_read = matches!(context.method.as_str(), "GET" | "HEAD");
        let is_gone = status == StatusCode::NOT_FOUND && context.method == Method::DELETE;
        if is_read || (!status.is_success() && !is_gone) {
            return;
        }
        let path = context.path.path_key();
        match context.method.as_str() {
            "PUT" if !is_save(context) => self.state.forget_contents(&path),
            "PUT" if !context.has_content => self.expect(context, &path).await,
            "DELETE" | "MKCOL" => self.state.forget_contents(&path),
            "MOVE" => return self.note_move(context, &path),
            "UNLOCK" if !self.locks.is_locked(&path) => self.state.expects_nothing(&path),
            _ => {}
        }
        if let Some(destination) = &context.destination {
            self.state.forget_contents(&destination.path_key());
        }
    }

    /// What lacks its content lacks it at its new place, too.
    fn note_move(&self, context: &RequestContext, path: &PathKey) {
        let Some(destination) = &context.destination else { return };
        if context.outcome.has_lost() {
            self.state.forget_contents(path);
        } else {
            self.state.move_contents(path, &destination.path_key());
        }
    }

    async fn expect(&self, context: &RequestContext, path: &PathKey) {
        if let Err(error) = self.state.expect_content(path, &context.client.to_string()).await {
            let error = with_causes(&error);
            tracing::warn!(%path, error, "cannot record on disk that this file is waiting for its content");
        }
        self.expected.notify_one();
    }

    /// Whoever makes a file and opens it at all does so at once; what nobody has open after a while, or at the
    /// end, stays empty.
    async fn see_to_expected(self, shutdown: Shutdown) {
        let mut ticks = interval(TICK);
        loop {
            let is_idle = self.state.expected_contents().is_empty();
            tokio::select! {
                () = shutdown.begun() => break,
                () = self.expected.notified(), if is_idle => {}
                _ = ticks.tick(), if !is_idle => self.give_up(WAIT),
            }
        }
        self.give_up(Duration::ZERO);
    }

    fn give_up(&self, wait: Duration) {
        let now = millis(SystemTime::now());
        for row in self.state.expected_contents() {
            let is_over = now.saturating_sub(row.since) >= wait.as_millis() as u64;
            if is_over && !self.locks.is_locked(&row.path) {
                self.state.expects_nothing(&row.path);
            }
        }
    }
}

/// Whether nothing is missing any more: the file is gone, or has been written since, by whomever.
async fn has_come(fs: &dyn FileSystem, row: &PendingRow) -> bool {
    if !matches!(row.phase, Phase::Missing | Phase::Failed) {
        return false;
    }
    match fs.stat(&ResourcePath::from(&row.path)).await {
        Ok(there) => there.is_folder || (there.size > 0 && millis(there.modified) > row.since),
        Err(failure) => failure.is_absence(),
    }
}

/// Whether macOS's client writes a document. What it writes beside files is none: no program moves it, and a shelf
/// without room must not keep folders where they are.
fn is_save(context: &RequestContext) -> bool {
    let name = context.path.name();
    context.client.quirks().hides_failed_close
        && context.method == Method::PUT
        && !name.starts_with("._")
        && name != ".DS_Store"
}

/// macOS opens what it has made within a second.
const WAIT: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_secs(1);
