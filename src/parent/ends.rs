//! What follows when a gateway has ended. Pure.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::START_ANEW;

/// How a gateway ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exit {
    Code(u8),
    Signal(u8),
    /// The program could not be started at all.
    NotStarted(String),
}

impl Exit {
    /// As a shell would tell it.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Code(code) => *code,
            Self::Signal(number) => SIGNALS.saturating_add(*number),
            Self::NotStarted(_) => 1,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "signal {number}"),
            Self::NotStarted(error) => write!(f, "it cannot be started: {error}"),
        }
    }
}

/// What the parent does then.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ends, too, with that exit code.
    Follow(u8),
    Start {
        after: Duration,
    },
}

/// What is known of earlier ends.
#[derive(Debug, Default)]
pub(super) struct Ends {
    was_ever_ready: bool,
    /// When starts failed since the last one that did not.
    failed: VecDeque<Instant>,
    failed_starts: u64,
    /// They are tried seldom, until one succeeds.
    is_hopeless: bool,
    is_told: bool,
    /// Short lives, one after the other.
    short: u32,
}

impl Ends {
    /// A gateway serves.
    pub(super) fn ready(&mut self) {
        self.was_ever_ready = true;
        (self.failed_starts, self.is_hopeless, self.is_told) = (0, false, false);
        self.failed.clear();
    }

    pub(super) fn was_ever_ready(&self) -> bool {
        self.was_ever_ready
    }

    /// One after the other.
    pub(super) fn failed_starts(&self) -> u64 {
        self.failed_starts
    }

    /// Whether it was said before that no start succeeds.
    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }

    /// What follows an end of a gateway that nobody has asked the parent for.
    pub(super) fn next(&mut self, exit: &Exit, was_ready: bool, lived: Duration, now: Instant) -> Next {
        match exit {
            Exit::Code(0 | STOPPED_AT_ONCE) => return Next::Follow(exit.exit_code()),
            Exit::Code(START_ANEW) => return Next::Start { after: Duration::ZERO },
            // Whoever started it is there still, and nothing is mounted yet.
            _ if !self.was_ever_ready => return Next::Follow(exit.exit_code()),
            _ => {}
        }
        if was_ready {
            return Next::Start { after: self.after_a_life(lived) };
        }
        self.is_told = self.is_hopeless;
        self.failed_starts += 1;
        self.failed.push_back(now);
        while self.failed.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.failed.pop_front();
        }
        self.is_hopeless |= self.failed.len() >= MOST_FAILED;
        Next::Start { after: if self.is_hopeless { SELDOM } else { SOON } }
    }

    /// At once, but for one that dies again and again.
    fn after_a_life(&mut self, lived: Duration) -> Duration {
        if lived > SHORT_LIFE {
            self.short = 0;
            return Duration::ZERO;
        }
        self.short = self.short.saturating_add(1);
        (FIRST_PAUSE * (1 << (self.short - 1).min(10))).min(SOON)
    }
}

/// What shells add to a signal's number.
const SIGNALS: u8 = 128;
/// By a second Ctrl-C.
const STOPPED_AT_ONCE: u8 = 130;
/// Starts that may fail within [`WINDOW`] before the next ones are tried seldom.
const MOST_FAILED: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// Between two tries while there is hope that it was an accident.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// Between two tries when there is little.
const SELDOM: Duration = Duration::from_secs(60);
/// A gateway that dies sooner may do so again.
const SHORT_LIFE: Duration = Duration::from_secs(10);
/// After one short life; twice as long after each one more.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: Exit = Exit::Signal(9);

    fn started(after: Duration) -> Next {
        Next::Start { after }
    }

    #[test]
    fn the_first_start_must_succeed() {
        let mut ends = Ends::default();
        assert_eq!(ends.next(&Exit::Code(2), false, SOON, Instant::now()), Next::Follow(2));
        assert_eq!(ends.next(&KILLED, false, SOON, Instant::now()), Next::Follow(137));
    }

    #[test]
    fn an_end_that_was_meant_is_one() {
        let mut ends = Ends::default();
        ends.ready();
        assert_eq!(ends.next(&Exit::Code(0), true, SOON, Instant::now()), Next::Follow(0));
        assert_eq!(ends.next(&Exit::Code(130), true, SOON, Instant::now()), Next::Follow(130));
        assert_eq!(ends.next(&Exit::Code(START_ANEW), true, SOON, Instant::now()), started(Duration::ZERO));
    }

    #[test]
    fn a_death_is_followed_at_once() {
        let mut ends = Ends::default();
        ends.ready();
        let long = SHORT_LIFE * 2;
        assert_eq!(ends.next(&KILLED, true, long, Instant::now()), started(Duration::ZERO));
        let pauses = [20, 40, 80, 160, 320, 640, 1000, 1000];
        for pause in pauses {
            ends.ready();
            let next = ends.next(&KILLED, true, Duration::ZERO, Instant::now());
            assert_eq!(next, started(Duration::from_millis(pause)));
        }
        assert_eq!(ends.next(&KILLED, true, long, Instant::now()), started(Duration::ZERO));
        assert_eq!(ends.next(&KILLED, true, Duration::ZERO, Instant::now()), started(FIRST_PAUSE));
    }

    #[test]
    fn starts_that_fail_are_tried_seldom_until_one_succeeds() {
        let (mut ends, begun) = (Ends::default(), Instant::now());
        ends.ready();
        let failed = |ends: &mut Ends, at: u64| {
            ends.next(&Exit::Code(1), false, Duration::ZERO, begun + Duration::from_secs(at))
        };
        for at in 0..4 {
            assert_eq!(failed(&mut ends, at), started(SOON));
        }
        assert_eq!((failed(&mut ends, 4), ends.is_told()), (started(SELDOM), false));
        assert_eq!((failed(&mut ends, 64), ends.is_told(), ends.failed_starts()), (started(SELDOM), true, 6));
        assert_eq!(failed(&mut ends, 124), started(SELDOM));
        ends.ready();
        assert_eq!((failed(&mut ends, 125), ends.failed_starts()), (started(SOON), 1));
        // Those of long ago count no more.
        for at in [200, 300, 400, 500, 600] {
            assert_eq!(failed(&mut ends, at), started(SOON));
        }
    }
}
