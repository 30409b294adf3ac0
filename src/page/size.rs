//! Sizes and counts, as people write them.

/// `1.5 MB`, as Finder counts: by thousands.
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["bytes", "KB", "MB", "GB", "TB"];
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 999.5 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    match (bytes, unit) {
        (1, _) => "1 byte".to_owned(),
        _ if unit > 0 && size < 9.95 => format!("{size:.1} {}", units[unit]),
        _ => format!("{size:.0} {}", units[unit]),
    }
}

/// `1 file`, `12,345 files`.
pub(super) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{} {one}s", grouped(number as u64)) }
}

/// `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_or_three_digits() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0 KB"),
            (9949, "9.9 KB"),
            (9951, "10 KB"),
            (12_345, "12 KB"),
            (999_499, "999 KB"),
            (999_500, "1.0 MB"),
            (5_400_000_000, "5.4 GB"),
            (48_000_000_000_000_000, "48000 TB"),
        ];
        for (size, text) in cases {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn counts_are_grouped_by_three_digits() {
        for (number, text) in [(0, "0 files"), (1, "1 file"), (999, "999 files"), (1000, "1,000 files")] {
            assert_eq!(count(number, "file"), text);
        }
        assert_eq!((grouped(12_345_678), grouped(123_456)), ("12,345,678".to_owned(), "123,456".to_owned()));
    }
}
