//! `s3dav service`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use super::{CommandError, gateway, listeners, mount, running, stop};
use crate::cli::{LogArgs, MountArgs, Origin, ResolvedOption, ServiceArgs, ServiceCommand};
use crate::config::Config;
use crate::control::{Reply, Request, ask};
use crate::service::{Definition, Service, ServiceError, System, log_path};

pub(super) async fn run(
    args: ServiceArgs,
    given: &[ResolvedOption],
    log: &LogArgs,
) -> Result<(), CommandError> {
    let service = Service::new(&System)?;
    match args.command {
        ServiceCommand::Install(args) => install(&service, *args, given, log).await,
        ServiceCommand::Uninstall => uninstall(&service).await,
        ServiceCommand::Start => Ok(service.start().await?),
        ServiceCommand::Stop => end(&service).await,
        ServiceCommand::Status => {
            say!("{}", service.status().await.map_err(unknown)?);
            Ok(())
        }
        ServiceCommand::Logs { lines } => logs(lines),
    }
}

async fn uninstall(service: &Service<'_>) -> Result<(), CommandError> {
    let mut ended = end(service).await;
    match service.uninstall().await {
        Err(error @ (ServiceError::Unmanaged { .. } | ServiceError::NoManager(_))) => {
            tell!(
                "warning: {error}\nhint: if `s3dav status` still lists the service's gateway, run `s3dav \
                 stop`"
            );
            ended = Ok(());
        }
        removed => removed?,
    }
    say!("removed the service; its state and log are kept");
    ended
}

/// Says that it is there where nobody can say more.
fn unknown(error: ServiceError) -> CommandError {
    if !matches!(error, ServiceError::Unmanaged { .. }) {
        return error.into();
    }
    anyhow::Error::new(error).context("the service is installed, but its state is unknown").into()
}

async fn install(
    service: &Service<'_>,
    args: MountArgs,
    given: &[ResolvedOption],
    log: &LogArgs,
) -> Result<(), CommandError> {
    if let Some(variable) = &args.serve.password_variable {
        return Err(CommandError {
            exit_code: 2,
            ..CommandError::hinted(
                anyhow::anyhow!("the variable {variable} will not be set at the next login"),
                "keep the password in a file, with --password-file",
            )
        });
    }
    if let Some(stack) = &args.stack.stack {
        return Err(CommandError {
            exit_code: 2,
            ..CommandError::hinted(
                anyhow::anyhow!("a service cannot mount a stack, because that may ask questions"),
                format!("`s3dav stack status {stack}` shows its bucket, which a service can mount"),
            )
        });
    }
    let config = Config::of_serve(mount::with_mountpoint(args))?;
    let mut definition = definition(&config, given, log)?;
    // What runs is not ended for what cannot be installed.
    definition.check()?;
    service.reach().await?;
    match end(service).await {
        Err(failure) if !matches!(failure.error.downcast_ref(), Some(ServiceError::NotInstalled)) => {
            return Err(failure);
        }
        _ => {}
    }
    // The system holds none of them now.
    definition.sockets = free_sockets(&config).await?;
    let url = definition.sockets.first().map(|address| gateway::url(*address, &config.service.url_prefix));
    definition.mounts = crate::mount::is_allowed(&config.mount, url.as_deref()).await;
    let mounts = definition.mounts;
    if !mounts {
        definition.arguments.retain(|argument| !argument.starts_with(MOUNT));
    }
    service.install(&definition).await?;
    let url = url.unwrap_or_default();
    wait_for(&config.state_dir, mounts.then_some(&*url)).await?;
    match config.mount.filter(|_| mounts) {
        Some(options) => {
            say!("{} is mounted at {} now and at every login", config.source, options.point.display())
        }
        None => say!("{} is served at {url} now and at every login; only root may mount it", config.source),
    }
    for path in service.paths() {
        say!("definition  {}", path.display());
    }
    say!("log         {}", definition.log.display());
    Ok(())
}

/// What is to run, if it may mount and once there are sockets.
fn definition(config: &Config, given: &[ResolvedOption], log: &LogArgs) -> Result<Definition, CommandError> {
    let log_file = log_path()?;
    if log.log_file.is_some() {
        tell!("warning: --log-file has no effect: `s3dav service logs` shows the log of a service");
    }
    Ok(Definition {
        program: std::env::current_exe().context("the path of this program is unknown")?,
        arguments: arguments(config, given, log.arguments(&log_file)),
        environment: environment(),
        sockets: Vec::new(),
        mounts: true,
        log: log_file,
    })
}

