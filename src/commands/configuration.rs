//! `s3dav config`.

use super::CommandError;
use crate::cli::{ConfigArgs, ConfigCommand, FileArgs, Kind, Origin, ResolvedOption, default_in_words};
use crate::config::{Config, file};

/// Prints each option as it would stand in the configuration file, and who gave its value.
pub(super) fn run(args: ConfigArgs, given: &[ResolvedOption]) -> Result<(), CommandError> {
    let ConfigCommand::Show(serve) = args.command;
    let path = serve.file.config.clone().or_else(file::default_path);
    let path = path.map(|path| path.display().to_string()).unwrap_or_default();
    for option in given.iter().filter(|option| !option.is_of::<FileArgs>()) {
        say!("{}", line(option, &path));
    }
    // What `serve` would refuse is refused here, too.
    Config::of_serve(*serve)?;
    Ok(())
}

fn line(option: &ResolvedOption, path: &str) -> String {
    let origin = match &option.origin {
        Origin::CommandLine => "command line".to_owned(),
        Origin::Environment(variable) => variable.clone(),
        Origin::File => path.to_owned(),
        Origin::Default => "default".to_owned(),
    };
    let texts: Vec<String> =
        option.values.iter().map(|value| format!("{:?}", without_secrets(value))).collect();
    match texts.as_slice() {
        [] => match default_in_words(&option.name) {
            Some(words) => format!("# {} is not set; default: {words}", option.name),
            None => format!("# {} is not set", option.name),
        },
        _ if matches!(option.kind, Kind::Flag | Kind::Truth) => {
            format!("{} = {}  # {origin}", option.name, option.values.join(""))
        }
        [only] => format!("{} = {only}  # {origin}", option.name),
        several => format!("{} = [{}]  # {origin}", option.name, several.join(", ")),
    }
}

/// Of a URL with a name and a password in it.
fn without_secrets(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}{path}"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden() {
        assert_eq!(without_secrets("https://me:s3cret@minio/x@y"), "https://…@minio/x@y");
        assert_eq!(without_secrets("https://minio/x@y"), "https://minio/x@y");
        assert_eq!(without_secrets("photos@home"), "photos@home");
    }
}
