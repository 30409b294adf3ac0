//! The lock system: WebDAV's exclusive and shared write locks, with real expiry, depth-0
//! membership, and a memory that survives a restart.
//!
//! Lenient where strictness only does harm: a token that nobody knows any more, on a resource that
//! nobody has locked, is no reason to refuse a write; and macOS's client, which forgets its token
//! when a refresh fails once, is never locked out by its own lock.

mod table;

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::href::href;
use super::xml::escape;
use crate::fs::{RequestContext, ResourcePath};
use crate::path_key::PathKey;
use crate::state::LockRow;

pub use table::LockTable;

pub(super) use table::seconds_left;

use table::{covers, now};

/// The lock system for one request.
#[derive(Debug, Clone)]
pub struct RequestLocks {
    table: LockTable,
    context: Arc<RequestContext>,
}

/// A lock that a client wants.
pub(super) struct Wanted {
    pub(super) path: PathKey,
    /// An element.
    pub(super) owner: Option<String>,
    pub(super) timeout: Option<Duration>,
    pub(super) shared: bool,
    pub(super) deep: bool,
}

impl RequestLocks {
    /// The content of `lockdiscovery` for the resource at `href`.
    pub fn discovery(&self, href: &str) -> String {
        if self.table.is_empty() {
            return String::new();
        }
        // After the host, if it is named.
        let path = href.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        let prefix = &self.context.prefix;
        let Ok(path) = prefix.path(path.unwrap_or(href)) else { return String::new() };
        let own = path.path_key();
        let root = |lock: &LockRow| {
            if lock.path == own {
                href.to_owned()
            } else {
                format!("{}{}", prefix.text(), folder_href(&lock.path))
            }
        };
        self.table.covering(&own).iter().map(|lock| active_lock(lock, &root(lock))).collect()
    }

    /// Whether the client may have lost the token of a lock that it has.
    fn forgets_tokens(&self) -> bool {
        self.context.client.quirks().forgets_lock_tokens
    }

    /// Whether this request may act against `lock`: it has the token, or it comes from the client that took the
    /// lock, and that forgets tokens.
    fn holds(&self, lock: &LockRow, tokens: &[String]) -> bool {
        let same_principal = lock.principal == self.context.client.principal;
        let forgetful = self.forgets_tokens() && lock.client == self.context.client.to_string();
        same_principal && (forgetful || tokens.iter().any(|token| plain(token) == lock.token))
    }

    /// The first lock that stands in the way of a change.
    pub(super) fn obstacle(&self, path: &PathKey, deep: bool, tokens: &[String]) -> Option<LockRow> {
        let mut locks = self.table.covering(path);
        if deep {
            locks.extend(self.table.below(path));
        }
        if self.changes_members(path) {
            locks.extend(self.own_of_parent(path).filter(|lock| !lock.deep));
        }
        // Of several shared locks on one resource, one is enough.
        let held_shared: Vec<PathKey> = locks
            .iter()
            .filter(|lock| lock.shared && self.holds(lock, tokens))
            .map(|lock| lock.path.clone())
            .collect();
        locks.into_iter().find(|lock| {
            let by_another = lock.shared && held_shared.contains(&lock.path);
            !by_another && !self.holds(lock, tokens)
        })
    }

    /// The locks of the folder itself that holds `path`.
    fn own_of_parent(&self, path: &PathKey) -> impl Iterator<Item = LockRow> {
        let parent = path.parent().unwrap_or_default();
        self.table.covering(&parent).into_iter().filter(move |lock| lock.path == parent)
    }

    /// Whether the request adds `path` to its folder or takes it away.
    fn changes_members(&self, path: &PathKey) -> bool {
        match self.context.method.as_str() {
            "DELETE" | "MOVE" => true,
            "PUT" | "MKCOL" | "COPY" | "LOCK" => self.context.outcome.existence(path) != Some(true),
            _ => false,
        }
    }

    fn new_row(&self, wanted: Wanted) -> LockRow {
        let timeout = granted(wanted.timeout);
        LockRow {
            token: format!("urn:uuid:{}", Uuid::new_v4()),
            path: wanted.path,
            principal: self.context.client.principal.clone(),
            client: self.context.client.to_string(),
            // The owner is shown to others: a novel is not stored.
            owner: wanted.owner.filter(|owner| owner.len() <= MAX_OWNER),
            shared: wanted.shared,
            deep: wanted.deep,
            expires_at: now() + timeout.as_millis() as u64,
            timeout: timeout.as_secs(),
        }
    }

    /// A lock of the resource alone, of no owner.
    fn plain_row(&self, path: PathKey, timeout: Option<Duration>) -> LockRow {
        self.new_row(Wanted { path, owner: None, timeout, shared: false, deep: false })
    }

