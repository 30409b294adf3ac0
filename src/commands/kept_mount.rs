//! The mount that a gateway keeps while it runs.

use std::sync::Arc;
use std::time::Duration;

use super::control_handler::Keeping;
use super::gateway::Gateway;
use crate::metrics::Metrics;
use crate::mount::{Deputy, Mount, Witness};

/// What is kept mounted while a gateway runs.
pub(super) struct KeptMount {
    pub(super) mount: Mount,
    /// A lost mount is seen within this time.
    pub(super) interval: Duration,
    metrics: Metrics,
    keeping: Arc<Keeping>,
    deputy: Option<Deputy>,
}

impl KeptMount {
    pub(super) fn of(mount: Mount, interval: Duration, gateway: &Gateway) -> Self {
        let (metrics, keeping, deputy) = (gateway.metrics().clone(), gateway.keeping(), gateway.deputy());
        Self { mount, interval, metrics, keeping, deputy }
    }
}

impl Witness for KeptMount {
    fn is_wanted(&self) -> bool {
        self.keeping.is_wanted()
    }

    fn begins(&self) {
        self.deputy.iter().for_each(Deputy::begin);
    }

    fn ends(&self) {
        self.deputy.iter().for_each(Deputy::end);
    }

    fn well(&self) {
        self.metrics.note_trouble(PLACE, None);
    }

    fn trouble(&self, message: String, hint: String) {
        self.metrics.note_trouble(PLACE, Some((message, hint)));
    }
}

/// In the list of problems.
const PLACE: &str = "mount";
