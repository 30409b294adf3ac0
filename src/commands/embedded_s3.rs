//! `s3dav embedded-s3`: the demo's S3 server as a process of its own, for benches and measurements.

use std::io::Write;

use anyhow::Context;

use super::{CommandError, listeners};
use crate::cli::EmbeddedArgs;
use crate::config::Listen;
use crate::embedded::{EmbeddedOptions, EmbeddedS3, Keys};
use crate::shutdown::Signals;

pub(super) async fn run(args: EmbeddedArgs) -> Result<(), CommandError> {
    let mut signals = Signals::listen()?;
    let listen = Listen::parse(std::slice::from_ref(&args.listen))?;
    let mut listeners = listeners::bind(&listen).await?;
    let listener = listeners.pop().context("no address to serve at")?;
    let keys = args.access_key.zip(args.secret_key).map(|(access_key, secret)| Keys { access_key, secret });
    let options =
        EmbeddedOptions { data: args.data, buckets: args.bucket, latency: args.latency.0, keys, below: None };
    let s3 = EmbeddedS3::start(listener, options).await.context("the server did not start")?;
    let Keys { access_key, secret } = s3.keys();
    let endpoint_url = s3.endpoint_url();
    let access = format!(
        "endpoint_url={endpoint_url}\naws_access_key_id={access_key}\naws_secret_access_key={secret}\n"
    );
    // In one piece, and whoever started it may have read enough: not a reason to end.
    let _ = std::io::stdout().write_all(access.as_bytes());
    signals.next().await;
    Ok(())
}
