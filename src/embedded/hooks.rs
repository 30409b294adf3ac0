//! Hooks for tests: what was asked, and what shall go wrong.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::quirks::Quirks;

/// What the server does and remembers beyond serving. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Hooks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    transcript: VecDeque<(String, String)>,
    total: u64,
    latency: Duration,
    region: Option<String>,
    rules: Vec<Rule>,
    quirks: Quirks,
    /// `None`: they are not kept.
    writes: Option<Vec<Write>>,
}

/// An object that was stored.
#[derive(Debug, Clone)]
pub struct Write {
    pub key: String,
    /// Without quotes.
    pub etag: String,
    pub at: Instant,
}

/// An instruction: the next `times` requests that fit are treated so.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Operation name as in the S3 API, e.g. `PutObject`; `None`: any.
    pub operation: Option<String>,
    /// A part of the request's target (path and query); `None`: any.
    pub target: Option<String>,
    /// How many requests it applies to.
    pub times: usize,
    pub action: Action,
}

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// Not carried out; answered with this error.
    Fail { status: u16, code: &'static str, message: &'static str },
    /// Carried out; the answer is a 500 nevertheless.
    ApplyThenFail,
    /// Carried out; the answer is held back until the gate opens.
    Hold(Gate),
    /// Carried out when the gate opens.
    HoldFirst(Gate),
    /// The answer's body ends with an error after so many bytes.
    CutBody(u64),
    /// The answer's body pauses after so many bytes until the gate opens.
    StallBody(u64, Gate),
    /// The request's body is read piece by piece, with this pause before each.
    SlowUpload(Duration),
    /// Answered with a page that no S3 server sends, as a captive portal does.
    CaptivePortal,
    /// Answered with 404 and this page, as a web server in front does that has no way to S3.
    NotFoundPage { content_type: &'static str, page: &'static str },
    /// Not carried out: refused by a server whose clock is so far ahead.
    Skewed(Duration),
    /// A listing that says that it goes on, and begins anew.
    ListAgain(Tokens),
}

/// How a listing that never ends says that it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// By the same token each time.
    Same,
    /// By another one each time.
    New,
    /// By another one each time, and there is nothing on its pages.
    NewAndEmpty,
}

/// Closed until opened, once and for all.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<At>);

/// How things stand at a [`Gate`].
#[derive(Debug, Default)]
struct At {
    open: bool,
    came: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(At::default()))
    }
}

impl Gate {
    /// Lets everyone through.
    pub fn open(&self) {
        self.0.send_modify(|at| at.open = true);
    }

    /// Waits until somebody has come to the gate: what is held back by then has been carried out.
    pub async fn reached(&self) {
        let _ = self.0.subscribe().wait_for(|at| at.came).await;
    }

    /// Waits until the gate is open.
    pub(super) async fn passed(&self) {
        self.0.send_modify(|at| at.came = true);
        let _ = self.0.subscribe().wait_for(|at| at.open).await;
    }
}

impl Hooks {
    /// How often an operation was asked for since the start or the last [`Self::reset`].
    pub fn count(&self, operation: &str) -> usize {
        self.0.lock().transcript.iter().filter(|(name, _)| name == operation).count()
    }

    /// All requests so far, also those that the transcript has dropped.
    pub fn total(&self) -> u64 {
        self.0.lock().total
    }

    /// Operation and target of the latest requests, oldest first.
    pub fn transcript(&self) -> Vec<(String, String)> {
        self.0.lock().transcript.iter().cloned().collect()
    }

    /// Forgets what was counted; rules and latency stay.
    pub fn reset(&self) {
        let mut state = self.0.lock();
        state.transcript.clear();
        state.total = 0;
    }

    /// Keeps what is stored from now on, for [`Self::writes`].
    pub fn keep_writes(&self) {
        self.0.lock().writes.get_or_insert_default();
    }

