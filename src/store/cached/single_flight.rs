//! Single flight: what several ask for at once is asked for once.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

type Lane = tokio::sync::Mutex<()>;
type Name = (&'static str, String);

/// Questions under way, by kind and name.
#[derive(Debug, Default)]
pub(super) struct SingleFlight(Mutex<HashMap<Name, Weak<Lane>>>);

/// The right to ask; whoever waits for it looks first whether the answer is known now.
#[derive(Debug)]
pub(super) struct Flight(#[expect(dead_code, reason = "held, and let go of")] OwnedMutexGuard<()>);

impl SingleFlight {
    /// Waits until nobody else asks the same.
    pub(super) async fn board(&self, kind: &'static str, name: &str) -> Flight {
        let lane = self.lane(kind, name);
        Flight(lane.lock_owned().await)
    }

    fn lane(&self, kind: &'static str, name: &str) -> Arc<Lane> {
        let mut lanes = self.0.lock();
        if lanes.len() > SWEEP_ABOVE {
            lanes.retain(|_, lane| lane.strong_count() > 0);
        }
        let slot = lanes.entry((kind, name.to_owned())).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let lane = Arc::<Lane>::default();
            *slot = Arc::downgrade(&lane);
            lane
        })
    }
}

/// Lanes that nobody uses any more are few bytes each.
const SWEEP_ABOVE: usize = 1024;
