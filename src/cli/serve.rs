//! The options of `serve`, which `mount`, `service install` and `config show` take, too.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::{S3FilesArgs, SessionArgs};
use crate::config::units::{parse_duration, parse_size};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ChecksumsArg {
    /// As AWS recommends on AWS, only where required elsewhere
    Auto,
    WhenSupported,
    WhenRequired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConditionalWritesArg {
    /// AWS does; others are asked, on keys of their own, before the first write
    Auto,
    /// It does
    Yes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AppleMetadataArg {
    /// On this machine
    Shelf,
    /// As files that everybody sees
    Bucket,
    /// Forgotten after a minute
    Discard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthArg {
    /// Your own programs and root's; all others are asked for a name and a password
    Peer,
    /// Whoever knows the name and the password
    Basic,
    /// Everybody on this machine
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NotifyArg {
    On,
    Off,
}

#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// What to serve without an option: a bucket as NAME, s3://NAME/PREFIX or ARN, a directory as ./DIR or
    /// /DIR
    #[arg(value_name = "SOURCE")]
    pub what: Option<OsString>,

    /// Bucket to serve, or access point ARN or alias, with an optional prefix; several show as
    /// folders
    #[arg(
        long,
        env = "S3DAV_BUCKET",
        value_name = "NAME[/PREFIX]",
        conflicts_with = "path",
        value_delimiter = ','
    )]
    pub bucket: Vec<String>,

    /// Directory to serve instead, such as a mount of Amazon S3 Files
    #[arg(long, env = "S3DAV_PATH", value_name = "DIR")]
    pub path: Option<PathBuf>,

    #[command(flatten)]
    pub s3files: S3FilesArgs,

    #[command(flatten)]
    pub session: SessionArgs,

    #[command(flatten)]
    pub s3: S3Args,

    /// Room on disk for the little that is taken of an upload while S3, or the directory, takes none
    /// [default: 10GiB, or a tenth of the free disk if that is less]
    #[arg(long, env = "S3DAV_SPILL_LIMIT", value_name = "SIZE", value_parser = parse_size, help_heading = "Uploads")]
    pub spill_limit: Option<u64>,

    /// Memory for what is remembered: small files and, of buckets, listings and metadata
    #[arg(long, env = "S3DAV_CACHE_SIZE", value_name = "SIZE", value_parser = parse_size, default_value = "256MiB", help_heading = "Cache")]
    pub cache_size: u64,

    /// Remember the content of files up to this size
    #[arg(long, env = "S3DAV_CACHE_FILE_LIMIT", value_name = "SIZE", value_parser = parse_size, default_value = "128KiB", help_heading = "Cache")]
    pub cache_file_limit: u64,

    /// How long a request may wait for S3, or for the disk [default: 75s for Finder, 12 hours for what it saves, 30s for others]
    #[arg(long, env = "S3DAV_REQUEST_BUDGET", value_name = "TIME", value_parser = parse_duration, help_heading = "Access")]
    pub request_budget: Option<Duration>,

    /// Where what Finder keeps beside files (`._name`, `.DS_Store`) goes: into the state directory, into
    /// what is served, or nowhere
    #[arg(long, env = "S3DAV_APPLE_METADATA", value_enum, default_value = "shelf", help_heading = "Finder")]
    pub apple_metadata: AppleMetadataArg,

    /// Room on disk for it
    #[arg(long, env = "S3DAV_SHELF_LIMIT", value_name = "SIZE", value_parser = parse_size, default_value = "1GiB", help_heading = "Finder")]
    pub shelf_limit: u64,

    /// Tell on the desktop what Finder's programs have saved and could not be stored, or not yet
    /// [default: on where there is a desktop]
    #[arg(long, env = "S3DAV_NOTIFY", value_enum, help_heading = "Finder")]
    pub notify: Option<NotifyArg>,

    /// Program that tells it instead of the system's, with a title and a text as its arguments
    #[arg(long, env = "S3DAV_NOTIFY_COMMAND", value_name = "PROGRAM", help_heading = "Finder")]
    pub notify_command: Option<PathBuf>,

    /// Address to serve at; may be given several times [default: 127.0.0.1:8330 and [::1]:8330]
    #[arg(
        long,
        env = "S3DAV_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    pub listen: Vec<String>,

    /// Address where metrics are served alone, and to anybody: /metrics, and the gateway's health
    #[arg(long, env = "S3DAV_METRICS_LISTEN", value_name = "IP:PORT", help_heading = "Access")]
    pub metrics_listen: Option<String>,

    /// Refuse everything that would change something
    #[arg(long, env = "S3DAV_READ_ONLY", help_heading = "Access", value_parser = BoolishValueParser::new())]
    pub read_only: bool,

    /// Let DELETE of a folder take along objects that no path can show
    #[arg(long, env = "S3DAV_DELETE_HIDDEN", help_heading = "Access", value_parser = BoolishValueParser::new())]
    pub delete_hidden: bool,

    /// Show what Amazon S3 Files keeps in .s3files-lost+found-* as a folder `Conflicts` that can only be read
    #[arg(
        long,
        env = "S3DAV_SHOW_CONFLICTS",
        help_heading = "Access",
        value_parser = BoolishValueParser::new()
    )]
    pub show_conflicts: bool,

    /// On Amazon S3 Files: from a write to the first look whether it is exported
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "70s", hide = true)]
    pub export_wait: Duration,

    /// Who may come in [default: peer, or basic if a name is given]
    #[arg(long, env = "S3DAV_AUTH", value_enum, help_heading = "Access")]
    pub auth: Option<AuthArg>,

    /// Ask clients for this name (HTTP Basic)
    #[arg(long, env = "S3DAV_USER", value_name = "NAME", help_heading = "Access")]
    pub user: Option<String>,

    /// File whose first line is the password
    #[arg(long, env = "S3DAV_PASSWORD_FILE", value_name = "FILE", help_heading = "Access")]
    pub password_file: Option<PathBuf>,

    /// Variable that holds the password, where a platform hands secrets over in no other way; whoever may look at this
    /// process sees it
    #[arg(
        long,
        env = "S3DAV_PASSWORD_VARIABLE",
        value_name = "NAME",
        conflicts_with = "password_file",
        help_heading = "Access"
    )]
    pub password_variable: Option<String>,

    /// Host name, besides this machine's own, that clients may use, or *.NAME for all below it; may be given several
    /// times
    #[arg(
        long,
        env = "S3DAV_ALLOWED_HOST",
        value_name = "NAME[:PORT]",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    pub allowed_host: Vec<String>,

    /// Path below which a reverse proxy shows it, such as /proxy/8330/; requests may come with it or without it
    #[arg(long, env = "S3DAV_URL_PREFIX", value_name = "PATH", help_heading = "Access")]
    pub url_prefix: Option<String>,

    /// Mount it there, and keep it mounted
    #[arg(long, env = "S3DAV_MOUNT", value_name = "DIR", help_heading = "Mount")]
    pub mount: Option<PathBuf>,

    /// Name of the volume in Finder [default: the last part of the source's name]
    #[arg(long, env = "S3DAV_VOLUME_NAME", value_name = "NAME", help_heading = "Mount")]
    pub volume_name: Option<String>,

    /// Do not show the volume in Finder's sidebar and on the desktop
    #[arg(long, env = "S3DAV_NO_BROWSE", help_heading = "Mount", value_parser = BoolishValueParser::new())]
    pub no_browse: bool,

    /// How often to look whether it is still mounted
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30s", hide = true)]
    pub mount_interval: Duration,

    /// Configuration file [default: ~/.config/s3dav/config.toml]
    #[arg(long, env = "S3DAV_CONFIG", value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<PathBuf>,

    /// Source of that name in the configuration file
    #[arg(
        long,
        env = "S3DAV_SOURCE",
        value_name = "NAME",
        conflicts_with_all = ["bucket", "path"],
        help_heading = "Configuration"
    )]
    pub source: Option<String>,

    /// Started by `mount`: in a session of its own, on another port where the usual one is taken
    #[arg(long, hide = true)]
    pub detached: bool,

    /// Where to keep what S3 has no place for [default: one directory per source]
    #[arg(long, env = "S3DAV_STATE_DIR", value_name = "DIR", help_heading = "Life")]
    pub state_dir: Option<PathBuf>,

    /// How long requests may go on after Ctrl-C
    #[arg(long, env = "S3DAV_SHUTDOWN_TIMEOUT", value_name = "TIME", value_parser = parse_duration, default_value = "10s", help_heading = "Life")]
    pub shutdown_timeout: Duration,
}

