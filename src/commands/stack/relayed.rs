//! The two ways through the file system, by the relay of `s3dav mount --s3files`.

use super::super::CommandError;
use super::handle::Handle;
use crate::aws_cli::session_plugin;
use crate::cli::{Given, LogArgs, MountArgs};
use crate::stack::{Docker, Task};

/// Mounts the file system by a container on this machine, through the load balancer.
pub(super) async fn by_docker(
    docker: Docker,
    _args: MountArgs,
    _given: &[Given],
    _log: &LogArgs,
) -> Result<(), CommandError> {
    Err(CommandError::hinted(
        anyhow::anyhow!("{} is not mounted: the relay is missing", docker.file_system),
        "--via direct mounts the bucket",
    ))
}

/// Mounts what the gateway in the task serves, through a session of SSM.
pub(super) async fn by_task(
    task: Task,
    _handle: Handle,
    _args: MountArgs,
    _given: &[Given],
    _log: &LogArgs,
) -> Result<(), CommandError> {
    session_plugin()?;
    Err(CommandError::hinted(
        anyhow::anyhow!("the task of {} is not mounted: the relay is missing", task.service),
        "--via direct mounts the bucket",
    ))
}
