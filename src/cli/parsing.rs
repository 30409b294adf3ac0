//! Where the value of each option comes from: the command line, the environment, the configuration file, or
//! nowhere, in this order.
//!
//! What the file says is given to clap as the options' defaults, and the command line is read once more: so
//! that a value is read and refused in the same way wherever it stands.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches, Id};

use super::part::{self, OLD};
use super::resolved::{Kind, Layer, Origin, ResolvedOption};
use super::words::{self, Reading};
use super::{Cli, Command, ConfigCommand, FileArgs, ServeArgs, ServiceCommand};
use super::{manual, mistakes};
use crate::mistake::Mistake;

/// A command line that has been understood.
#[derive(Debug)]
pub struct Invocation {
    pub cli: Cli,
    /// The options of `serve`, if the command takes them, in the order of its help.
    pub given: Vec<ResolvedOption>,
}

/// Why a command line cannot be carried out.
#[derive(Debug)]
pub enum ParseError<E> {
    /// It is wrong, or asks for help.
    CommandLine(Box<clap::Error>),
    /// What stands in the file is wrong, in a line of words.
    Value(String),
    /// Its words cannot be understood.
    Words(Mistake),
    /// The file could not be used.
    File(E),
}

/// Reads a command line. `layer` gives what the file says, for those commands that use it.
pub fn parse<E>(
    arguments: impl IntoIterator<Item = OsString>,
    layer: impl FnOnce(&ServeArgs) -> Result<Layer, E>,
) -> Result<Invocation, ParseError<E>> {
    read_with(command(), arguments.into_iter().collect(), layer)
}

/// The same of a command line that was made of one: what the environment says is in it.
pub fn parse_again<E>(
    arguments: impl IntoIterator<Item = OsString>,
    layer: impl FnOnce(&ServeArgs) -> Result<Layer, E>,
) -> Result<Invocation, ParseError<E>> {
    let command = without_variables(Cli::command(), |_| true);
    read_with(command, arguments.into_iter().collect(), layer)
}

fn read_with<E>(
    command: clap::Command,
    arguments: Vec<OsString>,
    layer: impl FnOnce(&ServeArgs) -> Result<Layer, E>,
) -> Result<Invocation, ParseError<E>> {
    let (mut cli, matches) =
        read(command.clone(), &arguments).map_err(|error| match mistakes::endpoint(&error, &arguments) {
            Some(mistake) => ParseError::Words(mistake),
            None => ParseError::CommandLine(error),
        })?;
    let reading = words::read(&mut cli.command, innermost(&matches)).map_err(ParseError::Words)?;
    if let Reading::Done(meaning) = &reading {
        meaning.apply(&mut cli.command);
    }
    let Some(serve) = serve_args(&cli.command) else {
        // No file says what a container serves.
        let is_container = matches!(cli.command, Command::Container(_));
        let given = if is_container { given(Cli::command(), &matches, &Layer::new()) } else { Vec::new() };
        return Ok(Invocation { cli, given });
    };
    let layer = layer(serve).map_err(ParseError::File)?;
    let meaning = match reading {
        Reading::Done(meaning) => meaning,
        Reading::ByFile(word) => words::by_file(word, &layer).map_err(ParseError::Words)?,
    };
    let command = with_defaults(command, &layer);
    let (mut cli, matches) = read(command.clone(), &arguments).map_err(|error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        ParseError::Value(line.trim_start_matches("error: ").to_owned())
    })?;
    meaning.apply(&mut cli.command);
    let mut given = given(command, &matches, &layer);
    meaning.note(&mut given);
    Ok(Invocation { given, cli })
}

/// Those of the command that is carried out.
fn innermost(mut matches: &ArgMatches) -> &ArgMatches {
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    matches
}

/// The long names of `serve`'s options that may stand in a file.
pub fn option_names() -> Vec<String> {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").into_iter();
    let options = serve.flat_map(clap::Command::get_arguments).filter(|option| is_shown(option));
    let of_file: Vec<Id> = part::ids::<FileArgs>().collect();
    let options = options.filter(|option| !of_file.contains(option.get_id()));
    options.filter_map(|option| option.get_long().map(str::to_owned)).collect()
}

