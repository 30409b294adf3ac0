//! The log: standard error or a file, as text or JSON lines.
//!
//! Nothing here or elsewhere logs a header, a credential or a body; keys and paths are data of the
//! user and appear where they explain an event.

pub mod panics;
mod rarely;
mod rotating;
mod standard_error;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::time::UtcTime;

pub use rarely::Rarely;
use rotating::Rotating;
use standard_error::Hasty;

/// What went wrong and why, in a line; what an error says of its cause itself is not said again.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Where the log goes.
#[derive(Debug, Clone, Copy)]
pub enum Place<'f> {
    StandardError,
    /// The same for a process that must not wait for whoever reads it: what is not taken at once is left out.
    HastyStandardError,
    File(&'f Path),
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{FILTER}={text:?} cannot be read")]
    Filter { text: String, source: ParseError },
    #[error("the log cannot be written there")]
    File(#[from] io::Error),
}

/// Sets the log up for the whole process; a second call does nothing.
///
/// `verbosity`: 0 = info, 1 = debug of this program, 2 and more = trace. `S3DAV_LOG` overrides it
/// with a filter in the syntax of tracing's `EnvFilter`.
pub fn start(format: LogFormat, verbosity: u8, place: Place<'_>) -> Result<(), LogError> {
    let filter = filter(verbosity)?;
    let builder = tracing_subscriber::fmt()
        // It would tell on standard error, and panic where that is gone.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_target(verbosity > 0)
        .with_timer(UtcTime::rfc_3339());
    if matches!(place, Place::File(_)) {
        panics::log();
    }
    // A failure means that a log is running already, which is what was asked for.
    let _ = match (format, place) {
        (LogFormat::Json, Place::StandardError) => builder.with_writer(io::stderr).json().try_init(),
        (LogFormat::Json, Place::HastyStandardError) => builder.with_writer(|| Hasty).json().try_init(),
        (LogFormat::Json, Place::File(file)) => {
            builder.with_writer(Mutex::new(Rotating::open(file)?)).json().try_init()
        }
        (LogFormat::Text, Place::StandardError) => {
            builder.with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).try_init()
        }
        (LogFormat::Text, Place::HastyStandardError) => {
            builder.with_writer(|| Hasty).with_ansi(io::stderr().is_terminal()).try_init()
        }
        (LogFormat::Text, Place::File(file)) => {
            builder.with_writer(Mutex::new(Rotating::open(file)?)).with_ansi(false).try_init()
        }
    };
    Ok(())
}

fn filter(verbosity: u8) -> Result<EnvFilter, LogError> {
    // The libraries warn of what is told by us, with a hint, where it matters.
    let ours = match verbosity {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let default = format!("error,s3dav={ours},aws_config=off,dav_server=off,s3s=off");
    let given = std::env::var_os(FILTER).map(|text| text.to_string_lossy().into_owned());
    match given.filter(|text| !text.is_empty()) {
        Some(text) => EnvFilter::try_new(&text).map_err(|source| LogError::Filter { text, source }),
        None => Ok(EnvFilter::new(default)),
    }
}

/// The variable that holds a filter of the user's own.
const FILTER: &str = "S3DAV_LOG";
