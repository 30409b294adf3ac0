//! A prefix below which nothing lies: it may be a file, a folder that is still to come, or a slip of the pen.

use super::CommandError;
use crate::config::{BucketSpec, Caution};
use crate::object::parent_prefix;
use crate::spelling;
use crate::store::{ListRequest, ObjectStore};

/// Refuses a prefix that is an object, and says of others what may have been meant. `whole`: the bucket. What a
/// policy does not let one look at is left out.
pub(super) async fn look(whole: &dyn ObjectStore, spec: &BucketSpec) -> Result<Caution, CommandError> {
    // A key is the first of those that begin with it.
    let named = whole.list(&ListRequest::probe(&spec.prefix)).await.unwrap_or_default();
    if named.objects.first().is_some_and(|object| object.key.as_str() == spec.prefix) {
        let error = anyhow::anyhow!("{:?} is a file, not a folder", spec.to_string());
        let folder = BucketSpec {
            prefix: parent_prefix(&spec.prefix).trim_end_matches('/').to_owned(),
            ..spec.clone()
        };
        return Err(CommandError::hinted(
            error,
            format!("serve the folder that holds it: --bucket {folder}"),
        ));
    }
    let above = parent_prefix(&spec.prefix);
    let beside = whole.list(&ListRequest::children(above)).await.unwrap_or_default();
    let names = beside.prefixes.iter().filter_map(|folder| folder.strip_prefix(above)?.strip_suffix('/'));
    let near = near(&spec.prefix[above.len()..], names);
    let near: Vec<String> = near.iter().map(|name| format!("{}/{above}{name}", spec.bucket)).collect();
    Ok(Caution {
        message: format!("there is nothing below {}/ yet; the first file creates it", spec.prefix),
        hint: if near.is_empty() {
            "check its spelling if files should be there".to_owned()
        } else {
            format!("did you mean {}?", near.join(" or "))
        },
    })
}

/// The names that are most like the one that was given, the likest first.
fn near<'n>(given: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    // What moves the cursor of a terminal is not shown there.
    let names = names.filter(|name| !name.contains(char::is_control));
    let mut near = spelling::like(given, names, str::to_lowercase, LIKE_ENOUGH);
    near.truncate(MOST_NEAR);
    near
}

/// From 0 to 1: one wrong digit of a year is still near.
const LIKE_ENOUGH: f64 = 0.65;
/// More are no hint.
const MOST_NEAR: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_like_it_come_first() {
        let names = ["2026", "Photos", "photo", "phones", "x\u{1b}[2J", "music"];
        assert_eq!(near("photos", names.into_iter()), ["Photos", "photo", "phones"]);
        assert_eq!(near("2062", names.into_iter()), ["2026"]);
        assert!(near("elsewhere", names.into_iter()).is_empty());
        assert_eq!((parent_prefix("a"), parent_prefix("a/b"), parent_prefix("a/b/c")), ("", "a/", "a/b/"));
    }
}
