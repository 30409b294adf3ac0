//! The options of `container`: what the image for Amazon S3 Files runs, and how an image is built.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Arg, Args, Subcommand, ValueEnum};

use super::ServeArgs;
use crate::config::units::parse_duration;

#[derive(Debug, Clone, Args)]
#[command(subcommand_negates_reqs = true, mut_args(hide_what_is_for_buckets))]
pub struct ContainerArgs {
    #[command(subcommand)]
    pub command: Option<ContainerCommand>,

    /// File system of Amazon S3 Files to mount and serve
    #[arg(long, env = "S3DAV_S3FILES", value_name = "FS_ID", required = true, help_heading = "S3 Files")]
    pub s3files: Option<String>,

    /// Availability zone by its ID, such as use1-az1; found out on EC2
    #[arg(long, env = "S3DAV_AZ_ID", value_name = "AZ", help_heading = "S3 Files")]
    pub az_id: Option<String>,

    /// Host name or address at which the mount target is reached from here
    #[arg(long, env = "S3DAV_MOUNT_TARGET", value_name = "HOST", help_heading = "S3 Files")]
    pub mount_target: Option<String>,

    /// Access point of the file system
    #[arg(long, env = "S3DAV_ACCESS_POINT", value_name = "ID", help_heading = "S3 Files")]
    pub access_point: Option<String>,

    /// Read everything through the mount target, nothing from S3 itself
    #[arg(long, env = "S3DAV_NO_DIRECT_READS", help_heading = "S3 Files", value_parser = BoolishValueParser::new())]
    pub no_direct_reads: bool,

    /// Where to mount it
    #[arg(
        long,
        env = "S3DAV_DIR",
        value_name = "DIR",
        default_value = "/mnt/s3files",
        help_heading = "S3 Files"
    )]
    pub dir: PathBuf,

    /// Let the mount's programs write logs and metrics to CloudWatch
    #[arg(long, env = "S3DAV_CLOUDWATCH", help_heading = "S3 Files", value_parser = BoolishValueParser::new())]
    pub cloudwatch: bool,

    #[command(flatten)]
    pub times: ContainerTimes,

    #[command(flatten)]
    pub system: SystemArgs,

    #[command(flatten)]
    pub serve: ServeArgs,
}

/// How long is waited; for tests.
#[derive(Debug, Clone, Copy, Args)]
pub struct ContainerTimes {
    /// For the first credentials
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10s", hide = true)]
    pub credentials_limit: Duration,

    /// For the mount, all tries together
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s", hide = true)]
    pub mount_limit: Duration,

    /// For an orderly unmount; half as long for each of the two that are not
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10s", hide = true)]
    pub unmount_limit: Duration,

    /// Between two looks at what should run
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1s", hide = true)]
    pub watch_interval: Duration,
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
    /// Hand credentials to the container that runs here: reads what `aws configure export-credentials --format
    /// process` prints
    Credentials(SystemArgs),

    /// Build an image that serves a bucket, or a directory, without any rights
    Build(ContainerBuildArgs),
}

#[derive(Debug, Clone, Args)]
pub struct ContainerBuildArgs {
    /// The program for the image: s3dav for Linux, of the architecture that the engine has
    #[arg(long, value_name = "FILE")]
    pub binary: PathBuf,

    /// Image to build on, with glibc 2.34 or newer [default: debian:12-slim]
    #[arg(long, value_name = "IMAGE")]
    pub base: Option<String>,

    /// Name of the new image
    #[arg(long, value_name = "NAME", default_value = concat!("s3dav:", env!("CARGO_PKG_VERSION")))]
    pub tag: String,

    /// Program that builds it [default: docker, or podman where there is no docker]
    #[arg(long, value_enum)]
    pub engine: Option<EngineArg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineArg {
    Docker,
    Podman,
}

/// Of the options of `serve` those that a mount of S3 Files has no use for; the region and the profile are its own.
fn hide_what_is_for_buckets(option: Arg) -> Arg {
    let id = option.get_id().as_str();
    if id == "region" {
        return option.help("Region of the file system [default: that of the environment, on EC2 its own]");
    }
    let of_buckets = option.get_help_heading() == Some("S3") && id != "profile";
    if of_buckets || UNUSED.contains(&id) { option.hide(true) } else { option }
}

/// What is served is known, and is mounted in no other place.
const UNUSED: [&str; 11] = [
    "what",
    "bucket",
    "path",
    "source",
    "config",
    "mount",
    "volume_name",
    "no_browse",
    "metadata_ttl",
    "read_ahead",
    "read_ahead_total",
];
