//! The commands, one a file: the only place where the layers are put together.

/// Prints a line; that nobody reads any more is no failure.
macro_rules! say {
    ($($format:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($format)*);
    }};
}

/// The same on standard error.
macro_rules! tell {
    ($($format:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($format)*);
    }};
}

mod answering;
mod asking;
mod attempt;
mod closing;
mod configuration;
mod container;
mod container_build;
mod control_handler;
#[cfg(feature = "demo")]
mod demo;
mod documents;
mod drain;
#[cfg(feature = "demo")]
mod embedded_s3;
mod ending;
mod environment;
mod exported;
pub mod gateway;
mod greeting;
mod health;
mod hints;
mod hold;
mod iam;
mod kept_mount;
mod listeners;
mod mount;
mod orphans;
mod owners;
mod pending;
mod predecessor;
mod prefix;
mod restart;
mod running;
mod serve;
mod service;
mod share;
mod shelf;
mod spawned;
mod stack;
mod startup;
mod states;
mod status;
mod stop;
mod unclaimed;
mod unmount;
mod unsent;
mod words;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

use crate::aws_cli::AwsCliError;
use crate::cli::{Cli, Command, Invocation, LogArgs, ResolvedOption};
use crate::container::{EngineError, Failure, OptionError};
use crate::control::ControlError;
use crate::fs::sidecar::ExportError;
use crate::logging::{self, LogError};
use crate::mistake::Mistake;
use crate::mount::MountError;
use crate::parent::START_ANEW;
use crate::service::ServiceError;
use crate::state::StateError;
use crate::store::StoreError;
use serve::Role;

/// Why a command ended badly, and what can be done.
#[derive(Debug)]
pub struct CommandError {
    pub error: anyhow::Error,
    pub hint: Option<String>,
    /// 2 for mistakes in the options, those of the table for the steps of a container, 1 for everything else.
    pub exit_code: u8,
}

impl<E: Into<anyhow::Error>> From<E> for CommandError {
    fn from(error: E) -> Self {
        let error = error.into();
        if let Some(mistake) = error.downcast_ref::<Mistake>() {
            let hint = mistake.hint.clone();
            return Self { error, hint, exit_code: 2 };
        }
        if let Some(mistake) = error.downcast_ref::<OptionError>() {
            let hint = Some(mistake.hint.to_owned());
            return Self { error, hint, exit_code: 2 };
        }
        if let Some(failure) = error.downcast_ref::<Failure>() {
            let (hint, exit_code) = (Some(failure.row().fix.to_owned()), failure.row().code);
            return Self { error, hint, exit_code };
        }
        let hint = error.chain().find_map(hint);
        Self { error, hint, exit_code: 1 }
    }
}

impl CommandError {
    fn hinted(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> Self {
        Self { error: error.into(), hint: Some(hint.into()), exit_code: 1 }
    }
}

/// The next step after an error of one of the layers.
fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<MountError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<ServiceError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<StateError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<AwsCliError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<EngineError>() {
        return Some(error.hint());
    }
    if let Some(ExportError::Exists { .. }) = cause.downcast_ref() {
        return Some("name another directory, or move that file away".to_owned());
    }
    cause.downcast_ref::<ControlError>()?.hint().map(str::to_owned)
}

/// How a command ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Well,
    /// A gateway is to be started in its place.
    ToStartAnew,
    /// Like the gateway that it held the sockets of.
    As(u8),
}

impl Ended {
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::ToStartAnew => START_ANEW,
            Self::As(code) => code,
        }
    }
}

/// Runs what the command line says, to its end.
pub fn run(Invocation { cli, given }: Invocation) -> Result<Ended, CommandError> {
    let Cli { command, log } = cli;
    let role = match &command {
        Command::Serve(args) => serve::role(args)?,
        _ => Role::default(),
    };
    environment::check(&command, &role)?;
    // The gateway that these start logs there.
    let starts_another = matches!(command, Command::Mount(_) | Command::Service(_) | Command::Container(_))
        || role.is_parent();
    let file = log.log_file.as_deref().filter(|_| !starts_another);
    let place = match file {
        Some(file) => logging::Place::File(file),
        None if role.is_parent() => logging::Place::HastyStandardError,
        None => logging::Place::StandardError,
    };
    logging::start(log.log_format, log.verbosity(), place).map_err(no_log)?;
    let runtime = runtime(&role).context("the program cannot start")?;
    let outcome = runtime.block_on(carry_out(command, role, &given, &log));
    // A call that hangs on a disk that is away would keep the process from ending.
    runtime.shutdown_background();
    if let (Err(failure), Some(_)) = (&outcome, file) {
        // Who looks for the reason looks there.
        let error = logging::with_causes(failure.error.as_ref());
        tracing::error!(error, hint = failure.hint, exit_code = failure.exit_code, "s3dav failed");
    }
    outcome
}

fn no_log(error: LogError) -> CommandError {
    match error {
        LogError::Filter { .. } => {
            let hint = "give a level, or targets with levels, e.g. S3DAV_LOG=s3dav=debug,hyper=info";
            CommandError { exit_code: 2, ..CommandError::hinted(error, hint) }
        }
        LogError::File(_) => error.into(),
    }
}

/// Threads that do the work; a parent has next to none.
fn runtime(role: &Role) -> std::io::Result<Runtime> {
    if role.is_parent() {
        return Builder::new_current_thread().enable_all().build();
    }
    // A second belt against deeply nested XML: the engine's parser recurses.
    Builder::new_multi_thread().enable_all().thread_stack_size(32 << 20).build()
}

async fn carry_out(
    command: Command,
    role: Role,
    given: &[ResolvedOption],
    log: &LogArgs,
) -> Result<Ended, CommandError> {
    let done = match command {
        Command::Serve(args) => return serve::run(*args, role, given, log).await,
        Command::Mount(args) => stack::mount(*args, given, log).await,
        Command::Container(args) => return container::run(*args, given, log).await,
        Command::Unmount(args) => unmount::run(args).await,
        Command::Service(args) => service::run(args, given, log).await,
        Command::Config(args) => configuration::run(args, given),
        Command::IamPolicy(args) => iam::run(args),
        Command::Completions { shell } => {
            documents::complete(shell);
            Ok(())
        }
        Command::ManPages { directory } => documents::write_man_pages(&directory),
        Command::CheckMount { path } => std::process::exit(crate::mount::ask_now(&path).into()),
        Command::Status(args) => status::run(args).await,
        Command::Health(args) => health::run(args).await,
        Command::Stop(args) => stop::run(args).await,
        Command::Restart(args) => restart::run(args).await,
        Command::Stack(args) => stack::run(args).await,
        Command::Pending(args) => pending::run(args).await,
        Command::Drain(args) => drain::run(args).await,
        Command::Shelf(args) => shelf::run(args).await,
        Command::State(args) => states::run(args).await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => return demo::run(args).await,
        #[cfg(feature = "demo")]
        Command::EmbeddedS3(args) => embedded_s3::run(args).await,
    };
    done.map(|()| Ended::Well)
}
