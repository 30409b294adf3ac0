//! Whether the source was ever reached: what looks as if it would never heal may be a captive portal then.

use super::State;
use super::private::write_private;

impl State {
    /// Whether it was, in this life or one before.
    pub fn was_reached(&self) -> bool {
        self.directory().join(MARK).exists()
    }

    /// Notes that it is. Blocks.
    pub fn note_reached(&self) {
        if !self.was_reached()
            && let Err(error) = write_private(&self.directory().join(MARK), "")
        {
            tracing::debug!(%error, "it cannot be noted that the source was reached");
        }
    }
}

/// An empty file in the state directory.
const MARK: &str = "reached";
