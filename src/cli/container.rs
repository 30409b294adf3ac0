//! The options of `container`: what the image for Amazon S3 Files runs, and how an image is built.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::builder::{BoolishValueParser, Resettable};
use clap::{Arg, Args, Id, Subcommand};

use super::serve::served;
use super::value::named;
use super::{FileArgs, MounterArgs, MountingArgs, S3Args, ServeArgs, part};
use crate::container::{DEFAULT_DIR, EngineKind, Times};
use crate::units::Timespan;

#[derive(Debug, Clone, Args)]
#[command(subcommand_negates_reqs = true, mut_args(hide_what_is_for_buckets))]
pub struct ContainerArgs {
    #[command(subcommand)]
    pub command: Option<ContainerCommand>,

    #[command(flatten)]
    pub mount: ContainerMountArgs,

    /// Wait for a password that the host passes on, and require it from clients
    #[arg(long, hide = true)]
    pub password_from_host: bool,

    #[command(flatten)]
    pub times: ContainerTimes,

    #[command(flatten)]
    pub system: SystemArgs,

    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The mount, besides what says which file system it is of.
#[derive(Debug, Clone, Args)]
pub struct ContainerMountArgs {
    /// Directory to mount at
    #[arg(
        long,
        env = "S3DAV_DIR",
        value_name = "DIR",
        default_value = DEFAULT_DIR,
        help_heading = "S3 Files"
    )]
    pub dir: PathBuf,

    /// Let amazon-efs-utils write logs and metrics to CloudWatch
    #[arg(long, env = "S3DAV_CLOUDWATCH", help_heading = "S3 Files", value_parser = BoolishValueParser::new())]
    pub cloudwatch: bool,
}

/// How long is waited; for tests.
#[derive(Debug, Clone, Copy, Args)]
pub struct ContainerTimes {
    /// For the first credentials, and for a password
    #[arg(long, value_name = "TIME", default_value_t = Timespan(Times::DEFAULT.credentials), hide = true)]
    pub credentials_limit: Timespan,

    /// For the mount, all tries together
    #[arg(long, value_name = "TIME", default_value_t = Timespan(Times::DEFAULT.mount), hide = true)]
    pub mount_limit: Timespan,

    /// For an orderly unmount; half as long for each of the two that are not
    #[arg(long, value_name = "TIME", default_value_t = Timespan(Times::DEFAULT.unmount), hide = true)]
    pub unmount_limit: Timespan,

    /// Between two looks at what should run
    #[arg(long, value_name = "TIME", default_value_t = Timespan(Times::DEFAULT.watch), hide = true)]
    pub watch_interval: Timespan,
}

/// Where the system is.
#[derive(Debug, Clone, Args)]
pub struct SystemArgs {
    /// Directory below which its programs and files are looked for; for tests
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub system_root: PathBuf,
}

#[derive(Debug, Clone, Subcommand)]
pub enum ContainerCommand {
    /// Pass credentials to the running container: reads the output of `aws configure export-credentials --format
    /// process`
    Credentials(SystemArgs),

    /// Hand over the password that clients are to be asked for: reads a line
    #[command(hide = true)]
    Password(SystemArgs),

    /// Build a container image
    Build(ContainerBuildArgs),
}

#[derive(Debug, Clone, Args)]
pub struct ContainerBuildArgs {
    /// Linux binary of s3dav, for the architecture of the container engine
    #[arg(long, value_name = "FILE")]
    pub binary: PathBuf,

    /// Build the image that mounts Amazon S3 Files, which needs CAP_SYS_ADMIN, instead
    #[arg(long)]
    pub s3files: bool,

    /// Base image, with glibc 2.34 or newer [default: debian:12-slim; for S3 Files amazonlinux:2023]
    #[arg(long, value_name = "IMAGE")]
    pub base: Option<String>,

    /// Name and tag of the new image [default: s3dav:VERSION; for S3 Files s3dav-s3files:VERSION]
    #[arg(long, value_name = "NAME")]
    pub tag: Option<String>,

    /// Container engine to build with [default: docker, or podman where there is no docker]
    #[arg(long, value_parser = named::<EngineKind>())]
    pub engine: Option<EngineKind>,
}

/// Of the options of `serve` those that a mount of S3 Files has no use for: what is served is known, and is mounted in
/// no other place. The region and the profile are its own.
fn hide_what_is_for_buckets(option: Arg) -> Arg {
    let id = option.get_id().as_str();
    if id == "region" {
        return option.help("Region of the file system [default: that of the environment, on EC2 its own]");
    }
    if id == "s3files" {
        // What is not of a container is refused with other words.
        let option = option.required(true).conflicts_with(Resettable::Reset);
        return option.help("File system of Amazon S3 Files to mount and serve");
    }
    let is_unused = option.is_positional() || UNUSED.contains(option.get_id());
    if is_unused { option.hide(true) } else { option }
}

/// Asked for each option at every start of the program, so it is made once.
static UNUSED: LazyLock<HashSet<Id>> = LazyLock::new(|| {
    let of_buckets = part::ids::<S3Args>().filter(|id| id != "profile");
    let of_mounts = part::ids::<MounterArgs>().chain(part::ids::<MountingArgs>());
    of_buckets.chain(of_mounts).chain(part::ids::<FileArgs>()).chain(served().iter().cloned()).collect()
});
