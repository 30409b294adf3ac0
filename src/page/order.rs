//! The order of a listing: folders first, then as Finder sorts.

use std::cmp::Ordering;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::entry::Entry;

/// What a listing is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Size,
    Modified,
}

/// A column, and which end of it comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub(super) column: Column,
    pub(super) is_descending: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self::of(Column::Name)
    }
}

impl Order {
    /// By a column, the end that is looked for more often first: `a`, the largest, the newest.
    pub(super) fn of(column: Column) -> Self {
        Self { column, is_descending: column != Column::Name }
    }

    /// Of an address: `sort=size&order=asc`. What it does not understand it ignores.
    pub fn parse(query: Option<&str>) -> Self {
        let pairs = || query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let value = |wanted| pairs().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let order = match value("sort") {
            Some("size") => Self::of(Column::Size),
            Some("modified") => Self::of(Column::Modified),
            _ => Self::default(),
        };
        match value("order") {
            Some("asc") => Self { is_descending: false, ..order },
            Some("desc") => Self { is_descending: true, ..order },
            _ => order,
        }
    }

    /// The query of an address that says so.
    pub(super) fn query(self) -> String {
        let column = match self.column {
            Column::Name => "name",
            Column::Size => "size",
            Column::Modified => "modified",
        };
        format!("?sort={column}&order={}", if self.is_descending { "desc" } else { "asc" })
    }

    /// What a click on a column's head leads to: the other way round, if it is this column already.
    pub(super) fn after_click(self, column: Column) -> Self {
        if self.column == column {
            Self { is_descending: !self.is_descending, ..self }
        } else {
            Self::of(column)
        }
    }

    /// Sorts. Folders, which have no size and may have no date, stay by name where those are equal.
    pub(super) fn sort(self, entries: &mut [Entry]) {
        entries.sort_by_cached_key(|entry| (natural(&entry.name), entry.name.clone()));
        let compare = |a: &Entry, b: &Entry| match self.column {
            Column::Name => Ordering::Equal,
            Column::Size => a.size.cmp(&b.size),
            Column::Modified => a.modified.cmp(&b.modified),
        };
        if !self.is_descending {
            entries.sort_by(compare);
        } else if self.column == Column::Name {
            entries.reverse();
        } else {
            entries.sort_by(|a, b| compare(b, a));
        }
        entries.sort_by_key(|entry| !entry.is_folder);
    }
}

/// What is compared of a name instead of it: neither case nor accents count, and a number counts as one, since its
/// length is written before its digits.
fn natural(name: &str) -> String {
    let bare = name.nfkd().filter(|c| canonical_combining_class(*c) == 0);
    let mut folded = bare.flat_map(char::to_uppercase).flat_map(char::to_lowercase).peekable();
    let mut key = String::with_capacity(name.len() + 8);
    while let Some(first) = folded.next() {
        if !first.is_ascii_digit() {
            if first.is_ascii() && !first.is_ascii_alphabetic() {
                // Before digits and letters, on whichever side of them ASCII has it.
                key.push('\u{1}');
            }
            key.push(first);
            continue;
        }
        let mut digits = String::from(first);
        while let Some(digit) = folded.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        let number = digits.trim_start_matches('0');
        // A name is too short for a length that is no character.
        key.extend(['0', char::from_u32(number.len() as u32).unwrap_or(char::MAX)]);
        key.push_str(number);
    }
    key
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn file(name: &str, size: u64, second: u64) -> Entry {
        Entry {
            name: name.to_owned(),
            href: name.to_owned(),
            is_folder: false,
            size,
            modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(second)),
            content_type: None,
        }
    }

    fn folder(name: &str) -> Entry {
        Entry { is_folder: true, modified: None, ..file(name, 0, 0) }
    }

    fn sorted(order: &str, mut entries: Vec<Entry>) -> Vec<String> {
        Order::parse(Some(order)).sort(&mut entries);
        entries.into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn names_are_sorted_as_people_read_them() {
        let expected = [
            "_draft",
            "1.txt",
            "2.txt",
            "010.txt",
            "10.txt",
            "a b",
            "a_b",
            "ab",
            "apple",
            "Ärger",
            "Arm",
            "E\u{301}t\u{e9}",
            "IMG_9.jpg",
            "img_10.jpg",
            "IMG_010b.jpg",
            "IMG_11.jpg",
            "IMG_99999999999999999999999.jpg",
            "Straße",
            "strassen",
            "Zebra",
            "Яблоко",
            "日本",
        ];
        let mut names: Vec<_> = expected.iter().rev().map(|name| file(name, 0, 0)).collect();
        names.rotate_left(5);
        assert_eq!(sorted("", names), expected);
    }

    #[test]
    fn folders_come_first_whatever_counts() {
        let all = || vec![file("b", 1, 9), folder("z2"), file("a", 5, 5), folder("Z10"), file("c", 5, 7)];
        assert_eq!(sorted("sort=name&order=asc", all()), ["z2", "Z10", "a", "b", "c"]);
        assert_eq!(sorted("sort=name&order=desc", all()), ["Z10", "z2", "c", "b", "a"]);
        assert_eq!(sorted("sort=size", all()), ["z2", "Z10", "a", "c", "b"]);
        assert_eq!(sorted("order=asc&sort=size", all()), ["z2", "Z10", "b", "a", "c"]);
        assert_eq!(sorted("sort=modified", all()), ["z2", "Z10", "b", "c", "a"]);
        assert_eq!(sorted("sort=modified&order=asc", all()), ["z2", "Z10", "a", "c", "b"]);
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        for query in
            ["", "sort", "sort=", "sort=colour&order=up", "x=1&&=&sort=name", "order=asc", "SORT=size"]
        {
            assert_eq!(Order::parse(Some(query)), Order::default(), "{query}");
        }
        assert_eq!(Order::parse(None), Order::default());
    }

    #[test]
    fn a_second_click_turns_the_order_round() {
        let by_size = Order::default().after_click(Column::Size);
        assert_eq!(by_size.query(), "?sort=size&order=desc");
        assert_eq!(by_size.after_click(Column::Size).query(), "?sort=size&order=asc");
        assert_eq!(by_size.after_click(Column::Name), Order::default());
        for column in [Column::Name, Column::Size, Column::Modified] {
            for is_descending in [true, false] {
                let order = Order { column, is_descending };
                assert_eq!(Order::parse(order.query().strip_prefix('?')), order);
            }
        }
    }
}
