//! Durations and sizes as people write them. A bare number is refused: its unit would be a guess.

use std::time::Duration;

/// `500ms`, `10s`, `5m`, `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?} is not a time; write e.g. 10s or 500ms"))?;
    let (count, each) = match unit {
        "ms" => (number, Duration::from_millis(1)),
        "s" => (number, Duration::from_secs(1)),
        "m" => (number, Duration::from_secs(60)),
        "h" => (number, Duration::from_secs(3600)),
        "" => return Err(format!("{text:?} lacks a unit; write e.g. {text}s or {text}ms")),
        _ => return Err(format!("{unit:?} is not a unit of time; use ms, s, m or h")),
    };
    let count = u32::try_from(count).ok();
    count.and_then(|count| each.checked_mul(count)).ok_or_else(|| format!("{text:?} is too long"))
}

/// `128KiB`, `16MiB`, `10GiB`, `1TiB`, or `B` for bytes; `KB` and its kin are powers of 1,000.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?} is not a size; write e.g. 128KiB or 10GiB"))?;
    let each: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "" => return Err(format!("{text:?} lacks a unit; write e.g. {text}MiB")),
        _ => return Err(format!("{unit:?} is not a unit of size; use KiB, MiB, GiB or TiB")),
    };
    number.checked_mul(each).ok_or_else(|| format!("{text:?} is too large"))
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_needed_and_understood() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_size("128KiB"), Ok(131_072));
        assert_eq!(parse_size("10GiB"), Ok(10 << 30));
        assert!(parse_duration("10").unwrap_err().contains("10s"));
        assert!(parse_size("5").unwrap_err().contains("5MiB"));
        for bad in ["", "s", "-1s", "1.5s", "10 s", "10kib", "99999999999TiB"] {
            assert!(parse_duration(bad).is_err() && parse_size(bad).is_err(), "{bad:?}");
        }
    }
}
