//! The door to the programs that show a text on the desktop. What they are told is an argument, and never a part
//! of a script.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::process::{self, ProcessError};

/// A program that shows a title and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notifier {
    /// macOS's `osascript`.
    AppleScript,
    /// libnotify's `notify-send`.
    NotifySend,
    /// One that takes the title and the text as its two arguments.
    Given(PathBuf),
}

impl Notifier {
    /// The system's.
    pub fn of_system() -> Self {
        if cfg!(target_os = "macos") { Self::AppleScript } else { Self::NotifySend }
    }

    /// The system's, where somebody may look at it.
    pub fn of_desktop() -> Option<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let has_bus = variable("DBUS_SESSION_BUS_ADDRESS").is_some()
            || variable("XDG_RUNTIME_DIR")
                .is_some_and(|directory| Path::new(&directory).join("bus").exists());
        let is_there = cfg!(target_os = "macos") || (has_bus && process::find(NOTIFY_SEND).is_some());
        is_there.then(Self::of_system)
    }

    /// Why it cannot be started, where that is known before.
    pub(super) async fn missing(&self) -> Option<String> {
        let Self::Given(program) = self else { return None };
        let is_file = tokio::fs::metadata(program).await.is_ok_and(|found| found.is_file());
        (!is_file).then(|| format!("there is no program {}", program.display()))
    }

    /// Shows it, and waits until the program has ended.
    pub(super) async fn show(&self, title: &str, text: &str, limit: Duration) -> Result<(), ProcessError> {
        process::run(self.command(title, text), limit).await.map(drop)
    }

    fn command(&self, title: &str, text: &str) -> Command {
        match self {
            Self::AppleScript => {
                let mut command = process::system("osascript");
                command.args(APPLE_SCRIPT).args([title, text]).env("LC_ALL", "en_US.UTF-8");
                command
            }
            Self::NotifySend => {
                let mut command = process::system(NOTIFY_SEND);
                command.args(["--app-name=s3dav", "--", title, &markup(text)]).env("LC_ALL", "C.UTF-8");
                command
            }
            Self::Given(program) => {
                let mut command = process::at(program);
                command.args([title, text]);
                command
            }
        }
    }
}

/// A text as `notify-send` takes it: it reads escapes, and desktops read markup.
fn markup(text: &str) -> String {
    let text = text.replace('\\', "\\\\");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What follows them is its `argv`: the first word that is no option ends the options.
const APPLE_SCRIPT: [&str; 6] = [
    "-e",
    "on run argv",
    "-e",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "-e",
    "end run",
];
const NOTIFY_SEND: &str = "notify-send";

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(notifier: &Notifier, text: &str) -> Vec<String> {
        let command = notifier.command("s3dav", text);
        command.as_std().get_args().map(|argument| argument.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_text_is_an_argument_and_no_script() {
        let text = "“x\" with title \"y\\” & <b>bold</b>";
        let told = arguments(&Notifier::AppleScript, text);
        let script = "display notification (item 2 of argv) with title (item 1 of argv)";
        assert_eq!(told, ["-e", "on run argv", "-e", script, "-e", "end run", "s3dav", text]);
        let plain = "“x\" with title \"y\\\\” &amp; &lt;b&gt;bold&lt;/b&gt;";
        assert_eq!(arguments(&Notifier::NotifySend, text), ["--app-name=s3dav", "--", "s3dav", plain]);
        assert_eq!(arguments(&Notifier::Given("/bin/x".into()), text), ["s3dav", text]);
    }
}
