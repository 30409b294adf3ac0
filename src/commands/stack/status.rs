//! `s3dav stack status`: what the stack has, and what runs.

use super::super::CommandError;
use super::handle::Handle;
use crate::cli::StackNamedArgs;
use crate::stack::{Found, Outputs};

pub(super) async fn run(args: StackNamedArgs) -> Result<(), CommandError> {
    let handle = Handle::of(args).await?;
    let found = handle.existing().await?;
    show(&handle, &found).await
}

/// Prints it; where it is in no good state, says what to do.
pub(super) async fn show(handle: &Handle, found: &Found) -> Result<(), CommandError> {
    say!("stack          {}, {}", handle.name, found.status);
    let obstacle = handle.obstacle(found);
    // One that never came to be has none.
    if obstacle.is_none() || found.outputs().is_ok() {
        show_outputs(handle, &handle.outputs(found)?).await?;
    }
    obstacle.map_or(Ok(()), Err)
}

async fn show_outputs(handle: &Handle, outputs: &Outputs) -> Result<(), CommandError> {
    let how = if outputs.read_only { ", read-only" } else { "" };
    say!("region         {}", outputs.region);
    say!("bucket         {}", outputs.source());
    say!("file system    {} by {}{how}", outputs.file_system, outputs.access_point);
    say!("task           {}", task(handle, outputs).await?);
    match &outputs.load_balancer {
        Some(name) => say!("load balancer  {name}, TCP 2049"),
        None => say!("load balancer  none"),
    }
    say!("client policy  {}", outputs.client_policy);
    Ok(())
}

/// Whether the task runs; if it should and does not, what ECS says of it.
async fn task(handle: &Handle, outputs: &Outputs) -> Result<String, CommandError> {
    if !outputs.running {
        return Ok(format!("stopped; `s3dav stack start {}` starts it", handle.name));
    }
    let (cluster, service) = (&outputs.cluster, &outputs.service);
    let asked = ["ecs", "describe-services", "--cluster", cluster, "--services", service];
    let answer = handle.aws.ask(&asked).await?;
    let found = &answer["services"][0];
    let running = found["runningCount"].as_u64().unwrap_or_default();
    if running > 0 {
        return Ok("running".to_owned());
    }
    let last = found["events"][0]["message"].as_str().unwrap_or("ECS reports nothing about it");
    let starting = found["pendingCount"].as_u64().unwrap_or_default() > 0;
    Ok(format!("{}: {last}", if starting { "starts" } else { "not running" }))
}
