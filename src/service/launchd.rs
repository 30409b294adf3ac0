//! launchd's agent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Definition, Service, ServiceError};

/// The agent's property list.
pub(super) fn files(home: &Path, definition: &Definition) -> Vec<(PathBuf, String)> {
    paths(home).into_iter().map(|path| (path, plist(definition))).collect()
}

pub(super) fn paths(home: &Path) -> Vec<PathBuf> {
    vec![home.join(format!("Library/LaunchAgents/{LABEL}.plist"))]
}

pub(super) fn links(_: &Path) -> Vec<PathBuf> {
    Vec::new()
}

pub(super) fn log_path(home: &Path) -> PathBuf {
    home.join("Library/Logs/s3dav/s3dav.log")
}

pub(super) async fn reach(service: &Service<'_>) -> Result<(), ServiceError> {
    service.run(PROGRAM, &["print", &domain()]).await.map(drop)
}

pub(super) async fn load(service: &Service<'_>) -> Result<(), ServiceError> {
    let (domain, target) = (domain(), target());
    // One that was disabled would be refused.
    service.run(PROGRAM, &["enable", &target]).await?;
    if service.run(PROGRAM, &["print", &target]).await.is_ok() {
        // It is known, and was ended.
        service.run(PROGRAM, &["kickstart", &target]).await?;
    } else {
        for path in service.paths() {
            service.run(PROGRAM, &["bootstrap", &domain, &path.to_string_lossy()]).await?;
        }
    }
    service.run(PROGRAM, &["print", &target]).await.map_err(|_| ServiceError::NotRunning)?;
    Ok(())
}

pub(super) async fn hasten(service: &Service<'_>) -> Result<(), ServiceError> {
    service.run(PROGRAM, &["kickstart", &target()]).await.map(drop)
}

pub(super) async fn unload(service: &Service<'_>) -> Result<(), ServiceError> {
    // It fails for what is not loaded, which is what is wanted.
    let _ = service.run(PROGRAM, &["bootout", &target()]).await;
    for _ in 0..MOST_LOOKS {
        // It returns before the agent has ended.
        if service.run(PROGRAM, &["print", &target()]).await.is_err() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

pub(super) async fn forget(_: &Service<'_>) -> Result<(), ServiceError> {
    Ok(())
}

/// launchd listens until the agent is unloaded.
pub(super) async fn refuse(_: &Service<'_>) -> Result<(), ServiceError> {
    Ok(())
}

pub(super) async fn status(service: &Service<'_>) -> Result<String, ServiceError> {
    // It fails for what is not loaded.
    let said = service.run(PROGRAM, &["print", &target()]).await;
    Ok(said.unwrap_or_else(|_| format!("{LABEL} is installed, but not running")))
}

/// Fills in the template. Pure.
fn plist(definition: &Definition) -> String {
    let string = |text: &str| format!("<string>{}</string>", escaped(text));
    let program = definition.program.to_string_lossy();
    let arguments = std::iter::once(&*program).chain(definition.arguments.iter().map(String::as_str));
    let arguments = arguments.map(|argument| format!("        {}", string(argument)));
    let environment = definition
        .environment
        .iter()
        .map(|(name, value)| format!("        <key>{}</key>\n        {}", escaped(name), string(value)));
    let sockets = definition.sockets.iter().map(|address| {
        format!(
            "            <dict>\n                <key>SockNodeName</key>\n                {}\n                \
             <key>SockServiceName</key>\n                {}\n                <key>SockType</key>\n                \
             <string>stream</string>\n            </dict>",
            string(&address.ip().to_string()),
            string(&address.port().to_string()),
        )
    });
    let early = definition.log.with_extension("err");
    let lines = |lines: &mut dyn Iterator<Item = String>| lines.collect::<Vec<_>>().join("\n");
    let values = [
        ("@LABEL@", LABEL.to_owned()),
        ("@ARGUMENTS@", lines(&mut { arguments })),
        ("@ENVIRONMENT@", lines(&mut { environment })),
        ("@SOCKETS@", lines(&mut { sockets })),
        ("@STANDARD_ERROR@", escaped(&early.to_string_lossy())),
    ];
    filled(TEMPLATE, &values)
}

/// In one pass: what a value holds is not looked at.
fn filled(template: &str, values: &[(&str, String)]) -> String {
    let (mut text, mut rest) = (String::new(), template);
    let next = |rest: &str| {
        let found = values.iter().filter_map(|(mark, value)| Some((rest.find(mark)?, mark, value)));
        found.min_by_key(|(at, ..)| *at)
    };
    while let Some((at, mark, value)) = next(rest) {
        text.push_str(&rest[..at]);
        text.push_str(value);
        rest = &rest[at + mark.len()..];
    }
    text + rest
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The session with the Finder of this user.
fn domain() -> String {
    format!("gui/{}", rustix::process::getuid().as_raw())
}

fn target() -> String {
    format!("{}/{LABEL}", domain())
}

/// In the words of an error.
pub(super) const MANAGER: &str = "launchd's session of this user";
const PROGRAM: &str = "launchctl";
/// The file's name without its end, too, as launchd wants it.
const LABEL: &str = "io.s3dav.agent";
const TEMPLATE: &str = include_str!("../../launchd/io.s3dav.agent.plist");
/// Half a minute, which the agent has to end.
const MOST_LOOKS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);
