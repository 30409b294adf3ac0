//! Where content goes whose place was taken by somebody else's: always a name that can be shown.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::macros::format_description;

use super::resource_path::{MAX_NAME_BYTES, is_showable_key};
use crate::object::MAX_KEY_BYTES;

/// How long what is stored beside something else may be called, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Of one name.
    pub name: usize,
    /// Of the whole key.
    pub key: usize,
}

impl Default for Room {
    /// What a path can have. One byte is for the slash that a folder's marker has.
    fn default() -> Self {
        Self { name: MAX_NAME_BYTES, key: MAX_KEY_BYTES - 1 }
    }
}

/// The keys to try beside `key`, in order, for what must not replace anything. All of them can be shown.
pub fn keys_beside(key: &str, room: Room) -> impl Iterator<Item = String> {
    let (host, now) = (host(), SystemTime::now());
    (1..=MOST_COPIES).map(move |number| conflict_key(key, &mark(&host, now, number), room))
}

/// ` (conflict HOST 2026-11-21 120000)`, in UTC; ` 2` and so on are added from the second on.
fn mark(host: &str, at: SystemTime, number: u32) -> String {
    let format = format_description!("[year]-[month]-[day] [hour][minute][second]");
    // This format has no part that could fail.
    let date = OffsetDateTime::from(at).format(&format).unwrap_or_default();
    let number = if number > 1 { format!(" {number}") } else { String::new() };
    format!(" (conflict {host} {date}){number}")
}

/// `dir/name.ext` -> `dir/name MARK.ext`. The stem is cut where there is no room for all of it; where there is
/// none for its beginning, the name goes to the nearest folder above that has it.
fn conflict_key(key: &str, mark: &str, room: Room) -> String {
    let (mut folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    let (stem, extension) = name.split_at(name.len() - extension(name).len());
    // What the name is made for must not be hidden by it.
    let stem: String = stem.chars().filter(|c| !c.is_control()).collect();
    let rest = mark.len() + extension.len();
    let least = stem.len().min(SHORTEST_STEM) + rest;
    let is_possible =
        |folder: &str| folder.len() + 1 + least <= room.key && is_showable_key(&format!("{folder}/"));
    while !folder.is_empty() && !is_possible(folder) {
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
    }
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let most = room.name.min(room.key.saturating_sub(prefix.len())).saturating_sub(rest);
    let stem = &stem[..stem.floor_char_boundary(most)];
    format!("{prefix}{stem}{mark}{extension}")
}

/// What a name ends with that says what is in the file, its dot included; mostly empty where a dot is
/// punctuation.
fn extension(name: &str) -> &str {
    let dot = name.rfind('.').filter(|dot| *dot > 0).unwrap_or(name.len());
    let extension = &name[dot..];
    let is_punctuation = extension.contains(|c: char| c.is_whitespace() || c.is_control());
    if is_punctuation || extension.len() > MAX_EXTENSION { "" } else { extension }
}

/// This machine's name, as far as it can stand in a file's.
fn host() -> String {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy();
    let name = name.split('.').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name: String = name.chars().map(plain).take(MAX_HOST).collect();
    if name.is_empty() { "gateway".to_owned() } else { name }
}

/// So many conflicts of one file in one second are no accident.
const MOST_COPIES: u32 = 99;
const MAX_HOST: usize = 40;
/// Bytes with the dot. The longest in use are those of bundles (`.photoslibrary`).
const MAX_EXTENSION: usize = 16;
/// Bytes by which a file is recognised still.
const SHORTEST_STEM: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflict_names_say_who_and_when_and_keep_the_extension() {
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        let name = |key: &str, number| conflict_key(key, &mark("mac", at, number), Room::default());
        assert_eq!(name("a/b/letter.txt", 1), "a/b/letter (conflict mac 2023-11-14 221320).txt");
        assert_eq!(name("letter", 3), "letter (conflict mac 2023-11-14 221320) 3");
        assert_eq!(name(".profile", 1), ".profile (conflict mac 2023-11-14 221320)");
        let long = name(&format!("d/{}.jpeg", "\u{e9}".repeat(125)), 2);
        let long = long.strip_prefix("d/").unwrap();
        assert!(long.len() <= 255 && long.len() > 252 && long.ends_with(") 2.jpeg"), "{long}");
    }

    #[test]
    fn a_dot_in_a_sentence_begins_no_extension() {
        let key = |name: &str| conflict_key(name, " M", Room::default());
        assert_eq!(key("1. the first"), "1. the first M");
        assert_eq!(key("v1.2_of_something_long"), "v1.2_of_something_long M");
        assert_eq!(key("a.photoslibrary"), "a M.photoslibrary");
        assert_eq!(key("d/Icon\r"), "d/Icon M");
        assert_eq!(key("d/a.b\r"), "d/a.b M");
    }

    #[test]
    fn where_a_path_is_too_long_the_stem_is_cut_and_then_the_folder_is_another() {
        let room = Room { name: 60, key: 100 };
        let key = |key: String| conflict_key(&key, " (conflict)", room);
        let folder = |bytes: usize| format!("top/{}", "d".repeat(bytes - 4));
        assert_eq!(
            key(format!("{}/{}.txt", folder(50), "n".repeat(50))),
            format!("{}/{} (conflict).txt", folder(50), "n".repeat(34))
        );
        assert_eq!(
            key(format!("{}/{}.txt", folder(68), "n".repeat(27))),
            format!("{}/{} (conflict).txt", folder(68), "n".repeat(16))
        );
        assert_eq!(
            key(format!("{}/{}.txt", folder(69), "n".repeat(26))),
            format!("top/{} (conflict).txt", "n".repeat(26))
        );
        assert_eq!(key(format!("{}/a", folder(97))), "top/a (conflict)");
        assert_eq!(key(format!("{}/a", "d".repeat(98))), "a (conflict)");
        // Nor is it hidden by what hides the file itself.
        assert_eq!(key("d//x".into()), "d/x (conflict)");
        assert_eq!(key("d/\u{7}/x".into()), "d/x (conflict)");
    }
}
