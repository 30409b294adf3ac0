//! What can go wrong with a store, named by what it means to the caller.

use super::obstacle::Obstacle;
use crate::object::InvalidKey;
use crate::spool::IntakeError;

/// A store's result.
pub type StoreResult<T> = Result<T, StoreError>;

/// What was asked for, or proof that it is not there.
pub fn existing<T>(answer: StoreResult<T>) -> StoreResult<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The cause: for the log, never for decisions.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No object has this key. Proven, never guessed from another failure.
    #[error("no such object")]
    NotFound,
    /// A multipart upload has ended: completed, aborted, or expired by a rule of the bucket.
    #[error("the multipart upload has ended already")]
    UploadGone,
    /// The condition of a request did not hold.
    #[error("the object was changed in the meantime")]
    ConditionFailed,
    /// The object is still the version that is known.
    #[error("the object has not changed")]
    NotModified,
    /// The range lies beyond the object's end.
    #[error("the range is outside the object")]
    RangeNotSatisfiable,
    /// The store refuses, and will go on refusing until somebody changes a policy.
    #[error("access denied: {0}")]
    AccessDenied(#[source] Cause),
    /// No credentials, or they ended. Somebody must renew them; it heals by itself then.
    #[error("{}", of_credentials(.0))]
    Credentials(#[source] Cause),
    /// The bucket does not exist.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The bucket lies in another region.
    #[error("the bucket is in region {}", .0.as_deref().unwrap_or("unknown"))]
    WrongRegion(Option<String>),
    /// The clocks differ by more than the store takes.
    #[error("this machine's clock and the store's are too far apart")]
    ClockSkew,
    /// Network, timeout, 5xx, throttling: worth another try, now or later.
    #[error("the store is unreachable or overloaded: {0}")]
    Unavailable(#[source] Cause),
    /// Something is wrong on the way, most likely for good.
    #[error(transparent)]
    Blocked(#[from] Obstacle),
    /// More at once than the store takes; slower, it will.
    #[error("the store asks to slow down: {0}")]
    SlowDown(#[source] Cause),
    /// An earlier change of the same name is on its way to the store, which was asked for nothing.
    #[error("an earlier change of it is still on its way to the store")]
    EarlierChange,
    /// The object lies in an archive class and must be restored first.
    #[error("the object is archived ({0}) and must be restored before it can be read")]
    Archived(String),
    /// Larger than the store takes, or than the parts allow.
    #[error("too large: {0}")]
    TooLarge(String),
    /// The key cannot be stored.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// The endpoint does not offer this operation.
    #[error("the store does not support this: {0}")]
    Unsupported(String),
    /// The request must carry a checksum of its body, and carries none that the store knows.
    #[error("the store requires a checksum: {0}")]
    ChecksumDemanded(#[source] Cause),
    /// An answer that makes no sense: cut short, or not from an S3 server at all.
    #[error("the store's answer is not valid S3: {0}")]
    InvalidAnswer(String),
    /// No bucket of this store has such a name.
    #[error("the store does not accept this bucket name: {0}")]
    InvalidBucket(#[source] Cause),
    /// What new objects are to be stored as is not to be had.
    #[error("the store does not accept {setting}: {cause}")]
    SettingRefused { setting: Setting, cause: String },
    /// Anything else the store refused for good.
    #[error("the store refused the request: {0}")]
    Rejected(#[source] Cause),
    /// A folder cannot be dealt with as a whole, since some of it cannot be named.
    #[error("{0} object(s) in it have names that are not UTF-8 and cannot be shown")]
    UnreadableKeys(usize),
    /// A body that was taken cannot be read again.
    #[error("the data to be stored is lost: {0}")]
    Lost(#[source] Cause),
    /// Our own ledger failed; nothing was sent.
    #[error("the local state failed")]
    State(#[from] crate::state::StateError),
}

/// Credentials that are missing or have ended, and what the profile asks for then.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct NotSignedIn {
    pub text: String,
    pub hint: String,
}

/// One that says it all stands alone.
fn of_credentials(cause: &Cause) -> String {
    match cause.downcast_ref::<NotFoundAnywhere>() {
        Some(nowhere) => nowhere.to_string(),
        None => format!("credentials are missing or have expired: {cause}"),
    }
}

/// Nobody has set any credentials up: neither the environment nor the files have them, nor the machine.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no credentials were found")]
pub struct NotFoundAnywhere;

/// What new objects are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Setting {
    #[error("the storage class")]
    StorageClass,
    #[error("the encryption")]
    Encryption,
}

impl From<IntakeError> for StoreError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Interrupted(_) => Self::Unavailable(error.into()),
            IntakeError::Ended | IntakeError::Lost(_) => Self::Lost(error.into()),
        }
    }
}

/// A 400 or a 403 that says no more: HEAD's answer has no body.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::store) struct Unexplained(pub String);

impl StoreError {
    /// Whether it is told that the store refuses it, and not why: it may be for what passes.
    pub fn is_unexplained(&self) -> bool {
        matches!(self, Self::AccessDenied(cause) | Self::Rejected(cause) if cause.is::<Unexplained>())
    }

    /// Whether the same request may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        // The SDK corrects its clock by the answer that says so, and the next request may pass.
        let is_skew = matches!(self, Self::ClockSkew);
        is_skew
            || matches!(
                self,
                Self::Unavailable(_)
                    | Self::Blocked(_)
                    | Self::SlowDown(_)
                    | Self::InvalidAnswer(_)
                    | Self::EarlierChange
            )
    }

    /// Whether it may succeed later, though nobody changes what is asked for.
    pub fn is_passing(&self) -> bool {
        self.is_transient() || matches!(self, Self::Credentials(_))
    }

    /// Whether the store will not take it, whenever it is asked: somebody must see to it.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::AccessDenied(_)
                | Self::Rejected(_)
                | Self::TooLarge(_)
                | Self::InvalidKey(_)
                | Self::Unsupported(_)
                | Self::ChecksumDemanded(_)
                | Self::SettingRefused { .. }
                | Self::InvalidBucket(_)
                | Self::Lost(_)
                | Self::ConditionFailed
                | Self::Archived(_)
        )
    }

    /// Whether the request may have been carried out although it failed.
    pub fn may_have_been_applied(&self) -> bool {
        self.is_transient() && !matches!(self, Self::ClockSkew | Self::EarlierChange)
    }
}
