//! The command line: clap's structs, and how they are filled. What the options mean stands in `config`.

mod container;
mod documents;
mod drain;
mod iam;
mod manual;
mod mistakes;
mod parsing;
mod part;
mod pending;
mod resolved;
mod s3files;
mod serve;
mod stack;
mod state;
mod value;
mod variables;
mod words;

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::logging::LogFormat;
use crate::units::Timespan;

pub use clap_complete::Shell;
pub use container::{
    ContainerArgs, ContainerBuildArgs, ContainerCommand, ContainerMountArgs, ContainerTimes, SystemArgs,
};
pub use documents::{completions, has_command, write_man_pages};
pub use drain::{DrainArgs, served_with};
pub use iam::IamPolicyArgs;
pub use mistakes::{log_format, mistake};
pub use parsing::{Invocation, ParseError, default_in_words, option_names, parse, parse_again};
pub use part::variables_of;
pub use pending::{PendingArgs, PendingCommand, PendingPath};
pub use resolved::{Kind, Layer, Origin, ResolvedOption};
pub use s3files::{FileSystemArgs, MounterArgs, S3FilesArgs, SessionArgs};
pub use serve::{FileArgs, MountingArgs, S3Args, ServeArgs, served_names};
pub use stack::{
    AwsArgs, MountStackArgs, StackArgs, StackChangeArgs, StackCommand, StackNamedArgs, StackTimes,
    StackUpArgs,
};
pub use state::{ExportArgs, ShelfArgs, ShelfCommand, StateArgs, StateCommand};
pub use variables::{UnknownVariable, unknown_variables};

use value::named;

/// An S3 bucket in Finder: serves S3 as WebDAV on this machine.
#[derive(Debug, Parser)]
#[command(name = "s3dav", version, long_version = long_version(), max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub log: LogArgs,
}

/// The version, and what it was built for. Not the commit: only a build script could tell it, which would make each
/// commit a new build.
fn long_version() -> String {
    let demo = if cfg!(feature = "demo") { "demo" } else { "none" };
    let (version, architecture, system) =
        (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS);
    format!("{version}\ntarget: {architecture} {system}\nfeatures: {demo}")
}

/// The log: of `mount` that of the gateway that it starts.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// Format of the log
    #[arg(
        long,
        global = true,
        env = "S3DAV_LOG_FORMAT",
        value_name = "FORMAT",
        value_parser = named::<LogFormat>(),
        default_value_t = LogFormat::default()
    )]
    pub log_format: LogFormat,

    /// Write the log to this file instead of standard error; at most two files of 4 MiB are kept
    #[arg(long, global = true, env = "S3DAV_LOG_FILE", value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// Log each request of a client; give it twice to log those to S3, too
    #[arg(short, long, global = true, env = "S3DAV_VERBOSE", action = ArgAction::Count)]
    pub verbose: u8,

    /// Log warnings and errors only; give it twice for errors only
    #[arg(short, long, global = true, env = "S3DAV_QUIET", action = ArgAction::Count)]
    pub quiet: u8,
}

impl LogArgs {
    /// How much is logged: 0 is the usual, more is more.
    pub fn verbosity(&self) -> i16 {
        i16::from(self.verbose) - i16::from(self.quiet)
    }

    /// As arguments for another start of the program, which logs to `file`.
    pub fn arguments(&self, file: &Path) -> Vec<String> {
        let mut arguments = vec![format!("--log-file={}", file.display())];
        arguments.extend(self.arguments_of_content());
        arguments
    }

