//! `s3dav demo`: the whole gateway on an S3 server inside this process.

mod samples;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::ending::until_stopped;
use super::gateway::Gateway;
use super::kept_mount::KeptMount;
use super::listeners;
use super::words::quoted;
use super::{CommandError, Ended, attempt, running};
use crate::cli::DemoArgs;
use crate::config::{BucketSource, BucketSpec, Config, Listen, Source};
use crate::embedded::{EmbeddedOptions, EmbeddedS3};
use crate::http::auth::Access;
use crate::metrics::Metrics;
use crate::mount::{self, MountOptions};
use crate::shutdown::{Shutdown, Signals};
use crate::sockets::Holder;
use crate::state;
use crate::store::MultipartStore;
use crate::store::s3::{FixedCredentials, S3Options, S3Store};

pub(super) async fn run(args: DemoArgs) -> Result<Ended, CommandError> {
    let listen = Listen::parse(&args.listen)?;
    listen.check(&Access::Peers(None))?;
    let mount = args.mount.as_deref().map(mount_options);
    if let Some(options) = &mount
        && let Err(error) = mount::check(&options.point).await
    {
        return Err(attempt::occupant_named(error.into()).await);
    }
    let listeners = listeners::bind(&listen).await?;
    let socket = TcpListener::bind("127.0.0.1:0").await.context("the embedded S3 server has no socket")?;
    let options =
        EmbeddedOptions { data: args.data.clone(), buckets: vec![BUCKET.into()], ..Default::default() };
    let s3 = EmbeddedS3::start(socket, options).await.map_err(|error| no_server(error, &args))?;
    let state_dir = StateDir::of(args.data.as_deref())?;
    let options = s3_options(&s3);
    let store: Arc<dyn MultipartStore> =
        Arc::new(S3Store::new(BUCKET, options.clone(), Metrics::default()).await?);
    samples::add(&store).await?;
    drop(store);
    let config = config(options, state_dir.path().to_owned(), &args, mount.clone())?;
    let (shutdown, signals) = (Shutdown::default(), Signals::listen()?);
    let note = config.source.note(Vec::new());
    let mut gateway = Gateway::new(config, listeners, shutdown.clone()).await?;
    gateway.set_note(note);
    let welcome = welcome(gateway.urls().first().map(String::as_str).unwrap_or_default(), &args);
    let kept = mount.map(|options| {
        let kept = super::mount::of_gateway(options, None, &gateway);
        KeptMount::of(kept, mount::DEFAULT_INTERVAL, &gateway)
    });
    // Nobody may be reading; it serves all the same.
    let _ = std::io::stdout().write_all(welcome.as_bytes());
    let ended = until_stopped(gateway, shutdown, kept, signals, Holder::Itself).await;
    // The gateway has used it to its end.
    drop(state_dir);
    ended
}

/// Where the demo's state is.
enum StateDir {
    /// Beside the files that are kept, as long as they are.
    Kept(PathBuf),
    /// Until the demo ends.
    Temporary(TempDir),
}

impl StateDir {
    fn of(data: Option<&Path>) -> Result<Self, CommandError> {
        Ok(match data {
            Some(data) => Self::Kept(running::state_dir(&state_beside(data))?),
            None => Self::Temporary(state::temporary("demo-").context("no temporary directory")?),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }
}

fn mount_options(point: &Path) -> MountOptions {
    MountOptions {
        point: std::path::absolute(point).unwrap_or_else(|_| point.to_owned()),
        volume_name: BUCKET.to_owned(),
        browse: true,
        read_only: false,
    }
}

fn no_server(error: std::io::Error, args: &DemoArgs) -> CommandError {
    let error = anyhow::Error::new(error);
    match &args.data {
        Some(data) => CommandError::hinted(
            error.context(format!("files cannot be kept in {}", data.display())),
            "name another directory with --data, one that you may write to; it is made if it does not exist",
        ),
        None => error.context("the embedded S3 server did not start").into(),
    }
}

fn s3_options(s3: &EmbeddedS3) -> S3Options {
    let keys = s3.keys().clone();
    S3Options {
        endpoint_url: Some(s3.endpoint_url()),
        force_path_style: Some(true),
        credentials: Some(FixedCredentials { access_key: keys.access_key, secret: keys.secret }),
        ..S3Options::default()
    }
}

fn config(
    s3: S3Options,
    state_dir: PathBuf,
    args: &DemoArgs,
    mount: Option<MountOptions>,
) -> Result<Config, CommandError> {
    let buckets = vec![BucketSpec { bucket: BUCKET.into(), prefix: String::new() }];
    // The server in this process keeps conditions.
    let source = BucketSource { trusts_conditions: true, ..BucketSource::new(buckets, s3) };
    let source = Source::Buckets(Box::new(source));
    Ok(Config { listen: Listen::parse(&args.listen)?, mount, ..Config::new(source, state_dir) })
}

/// The state must outlive the process as the data does, but not lie among the buckets.
fn state_beside(data: &std::path::Path) -> PathBuf {
    let mut name = data.as_os_str().to_owned();
    name.push(".state");
    PathBuf::from(name)
}

fn welcome(url: &str, args: &DemoArgs) -> String {
    let kept = match &args.data {
        Some(data) => format!("The files are kept in {}.", data.display()),
        None => "The files are in memory and gone when this ends.".to_owned(),
    };
    let first = match &args.mount {
        Some(point) => format!("Finder, or any program: it appears at {} in a moment", point.display()),
        None => format!("Finder: Go > Connect to Server (Cmd-K), {url}; or `s3dav demo --mount`"),
    };
    let stop = match &args.data {
        Some(data) => {
            format!("`s3dav stop --state-dir {}`", quoted(&state_beside(data).display().to_string()))
        }
        None => "`s3dav stop`".to_owned(),
    };
    format!(
        "A sample bucket is served at {url}\n\n\
         Three things to try:\n  \
         - {first}\n  \
         - echo hi | curl -T - {url}hi.txt  and then  curl {url}hi.txt\n  \
         - a browser: {url}\n\n\
         {kept} Ctrl-C or {stop} ends it.\n"
    )
}

const BUCKET: &str = "demo";
