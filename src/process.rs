//! Programs of the system: found where it keeps them, told next to nothing of this program's environment, run with
//! a time limit, and their words kept.
//!
//! Some of them, such as davfs2, run as another user and for long, and must not hold keys; and a directory that
//! somebody has put first into `PATH` is not the system's.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// Why a program did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("{program} cannot be started")]
    NotStarted { program: String, source: std::io::Error },
    #[error("{program} did not finish within {limit:?}")]
    TooSlow { program: String, limit: Duration },
    #[error("{program} ended with {code}{}{words}", if words.is_empty() { "" } else { ": " })]
    Failed { program: String, code: i32, words: String },
}

impl ProcessError {
    /// Whether it said so, in whatever case.
    pub fn says(&self, word: &str) -> bool {
        matches!(self, Self::Failed { words, .. } if words.to_lowercase().contains(word))
    }

    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Failed { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// The system's program of that name.
pub fn system(name: &str) -> Command {
    // Where there is none, the start says so.
    at(&find(name).unwrap_or_else(|| name.into()))
}

/// A program that the user has named.
pub fn at(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", DIRECTORIES.join(":"));
    // Languages change words that are looked for.
    command.env("LANG", "C").env("LC_ALL", "C");
    for variable in HANDED_ON {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    command
}

/// Where the system keeps that program.
pub fn find(name: &str) -> Option<PathBuf> {
    let places = DIRECTORIES.map(|directory| Path::new(directory).join(name));
    places.into_iter().find(|place| place.is_file())
}

/// A program that the user has installed, as a shell would find it. A Mac's services have a short path, which lacks the
/// places where engines and package managers install.
pub fn of_user(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> =
        std::env::split_paths(&path).chain(OF_MACS.iter().map(PathBuf::from)).collect();
    places.into_iter().map(|directory| directory.join(name)).find(|place| place.is_file())
}

/// This program by the name that it was called by, which may lead to a newer one later; absolute.
pub fn own() -> std::io::Result<PathBuf> {
    let itself = std::env::current_exe()?;
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let named = if called.components().count() > 1 {
        std::path::absolute(called).ok()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|directory| directory.join(&called)).find(|place| place.is_file())
    };
    Ok(named.filter(|named| named.is_absolute() && is_same_file(named, &itself)).unwrap_or(itself))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| path.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    file(one).is_some_and(|found| Some(found) == file(other))
}

/// Runs it to its end, without anything to read, and gives what it printed.
pub async fn run(command: Command, limit: Duration) -> Result<String, ProcessError> {
    told(command, None, limit).await
}

/// The same of one that may read `input`.
pub async fn told(
    mut command: Command,
    input: Option<&str>,
    limit: Duration,
) -> Result<String, ProcessError> {
    let program = Path::new(command.as_std().get_program()).file_name().unwrap_or_default();
    let program = program.to_string_lossy().into_owned();
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.kill_on_drop(true).spawn();
    let mut child = child.map_err(|source| ProcessError::NotStarted { program: program.clone(), source })?;
    let all = async {
        if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
            // One that has ended says why.
            let _ = pipe.write_all(text.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = match timeout(limit, all).await {
        Ok(output) => {
            output.map_err(|source| ProcessError::NotStarted { program: program.clone(), source })?
        }
        Err(_) => return Err(ProcessError::TooSlow { program, limit }),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(ProcessError::Failed { program, code: output.status.code().unwrap_or(-1), words: lines.join("; ") })
}

/// What one that ended said of it on standard error: the last error, and the last hint.
pub fn last_words(said: &str) -> (Option<String>, Option<String>) {
    let line = |mark: &str| said.lines().rev().find_map(|line| line.strip_prefix(mark)).map(str::to_owned);
    (line("error: "), line("hint: "))
}

/// A process's number, as calls of the system take it.
pub fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// Root's on every system; the last two are those of NixOS, which has nothing in the others.
const DIRECTORIES: [&str; 6] =
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/run/wrappers/bin", "/run/current-system/sw/bin"];
#[cfg(target_os = "macos")]
const OF_MACS: &[&str] = &["/usr/local/bin", "/opt/homebrew/bin"];
#[cfg(not(target_os = "macos"))]
const OF_MACS: &[&str] = &[];
/// Who runs it, and how the managers of his services are reached.
const HANDED_ON: [&str; 5] = ["HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the system has a program; where not a test is skipped, as `tests/gateway/harness/clients` does it.
    fn has(name: &str) -> bool {
        use std::io::Write;
        let found = find(name).is_some();
        if !found {
            let required = std::env::var("S3DAV_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
            assert!(!required, "{name} is needed here (S3DAV_REQUIRE_CLIENTS=1)");
            let _ = writeln!(std::io::stderr(), "SKIPPED: {name} is not installed (process)");
        }
        found
    }

    #[tokio::test]
    async fn it_is_told_only_what_it_needs() {
        if !has("env") {
            return;
        }
        let all = run(system("env"), Duration::from_secs(60)).await.unwrap();
        let known = ["PATH", "LANG", "LC_ALL", "HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR"];
        for line in all.lines() {
            let name = line.split('=').next().unwrap();
            assert!(known.contains(&name) || name == "DBUS_SESSION_BUS_ADDRESS", "{line}");
        }
        assert!(all.contains("PATH=/usr/bin:/bin:/usr/sbin:/sbin:"), "{all}");
    }

    #[tokio::test]
    async fn what_went_wrong_is_told() {
        if !has("ls") || !has("sleep") {
            return;
        }
        let mut command = system("ls");
        command.arg("/nonexistent");
        let error = run(command, Duration::from_secs(60)).await.unwrap_err();
        assert!(error.says("no such file") && error.code().is_some(), "{error}");
        assert!(error.to_string().starts_with("ls ended with "), "{error}");
        let error = run(system("no-such-program"), Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(error.to_string(), "no-such-program cannot be started");
        let mut command = system("sleep");
        command.arg("600");
        let error = run(command, Duration::from_millis(10)).await.unwrap_err();
        assert!(matches!(error, ProcessError::TooSlow { .. }), "{error}");
    }
}
