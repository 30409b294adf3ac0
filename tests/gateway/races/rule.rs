//! The rule that a reader of SEMANTICS.md holds the gateway to, and whether the bucket's history kept it.
//!
//! - A write replaces the version that its client last got or made. A client that has none replaces the newest
//!   version, unless it was told in this life of the gateway that nothing is there and was shown nothing since: then
//!   it replaces nothing.
//! - What could not take its place lies beside, once; the next save of its client, which has not got or made the
//!   winner since, replaces its own copy or lies beside, too.
//! - What a client saw in its last second before a crash may be forgotten: then it replaces what it is shown in
//!   the next life, or nothing.
//! - A write whose version was there all the time takes its place.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use s3dav::embedded::Write;

use super::rounds::{Answer, Event, Log, What, Writer};

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    pub acknowledged: usize,
    pub unanswered: usize,
    pub refused: usize,
    /// Contents that lay beside others when they came.
    pub beside: usize,
    pub faults: Vec<String>,
}

/// What a write may replace.
#[derive(Debug)]
struct Basis {
    /// These versions, one of which the client has.
    versions: Vec<String>,
    /// Whatever is there.
    newest: bool,
}

/// A write as its writer knows it.
struct Put<'l> {
    log: &'l Log,
    at: usize,
    version: &'l str,
    answer: Answer,
}

struct Court<'l> {
    puts: BTreeMap<&'l str, Put<'l>>,
    /// The versions of each key, in order.
    history: BTreeMap<&'l str, Vec<&'l Write>>,
    /// Keys that hold or held each version.
    places: BTreeMap<&'l str, Vec<&'l str>>,
    kills: &'l [Vec<Instant>; 2],
    /// All ends of the gateways, kills and others.
    ends: &'l [Vec<Instant>; 2],
}

/// Holds the history against the rule.
pub fn judge(writes: &[Write], logs: &[Log], kills: &[Vec<Instant>; 2], ends: &[Vec<Instant>; 2]) -> Verdict {
    let (puts, history, places) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut court = Court { puts, history, places, kills, ends };
    for log in logs {
        for (at, event) in log.events.iter().enumerate() {
            if let What::Put { version, answer } = &event.what {
                court.puts.insert(version, Put { log, at, version, answer: *answer });
            }
        }
    }
    for write in writes.iter().filter(|write| !write.key.ends_with('/')) {
        court.history.entry(&write.key).or_default().push(write);
        court.places.entry(&write.etag).or_default().push(&write.key);
    }
    let mut verdict = Verdict::default();
    for put in court.puts.values() {
        verdict.faults.extend(court.judge_place(put));
        match put.answer {
            Answer::Acknowledged => verdict.acknowledged += 1,
            Answer::None => verdict.unanswered += 1,
            Answer::Refused(_) => verdict.refused += 1,
        }
        verdict.beside += usize::from(court.is_beside(put));
    }
    for (key, versions) in &court.history {
        for pair in versions.windows(2) {
            let [old, new] = pair else { continue };
            verdict.faults.extend(court.judge_replacement(key, &old.etag, &new.etag));
        }
    }
    verdict
}

impl<'l> Court<'l> {
    fn places(&self, put: &Put<'_>) -> &[&'l str] {
        self.places.get(put.version).map_or(&[], Vec::as_slice)
    }

    fn is_beside(&self, put: &Put<'_>) -> bool {
        self.places(put).iter().any(|place| *place != put.log.key)
    }

    /// Whether a content lies where it should, and once.
    fn judge_place(&self, put: &Put<'_>) -> Option<String> {
        let places = self.places(put);
        match put.answer {
            Answer::Acknowledged if places.len() != 1 => Some(format!(
                "{:?} was told that its write {} is stored, and it is at {places:?}\n{}",
                put.log.writer,
                put.version,
                self.story(&put.log.key)
            )),
            Answer::None if places.len() > 1 => {
                Some(format!("{} is at {places:?}\n{}", put.version, self.story(&put.log.key)))
            }
            Answer::Refused(status) if !places.is_empty() => {
                Some(format!("{} was refused ({status}), and is at {places:?}", put.version))
            }
            Answer::Acknowledged if self.is_beside(put) && self.might_stay(put) => Some(format!(
                "{:?}'s write {} lies beside though its version was there all the time\n{}",
                put.log.writer,
                put.version,
                self.story(&put.log.key)
            )),
            _ => None,
        }
    }

    /// Whether the version that the write meant to replace was there while it came.
    fn might_stay(&self, put: &Put<'_>) -> bool {
        let Basis { versions, newest: false } = self.basis(put) else { return false };
        let [version] = versions.as_slice() else { return false };
        let (Some(history), Writer::Through(gateway)) = (self.history.get(&*put.log.key), put.log.writer)
        else {
            return false;
        };
        let event = &put.log.events[put.at];
        let before = history.iter().rfind(|write| write.at < event.begun);
        let is_disturbed = history.iter().any(|write| (event.begun..event.ended).contains(&write.at));
        let was_killed =
            self.kills[gateway].iter().any(|kill| put.log.events[0].begun < *kill && *kill < event.ended);
        before.is_some_and(|before| before.etag == *version) && !is_disturbed && !was_killed
    }

