//! The options of the commands about containers.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Clone, Args)]
pub struct ContainerArgs {
    #[command(subcommand)]
    pub command: ContainerCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum ContainerCommand {
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
