//! `s3dav stack`, and `s3dav mount --stack`: CloudFormation, ECS and SSM by the AWS command line.

mod change;
mod ending;
mod handle;
mod mounting;
mod preflight;
mod reasons;
mod relayed;
mod status;
mod up;
mod wanted;

use super::CommandError;
use crate::cli::{StackArgs, StackCommand};
use crate::iam;
use crate::stack::{NoValue, TEMPLATE};

pub(super) use mounting::mount;

pub(super) async fn run(args: StackArgs) -> Result<(), CommandError> {
    match args.command {
        StackCommand::Template { iam: true } => say!("{}", iam::of_deployer()),
        StackCommand::Template { iam: false } => say!("{}", TEMPLATE.trim_end()),
        StackCommand::Up(args) => up::run(*args).await?,
        StackCommand::Status(args) => status::run(args).await?,
        StackCommand::Stop(args) => ending::stop(args).await?,
        StackCommand::Start(args) => ending::start(args).await?,
        StackCommand::Down(args) => ending::down(args).await?,
    }
    Ok(())
}

/// A mistake on the command line.
fn mistaken(mistake: NoValue) -> CommandError {
    let hint = mistake.hint;
    CommandError { exit_code: 2, ..CommandError::hinted(mistake, hint) }
}