    fn judge_replacement(&self, key: &str, old: &str, new: &str) -> Option<String> {
        let put = self.puts.get(new)?;
        if put.log.key != key {
            // A copy is its writer's own.
            let is_own =
                self.puts.get(old).is_some_and(|old| std::ptr::eq(old.log, put.log) && old.at < put.at);
            return (!is_own).then(|| format!("{new} took the place of {old} at {key}\n{}", self.story(key)));
        }
        if put.log.writer == Writer::Plain {
            return None;
        }
        let basis = self.basis(put);
        let may = basis.newest || basis.versions.iter().any(|version| version == old);
        (!may).then(|| {
            format!(
                "{:?} replaced {old} by {new}, and might replace {basis:?}\n{}",
                put.log.writer,
                self.story(key)
            )
        })
    }

    /// What the write may replace, as its writer was told before it.
    fn basis(&self, put: &Put<'_>) -> Basis {
        let before = &put.log.events[..put.at];
        let mut versions = Vec::new();
        let mut may_be_none = true;
        for event in before.iter().rev() {
            let (version, is_sure) = match &event.what {
                What::Got(version) => (version, true),
                What::Put { version, answer: Answer::Acknowledged }
                    if self.places.get(&**version).is_some_and(|at| at.contains(&&*put.log.key)) =>
                {
                    (version, true)
                }
                What::Put { version, answer: Answer::None } => (version, false),
                _ => continue,
            };
            versions.push(version.clone());
            if is_sure && !self.may_be_forgotten(put, event) {
                may_be_none = false;
                break;
            }
            may_be_none &= !is_sure || self.has_looked_since_crash(put, event);
        }
        Basis { versions, newest: may_be_none && self.replaces_newest(put, before) }
    }

    /// Whether a client that has neither got nor made a version replaces whatever is there.
    fn replaces_newest(&self, put: &Put<'_>, before: &[Event]) -> bool {
        let loses = |event: &Event| match &event.what {
            What::Put { version, answer: Answer::Acknowledged } => {
                self.places.get(&**version).is_some_and(|at| at.iter().all(|key| key.contains(" (conflict ")))
            }
            _ => false,
        };
        let is_known = |event: &&Event| !self.has_looked_since_crash(put, event);
        if before.iter().filter(is_known).any(loses) {
            return false;
        }
        let told = before.iter().rev().find(|event| matches!(event.what, What::Absent | What::Shown));
        told.is_none_or(|event| event.what != What::Absent || self.has_ended_since(put, event))
    }

    /// Whether the gateway ended after an event began: what it told of absences ends with it.
    fn has_ended_since(&self, put: &Put<'_>, event: &Event) -> bool {
        let Writer::Through(gateway) = put.log.writer else { return false };
        let until = put.log.events[put.at].ended;
        self.ends[gateway].iter().any(|end| (event.begun..until).contains(end))
    }

    /// The crash after which the gateway may not know of this event any more.
    fn crash_after(&self, put: &Put<'_>, event: &Event) -> Option<Instant> {
        let Writer::Through(gateway) = put.log.writer else { return None };
        let kills = self.kills[gateway].iter();
        let (from, to) = (event.begun, put.log.events[put.at].begun);
        kills.copied().find(|kill| (from..event.ended + FORGOTTEN).contains(kill) && *kill < to)
    }

    fn may_be_forgotten(&self, put: &Put<'_>, event: &Event) -> bool {
        self.crash_after(put, event).is_some()
    }

    fn has_looked_since_crash(&self, put: &Put<'_>, event: &Event) -> bool {
        let Some(crash) = self.crash_after(put, event) else { return false };
        let since = put.log.events[..put.at].iter().filter(|later| later.ended > crash);
        since.into_iter().any(|later| !matches!(later.what, What::Put { .. }))
    }

    /// All that happened to a key, for whoever must find the cause.
    fn story(&self, key: &str) -> String {
        let own = key.split(" (conflict ").next().unwrap();
        let mut lines = Vec::new();
        let mut logs: Vec<&Log> = Vec::new();
        for put in self.puts.values().filter(|put| put.log.key == own) {
            if !logs.iter().any(|log| std::ptr::eq(*log, put.log)) {
                logs.push(put.log);
            }
        }
        for log in logs {
            for event in &log.events {
                lines.push((
                    event.ended,
                    format!(
                        "{:?}: {:?}, begun {:?} before",
                        log.writer,
                        event.what,
                        event.ended - event.begun
                    ),
                ));
            }
        }
        let copies = format!("{own} (conflict ");
        let is_of_it = |key: &str| key == own || key.starts_with(&copies);
        for (key, writes) in self.history.iter().filter(|(key, _)| is_of_it(key)) {
            lines.extend(writes.iter().map(|write| (write.at, format!("S3: {key} is {}", write.etag))));
        }
        let kills = self.kills.iter().enumerate();
        let kills = kills
            .flat_map(|(gateway, kills)| kills.iter().map(move |kill| (*kill, format!("kill of {gateway}"))));
        lines.extend(kills);
        lines.sort();
        let Some(first) = lines.first().map(|(at, _)| *at) else { return String::new() };
        lines.iter().map(|(at, line)| format!("  {:>9.3?} {line}\n", *at - first)).collect()
    }
}

/// After so long what a client saw is on disk.
const FORGOTTEN: Duration = Duration::from_secs(2);
