//! How a program is found, and whether it works: bounded in time, since a crippled one may hang.

use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::abilities::{NOBODY, as_user};

/// A program, or something else that a test needs: a row of the table.
pub struct Client {
    pub name: &'static str,
    pub place: Place,
    /// Names another program than that in the path.
    pub variable: Option<&'static str>,
    /// All that must hold.
    pub checks: &'static [Check],
}

/// Where a client is.
pub enum Place {
    /// In the path; scripts run it, with nothing beside it in the path but what they ask for.
    Tool,
    /// In the path; may itself be a script that needs others.
    Program,
    /// Where the variable says.
    Variable,
    /// It is no program.
    Machine,
}

/// What shows that a program works. All but the first and the last run in a folder with a `file`, which holds
/// the line "content", and an empty `folder`.
pub enum Check {
    /// Asked with this argument it prints, after this text, a version of at least that.
    Version(&'static str, &'static str, &'static [u32]),
    /// It ends with 0 and prints exactly this.
    Prints(&'static [&'static str], &'static str),
    /// It ends with 0, and these files are there.
    Leaves(&'static [&'static str], &'static [&'static str]),
    /// It ends with 1.
    Differs(&'static [&'static str]),
    /// Whatever else; says what is wrong.
    Able(fn(&Probe) -> Result<(), String>),
}

/// Where programs are looked for, and for whom.
pub struct Search {
    pub path: OsString,
    pub variable: fn(&str) -> Option<OsString>,
    pub runner: Runner,
    pub limit: Duration,
}

/// Who runs them.
pub enum Runner {
    Own,
    /// Somebody else, with the help of this program.
    Another(PathBuf),
}

impl Search {
    pub fn here(runner: Runner) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self { path, variable: |name| std::env::var_os(name), runner, limit: LIMIT }
    }

    /// The program that a shell would run.
    fn find(&self, name: &str) -> Result<PathBuf, String> {
        let places = std::env::split_paths(&self.path).map(|directory| directory.join(name));
        let files: Vec<PathBuf> = places.filter(|path| path.is_file()).collect();
        match files.iter().find(|path| is_executable(path)) {
            Some(path) => std::path::absolute(path).map_err(|error| error.to_string()),
            None if files.is_empty() => Err(format!("{name} is not installed")),
            None => Err(format!("{name} is not executable")),
        }
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

impl Client {
    /// The client's path, or why it cannot be used.
    pub fn look(&self, search: &Search) -> super::Answer {
        let found = self.find(search).and_then(|path| {
            let is_alone = matches!(self.place, Place::Tool);
            let probe = Probe { name: self.name, path, is_alone, search };
            self.checks.iter().try_for_each(|check| check.holds(&probe)).map(|()| probe.path)
        });
        found.map_err(|reason| match self.variable {
            Some(variable) => format!("{reason} ({variable} may name another)"),
            None => reason,
        })
    }

    fn find(&self, search: &Search) -> super::Answer {
        let named = self.variable.and_then(search.variable).filter(|value| !value.is_empty());
        match (named.map(PathBuf::from), &self.place) {
            (Some(path), _) if path.exists() => Ok(path),
            (Some(path), _) => Err(format!("{} is not at {}", self.name, path.display())),
            (None, Place::Tool | Place::Program) => search.find(self.name),
            (None, Place::Variable) => Err(format!("{} is not installed", self.name)),
            (None, Place::Machine) => Ok(PathBuf::new()),
        }
    }
}

impl Check {
    fn holds(&self, probe: &Probe) -> Result<(), String> {
        let place = tempfile::tempdir().map_err(|error| error.to_string())?;
        match self {
            Self::Version(argument, after, least) => probe.version(argument, after, least),
            Self::Able(is_able) => is_able(probe),
            Self::Prints(arguments, text) => match probe.run_in(place.path(), arguments)? {
                said if said.status.success() && said.out == *text => Ok(()),
                said => Err(probe.wrong(arguments, &said)),
            },
            Self::Leaves(arguments, names) => {
                let said = probe.run_in(place.path(), arguments)?;
                let left = names.iter().all(|name| place.path().join(name).exists());
                if said.status.success() && left { Ok(()) } else { Err(probe.wrong(arguments, &said)) }
            }
            Self::Differs(arguments) => match probe.run_in(place.path(), arguments)? {
                said if said.status.code() == Some(1) => Ok(()),
                said => Err(probe.wrong(arguments, &said)),
            },
        }
    }
}

/// A program that has been found, while it is looked whether it works.
pub struct Probe<'a> {
    pub name: &'static str,
    pub path: PathBuf,
    /// Whether nothing else is in its path.
    is_alone: bool,
    search: &'a Search,
}

/// What a program printed, and how it ended.
pub struct Said {
    pub status: ExitStatus,
    pub out: String,
    pub error: String,
}

