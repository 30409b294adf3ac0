//! The running gateway as its control socket shows it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use super::answering::Answering;
use super::pending;
use super::share::CacheUse;
use crate::config::Caution;
use crate::control::{
    self, Cache, Export, Exports, FileState, Operated, PendingAction, Problem, Reply, Request, Save,
    SaveState, Shelf, Status,
};
use crate::fs::path::PathShare;
use crate::fs::s3::S3Share;
use crate::fs::{ResourcePath, export_hint, sidecar};
use crate::http::Challenges;
use crate::http::auth::AuthMode;
use crate::logging::with_causes;
use crate::metrics::Metrics;
use crate::mount::Deputy;
use crate::notify;
use crate::path_key::PathKey;
use crate::shutdown::{End, Shutdown};
use crate::sockets::Holder;
use crate::spool::Intakes;
use crate::state::{Phase, State, Unstored, millis};

/// What a gateway keeps mounted, unless its user has unmounted it.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    point: Option<PathBuf>,
    is_given_up: AtomicBool,
}

impl Keeping {
    pub(super) fn new(point: Option<PathBuf>) -> Self {
        Self { point, is_given_up: AtomicBool::new(false) }
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.is_given_up.load(Ordering::Relaxed)
    }
}

/// See the module.
pub(super) struct ControlHandler {
    pub(super) source: String,
    pub(super) urls: Vec<String>,
    pub(super) started: SystemTime,
    pub(super) state: State,
    pub(super) metrics: Metrics,
    pub(super) shutdown: Shutdown,
    pub(super) cache: CacheUse,
    /// What is served, if that is in buckets.
    pub(super) bucket: Option<S3Share>,
    pub(super) intakes: Intakes,
    /// Bytes.
    pub(super) shelf_limit: u64,
    /// A save that is under way for less is not worth a word.
    pub(super) slow_save: Duration,
    pub(super) auth: AuthMode,
    /// A name and a password were given.
    pub(super) has_given_login: bool,
    pub(super) detached: bool,
    pub(super) read_only: bool,
    pub(super) options: Vec<String>,
    /// What may be a mistake in them.
    pub(super) cautions: Vec<Caution>,
    pub(super) holder: Holder,
    /// When it was first seen that its parent has ended.
    pub(super) orphaned: OnceLock<SystemTime>,
    pub(super) keeping: Arc<Keeping>,
    pub(super) challenges: Challenges,
    pub(super) deputy: Option<Deputy>,
    pub(super) answering: Arc<Answering>,
    /// What is served, if that is a directory.
    pub(super) directory: Option<PathShare>,
}

#[async_trait]
impl Operated for ControlHandler {
    async fn carry_out(&self, request: Request) -> Reply {
        match request {
            Request::Status => Reply::Status(Box::new(self.status())),
            Request::Health => match self.answering.illness().await {
                None => Reply::Done,
                Some(why) => Reply::Failed { message: why.to_owned() },
            },
            Request::Stop => {
                tracing::info!("stopping, as a command asked for it");
                self.shutdown.request(End::Stop);
                Reply::Done
            }
            Request::Restart { patience } => self.restart(Duration::from_secs(patience)),
            Request::Flush => match self.state.sync().await {
                Ok(()) => Reply::Done,
                Err(error) => failed(&error),
            },
            Request::Keep { mounted } => {
                self.keeping.is_given_up.store(!mounted, Ordering::Relaxed);
                Reply::Done
            }
            Request::Mounting { under_way } => match &self.deputy {
                Some(deputy) => {
                    if under_way {
                        deputy.begin()
                    } else {
                        deputy.end()
                    }
                    Reply::Done
                }
                None => Reply::No,
            },
            Request::Expect { nonce } => {
                self.challenges.expect(nonce);
                Reply::Done
            }
            Request::Heard { nonce, address } if self.challenges.heard(&nonce, address) => Reply::Done,
            Request::Heard { .. } => Reply::No,
            Request::ExportShelf { directory } if !directory.is_absolute() => {
                Reply::Failed { message: format!("{} is not an absolute path", directory.display()) }
            }
            Request::ExportShelf { directory } => match sidecar::export(&self.state, &directory).await {
                Ok(exported) => Reply::Exported { files: exported.files, bytes: exported.bytes },
                Err(error) => failed(&error),
            },
            Request::Exports { path } => self.exports(&path).await,
            Request::Pending { path, action } => self.pending(&path, action).await,
            Request::Credentials { .. } => {
                Reply::Failed { message: "this request is for the container process".to_owned() }
            }
        }
    }
}

