//! The log: standard error or a file, as text or JSON lines.
//!
//! Nothing here or elsewhere logs a header, a credential or a body; keys and paths are data of the
//! user and appear where they explain an event.

pub mod panics;
mod rarely;
mod rotating;
mod standard_error;

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing_subscriber::filter::{ParseError, filter_fn};
use tracing_subscriber::fmt::time::UtcTime;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::named::names;

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

/// As the log has time spans: numbers, to the thousandth of a millisecond.
pub fn milliseconds(time: Duration) -> f64 {
    // Below 2^53 µs, which is 285 years, it is exact.
    time.as_micros() as f64 / 1000.0
}

/// Why the program ends, as a line of a log in JSON.
pub fn as_line(error: &str, hint: Option<&str>, exit_code: u8) -> String {
    let mut fields = serde_json::json!({ "message": "s3dav failed", "error": error, "exit_code": exit_code });
    if let Some(hint) = hint {
        fields["hint"] = hint.into();
    }
    let time = time::OffsetDateTime::now_utc().format(TIME).unwrap_or_default();
    serde_json::json!({ "timestamp": time, "level": "ERROR", "fields": fields, "target": "s3dav" })
        .to_string()
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

names!(LogFormat { Text = "text", Json = "json" });

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
    #[error("the log file cannot be written")]
    File(#[source] io::Error),
}

/// Sets the log up for the whole process; a second call does nothing.
///
/// `verbosity`: 0 = info; 1 = debug of this program, 2 and more = trace; -1 = warnings, -2 and less = errors.
/// `S3DAV_LOG` overrides it with a filter in the syntax of tracing's `EnvFilter`.
pub fn start(format: LogFormat, verbosity: i16, place: Place<'_>) -> Result<(), LogError> {
    let filter = filter(verbosity)?;
    let builder = tracing_subscriber::fmt()
        // It would tell on standard error, and panic where that is gone.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_target(verbosity > 0)
        .with_timer(UtcTime::new(TIME));
    let (writer, has_colours) = match place {
        Place::StandardError => (BoxMakeWriter::new(io::stderr), has_colours()),
        Place::HastyStandardError => (BoxMakeWriter::new(|| Hasty), has_colours()),
        Place::File(file) => {
            panics::log();
            (BoxMakeWriter::new(Mutex::new(Rotating::open(file).map_err(LogError::File)?)), false)
        }
    };
    let builder = builder.with_writer(writer).with_ansi(has_colours);
    // A failure means that a log is running already, which is what was asked for.
    let _ = match format {
        LogFormat::Json => builder.json().finish().with(bodies()).try_init(),
        LogFormat::Text => builder.finish().with(bodies()).try_init(),
    };
    Ok(())
}

/// Whether what is written to standard error is coloured, by the same rule as clap's messages: on a terminal that
/// can, unless `NO_COLOR` is set.
pub fn has_colours() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

fn filter(verbosity: i16) -> Result<EnvFilter, LogError> {
    // The libraries warn of what is told by us, with a hint, where it matters.
    let ours = match verbosity {
        ..=-2 => "error",
        -1 => "warn",
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

/// Leaves out what the SDK says of all that it sends and gets, whatever the user's filter: S3 names a session token
/// that has expired.
fn bodies<S: tracing::Subscriber>() -> impl Layer<S> {
    filter_fn(|meta| *meta.level() < tracing::Level::TRACE || !meta.target().starts_with("aws_"))
}

/// RFC 3339, in milliseconds.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
/// The variable that holds a filter of the user's own.
const FILTER: &str = "S3DAV_LOG";
