//! What is made from the command line's structs: completions and the manual.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};

use super::{Cli, Shell, manual};

/// Whether there is a command of that name.
pub fn has_command(name: &str) -> bool {
    Cli::command().find_subcommand(name).is_some()
}

/// What `shell` needs to complete commands.
pub fn completions(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut shown(&Cli::command()), "s3dav", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The command line without what is hidden, which completions would offer all the same.
fn shown(command: &Command) -> Command {
    let mut shown = Command::new(command.get_name().to_owned());
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned());
    }
    let options = command.get_arguments().filter(|option| !option.is_hide_set());
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.args(options.cloned()).subcommands(commands.map(self::shown))
}

/// Writes a page for the program and one for each command into a directory, which is made if it is missing.
/// How many they are.
pub fn write_man_pages(directory: &Path) -> io::Result<usize> {
    manual::write_pages(Cli::command(), directory)
}
