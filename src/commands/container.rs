//! `s3dav container`: mounts S3 Files, serves it, and ends both in order.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::hold::{Start, hold};
use super::{CommandError, Ended, container_build, running};
use crate::aws_cli::region_of_environment;
use crate::cli::{
    ContainerArgs, ContainerCommand, ContainerMountArgs, LogArgs, Origin, ResolvedOption, S3Args,
    S3FilesArgs, ServeArgs, SystemArgs, variables_of,
};
use crate::config::Config;
use crate::container::{Container, Endpoint, Failure, Files, Keeper, Kind, Options, System, Times};
use crate::control::{self, ControlError, Reply, Request, Secret, Who, ask, ask_of};
use crate::mistake::Mistake;
use crate::parent::run_as_process_1;
use crate::process;
use crate::shutdown::Signals;
use crate::state::{private_directory, write_private};
use crate::store::s3::Chain;

pub(super) async fn run(
    mut args: ContainerArgs,
    given: &[ResolvedOption],
    log: &LogArgs,
) -> Result<Ended, CommandError> {
    match args.command.take() {
        Some(ContainerCommand::Credentials(system)) => return hand_over(system).await.map(|()| Ended::Well),
        Some(ContainerCommand::Password(system)) => return take_password(system).await.map(|()| Ended::Well),
        Some(ContainerCommand::Build(args)) => return container_build::run(args).await.map(|()| Ended::Well),
        None => {}
    }
    refuse_others(&args.serve)?;
    let options = options(&mut args);
    options.check()?;
    if std::process::id() == 1 {
        let own = process::own().context("the path of this program is unknown")?;
        let arguments: Vec<_> = std::env::args_os().skip(1).collect();
        let code = run_as_process_1(&own, &arguments).await.context("the container cannot be started")?;
        return Ok(Ended::As(code));
    }
    let mut signals = Signals::listen()?;
    let system = System::at(&args.system.system_root);
    let files = Files::look(&system, &options).await?;
    let ended = run_on(&files, system, options, args, given, log, &mut signals).await;
    files.put_back().await;
    ended
}

/// From the first change of the system to the end of the mount.
async fn run_on(
    files: &Files,
    system: System,
    options: Options,
    mut args: ContainerArgs,
    given: &[ResolvedOption],
    log: &LogArgs,
    signals: &mut Signals,
) -> Result<Ended, CommandError> {
    let keeper = tokio::select! {
        keeper = prepare(files, &system, &options, &mut args) => keeper?,
        _ = signals.next() => return Ok(Ended::Well),
    };
    let door = control::open(&system.own(), Who::Container);
    let door = door.map_err(|error| Failure::new(Kind::NoEndpoint, error.to_string()))?;
    let mut start = start_of_gateway(&options.dir, given, log);
    if let (true, Some(file)) = (args.password_from_host, &args.serve.password_file) {
        start.arguments.extend(
            [format!("--user={HOST}"), format!("--password-file={}", file.display())].map(Into::into),
        );
    }
    let work = mount_and_serve(system, options, Arc::clone(&keeper), args.serve, start, signals);
    door.answer_during(keeper, work).await
}

/// All that comes before the mount, which may take long and be given up.
async fn prepare(
    files: &Files,
    system: &System,
    options: &Options,
    args: &mut ContainerArgs,
) -> Result<Arc<Keeper>, CommandError> {
    files.prepare().await?;
    if args.password_from_host {
        let file = password_from_host(system, args.times.credentials_limit.0).await?;
        (args.serve.user, args.serve.password_file) = (Some(HOST.to_owned()), Some(file));
    }
    check_serving(&args.serve, &options.dir).await?;
    let chain = Chain::new(args.serve.s3.region.clone(), args.serve.s3.profile.clone()).await;
    let chain = chain.map_err(|error| Failure::new(Kind::NoCredentials, error.to_string()))?;
    Ok(Arc::new(Keeper::new(chain)))
}

/// Refuses what the gateway would refuse, before anything is mounted.
async fn check_serving(serve: &ServeArgs, dir: &Path) -> Result<(), CommandError> {
    tokio::fs::create_dir_all(dir).await.with_context(|| format!("{} cannot be made", dir.display()))?;
    Config::of_serve(ServeArgs { path: Some(dir.to_owned()), ..serve.clone() })?;
    Ok(())
}