/// How buckets are reached, written and remembered.
#[derive(Debug, Clone, Args)]
#[group(conflicts_with = "path")]
pub struct S3Args {
    /// Region of the buckets; found out if it is not given
    #[arg(long, env = "S3DAV_REGION", help_heading = "S3")]
    pub region: Option<String>,

    /// Profile of the AWS configuration files
    #[arg(long, env = "S3DAV_PROFILE", value_name = "NAME", help_heading = "S3")]
    pub profile: Option<String>,

    /// Another S3 server than AWS
    #[arg(long, env = "S3DAV_ENDPOINT_URL", value_name = "URL", help_heading = "S3")]
    pub endpoint_url: Option<String>,

    /// Name the bucket in the path of URLs, or, with `=false`, in the host [default: what the profile says, else
    /// the host on AWS and the path elsewhere; if that is refused, the other one]
    #[arg(
        long,
        env = "S3DAV_FORCE_PATH_STYLE",
        value_name = "BOOL",
        help_heading = "S3",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    pub force_path_style: Option<bool>,

    /// Sign nothing, and look for no credentials: for buckets that are open to everybody
    #[arg(long, env = "S3DAV_NO_SIGN_REQUEST", help_heading = "S3", value_parser = BoolishValueParser::new())]
    pub no_sign_request: bool,

