//! How large a window is worth while: it is doubled while that makes reading faster. Where the link or
//! the reader is the limit, more would only go through more memory.

use std::time::{Duration, Instant};

/// The growth of one reader's window.
pub(super) struct Growth {
    /// When the piece that is read now was begun.
    begun: Instant,
    state: GrowthState,
}

enum GrowthState {
    /// The window has its size; it is tried again after so many pieces.
    Resting(u32),
    /// The window was made larger. What it was, how long a piece took then, and the pieces read since.
    Trying { window: u64, took: Duration, pieces: u32 },
}

impl Default for Growth {
    fn default() -> Self {
        Self { begun: Instant::now(), state: GrowthState::Resting(0) }
    }
}

impl Growth {
    /// The window for what comes after a piece, in bytes like `most`; `is_ready`: the next one is there
    /// already.
    pub(super) fn next(&mut self, window: u64, most: u64, is_ready: bool) -> u64 {
        let took = self.begun.elapsed();
        self.begun = Instant::now();
        match self.state {
            GrowthState::Resting(0) if !is_ready && window < most => {
                self.state = GrowthState::Trying { window, took, pieces: 0 };
                most.min(window * 2)
            }
            GrowthState::Resting(pieces) => {
                self.state = GrowthState::Resting(pieces.saturating_sub(1));
                window
            }
            // What was under way before the window grew says nothing.
            GrowthState::Trying { window: before, took, pieces } if pieces < TRIAL => {
                self.state = GrowthState::Trying { window: before, took, pieces: pieces + 1 };
                window
            }
            GrowthState::Trying { took: before, .. } if took.mul_f64(WORTH_WHILE) < before => {
                self.state = GrowthState::Resting(0);
                window
            }
            GrowthState::Trying { window: before, .. } => {
                self.state = GrowthState::Resting(REST);
                before
            }
        }
    }
}

/// Pieces after which a larger window shows its worth.
const TRIAL: u32 = 2;
/// How much faster a window of twice the size must be.
const WORTH_WHILE: f64 = 1.15;
/// Pieces after which a larger window is tried again.
const REST: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `pieces`; each takes `took(window)` milliseconds. Returns the window at the end.
    fn window_after(pieces: u32, took: impl Fn(u64) -> u64) -> u64 {
        let (mut growth, mut window) = (Growth::default(), 8);
        for _ in 0..pieces {
            growth.begun = Instant::now() - Duration::from_millis(took(window));
            window = growth.next(window, 64, false);
        }
        window
    }

    #[test]
    fn the_window_grows_as_long_as_it_pays() {
        assert_eq!(window_after(20, |window| 8000 / window), 64, "each connection has its own speed");
        assert_eq!(window_after(12, |_| 1000), 8, "the link is the limit");
        assert_eq!(window_after(12, |window| 8000 / window.min(16)), 16, "up to a point");
    }

    #[test]
    fn what_is_ready_needs_no_more() {
        let mut growth = Growth::default();
        assert_eq!((0..9).fold(8, |window, _| growth.next(window, 64, true)), 8);
    }
}
