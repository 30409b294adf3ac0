//! Whether what is served answers, for the probes of platforms: they ask every few seconds, and act on it.
//!
//! Health is about this process: an S3 that is away is no reason to start it anew, a directory that hangs is one, for
//! its mount is made anew with it. Readiness is about whether it has ever reached what it serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::fs::path::PathShare;
use crate::http::Readiness;
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::shutdown::Shutdown;
use crate::store::{ListRequest, MultipartStore};

/// What can be asked.
pub(super) enum Asked {
    /// Each bucket, and the prefix that is served.
    Buckets(Vec<(String, Arc<dyn MultipartStore>)>),
    Directory(PathShare),
    /// Another gateway.
    Far(Relay),
}

/// See the module.
pub(super) struct Answering {
    asked: Arc<Asked>,
    was_reached: AtomicBool,
    /// The question under way; `true`: it has been answered.
    question: Mutex<Option<watch::Receiver<bool>>>,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl Answering {
    pub(super) fn new(asked: Asked, metrics: Metrics, shutdown: Shutdown) -> Arc<Self> {
        // A directory that cannot be opened ends the start.
        let was_reached = matches!(asked, Asked::Directory(_)).into();
        let (asked, question) = (Arc::new(asked), Mutex::default());
        Arc::new(Self { asked, was_reached, question, metrics, shutdown })
    }

    /// Why the gateway should be started anew.
    pub(super) async fn illness(&self) -> Option<&'static str> {
        if self.shutdown.is_ending() {
            return Some(ENDING);
        }
        match *self.asked {
            // It is reached again without that.
            Asked::Buckets(_) | Asked::Far(_) => None,
            Asked::Directory(_) => {
                let mut answer = self.ask();
                let answered = timeout(PATIENCE, answer.wait_for(|answered| *answered)).await;
                // An error: the question was given up, since the gateway is ending.
                match answered {
                    Ok(Ok(_)) => None,
                    Ok(Err(_)) => Some(ENDING),
                    Err(_) => Some("the directory that it serves does not answer"),
                }
            }
        }
    }

    /// Asks, unless a question is under way: one that hangs keeps a thread.
    fn ask(&self) -> watch::Receiver<bool> {
        let mut question = self.question.lock();
        if let Some(answer) =
            question.as_ref().filter(|answer| !*answer.borrow() && answer.has_changed().is_ok())
        {
            return answer.clone();
        }
        let (answered, answer) = watch::channel(false);
        *question = Some(answer.clone());
        let (asked, stop) = (Arc::clone(&self.asked), self.shutdown.clone());
        self.shutdown.background(async move {
            tokio::select! {
                () = asked.answer() => {
                    // Whoever asked may have gone.
                    let _ = answered.send(true);
                }
                () = stop.begun() => {}
            }
        });
        answer
    }

    fn is_reached(&self) -> bool {
        let reaches = match &*self.asked {
            Asked::Far(relay) => relay.is_reached(),
            _ => self.metrics.has_reached_s3(),
        };
        if reaches && !self.was_reached.load(Ordering::Relaxed) {
            self.was_reached.store(true, Ordering::Relaxed);
        }
        self.was_reached.load(Ordering::Relaxed)
    }
}

impl Asked {
    /// Until it has answered, or surely does not.
    async fn answer(&self) {
        match self {
            Self::Directory(share) => share.answers().await,
            // It is asked all the time.
            Self::Far(_) => {}
            Self::Buckets(stores) => {
                for (below, store) in stores {
                    // An answer is counted where it comes in; why there is none is noted there, too.
                    let _ = timeout(PATIENCE, store.list(&ListRequest::probe(below))).await;
                }
            }
        }
    }
}

impl Readiness for Answering {
    fn hindrance(&self) -> Option<&'static str> {
        if self.shutdown.is_ending() {
            return Some(ENDING);
        }
        if self.is_reached() {
            return None;
        }
        if matches!(*self.asked, Asked::Far(_)) {
            return Some("the remote gateway has not been reached yet; `s3dav status` says why");
        }
        // Nobody else may ask before it is ready.
        drop(self.ask());
        Some("S3 has not been reached yet; `s3dav status` says why")
    }
}

const ENDING: &str = "the gateway is ending";
/// Whoever asks waits for 5 s.
const PATIENCE: Duration = Duration::from_millis(4500);
