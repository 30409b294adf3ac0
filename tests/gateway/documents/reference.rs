//! The reference of options: generated from what the program says of itself, and no other option stands anywhere.
//!
//! `S3DAV_WRITE_DOCUMENTS=1` writes it anew.

use std::collections::BTreeSet;
use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};
use s3dav::cli::Cli;

use super::{all, root};

#[test]
fn the_reference_is_what_the_program_says() {
    let path = root().join("docs/CONFIGURATION.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark before it");
    let (_, after) = rest.split_once(END).expect("the mark after it");
    let wanted = format!("{before}{BEGIN}\n{}{END}{after}", reference());
    if std::env::var_os("S3DAV_WRITE_DOCUMENTS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    assert!(
        wanted == std::fs::read_to_string(&path).unwrap(),
        "docs/CONFIGURATION.md is out of date; S3DAV_WRITE_DOCUMENTS=1 cargo test writes it"
    );
}

#[test]
fn options_in_documents_exist() {
    let mut known: BTreeSet<String> =
        ["help", "version"].iter().chain(FOREIGN).map(|name| (*name).to_owned()).collect();
    collect(&Cli::command(), &mut known);
    for document in &all() {
        // Options of other programs stand in scripts.
        for (line, text) in document.prose() {
            for code in text.split('`').skip(1).step_by(2).filter(|code| is_ours(code)) {
                for option in options_in(code) {
                    assert!(known.contains(&option), "{}:{}: --{option}", document.name(), line + 1);
                }
            }
        }
    }
}

/// Inline code that does not begin with another program.
fn is_ours(code: &str) -> bool {
    code.starts_with("--") || code.starts_with("s3dav ")
}

fn options_in(code: &str) -> Vec<String> {
    let words = code.split([' ', '=', '[', ']', ',', '(', ')']).filter_map(|word| word.strip_prefix("--"));
    words.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn collect(command: &Command, known: &mut BTreeSet<String>) {
    known.extend(command.get_arguments().filter_map(Arg::get_long).map(str::to_owned));
    known.extend(command.get_arguments().filter_map(Arg::get_all_aliases).flatten().map(str::to_owned));
    command.get_subcommands().for_each(|command| collect(command, known));
}

fn reference() -> String {
    let mut program = Cli::command();
    program.build();
    let serve = names(program.find_subcommand("serve").unwrap());
    let mut text = String::new();
    section(&program, "s3dav", &BTreeSet::new(), &mut text);
    for command in program.get_subcommands() {
        add(command, "s3dav", &serve, &mut text);
    }
    text
}

/// A command and those below it; of those that take the options of `serve` only what is more.
fn add(command: &Command, above: &str, serve: &BTreeSet<String>, text: &mut String) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = format!("{above} {}", command.get_name());
    let takes_all = command.get_name() != "serve" && names(command).is_superset(serve);
    section(command, &name, if takes_all { serve } else { &NONE }, text);
    if takes_all {
        text.push_str("\nIt also takes the options of [`s3dav serve`](#s3dav-serve).\n");
    }
    command.get_subcommands().for_each(|below| add(below, &name, serve, text));
}

/// Of container engines, and of what validates manifests.
const FOREIGN: &[&str] = &["privileged", "cap-add", "security-opt", "user", "tmpfs", "strict"];
static NONE: BTreeSet<String> = BTreeSet::new();

fn names(command: &Command) -> BTreeSet<String> {
    shown(command).filter_map(Arg::get_long).map(str::to_owned).collect()
}

fn shown(command: &Command) -> impl Iterator<Item = &Arg> {
    let is_known = |option: &&Arg| matches!(option.get_id().as_str(), "help" | "version");
    command.get_arguments().filter(move |option| !option.is_hide_set() && !is_known(option))
}

fn section(command: &Command, name: &str, without: &BTreeSet<String>, text: &mut String) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let is_of_program = name == "s3dav";
    let options: Vec<&Arg> = shown(command)
        // Those of the program are taken by every command.
        .filter(|option| is_of_program || !option.is_global_set())
        .filter(|option| !option.get_long().is_some_and(|long| without.contains(long)))
        .collect();
    let (title, about) = if is_of_program {
        ("## Options of every command".to_owned(), "Every command takes these.\n".to_owned())
    } else {
        (format!("## `{name}`"), format!("{about}.\n"))
    };
    _ = write!(text, "\n{title}\n\n{about}");
    if options.is_empty() {
        return;
    }
    text.push_str("\n| option | meaning | default |\n|---|---|---|\n");
    for option in options {
        _ = writeln!(text, "{}", row(option));
    }
}

fn row(option: &Arg) -> String {
    let value =
        option.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>();
    let takes = option.get_action().takes_values();
    let values: Vec<String> =
        option.get_possible_values().iter().filter(|value| !value.is_hide_set()).map(choice).collect();
    let is_choice = takes && !values.is_empty() && values != ["`true`", "`false`"];
    let mut spelled = match option.get_long() {
        Some(long) => format!("--{long}"),
        None => String::new(),
    };
    if takes && !value.is_empty() {
        spelled = format!("{spelled} {}", value.join(" ")).trim().to_owned();
    }
    let short = option.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let help = option.get_long_help().or(option.get_help()).map(ToString::to_string).unwrap_or_default();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let (help, told) = match help.split_once(" [default: ") {
        Some((help, told)) => (help.to_owned(), told.trim_end_matches(']').to_owned()),
        None => (help, String::new()),
    };
    let choices = if is_choice { format!(": {}", values.join(", ")) } else { String::new() };
    let defaults: Vec<String> =
        option.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
    let default = if takes && !defaults.is_empty() { defaults.join(", ") } else { told };
    format!("| {short}`{spelled}` | {help}{choices} | {default} |")
}

/// A value that may be chosen, and what it means.
fn choice(value: &clap::builder::PossibleValue) -> String {
    match value.get_help() {
        Some(help) => format!("`{}` ({help})", value.get_name()),
        None => format!("`{}`", value.get_name()),
    }
}

const BEGIN: &str = "<!-- options: begin -->";
const END: &str = "<!-- options: end -->";

#[test]
fn every_option_is_also_an_environment_variable() {
    let program = Cli::command();
    for option in
        shown(program.find_subcommand("serve").unwrap()).filter(|option| option.get_long().is_some())
    {
        let name = option.get_long().unwrap_or_default();
        let variable = format!("S3DAV_{}", name.to_uppercase().replace('-', "_"));
        assert_eq!(option.get_env().and_then(|env| env.to_str()), Some(&*variable), "--{name}");
    }
}

#[test]
fn what_starts_gateways_takes_the_options_of_serve() {
    let program = Cli::command();
    let serve = names(program.find_subcommand("serve").unwrap());
    let below = |names: [&str; 2]| program.find_subcommand(names[0])?.find_subcommand(names[1]);
    let others = [program.find_subcommand("mount"), below(["service", "install"]), below(["config", "show"])];
    for command in others.map(Option::unwrap) {
        assert!(names(command).is_superset(&serve), "{}", command.get_name());
    }
}
