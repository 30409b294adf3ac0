//! The engine of this machine, docker or podman: the only place that starts its client.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::named::{NamedEnum, names};
use crate::process::{self, ProcessError};

/// The programs that can be one, the preferred first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    Docker,
    Podman,
}

names!(EngineKind { Docker = "docker", Podman = "podman" });

/// See the module.
#[derive(Debug, Clone)]
pub struct Engine {
    pub kind: EngineKind,
    program: PathBuf,
}

/// Why the engine does not do what is wanted.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("there is no {0} in PATH")]
    Missing(String),
    #[error("{name} does not answer")]
    Silent {
        name: EngineKind,
        #[source]
        source: ProcessError,
    },
    #[error("{name} runs containers on another machine, at {place}")]
    Remote { name: EngineKind, place: String },
}

impl EngineError {
    pub fn hint(&self) -> String {
        match self {
            Self::Missing(_) => INSTALL.to_owned(),
            Self::Silent { name, .. } => format!("start it, and check that `{name} info` works"),
            Self::Remote { name, .. } => format!(
                "s3dav only reaches containers on this machine: choose a local engine with `{name} context \
                 use`, and unset DOCKER_HOST"
            ),
        }
    }
}

impl Engine {
    /// The first of these that is installed.
    pub fn find(kinds: &[EngineKind]) -> Result<Self, EngineError> {
        let installed =
            |kind: &EngineKind| Some(Self { kind: *kind, program: process::of_user(kind.name())? });
        kinds.iter().find_map(installed).ok_or_else(|| missing(kinds))
    }

    /// The first of these that answers, and runs containers on this machine; else why the first does not.
    pub async fn answering(kinds: &[EngineKind]) -> Result<Self, EngineError> {
        let mut why = None;
        for kind in kinds {
            let Ok(engine) = Self::find(&[*kind]) else { continue };
            match engine.check().await {
                Ok(()) => return Ok(engine),
                Err(error) => why = why.or(Some(error)),
            }
        }
        Err(why.unwrap_or_else(|| missing(kinds)))
    }

    async fn check(&self) -> Result<(), EngineError> {
        self.check_local().await?;
        self.architecture().await.map(drop)
    }

    /// A command line, which gets nothing of what this program's own variables say, keys least of all.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let is_ours = |name: &OsString| {
            let name = name.to_string_lossy();
            name.starts_with("AWS_") || name.starts_with("S3DAV_")
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        // It starts helpers that lie beside it.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let beside = self.program.parent().map(Path::to_owned);
        if let Ok(path) = std::env::join_paths(std::env::split_paths(&path).chain(beside)) {
            command.env("PATH", path);
        }
        command.args(arguments);
        command
    }

    /// What a short command line prints.
    pub async fn run(&self, arguments: &[&str]) -> Result<String, ProcessError> {
        process::run(self.command(arguments), ANSWER).await
    }

    /// That of its machine, or virtual machine.
    pub async fn architecture(&self) -> Result<String, EngineError> {
        let arguments = match self.kind {
            EngineKind::Docker => ["version", "--format", "{{.Server.Arch}}"],
            EngineKind::Podman => ["info", "--format", "{{.Host.Arch}}"],
        };
        self.run(&arguments).await.map_err(|source| EngineError::Silent { name: self.kind, source })
    }

    /// Refuses one whose containers run on another machine. A virtual machine of this one's is none.
    pub async fn check_local(&self) -> Result<(), EngineError> {
        let place = match self.kind {
            EngineKind::Docker => {
                self.run(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).await
            }
            EngineKind::Podman => match std::env::var("CONTAINER_HOST") {
                Ok(place) => Ok(place),
                Err(_) => {
                    let format = "{{if .Default}}{{.URI}}{{end}}";
                    self.run(&["system", "connection", "list", "--format", format]).await
                }
            },
        };
        let place = place.map_err(|source| EngineError::Silent { name: self.kind, source })?;
        if is_local(&place) { Ok(()) } else { Err(EngineError::Remote { name: self.kind, place }) }
    }

    /// Builds an image of the recipe in a directory; gives its ID.
    pub async fn build(&self, place: &Path, arguments: &[&str]) -> Result<String, ProcessError> {
        let mut command = self.command(&["build", "--quiet"]);
        if self.kind == EngineKind::Podman {
            // Its own format knows no health check.
            command.args(["--format", "docker"]);
        }
        command.args(arguments).arg(place);
        process::run(command, BUILD).await
    }
}

fn missing(kinds: &[EngineKind]) -> EngineError {
    EngineError::Missing(kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" and no "))
}

/// Whether an address of an engine is on this machine.
fn is_local(place: &str) -> bool {
    match place.trim().split_once("://") {
        None => place.trim().is_empty(),
        Some(("unix" | "npipe" | "fd", _)) => true,
        // Podman's virtual machine is reached so.
        Some(("ssh", rest)) => {
            let host = rest.split('/').next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
            ["127.0.0.1", "localhost"].contains(&host.split(':').next().unwrap_or_default())
        }
        Some(_) => false,
    }
}

const INSTALL: &str = "install Docker Desktop, OrbStack, Colima or Podman (on Linux: the package docker.io, \
                       or podman); a bucket needs none of them: `s3dav mount`";
/// A virtual machine may have to wake up.
const ANSWER: Duration = Duration::from_secs(30);
/// The base comes over the network.
const BUILD: Duration = Duration::from_secs(1800);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_of_another_machine_is_known_by_its_address() {
        for local in
            ["", "unix:///var/run/docker.sock", "npipe:////./pipe/docker", "ssh://core@127.0.0.1:53685/run/x"]
        {
            assert!(is_local(local), "{local}");
        }
        for remote in
            ["tcp://10.0.0.1:2375", "ssh://me@example.org", "http://x", "ssh://127.0.0.1@example.org:22/x"]
        {
            assert!(!is_local(remote), "{remote}");
        }
    }
}
