//! Bodies that are taken without a pause, however slowly what they go to takes them.
//!
//! Some clients give an upload up when nothing of it is taken for half a minute. So when a [`Sink`] lets a
//! body wait, a little of it goes to a file now and then, and from there to the sink in its own time. No
//! more than that: the client is to see how far its upload really came, and what waits here when the body
//! has ended would be lost with this program. Without room on disk the body comes as fast as the sink takes
//! it.

mod backlog;
mod backups;
mod bodies;
mod room;
mod scratch;

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::ReusableBoxFuture;
use tokio_util::task::AbortOnDropHandle;

use crate::state::State;
use crate::tally::carried;
use backlog::{Backlog, SLOT};
use room::Room;

pub use bodies::{Bodies, BodyCopy, KeptBody, has_bodies, unclaimed};
pub use room::{DEFAULT_ROOM, Quota};
pub use scratch::Scratch;

/// What a body goes to, in its own time.
pub trait Sink: Send + 'static {
    type Error: From<IntakeError> + Send + 'static;

    /// Takes the next bytes of the body; waits for as long as it must.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Why a body was not taken, beside the sink's own reasons.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error("the upload has failed already")]
    Ended,
    #[error("the data that waited on disk cannot be read")]
    Lost(#[source] io::Error),
    #[error("the operation was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// How bodies wait.
#[derive(Debug, Clone, Copy)]
pub struct IntakeOptions {
    /// Room on disk for all bodies of the source: those that come faster than they are taken, those that may be needed
    /// again, and those that are kept until they are stored.
    pub quota: Quota,
    /// How long a sink may keep a body waiting before some of it, [`SIP`], goes to the disk.
    pub pause: Duration,
}

impl Default for IntakeOptions {
    fn default() -> Self {
        Self { quota: Quota::default(), pause: PAUSE }
    }
}

/// What all bodies of a source share.
#[derive(Debug, Clone)]
pub struct Intakes {
    directory: PathBuf,
    room: Room,
    /// The same for what is kept.
    kept: Room,
    pause: Duration,
}

impl Intakes {
    /// Bodies wait in the directory of `state`.
    pub fn new(options: IntakeOptions, state: &State) -> Self {
        let (directory, pause) = (state.directory().to_owned(), options.pause);
        let room = Room::new(&directory, options.quota);
        Self { kept: room.for_kept(), directory, room, pause }
    }

    /// Takes a body for `sink`.
    pub fn begin<S: Sink>(&self, sink: S) -> Intake<S> {
        Intake { intakes: self.clone(), stage: Stage::Ready(Box::new(sink)), work: None, timer: None }
    }

    /// Whether a body of `length` bytes would have to pause, if it is not taken at once: all the room is used, by
    /// some that wait, too.
    pub fn is_full_for(&self, length: u64) -> bool {
        length > SLOT && self.room.left() < SLOT && self.spilled() > 0
    }

    /// Bytes on disk of bodies that come faster than they are taken.
    pub fn spilled(&self) -> u64 {
        self.room.used()
    }

    /// A file for a body, in the room of all of them; `None` where the disk has none. Blocks, for a moment.
    pub fn scratch(&self) -> Option<Scratch> {
        let file = Scratch::new(&self.directory, &self.room);
        file.inspect_err(|error| tracing::info!(%error, "uploads cannot wait on disk")).ok()
    }

    /// The same for one that is kept until it is stored, of which at least `size` bytes are coming; `None`: there is no
    /// room, either.
    pub fn scratch_to_keep(&self, size: u64) -> Option<Scratch> {
        if size > self.kept.left() {
            return None;
        }
        let file = Scratch::new(&self.directory, &self.kept);
        file.inspect_err(|error| tracing::info!(%error, "uploads cannot be kept")).ok()
    }

    fn backlog(&self) -> Option<Arc<Backlog>> {
        self.scratch().map(|file| Arc::new(Backlog::new(file, self.room.clone())))
    }
}

/// One body on its way; see the module.
pub struct Intake<S: Sink> {
    intakes: Intakes,
    stage: Stage<S>,
    /// Where the sink takes one piece after the other. Made for the first.
    work: Option<Work<S>>,
    /// Made when the sink is first waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

/// A sink at work on a piece; what it did for the one before is gone.
type Work<S> = ReusableBoxFuture<'static, Result<Box<S>, <S as Sink>::Error>>;

enum Stage<S: Sink> {
    Ready(Box<S>),
    /// It works off what is on disk; ends when it has caught up.
    Behind {
        backlog: Arc<Backlog>,
        task: AbortOnDropHandle<Result<Box<S>, S::Error>>,
        /// Bytes that may go to the disk before the sink is waited for again.
        sip: usize,
    },
    /// It failed.
    Gone,
}

impl<S: Sink> Intake<S> {
    /// Takes the next bytes. Waits for the sink for a moment only, as long as there is room on disk.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), S::Error> {
        match std::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Ready(sink) => self.hand_over(sink, bytes).await,
            Stage::Behind { backlog, mut task, mut sip } => {
                if sip == 0 {
                    if let Ok(sink) = timeout(self.intakes.pause, caught_up::<S>(&mut task)).await {
                        return self.hand_over(sink?, bytes).await;
                    }
                    sip = SIP;
                }
                sip = sip.saturating_sub(bytes.len());
                if !task.is_finished() {
                    backlog.append(&mut bytes).await;
                }
                if bytes.is_empty() {
                    self.stage = Stage::Behind { backlog, task, sip };
                    return Ok(());
                }
                // It has caught up or failed, or the disk does not take it.
                let sink = caught_up::<S>(&mut task).await?;
                self.hand_over(sink, bytes).await
            }
            Stage::Gone => Err(IntakeError::Ended.into()),
        }
    }

    async fn hand_over(&mut self, sink: Box<S>, bytes: Bytes) -> Result<(), S::Error> {
        let mut work = match self.work.take() {
            Some(mut work) => {
                work.set(write(sink, bytes));
                work
            }
            None => Work::<S>::new(write(sink, bytes)),
        };
        if let Some(written) = self.wait_for(&mut work).await {
            self.stage = Stage::Ready(written?);
            self.work = Some(work);
            return Ok(());
        }
        let Some(backlog) = self.intakes.backlog() else {
            self.stage = Stage::Ready(work.get_pin().await?);
            self.work = Some(work);
            return Ok(());
        };
        let reader = Arc::clone(&backlog).reader();
        let task = tokio::spawn(carried(async move {
            let mut sink = work.get_pin().await?;
            while let Some(chunk) = reader.next().await.map_err(IntakeError::Lost)? {
                sink.write(chunk).await?;
            }
            Ok(sink)
        }));
        self.stage = Stage::Behind { backlog, task: AbortOnDropHandle::new(task), sip: SIP };
        Ok(())
    }

    /// Waits for a sink at work, for the pause at most.
    async fn wait_for(&mut self, work: &mut Work<S>) -> Option<Result<Box<S>, S::Error>> {
        let (pause, mut is_waiting) = (self.intakes.pause, false);
        poll_fn(|cx| {
            if let Poll::Ready(written) = work.poll(cx) {
                return Poll::Ready(Some(written));
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(pause)));
            if !is_waiting {
                is_waiting = true;
                timer.as_mut().reset(Instant::now() + pause);
            }
            timer.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// Whether the sink has let it wait.
    pub fn is_behind(&self) -> bool {
        matches!(self.stage, Stage::Behind { .. })
    }

    /// Waits until everything was taken, and gives the sink back.
    pub async fn end(self) -> Result<S, S::Error> {
        match self.stage {
            Stage::Ready(sink) => Ok(*sink),
            Stage::Behind { mut task, .. } => Ok(*caught_up::<S>(&mut task).await?),
            Stage::Gone => Err(IntakeError::Ended.into()),
        }
    }
}

/// The sink, when it has taken `bytes`.
async fn write<S: Sink>(mut sink: Box<S>, bytes: Bytes) -> Result<Box<S>, S::Error> {
    sink.write(bytes).await.map(|()| sink)
}

async fn caught_up<S: Sink>(
    task: &mut AbortOnDropHandle<Result<Box<S>, S::Error>>,
) -> Result<Box<S>, S::Error> {
    task.await.map_err(IntakeError::Interrupted)?
}

/// How long a sink is waited for by default: clients wait for 30 s.
const PAUSE: Duration = Duration::from_secs(5);
/// Bytes that are taken after each pause. Below, sockets hold up to some MiB, and let a sender go on when a
/// third of that is gone.
pub const SIP: usize = 512 << 10;
