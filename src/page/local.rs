//! Times where the gateway runs, which is where its user sits: a page without a script cannot ask the browser.

use std::ffi::OsString;
use std::time::{SystemTime, UNIX_EPOCH};

use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use tz::TimeZone;

/// This machine's time zone.
#[derive(Debug)]
pub(super) struct Zone(TimeZone);

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

    /// `CET, UTC+01:00`: what it is called at that time.
    pub(super) fn name(&self, at: SystemTime) -> String {
        let (offset, name) = seconds(at).map_or((0, String::new()), |second| self.at(second));
        if offset == 0 && matches!(&*name, "" | "UTC" | "Z") {
            return "UTC".to_owned();
        }
        let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs() / 60);
        let offset = format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        // Zones without a name of their own are called by their offset.
        let is_named = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name != "UTC";
        if is_named { format!("{name}, {offset}") } else { offset }
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
            assert_eq!(zone.name(at(WINTER)), called, "{name}");
        }
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
