//! The process that holds a gateway's sockets, and starts the gateway anew when it dies.
//!
//! While nobody listens at the port of a mount, macOS drops what is saved, and another user's program may take the
//! port. So where the system holds no sockets this process does: connections wait in their queue until the next
//! gateway takes them. It does as little as it can, so that it has no reason to die itself, and it hands on nothing
//! but the sockets, its own command line and its environment: a gateway of another version can follow.
//!
//! What a gateway's end means is told by its exit code: 0, it was meant; [`START_ANEW`], start the next one;
//! anything else, and any signal, is an accident. Whoever wants the end gets it from a gateway that serves, which
//! unmounts first; where none does this process gives the mounts up, so that none has a port that is closed. As
//! process 1 of a container it also reaps what others leave.

mod ends;
mod failure;
mod gateway;
mod init;
mod wishes;

use std::ffi::OsString;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rustix::process::Signal as PosixSignal;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::control::{self, LastEnd, ParentStatus, Who};
use crate::logging::{Rarely, milliseconds};
use crate::mount;
use crate::shutdown::Signals;
use crate::sockets::HandedOn;
use ends::{Ends, Exit, Next};
use gateway::Gateway;
use wishes::{Answers, Wish};

pub use failure::{note as note_failure, read as failure};
pub use init::run as run_as_process_1;

/// What is to be held, and started.
#[derive(Debug)]
pub struct Plan {
    /// By the name that leads to the newest one, absolute.
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// Variables of the environment that are not its.
    pub without: Vec<String>,
    pub sockets: HandedOn,
    /// What is served there.
    pub urls: Vec<String>,
    /// The gateway's.
    pub state_dir: PathBuf,
    /// Started by `mount`, and so ended by `unmount`.
    pub detached: bool,
    /// What is typed at the terminal, such as Ctrl-C, reaches the gateway, too, and is not handed on.
    pub shares_terminal: bool,
}

/// Holds the sockets until the gateway has ended as it was meant to, or could not be started in the first place.
/// Gives the exit code.
pub async fn run(plan: Plan) -> io::Result<u8> {
    let status = ParentStatus {
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        urls: plan.urls.clone(),
        detached: plan.detached,
        ..ParentStatus::default()
    };
    let (status, (wanted, wishes)) = (Arc::new(Mutex::new(status)), mpsc::channel(1));
    let door = control::open(&plan.state_dir, Who::Parent);
    let other = |signal: PosixSignal| tokio::signal::unix::signal(SignalKind::from_raw(signal.as_raw()));
    let parent = Parent {
        signals: Signals::listen()?,
        children: signal(SignalKind::child())?,
        quit: other(PosixSignal::QUIT)?,
        ends: Ends::default(),
        died: Rarely::default(),
        status: Arc::clone(&status),
        wanted: None,
        wishes,
        plan,
    };
    match door {
        Ok(door) => door.answer_during(Arc::new(Answers { status, wanted }), parent.hold()).await,
        Err(error) => {
            tracing::warn!(
                %error,
                "the control socket cannot be opened; `s3dav status` will not find this process"
            );
            parent.hold().await
        }
    }
}

struct Parent {
    plan: Plan,
    signals: Signals,
    /// One of them has ended.
    children: Signal,
    /// Ctrl-\\
    quit: Signal,
    wishes: mpsc::Receiver<Wish>,
    ends: Ends,
    died: Rarely,
    status: Arc<Mutex<ParentStatus>>,
    /// The end is, by this signal.
    wanted: Option<PosixSignal>,
}

impl Parent {
    async fn hold(mut self) -> io::Result<u8> {
        loop {
            let begun = Instant::now();
            let (exit, was_ready) = match gateway::start(&self.plan) {
                Ok(gateway) => self.watch(gateway).await,
                Err(error) if !self.ends.was_ever_ready() => return Err(error),
                Err(error) => (Exit::NotStarted(error.to_string()), false),
            };
            if self.wanted.is_some() && exit != Exit::Code(START_ANEW) {
                return Ok(self.end(&exit, was_ready).await);
            }
            match self.ends.next(&exit, was_ready, begun.elapsed(), Instant::now()) {
                Next::Follow(code) => return Ok(code),
                Next::Start { after } => {
                    self.tell(&exit, after);
                    if self.wait(after).await.is_break() {
                        self.status.lock().ending = true;
                        return Ok(self.end(&exit, false).await);
                    }
                }
            }
        }
    }

    /// The exit code where the end is wanted. A gateway that serves unmounts before it ends; where there was none, or
    /// it died, that is left to do.
    async fn end(&self, exit: &Exit, has_served: bool) -> u8 {
        let is_orderly = matches!(exit, Exit::Code(0)) && has_served;
        if !is_orderly && self.ends.was_ever_ready() {
            mount::detach_all(&self.plan.urls, true, GIVING_UP).await;
        }
        // Whoever ends what does not run has not failed.
        if has_served || !self.ends.was_ever_ready() { exit.exit_code() } else { 0 }
    }

