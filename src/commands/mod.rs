//! The commands, one a file: the only place where the layers are put together.

#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "demo")]
mod embedded_s3;
pub mod gateway;
mod operator;
mod running;
mod serve;
mod share;
mod shelf;
mod startup;
mod status;
mod stop;

use crate::cli::{Cli, Command, LogFormat};
use crate::config::ConfigError;
use crate::logging;
use crate::store::StoreError;

/// Why a command ended badly, and what can be done.
#[derive(Debug)]
pub struct CommandError {
    pub error: anyhow::Error,
    pub hint: Option<String>,
    /// 2 for mistakes in the options, 1 for everything else.
    pub exit_code: u8,
}

impl<E: Into<anyhow::Error>> From<E> for CommandError {
    fn from(error: E) -> Self {
        let error = error.into();
        if let Some(mistake) = error.downcast_ref::<ConfigError>() {
            let hint = mistake.hint.clone();
            return Self { error, hint, exit_code: 2 };
        }
        let hint = error.chain().find_map(|cause| cause.downcast_ref::<StoreError>()?.hint());
        Self { error, hint, exit_code: 1 }
    }
}

impl CommandError {
    fn hinted(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> Self {
        Self { error: error.into(), hint: Some(hint.into()), exit_code: 1 }
    }
}

/// Runs what the command line says, to its end.
pub async fn run(cli: Cli) -> Result<(), CommandError> {
    let format = match cli.log_format {
        LogFormat::Text => logging::LogFormat::Text,
        LogFormat::Json => logging::LogFormat::Json,
    };
    logging::start(format, cli.verbose);
    match cli.command {
        Command::Serve(args) => serve::run(*args).await,
        Command::Status(args) => status::run(args).await,
        Command::Stop(args) => stop::run(args).await,
        Command::Shelf(args) => shelf::run(args).await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(args).await,
        #[cfg(feature = "demo")]
        Command::EmbeddedS3(args) => embedded_s3::run(args).await,
    }
}
