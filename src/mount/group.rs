//! Whether a group is one user's alone, as the groups are that Linux makes for each user: what it may write, nobody
//! else may.

use std::fs;

/// Whether that group has no member but that user, as far as the files of this machine tell. What they do not
/// tell is not so: macOS keeps its users elsewhere, where `staff` is everybody, and so may a network.
pub(super) fn is_private(gid: u32, uid: u32) -> bool {
    match (fs::read_to_string(GROUPS), fs::read_to_string(USERS)) {
        (Ok(groups), Ok(users)) => is_private_in(&groups, &users, gid, uid),
        _ => false,
    }
}

/// The group of that user's name, which has no other members, and is no other user's own.
fn is_private_in(groups: &str, users: &str, gid: u32, uid: u32) -> bool {
    // Name, password, number, …
    let numbered =
        |fields: &[&str], number: u32| fields.get(2).and_then(|text| text.parse().ok()) == Some(number);
    let (groups, users) = (rows(groups), rows(users));
    let Some(name) = users.iter().find(|user| numbered(user, uid)).map(|user| user[0]) else { return false };
    let mut same: Vec<_> = groups.iter().filter(|group| numbered(group, gid)).collect();
    let Some(group) = same.pop() else { return false };
    let members = group.get(3).copied().unwrap_or_default().split(',').map(str::trim);
    let has_others = members.filter(|member| !member.is_empty()).any(|member| member != name)
        || users.iter().any(|user| user.get(3) == Some(&&*gid.to_string()) && !numbered(user, uid));
    group[0] == name && same.is_empty() && !has_others
}

fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split(':').collect()).collect()
}

const GROUPS: &str = "/etc/group";
const USERS: &str = "/etc/passwd";

#[cfg(test)]
mod tests {
    use super::*;

    const OF_USERS: &str = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n\
        you:x:1001:100::/home/you:/bin/sh\nthird:x:1002:1002::/:/bin/sh\nfourth:x:1003:1002::/:/bin/sh\n";
    const OF_GROUPS: &str = "root:x:0:\nme:x:1000:\nusers:x:100:\nproject:x:2000:me\nthird:x:1002:\n\
        you:x:1001:you,me\n";

    #[test]
    fn a_users_own_group_is_his_alone() {
        let is_private = |gid, uid| is_private_in(OF_GROUPS, OF_USERS, gid, uid);
        assert!(is_private(1000, 1000));
        assert!(is_private(0, 0));
        assert!(!is_private(1000, 1001), "another user's");
        assert!(!is_private(1001, 1001), "it has a member");
        assert!(!is_private(1002, 1002), "it is another user's own, too");
        assert!(!is_private(100, 1001), "everybody's, whom a network may add to");
        assert!(!is_private(2000, 1000), "no user's own");
        assert!(!is_private(3000, 1000) && !is_private(1000, 3000), "unknown");
        let only = OF_GROUPS.replace("me:x:1000:", "me:x:1000:me");
        assert!(is_private_in(&only, OF_USERS, 1000, 1000));
        let twice = format!("{OF_GROUPS}others:x:1000:you\n");
        assert!(!is_private_in(&twice, OF_USERS, 1000, 1000));
        assert!(!is_private_in("", "", 0, 0) && !is_private_in("::::\n\n", "a\n:\n", 0, 0));
    }
}
