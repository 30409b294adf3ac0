//! The log: standard error, as text or JSON lines.
//!
//! Nothing here or elsewhere logs a header, a credential or a body; keys and paths are data of the
//! user and appear where they explain an event.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::UtcTime;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Sets the log up for the whole process; a second call does nothing.
///
/// `verbosity`: 0 = info, 1 = debug of this program, 2 and more = trace. `S3DAV_LOG` overrides it
/// with a filter in the syntax of tracing's `EnvFilter`.
pub fn start(format: LogFormat, verbosity: u8) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(verbosity))
        .with_writer(std::io::stderr)
        .with_target(verbosity > 0)
        .with_timer(UtcTime::rfc_3339());
    // A failure means that a log is running already, which is what was asked for.
    let _ = match format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
}

fn filter(verbosity: u8) -> EnvFilter {
    // The libraries warn of what is told by us, with a hint, where it matters.
    let ours = match verbosity {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let default = format!("error,s3dav={ours},aws_config=off,dav_server=off");
    EnvFilter::try_from_env("S3DAV_LOG").unwrap_or_else(|_| EnvFilter::new(default))
}
