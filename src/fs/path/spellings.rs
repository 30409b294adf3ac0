//! A path in whatever spelling it is stored in. All of this blocks; see [`super::disk`].

use super::root::{Found, Root};
use super::{Failure, Located, ResourcePath};
use crate::fs::names::{has_one_spelling, other_spellings};
use crate::fs::resource_path::MAX_NAME_BYTES;

/// The exact spelling goes first.
pub(super) fn search(root: &Root, path: &ResourcePath) -> Result<Option<Located>, Failure> {
    let spellings = other_spellings(path);
    // Decomposed, a name may be longer than any name can be.
    let is_possible = |path: &&ResourcePath| path.segments().iter().all(|name| name.len() <= MAX_NAME_BYTES);
    for key in std::iter::once(path).chain(spellings.iter().filter(is_possible)).map(ResourcePath::key) {
        if let Some(Found { stat, is_link }) = root.find(&key)? {
            return Ok(Some(Located { key, stat, is_link, shown: None }));
        }
    }
    let Some(key) = stored_spelling(root, path)? else { return Ok(None) };
    Ok(root.find(&key)?.map(|Found { stat, is_link }| Located { key, stat, is_link, shown: None }))
}

/// The key of what means the same as `path` to Unicode, segment by segment, in whatever spelling: only the names of
/// a folder tell that.
fn stored_spelling(root: &Root, path: &ResourcePath) -> Result<Option<String>, Failure> {
    if path.segments().iter().all(|name| has_one_spelling(name)) {
        return Ok(None);
    }
    let mut key = String::new();
    for name in path.segments() {
        let spelled = if key.is_empty() { name.clone() } else { format!("{key}/{name}") };
        if has_one_spelling(name) || root.find(&spelled)?.is_some() {
            key = spelled;
            continue;
        }
        match root.find_normalized(&key, name)? {
            Some(stored) if key.is_empty() => key = stored,
            Some(stored) => key = format!("{key}/{stored}"),
            None => return Ok(None),
        }
    }
    Ok(Some(key))
}
