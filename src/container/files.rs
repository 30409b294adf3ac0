//! The files of efs-utils: made writable where the container's root is not, told not to talk to CloudWatch, and put back
//! at the end: on a host they are the machine's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::children::{self, WATCHDOG};
use super::failures::{Failure, Kind};
use super::options::Options;
use super::system::System;
use crate::process;
use crate::state::private_directory;

/// See the module.
#[derive(Debug)]
pub struct Files {
    system: System,
    cloudwatch: bool,
    kept: Vec<(String, Vec<u8>)>,
    changed: Arc<Mutex<Changed>>,
}

/// What was written over.
#[derive(Debug, Default)]
struct Changed {
    files: Vec<ChangedFile>,
    /// Nothing is changed any more.
    is_over: bool,
}

#[derive(Debug)]
struct ChangedFile {
    place: PathBuf,
    before: Vec<u8>,
    now: Vec<u8>,
}

impl Files {
    /// Looks whether all is there, and nobody else at work. Changes nothing.
    pub async fn look(system: &System, options: &Options) -> Result<Self, Failure> {
        let kept = look(system).await?;
        let (system, cloudwatch) = (system.clone(), options.cloudwatch);
        Ok(Self { system, cloudwatch, kept, changed: Arc::default() })
    }

    /// Makes ready what the mount's programs read and write.
    pub async fn prepare(&self) -> Result<(), Failure> {
        let system = &self.system;
        let configuration = system.configuration();
        for directory in [&configuration, &system.logs(), &system.state()] {
            make_writable(system, directory).await?;
        }
        let (own, kept, cloudwatch) = (system.own(), self.kept.clone(), self.cloudwatch);
        let changed = Arc::clone(&self.changed);
        blocking(move || {
            fs::create_dir_all(own.parent().unwrap_or(&own))?;
            private_directory(&own)?;
            write_files(&configuration, kept, cloudwatch, &mut changed.lock())
        })
        .await
        .map_err(|error| Failure::new(Kind::NoPlace, error.to_string()))
    }

    /// Puts back what was written over, unless somebody has changed it since.
    pub async fn put_back(&self) {
        let changed = Arc::clone(&self.changed);
        let put_back = blocking(move || {
            // A writer that was given up may come later.
            let mut changed = changed.lock();
            changed.is_over = true;
            let mut outcome = Ok(());
            for ChangedFile { place, before, now } in changed.files.drain(..) {
                if fs::read(&place).is_ok_and(|found| found == now) {
                    // Each is tried, whatever became of the others.
                    outcome = outcome.and(fs::write(place, before));
                }
            }
            outcome
        });
        if let Err(error) = put_back.await {
            tracing::warn!(%error, "the configuration of amazon-efs-utils was not restored");
        }
    }
}

/// The configuration as it is.
async fn look(system: &System) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(Kind::NotRoot, ""));
    }
    for name in [HELPER, WATCHDOG] {
        system.find(name)?;
    }
    let configuration = system.configuration();
    let kept = blocking({
        let configuration = configuration.clone();
        move || plain_files(&configuration)
    })
    .await;
    let kept = kept.map_err(|error| Failure::new(Kind::NotInstalled, told(&configuration, &error)))?;
    if !kept.iter().any(|(name, _)| name == OF_HELPER) {
        return Err(Failure::new(
            Kind::NotInstalled,
            format!("there is no {OF_HELPER}, which came with 3.0"),
        ));
    }
    children::refuse_others(system).await?;
    Ok(kept)
}

/// Whatever lies there alone: what was beside it comes back below what is mounted over it.
async fn make_writable(system: &System, directory: &Path) -> Result<(), Failure> {
    let tried = directory.to_owned();
    let Err(error) = blocking(move || try_to_write(&tried)).await else { return Ok(()) };
    let mut mount = system.tool("mount")?;
    mount.args(["-t", "tmpfs", "-o", TMPFS, "tmpfs"]).arg(directory);
    match process::run(mount, MOUNT_LIMIT).await {
        Ok(_) => Ok(()),
        Err(mounting) => {
            let words = format!("{}; {mounting}", told(directory, &error));
            Err(Failure::new(Kind::NoPlace, words))
        }
    }
}

fn try_to_write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    tempfile::NamedTempFile::new_in(directory).map(drop)
}

/// The names and texts of the files in a directory.
fn plain_files(directory: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_file()
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            files.push((name.to_owned(), fs::read(&path)?));
        }
    }
    Ok(files)
}

fn write_files(
    directory: &Path,
    files: Vec<(String, Vec<u8>)>,
    cloudwatch: bool,
    changed: &mut Changed,
) -> io::Result<()> {
    for (name, mut content) in files {
        if changed.is_over {
            return Ok(());
        }
        if !cloudwatch && [OF_HELPER, OF_WATCHDOG].contains(&&*name) {
            content = quiet(&String::from_utf8_lossy(&content)).into_bytes();
        }
        let place = directory.join(name);
        let before = fs::read(&place).ok();
        if before.as_ref() == Some(&content) {
            continue;
        }
        if let Some(before) = before {
            changed.files.push(ChangedFile { place: place.clone(), before, now: content.clone() });
        }
        fs::write(place, content)?;
    }
    Ok(())
}

/// A configuration of efs-utils without CloudWatch's logs and metrics, which need rights of their own.
fn quiet(text: &str) -> String {
    let text = set(text, "cloudwatch-log", "enabled", "false");
    set(&text, "proxy", "metrics_enabled", "false")
}

/// Sets one key in one section; all else stays.
fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    let (header, line) = (format!("[{section}]"), format!("{key} = {value}"));
    let (mut lines, mut is_within, mut is_done) = (Vec::new(), false, false);
    for old in text.lines() {
        if old.trim_start().starts_with('[') {
            is_within = old.trim() == header;
            lines.push(old);
            if is_within && !is_done {
                lines.push(&line);
                is_done = true;
            }
        } else if !(is_within && old.split(['=', ':']).next().is_some_and(|name| name.trim() == key)) {
            lines.push(old);
        }
    }
    if !is_done {
        lines.extend([&*header, &line]);
    }
    lines.join("\n") + "\n"
}

fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

pub(super) const HELPER: &str = "mount.s3files";
const OF_HELPER: &str = "s3files-utils.conf";
const OF_WATCHDOG: &str = "efs-utils.conf";
/// Certificates, states and logs take a few MiB.
const TMPFS: &str = "mode=0755,size=64m";
/// Memory is there at once.
const MOUNT_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_of_one_section_is_set() {
        let text = "[mount]\nenabled = true\n\n[cloudwatch-log]\n# enabled = true\nenabled = true\nlog_group_name = /aws\n";
        let set_once = set(text, "cloudwatch-log", "enabled", "false");
        let expected = "[mount]\nenabled = true\n\n[cloudwatch-log]\nenabled = false\n# enabled = true\nlog_group_name = /aws\n";
        assert_eq!(set_once, expected);
        assert_eq!(set(&set_once, "cloudwatch-log", "enabled", "false"), expected);
        assert_eq!(
            set("[a]\nx=1\n", "proxy", "metrics_enabled", "false"),
            "[a]\nx=1\n[proxy]\nmetrics_enabled = false\n"
        );
        assert_eq!(quiet(&quiet(text)), quiet(text));
    }
}
