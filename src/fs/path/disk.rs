//! Work on the disk, off the runtime's threads, and what its failures mean.
//!
//! A system call on a hard-mounted network file system can hang for as long as its server is away, and
//! nothing can end it. So whoever waits, waits for as long as its request may take; what hangs keeps
//! its thread, of which there are enough for others to go on. What needs no waiting does not come here: see
//! [`super::at_once`].

use std::io;

use rustix::io::Errno;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::fs::Failure;
use crate::fs::disk_error::DiskError;
use crate::sync::Budget;

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let error = match error.downcast::<DiskError>() {
            Ok(disk) => return Self::Disk(disk),
            Err(error) => error,
        };
        let disk = match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Self::NotFound,
            Some(Errno::EXIST) => return Self::Exists,
            Some(Errno::ISDIR) => return Self::IsFolder,
            Some(Errno::NAMETOOLONG) => return Self::Path(crate::fs::PathError::NameTooLong),
            Some(Errno::ACCESS | Errno::PERM) => DiskError::Denied(error),
            Some(Errno::ROFS) => DiskError::ReadOnly(error),
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => DiskError::Full(error),
            Some(Errno::BUSY | Errno::NOTEMPTY | Errno::TXTBSY) => DiskError::Busy(error),
            Some(Errno::IO) => DiskError::Broken(error),
            Some(Errno::STALE) => DiskError::Stale(error),
            // A symbolic link that leads out of what is served leads nowhere.
            None if error.kind() == io::ErrorKind::PermissionDenied => return Self::NotFound,
            _ => DiskError::Other(error),
        };
        Self::Disk(disk)
    }
}

/// What the folder's absence means for what should come into it.
pub(super) fn parent_missing(error: io::Error) -> Failure {
    match Failure::from(error) {
        Failure::NotFound => Failure::ParentMissing,
        other => other,
    }
}

/// The threads that may wait for the disk.
#[derive(Debug, Clone)]
pub(super) struct Disk(Budget);

impl Default for Disk {
    fn default() -> Self {
        Self(Budget::of_places(MAX_THREADS))
    }
}

impl Disk {
    /// Runs `work` and waits for it until `deadline`. After that it goes on alone.
    pub(super) async fn by<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        timeout_at(deadline, self.run(work)).await.unwrap_or(Err(Failure::Disk(DiskError::Hung)))
    }

    /// Runs `work` to its end, however long it takes.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let thread = self.0.place().await;
        let working = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            work()
        });
        working.await?
    }
}

/// For work before it changes anything: whoever waited for it may have been told that it failed.
pub(super) fn refuse_if_given_up(token: &CancellationToken) -> Result<(), Failure> {
    if token.is_cancelled() { Err(DiskError::Hung.into()) } else { Ok(()) }
}

/// Half of what the runtime has for blocking calls: those of the state database go on beside a hung
/// disk.
const MAX_THREADS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hung_disk_is_waited_for_until_the_deadline() {
        let disk = Disk::default();
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let deadline = Instant::now() + std::time::Duration::from_millis(20);
        let hung = disk.by(deadline, move || Ok(hang.recv().is_ok())).await;
        assert!(matches!(hung, Err(Failure::Disk(DiskError::Hung))));
        assert_eq!(disk.run(|| Ok(1)).await.unwrap(), 1, "others go on");
        drop(release);
    }
}
