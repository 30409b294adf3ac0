//! The empty file that a lock has made: to a client that fills it next, and has the lock, it is not there yet.
//!
//! davfs2 locks what it is about to make. When the answer is lost it finds its lock by itself, and then sends the
//! content on the condition that there is nothing; refused, it would put the file into its `lost+found`. RFC 2518 had
//! a name for such files, lock-null resources; RFC 4918 shows them as empty ones.

use std::sync::Arc;

use http::{HeaderMap, Method, header};

use super::locks::LockTable;
use crate::fs::{FileSystem, RequestContext};

/// Whether a PUT wants nothing to be there, and finds no more than that.
pub(super) async fn is_met(
    context: &RequestContext,
    headers: &HeaderMap,
    locks: &LockTable,
    fs: impl FnOnce() -> Arc<dyn FileSystem>,
) -> bool {
    let wants_nothing = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == "*");
    let fills_later = context.client.quirks().fills_later;
    if context.method != Method::PUT || !wants_nothing || !fills_later || !locks.is_held_alone(context) {
        return false;
    }
    fs().stat(&context.path).await.is_ok_and(|there| !there.is_folder && there.size == 0)
}
