//! The end of each command's help, and its manual page: examples, exit codes, files, environment.
//!
//! Every command has a row in the table; a test holds that, and that the examples can be typed.

mod table;

use std::io::{self, Write};
use std::path::Path;

use clap::{ArgAction, Command};
use clap_mangen::Man;

use super::part::{self, COMMON};

use table::{EXIT, FILES_OF_AWS, FILES_OF_GATEWAYS, FILES_OF_STATE, OF_AWS, ROWS, Row, Uses, VARIABLES};

/// The command line with the ends of its long help; the short one has the options that most need.
pub(super) fn explained(command: Command) -> Command {
    explained_below(command, "")
}

fn explained_below(command: Command, path: &str) -> Command {
    let command = match row(path) {
        Some(row) => command.after_long_help(end_of_help(row)),
        None => command,
    };
    let is_long = command.get_arguments().count() > MOST_IN_SHORT_HELP;
    let common = if is_long { part::members(&command, COMMON) } else { Vec::new() };
    let is_rare =
        |option: &clap::Arg| option.get_help_heading().is_some() && !common.contains(option.get_id());
    let command = command.mut_args(|option| {
        let is_hidden = is_long && is_rare(&option);
        option.hide_env_values(true).hide_short_help(is_hidden)
    });
    command.mut_subcommands(|below| {
        let path = below_path(path, below.get_name());
        explained_below(below, &path)
    })
}

fn below_path(path: &str, name: &str) -> String {
    format!("{path} {name}").trim_start().to_owned()
}

fn row(path: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.command == path)
}

fn end_of_help(row: &Row) -> String {
    let mut text = String::new();
    if let Some((what, line)) = row.examples.first() {
        let to = if what.starts_with("for ") { "" } else { "to " };
        text.push_str(&format!("Example, {to}{what}:\n  {line}\n\n"));
    }
    text.push_str("Exit codes:\n");
    for (code, meaning) in exit(row) {
        text.push_str(&format!("  {code}: {meaning}\n"));
    }
    let files = files(row.uses);
    if !files.is_empty() {
        text.push_str("\nFiles:\n");
        files.iter().for_each(|(name, what)| text.push_str(&format!("  {name}: {what}\n")));
    }
    let more = if has_aws(row.uses) {
        "; credentials and proxies are found the way the AWS CLI finds them"
    } else {
        ""
    };
    text.push_str(&format!("\nEnvironment: the variables above, S3DAV_LOG and NO_COLOR{more}\n"));
    text.push_str(&format!("\nMore: docs/{}, and `man {}` once installed", row.document, page(row.command)));
    text
}

fn exit(row: &Row) -> impl Iterator<Item = &(&'static str, &'static str)> {
    EXIT.iter().chain(row.exit)
}

fn has_aws(uses: Uses) -> bool {
    matches!(uses, Uses::Gateway | Uses::Aws)
}

fn files(uses: Uses) -> Vec<(&'static str, &'static str)> {
    match uses {
        Uses::Gateway => [FILES_OF_GATEWAYS, FILES_OF_STATE].concat(),
        Uses::State => FILES_OF_STATE.to_vec(),
        Uses::Aws => FILES_OF_AWS.to_vec(),
        Uses::Nothing => Vec::new(),
    }
}

/// The name of a command's page.
fn page(path: &str) -> String {
    if path.is_empty() { "s3dav".to_owned() } else { format!("s3dav-{}", path.replace(' ', "-")) }
}

/// Writes a page for the program and one for each command into a directory, which is made if it is missing; how many.
pub(super) fn write_pages(program: Command, directory: &Path) -> io::Result<usize> {
    std::fs::create_dir_all(directory)?;
    let mut program = program.disable_help_subcommand(true);
    program.build();
    write_below(&program, "", directory)
}

fn write_below(command: &Command, path: &str, directory: &Path) -> io::Result<usize> {
    let mut page_text = Vec::new();
    render(command, path, &mut page_text)?;
    std::fs::write(directory.join(format!("{}.1", page(path))), page_text)?;
    let mut count = 1;
    for below in shown(command) {
        count += write_below(below, &below_path(path, below.get_name()), directory)?;
    }
    Ok(count)
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set())
}

