//! The options of `stack`, and those of `mount` that name a stack.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::units::parse_duration;

#[derive(Debug, Clone, Args)]
pub struct StackArgs {
    #[command(subcommand)]
    pub command: StackCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum StackCommand {
    /// Print the template of CloudFormation that `up` uses
    Template {
        /// Print instead the IAM policy of whoever uses it; words in capitals are to be filled in
        #[arg(long)]
        iam: bool,
    },
    /// Create a stack, or change it; shows what it makes and costs, and asks first
    Up(Box<StackUpArgs>),
    /// Show what the stack has, and whether its task runs
    Status(StackNamedArgs),
    /// End the task, and what it costs; files stay, and the bucket can be mounted as before
    Stop(StackChangeArgs),
    /// Start the task again
    Start(StackNamedArgs),
    /// Remove all but the bucket
    Down(StackChangeArgs),
}

/// For whom, and where.
#[derive(Debug, Clone, Args)]
pub struct AwsArgs {
    /// Region of the stack [default: that of the environment or of the AWS CLI's configuration]
    #[arg(long, env = "S3DAV_REGION", help_heading = "AWS")]
    pub region: Option<String>,

    /// Profile of the AWS configuration files
    #[arg(long, env = "S3DAV_PROFILE", value_name = "NAME", help_heading = "AWS")]
    pub profile: Option<String>,

    #[command(flatten)]
    pub times: StackTimes,
}

/// How long is waited; for tests.
#[derive(Debug, Clone, Copy, Args)]
pub struct StackTimes {
    /// Between two looks at a stack that is being changed
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "5s", hide = true)]
    pub poll_interval: Duration,

    /// For a change of the stack
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30m", hide = true)]
    pub change_limit: Duration,

    /// For S3 Files to export what was written last, before the file system is removed
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "90s", hide = true)]
    pub drain_wait: Duration,
}

#[derive(Debug, Clone, Args)]
pub struct StackNamedArgs {
    /// Name of the stack
    pub name: String,

    #[command(flatten)]
    pub aws: AwsArgs,
}

#[derive(Debug, Clone, Args)]
pub struct StackChangeArgs {
    #[command(flatten)]
    pub named: StackNamedArgs,

    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Clone, Args)]
pub struct StackUpArgs {
    #[command(flatten)]
    pub change: StackChangeArgs,

    /// Bucket that exists, with versioning, and only what lies below the prefix [default: a new bucket]
    #[arg(long, value_name = "NAME[/PREFIX]")]
    pub bucket: Option<String>,

    /// Let nobody write through the file system
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub read_only: Option<bool>,

    /// Image of s3dav for the task [default: that of the release]
    #[arg(long, value_name = "REPOSITORY@sha256:DIGEST")]
    pub image: Option<String>,

    /// What the image is for, where that cannot be found out
    #[arg(long, value_enum)]
    pub architecture: Option<ArchitectureArg>,

    /// Open a load balancer for Docker on your machine to these addresses, such as 203.0.113.7/32, or `none`
    #[arg(long, value_name = "CIDR")]
    pub nlb_from: Option<String>,

    /// VPC that exists [default: a new one]
    #[arg(long, value_name = "ID", requires = "subnet")]
    pub vpc: Option<String>,

    /// Public subnet of it
    #[arg(long, value_name = "ID", requires = "vpc")]
    pub subnet: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArchitectureArg {
    Arm64,
    Amd64,
}

/// The stack whose files `mount` is to mount.
#[derive(Debug, Clone, Args)]
pub struct MountStackArgs {
    /// Mount what the stack NAME of `s3dav stack` serves
    #[arg(long, value_name = "NAME", help_heading = "Stack")]
    pub stack: Option<String>,

    /// Which way to it; asked, and said, where it is not given
    #[arg(long, value_enum, requires = "stack", help_heading = "Stack")]
    pub via: Option<ViaArg>,

    #[command(flatten)]
    pub times: StackTimes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ViaArg {
    /// The bucket itself; what others write through S3 Files shows a minute later
    Direct,
    /// S3 Files, mounted by a container on this machine, through the stack's load balancer
    Docker,
    /// S3 Files, through the stack's task and a session of SSM; experimental: never run on AWS
    Task,
}
