//! `s3dav container build`: an image with a given binary, built by the engine of this machine.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tempfile::TempDir;
use tokio::process::Command;

use super::CommandError;
use crate::cli::{ContainerBuildArgs, EngineArg};
use crate::process;

pub(super) async fn run(args: ContainerBuildArgs) -> Result<(), CommandError> {
    let binary = args.binary.clone();
    let machine = tokio::task::spawn_blocking(move || machine_of(&binary)).await??;
    let engine = Engine::find(args.engine)?;
    let wanted = engine.architecture().await?;
    if machine != wanted {
        let message = anyhow!("{} is for {machine}, and {} has {wanted}", args.binary.display(), engine.name);
        return Err(CommandError::hinted(message, format!("name s3dav for Linux on {wanted} with --binary")));
    }
    let binary = args.binary.clone();
    let place = tokio::task::spawn_blocking(move || context(&binary)).await??;
    tell!("building {}; its base is fetched if it is not here", args.tag);
    let id = engine.build(place.path(), args.base.as_deref(), &args.tag).await?;
    // An engine may print its progress before.
    say!("{}", id.lines().last().unwrap_or_default());
    tell!("{}", how_to_run(engine.name, &args.tag));
    Ok(())
}

/// The machine that a program is for, in the words of engines.
fn machine_of(binary: &Path) -> Result<&'static str, CommandError> {
    let mut head = [0; HEAD];
    let read = File::open(binary).and_then(|mut file| file.read_exact(&mut head));
    match read {
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            let error = anyhow::Error::new(error).context(format!("{} cannot be read", binary.display()));
            return Err(CommandError::hinted(error, "name s3dav for Linux with --binary"));
        }
        _ => {}
    }
    machine(&head).ok_or_else(|| {
        let message = anyhow!("{} is no program for Linux on amd64 or arm64", binary.display());
        CommandError::hinted(
            message,
            "name s3dav for Linux with --binary; a Mac's own does not run in a container",
        )
    })
}

/// Reads the head of an ELF file: 64 bits, of Linux or of no system in particular, little-endian.
fn machine(head: &[u8; HEAD]) -> Option<&'static str> {
    let is_for_linux = head.starts_with(b"\x7fELF\x02\x01\x01") && [0, 3].contains(&head[7]);
    let is_program = matches!(u16::from_le_bytes([head[16], head[17]]), 2 | 3);
    match u16::from_le_bytes([head[18], head[19]]) {
        62 if is_for_linux && is_program => Some("amd64"),
        183 if is_for_linux && is_program => Some("arm64"),
        _ => None,
    }
}

/// What the engine is given: the recipe and the program, and nothing that lies beside them.
fn context(binary: &Path) -> Result<TempDir, CommandError> {
    let make = || {
        let place = tempfile::tempdir()?;
        fs::write(place.path().join("Dockerfile"), DOCKERFILE)?;
        let copy = place.path().join("s3dav");
        fs::copy(binary, &copy)?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        Ok::<_, std::io::Error>(place)
    };
    Ok(make().context("there is no room for what the image is built of")?)
}

/// What builds images here.
struct Engine {
    name: &'static str,
    program: PathBuf,
}

impl Engine {
    fn find(wanted: Option<EngineArg>) -> Result<Self, CommandError> {
        let names: &[&'static str] = match wanted {
            Some(EngineArg::Docker) => &["docker"],
            Some(EngineArg::Podman) => &["podman"],
            None => &["docker", "podman"],
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = names.iter().find_map(|name| {
            let mut places = std::env::split_paths(&path).map(|directory| directory.join(name));
            Some(Self { name, program: places.find(|place| place.is_file())? })
        });
        found.ok_or_else(|| {
            let message =
                anyhow!("there is no {} in the path to build an image with", names.join(" and no "));
            CommandError::hinted(message, INSTALL)
        })
    }

    /// A command line, which gets nothing of what this program's own variables say, keys least of all.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let is_ours = |name: &OsString| {
            let name = name.to_string_lossy();
            name.starts_with("AWS_") || name.starts_with("S3DAV_")
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        command.args(arguments);
        command
    }

    async fn architecture(&self) -> Result<String, CommandError> {
        let arguments = match self.name {
            "docker" => ["version", "--format", "{{.Server.Arch}}"],
            _ => ["info", "--format", "{{.Host.Arch}}"],
        };
        let said = process::run(self.command(&arguments), ANSWER).await;
        said.map_err(|error| {
            let hint = format!("start it, and look whether `{} info` answers", self.name);
            let error = anyhow::Error::new(error).context(format!("{} does not answer", self.name));
            CommandError::hinted(error, hint)
        })
    }

    /// Gives the image's id.
    async fn build(&self, place: &Path, base: Option<&str>, tag: &str) -> Result<String, CommandError> {
        let mut command = self.command(&["build", "--quiet", "--target", "direct", "--tag", tag]);
        if let Some(base) = base {
            command.args(["--build-arg", &format!("BASE={base}")]);
        }
        if self.name == "podman" {
            // Its own format knows no health check.
            command.args(["--format", "docker"]);
        }
        command.arg(place);
        process::run(command, BUILD).await.map_err(|error| {
            let hint = "a base without certificate authorities must have apt, and reach its packages; --base names \
                        another one";
            CommandError::hinted(anyhow::Error::new(error).context("the image cannot be built"), hint)
        })
    }
}

fn how_to_run(engine: &str, tag: &str) -> String {
    format!(
        "run it with:
  {engine} run -d --name s3dav --read-only --cap-drop ALL --security-opt no-new-privileges \\
    -p 127.0.0.1:8330:8330 -v \"$PWD/password:/run/secrets/password:ro\" \\
    -e AWS_ACCESS_KEY_ID -e AWS_SECRET_ACCESS_KEY -e AWS_SESSION_TOKEN \\
    {tag} serve --bucket NAME --listen 0.0.0.0:8330 --user NAME --password-file /run/secrets/password"
    )
}

/// The image, as it can be built by hand, too.
const DOCKERFILE: &str = include_str!("../../deploy/container/Dockerfile");
const INSTALL: &str = "install Docker Desktop, OrbStack, Colima or Podman (on Linux: the package docker.io, or podman); to \
                       put a bucket into Finder none is needed: `s3dav mount`";
/// Bytes of an ELF file's head, as far as it is looked at.
const HEAD: usize = 20;
/// A virtual machine may have to wake up.
const ANSWER: Duration = Duration::from_secs(30);
/// The base comes over the network.
const BUILD: Duration = Duration::from_secs(1800);

#[cfg(test)]
mod tests {
    use super::*;

    fn head(class: u8, system: u8, kind: u8, machine: u8) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1, system]);
        (head[16], head[18]) = (kind, machine);
        head
    }

    #[test]
    fn only_programs_for_linux_are_taken() {
        assert_eq!(machine(&head(2, 0, 3, 62)), Some("amd64"));
        assert_eq!(machine(&head(2, 3, 2, 183)), Some("arm64"));
        for (class, system, kind, wrong) in
            [(1, 0, 3, 62), (2, 9, 3, 62), (2, 0, 1, 62), (2, 0, 4, 62), (2, 0, 3, 40), (2, 0, 3, 243)]
        {
            assert_eq!(machine(&head(class, system, kind, wrong)), None);
        }
        // A Mac's.
        let mut mac = [0; HEAD];
        mac[..4].copy_from_slice(&[0xcf, 0xfa, 0xed, 0xfe]);
        assert_eq!(machine(&mac), None);
    }
}
