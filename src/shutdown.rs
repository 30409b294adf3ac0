//! The end of the program, as a value that can be waited for.
//!
//! It is requested first (by a signal or a command), so that what must happen while requests are still
//! answered can happen, such as unmounting; then it begins.
//! One [`Shutdown`] is made per gateway; whoever runs a loop waits for it beside its other work.
//! Detached work (commits, aborts) runs on its [`TaskTracker`], so that the end waits for it.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tally::carried;

/// A switch that is thrown once, and the tasks that must be done before the program may end.
#[derive(Debug, Clone)]
pub struct Shutdown {
    requested: watch::Sender<Option<End>>,
    begun: watch::Sender<bool>,
    /// The last request has ended.
    quiet: watch::Sender<bool>,
    tasks: TaskTracker,
    /// They end where they are.
    cut: CancellationToken,
}

/// What is wanted with the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// That it is one.
    Stop,
    /// That the program is started anew, once the uploads that are under way have ended, or after that time.
    Restart { patience: Duration },
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            requested: watch::Sender::new(None),
            begun: watch::Sender::new(false),
            quiet: watch::Sender::new(false),
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
        }
    }
}

impl Shutdown {
    /// Asks for the end.
    pub fn request(&self, end: End) {
        self.requested.send_replace(Some(end));
    }

    /// Waits until the end has been asked for.
    pub async fn requested(&self) -> End {
        let mut requested = self.requested.subscribe();
        let end = requested.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        // The sender lives in `self`, so there is one.
        end.unwrap_or(End::Stop)
    }

    /// Waits until an end for good has been asked for, maybe after a restart was.
    pub async fn stop_requested(&self) {
        let _ = self.requested.subscribe().wait_for(|requested| *requested == Some(End::Stop)).await;
    }

    /// Whether the end is meant, and no other life of the gateway comes after it that takes over its clients.
    pub fn is_ending(&self) -> bool {
        match *self.requested.borrow() {
            Some(end) => end == End::Stop,
            None => self.has_begun(),
        }
    }

    /// Begins the shutdown; further calls do nothing.
    pub fn begin(&self) {
        self.begun.send_replace(true);
        self.tasks.close();
    }

    /// Whether the shutdown has begun.
    pub fn has_begun(&self) -> bool {
        *self.begun.borrow()
    }

    /// Waits until the shutdown has begun.
    pub async fn begun(&self) {
        // The sender lives in `self`, so the channel cannot close while we wait.
        let _ = self.begun.subscribe().wait_for(|begun| *begun).await;
    }

    /// Runs `work` to its end, whatever becomes of the caller: a commit must not stop halfway
    /// because a client went away. The shutdown waits for it, unless it is [cut](Self::cut): then this never returns.
    pub async fn complete<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        let cut = self.cut.clone();
        match self.tasks.spawn(carried(async move { cut.run_until_cancelled(work).await })).await? {
            Some(done) => Ok(done),
            None => std::future::pending().await,
        }
    }

    /// Runs `work` in the background; the shutdown waits for it, unless it is [cut](Self::cut). No request's tally has it: it
    /// may outlive all.
    pub fn background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move { cut.run_until_cancelled(work).await.unwrap_or_default() });
    }

    /// Ends all that goes on where it is: what it waits for does not answer. As if the program were killed, so what it leaves
    /// must be found at the next start. Call when the last request has ended.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Whether no task goes on but one, which asks.
    pub fn is_last(&self) -> bool {
        self.tasks.len() <= 1
    }

    /// Whether the last request has ended.
    pub fn is_quiet(&self) -> bool {
        *self.quiet.borrow()
    }

    /// Waits until the last request has ended.
    pub async fn quiet(&self) {
        // See above.
        let _ = self.quiet.subscribe().wait_for(|quiet| *quiet).await;
    }

    /// Waits for all detached work. Call after [`Shutdown::begin`], when the last request has ended.
    pub async fn drained(&self) {
        self.quiet.send_replace(true);
        self.tasks.wait().await;
    }
}

/// What ends a program from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndSignal {
    /// Of a manager, or of the system.
    Terminate,
    /// Ctrl-C.
    Interrupt,
    /// The terminal is gone.
    Hangup,
}

impl EndSignal {
    /// Of a program that ends by it, as shells tell it.
    pub fn exit_code(self) -> u8 {
        let number = match self {
            Self::Hangup => 1,
            Self::Interrupt => 2,
            Self::Terminate => 15,
        };
        128 + number
    }
}

/// Ctrl-C, SIGTERM, and the end of the terminal. From when it is made none is lost.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> EndSignal {
        tokio::select! {
            _ = self.terminate.recv() => EndSignal::Terminate,
            _ = self.interrupt.recv() => EndSignal::Interrupt,
            _ = self.hangup.recv() => EndSignal::Hangup,
        }
    }
}

/// For requests that run when the end has begun: whoever pressed Ctrl-C waits for it.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
