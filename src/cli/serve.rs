//! The options of `serve`, which `mount`, `service install` and `config show` take, too.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::builder::BoolishValueParser;
use clap::{ArgGroup, Args, Command, Id};

use super::part::{COMMON, OLD, SERVED};
use super::value::named;
use super::{S3FilesArgs, SessionArgs, part};
use crate::fs::sidecar::{self, AppleMetadata};
use crate::fs::{self, path};
use crate::http::auth::AuthMode;
use crate::notify::Switch;
use crate::store::journal::{DELAY, Durability, OnOutage};
use crate::store::layers::conditional::ConditionalWrites;
use crate::store::s3::Checksums;
use crate::store::{multipart, read_ahead};
use crate::units::{Size, Timespan};
use crate::{cache, mount, shutdown};

#[derive(Debug, Clone, Args)]
#[command(groups = [SERVED, COMMON].map(|name| ArgGroup::new(name).multiple(true)))]
pub struct ServeArgs {
    /// What to serve: a bucket (NAME, s3://NAME/PREFIX or an ARN) or a directory (./DIR or /DIR)
    #[arg(value_name = "SOURCE")]
    pub what: Option<OsString>,

    /// Bucket to serve, or the ARN or alias of an access point; may be repeated: several buckets are shown as folders
    #[arg(
        long,
        env = "S3DAV_BUCKET",
        value_name = "NAME[/PREFIX]",
        conflicts_with = "path",
        value_delimiter = ',',
        group = SERVED
    )]
    pub bucket: Vec<String>,

    /// Directory to serve instead of a bucket, such as a mount of Amazon S3 Files
    #[arg(long, env = "S3DAV_PATH", value_name = "DIR", group = SERVED)]
    pub path: Option<PathBuf>,

    #[command(flatten)]
    pub s3files: S3FilesArgs,

    #[command(flatten)]
    pub session: SessionArgs,

    #[command(flatten)]
    pub s3: S3Args,

    /// Disk quota for files on their way: accepted and not stored yet, arriving faster than they can be stored, or kept
    /// in case someone else changes them meanwhile [default: 10GiB, or a tenth of the free disk if that is less]
    #[arg(long, env = "S3DAV_JOURNAL_SIZE", value_name = "SIZE", help_heading = "Uploads")]
    pub journal_size: Option<Size>,

    /// A part of --journal-size now
    #[arg(long, env = "S3DAV_SPILL_LIMIT", value_name = "SIZE", help_heading = OLD, hide = true)]
    pub spill_limit: Option<Size>,

    /// Memory for the cache of small files, listings and metadata
    #[arg(long, env = "S3DAV_CACHE_SIZE", value_name = "SIZE", default_value_t = Size(cache::DEFAULT_SIZE), help_heading = "Cache")]
    pub cache_size: Size,

    /// Cache the content of files up to this size
    #[arg(long, env = "S3DAV_CACHE_FILE_LIMIT", value_name = "SIZE", default_value_t = Size(cache::DEFAULT_FILE_LIMIT), help_heading = "Cache")]
    pub cache_file_limit: Size,

    /// How long a request may wait for S3, or for the disk [default: 75s for Finder, 12 hours for what it saves,
    /// 30s for others]
    #[arg(long, env = "S3DAV_REQUEST_BUDGET", value_name = "TIME", help_heading = "Access")]
    pub request_budget: Option<Timespan>,

    /// Where to keep Finder's own files (`._name`, `.DS_Store`)
    #[arg(
        long,
        env = "S3DAV_APPLE_METADATA",
        value_name = "WHERE",
        value_parser = named::<AppleMetadata>(),
        default_value_t = AppleMetadata::default(),
        help_heading = "Finder"
    )]
    pub apple_metadata: AppleMetadata,

    /// Disk quota for Finder's own files on this machine
    #[arg(long, env = "S3DAV_SHELF_LIMIT", value_name = "SIZE", default_value_t = Size(sidecar::DEFAULT_LIMIT), help_heading = "Finder")]
    pub shelf_limit: Size,

    /// Show a notification when a file saved in Finder is not stored [default: on where there is a desktop]
    #[arg(long, env = "S3DAV_NOTIFY", value_name = "WHEN", value_parser = named::<Switch>(), help_heading = "Finder")]
    pub notify: Option<Switch>,

    /// Program that shows notifications instead of the system's; its arguments are a title and a text
    #[arg(long, env = "S3DAV_NOTIFY_COMMAND", value_name = "PROGRAM", help_heading = "Finder")]
    pub notify_command: Option<PathBuf>,

    /// Address to listen on; may be repeated [default: 127.0.0.1:8330 and [::1]:8330]
    #[arg(
        long,
        env = "S3DAV_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ',',
        help_heading = "Access",
        group = COMMON
    )]
    pub listen: Vec<String>,

    /// Address to serve metrics, health and readiness on, without a password
    #[arg(long, env = "S3DAV_METRICS_LISTEN", value_name = "IP:PORT", help_heading = "Access")]
    pub metrics_listen: Option<String>,

    /// Refuse all changes
    #[arg(long, env = "S3DAV_READ_ONLY", help_heading = "Access", value_parser = BoolishValueParser::new(), group = COMMON)]
    pub read_only: bool,

    /// Allow the deletion of folders that contain objects that cannot be shown
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
    #[arg(long, value_name = "TIME", default_value_t = Timespan(path::DEFAULT_EXPORT_WAIT), hide = true)]
    pub export_wait: Timespan,

    /// Who may connect [default: peer, or basic if --user is given]
    #[arg(long, env = "S3DAV_AUTH", value_name = "WHO", value_parser = named::<AuthMode>(), help_heading = "Access")]
    pub auth: Option<AuthMode>,

    /// User name that clients must give (HTTP Basic) [default: a generated one]
    #[arg(long, env = "S3DAV_USER", value_name = "NAME", help_heading = "Access", group = COMMON)]
    pub user: Option<String>,

    /// File whose first line is the password [default: a generated one]
    #[arg(long, env = "S3DAV_PASSWORD_FILE", value_name = "FILE", help_heading = "Access", group = COMMON)]
    pub password_file: Option<PathBuf>,

    /// Variable that holds the password, for platforms that pass secrets in no other way; anyone who can inspect this
    /// process sees it
    #[arg(
        long,
        env = "S3DAV_PASSWORD_VARIABLE",
        value_name = "NAME",
        conflicts_with = "password_file",
        help_heading = "Access"
    )]
    pub password_variable: Option<String>,

    /// Additional host name that clients may use, or *.NAME for all below it; may be repeated
    #[arg(
        long,
        env = "S3DAV_ALLOWED_HOST",
        value_name = "NAME[:PORT]",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    pub allowed_host: Vec<String>,

    /// Path below which a reverse proxy publishes the gateway, such as /proxy/8330/
    #[arg(long, env = "S3DAV_URL_PREFIX", value_name = "PATH", help_heading = "Access")]
    pub url_prefix: Option<String>,

    #[command(flatten)]
    pub mounting: MountingArgs,

    #[command(flatten)]
    pub file: FileArgs,

    /// Started by `mount`: in a session of its own, on another port where the usual one is taken
    #[arg(long, hide = true)]
    pub detached: bool,

    /// Directory for locks, properties and pending writes [default: one per source]
    #[arg(long, env = "S3DAV_STATE_DIR", value_name = "DIR", help_heading = "Lifecycle", group = COMMON)]
    pub state_dir: Option<PathBuf>,

    /// How long running requests may take after Ctrl-C or SIGTERM
    #[arg(long, env = "S3DAV_SHUTDOWN_TIMEOUT", value_name = "TIME", default_value_t = Timespan(shutdown::DEFAULT_TIMEOUT), help_heading = "Lifecycle")]
    pub shutdown_timeout: Timespan,
}

