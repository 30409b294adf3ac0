//! `s3dav demo`: the whole gateway on an S3 server inside this process.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use tokio::net::TcpListener;

use super::ending::until_stopped;
use super::gateway::Gateway;
use super::listeners;
use super::{CommandError, Ended, running};
use crate::cli::DemoArgs;
use crate::config::{BucketSource, BucketSpec, Config, Listen, Source};
use crate::embedded::{EmbeddedOptions, EmbeddedS3};
use crate::http::auth::Access;
use crate::http::{Limits, ServiceOptions};
use crate::metrics::Metrics;
use crate::object::{Attributes, Condition, Key};
use crate::shutdown::{Shutdown, Signals};
use crate::sockets::Holder;
use crate::store::s3::{FixedCredentials, S3Options, S3Store};
use crate::store::{ListRequest, ObjectStore};

pub(super) async fn run(args: DemoArgs) -> Result<Ended, CommandError> {
    let listen = Listen::parse(&args.listen)?;
    listen.check(&Access::Peers(None))?;
    let listeners = listeners::bind(&listen).await?;
    let socket = TcpListener::bind("127.0.0.1:0").await.context("the embedded S3 server has no socket")?;
    let options =
        EmbeddedOptions { data: args.data.clone(), buckets: vec![BUCKET.into()], ..Default::default() };
    let s3 = EmbeddedS3::start(socket, options).await.map_err(|error| no_server(error, &args))?;
    let temporary = tempfile::tempdir().context("no temporary directory")?;
    let state_dir = match &args.data {
        Some(data) => running::state_dir(&state_beside(data))?,
        None => temporary.path().join("state"),
    };
    let options = s3_options(&s3);
    add_samples(&options).await?;
    let config = config(options, state_dir, &args)?;
    let (shutdown, signals) = (Shutdown::default(), Signals::listen()?);
    let gateway = Gateway::new(config, listeners, shutdown.clone()).await?;
    let welcome = welcome(gateway.urls().first().map(String::as_str).unwrap_or_default(), &args);
    // Nobody may be reading; it serves all the same.
    let _ = std::io::stdout().write_all(welcome.as_bytes());
    until_stopped(gateway, shutdown, None, signals, Holder::Itself).await
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

fn config(s3: S3Options, state_dir: PathBuf, args: &DemoArgs) -> Result<Config, CommandError> {
    let buckets = vec![BucketSpec { bucket: BUCKET.into(), prefix: String::new() }];
    Ok(Config {
        source: Source::Buckets(Box::new(BucketSource::new(buckets, s3))),
        listen: Listen::parse(&args.listen)?,
        access: Access::Peers(None),
        login: None,
        service: ServiceOptions::default(),
        limits: Limits::default(),
        state_dir,
        shelf: Default::default(),
        notify: Default::default(),
        shutdown_timeout: std::time::Duration::from_secs(10),
        mount: None,
        detached: false,
        metrics_listen: None,
    })
}

/// The state must outlive the process as the data does, but not lie among the buckets.
fn state_beside(data: &std::path::Path) -> PathBuf {
    let mut name = data.as_os_str().to_owned();
    name.push(".state");
    PathBuf::from(name)
}

/// Puts something to look at into an empty bucket.
async fn add_samples(options: &S3Options) -> Result<(), CommandError> {
    let store: Arc<dyn ObjectStore> =
        Arc::new(S3Store::new(BUCKET, options.clone(), Metrics::default()).await?);
    if !store.list(&ListRequest::probe("")).await?.is_nothing() {
        return Ok(());
    }
    for (key, content_type, content) in SAMPLES {
        let attributes = Attributes { content_type: Some((*content_type).into()), ..Attributes::default() };
        let body = Bytes::from_static(content.as_bytes());
        store.put(&Key::new(key)?, body, &attributes, &Condition::None).await?;
    }
    Ok(())
}

fn welcome(url: &str, args: &DemoArgs) -> String {
    let kept = match &args.data {
        Some(data) => format!("The files are kept in {}.", data.display()),
        None => "The files are in memory and gone when this ends.".to_owned(),
    };
    format!(
        "A sample bucket is served at {url}\n\n\
         Three things to try:\n  \
         - Finder: Go > Connect to Server (Cmd-K), {url}\n  \
         - curl -T README.md {url}  and then  curl {url}README.md\n  \
         - a browser: {url}\n\n\
         {kept} Ctrl-C stops it.\n"
    )
}

const BUCKET: &str = "demo";

const SAMPLES: &[(&str, &str, &str)] = &[
    (
        "Welcome.txt",
        "text/plain; charset=utf-8",
        "This file is an object in an S3 bucket.\n\nEdit it, rename it, drag something in beside it: each is one \
         request to S3.\n",
    ),
    ("Documents/", "application/x-directory", ""),
    ("Documents/Shopping list.txt", "text/plain; charset=utf-8", "apples\nbread\ncheese\n"),
    ("Documents/Übersicht.csv", "text/csv; charset=utf-8", "month,visitors\nMay,120\nJune,340\n"),
    (
        "Pictures/sunrise.svg",
        "image/svg+xml",
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"320\" height=\"200\"><rect width=\"320\" height=\"200\" \
         fill=\"#fbd38d\"/><circle cx=\"160\" cy=\"200\" r=\"80\" fill=\"#f56565\"/></svg>\n",
    ),
];
