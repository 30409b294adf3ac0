//! The running gateway as its control socket shows it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use super::share::CacheUse;
use crate::control::{Cache, Gateway, Problem, Reply, Request, Shelf, Status};
use crate::fs::shelf;
use crate::http::Knocks;
use crate::intake::Intakes;
use crate::logging::with_causes;
use crate::metrics::Metrics;
use crate::mount::Deputy;
use crate::shutdown::Shutdown;
use crate::state::State;
use crate::store::creates::Creates;

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
pub(super) struct Operator {
    pub(super) source: String,
    pub(super) urls: Vec<String>,
    pub(super) started: SystemTime,
    pub(super) state: State,
    pub(super) metrics: Metrics,
    pub(super) shutdown: Shutdown,
    pub(super) cache: CacheUse,
    pub(super) creates: Option<Creates>,
    pub(super) intakes: Intakes,
    /// Bytes.
    pub(super) shelf_limit: u64,
    pub(super) auth: &'static str,
    /// A name and a password were given.
    pub(super) has_given_login: bool,
    pub(super) detached: bool,
    pub(super) read_only: bool,
    pub(super) options: Vec<String>,
    pub(super) is_service: bool,
    pub(super) keeping: Arc<Keeping>,
    pub(super) knocks: Knocks,
    pub(super) deputy: Option<Deputy>,
}

#[async_trait]
impl Gateway for Operator {
    async fn carry_out(&self, request: Request) -> Reply {
        match request {
            Request::Status => Reply::Status(Box::new(self.status())),
            Request::Stop => {
                tracing::info!("stopping, as a command wants it");
                self.shutdown.request();
                Reply::Done
            }
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
                self.knocks.expect(nonce);
                Reply::Done
            }
            Request::Heard { nonce, address } if self.knocks.heard(&nonce, address) => Reply::Done,
            Request::Heard { .. } => Reply::No,
            Request::ExportShelf { directory } if !directory.is_absolute() => {
                Reply::Failed { message: format!("{} is not an absolute path", directory.display()) }
            }
            Request::ExportShelf { directory } => match shelf::export(&self.state, &directory).await {
                Ok(exported) => Reply::Exported { files: exported.files, bytes: exported.bytes },
                Err(error) => failed(&error),
            },
        }
    }
}

impl Operator {
    fn status(&self) -> Status {
        let (entries, bytes) = {
            let shelf = self.state.shelf();
            (shelf.len() as u64, shelf.bytes())
        };
        let requests = self.metrics.s3_requests().into_iter();
        Status {
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            source: self.source.clone(),
            urls: self.urls.clone(),
            state_dir: self.state.directory().to_owned(),
            auth: self.auth.to_owned(),
            has_given_login: self.has_given_login,
            detached: self.detached,
            read_only: self.read_only,
            options: self.options.clone(),
            is_service: self.is_service,
            keeps: self.keeping.point.clone(),
            started: seconds(self.started),
            connections: self.metrics.connections(),
            requests: self.metrics.requests(),
            s3_requests: requests.map(|(operation, count)| (operation.to_owned(), count)).collect(),
            conflicts: self.metrics.conflicts(),
            cache: Cache { used: (self.cache.used)(), limit: self.cache.limit },
            held_creates: self.creates.as_ref().map_or(0, Creates::count) as u64,
            spilled: self.intakes.spilled(),
            shelf: Shelf { entries, bytes, limit: self.shelf_limit },
            problems: self.problems(),
            mounts: Vec::new(),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let troubles = self.metrics.troubles().into_iter();
        let problem = |(place, trouble): (String, crate::metrics::Trouble)| Problem {
            message: format!("{place}: {}", trouble.message),
            hint: trouble.hint,
            since: seconds(trouble.since),
        };
        troubles.map(problem).collect()
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Reply {
    Reply::Failed { message: with_causes(error) }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
