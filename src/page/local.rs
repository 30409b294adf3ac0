//! Times where the gateway runs, which is where its user sits: a page without a script cannot ask the browser.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::{SystemTime, UNIX_EPOCH};

use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use tz::TimeZone;

/// This machine's time zone.
#[derive(Debug)]
pub(super) struct Zone(TimeZone);

/// What the zone is called on a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ZoneName {
    /// `UTC+01:00`; `CET/CEST`, where the clocks were changed between the times of the page.
    pub(super) short: String,
    /// `CET, UTC+01:00; CEST, UTC+02:00`.
    pub(super) long: String,
}

impl Zone {
    /// As `TZ` names it, else as the system is set. Where neither can be read it is UTC. It reads a small file: a
    /// laptop may be elsewhere than when the gateway was started.
    pub(super) fn read() -> Self {
        Self::named(std::env::var_os("TZ"))
    }

    fn named(variable: Option<OsString>) -> Self {
        let zone = match variable {
            None => TimeZone::local().ok(),
            Some(name) => name.to_str().filter(|name| !name.is_empty()).and_then(|name| {
                let name = name.strip_prefix(':').unwrap_or(name);
                TimeZone::from_posix_tz(name).ok()
            }),
        };
        Self(zone.unwrap_or_else(TimeZone::utc))
    }

    /// What it is called at these times, or where there are none at another.
    pub(super) fn name(&self, times: impl Iterator<Item = SystemTime>, otherwise: SystemTime) -> ZoneName {
        let mut known: BTreeSet<_> = times.filter_map(seconds).map(|second| self.at(second)).collect();
        if known.is_empty() {
            known.extend(seconds(otherwise).map(|second| self.at(second)));
        }
        let join = |names: Vec<String>, by: &str| names.join(by);
        let offsets = || known.iter().map(|(offset, _)| from_utc(*offset));
        let short = match known.len() {
            0 | 1 => join(offsets().collect(), ""),
            2 if known.iter().all(|(_, name)| is_name(name)) => {
                join(known.iter().map(|(_, name)| name.clone()).collect(), "/")
            }
            2 => join(offsets().collect(), "/"),
            // Dates of a century have many.
            _ => "local time".to_owned(),
        };
        let long = known.iter().map(|(offset, name)| {
            let (offset, is_named) = (from_utc(*offset), is_name(name) && name != "UTC");
            if is_named { format!("{name}, {offset}") } else { offset }
        });
        ZoneName { short, long: join(long.collect(), "; ") }
    }

    /// `2026-11-27 14:05` there; `None` for a time beyond all calendars.
    pub(super) fn shown(&self, time: SystemTime) -> Option<String> {
        let second = seconds(time)?;
        let offset = UtcOffset::from_whole_seconds(self.at(second).0).ok()?;
        let local = OffsetDateTime::from_unix_timestamp(second).ok()?.checked_to_offset(offset)?;
        local.format(format_description!("[year]-[month]-[day] [hour]:[minute]")).ok()
    }

    /// The offset from UTC in seconds at that second, and its name.
    fn at(&self, second: i64) -> (i32, String) {
        let kind = self.0.find_local_time_type(second);
        kind.map_or((0, String::new()), |kind| (kind.ut_offset(), kind.time_zone_designation().to_owned()))
    }
}

/// Whether a zone is called so; some are called by their offset.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// `UTC+01:00`.
fn from_utc(offset: i32) -> String {
    if offset == 0 {
        return "UTC".to_owned();
    }
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs() / 60);
    format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// For programs: RFC 3339, in UTC.
pub(super) fn machine_readable(time: SystemTime) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(seconds(time)?).ok()?;
    time.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z")).ok()
}

/// Since 1970, also before it.
fn seconds(time: SystemTime) -> Option<i64> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).ok(),
        Err(before) => i64::try_from(before.duration().as_secs()).ok().map(|seconds| -seconds),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    /// 2026-11-27 11:36:15 and 2026-07-01 00:00:00 UTC.
    const WINTER: u64 = 1_795_779_375;
    const SUMMER: u64 = 1_782_864_000;

    #[test]
    fn times_are_those_of_the_zone_in_summer_and_winter() {
        let zone = |name: &str| Zone::named(Some(name.into()));
        for (name, winter, summer, called) in [
            ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-11-27 12:36", "2026-07-01 02:00", "CET, UTC+01:00"),
            ("<+0545>-5:45", "2026-11-27 17:21", "2026-07-01 05:45", "UTC+05:45"),
            ("NST3:30", "2026-11-27 08:06", "2026-06-30 20:30", "NST, UTC-03:30"),
            ("UTC0", "2026-11-27 11:36", "2026-07-01 00:00", "UTC"),
            ("", "2026-11-27 11:36", "2026-07-01 00:00", "UTC"),
            ("Nowhere/At_All", "2026-11-27 11:36", "2026-07-01 00:00", "UTC"),
        ] {
            let zone = zone(name);
            assert_eq!(zone.shown(at(WINTER)).unwrap(), winter, "{name}");
            assert_eq!(zone.shown(at(SUMMER)).unwrap(), summer, "{name}");
            let now = zone.name(std::iter::empty(), at(WINTER));
            assert_eq!((&*now.long, &*now.short), (called, called.rsplit(' ').next().unwrap()), "{name}");
        }
    }

    #[test]
    fn the_zone_is_called_as_at_the_times_that_are_shown() {
        let name = |zone: &str, times: &[u64]| {
            let zone = Zone::named(Some(zone.into()));
            let name = zone.name(times.iter().map(|second| at(*second)), at(WINTER));
            (name.short, name.long)
        };
        let called = |short: &str, long: &str| (short.to_owned(), long.to_owned());
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        assert_eq!(name(berlin, &[SUMMER, SUMMER + 1]), called("UTC+02:00", "CEST, UTC+02:00"));
        let both = called("CET/CEST", "CET, UTC+01:00; CEST, UTC+02:00");
        assert_eq!(name(berlin, &[SUMMER, WINTER, SUMMER]), both);
        let unnamed = "<+0930>-9:30<+1030>-10:30,M10.1.0,M4.1.0/3";
        let both = called("UTC+09:30/UTC+10:30", "UTC+09:30; UTC+10:30");
        assert_eq!(name(unnamed, &[SUMMER, WINTER]), both);
        assert_eq!(name("GMT0BST,M3.5.0/1,M10.5.0", &[WINTER]), called("UTC", "GMT, UTC"));
    }

    #[test]
    fn a_time_beyond_calendars_is_not_shown() {
        let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!((Zone::named(None).shown(far), machine_readable(far)), (None, None));
        assert_eq!(machine_readable(at(WINTER)).unwrap(), "2026-11-27T11:36:15Z");
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(machine_readable(before).unwrap(), "1969-12-31T23:59:59Z");
    }
}
