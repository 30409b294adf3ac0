//! What is new of saves, and its words.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::path_key::PathKey;
use crate::state::{Phase, Unstored};
use crate::words::counted;

/// What the user was told of saves that are still not stored; that one is lost its row says.
#[derive(Debug)]
pub(super) struct Told {
    /// Since when those wait that were told, by path.
    slow: HashMap<PathKey, u64>,
    /// When this life began: milliseconds since 1970.
    begun: u64,
}

/// What is to be told.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) lost: Vec<Unstored>,
    slow: Vec<Unstored>,
    /// When more will be to be told, though nothing changes.
    pub(super) next: Option<Duration>,
}

impl Told {
    pub(super) fn new(begun: u64) -> Self {
        Self { slow: HashMap::new(), begun }
    }

    /// What was not told. `now`: milliseconds since 1970.
    pub(super) fn news(&mut self, unstored: &[Unstored], now: u64, slow: Duration) -> News {
        let paths: HashSet<&PathKey> = unstored.iter().map(|save| &save.path).collect();
        self.slow.retain(|path, _| paths.contains(path));
        let mut news = News::default();
        for save in unstored {
            let (is_told, begun, patience) = match waits_since(save) {
                Some(begun) => (self.slow.get(&save.path) == Some(&begun), begun, patience(save, slow)),
                // macOS sends what it could not send while the gateway was away.
                None if save.since < self.begun => (save.is_told, self.begun, slow),
                None => (save.is_told || save.phase == Phase::Begun, save.since, Duration::ZERO),
            };
            let rest = patience.saturating_sub(Duration::from_millis(now.saturating_sub(begun)));
            if is_told {
                continue;
            }
            if !rest.is_zero() {
                news.next = Some(news.next.map_or(rest, |next| next.min(rest)));
            } else if waits_since(save).is_some() {
                news.slow.push(save.clone());
            } else {
                news.lost.push(save.clone());
            }
        }
        news
    }

    /// They were told.
    pub(super) fn note(&mut self, news: &News) {
        let slow = news.slow.iter().filter_map(|save| Some((save.path.clone(), waits_since(save)?)));
        self.slow.extend(slow);
    }
}

impl News {
    /// In a line of at most [`MOST`] characters; none if nothing is new.
    pub(super) fn text(&self) -> Option<String> {
        let text = match (&*self.lost, &*self.slow) {
            ([], []) => return None,
            ([save], []) => {
                let why = save.why.as_deref().unwrap_or("it was refused");
                format!("{} could not be stored: {why}", named(save))
            }
            ([], [save]) => format!("{} is not stored yet. s3dav keeps trying.", named(save)),
            (lost, []) => format!("{} files could not be stored. {NAMED}", lost.len()),
            ([], slow) => format!("{} files are not stored yet. {NAMED}", slow.len()),
            (lost, slow) => {
                let lost = counted(lost.len() as u64, "file");
                format!("{lost} could not be stored, {} not yet. {NAMED}", slow.len())
            }
        };
        Some(plain(&text, MOST))
    }
}

/// Since when it is on its way, or kept until the store takes it.
fn waits_since(save: &Unstored) -> Option<u64> {
    save.sending_since.or_else(|| (save.phase == Phase::Queued).then_some(save.since))
}

/// How long a save may take.
fn patience(save: &Unstored, slow: Duration) -> Duration {
    slow + Duration::from_secs(save.bytes.unwrap_or(0) / SLOW_LINE)
}

/// The name alone: it tells the user which file is meant.
fn named(save: &Unstored) -> String {
    format!("“{}”", plain(save.path.name(), MOST_OF_NAME))
}

/// A text for people without what a terminal or a desktop would act on, cut to so many characters.
pub fn plain(text: &str, most: usize) -> String {
    let text = text.chars().map(|c| if acts(c) { ' ' } else { c });
    let mut chars: Vec<char> = text.take(most + 1).collect();
    if chars.len() > most {
        chars.truncate(most.saturating_sub(1));
        chars.push('…');
    }
    chars.into_iter().collect()
}

/// Controls, line separators, and what changes the direction of a text.
fn acts(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    c.is_control() || turns
}

/// Characters of a notification: what a desktop shows of one.
const MOST: usize = 120;
/// Characters of a name, so that there is room for the reason.
const MOST_OF_NAME: usize = 60;
/// Bytes a second that a slow line takes: a large file that goes out by it does not wait.
const SLOW_LINE: u64 = 1_000_000;
const NAMED: &str = "`s3dav status` lists them.";

#[cfg(test)]
mod tests {
    use super::*;

    fn save(path: &str, phase: Phase, why: &str) -> Unstored {
        let (path, why) = (PathKey::of_text(path), (!why.is_empty()).then(|| why.to_owned()));
        Unstored { path, phase, bytes: None, why, since: 1000, sending_since: None, is_told: false }
    }

