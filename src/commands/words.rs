//! Numbers and names as people and shells read them.

pub(super) use crate::words::counted;

/// As a shell reads a word.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_=./:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A time span in words, as exact as one wants it.
pub(super) fn lasted(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub(super) fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let power =
        (0..units.len() - 1).find(|power| bytes >> (10 * (power + 1)) == 0).unwrap_or(units.len() - 1);
    match power {
        0 => counted(bytes, "byte"),
        _ => format!("{:.1} {}", bytes as f64 / (1_u64 << (10 * power)) as f64, units[power]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("--endpoint-url=http://a:1/"), "--endpoint-url=http://a:1/");
        assert_eq!(quoted("/My Photos"), "'/My Photos'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn words_for_people() {
        assert_eq!(
            [lasted(5), lasted(300), lasted(7200), lasted(864_000)],
            ["5 s", "5 min", "2 h", "10 days"]
        );
        assert_eq!(
            [size(0), size(1), size(1023), size(1536), size(256 << 20)],
            ["0 bytes", "1 byte", "1023 bytes", "1.5 KiB", "256.0 MiB"]
        );
        assert_eq!(size(5 << 50), "5120.0 TiB");
    }
}
