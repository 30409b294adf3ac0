//! Parses, runs, and prints what went wrong.

#![allow(clippy::print_stderr)]

use std::process::ExitCode;

use s3dav::cli::{self, Invocation, ParseError};
use s3dav::commands::{self, CommandError};
use s3dav::config::file;
use s3dav::logging::with_causes;

fn main() -> ExitCode {
    let invocation = match invocation() {
        Ok(invocation) => invocation,
        Err(failure) => return report(&failure),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // A second belt against deeply nested XML: the engine's parser recurses.
        .thread_stack_size(32 << 20)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the program cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(commands::run(invocation));
    // A call that hangs on a disk that is away would keep the process from ending.
    runtime.shutdown_background();
    match outcome {
        Ok(ended) => ExitCode::from(ended.exit_code()),
        Err(failure) => report(&failure),
    }
}

/// What the command line, the environment and the configuration file say; ends the program where it asks for
/// help.
fn invocation() -> Result<Invocation, CommandError> {
    cli::parse(std::env::args_os(), file::layer).map_err(|error| match error {
        ParseError::CommandLine(error) => error.exit(),
        ParseError::File(mistake) => mistake.into(),
        ParseError::Value(text) => file::wrong_value(text).into(),
    })
}

fn report(failure: &CommandError) -> ExitCode {
    eprintln!("error: {}", with_causes(failure.error.as_ref()));
    if let Some(hint) = &failure.hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(failure.exit_code)
}