impl Probe<'_> {
    pub fn command(&self) -> Command {
        let mut command = match &self.search.runner {
            Runner::Own => Command::new(&self.path),
            Runner::Another(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(as_user(NOBODY)).arg(&self.path);
                command
            }
        };
        tidy(&mut command);
        // Where another user may be, too.
        command.current_dir("/");
        if self.is_alone {
            command.env("PATH", "/nonexistent");
        }
        command
    }

    pub fn run(&self, command: &mut Command) -> Result<Said, String> {
        run(command, self.limit()).map_err(|reason| format!("{} {reason}", self.name))
    }

    pub fn limit(&self) -> Duration {
        self.search.limit
    }

    fn run_in(&self, place: &Path, arguments: &[&str]) -> Result<Said, String> {
        let made = std::fs::write(place.join("file"), "content\n");
        made.and_then(|()| std::fs::create_dir(place.join("folder"))).map_err(|error| error.to_string())?;
        self.run(self.command().args(arguments).current_dir(place))
    }

    fn version(&self, argument: &str, after: &str, least: &[u32]) -> Result<(), String> {
        let said = self.run(self.command().arg(argument))?;
        // Some end otherwise than with 0.
        if version(&said.out, after).is_none() && !said.status.success() {
            return Err(self.wrong(&[argument], &said));
        }
        // nginx says it on standard error.
        let text = if said.out.is_empty() { &said.error } else { &said.out };
        self.at_least(text, after, least)
    }

    /// Whether the version after this text is at least that.
    pub fn at_least(&self, text: &str, after: &str, least: &[u32]) -> Result<(), String> {
        let Some(version) = version(text, after) else {
            return Err(format!("{} does not say its version", self.name));
        };
        if version.as_slice() >= least {
            return Ok(());
        }
        let text = |version: &[u32]| version.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
        Err(format!("{} {} is too old, {} works", self.name, text(&version), text(least)))
    }

    /// Says that it did not do what it should.
    pub fn wrong(&self, arguments: &[&str], said: &Said) -> String {
        let line = said.error.lines().chain(said.out.lines()).find(|line| !line.trim().is_empty());
        let line: String = line.unwrap_or_default().chars().filter(|c| !c.is_control()).take(LINE).collect();
        format!("{} {} does not work ({}, {line:?})", self.name, arguments.join(" "), said.status)
    }
}

/// The first number with dots after a text.
fn version(text: &str, after: &str) -> Option<Vec<u32>> {
    let rest = &text[text.find(after)? + after.len()..];
    let rest = &rest[rest.find(|c: char| c.is_ascii_digit())?..];
    let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    number.trim_end_matches('.').split('.').map(|part| part.parse().ok()).collect()
}

/// Takes from a command's environment what would make it do otherwise than on other machines.
pub fn tidy(command: &mut Command) {
    let is_foreign = |name: &str| {
        let prefixes = ["S3DAV_", "AWS_", "GIT_", "RCLONE_"];
        prefixes.iter().any(|prefix| name.starts_with(prefix))
            || name.to_ascii_lowercase().ends_with("_proxy")
    };
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_str().is_some_and(is_foreign)) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
}

/// Runs a command for so long at the most.
pub fn run(command: &mut Command, limit: Duration) -> Result<Said, String> {
    let end = Instant::now() + limit;
    let mut child = start(command, end)?;
    let out = read(child.stdout.take());
    let error = read(child.stderr.take());
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => std::thread::sleep(TICK),
            Ok(None) => {
                kill(&mut child);
                return Err(format!("does not end within {} s", limit.as_secs()));
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    // A child of its own may keep them open.
    let rest = |text: Receiver<Vec<u8>>| {
        let text = text.recv_timeout(end.saturating_duration_since(Instant::now()).max(TICK));
        text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    match (rest(out), rest(error)) {
        (Ok(out), Ok(error)) => Ok(Said { status, out, error }),
        _ => Err("leaves a process behind".to_owned()),
    }
}

fn start(command: &mut Command, end: Instant) -> Result<Child, String> {
    // Ended with all that it started.
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    loop {
        match command.spawn() {
            Ok(child) => return Ok(child),
            // Another thread's child holds it open until it is what it was started for.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < end => {
                std::thread::sleep(TICK);
            }
            Err(error) => return Err(format!("cannot be started: {error}")),
        }
    }
}

fn kill(child: &mut Child) {
    if let Some(id) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

/// Reads as much as anybody needs; one that prints for ever is cut off.
fn read(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(OUTPUT).read_to_end(&mut text);
        }
        let _ = sender.send(text);
    });
    receiver
}

/// For one question to a program: a machine that is busy with other tests answers, too.
const LIMIT: Duration = Duration::from_secs(20);

/// Between two looks whether it has ended.
const TICK: Duration = Duration::from_millis(5);

/// Bytes of a program's output that are read.
const OUTPUT: u64 = 256 << 10;

/// Characters of what it said that are shown.
const LINE: usize = 120;
