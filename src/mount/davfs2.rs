//! Linux: davfs2, with a configuration of its own in the state directory.
//!
//! Mounting is root's, or that of users whom a line of `/etc/fstab` allows it. Root's davfs2 runs as a user of
//! its own, see [`super::Deputy`]; a user's runs as that user.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::{Mount, MountError};
use crate::process::{self, ProcessError};
use crate::state::write_private;

pub(super) async fn mount(mount: &Mount, point: &Path) -> Result<(), MountError> {
    if mount.state_dir.as_os_str().as_encoded_bytes().contains(&b',') {
        return Err(MountError::Comma(mount.state_dir.clone()));
    }
    let (owned, at) = (mount.clone(), point.to_owned());
    let written = tokio::task::spawn_blocking(move || {
        clear_pid_file(&at);
        write_files(&owned, &at)
    });
    let config =
        written.await.map_err(io::Error::other).and_then(|config| config).map_err(MountError::Files)?;
    let mut command = process::system("mount");
    if rustix::process::geteuid().is_root() {
        command.arg("-t").arg("davfs").arg("-o").arg(flags(mount, &config)).arg(&mount.url).arg(point);
    } else if is_allowed(&mount.url, point) {
        command.arg(point);
    } else {
        let options = fstab_text(&format!("user,noauto,{}", flags(mount, &config)));
        let line = format!("{} {} davfs {options} 0 0", mount.url, fstab_text(&point.to_string_lossy()));
        return Err(MountError::NotAllowed { lines: hint_for_users(&line) });
    }
    process::run(command, super::MOUNT_LIMIT).await.map(drop).map_err(|source| MountError::Failed {
        point: point.to_owned(),
        hint: hint(&source),
        source,
    })
}

/// davfs2 that was killed leaves a file by which the next one believes that it still runs.
fn clear_pid_file(point: &Path) {
    let name = point.to_string_lossy().trim_start_matches('/').replace('/', "-");
    let path = Path::new(PID_FILES).join(format!("{name}.pid"));
    let Ok(text) = fs::read_to_string(&path) else { return };
    // That of a process which has ended is empty.
    let line = fs::read_to_string(format!("/proc/{}/cmdline", text.trim())).unwrap_or_default();
    if !line.contains("mount.davfs") {
        // Where it may not be removed, davfs2 says what is in the way.
        let _ = fs::remove_file(path);
    }
}

/// Root may mount, and users whom a line of the table allows it.
pub(super) fn is_allowed(url: &str, point: &Path) -> bool {
    rustix::process::geteuid().is_root()
        || fs::read_to_string(FSTAB).is_ok_and(|table| allows(&table, url, point))
}

/// Returns when davfs2 has sent what programs wrote.
pub(super) fn unmount(point: &Path) -> Command {
    let mut command = process::system("umount");
    command.arg(point);
    command
}

/// Ends the connection to davfs2, so that nobody waits for it any more.
pub(super) fn force_unmount(point: &Path) -> Command {
    let mut command = process::system("umount");
    command.args(["-i", "-f", "-l"]).arg(point);
    command
}

fn flags(mount: &Mount, config: &Path) -> String {
    let access = if mount.options.read_only { "ro" } else { "rw" };
    // Other users would come in by the mount, past the gateway's door.
    format!("{access},dir_mode=700,file_mode=600,conf={}", config.display())
}

/// Writes davfs2's configuration and secrets, of this mount alone; gives the path of the first.
fn write_files(mount: &Mount, point: &Path) -> io::Result<PathBuf> {
    let hash = hex::encode(Sha256::digest(point.as_os_str().as_encoded_bytes()));
    let file = |kind: &str| mount.state_dir.join(format!("davfs2-{}.{kind}", &hash[..8]));
    let (config, secrets) = (file("conf"), file("secrets"));
    let login = mount.login.as_ref();
    let secret = login.map(|login| {
        format!("{} {} {}\n", quoted(&point.to_string_lossy()), quoted(&login.user), quoted(&login.password))
    });
    write_private(&secrets, &secret.unwrap_or_default())?;
    write_private(&config, &configuration(&secrets))?;
    Ok(config)
}

fn configuration(secrets: &Path) -> String {
    // Recent kernels send more at once than davfs2's default buffer holds. The gateway is on this machine, so
    // looking again costs next to nothing.
    format!(
        "ask_auth 0\nbuf_size 256\ndelay_upload 0\ndir_refresh 5\nfile_refresh 1\nsecrets {}\n",
        quoted(&secrets.to_string_lossy())
    )
}

/// As davfs2 reads texts.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// As fstab holds a field.
fn fstab_text(field: &str) -> String {
    let escaped = field.replace('\\', "\\134").replace(' ', "\\040");
    escaped.replace('\t', "\\011").replace('\n', "\\012")
}

/// Whether a line lets users mount this.
fn allows(table: &str, url: &str, point: &Path) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [source, place, "davfs", options, ..] = fields.as_slice() else { return false };
        let is_here = source.trim_end_matches('/') == url.trim_end_matches('/')
            && *place == fstab_text(&point.to_string_lossy());
        is_here && options.split(',').any(|option| option == "user" || option == "users")
    })
}

fn hint_for_users(line: &str) -> String {
    format!(
        "as root, add this line to {FSTAB}:\n{line}\nthe user must be in the group davfs2, and mount.davfs be \
         set-user-ID (dpkg-reconfigure davfs2); or serve it with `s3dav serve` to another WebDAV client"
    )
}

fn hint(error: &ProcessError) -> String {
    match error {
        error if error.says("unknown filesystem type") => "install davfs2".to_owned(),
        error if error.says("fuse") => {
            "davfs2 needs /dev/fuse, which this machine or container may not have".to_owned()
        }
        _ => String::new(),
    }
}

/// `.` stands in names as it is, `/` as `-`.
const PID_FILES: &str = "/var/run/mount.davfs";
const FSTAB: &str = "/etc/fstab";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_fstab_allows_it() {
        let table = "# x\nhttp://127.0.0.1:8330/ /mnt/a\\040b davfs user,noauto,conf=/x 0 0\n";
        let allowed = |url: &str, point: &str| allows(table, url, Path::new(point));
        assert!(allowed("http://127.0.0.1:8330/", "/mnt/a b"));
        assert!(allowed("http://127.0.0.1:8330", "/mnt/a b"));
        assert!(!allowed("http://127.0.0.1:8331/", "/mnt/a b"));
        assert!(!allowed("http://127.0.0.1:8330/", "/mnt/a"));
        assert!(!allows(&table.replace("user,", ""), "http://127.0.0.1:8330/", Path::new("/mnt/a b")));
    }

    #[test]
    fn texts_are_quoted() {
        assert_eq!(quoted("a \"b\" \\c"), "\"a \\\"b\\\" \\\\c\"");
        assert!(configuration(Path::new("/s t/secrets")).contains("secrets \"/s t/secrets\"\n"));
    }
}
