//! The command line: clap's structs, and how they are filled. What the options mean stands in `config`.

mod container;
mod documents;
mod given;
mod iam;
mod s3files;
mod serve;
mod stack;
mod state;
mod variables;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::config::units::parse_duration;

pub use clap_complete::Shell;
pub use container::{
    ContainerArgs, ContainerBuildArgs, ContainerCommand, ContainerTimes, EngineArg, SystemArgs,
};
pub use documents::{completions, has_command, write_man_pages};
pub use given::{Given, Invocation, Kind, Layer, Origin, ParseError, option_names, parse};
pub use iam::{IamPolicyArgs, TrustArg};
pub use s3files::{FarEngineArg, S3FilesArgs, SessionArgs};
pub use serve::{
    AppleMetadataArg, AuthArg, ChecksumsArg, ConditionalWritesArg, NotifyArg, S3Args, ServeArgs,
};
pub use stack::{
    ArchitectureArg, AwsArgs, MountStackArgs, StackArgs, StackChangeArgs, StackCommand, StackNamedArgs,
    StackTimes, StackUpArgs, ViaArg,
};
pub use state::{ExportArgs, ShelfArgs, ShelfCommand, StateArgs, StateCommand};
pub use variables::{UnknownVariable, unknown_variables};
pub use words::mount_bucket;

/// An S3 bucket in Finder: serves S3 as WebDAV on this machine.
#[derive(Debug, Parser)]
#[command(name = "s3dav", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub log: LogArgs,
}

/// The log: of `mount` that of the gateway that it starts.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// How the log on standard error is written
    #[arg(long, global = true, env = "S3DAV_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// Write the log there instead; two files of 4 MiB at the most
    #[arg(long, global = true, env = "S3DAV_LOG_FILE", value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// Log more; twice for everything
    #[arg(short, long, global = true, env = "S3DAV_VERBOSE", action = ArgAction::Count)]
    pub verbose: u8,
}

