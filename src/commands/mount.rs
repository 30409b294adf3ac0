//! `s3dav mount`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::timeout;

use super::gateway::Gateway;
use super::{CommandError, attempt, hints, owners, predecessor, restart, running, spawned, stop};
use crate::cli::{
    DEFAULT_MOUNTPOINT, FileArgs, GatewayArgs, LogArgs, MountArgs, MountStackArgs, MountingArgs,
    ResolvedOption, ServeArgs,
};
use crate::config::{BucketSpec, Config, Source};
use crate::control::{Caution, ControlError, Problem, Reply, Request, Status, ask};
use crate::http::auth::AuthMode;
use crate::logging::with_causes;
use crate::mount::{self, Attached, Mount, MountError, MountOptions};
use crate::parent;
use crate::peer;
use crate::shutdown::Signals;
use crate::state::Credential;
use crate::store::s3::S3Options;

pub(super) async fn run(
    args: MountArgs,
    given: &[ResolvedOption],
    log: &LogArgs,
) -> Result<(), CommandError> {
    let mut signals = Signals::listen()?;
    let mut own = None;
    let signal = tokio::select! {
        mounted = mount(args, given, log, &mut own) => return mounted,
        signal = signals.next() => signal,
    };
    if let Some(mut gateway) = own {
        tell!("stopping the gateway that was started for this mount");
        tokio::select! {
            () = spawned::end(&mut gateway, stop::LIMIT) => {}
            // Whoever asks twice does not wait.
            _ = signals.next() => {}
        }
    }
    let error = anyhow::anyhow!("interrupted before anything was mounted");
    Err(CommandError { error, hint: None, exit_code: signal.exit_code() })
}

/// Leaves in `own` the gateway that it starts.
async fn mount(
    args: MountArgs,
    given: &[ResolvedOption],
    log: &LogArgs,
    own: &mut Option<Child>,
) -> Result<(), CommandError> {
    let session = args.serve.session.arguments();
    let config = Config::of_serve(with_mountpoint(args))?;
    hints::know(&config);
    let (state_dir, makes_state) = (config.state_dir.clone(), !config.state_dir.exists());
    let started = running_or_new(&config, given, &session, log, own).await;
    // Where it did not say why, its words and its log are left to be looked at.
    if started.is_err() && makes_state && parent::failure(&state_dir).is_some() {
        attempt::leave_nothing(state_dir.clone()).await?;
    }
    let (status, is_new) = started?;
    if !is_new {
        owners::check_running(&config, &status.source).await?;
    }
    let status = upgraded(status).await?;
    let own = options_of_gateway(given);
    let differing = differing(&own, &status.options);
    if !is_new && !differing.is_empty() {
        tell!(
            "warning: a gateway with other options already serves this, so those given now have no effect (differing: \
             {}); run `s3dav stop` first to apply them",
            differing.join(", ")
        );
    }
    if is_new {
        warn(&status);
    }
    let mounted = match attach(&status, is_new, config).await {
        Err(failure) => Err(with_reason(attempt::occupant_named(failure).await, &status).await),
        mounted => mounted,
    };
    let mounted = match mounted {
        Err(failure) if is_new => {
            Err(CommandError { hint: failure.hint.map(hints::of_what_ends), ..failure })
        }
        mounted => mounted,
    };
    if is_new && mounted.is_err() {
        // Nobody would know of it, and whoever follows a hint would meet it.
        if let Err(failure) = stop::end(&status, stop::LIMIT).await {
            tell!(
                "warning: the gateway that was started for this mount is still running: {:#}",
                failure.error
            );
        } else if makes_state {
            attempt::leave_nothing(state_dir).await?;
        }
    }
    mounted
}

