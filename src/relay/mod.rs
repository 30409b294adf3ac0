//! A gateway whose files are behind another gateway: in a container, or at the end of a session with a task.
//!
//! The port of such a far gateway admits whoever knows its password, and closes when the container or the session
//! dies. So this machine's end is a gateway like any other: it tells whose programs may come in, its port stays open,
//! and what comes is forwarded with the password. While the far end is away requests wait; what cannot have been done
//! is sent anew when it is back, uploads too; by the ID of a request the far gateway knows what it has carried out
//! already. What is under way may take as long as it moves, or as the far end lives. The password is shown to nobody but
//! this user's programs and root's: whoever answers at the far end's port is looked at first.

mod answer;
mod forward;
mod line;
mod upload;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use http_body_util::combinators::UnsyncBoxBody;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::metrics::Metrics;
use crate::peer::{Kernel, Owners};
use crate::spool::Intakes;
use line::Line;

pub use answer::connection_names;
pub use forward::ForwardError;

/// The ID of a request that changes something: the same for each time that it is sent.
pub static REQUEST: HeaderName = HeaderName::from_static("s3dav-request");

/// Every gateway answers it to anybody, from memory.
pub const HEALTH: &str = "/.s3dav/health";

/// Whether a request may change something, and has an ID.
pub fn changes(method: &Method) -> bool {
    !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PROPFIND")
}

/// A body on its way to or from the client.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What the far gateway runs in, and how it is reached.
#[async_trait]
pub trait Far: fmt::Debug + Send + Sync {
    /// Makes sure that it can be started, and changes nothing.
    async fn check(&self) -> Result<(), FarError>;

    /// Starts it, or finds it running, and leads to it. It need not answer yet.
    async fn open(&self) -> Result<Opened, FarError>;

    /// Ends it for good, in order.
    async fn close(&self);
}

/// A way to a far gateway.
pub struct Opened {
    /// On this machine.
    pub address: SocketAddr,
    /// With the password.
    pub authorization: HeaderValue,
    /// What may end it soon, such as credentials that are not renewed.
    pub trouble: watch::Receiver<Option<FarError>>,
    /// Until it has ended, and why. The way ends when this is dropped.
    pub ended: Pin<Box<dyn Future<Output = FarError> + Send>>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why a far gateway cannot be reached.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct FarError {
    pub message: String,
    pub hint: String,
}

impl FarError {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// See the module. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Relay(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    far: Arc<dyn Far>,
    line: watch::Sender<Option<Arc<Line>>>,
    /// Somebody had no answer.
    doubt: Notify,
    trouble: Mutex<Option<FarError>>,
    owners: Arc<dyn Owners>,
    intakes: Intakes,
    metrics: Metrics,
}

impl Relay {
    /// Nothing is reached without [`Self::keep`].
    pub fn new(far: Arc<dyn Far>, intakes: Intakes, metrics: Metrics) -> Self {
        let (line, doubt, trouble) = (watch::Sender::new(None), Notify::new(), Mutex::default());
        let owners = Arc::new(Kernel::open());
        Self(Arc::new(Inner { far, line, doubt, trouble, owners, intakes, metrics }))
    }

