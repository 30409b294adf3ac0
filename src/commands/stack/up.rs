//! `s3dav stack up`: what is to be is shown with what it costs, and made once that is wanted.

use anyhow::anyhow;

use super::super::{CommandError, asking};
use super::handle::Handle;
use super::wanted::{Network, Wanted};
use super::{change, mistaken, preflight, status};
use crate::cli::StackUpArgs;
use crate::stack::{Architecture, Estimate, Found, PRICES_OF, PRICES_SOURCES, Parameter, password_parameter};

pub(super) async fn run(args: StackUpArgs) -> Result<(), CommandError> {
    let wanted = Wanted::of(&args)?;
    let handle = Handle::of(args.change.named).await?;
    let found = up(&handle, &wanted, args.change.yes).await?;
    status::show(&handle, &found).await?;
    tell!("mount it with `s3dav mount --stack {}`", handle.name);
    Ok(())
}

/// Creates or changes the stack, and waits until that is done.
async fn up(handle: &Handle, wanted: &Wanted, is_agreed: bool) -> Result<Found, CommandError> {
    match handle.find().await? {
        None => create(handle, wanted, is_agreed).await,
        Some(found) => renew(handle, handle.own(found)?, wanted, is_agreed).await,
    }
}

pub(super) async fn create(handle: &Handle, wanted: &Wanted, is_agreed: bool) -> Result<Found, CommandError> {
    let image = wanted.image_or_releases(&handle.name)?;
    if let Some((bucket, _)) = &wanted.bucket {
        preflight::check_bucket(&handle.aws, bucket).await?;
    }
    let architecture = preflight::architecture(&handle.aws, &image, wanted).await?;
    let mut parameters = vec![
        Parameter::new("Image", image.as_str()),
        Parameter::new("Architecture", architecture.of_ecs()),
        Parameter::new("PasswordParameter", password_parameter(&handle.name)),
    ];
    parameters.extend(chosen(wanted));
    let mut address = None;
    if let Some(network) = &wanted.network {
        let free = preflight::mount_target_address(&handle.aws, network).await?.to_string();
        parameters.push(Parameter::new("ExistingVpc", &network.vpc));
        parameters.push(Parameter::new("ExistingSubnet", &network.subnet));
        parameters.push(Parameter::new("MountTargetAddress", &free));
        address = Some(free);
    }
    if let Some((bucket, prefix)) = &wanted.bucket {
        parameters.push(Parameter::new("ExistingBucket", bucket));
        parameters.push(Parameter::new("Prefix", prefix));
    }
    show_plan(handle, wanted, image.as_str(), address.as_deref());
    show_estimate(Estimate::new(
        true,
        architecture == Architecture::Arm64,
        wanted.source.flatten().is_some(),
    ));
    asking::confirm(&format!("Create the stack {}?", handle.name), is_agreed).await?;
    let is_new = change::keep_or_make_password(handle).await?;
    let id = change::create(handle, &parameters, is_new).await?;
    tell!("{}: this takes about ten minutes", handle.name);
    done(handle, &id).await
}

async fn renew(
    handle: &Handle,
    found: Found,
    wanted: &Wanted,
    is_agreed: bool,
) -> Result<Found, CommandError> {
    handle.changeable(&found)?;
    refuse_another_place(handle, &found, wanted)?;
    let current = |key: &str| found.parameters.get(key).map(String::as_str).unwrap_or_default();
    let mut changed = chosen(wanted);
    let mut is_arm = found.is_arm();
    // Another processor is one for the image that it has, too.
    let image = match (&wanted.image, wanted.architecture) {
        (None, Some(_)) => Some(current("Image").parse().map_err(mistaken)?),
        (image, _) => image.clone(),
    };
    if let Some(image) = &image {
        let architecture = preflight::architecture(&handle.aws, image, wanted).await?;
        changed.push(Parameter::new("Image", image.as_str()));
        changed.push(Parameter::new("Architecture", architecture.of_ecs()));
        is_arm = architecture == Architecture::Arm64;
    }
    let has_balancer = wanted.source.map_or(!current("SourceCidr").is_empty(), |source| source.is_some());
    tell!("the stack {} in {} would be changed:", handle.name, handle.aws.region());
    for Parameter { key, value } in &changed {
        tell!("  {key}: {value:?} instead of {:?}", current(key));
    }
    tell!("  its template: that of s3dav {}", env!("CARGO_PKG_VERSION"));
    show_estimate(Estimate::new(found.is_meant_to_run(), is_arm, has_balancer));
    asking::confirm(&format!("Change the stack {}?", handle.name), is_agreed).await?;
    change::keep_or_make_password(handle).await?;
    if !change::update(handle, &found, &changed, true).await? {
        tell!("there is nothing to change");
        return Ok(found);
    }
    done(handle, &found.id).await
}

