//! The process that holds a gateway's sockets, and starts the gateway anew when it dies.
//!
//! While nobody listens at the port of a mount, macOS drops what is saved, and another user's program may take the
//! port. So where the system holds no sockets this process does: connections wait in their queue until the next
//! gateway takes them. It does as little as it can, so that it has no reason to die itself, and it hands on nothing
//! but the sockets, its own command line and its environment: a gateway of another version can follow.
//!
//! What a gateway's end means is told by its exit code: 0, it was meant; [`START_ANEW`], start the next one;
//! anything else, and any signal, is an accident. As process 1 of a container it also reaps what others leave.

mod ends;
mod failure;
mod gateway;
mod wishes;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::control::{self, LastEnd, ParentStatus, Who};
use crate::shutdown::Signals;
use crate::sockets::HandedOn;
use ends::{End, Ends, Next};
use gateway::Gateway;
use wishes::{Answers, Wish};

pub use failure::note as note_failure;

/// What is to be held, and started.
#[derive(Debug)]
pub struct Plan {
    /// By the name that leads to the newest one, absolute.
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub sockets: HandedOn,
    /// The gateway's.
    pub state_dir: PathBuf,
}

/// Holds the sockets until the gateway has ended as it was meant to, or could not be started in the first place.
/// Gives the exit code.
pub async fn run(plan: Plan) -> io::Result<u8> {
    let status = ParentStatus {
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        ..ParentStatus::default()
    };
    let (status, (wanted, wishes)) = (Arc::new(Mutex::new(status)), mpsc::channel(1));
    let door = control::open(&plan.state_dir, Who::Parent);
    let parent = Parent {
        signals: Signals::listen()?,
        children: signal(SignalKind::child())?,
        ends: Ends::default(),
        status: Arc::clone(&status),
        is_stopping: false,
        wishes,
        plan,
    };
    match door {
        Ok(door) => door.answer_during(Arc::new(Answers { status, wanted }), parent.hold()).await,
        Err(error) => {
            tracing::warn!(%error, "there is no control socket; `s3dav status` will not find this process");
            parent.hold().await
        }
    }
}

struct Parent {
    plan: Plan,
    signals: Signals,
    /// One of them has ended.
    children: Signal,
    wishes: mpsc::Receiver<Wish>,
    ends: Ends,
    status: Arc<Mutex<ParentStatus>>,
    is_stopping: bool,
}

impl Parent {
    async fn hold(mut self) -> io::Result<u8> {
        loop {
            let begun = Instant::now();
            let (end, was_ready) = match gateway::start(&self.plan) {
                Ok(gateway) => self.watch(gateway).await,
                Err(error) if !self.ends.was_ever_ready() => return Err(error),
                Err(error) => (End::NotStarted(error.to_string()), false),
            };
            if self.is_stopping {
                return Ok(end.exit_code());
            }
            match self.ends.next(&end, was_ready, begun.elapsed(), Instant::now()) {
                Next::End(code) => return Ok(code),
                Next::Start { after } => {
                    self.tell(&end, after);
                    if self.wait(after).await.is_break() {
                        return Ok(end.exit_code());
                    }
                }
            }
        }
    }

    /// Until the gateway has ended; says how, and whether it was ready before.
    async fn watch(&mut self, gateway: Gateway) -> (End, bool) {
        self.status.lock().is_running = true;
        let state_dir = self.plan.state_dir.clone();
        let ready = gateway::ready(&state_dir);
        let (mut ready, mut is_ready) = (std::pin::pin!(ready), false);
        let end = loop {
            tokio::select! {
                _ = self.children.recv() => {
                    if let Some(end) = gateway::reap(Some(&gateway)) {
                        break end;
                    }
                }
                signal = self.signals.next() => {
                    self.is_stopping = true;
                    gateway.send(signal.into());
                }
                Some(wish) = self.wishes.recv() => {
                    if wish == Wish::Stop {
                        self.is_stopping = true;
                        gateway.send(rustix::process::Signal::TERM);
                    }
                }
                () = &mut ready, if !is_ready => {
                    is_ready = true;
                    self.is_ready();
                }
            }
        };
        if !is_ready && gateway.has_served(&state_dir) {
            is_ready = true;
            self.is_ready();
        }
        self.status.lock().is_running = false;
        (end, is_ready)
    }

    /// The gateway serves.
    fn is_ready(&mut self) {
        self.ends.ready();
        let mut status = self.status.lock();
        (status.failed_starts, status.reason, status.hint) = (0, None, None);
    }

    /// Nobody is told twice of the same.
    fn tell(&self, end: &End, after: Duration) {
        let mut status = self.status.lock();
        status.restarts += 1;
        if *end == End::Code(START_ANEW) {
            return;
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        status.last_end = Some(LastEnd { how: end.to_string(), at });
        status.failed_starts = self.ends.failed_starts();
        if status.failed_starts == 0 {
            tracing::warn!(%end, "the gateway has died; the next one is started");
            return;
        }
        (status.reason, status.hint) = failure::read(&self.plan.state_dir).unzip();
        if after > ends::SOON && !self.ends.is_told() {
            tracing::warn!(%end, every = ?after, "the gateway does not start; its port is kept, and it is tried again");
        }
    }

    /// A pause between two tries; breaks off if that is wanted.
    async fn wait(&mut self, pause: Duration) -> std::ops::ControlFlow<()> {
        let mut over = std::pin::pin!(sleep(pause));
        loop {
            tokio::select! {
                () = &mut over => return std::ops::ControlFlow::Continue(()),
                _ = self.children.recv() => drop(gateway::reap(None)),
                _ = self.signals.next() => return std::ops::ControlFlow::Break(()),
                Some(wish) = self.wishes.recv() => match wish {
                    Wish::Stop => return std::ops::ControlFlow::Break(()),
                    Wish::Start => return std::ops::ControlFlow::Continue(()),
                },
            }
        }
    }
}

/// The exit code of a gateway that is to be started anew: `EX_TEMPFAIL` of sysexits.h.
pub const START_ANEW: u8 = 75;
/// Where a gateway that nobody sees says why it does not start; its parent keeps it short.
pub const FIRST_WORDS: &str = "start.log";