impl LogArgs {
    /// As arguments for another start of the program, which logs to `file`.
    pub fn arguments(&self, file: &Path) -> Vec<String> {
        let mut arguments = vec![format!("--log-file={}", file.display())];
        if self.log_format == LogFormat::Json {
            arguments.push("--log-format=json".to_owned());
        }
        arguments.extend(std::iter::repeat_n("--verbose".to_owned(), self.verbose.into()));
        arguments
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve one or more buckets, or a directory
    Serve(Box<ServeArgs>),
    /// Mount a bucket or a directory; starts what is needed
    Mount(Box<MountArgs>),
    /// Unmount it again
    Unmount(UnmountArgs),
    /// Mounted at every login: the service of this user
    Service(ServiceArgs),
    /// Show the gateways that are running: what they serve, what they did, what is wrong
    Status(StatusArgs),
    /// Ask a gateway whether it should be left alone, for HEALTHCHECK and probes: 0, or 1 with the reason
    Health(HealthArgs),
    /// Stop a gateway, in order; what is mounted of it is unmounted first
    Stop(StopArgs),
    /// Start a gateway anew under its mounts, as after an upgrade
    Restart(RestartArgs),
    /// Mount Amazon S3 Files in a container and serve it; build images that serve
    Container(Box<ContainerArgs>),
    /// Amazon S3 Files on a bucket, and a gateway beside it, as a stack of CloudFormation
    Stack(StackArgs),
    /// Finder's own files, which are kept on this machine
    Shelf(ShelfArgs),
    /// What is kept on this machine for each source: list it, remove what nobody needs
    State(StateArgs),
    /// The configuration: file, environment and options together
    Config(ConfigArgs),
    /// Print the IAM policy that a bucket or a file system of Amazon S3 Files needs
    IamPolicy(IamPolicyArgs),
    /// Print what a shell needs to complete commands
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the manual's pages
    ManPages {
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Ask a file system how it is, which may take for ever
    #[command(hide = true)]
    CheckMount { path: PathBuf },
    /// Try it out on an S3 server inside this program
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
    /// The S3 server of the demo, alone
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    EmbeddedS3(EmbeddedArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Which gateway a command is about.
#[derive(Debug, Clone, Args)]
pub struct GatewayArgs {
    /// State directory of the gateway, if there are several or it is in no usual place
    #[arg(long, env = "S3DAV_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct HealthArgs {
    #[command(flatten)]
    pub gateway: GatewayArgs,

    #[command(flatten)]
    pub system: SystemArgs,
}

#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub gateway: GatewayArgs,

    /// A file or a folder, mounted or in a directory that is served: whether what was saved there is in the bucket
    #[arg(value_name = "PATH", conflicts_with = "show_password")]
    pub path: Option<PathBuf>,

    /// For programs
    #[arg(long)]
    pub json: bool,

    /// Show the name and the password for those programs that are asked for them
    #[arg(long)]
    pub show_password: bool,
}

#[derive(Debug, Clone, Args)]
pub struct MountArgs {
    #[command(flatten)]
    pub serve: ServeArgs,

    /// Made if it is missing [default: --mount, else /tmp/s3files]
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: Option<PathBuf>,

    #[command(flatten)]
    pub stack: MountStackArgs,
}

#[derive(Debug, Clone, Args)]
pub struct UnmountArgs {
    /// What to unmount [default: the only one that there is, else /tmp/s3files]
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: Option<PathBuf>,

    /// Even if programs have files open there; what they have not saved is lost
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    pub gateway: GatewayArgs,
}

#[derive(Debug, Clone, Args)]
pub struct ServiceArgs {
    #[command(subcommand)]
    pub command: ServiceCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum ServiceCommand {
    /// Mount it now and at every login; again to change it
    #[command(mut_args(hide_stack))]
    Install(Box<MountArgs>),
    /// Unmount it, and never again at login
    Uninstall,
    /// Start it, if it was stopped
    Start,
    /// Unmount it, until the next login
    Stop,
    /// What the system says of it
    Status,
    /// The end of its log
    Logs {
        /// Lines
        #[arg(short = 'n', long, value_name = "NUMBER", default_value = "50")]
        lines: usize,
    },
}

#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Print each option's value, and where it comes from
    Show(Box<ServeArgs>),
}

/// A stack is looked at when it is mounted, and a service has nobody to ask.
fn hide_stack(option: clap::Arg) -> clap::Arg {
    if option.get_help_heading() == Some("Stack") { option.hide(true) } else { option }
}

/// Where it is mounted unless another place is named.
pub const DEFAULT_MOUNTPOINT: &str = "/tmp/s3files";

#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    #[command(flatten)]
    pub gateway: GatewayArgs,

    /// Even if programs have files open on its mounts; what they have not saved is lost
    #[arg(long)]
    pub force: bool,

    /// How long to wait for its end
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s")]
    pub wait: Duration,
}

#[derive(Debug, Clone, Args)]
pub struct RestartArgs {
    #[command(flatten)]
    pub gateway: GatewayArgs,

    /// How long uploads that are under way may take to end first
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s")]
    pub wait: Duration,
}

#[cfg(feature = "demo")]
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Keep the files here instead of in memory
    #[arg(long, env = "S3DAV_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Address to serve at; may be given several times [default: 127.0.0.1:8330 and [::1]:8330]
    #[arg(long, env = "S3DAV_LISTEN", value_name = "IP:PORT", value_delimiter = ',')]
    pub listen: Vec<String>,
}

#[cfg(feature = "demo")]
#[derive(Debug, Clone, Args)]
pub struct EmbeddedArgs {
    /// Address to serve at
    #[arg(long, env = "S3DAV_LISTEN", value_name = "IP:PORT")]
    pub listen: String,

    /// Keep the objects here instead of in memory
    #[arg(long, env = "S3DAV_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Add this to every answer
    #[arg(long, env = "S3DAV_LATENCY", value_name = "TIME", value_parser = parse_duration, default_value = "0ms")]
    pub latency: Duration,

    /// Access key that it knows [default: a random one]
    #[arg(long, env = "S3DAV_ACCESS_KEY", value_name = "KEY", requires = "secret_key")]
    pub access_key: Option<String>,

    /// Its secret; only the environment keeps it from the eyes of other users
    #[arg(
        long,
        env = "S3DAV_SECRET_KEY",
        value_name = "SECRET",
        requires = "access_key",
        hide_env_values = true
    )]
    pub secret_key: Option<String>,

    /// Bucket that exists from the start; may be given several times
    #[arg(long, env = "S3DAV_BUCKET", value_name = "NAME", value_delimiter = ',', default_value = "bucket")]
    pub bucket: Vec<String>,
}
