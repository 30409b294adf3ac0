//! What is wrong with a command line, for people and for programs.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::logging::LogFormat;
use crate::mistake::Mistake;
use crate::named::NamedEnum;

/// The format of the log that a command line, or else the environment, asks for: what is wrong with the rest of it is
/// said in that format, too.
pub fn log_format(arguments: &[OsString]) -> LogFormat {
    let given = values_of(OPTION, arguments);
    let json = LogFormat::Json.name();
    let by_variable = || std::env::var_os(VARIABLE).is_some_and(|value| value == json);
    let is_json = if given.is_empty() { by_variable() } else { given.iter().any(|value| value == json) };
    if is_json { LogFormat::Json } else { LogFormat::Text }
}

/// What an option is given, after a space or a `=`, in a command line that may be wrong.
fn values_of(option: &str, arguments: &[OsString]) -> Vec<String> {
    let texts: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let after = texts.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].to_string());
    let joined =
        texts.iter().filter_map(|text| text.strip_prefix(option)?.strip_prefix('=').map(str::to_owned));
    after.chain(joined).collect()
}

/// The mistake that clap found; `None` if it was asked for help.
pub fn mistake(error: &clap::Error) -> Option<Mistake> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return None;
    }
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim);
    let first = lines.by_ref().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let tip = lines.find_map(|line| line.strip_prefix("tip: ")).map(str::to_owned);
    Some(Mistake { message: first.trim_start_matches("error: ").to_owned(), hint: tip })
}

/// Of an option that does not go with a group of others clap names the whole group; those that were given are meant.
pub(super) fn naming_what_was_given(
    mut error: clap::Error,
    command: &Command,
    arguments: &[OsString],
) -> clap::Error {
    let Some(ContextValue::Strings(all)) = error.get(ContextKind::PriorArg) else { return error };
    let given = all.iter().filter(|shown| is_given(shown, command, arguments)).cloned().collect::<Vec<_>>();
    if error.kind() == ErrorKind::ArgumentConflict && !given.is_empty() {
        let named = match <[String; 1]>::try_from(given) {
            Ok([only]) => ContextValue::String(only),
            Err(several) => ContextValue::Strings(several),
        };
        error.insert(ContextKind::PriorArg, named);
    }
    error
}

/// Whoever knows other programs of S3 writes `--endpoint URL`, which here is a host and needs a file system.
pub(super) fn endpoint(error: &clap::Error, arguments: &[OsString]) -> Option<Mistake> {
    let missing = error.get(ContextKind::InvalidArg)?.to_string();
    if error.kind() != ErrorKind::MissingRequiredArgument || !missing.contains("--s3files") {
        return None;
    }
    let url = values_of(ENDPOINT, arguments).into_iter().find(|value| value.contains("://"))?;
    Some(Mistake {
        message: "--endpoint is for --s3files".to_owned(),
        hint: Some(format!("did you mean --endpoint-url {url}?")),
    })
}

/// Whether an option, as clap shows it (`--region <NAME>`), is on the command line or in the environment.
fn is_given(shown: &str, command: &Command, arguments: &[OsString]) -> bool {
    let option = shown.split([' ', '=', '[']).next().unwrap_or_default();
    let is_it = |text: &OsString| text.to_string_lossy().split('=').next() == Some(option);
    arguments.iter().any(is_it) || is_in_environment(command, option.trim_start_matches('-'))
}

fn is_in_environment(command: &Command, long: &str) -> bool {
    let mut options = command.get_arguments().filter(|option| option.get_long() == Some(long));
    let is_set = options.any(|option| option.get_env().is_some_and(|name| std::env::var_os(name).is_some()));
    is_set || command.get_subcommands().any(|command| is_in_environment(command, long))
}

/// An earlier name of `--mount-target`.
const ENDPOINT: &str = "--endpoint";
const OPTION: &str = "--log-format";
const VARIABLE: &str = "S3DAV_LOG_FORMAT";

#[cfg(test)]
mod tests {
    use super::*;

    fn format(line: &str) -> LogFormat {
        log_format(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_format_is_known_whatever_else_is_wrong() {
        for line in ["s3dav serve --lsten --log-format json", "s3dav --log-format=json frob"] {
            assert_eq!(format(line), LogFormat::Json, "{line}");
        }
        for line in ["s3dav serve", "s3dav --log-format text json", "s3dav serve --bucket --log-format=jsn"] {
            assert_eq!(format(line), LogFormat::Text, "{line}");
        }
    }

    #[test]
    fn a_conflict_names_what_was_given() {
        let refused = |line: &str| {
            let arguments = line.split(' ').map(OsString::from);
            let parsed = super::super::parse(arguments, |_| Ok::<_, ()>(super::super::Layer::new()));
            let Err(super::super::ParseError::CommandLine(error)) = parsed else { panic!("{line}") };
            mistake(&error).unwrap().message
        };
        let one = refused("s3dav serve --path /a --region eu-west-1");
        assert_eq!(one, "the argument '--path <DIR>' cannot be used with '--region <NAME>'");
        let two = refused("s3dav serve --path /a --region=eu-west-1 --fips");
        assert_eq!(two, "the argument '--path <DIR>' cannot be used with: --region <NAME> --fips");
    }
}
