//! What is made from the command line's structs: completions and the manual.

use std::io;
use std::path::Path;

use clap::CommandFactory;

use super::{Cli, Shell};

/// What `shell` needs to complete commands.
pub fn completions(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "s3dav", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Writes a page for the program and one for each command into a directory, which is made if it is missing.
pub fn write_man_pages(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)
}
