//! Attaching what a gateway serves to a directory of this machine: by `mount_webdav` on macOS, by davfs2 on
//! Linux.
//!
//! A mount whose server is away can hang whoever touches it, for ever. So the table of mounts is asked first,
//! which never hangs, and the mount itself only by a child process with a time limit.

#[cfg_attr(target_os = "macos", allow(dead_code))]
mod davfs2;
mod deputy;
mod group;
mod health;
mod made;
mod notes;
mod point;
mod supervisor;
mod table;
#[cfg_attr(not(target_os = "macos"), allow(dead_code))]
mod webdavfs;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use tokio::time::{Instant, sleep};

pub use deputy::Deputy;
pub use health::{Health, ask as ask_now, health};
pub use notes::when_mounted;
pub use point::{PointError, resolved};
pub use supervisor::{DEFAULT_INTERVAL, Witness, supervise};
pub use table::{Entry, TableError, entries, entry_at};

use crate::logging::with_causes;
use crate::process::{self, ProcessError};
use crate::state::{Credential, millis, open_private};

#[cfg(not(target_os = "macos"))]
use davfs2 as platform;
#[cfg(target_os = "macos")]
use webdavfs as platform;

/// How something is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountOptions {
    /// An absolute path.
    pub point: PathBuf,
    /// As Finder shows it.
    pub volume_name: String,
    /// Shown in Finder's sidebar and on the desktop.
    pub browse: bool,
    pub read_only: bool,
}

/// What is to be mounted where.
#[derive(Debug, Clone)]
pub struct Mount {
    pub options: MountOptions,
    /// `http://127.0.0.1:8330/`
    pub url: String,
    /// For the mount's own program.
    pub login: Option<Credential>,
    /// The gateway's, where the mount's program finds its files.
    pub state_dir: PathBuf,
    /// A mount that is there already knows a password that is no longer valid; until it is made anew.
    pub is_stale: Arc<AtomicBool>,
}

/// Whether there was anything to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    Now,
    Before,
}

/// Why something is not mounted, or not unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    #[error("the mount point {point} cannot be used")]
    Point { point: PathBuf, source: PointError },
    #[error("{source_url} is already mounted at {point}")]
    Occupied { point: PathBuf, source_url: String },
    #[error("what is mounted at {point} is not s3dav's: {source_url}")]
    Foreign { point: PathBuf, source_url: String },
    #[error("the mount at {0} does not answer")]
    Hung(PathBuf),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("nothing is mounted at {0}")]
    NotMounted(PathBuf),
    #[error("programs have files open at {point}, or what was saved there is still being sent")]
    Busy { point: PathBuf, forced: bool },
    #[error("another command is mounting at {0}, and does not finish")]
    UnderWay(PathBuf),
    #[error("{point} cannot be mounted")]
    Failed { point: PathBuf, hint: String, source: ProcessError },
    #[error("{point} cannot be unmounted")]
    NotUnmounted { point: PathBuf, forced: bool, source: ProcessError },
    #[error("the mount command succeeded, but nothing is mounted at {0}")]
    Unseen(PathBuf),
    #[error("only root, or a user whom /etc/fstab allows it, may mount this")]
    NotAllowed { lines: String },
    #[error("the state directory {0} contains a comma, which davfs2 does not allow")]
    Comma(PathBuf),
    #[error("the files for the mount program cannot be written")]
    Files(#[source] io::Error),
}

impl MountError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Point { source, .. } => source.hint().to_owned(),
            // It is the system's, or somebody else's.
            Self::Occupied { source_url, .. } if !source_url.starts_with("http") => {
                "name another mount point, such as ~/s3files".to_owned()
            }
            Self::Occupied { .. } => "unmount that first, or name another mount point".to_owned(),
            Self::Foreign { .. } => "use `umount` for what other programs have mounted".to_owned(),
            Self::Hung(_) => {
                "it may be busy, or its server gone: wait, or remove it with `s3dav unmount --force`, which \
                 loses unsaved changes"
                    .to_owned()
            }
            Self::Busy { forced: true, .. } => "close them, and try again".to_owned(),
            Self::Busy { .. } => {
                "close them or wait a moment, then try again; --force unmounts at once, and loses unsaved changes"
                    .to_owned()
            }
            Self::UnderWay(_) => "stop that command, and try again".to_owned(),
            Self::NotMounted(_) => "`s3dav status` shows what is mounted where".to_owned(),
            Self::Files(_) => {
                "make sure that the state directory is writable, and its disk not full".to_owned()
            }
            Self::Failed { hint, .. } if !hint.is_empty() => hint.clone(),
            Self::NotUnmounted { forced: false, .. } => "--force unmounts it without waiting".to_owned(),
            Self::Unseen(_) => "`s3dav status` shows whether it appears".to_owned(),
            Self::NotAllowed { lines } => lines.clone(),
            Self::Comma(_) => "name one without commas with --state-dir".to_owned(),
            _ => return None,
        })
    }
}