impl ControlHandler {
    fn restart(&self, patience: Duration) -> Reply {
        if self.holder != Holder::System && self.parent().is_none() {
            let message = "nothing would start it again, and its port would close";
            return Reply::Failed { message: message.to_owned() };
        }
        tracing::info!("restarting, as a command asked for it");
        self.shutdown.request(End::Restart { patience });
        Reply::Done
    }

    /// The process that holds the sockets, if it is still there.
    fn parent(&self) -> Option<i32> {
        let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        match self.holder {
            Holder::Parent { pid } if now == Some(pid) => Some(pid),
            _ => None,
        }
    }

    fn status(&self) -> Status {
        let (entries, bytes) = {
            let shelf = self.state.shelf();
            (shelf.len() as u64, shelf.bytes())
        };
        let requests = self.metrics.s3_requests().into_iter();
        let (saves, more_saves) = self.saves();
        Status {
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            source: self.source.clone(),
            urls: self.urls.clone(),
            state_dir: self.state.directory().to_owned(),
            auth: self.auth.to_string(),
            has_given_login: self.has_given_login,
            detached: self.detached,
            read_only: self.read_only,
            options: self.options.clone(),
            cautions: self.cautions.iter().map(warned).collect(),
            is_service: self.holder == Holder::System,
            parent: self.parent(),
            keeps: self.keeping.point.clone(),
            started: seconds(self.started),
            connections: self.metrics.connections(),
            requests: self.metrics.requests(),
            s3_requests: requests.map(|(operation, count)| (operation.to_owned(), count)).collect(),
            conflicts: self.metrics.conflicts(),
            cache: Cache { used: (self.cache.used)(), limit: self.cache.limit },
            held_creates: self.bucket.as_ref().map_or(0, |bucket| bucket.store().creates().count()) as u64,
            spilled: self.intakes.spilled(),
            shelf: Shelf { entries, bytes, limit: self.shelf_limit },
            problems: self.problems(),
            saves,
            more_saves,
            mounts: Vec::new(),
            held_by: None,
            ending: self.shutdown.is_ending(),
        }
    }

    async fn pending(&self, path: &str, action: PendingAction) -> Reply {
        let Some(bucket) = &self.bucket else { return Reply::Pending { changes: Vec::new() } };
        match pending::carry_out((bucket.store().journal(), &self.state, Some(bucket)), path, action).await {
            Ok(changes) => Reply::Pending { changes },
            Err(error) => failed(&error),
        }
    }

    async fn exports(&self, path: &str) -> Reply {
        let path = if path.is_empty() { ResourcePath::parse("/").ok() } else { ResourcePath::of_key(path) };
        let Some(path) = path else {
            return Reply::Failed { message: format!("{path:?} is not a valid path") };
        };
        let Some(directory) = &self.directory else { return self.saves_below(&path) };
        let report = match directory.export_report(&path).await {
            Ok(report) => report,
            Err(failure) => return failed(&failure),
        };
        if !directory.tells_exports() {
            let message = "what is served is not a mount of Amazon S3 Files, or does not report exports";
            return Reply::Failed { message: message.to_owned() };
        }
        let file = |(path, why): (String, Option<String>)| Export {
            path,
            state: if why.is_some() { FileState::Failed } else { FileState::Pending },
            hint: why.as_deref().map(|why| export_hint(why).to_owned()),
            why: why.map(|why| notify::plain(&why, MOST_OF_REASON)),
        };
        Reply::Exports(Box::new(Exports {
            source: self.source.clone(),
            exported: Some(report.exported),
            pending: report.pending,
            failed: report.failed,
            files: report.named.into_iter().map(file).collect(),
            untold: report.untold,
            is_cut: report.is_cut,
        }))
    }