    /// LOCK; fails with a lock that is in the way.
    pub(super) async fn take(&self, wanted: Wanted) -> Result<LockRow, Box<LockRow>> {
        let row = self.new_row(wanted);
        if self.changes_members(&row.path) {
            // Making the file that is to be locked adds a member to its folder.
            if let Some(lock) =
                self.own_of_parent(&row.path).find(|lock| !self.holds(lock, &self.context.tokens))
            {
                return Err(Box::new(lock));
            }
        }
        let gone = if self.forgets_tokens() {
            self.replace_own(&row)?
        } else {
            self.table.insert(&row, |_| false)?
        };
        self.table.store(vec![row.clone()], gone).await;
        Ok(row)
    }

    /// UNLOCK; whether the client is rid of the lock.
    pub(super) async fn release(&self, path: &PathKey, token: &str) -> bool {
        let principal = &self.context.client.principal;
        let is_meant =
            |lock: &LockRow| lock.token == token && lock.principal == *principal && covers(lock, path);
        let removed = self.table.remove(is_meant);
        // What macOS wants to be rid of, it is rid of.
        let ended = !removed.is_empty() || self.forgets_tokens();
        self.table.store(Vec::new(), removed).await;
        ended
    }

    /// LOCK without a body: gives the client's lock a new end.
    pub(super) async fn renew(
        &self,
        path: PathKey,
        token: String,
        timeout: Option<Duration>,
    ) -> Option<LockRow> {
        let timeout = granted(timeout);
        let until = (now() + timeout.as_millis() as u64, timeout.as_secs());
        let principal = &self.context.client.principal;
        let (row, expired) = match self.table.refresh(&path, &token, principal, until) {
            Some(row) => (row, Vec::new()),
            // A refresh that fails makes macOS forget its lock: give it back instead.
            None if self.forgets_tokens() => {
                let row = LockRow { token, ..self.plain_row(path, Some(timeout)) };
                let gone = self.replace_own(&row).ok()?;
                (row, gone)
            }
            None => return None,
        };
        self.table.store(vec![row.clone()], expired).await;
        Some(row)
    }

    /// The lock for which a list of `If` with these tokens does not hold for the resource at `path`.
    pub(super) fn unmet(&self, path: PathKey, tokens: &[String]) -> Option<LockRow> {
        let locks = self.table.covering(&path);
        let is_negated = tokens.iter().any(|token| token.starts_with(NEGATED));
        let is_named = |lock: &LockRow| tokens.iter().any(|token| plain(token) == lock.token);
        let is_others = !is_negated
            && path != self.context.path.path_key()
            && tokens.iter().any(|token| self.table.has(token))
            && !locks.iter().any(is_named);
        // A stale token of macOS's client means the lock that it has.
        let is_held = locks.iter().any(|lock| is_named(lock) || self.holds(lock, tokens));
        // In a list of another resource the token locks nothing, whoever asks.
        if is_others || (is_negated && !is_held) {
            Some(self.plain_row(path, None))
        } else if is_held {
            None
        } else {
            locks.into_iter().next()
        }
    }

    /// The locks that apply to what is at `path`.
    pub(super) fn covering(&self, path: &PathKey) -> Vec<LockRow> {
        self.table.covering(path)
    }

    /// The resource is gone, with all in it: so are its locks.
    pub(super) async fn remove_within(&self, path: &PathKey) {
        let removed = self.table.remove(|lock| lock.path.is_within(path));
        self.table.store(Vec::new(), removed).await;
    }

    /// Puts `row` in the place of this client's locks on the same resource, of which macOS's client has one
    /// at the most: an older one is of a mount that died. Returns the tokens that are gone.
    fn replace_own(&self, row: &LockRow) -> Result<Vec<String>, Box<LockRow>> {
        self.table.insert(row, |lock| {
            lock.path == row.path && lock.client == row.client && lock.principal == row.principal
        })
    }
}

/// Put before a token that stands behind `Not` in an `If` header.
pub const NEGATED: &str = "urn:x-s3dav-negated:";

fn plain(token: &str) -> &str {
    token.strip_prefix(NEGATED).unwrap_or(token)
}

fn granted(asked: Option<Duration>) -> Duration {
    asked.unwrap_or(DEFAULT_TIMEOUT).clamp(Duration::from_secs(1), MAX_TIMEOUT)
}

/// The href of a folder by its lock's path.
fn folder_href(path: &PathKey) -> String {
    let segments = path.segments().map(str::to_owned).collect();
    href(&ResourcePath::default().with_segments(segments), true)
}

fn active_lock(row: &LockRow, root: &str) -> String {
    let scope = if row.shared { "shared" } else { "exclusive" };
    let depth = if row.deep { "infinity" } else { "0" };
    let left = seconds_left(row);
    format!(
        "<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:{scope}/></D:lockscope>\
         <D:depth>{depth}</D:depth>{}<D:timeout>Second-{left}</D:timeout>\
         <D:locktoken><D:href>{}</D:href></D:locktoken>\
         <D:lockroot><D:href>{}</D:href></D:lockroot></D:activelock>",
        row.owner.as_deref().unwrap_or(""),
        escape(&row.token),
        root,
    )
}

/// For clients that name none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// A client that died should not lock others out for longer.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// Bytes of an owner element.
const MAX_OWNER: usize = 4096;
