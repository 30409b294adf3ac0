//! The lock system: WebDAV's exclusive and shared write locks, with real expiry, depth-0
//! membership, and a memory that survives a restart.
//!
//! Lenient where strictness only does harm: a token that nobody knows any more, on a resource that
//! nobody has locked, is no reason to refuse a write; and macOS's client, which forgets its token
//! when a refresh fails once, is never locked out by its own lock.

mod table;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use dav_server::davpath::DavPath;
use dav_server::ls::{DavLock, DavLockSystem, LsFuture};
use uuid::Uuid;
use xmltree::Element;

use super::xml::escape;
use crate::fs::{RequestContext, ResourcePath};
use crate::state::LockRow;

pub use table::LockTable;

use table::{covers, now, parent, seconds_left};

/// The lock system for one request.
#[derive(Debug, Clone)]
pub struct RequestLocks {
    table: LockTable,
    context: Arc<RequestContext>,
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
        let own = path.spelled_once();
        let root = |lock: &LockRow| {
            if lock.path == own {
                href.to_owned()
            } else {
                format!("{}{}", prefix.text(), folder_href(&lock.path))
            }
        };
        self.table.covering(&own).iter().map(|lock| active_lock(lock, &root(lock))).collect()
    }

    /// Whether this request may act against `lock`: it has the token, or it is the macOS client
    /// that took the lock.
    fn holds(&self, lock: &LockRow, tokens: &[String]) -> bool {
        let same_principal = lock.principal == self.context.client.principal;
        let forgetful = self.context.client.is_webdavfs() && lock.client == self.context.client.to_string();
        same_principal && (forgetful || tokens.iter().any(|token| plain(token) == lock.token))
    }

    /// The first lock that stands in the way of a change.
    fn obstacle(&self, path: &str, deep: bool, tokens: &[String]) -> Option<LockRow> {
        let mut locks = self.table.covering(path);
        if deep {
            locks.extend(self.table.below(path));
        }
        if self.changes_members(path) {
            let parent = parent(path);
            let own =
                self.table.covering(parent).into_iter().filter(|lock| lock.path == parent && !lock.deep);
            locks.extend(own);
        }
        // Of several shared locks on one resource, one is enough.
        let held_shared: Vec<String> = locks
            .iter()
            .filter(|lock| lock.shared && self.holds(lock, tokens))
            .map(|lock| lock.path.clone())
            .collect();
        locks.into_iter().find(|lock| {
            let by_another = lock.shared && held_shared.contains(&lock.path);
            !by_another && !self.holds(lock, tokens)
        })
    }

    /// Whether the request adds `path` to its folder or takes it away.
    fn changes_members(&self, path: &str) -> bool {
        match self.context.method.as_str() {
            "DELETE" | "MOVE" => true,
            "PUT" | "MKCOL" | "COPY" | "LOCK" => self.context.outcome.existence(path) != Some(true),
            _ => false,
        }
    }

    fn new_row(
        &self,
        path: String,
        owner: Option<&Element>,
        timeout: Option<Duration>,
        shared: bool,
        deep: bool,
    ) -> LockRow {
        let timeout = granted(timeout);
        LockRow {
            token: format!("urn:uuid:{}", Uuid::new_v4()),
            path,
            principal: self.context.client.principal.clone(),
            client: self.context.client.to_string(),
            owner: owner.and_then(element_text),
            shared,
            deep,
            expires_at: now() + timeout.as_millis() as u64,
            timeout: timeout.as_secs(),
        }
    }

    async fn take(&self, row: LockRow) -> Result<LockRow, Box<LockRow>> {
        if self.changes_members(&row.path) {
            // Making the file that is to be locked adds a member to its folder.
            let parent = parent(&row.path);
            let own = self.table.covering(parent).into_iter().filter(|lock| lock.path == parent);
            if let Some(lock) = own.into_iter().find(|lock| !self.holds(lock, &self.context.tokens)) {
                return Err(Box::new(lock));
            }
        }
        let gone = if self.context.client.is_webdavfs() {
            self.replace_own(&row)?
        } else {
            self.table.insert(&row, |_| false)?
        };
        self.table.store(vec![row.clone()], gone).await;
        Ok(row)
    }

    /// Puts `row` in the place of this client's locks on the same resource, of which macOS's client has one
    /// at the most: an older one is of a mount that died. Returns the tokens that are gone.
    fn replace_own(&self, row: &LockRow) -> Result<Vec<String>, Box<LockRow>> {
        self.table.insert(row, |lock| {
            lock.path == row.path && lock.client == row.client && lock.principal == row.principal
        })
    }
}

