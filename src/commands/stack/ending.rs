//! `s3dav stack stop`, `start` and `down`.

use tokio::time::sleep;

use super::super::{CommandError, asking};
use super::handle::Handle;
use super::{change, up};
use crate::cli::{StackChangeArgs, StackNamedArgs};
use crate::stack::{Estimate, Found, PRICES_OF, Parameter, Phase};

pub(super) async fn stop(args: StackChangeArgs) -> Result<(), CommandError> {
    let handle = Handle::of(args.named).await?;
    let found = ready(&handle).await?;
    if !found.is_meant_to_run() {
        say!("the task of {} is already stopped", handle.name);
        return Ok(());
    }
    let question = format!(
        "Stop the task of {}? Anyone who has mounted through it must unmount first; files are kept.",
        handle.name
    );
    asking::confirm(&question, args.yes).await?;
    set_running(&handle, &found, false).await?;
    say!("the task of {} is stopped; `s3dav stack start {}` starts it again", handle.name, handle.name);
    Ok(())
}

pub(super) async fn start(args: StackNamedArgs) -> Result<(), CommandError> {
    let handle = Handle::of(args).await?;
    let found = ready(&handle).await?;
    if found.is_meant_to_run() {
        say!(
            "the task of {} should already be running; `s3dav stack status {}` shows it",
            handle.name,
            handle.name
        );
        return Ok(());
    }
    tell!("estimate: {} (prices of {PRICES_OF})", Estimate::new(true, found.is_arm(), false));
    set_running(&handle, &found, true).await?;
    say!("the task of {} is running", handle.name);
    Ok(())
}

pub(super) async fn down(args: StackChangeArgs) -> Result<(), CommandError> {
    let handle = Handle::of(args.named).await?;
    let found = handle.existing().await?;
    if found.phase() == Phase::UnderWay {
        handle.changeable(&found)?;
    }
    let outputs = found.outputs().ok();
    let kept = match &outputs {
        Some(outputs) => format!("the bucket {} and everything in it are kept", outputs.bucket),
        None => "a bucket with files in it is kept".to_owned(),
    };
    let question = format!(
        "Delete the stack {}? Its file system is deleted, with anything written through it in the last \
         minute; {kept}.",
        handle.name
    );
    asking::confirm(&question, args.yes).await?;
    if found.phase() == Phase::Ready {
        if found.is_meant_to_run() {
            set_running(&handle, &found, false).await?;
        }
        let wait = handle.times.drain_wait.0;
        tell!("{}: waiting {wait:?} for S3 Files to export what was written last", handle.name);
        sleep(wait).await;
    }
    change::delete(&handle, &found.id).await?;
    let left = handle.follow(&found.id).await?;
    if left.phase() != Phase::Gone {
        return Err(handle.failure(&left).await);
    }
    change::forget_password(&handle).await?;
    say!("deleted the stack {}; {kept}", handle.name);
    if let Some(outputs) = outputs {
        tell!("`s3dav mount {}` mounts the bucket without it", outputs.bucket);
    }
    Ok(())
}

/// A stack that can be changed.
async fn ready(handle: &Handle) -> Result<Found, CommandError> {
    let found = handle.existing().await?;
    handle.changeable(&found)?;
    Ok(found)
}

async fn set_running(handle: &Handle, found: &Found, runs: bool) -> Result<(), CommandError> {
    let number = if runs { "1" } else { "0" };
    if change::update(handle, found, &[Parameter::new("Running", number)], false).await? {
        up::done(handle, &found.id).await?;
    }
    Ok(())
}
