//! The mount itself: made, watched, and ended.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::children::{self, Group, WATCHDOG};
use super::failures::{Failure, Kind};
use super::files::HELPER;
use super::options::Options;
use super::system::System;
use super::{NOTE, Note};
use crate::logging::Rarely;
use crate::mount;
use crate::process;
use crate::state::write_private;

/// What runs for one mount.
#[derive(Debug)]
pub struct Container {
    system: System,
    options: Options,
    /// Where the mount's programs find credentials.
    variables: Vec<(&'static str, String)>,
    watchdog: Option<Child>,
    /// When the mount was lost the last time.
    lost: Option<Instant>,
    no_watchdog: Rarely,
}

impl Container {
    pub fn new(system: System, options: Options, variables: Vec<(&'static str, String)>) -> Self {
        Self { system, options, variables, watchdog: None, lost: None, no_watchdog: Rarely::default() }
    }

    /// Starts the watchdog, and mounts. What was begun when it fails or is dropped is undone by [`Self::end`].
    pub async fn start(&mut self) -> Result<(), Failure> {
        let resolved = async {
            tokio::fs::create_dir_all(&self.options.dir).await?;
            tokio::fs::canonicalize(&self.options.dir).await
        };
        // As the table of mounts knows it.
        self.options.dir = resolved.await.map_err(|error| Failure::new(Kind::Other, error.to_string()))?;
        self.start_watchdog()?;
        self.mount().await?;
        // It has had the time to find out what is wrong.
        let ended = self.watchdog.as_mut().and_then(|child| child.try_wait().ok()).flatten();
        match ended {
            Some(status) => Err(Failure::new(Kind::NoWatchdog, status.to_string())),
            None => self.note().await,
        }
    }

    /// Until the mount was lost and made again, or for good; a watchdog that ends is replaced meanwhile.
    pub async fn watch(&mut self) -> Result<(), Failure> {
        loop {
            sleep(self.options.times.watch).await;
            self.keep_watchdog().await;
            if self.is_mounted().await {
                continue;
            }
            let before = self.lost.replace(Instant::now());
            if before.is_some_and(|before| before.elapsed() < LOST_TWICE) {
                return Err(Failure::new(Kind::Lost, ""));
            }
            tracing::warn!(dir = %self.options.dir.display(), "the mount was lost; mounting again");
            return self.mount().await;
        }
    }

    /// Unmounts, and ends what runs. Nothing is left that would have to be ended.
    pub async fn end(&mut self) -> Result<(), Failure> {
        let unmounted = self.unmount().await;
        if let Some(watchdog) = self.watchdog.take() {
            children::end(watchdog).await;
        }
        children::end_proxies(&self.system).await;
        // It may not be there yet.
        let _ = tokio::fs::remove_file(self.system.own().join(NOTE)).await;
        unmounted
    }

    fn start_watchdog(&mut self) -> Result<(), Failure> {
        let started = self.system.helper(WATCHDOG, &self.variables)?.spawn();
        self.watchdog = Some(started.map_err(|error| Failure::new(Kind::NoWatchdog, error.to_string()))?);
        Ok(())
    }

    async fn keep_watchdog(&mut self) {
        let Some(watchdog) = &mut self.watchdog else { return };
        let Ok(Some(status)) = watchdog.try_wait() else { return };
        if let Some(before) = self.no_watchdog.now() {
            tracing::warn!(%status, before, "amazon-efs-mount-watchdog has exited; starting it again");
        }
        let restarted = match self.start_watchdog() {
            Ok(()) => self.note().await,
            failed => failed,
        };
        if let Err(failure) = restarted {
            tracing::warn!("{failure}");
        }
    }

    async fn note(&self) -> Result<(), Failure> {
        let watchdog = self.watchdog.as_ref().and_then(Child::id).unwrap_or_default();
        let note = Note { dir: self.options.dir.clone(), watchdog };
        let place = self.system.own().join(NOTE);
        let noted = serde_json::to_string(&note).map_err(io::Error::from);
        let noted = match noted {
            Ok(text) => tokio::task::spawn_blocking(move || write_private(&place, &text)).await,
            Err(error) => Ok(Err(error)),
        };
        let noted = noted.map_err(io::Error::other).and_then(|noted| noted);
        noted.map_err(|error| Failure::new(Kind::NoPlace, error.to_string()))
    }

    async fn mount(&self) -> Result<(), Failure> {
        let dir = &self.options.dir;
        let failed = |error: io::Error| Failure::new(Kind::Other, error.to_string());
        // In a file: what it leaves running may keep a pipe open.
        let mut said = tempfile::tempfile_in(self.system.own()).map_err(failed)?;
        let mut command = self.system.helper(HELPER, &self.variables)?;
        command.arg(format!("{}:/", self.options.file_system)).arg(dir);
        let options = self.options.of_mount();
        if !options.is_empty() {
            command.arg("-o").arg(options);
        }
        command.stdout(said.try_clone().map_err(failed)?).stderr(said.try_clone().map_err(failed)?);
        let mut child = command.spawn().map_err(failed)?;
        let group = Group::of(&child);
        let Ok(ended) = timeout(self.options.times.mount, child.wait()).await else {
            drop(group);
            // In the kernel it may go on; nobody waits for it.
            let _ = timeout(TO_DIE, child.wait()).await;
            return Err(self.hung().await);
        };
        group.let_be();
        let status = ended.map_err(failed)?;
        if !status.success() {
            return Err(Failure::of_helper(status.code(), &text_of(&mut said)));
        }
        if self.is_mounted().await { Ok(()) } else { Err(Failure::new(Kind::NotMounted, "")) }
    }

    async fn is_mounted(&self) -> bool {
        // Where the table cannot be read, nothing is known to be lost.
        mount::entry_at(&self.options.dir).await.map_or(true, |entry| entry.is_some())
    }

    /// With the end of the proxy's log: only there stands why.
    async fn hung(&self) -> Failure {
        let logs = self.system.logs();
        let lines = tokio::task::spawn_blocking(move || last_lines(&logs)).await.unwrap_or_default();
        for line in &lines {
            tracing::warn!("efs-proxy: {line}");
        }
        let limit = self.options.times.mount;
        let last = lines.last().map_or("efs-proxy has printed nothing", String::as_str);
        Failure::new(Kind::Hung, format!("after {limit:?}; {last}"))
    }

    /// In order, by force, or out of sight; the last two may lose what is not stored.
    async fn unmount(&self) -> Result<(), Failure> {
        let limit = self.options.times.unmount;
        let dir = self.options.dir.display();
        for (how, limit) in [("", limit), ("-f", limit / 2), ("-l", limit / 2)] {
            let until = Instant::now() + limit;
            if how == "-f" {
                tracing::warn!(%dir, "the mount cannot be unmounted cleanly; the last writes may be lost");
            }
            loop {
                if !self.is_mounted().await {
                    return Ok(());
                }
                let left = until.saturating_duration_since(Instant::now());
                let outcome = self.umount(how, left).await;
                if !self.is_mounted().await {
                    return Ok(());
                }
                if let Err(error) = outcome {
                    tracing::debug!(%error, "umount");
                }
                if Instant::now() + PAUSE > until {
                    break;
                }
                // Somebody has a file open there, maybe not for long.
                sleep(PAUSE).await;
            }
        }
        Err(Failure::new(Kind::Left, dir.to_string()))
    }

    async fn umount(&self, how: &str, limit: Duration) -> Result<(), Box<dyn std::error::Error>> {
        let mut command = self.system.tool("umount")?;
        command.args(Some(how).filter(|how| !how.is_empty())).arg(&self.options.dir);
        process::run(command, limit).await?;
        Ok(())
    }
}

/// The newest log of a proxy, its last lines.
fn last_lines(logs: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(logs).into_iter().flatten().flatten();
    let logs = entries.map(|entry| entry.path()).filter(|path| is_log(path));
    let changed = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
    let Some(Ok(mut log)) = logs.max_by_key(changed).map(File::open) else { return Vec::new() };
    let text = text_of(&mut log);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.iter().rev().take(MOST_LINES).rev().map(|line| (*line).to_owned()).collect()
}

fn is_log(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("efs-proxy.log"))
}

/// The end of a file.
fn text_of(file: &mut File) -> String {
    let length = file.metadata().map_or(0, |meta| meta.len());
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(length.saturating_sub(MOST_BYTES)));
    if let Err(error) = read.and_then(|_| file.read_to_end(&mut bytes)) {
        tracing::debug!(%error, "what a program said cannot be read");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whoever loses it so often loses it for a reason.
const LOST_TWICE: Duration = Duration::from_secs(60);
/// From a signal that cannot be refused to the end of a process that is not in the kernel.
const TO_DIE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);
/// Of a log.
const MOST_LINES: usize = 10;
/// Of what a program said.
const MOST_BYTES: u64 = 16 << 10;