/// Where to mount what is served, and as what.
#[derive(Debug, Clone, Args)]
pub struct MountingArgs {
    /// Mount at this directory as well, and keep it mounted
    #[arg(long, env = "S3DAV_MOUNT", value_name = "DIR", help_heading = "Mount", group = COMMON)]
    pub mount: Option<PathBuf>,

    /// Name of the volume in Finder [default: the last part of the source's name]
    #[arg(long, env = "S3DAV_VOLUME_NAME", value_name = "NAME", help_heading = "Mount", group = COMMON)]
    pub volume_name: Option<String>,

    /// Hide the volume from Finder's sidebar and the desktop
    #[arg(long, env = "S3DAV_NO_BROWSE", help_heading = "Mount", value_parser = BoolishValueParser::new())]
    pub no_browse: bool,

    /// How often to look whether it is still mounted
    #[arg(long, value_name = "TIME", default_value_t = Timespan(mount::DEFAULT_INTERVAL), hide = true)]
    pub mount_interval: Timespan,
}

/// The configuration file, and what of it counts: what it cannot say itself.
#[derive(Debug, Clone, Args)]
pub struct FileArgs {
    /// Configuration file [default: ~/.config/s3dav/config.toml]
    #[arg(long, env = "S3DAV_CONFIG", value_name = "FILE", help_heading = "Configuration", group = COMMON)]
    pub config: Option<PathBuf>,

