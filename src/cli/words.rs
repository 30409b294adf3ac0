//! The words of `serve` and `mount` that say without an option what is served, and where it is mounted.
//!
//! What exists on disk never decides how a word is read: the same command line means the same thing everywhere.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::serve::served_names;
use super::{Command, ConfigCommand, Layer, Origin, ResolvedOption, ServeArgs, ServiceCommand};
use crate::bucket_spec::BucketSpec;
use crate::mistake::Mistake;

/// What the words mean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Meaning {
    source: Option<Named>,
    mountpoint: Option<PathBuf>,
}

/// What is served, by its word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Buckets(Vec<String>),
    Directory(PathBuf),
}

/// How far the words can be understood.
#[derive(Debug)]
pub(super) enum Reading {
    Done(Meaning),
    /// A bucket, unless the configuration file names what is served: then a mount point.
    ByFile(OsString),
}

/// Reads the words of a command line. `matches`: of its innermost command.
pub(super) fn read(command: &mut Command, matches: &ArgMatches) -> Result<Reading, Mistake> {
    let Some((serve, point)) = parts(command) else { return Ok(Reading::Done(Meaning::default())) };
    let (mounts, mountpoint) = (point.is_some(), point.and_then(|point| point.clone()));
    let names_stack = matches.try_contains_id("stack").is_ok_and(|is_given| is_given);
    if let (true, Some(option)) = (names_stack, given_by(matches, &[ValueSource::CommandLine]).first()) {
        let message = format!("--stack and --{option} both say what to mount");
        return Err(Mistake { message, hint: Some("leave one of them out".to_owned()) });
    }
    let Some(word) = serve.what.clone() else { return Ok(Reading::Done(Meaning::default())) };
    if mounts && mountpoint.is_none() && !is_bucket_for_certain(&word) {
        if is_path(&word)
            || names_stack
            || !given_by(matches, &[ValueSource::CommandLine, ValueSource::EnvVariable]).is_empty()
        {
            return Ok(Reading::Done(Meaning { source: None, mountpoint: Some(word.into()) }));
        }
        return Ok(Reading::ByFile(word));
    }
    let by_option = given_by(matches, &[ValueSource::CommandLine]);
    if let Some(option) = by_option.first().map(String::as_str).or(names_stack.then_some("stack")) {
        let message = format!("{word:?} and --{option} both say what to serve");
        return Err(Mistake { message, hint: Some("leave one of them out".to_owned()) });
    }
    let source = source(&word)?;
    if let (Named::Directory(directory), Some(option)) = (&source, option_of_buckets(matches)) {
        let message = format!("--{option} is for buckets, and {} is a directory", directory.display());
        return Err(Mistake { message, hint: Some("leave one of them out".to_owned()) });
    }
    Ok(Reading::Done(Meaning { source: Some(source), mountpoint }))
}

/// Reads the word that depends on the file.
pub(super) fn by_file(word: OsString, layer: &Layer) -> Result<Meaning, Mistake> {
    if served_names().iter().any(|name| layer.contains_key(name)) {
        return Ok(Meaning { source: None, mountpoint: Some(word.into()) });
    }
    Ok(Meaning { source: Some(source(&word)?), mountpoint: None })
}

impl Meaning {
    /// Makes options of the words. What the environment says is served is not.
    pub(super) fn apply(&self, command: &mut Command) {
        let Some((serve, mountpoint)) = parts(command) else { return };
        serve.what = None;
        if let Some(place) = mountpoint {
            place.clone_from(&self.mountpoint);
        }
        if let Some(source) = &self.source {
            source.apply(serve);
        }
    }

    /// The same in the list of options.
    pub(super) fn note(&self, given: &mut [ResolvedOption]) {
        let Some(source) = &self.source else { return };
        let values = |name: &str| match (source, name) {
            (Named::Buckets(buckets), "bucket") => buckets.clone(),
            (Named::Directory(directory), "path") => vec![directory.to_string_lossy().into_owned()],
            _ => Vec::new(),
        };
        let served = served_names();
        for option in given.iter_mut().filter(|option| served.contains(&option.name)) {
            option.values = values(&option.name);
            let is_empty = option.values.is_empty();
            option.origin = if is_empty { Origin::Default } else { Origin::CommandLine };
        }
    }
}

impl Named {
    fn apply(&self, serve: &mut ServeArgs) {
        serve.s3files.file_system.id = None;
        (serve.bucket, serve.path, serve.file.source) = match self {
            Self::Buckets(buckets) => (buckets.clone(), None, None),
            Self::Directory(directory) => (Vec::new(), Some(directory.clone()), None),
        };
    }
}

/// Where a command keeps what its words say: the options of `serve`, and the mount point if it mounts.
fn parts(command: &mut Command) -> Option<(&mut ServeArgs, Option<&mut Option<PathBuf>>)> {
    match command {
        Command::Serve(serve) => Some((serve, None)),
        Command::Mount(mount) => Some((&mut mount.serve, Some(&mut mount.mountpoint))),
        Command::Service(service) => match &mut service.command {
            ServiceCommand::Install(mount) => Some((&mut mount.serve, Some(&mut mount.mountpoint))),
            _ => None,
        },
        Command::Config(config) => {
            let ConfigCommand::Show(serve) = &mut config.command;
            Some((serve, None))
        }
        _ => None,
    }
}

/// What a word that names a source names.
fn source(word: &OsStr) -> Result<Named, Mistake> {
    if is_path(word) {
        return Ok(Named::Directory(word.into()));
    }
    let text = word.to_string_lossy();
    if text.contains('/') && !is_bucket_for_certain(word) {
        let plain = text.trim_end_matches('/');
        return Err(Mistake {
            message: format!("{text:?} may be a bucket or a directory"),
            hint: Some(format!("write s3://{plain} for the bucket, or ./{plain} for the directory")),
        });
    }
    if is_file_system(&text) {
        return Err(Mistake {
            message: format!("{text:?} looks like a file system of Amazon S3 Files, not like a bucket"),
            hint: Some(format!("write --s3files {text}, or s3://{text} for a bucket of that name")),
        });
    }
    Ok(Named::Buckets(text.split(',').map(str::to_owned).collect()))
}

/// `fs-` and 8 or 17 digits in hexadecimal, as AWS makes them.
fn is_file_system(text: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let digits = text.strip_prefix("fs-").filter(|digits| digits.chars().all(is_digit));
    digits.is_some_and(|digits| matches!(digits.len(), 8 | 17))
}

/// No directory would be written so.
fn is_bucket_for_certain(word: &OsStr) -> bool {
    let text = word.to_string_lossy();
    text.starts_with("arn:") || text.contains("://") || BucketSpec::meant(&text).is_some()
}

/// `/a`, `./a`, `../a`, `.` and `..`.
fn is_path(word: &OsStr) -> bool {
    let first = Path::new(word).components().next();
    matches!(first, Some(Component::RootDir | Component::CurDir | Component::ParentDir))
}

/// The options that say what is served, and come from there.
fn given_by(matches: &ArgMatches, origins: &[ValueSource]) -> Vec<String> {
    let is_from = |name: &String| matches.value_source(name).is_some_and(|origin| origins.contains(&origin));
    served_names().into_iter().filter(is_from).collect()
}

/// An option of the command line that does not go with a directory.
fn option_of_buckets(matches: &ArgMatches) -> Option<String> {
    let mut present = matches.get_many::<clap::Id>("S3Args")?;
    let is_typed = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    present.find(is_typed).map(|id| id.as_str().replace('_', "-"))
}