    /// Reaches the far end, and reaches it again whenever it is lost, for ever.
    pub async fn keep(&self) {
        let mut pause = PAUSE;
        loop {
            let begun = Instant::now();
            let error = self.reach().await;
            let hint = format!("{}; s3dav keeps trying", error.hint);
            if self.0.trouble.lock().as_ref().map(|known| &known.message) != Some(&error.message) {
                tracing::warn!(hint, "the remote gateway was lost; reconnecting: {error}");
            }
            self.0.metrics.note_trouble(PLACE, Some((error.message.clone(), hint)));
            *self.0.trouble.lock() = Some(error);
            pause = if begun.elapsed() > SHORT_LIFE { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            sleep(pause).await;
        }
    }

    /// Waits until it is reached, or surely is not.
    pub async fn reached(&self, limit: Duration) -> Result<(), FarError> {
        let mut line = self.0.line.subscribe();
        let failed = async {
            loop {
                if let Some(trouble) = self.trouble() {
                    return trouble;
                }
                sleep(PAUSE).await;
            }
        };
        let reached = async {
            // The sender is not dropped before this.
            let _ = line.wait_for(Option::is_some).await;
        };
        tokio::select! {
            () = reached => Ok(()),
            trouble = failed => Err(trouble),
            () = sleep(limit) => Err(silent(limit)),
        }
    }

    /// Whether it can be reached now.
    pub fn is_reached(&self) -> bool {
        self.0.line.borrow().is_some()
    }

    /// Why it cannot be reached.
    pub fn trouble(&self) -> Option<FarError> {
        self.0.trouble.lock().clone()
    }

    /// Until it is lost; gives the reason.
    async fn reach(&self) -> FarError {
        let Opened { address, authorization, trouble, mut ended } = match self.0.far.open().await {
            Ok(opened) => opened,
            Err(error) => return error,
        };
        let line = Arc::new(Line::new(address, authorization, Arc::clone(&self.0.owners)));
        tokio::select! {
            () = answers(&line) => {}
            error = &mut ended => return error,
            () = sleep(START) => return line.stranger().unwrap_or_else(|| silent(START)),
        }
        tracing::debug!(%address, "connected to the remote gateway");
        *self.0.trouble.lock() = None;
        self.0.metrics.note_trouble(PLACE, None);
        self.0.line.send_replace(Some(Arc::clone(&line)));
        let error = tokio::select! {
            error = ended => error,
            () = self.is_silent(&line) => line.stranger().unwrap_or_else(|| silent(PROBE)),
            error = line.refused() => error,
            never = self.tell(trouble) => match never {},
        };
        self.0.metrics.note_trouble(BESIDE, None);
        self.0.line.send_replace(None);
        line.retire();
        error
    }

    /// Shows what is wrong beside, for ever.
    async fn tell(&self, mut trouble: watch::Receiver<Option<FarError>>) -> Infallible {
        loop {
            let now = trouble.borrow_and_update().clone();
            self.0.metrics.note_trouble(BESIDE, now.map(|error| (error.message, error.hint)));
            if trouble.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Until several probes in a row have no answer while nothing else moves: they wait behind large uploads.
    async fn is_silent(&self, line: &Line) {
        let mut silent = 0;
        while silent < SILENT_PROBES {
            if silent == 0 {
                // What is over in a moment need not be told apart.
                let _ = timeout(PROBE_PAUSE, self.0.doubt.notified()).await;
            } else {
                sleep(SILENT_PAUSE).await;
            }
            let before = line.movements();
            let has_answered = matches!(timeout(PROBE, line.probe()).await, Ok(Ok(())));
            silent = if has_answered || line.movements() != before { 0 } else { silent + 1 };
        }
    }

    /// Ends the far gateway for good.
    pub async fn close(&self) {
        self.0.line.send_replace(None);
        self.0.far.close().await;
    }
}

async fn answers(line: &Line) {
    while !matches!(timeout(PROBE, line.probe()).await, Ok(Ok(()))) {
        sleep(PAUSE).await;
    }
}

fn silent(limit: Duration) -> FarError {
    FarError::new(
        format!("the remote gateway did not answer within {limit:?}"),
        "the log has details with --verbose",
    )
}

/// In the list of problems.
const PLACE: &str = "remote gateway";
const BESIDE: &str = "credentials";
/// For a gateway that is being started.
const START: Duration = Duration::from_secs(90);
/// Between two looks whether it answers at all.
const PROBE_PAUSE: Duration = Duration::from_secs(15);
/// It is answered from memory.
const PROBE: Duration = Duration::from_secs(5);
/// One of them may be lost in a moment of a bad network.
const SILENT_PROBES: u32 = 3;
/// Between them; those that are refused have no other pause.
const SILENT_PAUSE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);
/// Another line is there within 10 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// One that is lost sooner may be so again.
const SHORT_LIFE: Duration = Duration::from_secs(30);