    /// Until the gateway has ended; says how, and whether it was ready before.
    async fn watch(&mut self, gateway: Gateway) -> (Exit, bool) {
        self.status.lock().is_running = true;
        let state_dir = self.plan.state_dir.clone();
        let (mut serves, mut is_ready) = (std::pin::pin!(gateway.serves(&state_dir)), false);
        let mut is_told = false;
        let exit = loop {
            tokio::select! {
                _ = self.children.recv() => {
                    if let Some(exit) = gateway::reap(Some(&gateway)) {
                        break exit;
                    }
                }
                wanted = end_of(&mut self.signals, &mut self.quit, &mut self.wishes) => {
                    self.wanted = Some(wanted);
                    self.status.lock().ending = true;
                    // A successor of one that served unmounts when it serves.
                    if is_ready || !self.ends.was_ever_ready() {
                        is_told |= self.hand_on(wanted, &gateway);
                    }
                }
                () = &mut serves, if !is_ready => {
                    is_ready = true;
                    self.is_ready();
                    // A second Ctrl-C would end it at once.
                    if let Some(wanted) = self.wanted.filter(|_| !is_told) {
                        // It was not there when the terminal sent it.
                        gateway.send(wanted);
                    }
                }
            }
        };
        if !is_ready && gateway.has_served(&state_dir) {
            is_ready = true;
            self.is_ready();
        }
        self.status.lock().is_running = false;
        (exit, is_ready)
    }

    /// Says whether it was this process that sent it.
    fn hand_on(&self, wanted: PosixSignal, gateway: &Gateway) -> bool {
        let is_typed = matches!(wanted, PosixSignal::INT | PosixSignal::QUIT);
        let is_for_us = !(is_typed && self.plan.shares_terminal);
        if is_for_us {
            gateway.send(wanted);
        }
        is_for_us
    }

    /// The gateway serves.
    fn is_ready(&mut self) {
        self.ends.ready();
        let mut status = self.status.lock();
        (status.failed_starts, status.reason, status.hint) = (0, None, None);
    }

    /// Nobody is told twice of the same.
    fn tell(&self, exit: &Exit, after: Duration) {
        if *exit == Exit::Code(START_ANEW) {
            return;
        }
        let mut status = self.status.lock();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        status.last_end = Some(LastEnd { how: exit.to_string(), at });
        status.failed_starts = self.ends.failed_starts();
        if status.failed_starts == 0 {
            status.deaths += 1;
            if let Some(before) = self.died.now() {
                tracing::warn!(%exit, before, "the gateway has died; starting a new one");
            }
            return;
        }
        (status.reason, status.hint) = failure::read(&self.plan.state_dir).unzip();
        if after > ends::SOON && !self.ends.is_told() {
            tracing::warn!(
                %exit,
                every_ms = milliseconds(after),
                "the gateway does not start; its port stays open, and s3dav keeps trying"
            );
        }
    }

    /// A pause between two tries; breaks off if the end is wanted.
    async fn wait(&mut self, pause: Duration) -> ControlFlow<()> {
        let mut over = std::pin::pin!(sleep(pause));
        loop {
            tokio::select! {
                () = &mut over => return ControlFlow::Continue(()),
                _ = self.children.recv() => drop(gateway::reap(None)),
                _ = self.signals.next() => return ControlFlow::Break(()),
                _ = self.quit.recv() => return ControlFlow::Break(()),
                Some(wish) = self.wishes.recv() => match wish {
                    Wish::Stop => return ControlFlow::Break(()),
                    Wish::Start => return ControlFlow::Continue(()),
                },
            }
        }
    }
}

/// Waits until somebody wants the end; gives the signal that tells the gateway.
async fn end_of(signals: &mut Signals, quit: &mut Signal, wishes: &mut mpsc::Receiver<Wish>) -> PosixSignal {
    loop {
        tokio::select! {
            signal = signals.next() => return signal.into(),
            _ = quit.recv() => return PosixSignal::QUIT,
            Some(wish) = wishes.recv() => if wish == Wish::Stop {
                return PosixSignal::TERM;
            },
        }
    }
}

/// For mounts that no gateway serves: their programs cannot send what they have.
const GIVING_UP: Duration = Duration::from_secs(20);
/// The exit code of a gateway that is to be started anew: `EX_TEMPFAIL` of sysexits.h.
pub const START_ANEW: u8 = 75;
/// Where a gateway that nobody sees says why it does not start; its parent keeps it short.
pub const FIRST_WORDS: &str = "start.log";