    /// Use AWS's endpoints that have IPv6, too
    #[arg(long, env = "S3DAV_DUAL_STACK", help_heading = "S3", value_parser = BoolishValueParser::new())]
    pub dual_stack: bool,

    /// Use AWS's endpoints whose cryptography is validated by FIPS 140
    #[arg(long, env = "S3DAV_FIPS", help_heading = "S3", value_parser = BoolishValueParser::new())]
    pub fips: bool,

    /// Use S3 Transfer Acceleration, which the bucket must allow
    #[arg(long, env = "S3DAV_ACCELERATE", help_heading = "S3", value_parser = BoolishValueParser::new())]
    pub accelerate: bool,

    /// Storage class of new objects
    #[arg(long, env = "S3DAV_STORAGE_CLASS", value_name = "CLASS", help_heading = "S3")]
    pub storage_class: Option<String>,

    /// Encryption of new objects: AES256, aws:kms or aws:kms:dsse
    #[arg(long, env = "S3DAV_SSE", value_name = "KIND", help_heading = "S3")]
    pub sse: Option<String>,

    /// KMS key for --sse aws:kms
    #[arg(long, env = "S3DAV_SSE_KMS_KEY_ID", value_name = "KEY", help_heading = "S3")]
    pub sse_kms_key_id: Option<String>,

    /// Agree to pay for requests to requester-pays buckets
    #[arg(long, env = "S3DAV_REQUESTER_PAYS", help_heading = "S3", value_parser = BoolishValueParser::new())]
    pub requester_pays: bool,

    /// Account that must own the buckets
    #[arg(long, env = "S3DAV_EXPECTED_BUCKET_OWNER", value_name = "ACCOUNT", help_heading = "S3")]
    pub expected_bucket_owner: Option<String>,

    /// When to send and check checksums
    #[arg(long, env = "S3DAV_CHECKSUMS", value_enum, default_value = "auto", help_heading = "S3")]
    pub checksums: ChecksumsArg,

    /// Whether the endpoint keeps the conditions of writes; if it does not, s3dav looks before it
    /// writes
    #[arg(long, env = "S3DAV_CONDITIONAL_WRITES", value_enum, default_value = "auto", help_heading = "S3")]
    pub conditional_writes: ConditionalWritesArg,

    /// PEM file of certificate authorities to trust, besides the system's
    #[arg(long, env = "S3DAV_CA_BUNDLE", value_name = "FILE", help_heading = "S3")]
    pub ca_bundle: Option<PathBuf>,

    /// Upload files up to this size in one request
    #[arg(long, env = "S3DAV_MULTIPART_THRESHOLD", value_name = "SIZE", value_parser = parse_size, default_value = "16MiB", help_heading = "S3")]
    pub multipart_threshold: u64,

    /// Size of the parts of larger files
    #[arg(long, env = "S3DAV_PART_SIZE", value_name = "SIZE", value_parser = parse_size, default_value = "8MiB", help_heading = "S3")]
    pub part_size: u64,

    /// Memory for all uploads together
    #[arg(long, env = "S3DAV_UPLOAD_MEMORY", value_name = "SIZE", value_parser = parse_size, default_value = "128MiB", help_heading = "S3")]
    pub upload_memory: u64,

    /// Room on disk for copies of large uploads, which keep them from being lost when somebody else
    /// changes the file meanwhile
    #[arg(long, env = "S3DAV_UPLOAD_SPOOL", value_name = "SIZE", value_parser = parse_size, default_value = "16GiB", help_heading = "S3")]
    pub upload_spool: u64,

    /// Make all parts of an upload one size, as Cloudflare R2 wants it
    #[arg(long, env = "S3DAV_EQUAL_PARTS", help_heading = "S3", value_parser = BoolishValueParser::new())]
    pub equal_parts: bool,

    /// How long changes made by others may go unnoticed; 0s asks S3 each time
    #[arg(long, env = "S3DAV_METADATA_TTL", value_name = "TIME", value_parser = parse_duration, default_value = "10s", help_heading = "Cache")]
    pub metadata_ttl: Duration,

    /// Memory to read ahead of one download; 0 for none
    #[arg(long, env = "S3DAV_READ_AHEAD", value_name = "SIZE", value_parser = parse_size, default_value = "32MiB", help_heading = "Cache")]
    pub read_ahead: u64,

    /// Memory to read ahead of all downloads together
    #[arg(long, env = "S3DAV_READ_AHEAD_TOTAL", value_name = "SIZE", value_parser = parse_size, default_value = "256MiB", help_heading = "Cache")]
    pub read_ahead_total: u64,
}
