//! One complete configuration, made from the command line and the environment.
//!
//! Everything that can be wrong about options is found here, before anything is started.

pub mod source;
pub mod units;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::cache::{CacheOptions, Times};
use crate::cli::{ChecksumsArg, ConditionalWritesArg, ServeArgs};
use crate::fs::s3::S3FileSystemOptions;
use crate::http::auth::{Auth, Credentials};
use crate::http::{Limits, ServiceOptions};
use crate::state::{SourceIdentity, default_directory};
use crate::store::multipart::UploadOptions;
use crate::store::read_ahead::ReadAheadOptions;
use crate::store::s3::{Checksums, S3Options};

pub use source::BucketSpec;

/// Everything a gateway needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    pub buckets: Vec<BucketSpec>,
    pub s3: S3Options,
    pub cache: CacheOptions,
    /// The endpoint is known to keep the conditions of writes, so it is not asked.
    pub trusts_conditions: bool,
    pub uploads: UploadOptions,
    pub read_ahead: ReadAheadOptions,
    pub file_system: S3FileSystemOptions,
    pub listen: Listen,
    pub service: ServiceOptions,
    pub limits: Limits,
    pub state_dir: PathBuf,
    pub shutdown_timeout: Duration,
}

/// Where to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub addresses: Vec<SocketAddr>,
    /// Nobody asked for these in particular: one that the machine lacks is skipped.
    pub is_default: bool,
}

/// A mistake in the options.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    pub message: String,
    pub hint: Option<String>,
}

fn mistake(message: impl Into<String>, hint: &str) -> ConfigError {
    ConfigError { message: message.into(), hint: (!hint.is_empty()).then(|| hint.to_owned()) }
}

/// S3's bounds of a part.
const PART_SIZES: std::ops::RangeInclusive<u64> = 5 << 20..=5 << 30;
/// S3's bound of a single PUT.
const MAX_PUT: u64 = 5 << 30;
/// Port of the default addresses.
pub const DEFAULT_PORT: u16 = 8330;

impl Config {
    /// Completes and checks what `serve` was given. Reads the password file.
    pub fn of_serve(mut args: ServeArgs) -> Result<Self, ConfigError> {
        args.endpoint_url = args.endpoint_url.or_else(endpoint_of_environment);
        let buckets = buckets(&args.bucket)?;
        let listen = Listen::parse(&args.listen)?;
        let auth = auth(&args)?;
        listen.check(&auth)?;
        let uploads = uploads(&args)?;
        let state_dir = match &args.state_dir {
            Some(directory) => directory.clone(),
            None => default_state_dir(&args.endpoint_url, &buckets)?,
        };
        Ok(Self {
            file_system: S3FileSystemOptions {
                bucket_folders: buckets.len() > 1,
                delete_hidden: args.delete_hidden,
            },
            buckets,
            cache: cache(&args),
            trusts_conditions: args.conditional_writes == ConditionalWritesArg::Yes,
            uploads,
            read_ahead: ReadAheadOptions { window: args.read_ahead, total: args.read_ahead_total },
            listen,
            service: ServiceOptions {
                read_only: args.read_only,
                auth,
                allowed_hosts: args.allowed_host.clone(),
                request_budget: args.request_budget,
                ..ServiceOptions::default()
            },
            limits: Limits::default(),
            state_dir,
            shutdown_timeout: args.shutdown_timeout,
            s3: s3(args)?,
        })
    }
}

/// The variables that every AWS program honours, the one for S3 first.
fn endpoint_of_environment() -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return None;
    }
    variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"))
}

fn buckets(given: &[String]) -> Result<Vec<BucketSpec>, ConfigError> {
    let buckets: Vec<BucketSpec> = given
        .iter()
        .map(|text| BucketSpec::parse(text).map_err(|message| mistake(message, "")))
        .collect::<Result<_, _>>()?;
    let folders: BTreeSet<&str> = buckets.iter().map(BucketSpec::folder).collect();
    match folders.len() == buckets.len() {
        true => Ok(buckets),
        false => Err(mistake(
            "two of the buckets would show as the same folder",
            "serve prefixes of one bucket by gateways of their own, with --listen",
        )),
    }
}