    /// A bucket has all but what is still to be stored.
    fn saves_below(&self, path: &ResourcePath) -> Reply {
        let (saves, more) = self.saves();
        let folder = path.path_key();
        let is_below = |save: &Save| PathKey::of_text(&save.path).is_within(&folder);
        let mut exports = Exports { source: self.source.clone(), is_cut: more > 0, ..Exports::default() };
        for save in saves.into_iter().filter(is_below) {
            let (count, state, hint) = match save.state {
                SaveState::Waiting => (&mut exports.pending, FileState::Pending, "leave the gateway running"),
                SaveState::Refused => {
                    (&mut exports.failed, FileState::Failed, "see to the reason, then `s3dav pending retry`")
                }
                SaveState::Failed | SaveState::Incomplete | SaveState::Missing => {
                    (&mut exports.failed, FileState::Failed, "save it again")
                }
            };
            *count += 1;
            exports.files.push(Export { path: save.path, state, why: save.why, hint: Some(hint.to_owned()) });
        }
        Reply::Exports(Box::new(exports))
    }

    /// Those that are named, and how many more there are.
    fn saves(&self) -> (Vec<Save>, u64) {
        let now = millis(SystemTime::now());
        let is_young = |save: &Unstored| {
            save.phase == Phase::Begun && now.saturating_sub(save.since) < self.slow_save.as_millis() as u64
        };
        let unstored = self.state.unstored().into_iter();
        let mut saves: Vec<Save> = unstored.filter(|save| !is_young(save)).map(told).collect();
        saves.sort_by_key(|save| (save.state, save.since));
        let more = saves.len().saturating_sub(MOST_SAVES);
        saves.truncate(MOST_SAVES);
        (saves, more as u64)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.troubles();
        if matches!(self.holder, Holder::Parent { .. }) && self.parent().is_none() {
            problems.push(Problem {
                message: "port: the process that holds it has ended; the port will close with the gateway"
                    .to_owned(),
                hint: "stop it with `s3dav stop`, which unmounts first, and start it again".to_owned(),
                since: seconds(*self.orphaned.get_or_init(SystemTime::now)),
            });
        }
        problems
    }

    fn troubles(&self) -> Vec<Problem> {
        let troubles = self.metrics.troubles().into_iter();
        let problem = |(place, trouble): (String, crate::metrics::Trouble)| Problem {
            message: format!("{place}: {}", trouble.message),
            hint: trouble.hint,
            since: seconds(trouble.since),
        };
        troubles.map(problem).collect()
    }
}

fn warned(caution: &Caution) -> control::Caution {
    control::Caution { message: caution.message.clone(), hint: caution.hint.clone() }
}

fn told(save: Unstored) -> Save {
    let state = match save.phase {
        Phase::Failed => SaveState::Failed,
        Phase::Refused => SaveState::Refused,
        Phase::Incomplete => SaveState::Incomplete,
        Phase::Missing => SaveState::Missing,
        Phase::Begun | Phase::Held | Phase::Expected | Phase::Queued => SaveState::Waiting,
    };
    let is_kept = (save.phase == Phase::Queued).then(|| KEPT.to_owned());
    let why = save.why.or(is_kept).map(|why| notify::plain(&why, MOST_OF_REASON));
    Save { path: save.path.to_string(), state, bytes: save.bytes, since: save.since / 1000, why }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Reply {
    Reply::Failed { message: with_causes(error) }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

const KEPT: &str = "S3 takes nothing; it is kept on this machine";
/// So that the answer fits its limit, and a terminal.
const MOST_SAVES: usize = 100;
/// Characters.
const MOST_OF_REASON: usize = 200;
