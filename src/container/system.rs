//! Where the programs and files of the system are. Tests have a system of their own below another root.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::failures::{Failure, Kind};

/// See the module.
#[derive(Debug, Clone)]
pub struct System {
    root: PathBuf,
}

impl System {
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Configuration of efs-utils, and its key, which it writes beside it.
    pub(super) fn configuration(&self) -> PathBuf {
        self.root.join("etc/amazon/efs")
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.root.join("var/log/amazon/efs")
    }

    /// What efs-utils knows of its mounts.
    pub(super) fn state(&self) -> PathBuf {
        self.root.join("var/run/efs")
    }

    /// What is there while a container runs: a socket, a token, a note.
    pub fn own(&self) -> PathBuf {
        self.root.join("run/s3dav")
    }

    /// Whether a path is one of this system.
    pub(super) fn has(&self, path: &Path) -> bool {
        path.starts_with(&self.root)
    }

    /// The path of a program.
    pub(super) fn find(&self, name: &str) -> Result<PathBuf, Failure> {
        let places = DIRECTORIES.map(|directory| self.root.join(directory).join(name));
        let found = places.into_iter().find(|place| place.is_file());
        found.ok_or_else(|| Failure::new(Kind::NotInstalled, format!("there is no {name}")))
    }

    /// A program of efs-utils, which may have credentials from `variables` and from nowhere else.
    pub(super) fn helper(&self, name: &str, variables: &[(&str, String)]) -> Result<Command, Failure> {
        let mut command = self.tool(name)?;
        let all = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in all.filter(|name| is_credential(name) || name.starts_with("S3DAV_")) {
            command.env_remove(name);
        }
        command.envs(variables.iter().map(|(name, value)| (*name, value)));
        Ok(command)
    }

    /// A program in a process group of its own, without anything to read.
    pub(super) fn tool(&self, name: &str) -> Result<Command, Failure> {
        let mut command = Command::new(self.find(name)?);
        command.stdin(std::process::Stdio::null()).process_group(0).kill_on_drop(true);
        command.env("LANG", "C").env("LC_ALL", "C");
        Ok(command)
    }
}

/// Whether a variable says who somebody is for AWS.
fn is_credential(name: &str) -> bool {
    CREDENTIALS.contains(&name) || name.starts_with("AWS_CONTAINER_") || name.starts_with("AWS_ROLE_")
}

const DIRECTORIES: [&str; 6] = ["sbin", "usr/sbin", "usr/bin", "bin", "usr/local/sbin", "usr/local/bin"];
/// A profile would be looked for before all else, and the keys are ignored, or worse.
const CREDENTIALS: [&str; 8] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];