impl Mount {
    /// Mounts it, if it is not mounted yet; a dead mount at that place is cleaned up.
    pub async fn attach(&self) -> Result<Attached, MountError> {
        let point = resolved(&self.options.point).await;
        // Two at once would both find nothing there.
        let _turn = self.turn(&point).await?;
        if let Some(entry) = entry_at(&point).await? {
            match (entry.is_of(&self.url), health(&point).await) {
                (true, Health::Well) if !self.is_stale.load(Ordering::Relaxed) => {
                    self.note(&point, None).await;
                    return Ok(Attached::Before);
                }
                // Its program may be busy, or have unsaved files: only a person can tell.
                (_, Health::Hung) => return Err(MountError::Hung(point)),
                (false, Health::Well) if !entry.is_webdav() || entry.server_answers().await => {
                    return Err(MountError::Occupied { point, source_url: entry.source });
                }
                (_, health) => {
                    tracing::warn!(point = %point.display(), ?health, "cleaning up a dead mount");
                    unmount(&point, true).await?;
                }
            }
        }
        let made = point::prepare(&self.options.point)
            .await
            .map_err(|source| MountError::Point { point: self.options.point.clone(), source })?;
        made::note(&point, &made).await;
        let mounted = self.mount_at(&point).await;
        if mounted.is_err() {
            made::give_back(&point, made).await;
        }
        mounted
    }

    async fn mount_at(&self, point: &Path) -> Result<Attached, MountError> {
        platform::mount(self, point).await?;
        match entry_at(point).await? {
            Some(entry) if entry.is_of(&self.url) => {
                self.is_stale.store(false, Ordering::Relaxed);
                self.note(point, Some(millis(SystemTime::now()))).await;
                Ok(Attached::Now)
            }
            _ => Err(MountError::Unseen(point.to_owned())),
        }
    }
}

/// Whether something can be mounted at `point`, as far as that can be told before it is served. A mount that has lost
/// its server is nothing in the way: that may come back, and if it does not the mount is cleaned up.
pub async fn check(point: &Path) -> Result<(), MountError> {
    let at = resolved(point).await;
    let Some(entry) = entry_at(&at).await? else {
        let unfit = |source| MountError::Point { point: point.to_owned(), source };
        return point::check(point).await.map_err(unfit);
    };
    let health = health(&at).await;
    if health == Health::Dead || (entry.is_webdav() && !entry.server_answers().await) {
        return Ok(());
    }
    Err(if health == Health::Hung {
        MountError::Hung(at)
    } else {
        MountError::Occupied { point: at, source_url: entry.source }
    })
}

impl Mount {
    async fn note(&self, point: &Path, made: Option<u64>) {
        let (state_dir, url, point) = (self.state_dir.clone(), self.url.clone(), point.to_owned());
        // It panics for no reason, and a note is not worth an error.
        let _ = tokio::task::spawn_blocking(move || notes::note(&state_dir, &url, &point, made)).await;
    }

    /// Waits until nobody else mounts what this gateway serves; until the value is dropped nobody does.
    async fn turn(&self, point: &Path) -> Result<File, MountError> {
        let lock = self.state_dir.join(LOCK_FILE);
        let lock =
            open_private(&lock, OpenOptions::new().write(true).create(true)).map_err(MountError::Files)?;
        let until = Instant::now() + MOUNT_LIMIT;
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() > until {
                return Err(MountError::UnderWay(point.to_owned()));
            }
            sleep(PAUSE).await;
        }
        Ok(lock)
    }
}

/// Whether this user can mount it, as far as that can be told beforehand.
pub async fn is_allowed(options: &Option<MountOptions>, url: Option<&str>) -> bool {
    let (Some(options), Some(url)) = (options, url) else { return false };
    platform::is_allowed(url, &resolved(&options.point).await)
}

/// Unmounts what is mounted at `point`, after what programs wrote there has been sent; `force`: at once. A
/// directory that was made for it goes, too.
pub async fn detach(point: &Path, force: bool) -> Result<(), MountError> {
    let point = resolved(point).await;
    unmount(&point, force).await?;
    made::remove(&point).await;
    Ok(())
}

async fn unmount(point: &Path, force: bool) -> Result<(), MountError> {
    let point = point.to_owned();
    match entry_at(&point).await? {
        None => return Err(MountError::NotMounted(point)),
        Some(entry) if !entry.is_webdav() => {
            return Err(MountError::Foreign { point, source_url: entry.source });
        }
        Some(_) => {}
    }
    let (limit, command) = if force {
        (FORCED_LIMIT, platform::force_unmount(&point))
    } else {
        (UNMOUNT_LIMIT, platform::unmount(&point))
    };
    match process::run(command, limit).await {
        Ok(_) => Ok(()),
        // Another command was quicker.
        Err(_) if entry_at(&point).await?.is_none() => Ok(()),
        Err(source) if source.says("busy") => Err(MountError::Busy { point, forced: force }),
        Err(source) => Err(MountError::NotUnmounted { point, forced: force, source }),
    }
}

/// Unmounts all that is mounted of `urls`, in `limit` altogether. What stays mounted is logged.
pub async fn detach_all(urls: &[String], force: bool, limit: Duration) {
    let entries = entries().await.unwrap_or_default();
    let own = entries.iter().filter(|entry| urls.iter().any(|url| entry.is_of(url)));
    let detached = own.map(|entry| async move {
        let error = match tokio::time::timeout(limit, detach(&entry.point, force)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => MountError::Hung(entry.point.clone()),
        };
        tracing::warn!(
            error = with_causes(&error),
            hint = error.hint(),
            "it stays mounted, and answers again when a gateway serves at its address"
        );
    });
    futures_util::future::join_all(detached).await;
}

/// In the gateway's state directory.
const LOCK_FILE: &str = "mount.lock";
const PAUSE: Duration = Duration::from_millis(50);
/// A mount program waits for the server, which has been seen to answer.
const MOUNT_LIMIT: Duration = Duration::from_secs(120);
/// What programs wrote goes to S3 first.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(600);
const FORCED_LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod properties;