fn render(command: &Command, path: &str, to: &mut Vec<u8>) -> io::Result<()> {
    let version = format!("s3dav {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(with_plain_help(command)).title(page(path)).source(version).manual("s3dav");
    man.render_title(to)?;
    man.render_name_section(to)?;
    synopsis(command, to)?;
    man.render_description_section(to)?;
    man.render_options_section(to)?;
    if shown(command).next().is_some() {
        man.render_subcommands_section(to)?;
    }
    let Some(row) = row(path) else { return Ok(()) };
    section("EXIT STATUS", exit(row).map(|(code, meaning)| (*code, (*meaning).to_owned())), to)?;
    section("ENVIRONMENT", environment(command, row.uses), to)?;
    let files = files(row.uses);
    section("FILES", files.iter().map(|(name, what)| (*name, (*what).to_owned())), to)?;
    section("EXAMPLES", row.examples.iter().map(|(what, line)| (*line, (*what).to_owned())), to)?;
    see_also(command, path, row, to)
}

/// Without clap's word on `-h`, which is of the help alone.
fn with_plain_help(command: &Command) -> Command {
    let is_help = |option: &clap::Arg| matches!(option.get_action(), ArgAction::Help);
    command.clone().mut_args(|option| {
        if is_help(&option) { option.help("Print help").long_help("Print help") } else { option }
    })
}

/// As in the help: options are listed further down.
fn synopsis(command: &Command, to: &mut Vec<u8>) -> io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    writeln!(to, ".SH SYNOPSIS")?;
    for line in usage.trim_start_matches("Usage:").lines().map(str::trim).filter(|line| !line.is_empty()) {
        writeln!(to, "{}\n.br", escaped(line))?;
    }
    Ok(())
}

/// The variables of a command: those of its options first.
fn environment(command: &Command, uses: Uses) -> Vec<(String, String)> {
    let is_of_program = |action: &ArgAction| matches!(action, ArgAction::Help | ArgAction::Version);
    let options = command.get_arguments().filter(|option| !option.is_hide_set());
    let options = options.filter(|option| !is_of_program(option.get_action()));
    let own = options.filter_map(|option| {
        let name = option.get_env()?.to_string_lossy().into_owned();
        Some((name, format!("the same as --{}", option.get_long()?)))
    });
    let more = if has_aws(uses) { OF_AWS } else { &[] };
    let others = VARIABLES.iter().chain(more).map(|(name, what)| ((*name).to_owned(), (*what).to_owned()));
    own.chain(others).collect()
}

fn section<N: AsRef<str>>(
    title: &str,
    entries: impl IntoIterator<Item = (N, String)>,
    to: &mut Vec<u8>,
) -> io::Result<()> {
    let mut entries = entries.into_iter().peekable();
    if entries.peek().is_none() {
        return Ok(());
    }
    writeln!(to, ".SH \"{title}\"")?;
    for (name, text) in entries {
        writeln!(to, ".TP\n\\fB{}\\fR\n{}", escaped(name.as_ref()), escaped(&text))?;
    }
    Ok(())
}

fn see_also(command: &Command, path: &str, row: &Row, to: &mut Vec<u8>) -> io::Result<()> {
    let above = path.rsplit_once(' ').map_or("", |(above, _)| above);
    let mut pages: Vec<String> = if path.is_empty() { Vec::new() } else { vec![page(above)] };
    pages.extend(shown(command).map(|below| page(&below_path(path, below.get_name()))));
    if !above.is_empty() {
        pages.insert(0, page(""));
    }
    let pages: Vec<_> = pages.iter().map(|name| format!("\\fB{}\\fR(1)", escaped(name))).collect();
    writeln!(to, ".SH \"SEE ALSO\"\n{}", pages.join(", "))?;
    writeln!(to, ".PP\ndocs/{} in the source tree", escaped(row.document))
}

/// As text of roff: a dash that can be copied, and no line that is a command.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// Options of commands with more are in the short help only if they have no heading, or are common.
const MOST_IN_SHORT_HELP: usize = 25;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;
    use crate::cli::Cli;

    fn paths(command: &Command, path: &str) -> Vec<String> {
        let below = shown(command).filter(|command| command.get_name() != "help");
        let below = below.flat_map(|command| paths(command, &below_path(path, command.get_name())));
        std::iter::once(path.to_owned()).chain(below).collect()
    }

    #[test]
    fn every_command_has_a_row_and_every_row_a_command() {
        let mut commands = paths(&Cli::command(), "");
        let mut rows: Vec<_> = ROWS.iter().map(|row| row.command.to_owned()).collect();
        if !cfg!(feature = "demo") {
            rows.retain(|name| name != "demo");
        }
        commands.sort();
        rows.sort();
        assert_eq!(commands, rows);
    }

    #[test]
    fn examples_can_be_typed() {
        for (_, line) in ROWS.iter().flat_map(|row| row.examples) {
            let Err(error) = Cli::command().try_get_matches_from(line.split(' ')) else { continue };
            assert!(matches!(error.kind(), ErrorKind::DisplayHelp), "{line}: {error}");
        }
    }

    #[test]
    fn documents_are_there() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        for row in ROWS {
            assert!(docs.join(row.document).is_file(), "{}", row.document);
        }
    }
}