    /// Source to take from the configuration file [default: the only one]
    #[arg(
        long,
        env = "S3DAV_SOURCE",
        value_name = "NAME",
        conflicts_with_all = ["bucket", "path"],
        help_heading = "Configuration",
        groups = [SERVED, COMMON]
    )]
    pub source: Option<String>,
}

/// How buckets are reached, written and remembered.
#[derive(Debug, Clone, Args)]
#[group(conflicts_with = "path")]
pub struct S3Args {
    /// Region of the buckets [default: found automatically]
    #[arg(long, env = "S3DAV_REGION", value_name = "NAME", help_heading = "S3", group = COMMON)]
    pub region: Option<String>,

    /// Profile of the AWS configuration files
    #[arg(long, env = "S3DAV_PROFILE", value_name = "NAME", help_heading = "S3", group = COMMON)]
    pub profile: Option<String>,

    /// URL of an S3 server other than AWS
    #[arg(long, env = "S3DAV_ENDPOINT_URL", value_name = "URL", help_heading = "S3", group = COMMON)]
    pub endpoint_url: Option<String>,

    /// Put the bucket's name in the path of URLs, or in the host with `=false` [default: as in the profile, else the
    /// host on AWS and the path elsewhere; if that fails, the other]
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

    /// Send unsigned requests without credentials, for public buckets
    #[arg(long, env = "S3DAV_NO_SIGN_REQUEST", help_heading = "S3", value_parser = BoolishValueParser::new(), group = COMMON)]
    pub no_sign_request: bool,

    /// Use AWS's dual-stack endpoints (IPv4 and IPv6)
    #[arg(long, env = "S3DAV_DUAL_STACK", help_heading = "S3", value_parser = BoolishValueParser::new())]
    pub dual_stack: bool,

    /// Use AWS's FIPS 140 endpoints
    #[arg(long, env = "S3DAV_FIPS", help_heading = "S3", value_parser = BoolishValueParser::new())]
    pub fips: bool,

    /// Use S3 Transfer Acceleration, which must be enabled on the bucket
    #[arg(long, env = "S3DAV_ACCELERATE", help_heading = "S3", value_parser = BoolishValueParser::new())]
    pub accelerate: bool,

    /// Storage class of new objects [default: the bucket's]
    #[arg(long, env = "S3DAV_STORAGE_CLASS", value_name = "CLASS", help_heading = "S3")]
    pub storage_class: Option<String>,

    /// Encryption of new objects: AES256, aws:kms or aws:kms:dsse [default: the bucket's]
    #[arg(long, env = "S3DAV_SSE", value_name = "KIND", help_heading = "S3")]
    pub sse: Option<String>,

    /// KMS key for `--sse aws:kms`
    #[arg(long, env = "S3DAV_SSE_KMS_KEY_ID", value_name = "KEY", help_heading = "S3")]
    pub sse_kms_key_id: Option<String>,

    /// Pay for requests to requester-pays buckets
    #[arg(long, env = "S3DAV_REQUESTER_PAYS", help_heading = "S3", value_parser = BoolishValueParser::new())]
    pub requester_pays: bool,

    /// Account that must own the buckets; others are refused
    #[arg(long, env = "S3DAV_EXPECTED_BUCKET_OWNER", value_name = "ACCOUNT", help_heading = "S3")]
    pub expected_bucket_owner: Option<String>,