    /// The objects that were stored, in the order in which they took their places.
    pub fn writes(&self) -> Vec<Write> {
        self.0.lock().writes.clone().unwrap_or_default()
    }

    /// Notes an object in the moment in which it takes its place.
    pub(super) fn note_write(&self, key: &str, etag: &str) {
        if let Some(writes) = &mut self.0.lock().writes {
            writes.push(Write { key: key.to_owned(), etag: etag.to_owned(), at: Instant::now() });
        }
    }

    /// Every request takes this much longer.
    pub fn set_latency(&self, latency: Duration) {
        self.0.lock().latency = latency;
    }

    /// Requests signed for another region are redirected to this one; `None`: any will do.
    pub fn set_region(&self, region: Option<&str>) {
        self.0.lock().region = region.map(str::to_owned);
    }

    /// Adds a rule; the first that fits a request applies.
    pub fn add(&self, rule: Rule) {
        self.0.lock().rules.push(rule);
    }

    /// Adds a rule for the next `times` requests of one operation.
    pub fn next(&self, times: usize, operation: &str, action: Action) {
        self.add(Rule { operation: Some(operation.to_owned()), target: None, times, action });
    }

    /// Adds a rule for every request from now on.
    pub fn always(&self, action: Action) {
        self.add(Rule { operation: None, target: None, times: usize::MAX, action });
    }

    /// Takes all rules back.
    pub fn heal(&self) {
        self.0.lock().rules.clear();
    }

    /// Does these things otherwise from now on.
    pub fn change_quirks(&self, change: impl FnOnce(&mut Quirks)) {
        change(&mut self.0.lock().quirks);
    }

    /// What is done otherwise now.
    pub(super) fn quirks(&self) -> Quirks {
        self.0.lock().quirks.clone()
    }

    /// See [`Quirks::unconditional`].
    pub fn ignore_conditions_of(&self, operations: &[&str]) {
        self.change_quirks(|quirks| quirks.unconditional = owned(operations));
    }

    /// See [`Quirks::opaque_etags`].
    pub fn set_opaque_etags(&self, is_on: bool) {
        self.change_quirks(|quirks| quirks.opaque_etags = is_on);
    }

    pub(super) fn has_opaque_etags(&self) -> bool {
        self.quirks().opaque_etags
    }

    pub(super) fn ignores_conditions_of(&self, operation: &str) -> bool {
        self.quirks().unconditional.iter().any(|name| name == operation)
    }

    /// See [`Quirks::unnamed`].
    pub fn leave_unnamed(&self, operations: &[&str]) {
        self.change_quirks(|quirks| quirks.unnamed = owned(operations));
    }

    pub(super) fn leaves_unnamed(&self, operation: &str) -> bool {
        self.quirks().unnamed.iter().any(|name| name == operation)
    }

    pub(super) fn latency(&self) -> Duration {
        self.0.lock().latency
    }

    pub(super) fn region(&self) -> Option<String> {
        self.0.lock().region.clone()
    }

    /// Notes a request and says what shall happen to it.
    pub(super) fn note(&self, operation: &str, target: &str) -> Option<Action> {
        let mut state = self.0.lock();
        state.total += 1;
        if state.transcript.len() == TRANSCRIPT {
            state.transcript.pop_front();
        }
        state.transcript.push_back((operation.to_owned(), target.to_owned()));
        let fits = |rule: &Rule| {
            rule.times > 0
                && rule.operation.as_deref().is_none_or(|wanted| wanted == operation)
                && rule.target.as_deref().is_none_or(|part| target.contains(part))
        };
        let rule = state.rules.iter_mut().find(|rule| fits(rule))?;
        rule.times -= 1;
        Some(rule.action.clone())
    }
}

fn owned(operations: &[&str]) -> Vec<String> {
    operations.iter().map(|name| (*name).to_owned()).collect()
}

/// Requests remembered: more than any one test looks at.
const TRANSCRIPT: usize = 100_000;
