//! Uploads of which nobody knows whether they were begun, since their begin was not answered.
//!
//! The store may still begin one that is on its way to it: they are looked for after a while. What is begun now cannot be
//! told from them: they are looked for while none is begun to the same key. One look is under way at a time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::CLOCK_SLACK;
use crate::state::UploadRow;

/// See the module. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Doubts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// How old they are when they are looked for.
    age: Duration,
    known: Mutex<Known>,
    noted: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// The keys to which uploads are being begun.
    beginning: Vec<String>,
    doubtful: Vec<Doubt>,
    is_looked_for: bool,
}

/// An upload that may have been begun.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) row: UploadRow,
    /// The latest begin that may be its own.
    pub(super) until: SystemTime,
    /// When it is looked for.
    due: Instant,
}

/// An upload that is being begun.
pub(super) struct Beginning {
    doubts: Doubts,
    key: String,
}

impl Doubts {
    pub(super) fn new(age: Duration) -> Self {
        Self(Arc::new(Inner { age, known: Mutex::default(), noted: Notify::new() }))
    }

    pub(super) fn begin(&self, key: &str) -> Beginning {
        self.0.known.lock().beginning.push(key.to_owned());
        Beginning { doubts: self.clone(), key: key.to_owned() }
    }

    /// Whether an upload to the key of `row` is being begun, whose id is not known yet.
    pub(super) fn is_beginning(&self, row: &UploadRow) -> bool {
        self.0.known.lock().beginning.contains(&row.key)
    }

    /// The begin of one has failed just now.
    pub(super) fn note(&self, row: UploadRow) {
        self.note_after(self.0.age, row, SystemTime::now() + CLOCK_SLACK);
    }

    /// It could not be looked for while another one was begun.
    pub(super) fn note_old(&self, row: UploadRow, until: SystemTime) {
        self.note_after(Duration::ZERO, row, until);
    }

    /// It could not be looked for, since the store did not answer.
    pub(super) fn note_again(&self, row: UploadRow, until: SystemTime) {
        self.note_after(self.0.age, row, until);
    }

    fn note_after(&self, age: Duration, row: UploadRow, until: SystemTime) {
        self.0.known.lock().doubtful.push(Doubt { row, until, due: Instant::now() + age });
        self.0.noted.notify_one();
    }

    /// Waits until one can be looked for.
    pub(super) async fn due(&self) {
        loop {
            let next = self.0.known.lock().next();
            let at = async { sleep_until(next.unwrap_or_else(Instant::now)).await };
            tokio::select! {
                () = at, if next.is_some() => return,
                () = self.0.noted.notified() => {}
            }
        }
    }

    /// Those that can be looked for now. There are no more until these were: see [`Self::looked`].
    pub(super) fn take(&self) -> Vec<Doubt> {
        let now = Instant::now();
        let Known { beginning, doubtful, is_looked_for } = &mut *self.0.known.lock();
        if *is_looked_for {
            return Vec::new();
        }
        let due = |doubt: &mut Doubt| doubt.due <= now && !beginning.contains(&doubt.row.key);
        let taken: Vec<_> = doubtful.extract_if(.., due).collect();
        *is_looked_for = !taken.is_empty();
        taken
    }

    pub(super) fn looked(&self) {
        self.0.known.lock().is_looked_for = false;
        self.0.noted.notify_one();
    }
}

impl Known {
    /// When one can be looked for.
    fn next(&self) -> Option<Instant> {
        let doubtful = self.doubtful.iter().filter(|_| !self.is_looked_for);
        doubtful.filter(|doubt| !self.beginning.contains(&doubt.row.key)).map(|doubt| doubt.due).min()
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        {
            let beginning = &mut self.doubts.0.known.lock().beginning;
            if let Some(at) = beginning.iter().position(|key| *key == self.key) {
                beginning.swap_remove(at);
            }
        }
        // What was noted meanwhile could not be looked for.
        self.doubts.0.noted.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str) -> UploadRow {
        UploadRow::new(String::new(), key.to_owned(), key.to_owned())
    }

    fn keys(doubts: &Doubts) -> Vec<String> {
        doubts.take().into_iter().map(|doubt| doubt.row.key).collect()
    }

    #[test]
    fn a_doubt_waits_until_nothing_is_begun_to_its_key() {
        let doubts = Doubts::new(Duration::ZERO);
        let (first, second) = (doubts.begin("a"), doubts.begin("a"));
        doubts.note(row("a"));
        doubts.note(row("b"));
        assert!(doubts.is_beginning(&row("a")) && !doubts.is_beginning(&row("b")));
        assert_eq!(keys(&doubts), ["b"]);
        doubts.looked();
        drop(first);
        assert!(keys(&doubts).is_empty());
        drop(second);
        assert_eq!(keys(&doubts), ["a"]);
        doubts.note(row("c"));
        assert!(keys(&doubts).is_empty(), "one look at a time");
        doubts.looked();
        assert_eq!(keys(&doubts), ["c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_doubt_is_looked_for_after_a_while() {
        let (age, begun) = (Duration::from_secs(60), Instant::now());
        let doubts = Doubts::new(age);
        doubts.note(row("a"));
        assert!(keys(&doubts).is_empty());
        doubts.due().await;
        assert_eq!((begun.elapsed(), keys(&doubts)), (age, vec!["a".to_owned()]));
        doubts.note(row("b"));
        let waiting = tokio::time::timeout(2 * age, doubts.due()).await;
        assert!(waiting.is_err(), "the first is being looked for");
        doubts.looked();
        doubts.due().await;
        assert_eq!(keys(&doubts), ["b"]);
    }
}
