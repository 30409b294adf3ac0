//! The options of `pending`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::GatewayArgs;

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PendingArgs {
    #[command(subcommand)]
    pub command: Option<PendingCommand>,

    #[command(flatten)]
    pub gateway: GatewayArgs,
}

#[derive(Debug, Clone, Subcommand)]
pub enum PendingCommand {
    /// List what is not in S3 yet
    List {
        /// Path as it is listed, such as /folder/file: only what is there or below
        #[arg(value_name = "PATH")]
        path: Option<String>,

        /// Print JSON
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        gateway: GatewayArgs,
    },
    /// Try again to store what S3 refused
    Retry {
        #[command(flatten)]
        meant: PendingPath,

        #[command(flatten)]
        gateway: GatewayArgs,
    },
    /// Write the contents to a directory; they stay pending, and a second one of a file is called `name (2)`
    #[command(override_usage = "s3dav pending save-to <DIR> <PATH|--all>")]
    SaveTo {
        /// Directory to write to; created if missing, and nothing in it is replaced
        #[arg(value_name = "DIR")]
        directory: PathBuf,

        #[command(flatten)]
        meant: PendingPath,

        #[command(flatten)]
        gateway: GatewayArgs,
    },
    /// Give up what is pending, also what is being sent: the file is again what it is in S3, and the content that was saved
    /// is deleted
    Discard {
        #[command(flatten)]
        meant: PendingPath,

        #[command(flatten)]
        gateway: GatewayArgs,
    },
}

/// Which of them.
#[derive(Debug, Clone, Args)]
#[group(required = true)]
pub struct PendingPath {
    /// Path as it is listed, such as /folder/file: what is there or below
    #[arg(value_name = "PATH", conflicts_with = "all")]
    pub path: Option<String>,

    /// All of them
    #[arg(long)]
    pub all: bool,
}