impl DavLockSystem for RequestLocks {
    fn lock(
        &'_ self,
        path: &DavPath,
        _: Option<&str>,
        owner: Option<&Element>,
        timeout: Option<Duration>,
        shared: bool,
        deep: bool,
    ) -> LsFuture<'_, Result<DavLock, DavLock>> {
        let (dav_path, row) = (path.clone(), self.new_row(lock_path(path), owner, timeout, shared, deep));
        let owner = owner.cloned();
        Box::pin(async move {
            match self.take(row).await {
                Ok(row) => Ok(DavLock { owner: owner.map(Box::new), ..dav_lock(&row, dav_path) }),
                Err(other) => Err(dav_lock(&other, dav_path)),
            }
        })
    }

    fn unlock(&'_ self, path: &DavPath, token: &str) -> LsFuture<'_, Result<(), ()>> {
        let (path, token) = (lock_path(path), token.to_owned());
        Box::pin(async move {
            let principal = &self.context.client.principal;
            let is_meant =
                |lock: &LockRow| lock.token == token && lock.principal == *principal && covers(lock, &path);
            let removed = self.table.remove(is_meant);
            // What macOS wants to be rid of, it is rid of.
            let ended = !removed.is_empty() || self.context.client.is_webdavfs();
            self.table.store(Vec::new(), removed).await;
            if ended { Ok(()) } else { Err(()) }
        })
    }

    fn refresh(
        &'_ self,
        path: &DavPath,
        token: &str,
        timeout: Option<Duration>,
    ) -> LsFuture<'_, Result<DavLock, ()>> {
        let (dav_path, path, token) = (path.clone(), lock_path(path), token.to_owned());
        Box::pin(async move {
            let timeout = granted(timeout);
            let until = (now() + timeout.as_millis() as u64, timeout.as_secs());
            let principal = &self.context.client.principal;
            let (row, expired) = match self.table.refresh(&path, &token, principal, until) {
                Some(row) => (row, Vec::new()),
                // A refresh that fails makes macOS forget its lock: give it back instead.
                None if self.context.client.is_webdavfs() => {
                    let row = LockRow { token, ..self.new_row(path, None, Some(timeout), false, false) };
                    let gone = self.replace_own(&row).map_err(|_| ())?;
                    (row, gone)
                }
                None => return Err(()),
            };
            self.table.store(vec![row.clone()], expired).await;
            Ok(dav_lock(&row, dav_path))
        })
    }

    fn check(
        &'_ self,
        path: &DavPath,
        _: Option<&str>,
        ignore_principal: bool,
        deep: bool,
        tokens: &[String],
    ) -> LsFuture<'_, Result<(), DavLock>> {
        let text = lock_path(path);
        let obstacle = if ignore_principal {
            let locks = self.table.covering(&text);
            let is_negated = tokens.iter().any(|token| token.starts_with(NEGATED));
            let is_named = |lock: &LockRow| tokens.iter().any(|token| plain(token) == lock.token);
            let is_others = !is_negated
                && text != self.context.path.spelled_once()
                && tokens.iter().any(|token| self.table.has(token))
                && !locks.iter().any(is_named);
            // A stale token of macOS's client means the lock that it has.
            let is_held = locks.iter().any(|lock| is_named(lock) || self.holds(lock, tokens));
            // In a list of another resource the token locks nothing, whoever asks.
            if is_others || (is_negated && !is_held) {
                Some(self.new_row(text, None, None, false, false))
            } else if is_held {
                None
            } else {
                locks.into_iter().next()
            }
        } else {
            self.obstacle(&text, deep, tokens)
        };
        let result = match obstacle {
            None => Ok(()),
            Some(lock) => Err(dav_lock(&lock, path.clone())),
        };
        Box::pin(async move { result })
    }

    fn discover(&'_ self, path: &DavPath) -> LsFuture<'_, Vec<DavLock>> {
        let locks = self.table.covering(&lock_path(path));
        let path = path.clone();
        Box::pin(async move { locks.iter().map(|lock| dav_lock(lock, path.clone())).collect() })
    }

    fn delete(&'_ self, path: &DavPath) -> LsFuture<'_, Result<(), ()>> {
        let path = lock_path(path);
        Box::pin(async move {
            let prefix = format!("{path}/");
            let removed = self.table.remove(|lock| lock.path == path || lock.path.starts_with(&prefix));
            self.table.store(Vec::new(), removed).await;
            Ok(())
        })
    }
}

/// Put before a token that stands behind `Not` in an `If` header.
pub const NEGATED: &str = "urn:x-s3dav-negated:";

fn plain(token: &str) -> &str {
    token.strip_prefix(NEGATED).unwrap_or(token)
}

/// The path as locks name it; the root is `/`.
fn lock_path(path: &DavPath) -> String {
    ResourcePath::parse(&path.as_url_string())
        .map(|path| path.spelled_once())
        .unwrap_or_else(|_| "/".to_owned())
}

fn granted(asked: Option<Duration>) -> Duration {
    asked.unwrap_or(DEFAULT_TIMEOUT).clamp(Duration::from_secs(1), MAX_TIMEOUT)
}

fn dav_lock(row: &LockRow, path: DavPath) -> DavLock {
    DavLock {
        token: row.token.clone(),
        path: Box::new(path),
        principal: row.principal.clone(),
        owner: row.owner.as_ref().and_then(|xml| Element::parse(xml.as_bytes()).ok()).map(Box::new),
        timeout_at: Some(UNIX_EPOCH + Duration::from_millis(row.expires_at)),
        timeout: Some(Duration::from_secs(seconds_left(row))),
        shared: row.shared,
        deep: row.deep,
    }
}

/// The href of a folder by its lock's path.
fn folder_href(path: &str) -> String {
    let segments = path.split('/').skip(1).filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
    super::propfind::href(&ResourcePath::default().with_segments(segments), true)
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

/// An element without an XML declaration.
fn element_text(element: &Element) -> Option<String> {
    let mut bytes = Vec::new();
    let config = xmltree::EmitterConfig { write_document_declaration: false, ..Default::default() };
    element.write_with_config(&mut bytes, config).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    // The owner is shown to others: a novel is not stored.
    (text.len() <= MAX_OWNER).then_some(text)
}

/// For clients that name none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// A client that died should not lock others out for longer.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// Bytes of an owner element.
const MAX_OWNER: usize = 4096;
