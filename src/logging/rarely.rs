//! What others can make happen at will is told now and then, with how often it happened.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets one of many lines through.
#[derive(Debug, Default)]
pub struct Rarely(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    untold: u64,
}

impl Rarely {
    /// `Some` if it is to be told now: how often it was not, since the last time.
    pub fn now(&self) -> Option<u64> {
        let mut state = self.0.lock();
        if state.told.is_some_and(|told| told.elapsed() < PAUSE) {
            state.untold += 1;
            return None;
        }
        state.told = Some(Instant::now());
        Some(std::mem::take(&mut state.untold))
    }
}

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_many_is_told() {
        let rarely = Rarely::default();
        assert_eq!(rarely.now(), Some(0));
        assert_eq!((0..5).filter_map(|_| rarely.now()).count(), 0);
        assert_eq!(rarely.0.lock().untold, 5);
    }
}
