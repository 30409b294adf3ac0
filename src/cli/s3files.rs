//! The options that say which file system of Amazon S3 Files is served, and by which container.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::part::{COMMON, SERVED};
use super::value::named;
use crate::far::Mounter;
use crate::sockets::DEFAULT_PORT;

#[derive(Debug, Clone, Args)]
#[group(id = "S3FilesArgs")]
pub struct S3FilesArgs {
    #[command(flatten)]
    pub file_system: FileSystemArgs,

    /// Read everything through the mount target, and nothing from S3 directly
    #[arg(long, env = "S3DAV_NO_DIRECT_READS", help_heading = "S3 Files", value_parser = BoolishValueParser::new())]
    pub no_direct_reads: bool,

    #[command(flatten)]
    pub by: MounterArgs,
}

/// Which file system, and the way to it.
#[derive(Debug, Clone, Args)]
pub struct FileSystemArgs {
    /// File system of Amazon S3 Files to serve, mounted in a container on this machine
    #[arg(
        long = "s3files",
        id = "s3files",
        env = "S3DAV_S3FILES",
        value_name = "FS_ID",
        conflicts_with_all = ["bucket", "path", "source"],
        help_heading = "S3 Files",
        groups = [SERVED, COMMON]
    )]
    pub id: Option<String>,

    /// ID of the availability zone, such as use1-az1 [default: on EC2 its own]
    #[arg(long, env = "S3DAV_AZ_ID", value_name = "AZ", requires = "s3files", help_heading = "S3 Files")]
    pub az_id: Option<String>,

    /// Host name or address of the mount target, as seen from the container [default: its name in the VPC]
    #[arg(
        long,
        alias = "endpoint",
        env = "S3DAV_MOUNT_TARGET",
        value_name = "HOST",
        requires = "s3files",
        help_heading = "S3 Files"
    )]
    pub mount_target: Option<String>,

    /// ID of an access point of the file system
    #[arg(
        long,
        env = "S3DAV_ACCESS_POINT",
        value_name = "ID",
        requires = "s3files",
        help_heading = "S3 Files"
    )]
    pub access_point: Option<String>,
}

/// What mounts it.
#[derive(Debug, Clone, Args)]
pub struct MounterArgs {
    // Alone it is nothing: a variable of that name may be somebody else's.
    /// Container image [default: the one that `container build --s3files` built here]
    #[arg(long, env = "S3DAV_IMAGE", value_name = "REF", help_heading = "S3 Files")]
    pub image: Option<String>,

    /// Container engine [default: docker, else podman]
    #[arg(long, env = "S3DAV_ENGINE", value_parser = named::<Mounter>(), requires = "s3files", help_heading = "S3 Files")]
    pub engine: Option<Mounter>,
}

/// A session with a task, for programs that know one: `mount --stack` does.
#[derive(Debug, Clone, Args)]
#[group(id = "SessionArgs")]
pub struct SessionArgs {
    /// Target of AWS Systems Manager, such as ecs:CLUSTER_TASK_RUNTIME, or CLUSTER/SERVICE
    #[arg(
        long,
        value_name = "TARGET",
        conflicts_with = SERVED,
        requires = "session_password",
        hide = true
    )]
    pub session: Option<String>,

    /// Port of the gateway there
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_PORT, hide = true)]
    pub session_port: u16,

    /// Parameter of Systems Manager that holds the gateway's password
    #[arg(long, value_name = "NAME", requires = "session", hide = true)]
    pub session_password: Option<String>,
}

impl SessionArgs {
    /// For another start of the program.
    pub fn arguments(&self) -> Vec<String> {
        let (Some(session), Some(password)) = (&self.session, &self.session_password) else {
            return Vec::new();
        };
        let port = self.session_port;
        vec![
            format!("--session={session}"),
            format!("--session-port={port}"),
            format!("--session-password={password}"),
        ]
    }
}
