//! Whether what is served is Amazon S3 Files, and then how far its files are on their way into the bucket: what any
//! is asked about, and what this gateway wrote, until it is there. A directory that is neither S3 Files nor NFS is
//! never asked. All of this blocks; see [`super::disk`].

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rustix::io::Errno;
use tokio::time::Instant;

use super::Shared;
use super::root::{Root, leads_nowhere};
use crate::fs::{ExportState, ExportStatus, Failure, export_hint};

/// See the module.
#[derive(Debug)]
pub(super) struct Exports {
    /// It may be S3 Files: a file is worth a question.
    may_tell: bool,
    /// Something has answered.
    tells: AtomicBool,
    /// From a write to the first look at what became of it; then twice as long, and so on.
    wait: Duration,
    /// What this gateway wrote and is not known to be exported, by key.
    written: Mutex<BTreeMap<String, Written>>,
}

#[derive(Debug, Clone)]
struct Written {
    next: Instant,
    wait: Duration,
    /// Why it will not be exported.
    error: Option<String>,
}

impl Exports {
    /// Asks the directory once what it is.
    pub(super) fn new(root: &Root, wait: Duration) -> Self {
        let tells = matches!(attribute(root, ""), Ok(Some(_)));
        let may_tell = tells || root.is_nfs();
        Self { may_tell, tells: AtomicBool::new(tells), wait, written: Mutex::default() }
    }

    pub(super) fn may_tell(&self) -> bool {
        self.may_tell
    }

    /// Whether the directory is S3 Files for certain.
    pub(super) fn tells(&self) -> bool {
        self.tells.load(Ordering::Relaxed)
    }

    /// What is told of the file or folder at `key`; `None` where nothing is.
    pub(super) fn status(&self, root: &Root, key: &str) -> io::Result<Option<ExportStatus>> {
        if !self.may_tell {
            return Ok(None);
        }
        let Some((text, changed)) = attribute(root, key)? else { return Ok(None) };
        self.tells.store(true, Ordering::Relaxed);
        let unchanged = SystemTime::now().duration_since(changed).unwrap_or_default();
        Ok(Some(ExportStatus::read(&text, unchanged)))
    }

    /// The file at `key` is new, or has changed.
    pub(super) fn wrote(&self, key: &str) {
        if !self.tells() {
            return;
        }
        let mut written = self.written.lock();
        if written.len() >= MOST_WRITTEN && !written.contains_key(key) {
            tracing::debug!(key, "too many files are waiting for their export: this one is not followed");
            return;
        }
        let entry = Written { next: Instant::now() + self.wait, wait: self.wait, error: None };
        written.insert(key.to_owned(), entry);
    }

    /// Looks at those whose time has come.
    fn look(&self, root: &Root) {
        let now = Instant::now();
        let is_due = |(_, written): &(&String, &Written)| written.next <= now;
        let due: Vec<_> =
            self.written.lock().iter().filter(is_due).map(|(k, w)| (k.clone(), w.next)).collect();
        for (key, next) in due {
            let status = self.status(root, &key);
            let mut written = self.written.lock();
            // Written anew meanwhile, it waits anew.
            let Some(entry) = written.get_mut(&key).filter(|entry| entry.next == next) else { continue };
            match status {
                Ok(Some(status)) if status.state != ExportState::Exported => {
                    if status.error.is_some() && entry.error != status.error {
                        tracing::warn!(key, error = status.error, "the file is not exported to S3");
                    }
                    entry.error = status.error;
                    entry.wait_longer();
                }
                // There, or gone.
                Ok(_) => drop(written.remove(&key)),
                Err(error) => {
                    tracing::debug!(key, %error, "the export of a file cannot be checked");
                    entry.wait_longer();
                }
            }
        }
    }

    /// How many wait, and those that failed, with why.
    fn counts(&self) -> (u64, Vec<(String, String)>) {
        let written = self.written.lock();
        let failed = written.iter().filter_map(|(key, written)| Some((key.clone(), written.error.clone()?)));
        let failed: Vec<_> = failed.collect();
        (written.len().saturating_sub(failed.len()) as u64, failed)
    }
}

impl Written {
    /// Each look is metered.
    fn wait_longer(&mut self) {
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        self.next = Instant::now() + self.wait;
    }
}

impl Shared {
    /// Follows what this gateway wrote, until the gateway ends.
    pub(super) async fn follow_exports(self: Arc<Self>) {
        let stop = self.shutdown.clone();
        let pause = (self.exports.wait / 2).min(LONGEST_PAUSE);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.begun() => return,
            }
            let shared = Arc::clone(&self);
            let looked = self.disk.run(move || {
                shared.exports.look(&shared.root);
                Ok(())
            });
            let looked: Result<(), Failure> = tokio::select! {
                looked = looked => looked,
                () = stop.begun() => return,
            };
            if let Err(failure) = looked {
                tracing::debug!(%failure, "exports were not checked");
            }
            let (pending, failed) = self.exports.counts();
            self.metrics.note_exports(pending, failed.iter().map(|(_, error)| error.as_str()));
            self.metrics.note_trouble("exports", failed.first().map(|first| trouble(first, failed.len())));
        }
    }
}

fn trouble((key, error): &(String, String), count: usize) -> (String, String) {
    let others = if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
    (format!("{key:?} is not exported to S3 ({error}){others}"), export_hint(error).to_owned())
}

/// The text of S3 Files' attribute of what is at `key`, and when that last changed.
fn attribute(root: &Root, key: &str) -> io::Result<Option<(String, SystemTime)>> {
    let (file, changed) = match root.anything(key) {
        Ok(opened) => opened,
        Err(error) if leads_nowhere(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    // Clients remember attributes: one of this second's name is asked for anew.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut text = vec![0; MOST_BYTES];
    match rustix::fs::fgetxattr(file, format!("user.s3files.status;{now}"), &mut text[..]) {
        Ok(length) => {
            text.truncate(length);
            Ok(Some((String::from_utf8_lossy(&text).into_owned(), changed)))
        }
        Err(error @ (Errno::IO | Errno::STALE)) => Err(error.into()),
        // There is no such thing here, which file systems say in many ways.
        Err(_) => Ok(None),
    }
}

/// Of an attribute: two paths and a word.
const MOST_BYTES: usize = 16 << 10;
/// Files of this gateway that are followed, about 300 bytes each.
const MOST_WRITTEN: usize = 10_000;
/// Each look is metered.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
