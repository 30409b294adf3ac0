//! Which status a client is told of a failure: the one that tells it the truth, and that it does not take for something
//! else. Nowhere else is a status chosen for a [`Failure`].

use std::io::ErrorKind;

use http::StatusCode;

use crate::client::Quirks;
use crate::fs::error::DiskError;
use crate::fs::{Client, Failure, PathError};
use crate::state::StateError;
use crate::store::StoreError;

/// The status for `client`.
pub(super) fn of(failure: &Failure, client: &Client) -> StatusCode {
    let quirks = client.quirks();
    match failure {
        Failure::NotFound => StatusCode::NOT_FOUND,
        // An absence, as who takes 409 for one is to be told.
        Failure::ParentMissing => StatusCode::CONFLICT,
        Failure::Conflict(_) => conflict(quirks),
        Failure::Exists | Failure::IsFolder => StatusCode::METHOD_NOT_ALLOWED,
        Failure::Forbidden(_) => StatusCode::FORBIDDEN,
        Failure::BadRequest(_) => StatusCode::BAD_REQUEST,
        Failure::Path(error) => of_path(error),
        Failure::DeleteIncomplete { source, .. } | Failure::CopyIncomplete { source, .. } => {
            of_store(source, quirks)
        }
        Failure::RemovalIncomplete { source, .. } => of(source, client),
        Failure::Disk(error) => of_disk(error, quirks),
        Failure::Changed => changed(quirks),
        Failure::ReplacedWhileRead => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Unstored { .. } => StatusCode::FAILED_DEPENDENCY,
        Failure::UnderWay | Failure::Unexpected => StatusCode::LOCKED,
        Failure::Store(error) => of_store(error, quirks),
        Failure::ShelfFull { .. }
        | Failure::NoRoom
        | Failure::State(StateError::TooManyProperties(_) | StateError::LargeProperties(_)) => {
            StatusCode::INSUFFICIENT_STORAGE
        }
        Failure::OwnDisk(error) if error.kind() == ErrorKind::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        Failure::State(error) if error.is_full() => StatusCode::INSUFFICIENT_STORAGE,
        Failure::OwnDisk(_) | Failure::State(_) | Failure::Interrupted(_) | Failure::Intake(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// Something is in the way.
fn conflict(quirks: &Quirks) -> StatusCode {
    if quirks.takes_409_for_absence { StatusCode::FORBIDDEN } else { StatusCode::CONFLICT }
}

/// Somebody else has changed it.
fn changed(quirks: &Quirks) -> StatusCode {
    if quirks.takes_412_for_invalid_argument { StatusCode::LOCKED } else { StatusCode::PRECONDITION_FAILED }
}

/// The status for a path that cannot be one.
pub fn of_path(error: &PathError) -> StatusCode {
    match error {
        PathError::NameTooLong | PathError::TooLong => StatusCode::URI_TOO_LONG,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn of_disk(error: &DiskError, quirks: &Quirks) -> StatusCode {
    match error {
        DiskError::Denied(_) | DiskError::ReadOnly(_) => StatusCode::FORBIDDEN,
        DiskError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        DiskError::Busy(_) | DiskError::Broken(_) | DiskError::TooDeep => conflict(quirks),
        DiskError::Hung | DiskError::Stale(_) | DiskError::ChangedWhileRead => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        DiskError::Other(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn of_store(error: &StoreError, quirks: &Quirks) -> StatusCode {
    match error {
        StoreError::NotFound => StatusCode::NOT_FOUND,
        StoreError::ConditionFailed => StatusCode::PRECONDITION_FAILED,
        StoreError::UnreadableKeys(_) => conflict(quirks),
        StoreError::NotModified => StatusCode::NOT_MODIFIED,
        StoreError::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        // Not a 5xx, which some take for an absence: see [`Quirks::takes_5xx_for_absence`].
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
        | StoreError::EarlierChange
        | StoreError::InvalidAnswer(_) => StatusCode::SERVICE_UNAVAILABLE,
        StoreError::State(_) | StoreError::Lost(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Seconds after which another try makes sense.
pub(super) fn retry_after(status: StatusCode) -> Option<u32> {
    (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER)
}

/// As long as an outage that healed by itself usually was.
const RETRY_AFTER: u32 = 5;

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;

    use super::*;

    fn client(product: &str) -> Client {
        Client::new(None, [127, 0, 0, 1].into(), product)
    }

    #[test]
    fn macos_is_told_what_it_does_not_take_for_something_else() {
        let (mac, other) = (client("WebDAVFS/3.0.0"), client("davfs2/1.6"));
        let conflict = Failure::Conflict(String::new());
        let busy = || DiskError::Busy(io::Error::from(Errno::BUSY));
        let incomplete =
            Failure::RemovalIncomplete { left: 1, name: String::new(), source: Box::new(busy().into()) };
        for (failure, told, macos) in [
            (Failure::Changed, 412, 423),
            (conflict, 409, 403),
            (busy().into(), 409, 403),
            (incomplete, 409, 403),
            (StoreError::UnreadableKeys(1).into(), 409, 403),
            (StoreError::ConditionFailed.into(), 412, 412),
            (Failure::ParentMissing, 409, 409),
        ] {
            assert_eq!((of(&failure, &other).as_u16(), of(&failure, &mac).as_u16()), (told, macos));
        }
        assert_eq!(retry_after(of(&DiskError::Hung.into(), &mac)), Some(RETRY_AFTER));
        assert_eq!(retry_after(of(&Failure::NotFound, &mac)), None);
    }

    #[test]
    fn every_failure_of_a_disk_has_its_status() {
        let client = client("");
        let status = |errno: Errno| of(&Failure::from(io::Error::from(errno)), &client).as_u16();
        for (errno, expected) in [
            (Errno::NOENT, 404),
            (Errno::NOTDIR, 404),
            (Errno::LOOP, 404),
            (Errno::EXIST, 405),
            (Errno::ACCESS, 403),
            (Errno::PERM, 403),
            (Errno::ROFS, 403),
            (Errno::NAMETOOLONG, 414),
            (Errno::NOSPC, 507),
            (Errno::DQUOT, 507),
            (Errno::BUSY, 409),
            (Errno::NOTEMPTY, 409),
            (Errno::IO, 409),
            (Errno::STALE, 503),
            (Errno::NFILE, 500),
        ] {
            assert_eq!(status(errno), expected, "{errno}");
        }
        let escape = io::Error::new(io::ErrorKind::PermissionDenied, "a path led outside");
        assert_eq!(of(&Failure::from(escape), &client), StatusCode::NOT_FOUND);
    }
}