    /// When to send and verify checksums
    #[arg(
        long,
        env = "S3DAV_CHECKSUMS",
        value_name = "WHEN",
        value_parser = named::<Checksums>(),
        default_value_t = Checksums::default(),
        help_heading = "S3"
    )]
    pub checksums: Checksums,

    /// Whether the server supports conditional writes; if not, s3dav checks before each write
    #[arg(
        long,
        env = "S3DAV_CONDITIONAL_WRITES",
        value_name = "WHEN",
        value_parser = named::<ConditionalWrites>(),
        default_value_t = ConditionalWrites::default(),
        help_heading = "S3"
    )]
    pub conditional_writes: ConditionalWrites,

    /// PEM file of additional certificate authorities, or the server's own (self-signed) certificate
    #[arg(long, env = "S3DAV_CA_BUNDLE", value_name = "FILE", help_heading = "S3")]
    pub ca_bundle: Option<PathBuf>,

    /// Upload files up to this size in one request
    #[arg(long, env = "S3DAV_MULTIPART_THRESHOLD", value_name = "SIZE", default_value_t = Size(multipart::DEFAULT_THRESHOLD), help_heading = "S3")]
    pub multipart_threshold: Size,

    /// Size of the parts in which larger files are uploaded
    #[arg(long, env = "S3DAV_PART_SIZE", value_name = "SIZE", default_value_t = Size(multipart::DEFAULT_PART_SIZE), help_heading = "S3")]
    pub part_size: Size,

    /// Memory for all uploads together
    #[arg(long, env = "S3DAV_UPLOAD_MEMORY", value_name = "SIZE", default_value_t = Size(multipart::DEFAULT_MEMORY), help_heading = "S3")]
    pub upload_memory: Size,

    /// A part of --journal-size now
    #[arg(long, env = "S3DAV_UPLOAD_SPOOL", value_name = "SIZE", help_heading = OLD, hide = true)]
    pub upload_spool: Option<Size>,

    /// When the save, the deletion or the move of a file, or a new folder, is answered
    #[arg(long, env = "S3DAV_DURABILITY", value_name = "WHEN", value_parser = named::<Durability>(), default_value_t = Durability::default(), help_heading = "Uploads")]
    pub durability: Durability,

    /// With --durability journal: how long a change waits for one that makes it needless
    #[arg(long, env = "S3DAV_JOURNAL_DELAY", value_name = "TIME", default_value_t = Timespan(DELAY), help_heading = "Uploads")]
    pub journal_delay: Timespan,

    /// How long changes that are not in S3 yet may still be made there when the gateway stops; what remains is kept for the
    /// next start
    #[arg(long, env = "S3DAV_DRAIN_TIMEOUT", value_name = "TIME", default_value_t = Timespan(fs::s3::DEFAULT_DRAIN_TIMEOUT), help_heading = "Uploads")]
    pub drain_timeout: Timespan,

    /// What to do with files saved in Finder while S3 is away [default: keep, where the state directory survives a
    /// restart]
    #[arg(long, env = "S3DAV_ON_OUTAGE", value_name = "WHAT", value_parser = named::<OnOutage>(), help_heading = "Uploads")]
    pub on_outage: Option<OnOutage>,

    /// How long S3 may take nothing of a file before that counts as an outage
    #[arg(long, env = "S3DAV_STORE_PATIENCE", value_name = "TIME", default_value_t = Timespan(fs::s3::DEFAULT_STORE_PATIENCE), help_heading = "Uploads")]
    pub store_patience: Timespan,

    /// Make all parts of an upload the same size, as Cloudflare R2 requires
    #[arg(long, env = "S3DAV_EQUAL_PARTS", help_heading = "S3", value_parser = BoolishValueParser::new())]
    pub equal_parts: bool,

    /// How long changes by others may go unnoticed; 0s asks S3 each time
    #[arg(long, env = "S3DAV_METADATA_TTL", value_name = "TIME", default_value_t = Timespan(cache::DEFAULT_TTL), help_heading = "Cache")]
    pub metadata_ttl: Timespan,

    /// Memory for reading ahead in one download; 0 for none
    #[arg(long, env = "S3DAV_READ_AHEAD", value_name = "SIZE", default_value_t = Size(read_ahead::DEFAULT_WINDOW), help_heading = "Cache")]
    pub read_ahead: Size,

    /// Memory for reading ahead in all downloads together
    #[arg(long, env = "S3DAV_READ_AHEAD_TOTAL", value_name = "SIZE", default_value_t = Size(read_ahead::DEFAULT_TOTAL), help_heading = "Cache")]
    pub read_ahead_total: Size,
}

/// The options that say what is served, by their ids.
pub(super) fn served() -> &'static [Id] {
    static IDS: LazyLock<Vec<Id>> =
        LazyLock::new(|| part::members(&ServeArgs::augment_args(Command::new("serve")), SERVED));
    &IDS
}

/// The long names of the options that say what is served.
pub fn served_names() -> Vec<String> {
    let served = served();
    let options = part::options::<ServeArgs>().into_iter().filter(|option| served.contains(option.get_id()));
    options.filter_map(|option| option.get_long().map(str::to_owned)).collect()
}