impl Listen {
    /// Reads addresses; none stands for the default ones.
    pub fn parse(given: &[String]) -> Result<Self, ConfigError> {
        if given.is_empty() {
            let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
            let addresses = loopback.map(|ip| SocketAddr::new(ip, DEFAULT_PORT)).to_vec();
            return Ok(Self { addresses, is_default: true });
        }
        let parse = |text: &String| {
            text.replace("localhost:", "127.0.0.1:").parse().map_err(|_| {
                mistake(format!("{text:?} is not an address"), "write e.g. --listen 127.0.0.1:8330")
            })
        };
        Ok(Self { addresses: given.iter().map(parse).collect::<Result<_, _>>()?, is_default: false })
    }

    /// Refuses to be reached by others without asking them for a password.
    pub fn check(&self, auth: &Auth) -> Result<(), ConfigError> {
        let beyond = self.addresses.iter().find(|address| !address.ip().is_loopback());
        match (beyond, auth) {
            (Some(address), Auth::None) => Err(mistake(
                format!("{address} can be reached by others, and nobody would be asked for a password"),
                "add --user NAME --password-file FILE, or listen on 127.0.0.1",
            )),
            _ => Ok(()),
        }
    }
}

fn auth(args: &ServeArgs) -> Result<Auth, ConfigError> {
    let (Some(user), Some(file)) = (&args.user, &args.password_file) else { return Ok(Auth::None) };
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| mistake(format!("the password file {shown} cannot be read: {error}"), ""))?;
    match text.lines().next().unwrap_or_default() {
        "" => Err(mistake(format!("the first line of {shown} is empty"), "write the password there")),
        _ if user.contains(':') => Err(mistake("a user name cannot hold a colon", "")),
        password => Ok(Auth::Basic(Credentials::new(user, password))),
    }
}

fn uploads(args: &ServeArgs) -> Result<UploadOptions, ConfigError> {
    if !PART_SIZES.contains(&args.part_size) {
        return Err(mistake("--part-size is outside of what S3 takes", "parts have 5MiB to 5GiB"));
    }
    if args.multipart_threshold > MAX_PUT {
        return Err(mistake(
            "--multipart-threshold is over what S3 takes in one request",
            "5GiB is the most",
        ));
    }
    if args.upload_memory < args.part_size * 2 {
        return Err(mistake("--upload-memory does not hold two parts", "raise it, or lower --part-size"));
    }
    Ok(UploadOptions {
        multipart_threshold: args.multipart_threshold,
        part_size: args.part_size,
        memory: args.upload_memory,
        spool: args.upload_spool,
        equal_parts: args.equal_parts,
        ..UploadOptions::default()
    })
}

fn cache(args: &ServeArgs) -> CacheOptions {
    CacheOptions {
        size: args.cache_size,
        file_limit: args.cache_file_limit,
        times: Times { metadata: args.metadata_ttl, ..Times::default() },
    }
}

fn s3(args: ServeArgs) -> Result<S3Options, ConfigError> {
    if let Some(url) = &args.endpoint_url
        && !url.starts_with("http://")
        && !url.starts_with("https://")
    {
        return Err(mistake(
            format!("{url:?} is not a URL"),
            "write e.g. --endpoint-url https://minio.example:9000",
        ));
    }
    if let Some(kind) = args.sse.as_deref()
        && !["AES256", "aws:kms", "aws:kms:dsse"].contains(&kind)
    {
        return Err(mistake(format!("--sse {kind:?} is unknown"), "use AES256, aws:kms or aws:kms:dsse"));
    }
    Ok(S3Options {
        region: args.region,
        profile: args.profile,
        endpoint_url: args.endpoint_url,
        force_path_style: args.force_path_style,
        storage_class: args.storage_class,
        sse: args.sse,
        sse_kms_key_id: args.sse_kms_key_id,
        requester_pays: args.requester_pays,
        expected_bucket_owner: args.expected_bucket_owner,
        checksums: match args.checksums {
            ChecksumsArg::Auto => Checksums::Auto,
            ChecksumsArg::WhenSupported => Checksums::WhenSupported,
            ChecksumsArg::WhenRequired => Checksums::WhenRequired,
        },
        ca_bundle: args.ca_bundle,
        ..S3Options::default()
    })
}

/// Where the state of these buckets lies by default.
fn default_state_dir(endpoint: &Option<String>, buckets: &[BucketSpec]) -> Result<PathBuf, ConfigError> {
    let source = SourceIdentity::Buckets {
        endpoint: endpoint.clone(),
        buckets: buckets.iter().map(ToString::to_string).collect(),
    };
    default_directory(&source)
        .ok_or_else(|| mistake("there is no home directory to keep state in", "name one with --state-dir"))
}
