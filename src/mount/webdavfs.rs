//! macOS: `mount_webdav`, the file system's own helper, which asks nobody anything.

use std::ffi::OsString;
use std::path::Path;

use tokio::process::Command;

use super::MountOptions;
#[cfg(target_os = "macos")]
use super::{Mount, MountError};
use crate::process;
use crate::state::Credential;

#[cfg(target_os = "macos")]
pub(super) async fn mount(mount: &Mount, point: &Path) -> Result<(), MountError> {
    let mut command = process::system("mount_webdav");
    command.args(arguments(&mount.options, &mount.url, point, mount.login.is_some()));
    if let Some(login) = &mount.login {
        let file = credentials_file(login).map_err(MountError::Files)?;
        use command_fds::{CommandFdExt, FdMapping};
        let mapping = FdMapping { parent_fd: file.into(), child_fd: CREDENTIALS_FD };
        command
            .as_std_mut()
            .fd_mappings(vec![mapping])
            .map_err(|_| MountError::Files(std::io::Error::other("the credentials cannot be passed on")))?;
    }
    process::run(command, super::MOUNT_LIMIT).await.map(drop).map_err(|source| MountError::Failed {
        point: point.to_owned(),
        hint: source.code().map(hint).unwrap_or_default().to_owned(),
        source,
    })
}

/// Everybody may mount at a directory of their own.
pub(super) fn is_allowed(_: &str, _: &Path) -> bool {
    true
}

/// Flushes what programs wrote.
pub(super) fn unmount(point: &Path) -> Command {
    let mut command = process::system("umount");
    command.arg(point);
    command
}

pub(super) fn force_unmount(point: &Path) -> Command {
    let mut command = process::system("umount");
    command.arg("-f").arg(point);
    command
}

/// The command line. No `-S`: with it a lost connection is the end of the mount. No secrets: all users see it.
fn arguments(options: &MountOptions, url: &str, point: &Path, has_login: bool) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    if has_login {
        arguments.push(format!("-a{CREDENTIALS_FD}").into());
    }
    let mut flags = Vec::new();
    if !options.browse {
        flags.push("nobrowse");
    }
    if options.read_only {
        flags.push("rdonly");
    }
    if !flags.is_empty() {
        arguments.extend(["-o".into(), flags.join(",").into()]);
    }
    let name = truncated(&options.volume_name);
    arguments.extend(["-v".into(), name.into(), url.into(), point.into()]);
    arguments
}

/// At most as many bytes as the program takes, and no slash, which Finder would show as a colon.
fn truncated(name: &str) -> String {
    let name = name.replace('/', ":");
    let end = (0..=name.len().min(MOST_NAME_BYTES)).rev().find(|end| name.is_char_boundary(*end));
    name[..end.unwrap_or(0)].to_owned()
}

/// What the program reads: user, password, the same for a proxy, and a certificate list, each after its length
/// in four bytes, the high one first. All five lengths must be there.
fn credential_bytes(login: &Credential) -> Option<Vec<u8>> {
    let fits = |text: &str| text.len() < MOST_SECRET_BYTES && !text.contains('\0');
    if !fits(&login.user) || !fits(&login.password) {
        return None;
    }
    let mut bytes = Vec::new();
    for text in [login.user.as_str(), login.password.as_str(), "", "", ""] {
        // Below 256, as was just seen.
        bytes.extend((text.len() as u32).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    Some(bytes)
}

/// A file without a name, open for this process and the program only.
#[cfg(target_os = "macos")]
fn credentials_file(login: &Credential) -> std::io::Result<std::fs::File> {
    use std::io::{Seek, Write};
    let bytes = credential_bytes(login).ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::tempfile()?;
    file.write_all(&bytes)?;
    file.rewind()?;
    Ok(file)
}

/// What its exit codes mean.
fn hint(code: i32) -> &'static str {
    match code {
        2 => "the mount point does not exist",
        16 => "the same address is mounted elsewhere; `mount` shows where",
        19 => "the gateway did not give a WebDAV answer; `s3dav status` shows whether it is running",
        80 => "the gateway did not accept the password; restart it with `s3dav stop` and mount again",
        89 => "it was cancelled",
        _ => {
            "`log show --last 5m --predicate 'process == \"webdavfs_agent\"'` shows what macOS logged about \
              it"
        }
    }
}

const CREDENTIALS_FD: i32 = 3;
const MOST_NAME_BYTES: usize = 255;
const MOST_SECRET_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> MountOptions {
        MountOptions {
            point: "/tmp/s3files".into(),
            volume_name: "my photos".into(),
            browse: true,
            read_only: false,
        }
    }

    #[test]
    fn the_command_line_holds_no_secret() {
        let point = Path::new("/private/tmp/s3files");
        let line = arguments(&options(), "http://127.0.0.1:8330/", point, true);
        assert_eq!(line, ["-a3", "-v", "my photos", "http://127.0.0.1:8330/", "/private/tmp/s3files"]);
        let quiet =
            MountOptions { browse: false, read_only: true, volume_name: "é".repeat(200), ..options() };
        let line = arguments(&quiet, "http://127.0.0.1:8330/", point, false);
        assert_eq!(line[..3], ["-o", "nobrowse,rdonly", "-v"]);
        assert_eq!(line[3].len(), 254);
    }

    #[test]
    fn the_credentials_are_as_the_program_reads_them() {
        let login = |password: &str| Credential { user: "s3dav".into(), password: password.into() };
        let bytes = credential_bytes(&login("pässword")).unwrap();
        let expected = [
            &[0, 0, 0, 5][..],
            b"s3dav",
            &[0, 0, 0, 9],
            "pässword".as_bytes(),
            &[0, 0, 0, 0],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(bytes, expected);
        assert_eq!(credential_bytes(&login(&"x".repeat(256))), None);
        assert_eq!(credential_bytes(&login("a\0b")), None);
    }
}
