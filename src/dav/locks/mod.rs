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
    href(&ResourcePath::from(path), true)
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

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::fs::Client;
    use crate::state::State;

    const MACOS: &str = "WebDAVFS/3.0.0 (03008000) Darwin/25.2.0 (arm64)";
    const OTHERS: &str = "davfs2/1.6.1 neon/0.32.5";

    async fn table() -> (tempfile::TempDir, State, LockTable) {
        let place = tempfile::tempdir().unwrap();
        let state = State::open(place.path(), "a test").await.unwrap();
        (place, state.clone(), LockTable::load(state).await.unwrap())
    }

    /// A path as locks have it.
    fn at(path: &str) -> PathKey {
        PathKey::of_text(path)
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn client(user: &str, agent: &str) -> Client {
        Client::new(Some(user.to_owned()), [127, 0, 0, 1].into(), agent)
    }

    /// A request for `/a/file`, with the tokens that its `If` header names.
    fn context(method: &str, client: Client, tokens: &[&str]) -> RequestContext {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        RequestContext { tokens: strings(tokens), ..RequestContext::bare(method, "/a/file", client) }
    }

    fn request(table: &LockTable, method: &str, client: Client, tokens: &[&str]) -> RequestLocks {
        table.for_request(Arc::new(context(method, client, tokens)))
    }

    /// What changes no folder's members.
    fn patch(table: &LockTable, tokens: &[&str]) -> RequestLocks {
        request(table, "PROPPATCH", client("me", OTHERS), tokens)
    }

    fn wanted(path: &str) -> Wanted {
        Wanted { path: at(path), owner: None, timeout: None, shared: false, deep: false }
    }

    fn deep(path: &str) -> Wanted {
        Wanted { deep: true, ..wanted(path) }
    }

    fn shared(path: &str) -> Wanted {
        Wanted { shared: true, ..wanted(path) }
    }

    /// A lock that another request of `user` has taken; its token.
    async fn locked_by(table: &LockTable, user: &str, wanted: Wanted) -> String {
        request(table, "PROPPATCH", client(user, OTHERS), &[]).take(wanted).await.unwrap().token
    }

    async fn locked(table: &LockTable, wanted: Wanted) -> String {
        locked_by(table, "me", wanted).await
    }

    fn tokens(table: &LockTable, path: &str) -> Vec<String> {
        table.covering(&at(path)).into_iter().map(|lock| lock.token).collect()
    }

    fn obstacle(locks: &RequestLocks, path: &str) -> Option<String> {
        locks.obstacle(&at(path), false, &locks.context.tokens).map(|lock| lock.token)
    }

    #[tokio::test]
    async fn a_lock_is_what_was_wanted_of_whoever_took_it() {
        let (_place, state, table) = table().await;
        let owner = Some("<D:href>me</D:href>".to_owned());
        let lock = Wanted { owner: owner.clone(), timeout: Some(Duration::from_secs(60)), ..deep("/a") };
        let before = now();
        let row = patch(&table, &[]).take(lock).await.unwrap();
        let ends_in = row.expires_at - before;
        assert!((60_000..70_000).contains(&ends_in), "{ends_in}");
        assert!(row.token.starts_with("urn:uuid:"), "{}", row.token);
        let expected = LockRow {
            token: row.token.clone(),
            path: at("/a"),
            principal: Some("me".to_owned()),
            client: client("me", OTHERS).to_string(),
            owner,
            shared: false,
            deep: true,
            expires_at: row.expires_at,
            timeout: 60,
        };
        assert_eq!(row, expected);
        assert_eq!(patch(&table, &[]).covering(&at("/a/b")), std::slice::from_ref(&row));
        let again = LockTable::load(state).await.unwrap();
        assert_eq!(again.covering(&at("/a")), [row], "after a restart");
    }

    #[tokio::test]
    async fn an_owner_that_is_a_novel_is_not_kept() {
        let (_place, _state, table) = table().await;
        for (length, is_kept) in [(MAX_OWNER, true), (MAX_OWNER + 1, false)] {
            let lock = Wanted { owner: Some("o".repeat(length)), ..shared("/a") };
            assert_eq!(patch(&table, &[]).take(lock).await.unwrap().owner.is_some(), is_kept, "{length}");
        }
    }

    #[test]
    fn times_are_granted_within_bounds() {
        let seconds = |asked: Option<u64>| granted(asked.map(Duration::from_secs)).as_secs();
        assert_eq!([None, Some(0), Some(60), Some(1 << 40)].map(seconds), [600, 1, 60, 3600]);
    }

    #[tokio::test]
    async fn a_lock_is_shown_with_its_root() {
        let (_place, _state, table) = table().await;
        let discovery = |href: &str| patch(&table, &[]).discovery(href);
        assert_eq!(discovery("/a/file"), "");
        let owner = Some("<D:owner>me</D:owner>".to_owned());
        let token = locked(&table, Wanted { owner, ..wanted("/a/file") }).await;
        for href in ["/a/file", "http://host/a/file"] {
            let shown = discovery(href);
            let (before, rest) = shown.split_once("Second-").unwrap();
            let (left, after) = rest.split_once("</D:timeout>").unwrap();
            assert_eq!(
                before,
                "<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:exclusive/></D:lockscope>\
                 <D:depth>0</D:depth><D:owner>me</D:owner><D:timeout>"
            );
            assert!((500..=600).contains(&left.parse::<u64>().unwrap()), "{left}");
            let expected = format!(
                "<D:locktoken><D:href>{token}</D:href></D:locktoken>\
                 <D:lockroot><D:href>{href}</D:href></D:lockroot></D:activelock>"
            );
            assert_eq!(after, expected);
        }
        for none in ["/a", "/a/file/b", "http://host", "no path"] {
            assert_eq!(discovery(none), "", "{none}");
        }
        let row = LockRow { shared: true, deep: true, ..patch(&table, &[]).plain_row(at("/x"), None) };
        let row = active_lock(&row, "/x/");
        assert!(row.contains("<D:shared/>") && row.contains("<D:depth>infinity</D:depth>"), "{row}");
    }

    #[tokio::test]
    async fn the_root_of_a_deep_lock_is_its_folder_below_the_prefix() {
        let (_place, _state, table) = table().await;
        locked(&table, deep("/a b/c")).await;
        let mut context = context("PROPFIND", client("me", OTHERS), &[]);
        context.prefix = "/proxy/".parse().unwrap();
        let locks = table.for_request(Arc::new(context));
        let root = |shown: &str| shown.split("lockroot><D:href>").nth(1).map(|rest| rest.to_owned());
        let shown = root(&locks.discovery("/proxy/a%20b/c/d")).unwrap();
        assert!(shown.starts_with("/proxy/a%20b/c/</D:href>"), "{shown}");
        assert_eq!([folder_href(&at("/")), folder_href(&at("/a"))], ["/", "/a/"]);
    }

    #[tokio::test]
    async fn a_lock_stands_in_the_way_of_all_but_who_has_its_token() {
        let (_place, _state, table) = table().await;
        let token = locked(&table, wanted("/a/file")).await;
        let way = |user: &str, tokens: &[&str]| {
            obstacle(&request(&table, "PROPPATCH", client(user, OTHERS), tokens), "/a/file")
        };
        assert_eq!(way("me", &[]), Some(token.clone()), "the same user, and another program");
        assert_eq!(way("me", &["urn:uuid:other"]), Some(token.clone()));
        assert_eq!(way("me", &["urn:uuid:other", &token]), None);
        assert_eq!(way("me", &[&format!("{NEGATED}{token}")]), None);
        assert_eq!(way("other", &[&token]), Some(token.clone()), "a token that was overheard");
        assert_eq!(obstacle(&patch(&table, &[]), "/a"), None);
        assert_eq!(obstacle(&patch(&table, &[]), "/a/other"), None);
    }

    #[tokio::test]
    async fn macos_is_not_locked_out_by_its_own_lock() {
        let (_place, _state, table) = table().await;
        let mac = |user: &str| request(&table, "PROPPATCH", client(user, MACOS), &[]);
        let token = mac("me").take(wanted("/a/file")).await.unwrap().token;
        assert_eq!(obstacle(&mac("me"), "/a/file"), None);
        assert_eq!(obstacle(&mac("other"), "/a/file"), Some(token.clone()));
        assert_eq!(obstacle(&patch(&table, &[]), "/a/file"), Some(token), "another program of the same user");
        let theirs = locked(&table, wanted("/a/theirs")).await;
        assert_eq!(obstacle(&mac("me"), "/a/theirs"), Some(theirs));
    }

    #[tokio::test]
    async fn what_changes_a_tree_meets_the_locks_in_it() {
        let (_place, _state, table) = table().await;
        let token = locked(&table, wanted("/a/b/file")).await;
        let way = |path: &str, deep, tokens: &[&str]| {
            let locks = patch(&table, tokens);
            locks.obstacle(&at(path), deep, &strings(tokens)).map(|lock| lock.token)
        };
        assert_eq!(way("/a", true, &[]), Some(token.clone()));
        assert_eq!(way("/a", true, &[&token]), None);
        assert_eq!(way("/a", false, &[]), None);
        assert_eq!(way("/b", true, &[]), None);
    }

    #[tokio::test]
    async fn a_folders_own_lock_is_of_its_members() {
        let (_place, _state, table) = table().await;
        let token = locked(&table, wanted("/a")).await;
        let way = |method: &str, exists: Option<bool>, tokens: &[&str]| {
            let context = context(method, client("me", OTHERS), tokens);
            if let Some(exists) = exists {
                context.outcome.note_existence(&context.path, exists);
            }
            obstacle(&table.for_request(Arc::new(context)), "/a/file")
        };
        for exists in [None, Some(false), Some(true)] {
            for method in ["DELETE", "MOVE"] {
                assert_eq!(way(method, exists, &[]), Some(token.clone()), "{method}");
            }
            for method in ["PROPPATCH", "UNLOCK"] {
                assert_eq!(way(method, exists, &[]), None, "{method}");
            }
            for method in ["PUT", "MKCOL", "COPY", "LOCK"] {
                let is_added = exists != Some(true);
                assert_eq!(way(method, exists, &[]).is_some(), is_added, "{method} {exists:?}");
                assert_eq!(way(method, exists, &[&token]), None, "{method}");
            }
        }
        let delete = request(&table, "DELETE", client("me", OTHERS), &[]);
        assert_eq!(obstacle(&delete, "/b/file"), None);
        // A deep lock above is no folder's own.
        let all = locked(&table, deep("/x")).await;
        assert_eq!(obstacle(&delete, "/x/y/file"), Some(all));
    }

    #[tokio::test]
    async fn one_of_several_shared_locks_is_enough_where_it_lies() {
        let (_place, _state, table) = table().await;
        let (mine, theirs) =
            (locked(&table, shared("/a/file")).await, locked_by(&table, "other", shared("/a/file")).await);
        assert_eq!(obstacle(&patch(&table, &[&mine]), "/a/file"), None);
        assert_eq!(obstacle(&patch(&table, &[]), "/a/file"), Some(mine.clone()));
        assert_eq!(obstacle(&patch(&table, &[&theirs]), "/a/file"), Some(mine.clone()));
        let above = locked(&table, Wanted { deep: true, ..shared("/a") }).await;
        assert_eq!(obstacle(&patch(&table, &[&mine]), "/a/file"), Some(above.clone()));
        assert_eq!(obstacle(&patch(&table, &[&above]), "/a/file"), Some(mine.clone()));
        assert_eq!(obstacle(&patch(&table, &[&mine, &above]), "/a/file"), None);
        let alone = locked(&table, wanted("/b")).await;
        assert_eq!(obstacle(&patch(&table, &[&mine]), "/b"), Some(alone));
    }

    #[tokio::test]
    async fn what_is_locked_is_not_locked_again() {
        let (_place, _state, table) = table().await;
        let token = locked(&table, wanted("/a/file")).await;
        let refused = patch(&table, &[&token]).take(wanted("/a/file")).await.unwrap_err();
        assert_eq!(refused.token, token);
        assert_eq!(tokens(&table, "/a/file"), [token]);
    }

    #[tokio::test]
    async fn a_file_that_its_lock_makes_is_a_new_member_of_its_folder() {
        let (_place, _state, table) = table().await;
        let folder = locked(&table, wanted("/a")).await;
        let lock = |tokens: &[&str], exists| {
            let context = context("LOCK", client("me", OTHERS), tokens);
            context.outcome.note_existence(&context.path, exists);
            table.for_request(Arc::new(context))
        };
        let refused = lock(&[], false).take(shared("/a/file")).await.unwrap_err();
        assert_eq!(refused.token, folder);
        lock(&[], true).take(shared("/a/file")).await.unwrap();
        lock(&[&folder], false).take(shared("/a/file")).await.unwrap();
        let other = lock(&[], false).take(wanted("/b/file")).await;
        assert!(other.is_ok(), "another folder");
        let above = locked(&table, Wanted { deep: true, ..shared("/x") }).await;
        assert!(lock(&[], false).take(shared("/x/y/file")).await.is_ok(), "{above} is no folder's own");
    }

    #[tokio::test]
    async fn macos_has_one_lock_of_a_file_at_the_most() {
        let (_place, state, table) = table().await;
        let take = |user: &str, path: &str| {
            let mac = request(&table, "PROPPATCH", client(user, MACOS), &[]);
            let wanted = wanted(path);
            async move { mac.take(wanted).await.map(|row| row.token).map_err(|row| row.token) }
        };
        let (old, beside) = (take("me", "/a").await.unwrap(), take("me", "/b").await.unwrap());
        let new = take("me", "/a").await.unwrap();
        assert_ne!(old, new);
        for table in [&table, &LockTable::load(state).await.unwrap()] {
            assert_eq!((tokens(table, "/a"), tokens(table, "/b")), (vec![new.clone()], vec![beside.clone()]));
        }
        assert_eq!(take("other", "/a").await, Err(new.clone()), "another user's");
        let far = Client::new(Some("me".to_owned()), [10, 0, 0, 1].into(), MACOS);
        let refused = request(&table, "PROPPATCH", far, &[]).take(wanted("/a")).await.unwrap_err();
        assert_eq!(refused.token, new, "another machine's");
        assert_eq!(tokens(&table, "/b"), [beside]);
    }

    #[tokio::test]
    async fn a_lock_is_given_back_by_whoever_has_it() {
        let (_place, state, table) = table().await;
        let (token, other) = (locked(&table, deep("/a")).await, locked(&table, wanted("/b")).await);
        let me = patch(&table, &[]);
        assert!(!me.release(&at("/a"), "urn:uuid:none").await);
        assert!(!me.release(&at("/b"), &token).await, "it is no lock of that");
        let thief = request(&table, "UNLOCK", client("other", OTHERS), &[]);
        assert!(!thief.release(&at("/a"), &token).await);
        assert_eq!(tokens(&table, "/a"), std::slice::from_ref(&token));
        assert!(me.release(&at("/a/below"), &token).await);
        for table in [&table, &LockTable::load(state).await.unwrap()] {
            assert_eq!((tokens(table, "/a"), tokens(table, "/b")), (vec![], vec![other.clone()]));
        }
    }

    #[tokio::test]
    async fn macos_is_rid_of_what_it_wants_to_be_rid_of() {
        let (_place, _state, table) = table().await;
        let theirs = locked(&table, wanted("/a")).await;
        let mac = request(&table, "UNLOCK", client("mac", MACOS), &[]);
        assert!(mac.release(&at("/a"), "urn:uuid:stale").await);
        assert!(mac.release(&at("/a"), &theirs).await);
        assert_eq!(tokens(&table, "/a"), [theirs], "but not of another's");
        let mine = mac.take(wanted("/b")).await.unwrap().token;
        assert!(mac.release(&at("/b"), &mine).await);
        assert!(tokens(&table, "/b").is_empty());
    }

    #[tokio::test]
    async fn a_refresh_gives_a_lock_a_new_end() {
        let (_place, state, table) = table().await;
        let token = locked(&table, wanted("/a")).await;
        let renew = |user: &str, path: &str, token: &str| {
            let locks = request(&table, "LOCK", client(user, OTHERS), &[]);
            let (path, token) = (at(path), token.to_owned());
            async move { locks.renew(path, token, Some(Duration::from_secs(1800))).await }
        };
        let before = now();
        let row = renew("me", "/a", &token).await.unwrap();
        assert_eq!((row.token.as_str(), row.timeout), (token.as_str(), 1800));
        let ends_in = row.expires_at - before;
        assert!((1_800_000..1_810_000).contains(&ends_in), "{ends_in}");
        assert_eq!(renew("me", "/a", "urn:uuid:none").await, None);
        assert_eq!(renew("me", "/b", &token).await, None);
        assert_eq!(renew("other", "/a", &token).await, None);
        let again = LockTable::load(state).await.unwrap();
        assert_eq!(again.covering(&at("/a")), [row], "after a restart");
        assert!(tokens(&table, "/b").is_empty());
    }

    #[tokio::test]
    async fn macos_gets_back_a_lock_that_is_gone() {
        let (_place, state, table) = table().await;
        let mac = request(&table, "LOCK", client("mac", MACOS), &[]);
        let old = mac.take(wanted("/a")).await.unwrap().token;
        let time = Some(Duration::from_secs(60));
        let row = mac.renew(at("/a"), "urn:uuid:gone".to_owned(), time).await.unwrap();
        assert_eq!((row.token.as_str(), row.timeout), ("urn:uuid:gone", 60));
        for table in [&table, &LockTable::load(state).await.unwrap()] {
            assert_eq!(tokens(table, "/a"), ["urn:uuid:gone"], "in the place of {old}");
        }
        locked(&table, wanted("/theirs")).await;
        assert_eq!(mac.renew(at("/theirs"), "urn:uuid:x".to_owned(), time).await, None);
    }

    #[tokio::test]
    async fn an_if_list_holds_where_its_token_locks_the_resource() {
        let (_place, _state, table) = table().await;
        let token = locked(&table, wanted("/a/file")).await;
        let me = patch(&table, &[]);
        let unmet = |locks: &RequestLocks, path: &str, tokens: &[&str]| {
            locks.unmet(at(path), &strings(tokens)).map(|lock| lock.token)
        };
        assert_eq!(unmet(&me, "/a/file", &[&token]), None);
        assert_eq!(unmet(&me, "/a/file", &[]), Some(token.clone()));
        assert_eq!(unmet(&me, "/a/file", &["urn:uuid:stale"]), Some(token.clone()));
        let other = request(&table, "PUT", client("other", OTHERS), &[]);
        assert_eq!(unmet(&other, "/a/file", &[&token]), None, "whose lock it is, is asked elsewhere");
        let mac = request(&table, "PUT", client("mac", MACOS), &[]);
        assert_eq!(unmet(&mac, "/a/file", &["urn:uuid:stale"]), Some(token));
        mac.take(wanted("/mac")).await.unwrap();
        assert_eq!(unmet(&mac, "/mac", &["urn:uuid:stale"]), None, "it means the lock that it has");
    }

    #[tokio::test]
    async fn a_token_of_elsewhere_locks_nothing_here() {
        let (_place, _state, table) = table().await;
        let elsewhere = locked(&table, wanted("/b")).await;
        // The request's own target is `/a/file`.
        let me = patch(&table, &[]);
        let unmet = |path: &str, tokens: &[&str]| me.unmet(at(path), &strings(tokens));
        assert_eq!(unmet("/a/file", &[&elsewhere]), None, "nobody has locked it");
        assert_eq!(unmet("/a/file", &["urn:uuid:stale"]), None);
        assert_eq!(unmet("/c", &["urn:uuid:stale"]), None, "nobody knows it any more");
        assert_eq!(unmet("/c", &[]), None);
        assert_eq!(unmet("/b", &[&elsewhere]), None);
        let plain = unmet("/c", &[&elsewhere]).unwrap();
        assert_eq!((plain.path, plain.deep, plain.shared), (at("/c"), false, false));
        assert_ne!(plain.token, elsewhere);
        let here = locked(&table, wanted("/c")).await;
        let plain = unmet("/c", &[&elsewhere]).unwrap();
        assert!(plain.token != here && plain.token != elsewhere);
        assert_eq!(unmet("/c", &[&elsewhere, &here]), None);
    }

    #[tokio::test]
    async fn a_negated_token_holds_for_who_has_the_lock() {
        let (_place, _state, table) = table().await;
        let token = locked(&table, wanted("/b")).await;
        let me = patch(&table, &[]);
        let negated = |token: &str| format!("{NEGATED}{token}");
        let unmet = |path: &str, tokens: &[&str]| me.unmet(at(path), &strings(tokens));
        assert_eq!(unmet("/b", &[&negated(&token)]), None);
        let plain = unmet("/b", &[&negated("urn:uuid:none")]).unwrap();
        assert_ne!(plain.token, token);
        assert!(unmet("/a/file", &[&negated("urn:uuid:none")]).is_some());
        assert!(unmet("/c", &[&negated(&token), &token]).is_some());
        assert_eq!([super::plain("urn:uuid:1"), super::plain(&negated("urn:uuid:1"))], ["urn:uuid:1"; 2]);
    }

    #[tokio::test]
    async fn what_is_gone_has_no_locks_nor_has_anything_in_it() {
        let (_place, state, table) = table().await;
        for path in ["/a", "/a/b", "/a/b/c"] {
            locked(&table, wanted(path)).await;
        }
        let beside = locked(&table, wanted("/ab")).await;
        patch(&table, &[]).remove_within(&at("/a")).await;
        for table in [&table, &LockTable::load(state).await.unwrap()] {
            assert!(["/a", "/a/b", "/a/b/c"].iter().all(|path| tokens(table, path).is_empty()));
            assert_eq!(tokens(table, "/ab"), std::slice::from_ref(&beside));
        }
    }
}
