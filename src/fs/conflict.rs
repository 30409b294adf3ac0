//! Where content goes whose place was taken by somebody else's.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::macros::format_description;

use super::resource_path::MAX_NAME_BYTES;

/// The keys to try beside `key`, in order, for what must not replace anything.
pub fn keys_beside(key: &str) -> impl Iterator<Item = String> {
    let (host, now) = (host(), SystemTime::now());
    (1..=MOST_COPIES).map(move |number| conflict_key(key, &host, now, number))
}

/// `dir/name.ext` -> `dir/name (conflict HOST 2026-11-21 120000).ext`, in UTC; ` 2` and so on are
/// added from the second on. The stem is cut so that the name stays one.
fn conflict_key(key: &str, host: &str, at: SystemTime, number: u32) -> String {
    let (folder, name) = key.rsplit_once('/').map_or(("", key), |(folder, name)| (folder, name));
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    };
    let format = format_description!("[year]-[month]-[day] [hour][minute][second]");
    // This format has no part that could fail.
    let date = OffsetDateTime::from(at).format(&format).unwrap_or_default();
    let number = if number > 1 { format!(" {number}") } else { String::new() };
    let mark = format!(" (conflict {host} {date}){number}");
    let room = MAX_NAME_BYTES.saturating_sub(mark.len() + extension.len());
    let stem = &stem[..stem.floor_char_boundary(room)];
    let name = format!("{stem}{mark}{extension}");
    if folder.is_empty() { name } else { format!("{folder}/{name}") }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflict_names_say_who_and_when_and_keep_the_extension() {
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        let name = |key: &str, number| conflict_key(key, "mac", at, number);
        assert_eq!(name("a/b/letter.txt", 1), "a/b/letter (conflict mac 2023-11-14 221320).txt");
        assert_eq!(name("letter", 3), "letter (conflict mac 2023-11-14 221320) 3");
        assert_eq!(name(".profile", 1), ".profile (conflict mac 2023-11-14 221320)");
        let long = name(&format!("d/{}.jpeg", "\u{e9}".repeat(125)), 2);
        let long = long.strip_prefix("d/").unwrap();
        assert!(long.len() <= 255 && long.len() > 252 && long.ends_with(") 2.jpeg"), "{long}");
    }
}
