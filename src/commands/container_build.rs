//! `s3dav container build`: an image with a given binary, built by the engine of this machine.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, anyhow};
use tempfile::TempDir;

use super::CommandError;
use crate::cli::ContainerBuildArgs;
use crate::container::{Engine, EngineKind};
use crate::named::NamedEnum;

pub(super) async fn run(args: ContainerBuildArgs) -> Result<(), CommandError> {
    let binary = args.binary.clone();
    let machine = tokio::task::spawn_blocking(move || machine_of(&binary)).await??;
    let engine = Engine::find(args.engine.as_ref().map_or(EngineKind::ALL, std::slice::from_ref))?;
    let wanted = engine.architecture().await?;
    if machine != wanted {
        let message = anyhow!("{} is for {machine}, and {} has {wanted}", args.binary.display(), engine.kind);
        return Err(CommandError::hinted(
            message,
            format!("name a Linux build of s3dav for {wanted} with --binary"),
        ));
    }
    let binary = args.binary.clone();
    let place = tokio::task::spawn_blocking(move || context(&binary)).await??;
    let kind = if args.s3files { &S3FILES } else { &DIRECT };
    let tag = args.tag.unwrap_or_else(|| kind.tag.to_owned());
    tell!("building {tag}; the base image is pulled if it is missing");
    let mut arguments = vec!["--target".to_owned(), kind.target.to_owned(), "--tag".to_owned(), tag.clone()];
    if let Some(base) = args.base.as_deref().or(kind.base) {
        // The classic builder builds the targets before it, too, and each base would be fetched.
        for name in ["BASE", "BASE_S3FILES"] {
            arguments.extend(["--build-arg".to_owned(), format!("{name}={base}")]);
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let id = engine.build(place.path(), &arguments).await.map_err(|error| {
        let error = anyhow::Error::new(error).context("the image cannot be built");
        CommandError::hinted(error, kind.hint)
    })?;
    // An engine may print its progress before.
    say!("{}", id.lines().last().unwrap_or_default());
    tell!("{}", if args.s3files { HOW_TO_MOUNT.to_owned() } else { how_to_run(engine.kind, &tag) });
    Ok(())
}

/// What can be built.
struct Image {
    target: &'static str,
    tag: &'static str,
    /// Instead of the recipe's own.
    base: Option<&'static str>,
    /// Where it fails.
    hint: &'static str,
}

/// The machine that a program is for, in the words of engines.
fn machine_of(binary: &Path) -> Result<&'static str, CommandError> {
    let mut head = [0; HEAD];
    let read = File::open(binary).and_then(|mut file| file.read_exact(&mut head));
    match read {
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            let error = anyhow::Error::new(error).context(format!("{} cannot be read", binary.display()));
            return Err(CommandError::hinted(error, "name a Linux build of s3dav with --binary"));
        }
        _ => {}
    }
    machine(&head).ok_or_else(|| {
        let message = anyhow!("{} is not a Linux program for amd64 or arm64", binary.display());
        CommandError::hinted(
            message,
            "name a Linux build of s3dav with --binary; one for macOS does not run in a container",
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
    Ok(make().context("the files for the image cannot be written")?)
}

fn how_to_run(engine: EngineKind, tag: &str) -> String {
    format!(
        "run it with:
  {engine} run -d --name s3dav --read-only --cap-drop ALL --security-opt no-new-privileges \\
    -p 127.0.0.1:8330:8330 -v \"$PWD/password:/run/secrets/password:ro\" -v s3dav-state:/state \\
    -e AWS_ACCESS_KEY_ID -e AWS_SECRET_ACCESS_KEY -e AWS_SESSION_TOKEN \\
    {tag} serve --bucket NAME --listen 0.0.0.0:8330 --user NAME --password-file /run/secrets/password"
    )
}

const DIRECT: Image = Image {
    target: "direct",
    tag: concat!("s3dav:", env!("CARGO_PKG_VERSION")),
    base: None,
    hint: "a base image without CA certificates needs apt and access to its packages; choose another one \
           with --base",
};
const S3FILES: Image = Image {
    target: "s3files",
    tag: S3FILES_TAG,
    base: Some("amazonlinux:2023"),
    hint: "the base image needs dnf and access to the packages of Amazon Linux; choose another one with \
           --base",
};
/// What `mount --s3files` looks for where no other image is named.
const S3FILES_TAG: &str = crate::far::S3FILES_IMAGE;
const HOW_TO_MOUNT: &str = "mount S3 Files with it: `s3dav mount --s3files FS_ID --mount-target HOST`";
/// The image, as it can be built by hand, too.
const DOCKERFILE: &str = include_str!("../../deploy/container/Dockerfile");
/// Bytes of an ELF file's head, as far as it is looked at.
const HEAD: usize = 20;

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