/// All that must be given is given by the mount.
fn refuse_others(serve: &ServeArgs) -> Result<(), Mistake> {
    let others = [
        ("the argument SOURCE", serve.what.is_some()),
        ("--bucket", !serve.bucket.is_empty()),
        ("--path", serve.path.is_some()),
        ("--source", serve.file.source.is_some()),
        ("--config", serve.file.config.is_some()),
        ("--mount", serve.mounting.mount.is_some()),
    ];
    match others.into_iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(Mistake {
            message: format!("a container serves what --s3files names, but {name} names something else"),
            hint: Some("leave it out; to serve a bucket in a container use `s3dav serve`".to_owned()),
        }),
        None => Ok(()),
    }
}

fn options(args: &mut ContainerArgs) -> Options {
    Options {
        file_system: args.serve.s3files.file_system.id.take().unwrap_or_default(),
        region: args.serve.s3.region.clone().or_else(region_of_environment),
        az_id: args.serve.s3files.file_system.az_id.take(),
        mount_target: args.serve.s3files.file_system.mount_target.take(),
        access_point: args.serve.s3files.file_system.access_point.take(),
        direct_reads: !args.serve.s3files.no_direct_reads,
        dir: args.mount.dir.clone(),
        cloudwatch: args.mount.cloudwatch,
        times: Times {
            credentials: args.times.credentials_limit.0,
            mount: args.times.mount_limit.0,
            unmount: args.times.unmount_limit.0,
            watch: args.times.watch_interval.0,
        },
    }
}

/// What the gateway does not know, or means something else to it.
fn is_of_mount(option: &ResolvedOption) -> bool {
    option.is_of::<S3FilesArgs>() || option.is_of::<ContainerMountArgs>() || option.is_of::<S3Args>()
}

/// The gateway's command line: what of this one's is its own. It needs nothing of AWS.
fn start_of_gateway(dir: &Path, given: &[ResolvedOption], log: &LogArgs) -> Start {
    let mut arguments = vec!["serve".to_owned(), format!("--path={}", dir.display())];
    let own = given.iter().filter(|option| !is_of_mount(option));
    arguments.extend(own.flat_map(|option| option.clone().with_absolute_paths().arguments()));
    match &log.log_file {
        Some(file) => arguments.extend(log.arguments(file)),
        None => arguments.extend(log.arguments_of_content()),
    }
    let read_already = given.iter().filter_map(|option| match &option.origin {
        Origin::Environment(name) => Some(name.clone()),
        _ => None,
    });
    let of_aws = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let of_aws = of_aws.filter(|name| name.starts_with("AWS_"));
    Start {
        arguments: arguments.into_iter().map(Into::into).collect(),
        without: read_already.chain(of_aws).chain(variables_of::<LogArgs>()).collect(),
        // It is process 1 that a terminal talks to.
        shares_terminal: false,
    }
}

async fn mount_and_serve(
    system: System,
    options: Options,
    keeper: Arc<Keeper>,
    serve: ServeArgs,
    start: Start,
    signals: &mut Signals,
) -> Result<Ended, CommandError> {
    let endpoint = Endpoint::open(&system).await?;
    let variables = endpoint.variables();
    let _answering = AbortOnDropHandle::new(tokio::spawn(endpoint.serve(Arc::clone(&keeper))));
    let renewing = Arc::clone(&keeper);
    let _renewing = AbortOnDropHandle::new(tokio::spawn(async move { renewing.keep().await }));
    let (first, dir) = (options.times.credentials, options.dir.clone());
    let mut container = Container::new(system, options, variables);
    let started = tokio::select! {
        started = async {
            keeper.first(first).await?;
            container.start().await
        } => started.map(|()| true),
        _ = signals.next() => Ok(false),
    };
    let served = match started {
        Ok(true) => {
            tracing::info!(dir = %dir.display(), "S3 Files is mounted");
            serve_mounted(&mut container, ServeArgs { path: Some(dir), ..serve }, start, signals).await
        }
        Ok(false) => Ok(Ended::Well),
        Err(failure) => Err(failure.into()),
    };
    // Why it was not served says more.
    let ended = container.end().await;
    served.and_then(|ended_as| ended.map(|()| ended_as).map_err(Into::into))
}

