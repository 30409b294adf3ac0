//! Parses, runs, and prints what went wrong.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use s3dav::cli::{self, Invocation, ParseError};
use s3dav::commands::{self, CommandError};
use s3dav::config::file;
use s3dav::logging::LogFormat;
use s3dav::logging::{as_line, has_colours, with_causes};
use s3dav::mistake::Mistake;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let format = cli::log_format(&arguments);
    match invocation(arguments, format).and_then(commands::run) {
        Ok(ended) => ExitCode::from(ended.exit_code()),
        Err(CommandError { error, hint, exit_code }) => {
            report(&with_causes(error.as_ref()), hint.as_deref(), exit_code, format);
            ExitCode::from(exit_code)
        }
    }
}

/// What the command line, the environment and the configuration file say; ends the program where it asks for
/// help.
fn invocation(arguments: Vec<OsString>, format: LogFormat) -> Result<Invocation, CommandError> {
    cli::parse(arguments, file::layer).map_err(|error| match error {
        ParseError::CommandLine(error) => {
            if let (LogFormat::Json, Some(Mistake { message: text, hint })) = (format, cli::mistake(&error)) {
                report(&text, hint.as_deref(), MISUSE, format);
                std::process::exit(MISUSE.into());
            }
            error.exit()
        }
        ParseError::File(mistake) | ParseError::Words(mistake) => mistake.into(),
        ParseError::Value(text) => file::wrong_value(text).into(),
    })
}

/// Says why the program ends, in a line of JSON where the log is that.
fn report(error: &str, hint: Option<&str>, exit_code: u8, format: LogFormat) {
    // Nobody may be reading.
    let mut stderr = std::io::stderr();
    if format == LogFormat::Json {
        let _ = writeln!(stderr, "{}", as_line(error, hint, exit_code));
        return;
    }
    let [failed, next] = if has_colours() {
        ["\x1b[1m\x1b[31merror:\x1b[0m", "\x1b[1mhint:\x1b[0m"]
    } else {
        ["error:", "hint:"]
    };
    let _ = writeln!(stderr, "{failed} {error}");
    if let Some(hint) = hint {
        let _ = writeln!(stderr, "{next} {hint}");
    }
}

/// The exit code of mistakes in the command line, as clap has it.
const MISUSE: u8 = 2;