    fn failed(path: &str) -> Unstored {
        save(path, Phase::Failed, "access denied")
    }

    fn sent(path: &str, since: u64, bytes: u64) -> Unstored {
        Unstored { sending_since: Some(since), bytes: Some(bytes), since, ..save(path, Phase::Begun, "") }
    }

    const SLOW: Duration = Duration::from_secs(30);

    /// What is told now, and noted so.
    fn told(told: &mut Told, unstored: &[Unstored], now: u64) -> Option<String> {
        let news = told.news(unstored, now, SLOW);
        told.note(&news);
        news.text()
    }

    #[test]
    fn what_is_lost_is_told_once() {
        let mut known = Told::new(0);
        let text = told(&mut known, &[failed("/d/new")], 1000).unwrap();
        assert_eq!(text, "“new” could not be stored: access denied");
        assert_eq!(told(&mut known, &[Unstored { is_told: true, ..failed("/d/new") }], 1000), None);
        let short = save("/short", Phase::Incomplete, "the upload was shorter");
        assert_eq!(
            told(&mut known, &[short], 1000).unwrap(),
            "“short” could not be stored: the upload was shorter"
        );
    }

    #[test]
    fn what_an_earlier_life_lost_is_told_if_it_is_not_sent_again() {
        let mut known = Told::new(5000);
        let left = [save("/cut", Phase::Missing, "it ended")];
        assert_eq!(known.news(&left, 5000, SLOW).next, Some(SLOW));
        assert_eq!(told(&mut known, &left, 34_999), None);
        assert_eq!(told(&mut known, &left, 35_000).unwrap(), "“cut” could not be stored: it ended");
    }

    #[test]
    fn what_waits_is_told_after_a_time_that_suits_its_size() {
        let mut known = Told::new(0);
        let small = [sent("/small", 1000, 10)];
        assert_eq!(known.news(&small, 1000, SLOW).next, Some(SLOW));
        assert_eq!(told(&mut known, &small, 30_999), None);
        assert!(told(&mut known, &small, 31_000).unwrap().starts_with("“small” is not stored yet"));
        assert_eq!(told(&mut known, &small, 99_000), None, "once");
        assert_eq!(known.news(&small, 99_000, SLOW).next, None);
        assert!(told(&mut known, &[failed("/small")], 99_000).is_some(), "that it is lost is news");
        assert_eq!(told(&mut known, &[], 99_000), None);
        assert!(told(&mut known, &small, 99_000).is_some(), "it was stored meanwhile");
        let large = [sent("/large", 1000, 100_000_000)];
        assert_eq!(told(&mut known, &large, 130_999), None);
        assert!(told(&mut known, &large, 131_000).is_some());
    }

    #[test]
    fn what_is_being_sent_anew_is_not_lost() {
        let mut known = Told::new(0);
        let again = Unstored { sending_since: Some(5000), ..failed("/file") };
        assert_eq!(told(&mut known, std::slice::from_ref(&again), 6000), None);
        assert!(told(&mut known, &[again], 35_000).unwrap().contains("not stored yet"));
        assert!(told(&mut known, &[failed("/file")], 35_000).unwrap().contains("access denied"));
    }

    #[test]
    fn several_are_summed_up() {
        let of = |lost: &[&str], slow: &[&str]| {
            let lost = lost.iter().map(|path| failed(path));
            let slow = slow.iter().map(|path| sent(path, 0, 0));
            told(&mut Told::new(0), &lost.chain(slow).collect::<Vec<_>>(), 60_000).unwrap()
        };
        let names = "`s3dav status` lists them.";
        assert_eq!(of(&["/a", "/b", "/c"], &[]), format!("3 files could not be stored. {names}"));
        assert_eq!(of(&[], &["/a", "/b"]), format!("2 files are not stored yet. {names}"));
        assert_eq!(of(&["/a"], &["/b"]), format!("1 file could not be stored, 1 not yet. {names}"));
    }

    #[test]
    fn a_text_acts_on_nothing_and_is_short() {
        let nasty = failed("/d/a\u{1b}[31m\nb\u{202e}c\u{2028}\u{7f}\u{85}d");
        let text = told(&mut Told::new(0), &[nasty], 0).unwrap();
        assert_eq!(text, "“a [31m b c   d” could not be stored: access denied");
        let long = save(&format!("/{}", "ü".repeat(300)), Phase::Failed, &"€".repeat(300));
        let text = told(&mut Told::new(0), &[long], 0).unwrap();
        assert_eq!(text.chars().count(), 120);
        let name = format!("“{}…” could not be stored: €", "ü".repeat(59));
        assert!(text.starts_with(&name) && text.ends_with("€…"), "{text}");
        assert_eq!([plain("four", 4), plain("fiver", 4)], ["four", "fiv…"]);
    }
}
