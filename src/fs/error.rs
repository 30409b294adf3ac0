//! Why a request on a share fails.

use super::resource_path::PathError;
use crate::logging::with_causes;
use crate::object::InvalidKey;
use crate::path_key::PathKey;
use crate::spool::IntakeError;
use crate::state::{FULL_HINT, StateError, is_full};
use crate::store::journal::AcceptError;
use crate::store::tree::DeleteFailure;

pub use super::disk_error::DiskError;
use crate::store::StoreError;
use crate::sync::TreeConflict;

/// A failure, named by its meaning.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("there is nothing at this path")]
    NotFound,
    #[error("the parent folder does not exist")]
    ParentMissing,
    #[error("it exists already")]
    Exists,
    #[error("it is a folder")]
    IsFolder,
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    BadRequest(String),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("some objects could not be deleted: {left} are left, the first is {key:?}: {source}")]
    DeleteIncomplete { key: String, left: usize, source: StoreError },
    #[error(
        "{done} of {total} objects were copied; no source was deleted; {key:?} could not be copied: {source}"
    )]
    CopyIncomplete { done: usize, total: usize, key: String, source: StoreError },
    #[error("some files could not be deleted: {left} are left, the first is {name:?}: {source}")]
    RemovalIncomplete { left: usize, name: String, source: Box<Failure> },
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A DELETE met a version that its client cannot have meant; it is asked for again.
    #[error("someone else has changed it; check it, and delete it again if you still want to")]
    Changed,
    #[error("someone else has replaced or deleted it while it was read; read it again")]
    ReplacedWhileRead,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("Finder's own files take more than {limit} bytes; allow more with --shelf-limit")]
    ShelfFull { limit: u64 },
    #[error("the gateway's own disk {}", if is_full(.0) { "is full" } else { "failed" })]
    OwnDisk(#[source] std::io::Error),
    #[error("more data is waiting to be stored than --journal-size allows; try again later")]
    NoRoom,
    #[error("the file exists and is not empty; open it before you write to it")]
    Unexpected,
    #[error("the content of {file:?} has not been stored; save it again")]
    Unstored { file: PathKey },
    #[error("it, or something in it, is being written, copied, moved or deleted; wait until that is done")]
    UnderWay,
    #[error("the operation was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

impl From<TreeConflict> for Failure {
    fn from(conflict: TreeConflict) -> Self {
        match conflict {
            TreeConflict::UnderWay => Self::UnderWay,
            TreeConflict::IsFolder => Self::IsFolder,
        }
    }
}

impl From<InvalidKey> for Failure {
    fn from(error: InvalidKey) -> Self {
        Self::Store(error.into())
    }
}

impl From<AcceptError> for Failure {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Disk(error) => Self::OwnDisk(error),
            AcceptError::State(error) => Self::State(error),
            AcceptError::Key(error) => error.into(),
            AcceptError::Changed => Self::Changed,
        }
    }
}

impl From<DeleteFailure> for Failure {
    fn from(failure: DeleteFailure) -> Self {
        let DeleteFailure { key, error, keys, .. } = failure;
        Self::DeleteIncomplete { key: key.to_string(), left: keys.len(), source: error }
    }
}

impl Failure {
    /// Whether it says no more than that nothing is there.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NotFound | Self::Store(StoreError::NotFound))
    }

    /// Whether the store refuses for what the user has set up, not for what was asked of it.
    pub fn is_of_setup(&self) -> bool {
        matches!(
            self,
            Self::Store(
                StoreError::AccessDenied(_)
                    | StoreError::ChecksumDemanded(_)
                    | StoreError::SettingRefused { .. }
                    | StoreError::Rejected(_)
            )
        )
    }

    /// What is wrong with the whole disk, and what to do; `None` where it concerns one request alone.
    pub fn trouble(&self) -> Option<(String, String)> {
        let concerns_all = matches!(self, Self::Disk(DiskError::Hung | DiskError::Stale(_)));
        concerns_all.then(|| (self.to_string(), "check that its server can be reached".to_owned()))
    }

    /// What to do about it, for people.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error)
            | Self::DeleteIncomplete { source: error, .. }
            | Self::CopyIncomplete { source: error, .. } => error.hint(),
            Self::State(error) => error.hint(),
            Self::OwnDisk(error) if is_full(error) => Some(FULL_HINT.to_owned()),
            _ => None,
        }
    }
}

/// What follows a finished operation must not make it look unfinished.
pub(super) fn log_failure<E: Into<Failure>>(result: Result<(), E>) {
    if let Err(error) = result {
        let error = error.into();
        tracing::warn!(error = with_causes(&error), "done, but not all that goes with it");
    }
}
