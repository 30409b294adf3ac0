//! `s3dav mount --stack`: which way leads to the files, and the mount by it.

use super::super::{CommandError, asking, mount as plain};
use super::handle::Handle;
use super::relayed;
use super::up;
use super::wanted::Wanted;
use crate::cli::{AwsArgs, LogArgs, MountArgs, ResolvedOption};
use crate::stack::{Choice, NoWay, Outputs, Way, choose, has_alternatives};

/// Mounts what a stack serves.
pub(in crate::commands) async fn mount(
    mut args: MountArgs,
    given: &[ResolvedOption],
    log: &LogArgs,
) -> Result<(), CommandError> {
    let Some(name) = args.stack.stack.take() else { return plain::run(args, given, log).await };
    let (region, profile) = (args.serve.s3.region.clone(), args.serve.s3.profile.clone());
    let handle = Handle::new(&name, AwsArgs { region, profile, times: args.stack.times }).await?;
    let outputs = outputs(&handle).await?;
    let asked = args.stack.via.take();
    let matters =
        if asked.is_none() && has_alternatives(&outputs) { asking::ask(QUESTION).await? } else { None };
    let Choice { way, why } = choose(&outputs, asked, matters).map_err(|no_way| refused(&handle, no_way))?;
    tell!("{}: by {}, {why}", handle.name, shown(&way));
    match way {
        Way::Direct(direct) => mount_by(&relayed::by_bucket(&direct), &args, given, log).await,
        Way::Docker(docker) => mount_by(&relayed::by_docker(&docker), &args, given, log).await,
        Way::Task(task) => mount_by(&relayed::by_task(&task, &handle).await?, &args, given, log).await,
    }
}

async fn mount_by(
    options: &[(&'static str, String)],
    args: &MountArgs,
    given: &[ResolvedOption],
    log: &LogArgs,
) -> Result<(), CommandError> {
    let (args, given) = relayed::as_mount(args, given, options)?;
    plain::run(args, &given, log).await
}

/// The stack's outputs. Where there is none, it is created if somebody wants that.
async fn outputs(handle: &Handle) -> Result<Outputs, CommandError> {
    let found = match handle.find().await? {
        Some(found) => handle.own(found)?,
        None if asking::is_possible() => {
            tell!("there is no stack {} in {}", handle.name, handle.aws.region());
            up::create(handle, &Wanted::default(), false).await?
        }
        None => return Err(handle.missing()),
    };
    match handle.obstacle(&found) {
        // Under way, or it never came to be.
        Some(obstacle) if found.outputs().is_err() => Err(obstacle),
        _ => handle.outputs(&found),
    }
}

fn shown(way: &Way) -> String {
    match way {
        Way::Direct(direct) => format!("its bucket {}", direct.source),
        Way::Docker(docker) => {
            format!("a container that mounts {} through {}", docker.file_system, docker.endpoint)
        }
        Way::Task(task) => format!("its task in the cluster {} (experimental)", task.cluster),
    }
}

fn refused(handle: &Handle, no_way: NoWay) -> CommandError {
    let name = &handle.name;
    let hint = match no_way {
        NoWay::NoLoadBalancer => format!(
            "`s3dav stack up {name} --nlb-from YOUR.ADDRESS/32` makes one, for about 20 dollars a month; --via direct needs none"
        ),
        NoWay::Stopped | NoWay::Neither => {
            format!("`s3dav stack start {name}` starts the task; --via direct needs none")
        }
    };
    CommandError::hinted(no_way, hint)
}

const QUESTION: &str = "Do others in AWS write to these files through S3 Files, and must you see what they wrote within \
                        the last minute? If not, the bucket itself is faster.";