/// Waits until the service's gateway answers and, if it has a `url` to mount, has mounted it.
async fn wait_for(state_dir: &Path, url: Option<&str>) -> Result<(), CommandError> {
    let until = Instant::now() + START_LIMIT;
    let mut problem = None;
    while Instant::now() < until {
        if let Ok(Reply::Status(status)) = ask(state_dir, Request::Status, running::PATIENCE).await {
            let entries = crate::mount::entries().await?;
            if url.is_none_or(|url| entries.iter().any(|entry| entry.is_of(url))) {
                mount::warn(&status);
                return Ok(());
            }
            problem = status.problems.into_iter().next();
        }
        sleep(PAUSE).await;
    }
    Err(match problem {
        Some(problem) => CommandError::hinted(anyhow::anyhow!(problem.message), problem.hint),
        None => ServiceError::NotRunning.into(),
    })
}

/// What the configuration file says is read at each start, so that it can be changed there.
fn arguments(config: &Config, given: &[ResolvedOption], log: Vec<String>) -> Vec<String> {
    let own = ["mount", "listen"];
    let options = given
        .iter()
        .filter(|option| option.origin != Origin::File && !own.contains(&option.name.as_str()))
        .flat_map(|option| option.clone().with_absolute_paths().arguments());
    let mut arguments = vec!["serve".to_owned()];
    arguments.extend(config.mount.iter().map(|options| format!("{MOUNT}{}", options.point.display())));
    arguments.extend(log);
    arguments.extend(options);
    arguments
}

/// The path to credential helpers, how AWS is set up, and the way out; no secrets, which do not belong into such a
/// file.
fn environment() -> Vec<(String, String)> {
    let is_wanted = |name: &str| HANDED_ON.contains(&name) || name.starts_with("AWS_");
    let is_secret = |name: &str, value: &str| {
        let names_one = ["SECRET", "TOKEN", "ACCESS_KEY_ID"].iter().any(|part| name.contains(part));
        (names_one && !name.ends_with("_FILE")) || (value.contains("://") && value.contains('@'))
    };
    let mut variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| is_wanted(name))
        .collect();
    variables.sort();
    let (secrets, plain): (Vec<_>, Vec<_>) =
        variables.into_iter().partition(|(name, value)| is_secret(name, value));
    for (name, _) in secrets {
        tell!(
            "warning: {name} is not passed to the service; store keys with `aws configure`, where it finds \
               them"
        );
    }
    plain
}

/// Where the system is to listen: as configured, at another port where the usual one is taken.
async fn free_sockets(config: &Config) -> Result<Vec<SocketAddr>, CommandError> {
    let listeners = listeners::choose(config).await?;
    Ok(listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect())
}

/// Unmounts, and ends the service; the system alone would leave the mount.
async fn end(service: &Service<'_>) -> Result<(), CommandError> {
    // Or a client would have it started again.
    service.refuse().await?;
    let found = running::find(None).await?;
    let own: Vec<_> = found.running.into_iter().filter(|status| status.is_service).collect();
    for status in &own {
        stop::end(status, STOP_LIMIT).await?;
    }
    service.stop().await?;
    for (entry, _) in running::mounts(&own).await {
        // Of one that was started meanwhile, and has ended: there is nobody to wait for.
        crate::mount::detach(&entry.point, true).await?;
    }
    Ok(())
}

fn logs(lines: usize) -> Result<(), CommandError> {
    let path = log_path()?;
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("there is no log at {}", path.display()));
        CommandError::hinted(error, "`s3dav service install` installs a service that writes one")
    })?;
    let mut last = VecDeque::new();
    for line in text.lines() {
        if last.len() == lines {
            last.pop_front();
        }
        last.push_back(line);
    }
    last.iter().take(lines).for_each(|line| say!("{line}"));
    Ok(())
}

/// The option that is left out where nothing may be mounted.
const MOUNT: &str = "--mount=";
/// Variables that a service gets.
const HANDED_ON: [&str; 12] = [
    "PATH",
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
];
/// A gateway waits 10 s for an S3 that is away, and davfs2 about as long for its first answers.
const START_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
/// Uploads under way, and unmounting before them.
const STOP_LIMIT: Duration = Duration::from_secs(120);
