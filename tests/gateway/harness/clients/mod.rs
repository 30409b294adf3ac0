//! Outside programs that some tests need: [`table`] says which, and which of them are known to work.
//!
//! A test asks for all that it needs before it begins, and uses what it is given by path. What is missing, too
//! old or crippled is named, and the test is skipped; with `S3DAV_REQUIRE_CLIENTS=1` that is a failure.

mod abilities;
mod moto;
mod probe;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::process::Command;

pub use abilities::{CHROMIUM_FLAGS, LITMUS_SUITES, webdav_script};
pub use moto::Moto;
use probe::{Runner, Search};
pub use table::MOUNT;

/// Programs that are there and work.
pub struct Tools {
    paths: BTreeMap<&'static str, PathBuf>,
    /// For scripts: a path with these programs alone, and a home.
    place: TempDir,
}

/// What these rows of the table are; `None` after saying which do not work here, and why.
pub fn needs(names: &[&'static str]) -> Option<Tools> {
    Tools::of(names.iter().map(|name| (*name, User::Own)))
}

/// The same where other users run some of them, or a copy of our own program. That takes root.
pub fn needs_of_users(own: &[&'static str], others: &[&'static str]) -> Option<Tools> {
    let own = ["root", "setpriv", "cp"].iter().chain(own).map(|name| (*name, User::Own));
    Tools::of(own.chain(others.iter().map(|name| (*name, User::Another))))
}

/// The path of one program.
pub fn find(name: &'static str) -> Option<PathBuf> {
    needs(&[name]).map(|tools| tools.path(name).to_owned())
}

/// A command of another user: of a row of the table, or, by its path, of a program of our own.
pub fn as_user(uid: u32, program: &str) -> Option<Command> {
    let (mut command, path) = match table::TABLE.iter().find(|client| client.name == program) {
        Some(client) => {
            let tools = needs_of_users(&[], &[client.name])?;
            (tools.command("setpriv"), tools.path(client.name).to_owned())
        }
        None => {
            let is_own = Path::new(program).starts_with(std::env::temp_dir());
            assert!(is_own, "{program} is neither in the table nor where others find a copy of our own");
            (needs_of_users(&[], &[])?.command("setpriv"), program.into())
        }
    };
    command.args(abilities::as_user(uid)).arg(path);
    Some(command)
}

/// Says that a test is skipped, or fails where nothing may be.
pub fn skip(why: &str) {
    let required = std::env::var("S3DAV_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
    assert!(!required, "{why} (S3DAV_REQUIRE_CLIENTS=1)");
    let thread = std::thread::current();
    let test = thread.name().filter(|name| name.contains("::")).unwrap_or("a test");
    // Not by a macro, whose output is shown of failed tests only. CI counts these lines.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why} ({test})\n").as_bytes());
}

impl Tools {
    fn of(names: impl Iterator<Item = (&'static str, User)>) -> Option<Self> {
        let asked: Vec<_> = names.collect();
        // One that hangs does not keep the others waiting.
        let answers: Vec<_> = std::thread::scope(|scope| {
            let asked = asked.iter().map(|(name, user)| (*name, scope.spawn(|| known(name, *user))));
            let asked: Vec<_> = asked.collect();
            asked.into_iter().map(|(name, asked)| (name, asked.join().unwrap())).collect()
        });
        let (found, missing): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, answer)| answer.is_ok());
        if !missing.is_empty() {
            let mut reasons: Vec<_> = missing.into_iter().filter_map(|(_, answer)| answer.err()).collect();
            reasons.dedup();
            skip(&reasons.join("; "));
            return None;
        }
        let paths = found.into_iter().filter_map(|(name, answer)| Some((name, answer.ok()?))).collect();
        Some(Self { paths, place: tempfile::tempdir().unwrap() })
    }

    /// Where a program is.
    pub fn path(&self, name: &str) -> &Path {
        self.paths.get(name).unwrap_or_else(|| panic!("{name} has not been asked for"))
    }

    /// A command line of a program, in an environment that is the same everywhere.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::from(self.blocking_command(name));
        command.kill_on_drop(true);
        command
    }

    /// The same for what cannot wait otherwise.
    pub fn blocking_command(&self, name: &str) -> std::process::Command {
        let mut command = std::process::Command::new(self.path(name));
        probe::tidy(&mut command);
        command
    }

    /// A bash script that finds these programs in its path, and no others.
    pub fn script(&self, script: &str) -> Command {
        let (path, home) = (self.place.path().join("bin"), self.place.path().join("home"));
        for directory in [&path, &home] {
            std::fs::create_dir_all(directory).unwrap();
        }
        for (name, program) in self.paths.iter().filter(|(_, path)| path.is_file()) {
            let link = path.join(name);
            if !link.is_symlink() {
                symlink(program, link).unwrap();
            }
        }
        let mut command = self.command("bash");
        command.args(["-euo", "pipefail", "-c", script]).env("PATH", path).env("HOME", home);
        command
    }
}

/// Who is to run a program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum User {
    Own,
    Another,
}

/// A program's path, or why it cannot be used.
type Answer = Result<PathBuf, String>;

/// The answer about a row of the table, looked for once.
fn known(name: &'static str, user: User) -> Answer {
    type Answers = BTreeMap<(&'static str, User), Arc<OnceLock<Answer>>>;
    static KNOWN: Mutex<Answers> = Mutex::new(Answers::new());
    let cell = Arc::clone(KNOWN.lock().entry((name, user)).or_default());
    let look = || {
        let client = table::TABLE.iter().find(|client| client.name == name);
        let client = client.unwrap_or_else(|| panic!("{name} is not in the table of outside programs"));
        if user == User::Own {
            return client.look(&Search::here(Runner::Own));
        }
        let path = known(name, User::Own)?;
        match known("setpriv", User::Own) {
            Ok(setpriv) => client.look(&Search::here(Runner::Another(setpriv))),
            // That has been asked for, too, and is told.
            Err(_) => Ok(path),
        }
    };
    cell.get_or_init(look).clone()
}