/// The gateway that has that state, or a new one; whether it is new.
async fn running_or_new(
    config: &Config,
    given: &[ResolvedOption],
    more: &[String],
    log: &LogArgs,
    own: &mut Option<Child>,
) -> Result<(Status, bool), CommandError> {
    match predecessor::wait_out_aloud(&config.state_dir).await? {
        Ok(Reply::Status(status)) => return Ok((*status, false)),
        Ok(_) => return Err(running::unexpected()),
        Err(ControlError::NotRunning { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    if running::waiting(&config.state_dir).await.is_some() {
        // It has died, and somebody is about to start it.
        return Ok((restart::start_now(&config.state_dir).await?, false));
    }
    // Of_serve made options, since a mount point was given.
    let point = config.mount.as_ref().map(|options| &*options.point).ok_or_else(running::unexpected)?;
    if let Err(error) = mount::check(point).await {
        // Another command may have started it, and mounted it there, at this moment.
        return match ask(&config.state_dir, Request::Status, running::PATIENCE).await {
            Ok(Reply::Status(status)) => Ok((*status, false)),
            _ => Err(attempt::occupant_named(error.into()).await),
        };
    }
    if let Source::Far(source) = &config.source {
        let far = source.far.clone();
        let ready = far.ready(&source.name, &config.state_dir, &|text| tell!("{text}")).await;
        ready.map_err(|error| {
            let hint = error.hint.clone();
            CommandError::hinted(error, hint)
        })?;
    }
    let limit = config.source.start_limit(restart::START_LIMIT);
    let options = [&options_of_gateway(given), more].concat();
    Ok((spawned::start(&config.state_dir, options, log, limit, own).await?, true))
}

/// Says what may be a mistake in what a gateway was started with.
pub(super) fn warn(status: &Status) {
    for Caution { message, hint } in &status.cautions {
        tell!("warning: {message}\nhint: {hint}");
    }
}

/// Lets this program take the place of an older gateway, where somebody holds its port meanwhile.
async fn upgraded(status: Status) -> Result<Status, CommandError> {
    if !is_newer(env!("CARGO_PKG_VERSION"), &status.program_version)
        || (status.parent.is_none() && !status.is_service)
    {
        return Ok(status);
    }
    Ok(match restart::anew(&status, UPGRADE_PATIENCE).await {
        Ok(now) if now.program_version == status.program_version => {
            tell!(
                "warning: the gateway is still version {}, started from another path; to switch to this \
                 version, run `s3dav stop`, then `s3dav mount`",
                now.program_version
            );
            now
        }
        Ok(now) => now,
        Err(failure) if is_there(&status).await => {
            tell!(
                "warning: the gateway of version {} keeps running: {:#}",
                status.program_version,
                failure.error
            );
            status
        }
        Err(failure) => return Err(failure),
    })
}

async fn is_there(status: &Status) -> bool {
    let now = ask(&status.state_dir, Request::Status, running::PATIENCE).await;
    matches!(now, Ok(Reply::Status(now)) if now.pid == status.pid)
}

/// Whether a version of this program comes after another one.
fn is_newer(own: &str, other: &str) -> bool {
    let numbers = |version: &str| -> Option<Vec<u64>> {
        version.split(['-', '+']).next()?.split('.').map(|number| number.parse().ok()).collect()
    };
    matches!((numbers(own), numbers(other)), (Some(own), Some(other)) if own > other)
}

/// A mount's program does not know why the gateway does not answer it; the gateway does.
async fn with_reason(failure: CommandError, status: &Status) -> CommandError {
    let Some(Problem { message, hint, .. }) = problems(&status.state_dir).await.into_iter().next() else {
        return failure;
    };
    if !matches!(failure.error.downcast_ref(), Some(MountError::Failed { .. })) {
        return CommandError::hinted(failure.error.context(message), hint);
    }
    tracing::debug!(error = with_causes(failure.error.as_ref()), "the mount program failed");
    let source = &status.source;
    let cause = message.strip_prefix(&format!("{source}: ")).unwrap_or(&message);
    CommandError::hinted(anyhow::anyhow!("{source} cannot be mounted: {cause}"), hint)
}

pub(super) async fn problems(state_dir: &Path) -> Vec<Problem> {
    match ask(state_dir, Request::Status, running::PATIENCE).await {
        Ok(Reply::Status(status)) => status.problems,
        _ => Vec::new(),
    }
}

/// Mounts what the gateway serves.
async fn attach(status: &Status, is_new: bool, config: Config) -> Result<(), CommandError> {
    let address = address(status)?;
    prove(&config.state_dir, address).await?;
    // Of_serve made options, since a mount point was given.
    let Some(mut options) = config.mount else { return Err(running::unexpected()) };
    // What the gateway would refuse must be refused where programs see it.
    options.read_only |= status.read_only;
    let auth = running::auth_of(status);
    let is_let_in = auth == Some(AuthMode::Peer) && lets_in(&config.state_dir).await?;
    let is_given = config.login.is_some();
    let login = match (shows_password(auth, is_let_in), config.login) {
        (false, _) => None,
        (true, Some(login)) => Some(login),
        (true, None) => {
            Credential::read(&config.state_dir).context("the gateway's password cannot be read")?
        }
    };
    let point = options.point.clone();
    // One of another life of the gateway knows the password of that life.
    let is_stale = Arc::new(AtomicBool::new(is_new && login.is_some() && !is_given));
    // Not the bare address: it may be shown below a path.
    let url = status.urls.first().cloned().unwrap_or_default();
    let mount = Mount { options, url, login, state_dir: config.state_dir, is_stale };
    let attached = mount.attach().await;
    if is_let_in {
        let ended = ask(&mount.state_dir, Request::Mounting { under_way: false }, running::PATIENCE).await;
        if let Err(error) = ended {
            tracing::debug!(
                error = with_causes(&error),
                "the gateway is still waiting for the mount program"
            );
        }
    }
    let said = match attached? {
        Attached::Now => "mounted at",
        Attached::Before => "is already mounted at",
    };
    if status.keeps.is_some() {
        // Only now, or both would mount it.
        ask(&mount.state_dir, Request::Keep { mounted: true }, running::PATIENCE).await?;
    }
    say!("{} {said} {}", status.source, point.display());
    if status.parent.is_none() && !status.is_service {
        tell!(
            "warning: if this gateway dies, its port closes, and what is saved to the mount is lost\nhint: \
             run `s3dav stop`, then `s3dav mount`, which starts a gateway whose port stays open"
        );
    }
    Ok(())
}

/// The options of `serve`, with the mount point that is meant.
pub(super) fn with_mountpoint(args: MountArgs) -> ServeArgs {
    let mut serve = args.serve;
    let point = args.mountpoint.or(serve.mounting.mount.take());
    serve.mounting.mount = Some(point.unwrap_or_else(|| DEFAULT_MOUNTPOINT.into()));
    serve
}

/// What a gateway itself mounts.
pub(super) fn of_gateway(options: MountOptions, login: Option<Credential>, gateway: &Gateway) -> Mount {
    let is_shown = shows_password(Some(gateway.auth()), gateway.deputy().is_some());
    Mount {
        options,
        url: gateway.urls().into_iter().next().unwrap_or_default(),
        // One that was given stays valid.
        is_stale: Arc::new(AtomicBool::new(login.is_none() && is_shown && gateway.has_new_credential())),
        login: is_shown.then(|| login.unwrap_or_else(|| gateway.state().credential().clone())),
        state_dir: gateway.state().directory().to_owned(),
    }
}

/// Whether the gateway lets the mount's program in by whose it is, from now on until it has been mounted.
async fn lets_in(state_dir: &Path) -> Result<bool, CommandError> {
    match ask(state_dir, Request::Mounting { under_way: true }, running::PATIENCE).await {
        Ok(reply) => Ok(reply == Reply::Done),
        // An older gateway asks it for the password.
        Err(ControlError::Refused(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the mount's program is told the password. It would tell it to whoever takes the port when the
/// gateway has ended, so only where it could not come in otherwise.
fn shows_password(auth: Option<AuthMode>, is_let_in: bool) -> bool {
    // Root's program of the mount is another user's.
    let is_another_users = cfg!(target_os = "linux") && rustix::process::geteuid().is_root();
    match auth {
        Some(AuthMode::None) => false,
        Some(AuthMode::Peer) => (is_another_users && !is_let_in) || !peer::can_tell(),
        // A newer gateway may know another mode.
        Some(AuthMode::Basic) | None => true,
    }
}

/// Where the gateway is reached on this machine.
fn address(status: &Status) -> Result<SocketAddr, CommandError> {
    let authority = status.urls.first().and_then(|url| url.split('/').nth(2)).unwrap_or_default();
    Ok(authority.parse().context("the gateway has no address")?)
}

/// Makes sure that it is the gateway that answers at its address, and not a program that took its place.
async fn prove(state_dir: &Path, address: SocketAddr) -> Result<(), CommandError> {
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    match ask(state_dir, Request::Expect { nonce: nonce.clone() }, running::PATIENCE).await {
        // An older gateway waits for every nonce.
        Ok(_) | Err(ControlError::Refused(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let knocked = timeout(KNOCK_LIMIT, knock(address, &nonce)).await;
    // Whoever does not answer has not heard it, either.
    let heard = match knocked {
        Ok(Ok(())) => ask(state_dir, Request::Heard { nonce, address }, running::PATIENCE).await?,
        _ => Reply::No,
    };
    match heard {
        Reply::Done => Ok(()),
        _ => Err(CommandError::hinted(
            anyhow::anyhow!("a program other than the gateway answers at {address}"),
            "another program may have taken its port: run `s3dav stop`, then mount again",
        )),
    }
}

async fn knock(address: SocketAddr, nonce: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET /.s3dav/knock/{nonce} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    // Whatever it says: what counts is what the gateway has heard.
    stream.read_u8().await.map(drop)
}

/// The options that count for a gateway, whoever mounts it and where.
pub(super) fn options_of_gateway(given: &[ResolvedOption]) -> Vec<String> {
    let is_of_mounting = |option: &ResolvedOption| {
        option.is_of::<MountingArgs>()
            || option.is_of::<MountStackArgs>()
            || option.is_of::<FileArgs>()
            || option.is_of::<GatewayArgs>()
    };
    let options = given.iter().filter(|option| !is_of_mounting(option));
    options.flat_map(|option| option.clone().with_absolute_paths().arguments()).collect()
}

/// The names of options that are given differently.
fn differing(own: &[String], its: &[String]) -> Vec<String> {
    let (own, its) = (plain(own), plain(its));
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|option| !those.contains(option)).cloned().collect()
    };
    let all = [only(&own, &its), only(&its, &own)].concat();
    let names: BTreeSet<String> =
        all.iter().map(|option| option.split('=').next().unwrap_or(option).to_owned()).collect();
    names.into_iter().collect()
}

/// Options of which each is spelled in one way.
fn plain(options: &[String]) -> Vec<String> {
    let spelled = |option: &String| match option.split_once('=') {
        Some(("--bucket", bucket)) => {
            BucketSpec::parse(bucket).map_or_else(|_| option.clone(), |spec| format!("--bucket={spec}"))
        }
        Some(("--endpoint-url", url)) => {
            let options = S3Options { endpoint_url: Some(url.to_owned()), ..S3Options::default() };
            format!("--endpoint-url={}", options.endpoint())
        }
        _ => option.clone(),
    };
    options.iter().map(spelled).collect()
}

/// Answered from memory.
const KNOCK_LIMIT: Duration = Duration::from_secs(5);
/// For uploads that are under way when a newer program takes over.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_differ_are_named() {
        let options = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (own, its) =
            (options("--bucket=a --read-only --cache-size=1GiB"), options("--bucket=a --cache-size=2GiB"));
        assert_eq!(differing(&own, &its), ["--cache-size", "--read-only"]);
        assert_eq!(differing(&its, &own), ["--cache-size", "--read-only"]);
        assert!(differing(&own, &options("--bucket=s3://a/ --cache-size=1GiB --read-only")).is_empty());
    }

    #[test]
    fn options_are_the_same_however_they_are_spelled() {
        let plain = |options: [&str; 2]| plain(&options.map(str::to_owned));
        let one = plain(["--bucket=photos/2026", "--endpoint-url=http://minio:9000"]);
        assert_eq!(plain(["--bucket=s3://photos/2026/", "--endpoint-url=HTTP://MinIO:9000/"]), one);
        assert_ne!(plain(["--bucket=photos/2025", "--endpoint-url=http://minio:9000"]), one);
        assert_ne!(plain(["--bucket=photos/2026", "--endpoint-url=https://minio:9000"]), one);
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(
            is_newer("0.10.0", "0.9.9") && is_newer("1.0.0", "0.10.0") && is_newer("0.2.1", "0.2.0-rc.1")
        );
        assert!(!is_newer("0.2.0", "0.2.0") && !is_newer("0.1.9", "0.2.0") && !is_newer("0.2.0", ""));
    }
}
