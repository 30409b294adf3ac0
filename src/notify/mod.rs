//! Notifications: the user is told of saves that were refused, or that wait for long.
//!
//! macOS's client tells no program that an upload has failed, and shows nothing while one waits. So what became
//! of it is said on the desktop: each save once, and several in one notification where they come at once.
//! A notifier that cannot be used is a trouble in `s3dav status`, and never more than that.

mod news;
mod program;

use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::logging::with_causes;
use crate::metrics::Metrics;
use crate::named::names;
use crate::shutdown::Shutdown;
use crate::state::{State, millis};

pub use news::plain;
pub use program::Notifier;

use news::Told;

/// Who tells the user, and when.
#[derive(Debug, Clone)]
pub struct NotifyOptions {
    /// Nobody, if there is none.
    pub by: Option<Notifier>,
    /// A small save that takes longer waits.
    pub slow: Duration,
    /// How long what fails at once is gathered. What macOS sends anew by itself within this time is no news.
    pub gather: Duration,
    /// Between two notifications.
    pub pause: Duration,
    /// For the program that shows one.
    pub limit: Duration,
}

/// Whether the user is told at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    On,
    Off,
}

names!(Switch { On = "on", Off = "off" });

impl Default for NotifyOptions {
    fn default() -> Self {
        Self { by: None, slow: SLOW, gather: GATHER, pause: PAUSE, limit: LIMIT }
    }
}

/// Tells the user from now on, until the end.
pub fn start(options: NotifyOptions, state: &State, metrics: &Metrics, shutdown: &Shutdown) {
    let Some(by) = options.by.clone() else { return };
    let told = Told::new(millis(SystemTime::now()));
    let (state, metrics, stop) = (state.clone(), metrics.clone(), shutdown.clone());
    let mut teller =
        Teller { by, changes: state.pending_changes(), options, state, metrics, told, last: None };
    shutdown.background(async move {
        tokio::select! {
            () = stop.begun() => {}
            () = teller.tell() => {}
        }
    });
}

struct Teller {
    by: Notifier,
    options: NotifyOptions,
    state: State,
    changes: watch::Receiver<u64>,
    metrics: Metrics,
    told: Told,
    /// When the last notification was shown.
    last: Option<Instant>,
}

impl Teller {
    async fn tell(&mut self) {
        if let Some(missing) = self.by.missing().await {
            self.note(Some(missing));
        }
        loop {
            let next = self.look().await;
            tokio::select! {
                changed = self.changes.changed() => match changed {
                    Ok(()) => sleep(self.options.gather).await,
                    Err(_) => return,
                },
                () = after(next) => {}
            }
        }
    }

    /// Shows what is new, unless the last time was a moment ago. After how long to look again, though nothing
    /// changes.
    async fn look(&mut self) -> Option<Duration> {
        let now = millis(SystemTime::now());
        let news = self.told.news(&self.state.unstored(), now, self.options.slow);
        let Some(text) = news.text() else { return news.next };
        let rest = self.last.map_or(Duration::ZERO, |last| self.options.pause.saturating_sub(last.elapsed()));
        if !rest.is_zero() {
            return Some(news.next.map_or(rest, |next| next.min(rest)));
        }
        self.told.note(&news);
        self.state.note_told(&news.lost);
        self.last = Some(Instant::now());
        let shown = self.by.show(TITLE, &text, self.options.limit).await;
        self.note(shown.err().map(|error| with_causes(&error)));
        news.next
    }

    fn note(&self, failed: Option<String>) {
        let trouble = failed.map(|error| {
            let error = plain(&error, MOST_OF_ERROR);
            let hint = "name another program with --notify-command, or turn notifications off with --notify \
                        off";
            tracing::warn!(error, hint, "a notification cannot be shown");
            (error, hint.to_owned())
        });
        self.metrics.note_trouble(PLACE, trouble);
    }
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}

/// A save of a document takes a few seconds at most when all is well.
const SLOW: Duration = Duration::from_secs(30);
/// macOS sends a file anew within a second when its connection was lost.
const GATHER: Duration = Duration::from_secs(1);
/// More often nobody reads them.
const PAUSE: Duration = Duration::from_secs(10);
/// A program that only shows a text ends at once.
const LIMIT: Duration = Duration::from_secs(10);
/// Characters: a line or two in `s3dav status`.
const MOST_OF_ERROR: usize = 200;
/// In the list of problems.
const PLACE: &str = "notifications";
const TITLE: &str = "s3dav";
