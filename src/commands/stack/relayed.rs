//! The ways to the files, as options of `mount`: the bucket, a container on this machine, or a session with the task.

use std::ffi::OsString;

use anyhow::anyhow;

use super::super::CommandError;
use super::handle::Handle;
use crate::aws_cli::{AwsCliError, session_plugin};
use crate::cli::{
    self, Command, FileArgs, FileSystemArgs, Layer, MountArgs, MountStackArgs, ParseError, ResolvedOption,
};
use crate::stack::{Direct, Docker, Task};

/// The bucket. Where the stack lets nobody write, nothing is written past it.
pub(super) fn by_bucket(direct: &Direct) -> Vec<(&'static str, String)> {
    let mut options = vec![("bucket", direct.source.clone()), ("region", direct.region.clone())];
    options.extend(direct.read_only.then(|| ("read-only", String::new())));
    options
}

/// A container that mounts the file system through the load balancer.
pub(super) fn by_docker(docker: &Docker) -> Vec<(&'static str, String)> {
    let mut options = vec![
        ("s3files", docker.file_system.clone()),
        ("mount-target", docker.endpoint.clone()),
        ("access-point", docker.access_point.clone()),
        ("az-id", docker.az_id.clone()),
        ("region", docker.region.clone()),
    ];
    options.extend(docker.read_only.then(|| ("read-only", String::new())));
    options
}

/// A session with the task that runs now.
pub(super) async fn by_task(
    task: &Task,
    handle: &Handle,
) -> Result<Vec<(&'static str, String)>, CommandError> {
    session_plugin()?;
    let target = handle.aws.session_target(&task.cluster, &task.service).await;
    if let Err(AwsCliError::NoTask(why)) = target {
        return Err(CommandError::hinted(
            anyhow!("the task of {} is not running: {why}", handle.name),
            format!("`s3dav stack status {}` shows what ECS is doing; wait, then mount again", handle.name),
        ));
    }
    target?;
    // It is looked for again whenever a session begins: another task has another name.
    let mut options = vec![
        ("session", format!("{}/{}", task.cluster, task.service)),
        ("session-port", task.port.to_string()),
        ("session-password", task.password_parameter.clone()),
        ("region", task.region.clone()),
    ];
    options.extend(task.read_only.then(|| ("read-only", String::new())));
    Ok(options)
}

/// The command line of `mount` with these options in the place of the stack.
pub(super) fn as_mount(
    args: &MountArgs,
    given: &[ResolvedOption],
    options: &[(&'static str, String)],
) -> Result<(MountArgs, Vec<ResolvedOption>), CommandError> {
    let served = cli::served_names();
    // What the configuration file said is among the options.
    let says_otherwise = |option: &ResolvedOption| {
        served.contains(&option.name)
            || option.is_of::<FileSystemArgs>()
            || option.is_of::<FileArgs>()
            || option.is_of::<MountStackArgs>()
    };
    let is_replaced = |option: &&ResolvedOption| {
        says_otherwise(option) || options.iter().any(|(name, _)| *name == option.name)
    };
    let kept = given.iter().filter(|option| !is_replaced(option)).flat_map(ResolvedOption::arguments);
    let named = options.iter().map(|(name, value)| match value.as_str() {
        "" => format!("--{name}"),
        value => format!("--{name}={value}"),
    });
    let words = ["s3dav", "mount"].map(str::to_owned).into_iter().chain(kept).chain(named);
    let point = args.mountpoint.iter().map(|point| point.clone().into_os_string());
    let line = words.map(OsString::from).chain(point);
    let read =
        cli::parse_again(line, |_| Ok::<_, std::convert::Infallible>(Layer::new())).map_err(|error| {
            let said = match error {
                ParseError::CommandLine(error) => error.to_string(),
                ParseError::Value(text) => text,
                ParseError::Words(error) => error.to_string(),
                ParseError::File(never) => match never {},
            };
            let first = said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            CommandError { exit_code: 2, ..CommandError::hinted(anyhow!(first), "leave that option out") }
        })?;
    match read.cli.command {
        Command::Mount(mount) => Ok((*mount, read.given)),
        _ => Err(anyhow!("it is not a command that mounts").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Size;

    #[test]
    fn what_was_given_beside_the_stack_is_kept() {
        let line = "s3dav mount --stack files --via docker --cache-size 1MiB --read-only /mnt/there";
        let read = cli::parse(line.split(' ').map(OsString::from), |_| Ok::<_, ()>(Layer::new())).unwrap();
        let Command::Mount(args) = read.cli.command else { panic!("it mounts") };
        let options = [("region", "eu-west-1".to_owned()), ("bucket", "photos".to_owned())];
        let (mount, given) = as_mount(&args, &read.given, &options).unwrap();
        assert_eq!(
            (mount.serve.bucket.as_slice(), mount.serve.read_only),
            (&["photos".to_owned()][..], true)
        );
        assert_eq!((mount.serve.cache_size, mount.stack.stack), (Size(1 << 20), None));
        assert_eq!(mount.mountpoint.as_deref(), Some("/mnt/there".as_ref()));
        let arguments: Vec<String> = given.iter().flat_map(ResolvedOption::arguments).collect();
        assert_eq!(arguments, ["--bucket=photos", "--region=eu-west-1", "--cache-size=1MiB", "--read-only"]);
    }

    #[test]
    fn a_container_is_told_of_all_that_the_outputs_say() {
        let docker = Docker {
            file_system: "fs-1".into(),
            endpoint: "nlb.example".into(),
            access_point: "fsap-1".into(),
            az_id: "use1-az1".into(),
            region: "us-east-1".into(),
            read_only: true,
        };
        let names: Vec<_> = by_docker(&docker).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["s3files", "mount-target", "access-point", "az-id", "region", "read-only"]);
    }
}
