//! Parses, runs, and prints what went wrong.

use std::io::Write;
use std::process::ExitCode;

use s3dav::cli::{self, Invocation, ParseError};
use s3dav::commands::{self, CommandError};
use s3dav::config::file;
use s3dav::logging::with_causes;

fn main() -> ExitCode {
    match invocation().and_then(commands::run) {
        Ok(ended) => ExitCode::from(ended.exit_code()),
        Err(failure) => report(&failure),
    }
}

/// What the command line, the environment and the configuration file say; ends the program where it asks for
/// help.
fn invocation() -> Result<Invocation, CommandError> {
    cli::parse(std::env::args_os(), file::layer).map_err(|error| match error {
        ParseError::CommandLine(error) => error.exit(),
        ParseError::File(mistake) | ParseError::Words(mistake) => mistake.into(),
        ParseError::Value(text) => file::wrong_value(text).into(),
    })
}

fn report(failure: &CommandError) -> ExitCode {
    // Nobody may be reading.
    let mut stderr = std::io::stderr();
    let _ = writeln!(stderr, "error: {}", with_causes(failure.error.as_ref()));
    if let Some(hint) = &failure.hint {
        let _ = writeln!(stderr, "hint: {hint}");
    }
    ExitCode::from(failure.exit_code)
}
