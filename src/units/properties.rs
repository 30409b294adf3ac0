//! Sizes and times.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use crate::testing::{any_text, config, near_text};
use crate::units::{Size, Timespan};

const TIMES: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1000),
    ("TB", 1_000_000_000_000),
];

/// Numbers of all lengths.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_time_is_its_number_of_units(number in number(), (unit, each) in select(TIMES)) {
        let read = format!("{number}{unit}").parse::<Timespan>();
        let millis = u128::from(number) * u128::from(each);
        match read {
            Ok(Timespan(time)) => prop_assert_eq!(time.as_millis(), millis),
            Err(_) => prop_assert!(number > u64::from(u32::MAX)),
        }
    }

    #[test]
    fn a_size_is_its_number_of_units(number in number(), (unit, each) in select(SIZES)) {
        let read = format!("{number}{unit}").parse().ok().map(|Size(bytes)| bytes);
        prop_assert_eq!(read, number.checked_mul(each));
    }

    #[test]
    fn whatever_is_read_has_a_number_and_a_unit(
        text in prop_oneof![any_text(), near_text(Just("10s".to_owned())), near_text(Just("128KiB".to_owned()))],
    ) {
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &text[number.len()..];
        let (time, size) = (text.parse::<Timespan>(), text.parse::<Size>());
        if time.is_ok() || size.is_ok() {
            prop_assert!(number.bytes().all(|b| b.is_ascii_digit()) && !number.is_empty() && !unit.is_empty(), "{text:?}");
        }
        if let Ok(time) = time {
            prop_assert!(time.0 <= Duration::from_secs(3600) * u32::MAX);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same(bytes in number(), count in any::<u32>(), (unit, _) in select(TIMES)) {
        prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        let time = format!("{count}{unit}").parse::<Timespan>();
        prop_assert_eq!(time.clone().unwrap().to_string().parse(), time);
    }
}
