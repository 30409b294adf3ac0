//! The options of `stack`, and those of `mount` that name a stack.

use clap::{Args, Subcommand};

use super::part::COMMON;
use super::value::named;
use crate::stack::{Architecture, Via};
use crate::units::Timespan;

#[derive(Debug, Clone, Args)]
pub struct StackArgs {
    #[command(subcommand)]
    pub command: StackCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum StackCommand {
    /// Print the CloudFormation template
    Template {
        /// Print the IAM policy for deploying it instead; fill in the words in capitals
        #[arg(long)]
        iam: bool,
    },
    /// Create or change a stack; shows its resources and costs, and asks first
    Up(Box<StackUpArgs>),
    /// Show the outputs of a stack, and whether its task runs
    Status(StackNamedArgs),
    /// Stop the task and its costs; the files stay
    Stop(StackChangeArgs),
    /// Start the task again
    Start(StackNamedArgs),
    /// Delete the stack, but not the bucket
    Down(StackChangeArgs),
}

/// For whom, and where.
#[derive(Debug, Clone, Args)]
pub struct AwsArgs {
    /// Region of the stack [default: that of the AWS CLI]
    #[arg(long, env = "S3DAV_REGION", value_name = "NAME", help_heading = "AWS")]
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
    #[arg(long, value_name = "TIME", default_value_t = Timespan::secs(5), hide = true)]
    pub poll_interval: Timespan,

    /// For a change of the stack
    #[arg(long, value_name = "TIME", default_value_t = Timespan::secs(30 * 60), hide = true)]
    pub change_limit: Timespan,

    /// For S3 Files to export what was written last, before the file system is removed
    #[arg(long, value_name = "TIME", default_value_t = Timespan::secs(90), hide = true)]
    pub drain_wait: Timespan,
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

    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Clone, Args)]
pub struct StackUpArgs {
    #[command(flatten)]
    pub change: StackChangeArgs,

    /// Existing bucket with versioning, and optionally a prefix [default: a new bucket]
    #[arg(long, value_name = "NAME[/PREFIX]")]
    pub bucket: Option<String>,

    /// Do not allow writes through the file system
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub read_only: Option<bool>,

    /// Container image of s3dav for the task; needed for a new stack, as no image is published yet
    #[arg(long, value_name = "REPOSITORY@sha256:DIGEST")]
    pub image: Option<String>,

    /// Processor architecture of the image [default: found out, else arm64]
    #[arg(long, value_parser = named::<Architecture>())]
    pub architecture: Option<Architecture>,

    /// Open a load balancer to this address range, for Docker on your machine: such as 203.0.113.7/32, or `none`
    #[arg(long, value_name = "CIDR")]
    pub nlb_from: Option<String>,

    /// Existing VPC [default: a new one]
    #[arg(long, value_name = "ID", requires = "subnet")]
    pub vpc: Option<String>,

    /// Public subnet of that VPC
    #[arg(long, value_name = "ID", requires = "vpc")]
    pub subnet: Option<String>,
}

/// The stack whose files `mount` is to mount.
#[derive(Debug, Clone, Args)]
pub struct MountStackArgs {
    /// Mount what this stack serves; see `s3dav stack`
    #[arg(long, value_name = "NAME", help_heading = "Stack", group = COMMON)]
    pub stack: Option<String>,

    /// Way to the files [default: direct, or as answered when asked]
    #[arg(long, value_parser = named::<Via>(), requires = "stack", help_heading = "Stack")]
    pub via: Option<Via>,

    #[command(flatten)]
    pub times: StackTimes,
}
