//! Sizes and time spans as people write them. A bare number is refused: its unit would be a guess.
//!
//! What is shown reads back as the same value, so that a default can be a value and stand in the help as text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Bytes: `128KiB`, `16MiB`, `10GiB`, `1TiB`, or `B` for single ones; `KB` and its kin are powers of 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// A time span: `500ms`, `10s`, `5m`, `1h`. Nothing shorter than a millisecond is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timespan(pub Duration);

impl Timespan {
    pub const fn secs(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let number: u64 =
            number.parse().map_err(|_| format!("{text:?} is not a size; write e.g. 128KiB or 10GiB"))?;
        if unit.is_empty() {
            return Err(format!("{text:?} lacks a unit; write e.g. {text}MiB"));
        }
        let (_, each) = BINARY
            .iter()
            .chain(&DECIMAL)
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| format!("{unit:?} is not a unit of size; use KiB, MiB, GiB or TiB"))?;
        number.checked_mul(*each).map(Self).ok_or_else(|| format!("{text:?} is too large"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |each: u64| self.0 >= each && self.0.is_multiple_of(each);
        let (unit, each) = BINARY.into_iter().find(|(_, each)| fits(*each)).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / each)
    }
}

impl FromStr for Timespan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let number: u64 =
            number.parse().map_err(|_| format!("{text:?} is not a time; write e.g. 10s or 500ms"))?;
        if unit.is_empty() {
            return Err(format!("{text:?} lacks a unit; write e.g. {text}s or {text}ms"));
        }
        let (_, each) = TIMES
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| format!("{unit:?} is not a unit of time; use ms, s, m or h"))?;
        let count = u32::try_from(number).ok();
        let span = count.and_then(|count| Duration::from_millis(*each).checked_mul(count));
        span.map(Self).ok_or_else(|| format!("{text:?} is too long"))
    }
}

impl fmt::Display for Timespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let fits = |each: u128| {
            // `60s`, not `1m`.
            let least = if each > SECOND.into() { 2 * each } else { each };
            millis >= least && millis.is_multiple_of(each)
        };
        let fitting = TIMES.into_iter().find(|(_, each)| fits(u128::from(*each)));
        let (unit, each) = fitting.unwrap_or(if millis == 0 { ("s", SECOND) } else { ("ms", 1) });
        write!(f, "{}{unit}", millis / u128::from(each))
    }
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// Bytes, the largest unit first.
const BINARY: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
/// Bytes.
const DECIMAL: [(&str, u64); 4] =
    [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];
/// Milliseconds, the largest unit first.
const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", SECOND), ("ms", 1)];
const SECOND: u64 = 1_000;

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_needed_and_understood() {
        let time = str::parse::<Timespan>;
        let size = str::parse::<Size>;
        assert_eq!(time("500ms"), Ok(Timespan(Duration::from_millis(500))));
        assert_eq!(time("2m"), Ok(Timespan::secs(120)));
        assert_eq!(size("128KiB"), Ok(Size(131_072)));
        assert_eq!(size("10GiB"), Ok(Size(10 << 30)));
        assert!(time("10").unwrap_err().contains("10s"));
        assert!(size("5").unwrap_err().contains("5MiB"));
        for bad in ["", "s", "-1s", "1.5s", "10 s", "10kib", "99999999999TiB"] {
            assert!(time(bad).is_err() && size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_are_shown_as_people_write_them() {
        for text in ["0s", "1ms", "1500ms", "1s", "60s", "90s", "2m", "30m", "60m", "2h", "720h"] {
            assert_eq!(text.parse::<Timespan>().unwrap().to_string(), text);
        }
        for text in ["0B", "1B", "1000B", "1KiB", "1025B", "128KiB", "256MiB", "1GiB", "10GiB", "1TiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!(Size(1 << 20 << 10).to_string(), "1GiB");
        assert_eq!(Timespan(Duration::ZERO).to_string(), "0s");
    }
}
