//! Keys that no path can show, within a tree.

use crate::fs::resource_path::is_showable_key;
use crate::store::tree::Leaf;

/// The hidden ones among `leaves`, which are in byte order: impossible names, markers with a content, and
/// objects that a folder of the same name covers.
pub(super) fn hidden_keys(leaves: &[Leaf]) -> Vec<&str> {
    let has_hidden_content = |leaf: &Leaf| leaf.key.as_str().ends_with('/') && leaf.size > 0;
    let is_hidden = |leaf: &&Leaf| {
        !is_showable_key(leaf.key.as_str()) || has_hidden_content(leaf) || is_covered(leaves, leaf)
    };
    leaves.iter().filter(is_hidden).map(|leaf| leaf.key.as_str()).collect()
}

/// The empty ones among `leaves` that a folder of the same name covers: they may be its marker.
pub(super) fn possible_markers(leaves: &[Leaf]) -> Vec<String> {
    let is_one =
        |leaf: &&Leaf| leaf.size == 0 && is_showable_key(leaf.key.as_str()) && is_covered(leaves, leaf);
    leaves.iter().filter(is_one).map(|leaf| leaf.key.to_string()).collect()
}

/// Whether one of `leaves` is covered by a folder of its name, of which others are.
fn is_covered(leaves: &[Leaf], leaf: &Leaf) -> bool {
    let is_folder = |name: &str| {
        let prefix = format!("{name}/");
        let at = leaves.partition_point(|leaf| leaf.key.as_str() < prefix.as_str());
        leaves.get(at).is_some_and(|leaf| leaf.key.as_str().starts_with(&prefix))
    };
    let key = leaf.key.as_str();
    !key.ends_with('/') && is_folder(key)
}

/// What the user is told when a folder cannot be deleted because of them.
pub(super) fn refusal(keys: &[&str]) -> String {
    let first: Vec<String> = keys.iter().take(5).map(|key| format!("{key:?}")).collect();
    format!(
        "the folder contains {} object(s) that cannot be shown, e.g. {}; start the gateway with \
         --delete-hidden to delete them as well",
        keys.len(),
        first.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ETag, Key};

    #[test]
    fn impossible_and_covered_keys_are_hidden() {
        let mut keys = ["t/", "t//x", "t/a", "t/a!", "t/a/b", "t/./y", "t/c\u{7}", "t/full/"];
        keys.sort();
        let leaf = |key: &&str| Leaf {
            key: Key::new(key).unwrap(),
            etag: ETag::new("e"),
            size: u64::from(key.ends_with("full/")),
            storage_class: None,
        };
        let leaves: Vec<Leaf> = keys.iter().map(leaf).collect();
        let mut hidden = hidden_keys(&leaves);
        hidden.sort();
        assert_eq!(hidden, ["t/./y", "t//x", "t/a", "t/c\u{7}", "t/full/"]);
        assert_eq!(possible_markers(&leaves), ["t/a"]);
        assert!(refusal(&hidden).contains("--delete-hidden"));
    }
}