    /// The same for one that logs to where this one does.
    pub fn arguments_of_content(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if self.log_format != LogFormat::default() {
            arguments.push(format!("--log-format={}", self.log_format));
        }
        arguments.extend(std::iter::repeat_n("--verbose".to_owned(), self.verbose.into()));
        arguments.extend(std::iter::repeat_n("--quiet".to_owned(), self.quiet.into()));
        arguments
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve one or more buckets, or a directory
    Serve(Box<ServeArgs>),
    /// Mount a bucket or a directory, starting a gateway if needed
    Mount(Box<MountArgs>),
    /// Unmount a volume
    Unmount(UnmountArgs),
    /// Manage the service that mounts at every login
    Service(ServiceArgs),
    /// Show the running gateways, their mounts and problems
    Status(StatusArgs),
    /// Check a gateway, for HEALTHCHECK and probes; exits with 0, or with 1 and the reason
    Health(HealthArgs),
    /// Stop a gateway gracefully, after unmounting its volumes
    Stop(StopArgs),
    /// Restart a gateway under its mounts, such as after an upgrade
    Restart(RestartArgs),
    /// Mount and serve Amazon S3 Files in a container; build container images
    Container(Box<ContainerArgs>),
    /// Set up Amazon S3 Files on a bucket, as a CloudFormation stack
    Stack(StackArgs),
    /// Show and manage files that were accepted on this machine and are not in S3 yet
    Pending(PendingArgs),
    /// Send what waits for S3 in a state directory that no gateway serves
    Drain(DrainArgs),
    /// Manage Finder's own files, which are kept on this machine
    Shelf(ShelfArgs),
    /// List and clean up what is kept on this machine for each source
    State(StateArgs),
    /// Show the configuration
    Config(ConfigArgs),
    /// Print the IAM policy that a bucket or a file system of Amazon S3 Files needs
    IamPolicy(IamPolicyArgs),
    /// Print the completion script for a shell
    Completions {
        /// Shell to complete commands in
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the manual pages
    ManPages {
        /// Directory to write to; created if missing
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Ask a file system how it is, which may take for ever
    #[command(hide = true)]
    CheckMount { path: PathBuf },
    /// Serve a sample bucket from an S3 server inside this program
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
    /// The S3 server of the demo, alone
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    EmbeddedS3(EmbeddedArgs),
}

/// Which gateway a command is about.
#[derive(Debug, Clone, Args)]
pub struct GatewayArgs {
    /// State directory of the gateway; needed if several run, or if it is not in the usual place
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

    /// Path below a mount, or in a served directory: show whether what was saved there is in the bucket
    #[arg(value_name = "PATH", conflicts_with = "show_password")]
    pub path: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Show the user name and password for other users' programs
    #[arg(long)]
    pub show_password: bool,
}

#[derive(Debug, Clone, Args)]
pub struct MountArgs {
    #[command(flatten)]
    pub serve: ServeArgs,

    /// Where to mount; created if missing [default: the value of --mount, else /tmp/s3files]
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: Option<PathBuf>,

    #[command(flatten)]
    pub stack: MountStackArgs,
}

#[derive(Debug, Clone, Args)]
pub struct UnmountArgs {
    /// What to unmount [default: the only mount, else /tmp/s3files]
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: Option<PathBuf>,

    /// Unmount even if programs have files open; unsaved changes are lost
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
    /// Mount now and at every login; run it again to change the options
    #[command(mut_args(hide_stack))]
    Install(Box<MountArgs>),
    /// Unmount, and stop mounting at login
    Uninstall,
    /// Start the service after it was stopped
    Start,
    /// Unmount until the next login
    Stop,
    /// Show the system's report on the service
    Status,
    /// Show the end of the log
    Logs {
        /// Number of lines to show
        #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50)]
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
    /// Print the value of each option, and where it comes from
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

    /// Stop even if programs have files open on its mounts; unsaved changes are lost
    #[arg(long)]
    pub force: bool,

    /// How long to wait for it to stop
    #[arg(long, value_name = "TIME", default_value_t = Timespan::secs(60))]
    pub wait: Timespan,
}

#[derive(Debug, Clone, Args)]
pub struct RestartArgs {
    #[command(flatten)]
    pub gateway: GatewayArgs,

    /// How long to wait for running uploads first
    #[arg(long, value_name = "TIME", default_value_t = Timespan::secs(60))]
    pub wait: Timespan,
}

#[cfg(feature = "demo")]
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Keep the files in this directory instead of in memory
    #[arg(long, env = "S3DAV_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Also mount the bucket [default: /tmp/s3files]
    #[arg(long, env = "S3DAV_MOUNT", value_name = "DIR", num_args = 0..=1, default_missing_value = DEFAULT_MOUNTPOINT)]
    pub mount: Option<PathBuf>,

    /// Address to listen on; may be repeated [default: 127.0.0.1:8330 and [::1]:8330]
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
    #[arg(long, env = "S3DAV_LATENCY", value_name = "TIME", default_value_t = Timespan::secs(0))]
    pub latency: Timespan,

    /// Access key that it knows [default: a random one]
    #[arg(long, env = "S3DAV_ACCESS_KEY", value_name = "KEY", requires = "secret_key")]
    pub access_key: Option<String>,

    /// Its secret; pass it in the environment so that other users cannot see it
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
