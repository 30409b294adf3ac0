//! Folders' markers of other tools, which lie beside the folder: an empty object of its name with the type of a
//! directory, and the empty `folder_$folder$` of Hadoop. They go where the folder goes.
//!
//! An object of the folder's name is asked for its type only where there is one. Hadoop's is known from a listing
//! of what holds the folder, else not asked for: it would be one more request for every folder.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Failure;
use super::metadata::Located;
use crate::object::{Key, ObjectMeta, Spelling, parent_prefix};
use crate::store::namespace::Namespace;
use crate::store::tree::Leaf;
use crate::store::{ObjectStore, existing};

/// The markers that lie beside `folder`.
pub(super) async fn beside(store: &Namespace, folder: &Located) -> Result<Vec<Leaf>, Failure> {
    let mut found = Vec::new();
    if folder.covers_object() {
        found.extend(marker(store, &folder.key, is_directory).await?);
    }
    let prefix = parent_prefix(&folder.key);
    let name = folder.key.strip_prefix(prefix).unwrap_or(&folder.key);
    let hadoops = format!("{name}{HADOOPS}");
    if matches!(store.find_normalized(prefix, &hadoops), Spelling::Stored(_)) {
        found.extend(marker(store, &format!("{prefix}{hadoops}"), |_| true).await?);
    }
    Ok(found)
}

/// Those of `covered`, objects that folders of their names cover, which are markers of these folders.
pub(super) async fn among(store: &Namespace, covered: Vec<String>) -> Result<HashSet<String>, Failure> {
    let asked = stream::iter(covered).map(|key| {
        let store = store.clone();
        async move { Ok::<_, Failure>(marker(&store, &key, is_directory).await?.map(|_| key)) }
    });
    asked.buffer_unordered(PARALLEL_LOOKS).try_filter_map(|key| async { Ok(key) }).try_collect().await
}

/// The object at `key`, if it is empty and fits.
async fn marker(
    store: &Namespace,
    key: &str,
    fits: impl Fn(&ObjectMeta) -> bool,
) -> Result<Option<Leaf>, Failure> {
    let key = Key::new(key)?;
    let meta = existing(store.head(&key).await)?.filter(|meta| meta.size == 0 && fits(meta));
    Ok(meta.map(|ObjectMeta { etag, size, storage_class, .. }| Leaf { key, etag, size, storage_class }))
}

/// Whether its type is a directory's, whatever parameters follow.
fn is_directory(meta: &ObjectMeta) -> bool {
    let content_type = meta.content_type.as_deref().unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    DIRECTORY_TYPES.iter().any(|known| essence.eq_ignore_ascii_case(known))
}

/// What tools that stand for folders by objects give these.
const DIRECTORY_TYPES: [&str; 2] = ["application/x-directory", "httpd/unix-directory"];
/// Hadoop's ending of a folder's name.
const HADOOPS: &str = "_$folder$";
/// As many as S3 answers at once without a thought.
const PARALLEL_LOOKS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ETag;

    #[test]
    fn directories_are_told_by_their_type() {
        let meta = |content_type: Option<&str>| ObjectMeta {
            size: 0,
            etag: ETag::new("e"),
            last_modified: std::time::UNIX_EPOCH,
            content_type: content_type.map(str::to_owned),
            storage_class: None,
            user: Default::default(),
        };
        for is in
            ["application/x-directory", "HTTPD/unix-directory", "application/x-directory ; charset=UTF-8"]
        {
            assert!(is_directory(&meta(Some(is))), "{is}");
        }
        for is_not in ["", "text/plain", "application/x-directory2", "text/plain; application/x-directory"] {
            assert!(!is_directory(&meta(Some(is_not))), "{is_not}");
        }
        assert!(!is_directory(&meta(None)));
    }
}
