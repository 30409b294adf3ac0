//! Our locks for the engine: its paths and elements as text, our rows as its locks.

use std::time::{Duration, UNIX_EPOCH};

use dav_server::davpath::DavPath;
use dav_server::ls::{DavLock, DavLockSystem, LsFuture};
use xmltree::Element;

use crate::dav::locks::{RequestLocks, Wanted, seconds_left};
use crate::fs::ResourcePath;
use crate::path_key::PathKey;
use crate::state::LockRow;

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
        let wanted =
            Wanted { path: path_key(path), owner: owner.and_then(element_text), timeout, shared, deep };
        let (path, owner) = (path.clone(), owner.cloned());
        Box::pin(async move {
            match self.take(wanted).await {
                Ok(row) => Ok(DavLock { owner: owner.map(Box::new), ..dav_lock(&row, path) }),
                Err(other) => Err(dav_lock(&other, path)),
            }
        })
    }

    fn unlock(&'_ self, path: &DavPath, token: &str) -> LsFuture<'_, Result<(), ()>> {
        let (path, token) = (path_key(path), token.to_owned());
        Box::pin(async move { if self.release(&path, &token).await { Ok(()) } else { Err(()) } })
    }

    fn refresh(
        &'_ self,
        path: &DavPath,
        token: &str,
        timeout: Option<Duration>,
    ) -> LsFuture<'_, Result<DavLock, ()>> {
        let (path, token) = (path.clone(), token.to_owned());
        Box::pin(async move {
            let refreshed = self.renew(path_key(&path), token, timeout).await;
            refreshed.map(|row| dav_lock(&row, path)).ok_or(())
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
        let name = path_key(path);
        let obstacle =
            if ignore_principal { self.unmet(name, tokens) } else { self.obstacle(&name, deep, tokens) };
        let result = obstacle.map_or(Ok(()), |lock| Err(dav_lock(&lock, path.clone())));
        Box::pin(async move { result })
    }

    fn discover(&'_ self, path: &DavPath) -> LsFuture<'_, Vec<DavLock>> {
        let locks = self.covering(&path_key(path));
        let path = path.clone();
        Box::pin(async move { locks.iter().map(|lock| dav_lock(lock, path.clone())).collect() })
    }

    fn delete(&'_ self, path: &DavPath) -> LsFuture<'_, Result<(), ()>> {
        let path = path_key(path);
        Box::pin(async move {
            self.remove_within(&path).await;
            Ok(())
        })
    }
}

/// The path as locks name it.
fn path_key(path: &DavPath) -> PathKey {
    ResourcePath::parse(&path.as_url_string()).map(|path| path.path_key()).unwrap_or_default()
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

/// An element without an XML declaration.
fn element_text(element: &Element) -> Option<String> {
    let mut bytes = Vec::new();
    let config = xmltree::EmitterConfig { write_document_declaration: false, ..Default::default() };
    element.write_with_config(&mut bytes, config).ok()?;
    String::from_utf8(bytes).ok()
}
