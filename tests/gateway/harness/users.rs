//! Other users of the machine: their programs, and gateways of theirs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use s3dav::embedded::EmbeddedS3;
use tempfile::TempDir;
use tokio::process::Command;

pub use super::clients::as_user;
use super::held::Held;
use super::process::{Process, outcome, program_in, serve, take_environment};
use super::{clients, embedded};

/// What the kernel calls users that it cannot name; an ordinary other user here.
pub const NOBODY: u32 = 65_534;
/// Users without an account.
pub const SOMEBODY: u32 = 54_321;
pub const SOMEBODY_ELSE: u32 = 54_322;

/// Whether other users have these programs. A test asks before it begins.
pub fn others_have(programs: &[&'static str]) -> bool {
    clients::needs_of_users(&[], programs).is_some()
}

/// A Python script of another user.
pub fn python(uid: u32, script: &str, arguments: &[&str]) -> Option<Command> {
    let mut command = as_user(uid, "python3")?;
    command.args(["-c", script]).args(arguments);
    Some(command)
}

/// The status that another user's curl gets.
pub async fn asked(uid: u32, url: &str, more: &[&str]) -> Option<String> {
    let mut curl = as_user(uid, "curl")?;
    curl.args(["-q", "-s", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*"])
        .args(more)
        .arg(url);
    Some(outcome(curl).await.1)
}

/// A user's place with the program, an S3 server and room for a state.
pub struct Owner {
    pub uid: u32,
    pub directory: TempDir,
    pub s3: Arc<EmbeddedS3>,
}

impl Owner {
    pub async fn new(uid: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Another user cannot reach the program where cargo puts it.
        program_in(directory.path());
        fs::create_dir(directory.path().join("state")).unwrap();
        std::os::unix::fs::chown(directory.path().join("state"), Some(uid), Some(uid)).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { uid, directory, s3: embedded().await }
    }

    /// The user's command line that serves the bucket; `before`: what it is started by, such as `prlimit`.
    pub fn serve(&self, before: &[&str], more: &[&str]) -> Option<Command> {
        let program = self.directory.path().join("s3dav").to_str().unwrap().to_owned();
        let words: Vec<&str> = before.iter().copied().chain([program.as_str()]).collect();
        let model = serve(&self.s3.endpoint_url(), &self.directory, more);
        let mut command = as_user(self.uid, words[0])?;
        command.args(&words[1..]);
        let (known, state) =
            (self.directory.path().join("state"), self.directory.path().join("state/of-user"));
        let own = |argument| if Path::new(argument) == known { state.as_os_str() } else { argument };
        command.args(model.as_std().get_args().map(own));
        take_environment(&mut command, &model);
        Some(command)
    }

    /// A gateway of the user whose sockets a parent holds.
    pub async fn held(&self) -> Option<Held> {
        let command = self.serve(&[], &["--detached"])?;
        Some(Held::starting(command, self.directory.path().join("state/of-user")).await)
    }

    /// A gateway of the user.
    pub async fn gateway(&self, more: &[&str]) -> Option<Process> {
        Some(Process::serving(self.serve(&[], more)?).await)
    }
}