/// What holds for an option of `serve` that nobody gave, where its help says that in words.
pub fn default_in_words(name: &str) -> Option<String> {
    let command = Cli::command();
    let mut options = command.find_subcommand("serve")?.get_arguments();
    let help = options.find(|option| option.get_long() == Some(name))?.get_help()?.to_string();
    let (_, words) = help.rsplit_once("[default: ")?;
    Some(words.trim_end().trim_end_matches(']').to_owned())
}

fn read(mut command: clap::Command, arguments: &[OsString]) -> Result<(Cli, ArgMatches), Box<clap::Error>> {
    let matches = command.try_get_matches_from_mut(arguments);
    let matches = matches.map_err(|error| mistakes::naming_what_was_given(error, &command, arguments))?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok((cli, matches))
}

/// All commands. A variable that is empty is one that is not set, as for other programs.
fn command() -> clap::Command {
    without_variables(manual::explained(Cli::command()), |option| {
        option.get_env().is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()))
    })
}

pub(super) fn without_variables(command: clap::Command, is_unset: fn(&Arg) -> bool) -> clap::Command {
    command
        .mut_args(|option| if is_unset(&option) { option.env(None::<&'static str>) } else { option })
        .mut_subcommands(|command| without_variables(command, is_unset))
}

fn serve_args(command: &Command) -> Option<&ServeArgs> {
    match command {
        Command::Serve(serve) => Some(serve),
        Command::Mount(mount) => Some(&mount.serve),
        Command::Service(service) => match &service.command {
            ServiceCommand::Install(mount) => Some(&mount.serve),
            _ => None,
        },
        Command::Config(config) => {
            let ConfigCommand::Show(serve) = &config.command;
            Some(serve)
        }
        _ => None,
    }
}

fn with_defaults(command: clap::Command, layer: &Layer) -> clap::Command {
    let values = |option: &Arg| option.get_long().and_then(|name| layer.get(name)).cloned();
    command
        .mut_args(|option| match values(&option) {
            Some(values) => option.default_values(values),
            None => option,
        })
        .mut_subcommands(|subcommand| with_defaults(subcommand, layer))
}

fn given(mut command: clap::Command, matches: &ArgMatches, layer: &Layer) -> Vec<ResolvedOption> {
    // Hands the global options down, as reading did.
    command.build();
    let (mut command, mut matches) = (&command, matches);
    while let Some((name, inner)) = matches.subcommand() {
        let Some(found) = command.find_subcommand(name) else { return Vec::new() };
        (command, matches) = (found, inner);
    }
    let options = command.get_arguments().filter(|option| is_shown(option));
    options
        .filter_map(|option| {
            let name = option.get_long()?.to_owned();
            let id = option.get_id().as_str();
            let origin = match matches.value_source(id) {
                Some(ValueSource::CommandLine) => Origin::CommandLine,
                Some(ValueSource::EnvVariable) => {
                    let variable = option.get_env().unwrap_or_default();
                    Origin::Environment(variable.to_string_lossy().into_owned())
                }
                _ if layer.contains_key(&name) => Origin::File,
                _ => Origin::Default,
            };
            if is_old(option) && origin == Origin::Default {
                return None;
            }
            let (kind, values) = values(option, matches);
            Some(ResolvedOption { name, values, origin, kind })
        })
        .collect()
}

/// What was given for an option, however it was written.
fn values(option: &Arg, matches: &ArgMatches) -> (Kind, Vec<String>) {
    let (id, takes) = (option.get_id().as_str(), option.get_value_parser().type_id());
    if takes != TypeId::of::<bool>() {
        let kind = if takes == TypeId::of::<PathBuf>() { Kind::Path } else { Kind::Text };
        let raw = matches.get_raw(id).into_iter().flatten();
        return (kind, raw.map(|value| value.to_string_lossy().into_owned()).collect());
    }
    let is_flag = matches!(option.get_action(), ArgAction::SetTrue);
    let kind = if is_flag { Kind::Flag } else { Kind::Truth };
    (kind, matches.get_one::<bool>(id).iter().map(ToString::to_string).collect())
}

/// Options of `serve`, but for those that only the program itself gives.
fn is_shown(option: &Arg) -> bool {
    (!option.is_hide_set() || is_old(option))
        && !option.is_global_set()
        && !matches!(option.get_action(), ArgAction::Help | ArgAction::Version)
}

/// Whether another has replaced it: it still counts where somebody gives it.
fn is_old(option: &Arg) -> bool {
    option.get_help_heading() == Some(OLD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Size;

    fn layer(of: &[(&str, &[&str])]) -> Layer {
        let texts = |values: &[&str]| values.iter().map(ToString::to_string).collect();
        of.iter().map(|(name, values)| (name.to_string(), texts(values))).collect()
    }

    fn parsed(line: &str, file: Layer) -> Result<Invocation, ParseError<()>> {
        parse(line.split(' ').map(OsString::from), |_| Ok(file))
    }

    fn serve(line: &str, file: Layer) -> (ServeArgs, Vec<ResolvedOption>) {
        let Invocation { cli, given } = parsed(line, file).unwrap();
        (serve_args(&cli.command).unwrap().clone(), given)
    }

    #[test]
    fn options_stand_before_the_file_and_the_file_before_defaults() {
        let file = layer(&[("bucket", &["a", "b"]), ("cache-size", &["1MiB"]), ("read-only", &["true"])]);
        let (args, given) = serve("s3dav serve --cache-size 2MiB", file);
        assert_eq!((args.bucket.len(), args.cache_size, args.read_only), (2, Size(2 << 20), true));
        let of = |name: &str| given.iter().find(|option| option.name == name).unwrap();
        assert_eq!(of("cache-size").origin, Origin::CommandLine);
        assert_eq!(of("bucket").origin, Origin::File);
        assert_eq!(of("part-size").origin, Origin::Default);
        let arguments: Vec<String> = given.iter().flat_map(ResolvedOption::arguments).collect();
        assert_eq!(arguments, ["--bucket=a", "--bucket=b", "--cache-size=2MiB", "--read-only"]);
    }

    #[test]
    fn what_is_true_reaches_another_start_however_it_was_written() {
        for (written, expected) in [
            ("yes", &["--bucket=b", "--force-path-style", "--read-only"][..]),
            ("true", &["--bucket=b", "--force-path-style", "--read-only"]),
            ("no", &["--bucket=b", "--force-path-style=false"]),
        ] {
            let file = layer(&[("force-path-style", &[written]), ("read-only", &[written])]);
            let (args, given) = serve("s3dav serve --bucket=b", file);
            assert_eq!(args.read_only, written != "no");
            let arguments: Vec<String> = given.iter().flat_map(ResolvedOption::arguments).collect();
            assert_eq!(arguments, expected, "{written}");
        }
    }

    #[test]
    fn an_option_that_was_replaced_is_handed_on_and_otherwise_not_shown() {
        let (args, given) = serve("s3dav mount b --upload-spool=1GiB", layer(&[("spill-limit", &["2GiB"])]));
        assert_eq!((args.spill_limit, args.s3.upload_spool), (Some(Size(2 << 30)), Some(Size(1 << 30))));
        let arguments: Vec<String> = given.iter().flat_map(ResolvedOption::arguments).collect();
        assert_eq!(arguments, ["--bucket=b", "--upload-spool=1GiB", "--spill-limit=2GiB"]);
        let (_, given) = serve("s3dav serve b", layer(&[]));
        assert!(!given.iter().any(|option| ["upload-spool", "spill-limit"].contains(&&*option.name)));
    }

    #[test]
    fn a_wrong_value_of_the_file_is_the_files() {
        let wrong = parsed("s3dav serve", layer(&[("cache-size", &["5"])])).unwrap_err();
        let ParseError::Value(text) = wrong else { panic!("{wrong:?}") };
        assert!(text.contains("--cache-size") && text.contains("5MiB"), "{text}");
        assert!(matches!(parsed("s3dav serve --cache-size 5", layer(&[])), Err(ParseError::CommandLine(_))));
    }

    /// What is served, and where it is mounted.
    fn meant(line: &str, file: Layer) -> (String, String) {
        let Invocation { cli, given } = parsed(line, file).unwrap();
        let point = match &cli.command {
            Command::Mount(mount) => mount.mountpoint.clone(),
            _ => None,
        };
        let serve = serve_args(&cli.command).unwrap();
        let path = serve.path.as_ref().map(|path| path.display().to_string());
        let of_list = |name: &str| given.iter().find(|option| option.name == name).unwrap().values.join(",");
        assert_eq!(of_list("bucket"), serve.bucket.join(","), "{line}");
        assert_eq!(of_list("path"), path.clone().unwrap_or_default(), "{line}");
        let source = serve.bucket.join(",") + &path.unwrap_or_default();
        (source, point.map(|point| point.display().to_string()).unwrap_or_default())
    }

    #[test]
    fn words_say_what_is_served_and_where_it_is_mounted() {
        let file = || layer(&[("bucket", &["of-file"])]);
        for (line, source, point) in [
            ("serve photos", "photos", ""),
            ("serve s3://photos/2026", "s3://photos/2026", ""),
            ("serve arn:aws:s3:::photos", "arn:aws:s3:::photos", ""),
            ("serve a,b", "a,b", ""),
            ("serve ./photos", "./photos", ""),
            ("serve ..", "..", ""),
            ("serve /mnt", "/mnt", ""),
            ("mount photos", "photos", ""),
            ("mount photos there", "photos", "there"),
            ("mount s3://photos/2026 there/deep", "s3://photos/2026", "there/deep"),
            ("mount ./photos /mnt", "./photos", "/mnt"),
            ("mount --bucket b there", "b", "there"),
            ("mount --bucket b there/deep", "b", "there/deep"),
            ("mount --path /usr there", "/usr", "there"),
            ("mount /mnt", "", "/mnt"),
            ("mount --stack files there", "", "there"),
            ("mount --stack files", "", ""),
        ] {
            let (served, mounted) = meant(&format!("s3dav {line}"), layer(&[]));
            assert_eq!((&*served, &*mounted), (source, point), "{line}");
        }
        assert_eq!(meant("s3dav mount photos", file()), ("of-file".to_owned(), "photos".to_owned()));
        assert_eq!(meant("s3dav mount a/b", file()), ("of-file".to_owned(), "a/b".to_owned()));
        assert_eq!(meant("s3dav mount s3://b /mnt", layer(&[])), ("s3://b".to_owned(), "/mnt".to_owned()));
    }

    #[test]
    fn words_that_are_not_clear_are_refused() {
        for (line, expected) in [
            ("serve photos/2026", "s3://photos/2026 for the bucket, or ./photos/2026"),
            ("mount photos/2026", "s3://photos/2026 for the bucket, or ./photos/2026"),
            ("mount photos/2026 there", "s3://photos/2026 for the bucket, or ./photos/2026"),
            ("serve --bucket a b", "leave one"),
            ("serve --source a b", "leave one"),
            ("mount --path /a b /mnt", "leave one"),
            ("mount --bucket a s3://b", "leave one"),
            ("mount --stack files s3://b", "leave one"),
            ("mount --stack files there a", "leave one"),
            ("mount --stack files --bucket a", "leave one"),
            ("serve ./a --region eu-west-1", "leave one"),
        ] {
            let wrong = parsed(&format!("s3dav {line}"), layer(&[])).unwrap_err();
            let ParseError::Words(wrong) = wrong else { panic!("{line}: {wrong:?}") };
            assert!(wrong.hint.unwrap().contains(expected), "{line}: {}", wrong.message);
        }
    }

    #[test]
    fn what_a_file_may_hold() {
        let names = option_names();
        for name in ["bucket", "path", "mount", "auth", "no-browse"] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        for name in ["config", "source", "detached", "verbose", "help"] {
            assert!(names.iter().all(|known| known != name), "{name}");
        }
    }
}
