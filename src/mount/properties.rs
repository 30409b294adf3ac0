//! What the system says is mounted.

use proptest::collection::vec;
use proptest::prelude::*;

use super::table::{Entry, of_mount_output, of_mountinfo};
use crate::testing::{any_text, config, near_text};

fn kind() -> impl Strategy<Value = String> {
    prop_oneof![Just("fuse".to_owned()), Just("webdav".to_owned()), "[a-z][a-z0-9.]{0,9}"]
}

/// What Linux shows of a mount: blanks and backslashes may stand in either place, nowhere a newline.
fn entry() -> impl Strategy<Value = Entry> {
    let place = || prop_oneof!["/[a-z /\\\\]{0,12}", "/[^\\p{Cc}]{0,12}"];
    let source = prop_oneof![Just("http://127.0.0.1:8330/".to_owned()), place(), "[a-z]{1,8}"];
    (source, place(), kind(), any::<Option<u32>>()).prop_map(|(source, point, kind, owner)| Entry {
        source,
        point: point.into(),
        kind,
        owner,
    })
}

/// As the kernel escapes it.
fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        ' ' | '\t' | '\n' | '\\' | '#' => format!("\\{:03o}", c as u32),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

fn mountinfo(entries: &[Entry]) -> String {
    let line = |(index, entry): (usize, &Entry)| {
        let point = escaped(entry.point.to_str().unwrap());
        let optional = if index % 2 == 0 { "shared:7 master:2 " } else { "" };
        let owner = entry.owner.map(|uid| format!(",user_id={uid},group_id=7")).unwrap_or_default();
        format!(
            "{index} 22 0:50 / {point} rw,nosuid {optional}- {} {} rw{owner}\n",
            entry.kind,
            escaped(&entry.source)
        )
    };
    entries.iter().enumerate().map(line).collect()
}

/// What macOS prints, which escapes nothing: places that it cannot tell from its own words are left out.
fn printed() -> impl Strategy<Value = Entry> {
    let source =
        prop_oneof![Just("http://127.0.0.1:8330/".to_owned()), "/dev/disk[0-9]s[0-9]", "map auto_[a-z]{1,8}"];
    let point = "/[a-zA-Z0-9 ._()-]{0,16}[a-zA-Z0-9)]";
    let owner = None;
    (source, point, kind()).prop_map(move |(source, point, kind)| Entry {
        source,
        point: point.into(),
        kind,
        owner,
    })
}

fn mount_output(entries: &[Entry]) -> String {
    let line = |entry: &Entry| {
        format!("{} on {} ({}, nodev, mounted by me)\n", entry.source, entry.point.display(), entry.kind)
    };
    entries.iter().map(line).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_mount_of_linux_is_found(entries in vec(entry(), 0..6)) {
        prop_assert_eq!(of_mountinfo(&mountinfo(&entries)), entries);
    }

    #[test]
    fn every_mount_of_macos_is_found(entries in vec(printed(), 0..6)) {
        prop_assert_eq!(of_mount_output(&mount_output(&entries)), entries);
    }

    #[test]
    fn a_line_is_a_mount_at_the_most(
        text in prop_oneof![
            any_text(),
            near_text(vec(entry(), 0..4).prop_map(|entries| mountinfo(&entries))),
            near_text(vec(printed(), 0..4).prop_map(|entries| mount_output(&entries))),
        ],
    ) {
        let (linux, macos) = (of_mountinfo(&text), of_mount_output(&text));
        prop_assert!(linux.len() <= text.lines().count() && macos.len() <= text.lines().count());
        prop_assert!(linux.iter().all(|entry| !entry.kind.contains(' ')));
        prop_assert!(macos.iter().all(|entry| !entry.kind.contains(',')));
    }
}
