//! Names in a directory that belong to somebody else.

/// Whose a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Uploads under way, and what a killed gateway left of them.
    Gateway,
    /// What lost against a change in the bucket: Amazon S3 Files keeps it, and it cannot be moved.
    S3Files,
    /// What is deleted but still open somewhere: the NFS client keeps it until it is closed.
    Nfs,
}

/// Whose `name` is; `None`: the user's.
pub(super) fn owner(name: &str) -> Option<Owner> {
    if name.starts_with(PART) {
        return Some(Owner::Gateway);
    }
    if name.starts_with(".s3files-lost+found-") {
        return Some(Owner::S3Files);
    }
    let is_silly =
        |rest: &str| rest.len() >= 16 && rest.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    name.strip_prefix(".nfs").is_some_and(is_silly).then_some(Owner::Nfs)
}

/// Whether nothing of this name is there for a client. What Amazon S3 Files keeps is in no listing either, but
/// whoever lost something finds it by its name.
pub(super) fn is_unseen(name: &str) -> bool {
    matches!(owner(name), Some(Owner::Gateway | Owner::Nfs))
}

/// Begins the names of what this gateway writes and has not put in its place. `run` tells one life of
/// a gateway from another.
pub(super) fn part_name(run: &str, number: u64) -> String {
    format!("{PART}{run}-{number}")
}

/// Whether `name` is a part of another life of the gateway that has `source`.
pub(super) fn is_orphan(name: &str, source: &str, run: &str) -> bool {
    name.strip_prefix(PART).is_some_and(|rest| rest.starts_with(source) && !rest.starts_with(run))
}

const PART: &str = ".s3dav-part-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_told_from_the_users() {
        assert_eq!(owner(".s3files-lost+found-fs-0123"), Some(Owner::S3Files));
        assert_eq!(owner(".nfs000000000a1b2c3d00000001"), Some(Owner::Nfs));
        assert_eq!(owner(&part_name("ab-cd", 7)), Some(Owner::Gateway));
        for name in ["x", ".nfs", ".nfsrc", ".nfs-notes", ".s3files", ".s3dav", ".DS_Store"] {
            assert_eq!(owner(name), None, "{name}");
        }
        assert!(is_orphan(&part_name("ab-cd", 7), "ab-", "ab-ef-"));
        assert!(!is_orphan(&part_name("ab-cd", 7), "ab-", "ab-cd-"));
        assert!(!is_orphan(&part_name("zz-cd", 7), "ab-", "ab-ef-"));
    }
}
