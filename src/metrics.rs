//! Counters of the running gateway, in Prometheus' text format.
//!
//! A [`Metrics`] is made once per gateway and handed down; nothing is global, so that tests can
//! run many gateways in one process and count each on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The counters. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    s3_requests: Family<S3Label, Counter>,
    /// Those that were ever sent.
    s3_operations: RwLock<BTreeSet<&'static str>>,
    dav_requests: Family<DavLabel, Counter>,
    answered: AtomicU64,
    dav_latency: Family<MethodLabel, Histogram, fn() -> Histogram>,
    received: Counter,
    sent: Counter,
    hidden_keys: Counter,
    stale_answers: Counter,
    conflicts: Counter,
    open_connections: Gauge,
    exports: Family<ExportLabel, Gauge>,
    troubles: RwLock<BTreeMap<String, Trouble>>,
}

/// What keeps the gateway from what it serves, now.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub message: String,
    /// What to do.
    pub hint: String,
    pub since: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct S3Label {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DavLabel {
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabel {
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExportLabel {
    /// `pending` or `failed`.
    state: &'static str,
    /// Why, in the word of Amazon S3 Files.
    error: String,
}

/// Which way bytes went, seen from the client.
#[derive(Debug, Clone, Copy)]
pub enum Direction {
    Received,
    Sent,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("s3dav");
        let s3_requests = Family::default();
        registry.register(
            "s3_requests",
            "HTTP requests sent to S3, each attempt counted",
            s3_requests.clone(),
        );
        let dav_requests = Family::default();
        registry.register("dav_requests", "WebDAV requests answered", dav_requests.clone());
        let dav_latency =
            Family::<MethodLabel, Histogram, fn() -> Histogram>::new_with_constructor(latency_histogram);
        let help = "Time from a request's headers to its answer's headers";
        registry.register_with_unit("dav_latency", help, Unit::Seconds, dav_latency.clone());
        let bytes = Family::<DirectionLabel, Counter>::default();
        registry.register_with_unit("dav_body", "Body bytes by direction", Unit::Bytes, bytes.clone());
        let direction = |direction| bytes.get_or_create(&DirectionLabel { direction }).clone();
        let (received, sent) = (direction("received"), direction("sent"));
        let hidden_keys = Counter::default();
        registry.register("hidden_keys", "Keys met that no path can show", hidden_keys.clone());
        let stale_answers = Counter::default();
        let help = "Answers from memory, of any age, while S3 was unreachable";
        registry.register("stale_answers", help, stale_answers.clone());
        let conflicts = Counter::default();
        let help = "Writes that were kept beside what somebody else had written meanwhile";
        registry.register("conflicts", help, conflicts.clone());
        let open_connections = Gauge::default();
        registry.register("connections", "Open client connections", open_connections.clone());
        let exports = Family::default();
        let help = "Files written through the gateway that Amazon S3 Files has not exported to the bucket";
        registry.register("exports", help, exports.clone());
        Self(Arc::new(Inner {
            registry,
            s3_requests,
            s3_operations: RwLock::default(),
            dav_requests,
            answered: AtomicU64::default(),
            dav_latency,
            received,
            sent,
            hidden_keys,
            stale_answers,
            conflicts,
            open_connections,
            exports,
            troubles: RwLock::default(),
        }))
    }
}

impl Metrics {
    /// Counts one HTTP request to S3. `outcome` is `ok`, `error` or `lost` (no answer).
    pub fn s3_request(&self, operation: &'static str, outcome: &'static str) {
        self.0.s3_requests.get_or_create(&S3Label { operation, outcome }).inc();
        if !self.0.s3_operations.read().contains(operation) {
            self.0.s3_operations.write().insert(operation);
        }
    }

    /// Counts one WebDAV request and the time to its answer.
    pub fn dav_request(&self, method: &'static str, status: u16, latency: Duration) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
        self.0.dav_requests.get_or_create(&DavLabel { method, status }).inc();
        self.0.dav_latency.get_or_create(&MethodLabel { method }).observe(latency.as_secs_f64());
    }

    /// Counts body bytes.
    pub fn body_bytes(&self, direction: Direction, bytes: u64) {
        match direction {
            Direction::Received => self.0.received.inc_by(bytes),
            Direction::Sent => self.0.sent.inc_by(bytes),
        };
    }

    /// Counts keys that were left out of a listing.
    pub fn hidden_keys(&self, count: u64) {
        self.0.hidden_keys.inc_by(count);
    }

    /// Counts a write that was kept beside another.
    pub fn conflict(&self) {
        self.0.conflicts.inc();
    }

    /// Notes how many files wait for their export to S3, and why others will not be exported.
    pub fn note_exports<'e>(&self, pending: u64, errors: impl Iterator<Item = &'e str>) {
        let count = |state, error: &str| {
            let is_word =
                error.len() <= MOST_OF_WORD && error.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let error = if is_word { error } else { "other" }.to_owned();
            self.0.exports.get_or_create(&ExportLabel { state, error }).clone()
        };
        self.0.exports.clear();
        count("pending", "").set(pending.cast_signed());
        for error in errors {
            count("failed", error).inc();
        }
    }

    /// Counts an answer from memory while S3 was away.
    pub fn stale_answer(&self) {
        self.0.stale_answers.inc();
    }

    /// Counts a client connection for as long as the answer lives.
    pub fn connection(&self) -> OpenConnection {
        self.0.open_connections.inc();
        OpenConnection(self.clone())
    }

    /// Notes what came of asking `place`, such as a bucket: a trouble, with what to do, or none.
    pub fn note_trouble(&self, place: &str, trouble: Option<(String, String)>) {
        match trouble {
            Some((message, hint)) => {
                let mut troubles = self.0.troubles.write();
                let since = troubles.get(place).map_or_else(SystemTime::now, |before| before.since);
                troubles.insert(place.to_owned(), Trouble { message, hint, since });
            }
            None if self.0.troubles.read().contains_key(place) => {
                self.0.troubles.write().remove(place);
            }
            None => {}
        }
    }

    /// What is wrong now, by place.
    pub fn troubles(&self) -> BTreeMap<String, Trouble> {
        self.0.troubles.read().clone()
    }

    /// Whether S3 has ever done what it was asked.
    pub fn has_reached_s3(&self) -> bool {
        let is_done = |operation| self.0.s3_requests.get(&S3Label { operation, outcome: "ok" });
        self.0
            .s3_operations
            .read()
            .iter()
            .any(|operation| is_done(operation).is_some_and(|count| count.get() > 0))
    }

    /// Requests sent to S3, by operation.
    pub fn s3_requests(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for operation in self.0.s3_operations.read().iter() {
            let count =
                |outcome| self.0.s3_requests.get(&S3Label { operation, outcome }).map_or(0, |c| c.get());
            counts.insert(*operation, ["ok", "error", "lost"].map(count).iter().sum());
        }
        counts
    }

    /// Open client connections.
    pub fn connections(&self) -> u64 {
        self.0.open_connections.get().max(0) as u64
    }

    /// Writes that were kept beside another.
    pub fn conflicts(&self) -> u64 {
        self.0.conflicts.get()
    }

    /// WebDAV requests answered.
    pub fn requests(&self) -> u64 {
        self.0.answered.load(Ordering::Relaxed)
    }

    /// All counters in the text format of OpenMetrics.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}

/// One open connection; counted until dropped.
#[derive(Debug)]
pub struct OpenConnection(Metrics);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.open_connections.dec();
    }
}

/// From a cached answer (0.1 ms) to a whole request budget (75 s).
fn latency_histogram() -> Histogram {
    Histogram::new([0.0001, 0.0005, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 20.0, 75.0])
}

/// Bytes of a label that another program chooses.
const MOST_OF_WORD: usize = 64;