/// Waits for the end of a change, which must be a good one.
pub(super) async fn done(handle: &Handle, id: &str) -> Result<Found, CommandError> {
    let found = handle.follow(id).await?;
    if found.is_done() { Ok(found) } else { Err(handle.failure(&found).await) }
}

/// What may be changed later, too.
fn chosen(wanted: &Wanted) -> Vec<Parameter> {
    let read_only = wanted.read_only.map(|read_only| Parameter::new("ReadOnly", read_only.to_string()));
    let source = wanted.source.map(|source| {
        Parameter::new("SourceCidr", source.map(|range| range.to_string()).unwrap_or_default())
    });
    read_only.into_iter().chain(source).collect()
}

/// Another bucket or network would be another file system, and what was not exported would be lost.
fn refuse_another_place(handle: &Handle, found: &Found, wanted: &Wanted) -> Result<(), CommandError> {
    let is = |key: &str, wanted: &str| found.parameters.get(key).is_some_and(|current| current == wanted);
    let another = match (&wanted.bucket, &wanted.network) {
        (Some((bucket, prefix)), _) if !is("ExistingBucket", bucket) || !is("Prefix", prefix) => {
            "bucket or prefix"
        }
        (_, Some(network)) if !is("ExistingVpc", &network.vpc) || !is("ExistingSubnet", &network.subnet) => {
            "network"
        }
        _ => return Ok(()),
    };
    Err(CommandError::hinted(
        anyhow!("the stack {} has a different {another}, which cannot be changed", handle.name),
        "create a stack with another name, and delete this one with `s3dav stack down`",
    ))
}

fn show_plan(handle: &Handle, wanted: &Wanted, image: &str, address: Option<&str>) {
    tell!("the stack {} in {} would have:", handle.name, handle.aws.region());
    match &wanted.bucket {
        Some((bucket, prefix)) if prefix.is_empty() => {
            tell!("  bucket         {bucket}, which exists and stays")
        }
        Some((bucket, prefix)) => tell!("  bucket         {bucket}, below {prefix}, which exists and stays"),
        None => tell!("  bucket         a new one with versions, which outlives the stack"),
    }
    let how = if wanted.read_only == Some(true) { ", nothing can be written through it" } else { "" };
    tell!("  S3 Files       a file system with an access point and a mount target{how}");
    match (&wanted.network, address) {
        (Some(Network { vpc, subnet }), Some(address)) => {
            tell!("  network        {vpc}, {subnet}; the mount target at {address}");
        }
        _ => tell!("  network        a VPC with one public subnet, and a free endpoint for S3"),
    }
    tell!(
        "  gateway        a task of Fargate with 0.25 CPUs and 0.5 GB; no port of it is open to the network"
    );
    tell!("  image          {image}");
    if let Some(Some(range)) = wanted.source {
        tell!("  load balancer  TCP 2049 of the mount target, for {range} alone");
    }
    tell!("  roles          for S3 Files, for ECS and for the task; a password in SSM; a log for 14 days");
}

fn show_estimate(estimate: Estimate) {
    tell!("estimate: {estimate}\n  prices of {PRICES_OF}: {PRICES_SOURCES}");
}
