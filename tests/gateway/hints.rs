//! What the texts for people tell to do can be done: every command line in them is one, and every option is one of the
//! command that says it. All texts of the program are read, wherever they stand.

use clap::error::ErrorKind;
use clap::{Command, CommandFactory};
use s3dav::cli::{self, Cli};

use crate::layering::{code, sources};

/// The commands that may say the texts of a place, the nearest place first. All others are of what is served.
const SPEAKERS: &[(&str, &[&str])] = &[
    ("src/commands/stack/", &["stack up", "stack down", "mount"]),
    ("src/stack/", &["stack up", "mount"]),
    ("src/aws_cli/", &["stack up", "mount"]),
    ("src/commands/asking.rs", &["stack up", "stack stop", "stack down"]),
    ("src/commands/container.rs", &["container"]),
    ("src/commands/container_build.rs", &["container build"]),
    ("src/commands/demo/", &["demo"]),
    ("src/commands/gateway.rs", &["serve", "demo"]),
    ("src/commands/health.rs", &["health"]),
    ("src/commands/iam.rs", &["iam-policy"]),
    ("src/commands/running.rs", &["status", "stop", "restart", "unmount"]),
    ("src/commands/service.rs", &["service install"]),
    ("src/commands/shelf.rs", &["shelf export"]),
    ("src/commands/states.rs", &["state clean"]),
    ("src/commands/stop.rs", &["stop", "restart"]),
    ("src/container/", &["container", "container build"]),
    ("src/iam/", &["iam-policy"]),
    ("src/mount/", &["mount", "unmount", "stop"]),
    ("src/", &["serve", "mount"]),
];

/// Programs of others, with options of their own.
const OTHERS: [&str; 5] = ["aws configure", "aws sso", "docker ", "openssl ", "{engine} run"];

/// Of docker, where the text says only that it is for a container.
const OPTIONS_OF_OTHERS: [&str; 3] = ["cap-add", "security-opt", "tmpfs"];

/// The texts of a source, as they come out.
fn texts(code: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), code);
    while let Some(at) = rest.find(['"', '\'']) {
        let (before, from) = rest.split_at(at);
        if let Some(after) = from.strip_prefix("'\"'").or_else(|| from.strip_prefix("'\\''")) {
            rest = after;
        } else if let Some(after) = from.strip_prefix('\'') {
            rest = after;
        } else {
            let hashes = before.len() - before.trim_end_matches('#').len();
            let is_raw = before.trim_end_matches('#').ends_with('r');
            let (text, after) = if is_raw { raw(&from[1..], hashes) } else { plain(&from[1..]) };
            found.push(text);
            rest = after;
        }
    }
    found
}

fn raw(from: &str, hashes: usize) -> (String, &str) {
    let end = format!("\"{}", "#".repeat(hashes));
    let (text, after) = from.split_once(&end).unwrap();
    (text.to_owned(), after)
}

fn plain(from: &str) -> (String, &str) {
    let (mut text, mut chars) = (String::new(), from.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (text, &from[at + 1..]),
            '\\' => match chars.next().unwrap().1 {
                // It goes on where the next line begins.
                '\n' => {
                    let next = chars.as_str().trim_start();
                    let skipped = chars.as_str().len() - next.len();
                    chars.by_ref().take(skipped).for_each(drop);
                }
                'n' => text.push('\n'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    panic!("a text without an end: {from}")
}

/// What is said to people: all others are names and arguments.
fn said() -> Vec<(String, String)> {
    let sources = sources().into_iter().filter(|(path, _)| !path.starts_with("src/embedded"));
    let texts = sources.flat_map(|(path, text)| {
        let path = path.to_string_lossy().into_owned();
        texts(&code(&text)).into_iter().map(move |text| (path.clone(), text))
    });
    texts.filter(|(_, text)| text.contains(' ')).collect()
}

/// Command lines of this program: between backticks, or the whole text.
fn command_lines(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_whole = text
        .strip_prefix("s3dav ")
        .is_some_and(|rest| !text.contains('`') && rest.split(' ').next().is_some_and(cli::has_command));
    quoted.chain(is_whole.then_some(text)).filter(|line| line.starts_with("s3dav ")).collect()
}

/// Words like `--profile`.
fn options_in(text: &str) -> Vec<&str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let starts = text.match_indices("--").map(|(at, _)| &text[at + 2..]);
    let names = starts.map(|rest| &rest[..rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())]);
    names.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).collect()
}

/// Whether a command shows that option in its help.
fn has(command: &str, option: &str) -> bool {
    let mut cli = Cli::command();
    cli.build();
    let find = |at: Option<Command>, name: &str| at?.find_subcommand(name).cloned();
    let command = command.split(' ').fold(Some(cli), find).unwrap_or_else(|| panic!("no {command}"));
    command.get_arguments().any(|known| known.get_long() == Some(option) && !known.is_hide_set())
}

#[test]
fn command_lines_that_are_named_can_be_typed() {
    let mut count = 0;
    for (path, text) in said() {
        for line in command_lines(&text) {
            count += 1;
            let words = line.split(' ').map(|word| if word.contains('{') { "x" } else { word });
            let Err(error) = Cli::command().try_get_matches_from(words) else { continue };
            // What is left out is the user's to say.
            let is_short = matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::DisplayHelp
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            );
            assert!(is_short, "{path}: `{line}`: {error}");
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn options_that_are_named_are_those_of_the_command_that_says_it() {
    let mut count = 0;
    // The command line's own texts are clap's, which checks them.
    for (path, text) in said().into_iter().filter(|(path, _)| !path.starts_with("src/cli")) {
        let is_others = OTHERS.iter().any(|program| text.contains(program));
        let outside: String = text.split('`').step_by(2).collect();
        let is_own = |option: &&str| !is_others && !OPTIONS_OF_OTHERS.contains(option);
        for option in options_in(&outside).into_iter().filter(is_own) {
            count += 1;
            let (_, speakers) = SPEAKERS.iter().find(|(place, _)| path.starts_with(place)).unwrap();
            let is_known = speakers.iter().any(|command| has(command, option));
            assert!(is_known, "{path}: --{option} is none of {speakers:?}: {text}");
        }
    }
    assert!(count > 60, "{count}");
}

#[test]
fn texts_are_found_as_they_come_out() {
    let source = "say(\"one \\\n     two\", '\"', r#\"a \"raw\" one\"#, 'x', \"it's \\\"quoted\\\"\")";
    assert_eq!(texts(source), ["one two", "a \"raw\" one", "it's \"quoted\""]);
}
