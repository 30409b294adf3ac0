//! Why a request on a share fails, and what the client is told.

use std::io::ErrorKind;

use http::StatusCode;

use super::disk_error::DiskError;
use super::resource_path::PathError;
use crate::logging::with_causes;
use crate::object::InvalidKey;
use crate::spool::IntakeError;
use crate::state::StateError;
use crate::store::StoreError;
use crate::store::tree::DeleteFailure;

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
    /// An object is another version than was known; it is asked for again.
    #[error("someone else has changed it; check it, and delete it again if you still want to")]
    Changed { status: StatusCode },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("Finder's own files take more than {limit} bytes; allow more with --shelf-limit")]
    ShelfFull { limit: u64 },
    #[error("the gateway's own disk failed")]
    OwnDisk(#[source] std::io::Error),
    #[error("more data is waiting to be stored than --spill-limit allows; try again later")]
    NoRoom,
    #[error("the file exists and is not empty; open it before you write to it")]
    Unexpected,
    #[error("the content of {file:?} has not been stored; save it again")]
    Unstored { file: String },
    #[error("it, or something in it, is being written, copied, moved or deleted; wait until that is done")]
    UnderWay,
    #[error("the operation was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

impl From<InvalidKey> for Failure {
    fn from(error: InvalidKey) -> Self {
        Self::Store(error.into())
    }
}

impl From<DeleteFailure> for Failure {
    fn from(failure: DeleteFailure) -> Self {
        let DeleteFailure { key, error, keys, .. } = failure;
        Self::DeleteIncomplete { key: key.to_string(), left: keys.len(), source: error }
    }
}

impl Failure {
    /// What a client is told whose DELETE met a version that it cannot have meant. macOS takes 412 for
    /// an input/output error, and 423 for a file in use.
    pub fn changed(client: &super::Client) -> Self {
        let status = if client.is_webdavfs() { StatusCode::LOCKED } else { StatusCode::PRECONDITION_FAILED };
        Self::Changed { status }
    }

    /// Whether it says no more than that nothing is there.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NotFound | Self::Store(StoreError::NotFound))
    }

    /// What is wrong with the whole disk, and what to do; `None` where it concerns one request alone.
    pub fn trouble(&self) -> Option<(String, String)> {
        let concerns_all = matches!(self, Self::Disk(DiskError::Hung | DiskError::Stale(_)));
        concerns_all.then(|| (self.to_string(), "check that its server can be reached".to_owned()))
    }

    /// The status that tells a WebDAV client the truth.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::ParentMissing | Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Exists | Self::IsFolder => StatusCode::METHOD_NOT_ALLOWED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Path(PathError::NameTooLong | PathError::TooLong) => StatusCode::URI_TOO_LONG,
            Self::Path(_) => StatusCode::BAD_REQUEST,
            Self::DeleteIncomplete { source, .. } | Self::CopyIncomplete { source, .. } => {
                store_status(source)
            }
            Self::RemovalIncomplete { source, .. } => source.status(),
            Self::Disk(error) => disk_status(error),
            Self::Changed { status } => *status,
            Self::Unstored { .. } => StatusCode::FAILED_DEPENDENCY,
            Self::UnderWay | Self::Unexpected => StatusCode::LOCKED,
            Self::Store(error) => store_status(error),
            Self::ShelfFull { .. }
            | Self::NoRoom
            | Self::State(StateError::TooManyProperties(_) | StateError::LargeProperties(_)) => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            Self::OwnDisk(error) if error.kind() == ErrorKind::StorageFull => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            Self::State(error) if error.is_full() => StatusCode::INSUFFICIENT_STORAGE,
            Self::OwnDisk(_) | Self::State(_) | Self::Interrupted(_) | Self::Intake(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// Seconds after which another try makes sense.
    pub fn retry_after(&self) -> Option<u32> {
        (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER)
    }

    /// Whether it is an ordinary answer, not worth a line in the log.
    pub fn is_ordinary(&self) -> bool {
        let is_refusal = matches!(
            self,
            Self::Store(
                StoreError::AccessDenied(_)
                    | StoreError::ChecksumDemanded(_)
                    | StoreError::SettingRefused { .. }
                    | StoreError::Rejected(_)
            )
        );
        !self.status().is_server_error() && !is_refusal
    }
}

fn disk_status(error: &DiskError) -> StatusCode {
    match error {
        DiskError::Denied(_) | DiskError::ReadOnly(_) => StatusCode::FORBIDDEN,
        DiskError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        DiskError::Busy(_) | DiskError::Broken(_) | DiskError::TooDeep => StatusCode::CONFLICT,
        DiskError::Hung | DiskError::Stale(_) | DiskError::ChangedWhileRead => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        DiskError::Other(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn store_status(error: &StoreError) -> StatusCode {
    match error {
        StoreError::NotFound => StatusCode::NOT_FOUND,
        StoreError::ConditionFailed => StatusCode::PRECONDITION_FAILED,
        StoreError::UnreadableKeys(_) => StatusCode::CONFLICT,
        StoreError::NotModified => StatusCode::NOT_MODIFIED,
        StoreError::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        // For macOS a file does not exist whose answer is a 5xx.
        StoreError::AccessDenied(_)
        | StoreError::Archived(_)
        | StoreError::ChecksumDemanded(_)
        | StoreError::SettingRefused { .. }
        | StoreError::InvalidBucket(_)
        | StoreError::Rejected(_) => StatusCode::FORBIDDEN,
        StoreError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        StoreError::InvalidKey(_) => StatusCode::URI_TOO_LONG,
        StoreError::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
        StoreError::Credentials(_)
        | StoreError::UploadGone
        | StoreError::NoSuchBucket
        | StoreError::WrongRegion(_)
        | StoreError::ClockSkew
        | StoreError::Unavailable(_)
        | StoreError::Blocked(_)
        | StoreError::SlowDown(_)
        | StoreError::InvalidAnswer(_) => StatusCode::SERVICE_UNAVAILABLE,
        StoreError::State(_) | StoreError::Lost(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// As long as an outage that healed by itself usually was.
const RETRY_AFTER: u32 = 5;

/// What follows a finished operation must not make it look unfinished.
pub(super) fn log_failure<E: Into<Failure>>(result: Result<(), E>) {
    if let Err(error) = result {
        let error = error.into();
        tracing::warn!(error = with_causes(&error), "done, but not all that goes with it");
    }
}
