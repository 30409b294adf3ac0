//! systemd's user units: a socket, and the service that gets it.

use std::path::{Path, PathBuf};

use super::{Definition, Service, ServiceError};

/// Both units.
pub(super) fn files(home: &Path, definition: &Definition) -> Vec<(PathBuf, String)> {
    let texts = [service_unit(definition), socket_unit(definition)];
    paths(home).into_iter().zip(texts).collect()
}

pub(super) fn paths(home: &Path) -> Vec<PathBuf> {
    // systemd looks there, whatever XDG_CONFIG_HOME is in a shell.
    [SERVICE, SOCKET].map(|name| home.join(".config/systemd/user").join(name)).to_vec()
}

/// Links to the units, which systemd itself makes and removes where it answers.
pub(super) fn links(home: &Path) -> Vec<PathBuf> {
    let wanted = [("default.target.wants", SERVICE), ("sockets.target.wants", SOCKET)];
    wanted.map(|(by, unit)| home.join(".config/systemd/user").join(by).join(unit)).to_vec()
}

pub(super) fn log_path(home: &Path) -> PathBuf {
    home.join(".local/state/s3dav/service.log")
}

pub(super) async fn reach(service: &Service<'_>) -> Result<(), ServiceError> {
    service.run(PROGRAM, &["--user", "show", "--property=Version"]).await.map(drop)
}

pub(super) async fn load(service: &Service<'_>) -> Result<(), ServiceError> {
    service.run(PROGRAM, &["--user", "daemon-reload"]).await?;
    service.run(PROGRAM, &["--user", "enable", "--now", SOCKET, SERVICE]).await?;
    let state = service.run(PROGRAM, &["--user", "is-active", SERVICE]).await;
    state.map(drop).map_err(|_| ServiceError::NotRunning)
}

/// Stopped, and to be started at the next login.
pub(super) async fn unload(service: &Service<'_>) -> Result<(), ServiceError> {
    service.run(PROGRAM, &["--user", "stop", SOCKET, SERVICE]).await.map(drop)
}

pub(super) async fn forget(service: &Service<'_>) -> Result<(), ServiceError> {
    // The units are gone; what is left are links to them.
    let _ = service.run(PROGRAM, &["--user", "disable", SOCKET, SERVICE]).await;
    service.run(PROGRAM, &["--user", "daemon-reload"]).await.map(drop)
}

pub(super) async fn hasten(service: &Service<'_>) -> Result<(), ServiceError> {
    service.run(PROGRAM, &["--user", "start", SERVICE]).await.map(drop)
}

/// No connection starts it any more.
pub(super) async fn refuse(service: &Service<'_>) -> Result<(), ServiceError> {
    service.run(PROGRAM, &["--user", "stop", SOCKET]).await.map(drop)
}

pub(super) async fn status(service: &Service<'_>) -> Result<String, ServiceError> {
    let shown = "--property=Id,LoadState,ActiveState,SubState,Result,MainPID,ActiveEnterTimestamp";
    service.run(PROGRAM, &["--user", "show", "--no-pager", shown, SERVICE, SOCKET]).await
}

fn service_unit(definition: &Definition) -> String {
    let program = definition.program.to_string_lossy();
    // The path of the program is taken as it is: no variables stand in it, and so no `$$`, either.
    let program = quoted_value(&program);
    let words: Vec<String> =
        std::iter::once(program).chain(definition.arguments.iter().map(|text| quoted(text))).collect();
    let variables: Vec<String> =
        definition.environment.iter().map(|(name, value)| quoted_value(&format!("{name}={value}"))).collect();
    let hardening = if definition.mounts { FOR_MOUNTING } else { HARDENED };
    format!(
        "# Written by `s3dav service install`.\n[Unit]\nDescription=S3 as a folder (s3dav)\n\
         Requires={SOCKET}\nAfter={SOCKET}\n\n[Service]\nType=exec\nExecStart={}\nEnvironment={}\n\
         Restart=on-failure\nRestartSec=10\nTimeoutStopSec=60\nLimitNOFILE=4096\nLimitCORE=0\nUMask=0077\n{hardening}\n\
         [Install]\nWantedBy=default.target\n",
        words.join(" "),
        variables.join(" "),
    )
}

/// The socket stays open while the service is started anew: connections wait.
fn socket_unit(definition: &Definition) -> String {
    let addresses = definition.sockets.iter().map(|address| format!("ListenStream={address}\n"));
    format!(
        "# Written by `s3dav service install`.\n[Unit]\nDescription=The port of s3dav\n\n[Socket]\n{}\
         Backlog=512\nNoDelay=true\nBindIPv6Only=ipv6-only\n\n[Install]\nWantedBy=sockets.target\n",
        addresses.collect::<String>(),
    )
}

/// As systemd reads arguments of a command: `$` means something there.
fn quoted(text: &str) -> String {
    quoted_value(&text.replace('$', "$$"))
}

/// As systemd reads values.
fn quoted_value(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{}\"", text.replace('\n', "\\n"))
}

/// In the words of an error.
pub(super) const MANAGER: &str = "systemd's user manager";
const PROGRAM: &str = "systemctl";
const SERVICE: &str = "s3dav.service";
const SOCKET: &str = "s3dav.socket";
/// It needs S3, its own files and, of the kernel, whose a connection is.
const HARDENED: &str = "NoNewPrivileges=yes\nLockPersonality=yes\nMemoryDenyWriteExecute=yes\n\
    RestrictRealtime=yes\nRestrictSUIDSGID=yes\nSystemCallArchitectures=native\n\
    RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n";
/// `mount` gets root's rights by its set-user-ID bit, which all that could be forbidden would take away.
/// And davfs2, which it starts, goes on while it is started anew.
const FOR_MOUNTING: &str = "# Nothing that would imply NoNewPrivileges: `mount` could not mount then.\n\
    # davfs2 outlives a restart.\nKillMode=process\n";