/// Until the gateway has ended; what is to end it is told to the process that holds its sockets, which is this one.
async fn serve_mounted(
    container: &mut Container,
    serve: ServeArgs,
    start: Start,
    signals: &mut Signals,
) -> Result<Ended, CommandError> {
    let config = Config::of_serve(serve)?;
    let state_dir = config.state_dir.clone();
    let holding = hold(config, start);
    tokio::pin!(holding);
    let (mut failure, mut is_ending) = (None, false);
    let served = loop {
        tokio::select! {
            served = &mut holding => break served,
            watched = container.watch(), if !is_ending => match watched {
                Ok(()) => anew(&state_dir).await,
                Err(lost) => (failure, is_ending) = (Some(lost), true),
            },
            _ = signals.next(), if !is_ending => is_ending = true,
            () = stop(&state_dir), if is_ending => {}
        }
    };
    match failure {
        Some(failure) => Err(failure.into()),
        None => served,
    }
}

/// Lets the gateway open the directory again, over which something new was mounted.
async fn anew(state_dir: &Path) {
    if let Err(error) = ask(state_dir, Request::Restart { patience: 0 }, running::PATIENCE).await {
        tracing::warn!(%error, "the gateway does not restart on the new mount");
    }
}

/// Asks for the end, once; then waits for ever.
async fn stop(state_dir: &Path) {
    while ask_of(Who::Parent, state_dir, Request::Stop, running::PATIENCE).await.is_err() {
        sleep(PAUSE).await;
    }
    std::future::pending().await
}

/// The password that [`take_password`] writes, once it has.
async fn password_from_host(system: &System, limit: Duration) -> Result<PathBuf, CommandError> {
    let file = system.own().join(PASSWORD);
    let written = async {
        while !file.exists() {
            sleep(PAUSE).await;
        }
    };
    match timeout(limit, written).await {
        Ok(()) => Ok(file),
        Err(_) => Err(CommandError::hinted(
            anyhow::anyhow!("no password arrived within {limit:?}"),
            "start the container with `s3dav mount --s3files FS_ID`, or name a password with --password-file",
        )),
    }
}

/// From standard input to a file of root's, in memory.
async fn take_password(SystemArgs { system_root }: SystemArgs) -> Result<(), CommandError> {
    let taken = tokio::task::spawn_blocking(move || {
        let mut password = String::new();
        std::io::stdin().take(MOST_BYTES).read_to_string(&mut password)?;
        let own = System::at(&system_root).own();
        std::fs::create_dir_all(own.parent().unwrap_or(&own))?;
        private_directory(&own)?;
        write_private(&own.join(PASSWORD), &password)
    });
    taken.await?.context("the password cannot be stored")?;
    Ok(())
}

/// The command's part: from standard input to the container.
async fn hand_over(SystemArgs { system_root }: SystemArgs) -> Result<(), CommandError> {
    let text = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        std::io::stdin().take(MOST_BYTES).read_to_string(&mut text).map(|_| text)
    });
    let json = Secret(text.await?.context("standard input cannot be read")?);
    let own: PathBuf = System::at(&system_root).own();
    match ask_of(Who::Container, &own, Request::Credentials { json }, running::PATIENCE).await {
        Ok(Reply::Done) => Ok(()),
        Ok(_) => Err(running::unexpected()),
        Err(ControlError::NotRunning { .. }) => Err(CommandError::hinted(
            anyhow::anyhow!("no container with S3 Files runs here"),
            "run it inside the container: docker exec -i NAME s3dav container credentials",
        )),
        Err(ControlError::Refused(message)) => Err(CommandError::hinted(
            anyhow::anyhow!(message),
            "pipe it in: aws configure export-credentials --format process | docker exec -i NAME s3dav container \
             credentials",
        )),
        Err(error) => Err(error.into()),
    }
}

/// In the container's own directory.
const PASSWORD: &str = "password";
/// The name that goes with the password of the host.
const HOST: &str = crate::far::USER;
/// Credentials have 2 KiB.
const MOST_BYTES: u64 = 64 << 10;
const PAUSE: Duration = Duration::from_millis(100);
