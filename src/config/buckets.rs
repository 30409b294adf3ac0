//! Buckets as what is served.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::Source;
use crate::bucket_spec::BucketSpec;
use crate::cache::CacheOptions;
use crate::cli::S3Args;
use crate::fs::s3::S3FileSystemOptions;
use crate::mistake::Mistake;
use crate::spool::IntakeOptions;
use crate::state;
use crate::store::creates::WAIT;
use crate::store::journal::{DELAY, Durability, OnOutage};
use crate::store::layers::conditional::{ConditionalWrites, LOOK_AGE};
use crate::store::multipart::UploadOptions;
use crate::store::reach::LOST_WAIT;
use crate::store::read_ahead::ReadAheadOptions;
use crate::store::s3::S3Options;

/// Buckets, and how they are reached, written and remembered.
#[derive(Debug, Clone)]
pub struct BucketSource {
    pub buckets: Vec<BucketSpec>,
    pub s3: S3Options,
    pub cache: CacheOptions,
    /// The endpoint is known to keep the conditions of writes, so it is not asked.
    pub trusts_conditions: bool,
    pub uploads: UploadOptions,
    /// How bodies wait on this machine's disk.
    pub intake: IntakeOptions,
    pub read_ahead: ReadAheadOptions,
    pub file_system: S3FileSystemOptions,
    /// Whether saves are kept on this machine in an outage, where that was said.
    pub on_outage: Option<OnOutage>,
    /// How long what is accepted where that is asked for waits for what may make it needless.
    pub journal_delay: Duration,
    /// How long an empty file waits for its content.
    pub create_wait: Duration,
    /// How long a look at an object counts, where the endpoint ignores conditions.
    pub look_age: Duration,
    /// How long look-ups and reads may wait while S3 is out of reach.
    pub lost_wait: Duration,
    /// Nobody waits for the start: what most likely never heals is said, and waited for all the same.
    pub is_patient: bool,
}

impl BucketSource {
    /// Decides whether changes may be accepted on this machine, now that it is known where.
    pub(super) fn decide(&mut self, state_dir: &Path, read_only: bool) -> Result<(), Mistake> {
        let survives = || state::survives(state_dir);
        let keeps = self.on_outage.map_or_else(survives, |what| what == OnOutage::Keep);
        (self.file_system.keeps, self.file_system.read_only) = (keeps, read_only);
        if keeps || self.file_system.durability == Durability::Store {
            return Ok(());
        }
        Err(if self.on_outage.is_some() {
            Mistake::new(
                "--durability journal keeps changes on this machine, which --on-outage fail forbids",
                "leave one of them out",
            )
        } else {
            let place = state_dir.display();
            let message = format!(
                "--durability journal needs a state directory that survives a restart, which {place} may not"
            );
            Mistake::new(
                message,
                "name one on a disk with --state-dir, or take the risk with --on-outage keep",
            )
        })
    }

    /// How long what is accepted waits: in an outage it has waited already.
    pub fn delay(&self) -> Duration {
        match self.file_system.durability {
            Durability::Store => Duration::ZERO,
            Durability::Journal => self.journal_delay,
        }
    }

    /// With the defaults.
    pub fn new(buckets: Vec<BucketSpec>, s3: S3Options) -> Self {
        let file_system =
            S3FileSystemOptions { bucket_folders: buckets.len() > 1, ..S3FileSystemOptions::default() };
        Self {
            buckets,
            s3,
            cache: CacheOptions::default(),
            trusts_conditions: ConditionalWrites::default() == ConditionalWrites::Yes,
            uploads: UploadOptions::default(),
            intake: IntakeOptions::default(),
            read_ahead: ReadAheadOptions::default(),
            file_system,
            on_outage: None,
            journal_delay: DELAY,
            create_wait: WAIT,
            look_age: LOOK_AGE,
            lost_wait: LOST_WAIT,
            is_patient: false,
        }
    }
}

/// Completes and checks what was given.
pub(super) fn source(
    given: &[String],
    mut args: S3Args,
    cache: CacheOptions,
    intake: IntakeOptions,
    delete_hidden: bool,
) -> Result<Source, Mistake> {
    if given.is_empty() {
        let hint = "name one, as in `s3dav serve my-photos` or `s3dav mount ./photos`, or a source of the \
                    configuration file with --source";
        return Err(Mistake::new("no bucket or directory given", hint));
    }
    args.endpoint_url = args.endpoint_url.or_else(endpoint_of_environment);
    let buckets = buckets(given)?;
    let (trusts_conditions, uploads) = (args.conditional_writes == ConditionalWrites::Yes, uploads(&args)?);
    let read_ahead = ReadAheadOptions { window: args.read_ahead.0, total: args.read_ahead_total.0 };
    let on_outage = args.on_outage;
    let (durability, journal_delay) = (args.durability, args.journal_delay.0);
    let (store_patience, drain_timeout) = (args.store_patience.0, args.drain_timeout.0);
    let s3 = s3(args, &buckets)?;
    let mut source = BucketSource {
        cache,
        trusts_conditions,
        uploads,
        intake,
        read_ahead,
        on_outage,
        journal_delay,
        ..BucketSource::new(buckets, s3)
    };
    source.file_system = S3FileSystemOptions {
        delete_hidden,
        store_patience,
        drain_timeout,
        durability,
        ..source.file_system
    };
    Ok(Source::Buckets(Box::new(source)))
}

/// The variables that every AWS program honours, the one for S3 first.
pub(super) fn endpoint_of_environment() -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return None;
    }
    variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"))
}

fn buckets(given: &[String]) -> Result<Vec<BucketSpec>, Mistake> {
    let buckets: Vec<BucketSpec> = given
        .iter()
        .map(|text| {
            let hint = BucketSpec::meant(text).map(|name| format!("write {name}")).unwrap_or_default();
            BucketSpec::parse(text).map_err(|message| Mistake::new(message, &hint))
        })
        .collect::<Result<_, _>>()?;
    let folders: BTreeSet<&str> = buckets.iter().map(BucketSpec::folder).collect();
    if folders.len() == buckets.len() {
        Ok(buckets)
    } else {
        Err(Mistake::new(
            "two of the buckets would show as the same folder",
            "serve prefixes of one bucket with separate gateways, each with its own --listen",
        ))
    }
}

fn uploads(args: &S3Args) -> Result<UploadOptions, Mistake> {
    if !PART_SIZES.contains(&args.part_size.0) {
        return Err(Mistake::new("--part-size is outside of what S3 accepts", "parts must be 5MiB to 5GiB"));
    }
    if args.multipart_threshold.0 > MAX_PUT {
        return Err(Mistake::new(
            "--multipart-threshold is more than S3 accepts in one request",
            "the maximum is 5GiB",
        ));
    }
    if args.upload_memory.0 < args.part_size.0 * 2 {
        return Err(Mistake::new(
            "--upload-memory is too small for two parts",
            "raise it, or lower --part-size",
        ));
    }
    Ok(UploadOptions {
        multipart_threshold: args.multipart_threshold.0,
        part_size: args.part_size.0,
        memory: args.upload_memory.0,
        equal_parts: args.equal_parts,
        ..UploadOptions::default()
    })
}

fn s3(args: S3Args, buckets: &[BucketSpec]) -> Result<S3Options, Mistake> {
    if let Some(url) = &args.endpoint_url
        && !["http", "https"].iter().any(|scheme| has_scheme(url, scheme))
    {
        return Err(Mistake::new(
            format!("{url:?} is not a URL"),
            "write e.g. --endpoint-url https://minio.example:9000",
        ));
    }
    if let Some(url) = &args.endpoint_url
        && url.split('/').nth(2).is_some_and(|authority| authority.contains('@'))
    {
        let hint = "give keys with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or with --profile";
        return Err(Mistake::new("an endpoint URL cannot contain a user and a password", hint));
    }
    check_kind(&args, buckets)?;
    if args.force_path_style == Some(true) && buckets.iter().any(|spec| spec.bucket.starts_with("arn:")) {
        return Err(Mistake::new(
            "an access point cannot be named in a path",
            "leave out --force-path-style",
        ));
    }
    if let Some(kind) = args.sse.as_deref()
        && !["AES256", "aws:kms", "aws:kms:dsse"].contains(&kind)
    {
        return Err(Mistake::new(
            format!("--sse {kind:?} is unknown"),
            "use AES256, aws:kms or aws:kms:dsse",
        ));
    }
    if args.sse.is_none() && args.sse_kms_key_id.is_some() {
        return Err(Mistake::new("--sse-kms-key-id without --sse", "add --sse aws:kms"));
    }
    Ok(S3Options {
        region: args.region,
        profile: args.profile,
        endpoint_url: args.endpoint_url,
        force_path_style: args.force_path_style,
        no_sign_request: args.no_sign_request,
        dual_stack: args.dual_stack,
        fips: args.fips,
        accelerate: args.accelerate,
        storage_class: args.storage_class,
        sse: args.sse,
        sse_kms_key_id: args.sse_kms_key_id,
        requester_pays: args.requester_pays,
        expected_bucket_owner: args.expected_bucket_owner,
        checksums: args.checksums,
        ca_bundle: args.ca_bundle,
        ..S3Options::default()
    })
}

fn has_scheme(url: &str, scheme: &str) -> bool {
    url.split_once("://").is_some_and(|(own, _)| own.eq_ignore_ascii_case(scheme))
}

/// Refuses what no endpoint of AWS can be.
fn check_kind(args: &S3Args, buckets: &[BucketSpec]) -> Result<(), Mistake> {
    let kinds = [("--dual-stack", args.dual_stack), ("--fips", args.fips), ("--accelerate", args.accelerate)];
    let chosen = kinds.iter().find(|(_, is_chosen)| *is_chosen);
    if let (Some((option, _)), Some(_)) = (chosen, &args.endpoint_url) {
        let message = format!("{option} selects an endpoint of AWS, but --endpoint-url names another");
        return Err(Mistake::new(message, "leave out one of them"));
    }
    if args.accelerate && args.force_path_style == Some(true) {
        return Err(Mistake::new(
            "--accelerate needs the bucket's name in the host",
            "leave out --force-path-style",
        ));
    }
    if buckets.iter().any(|spec| spec.bucket.starts_with("arn:") && spec.bucket.ends_with(".mrap")) {
        return Err(Mistake::new(
            "a multi-Region access point needs SigV4A signatures, which s3dav does not support",
            "serve the bucket, or an access point, of one Region",
        ));
    }
    Ok(())
}

/// S3's bounds of a part.
const PART_SIZES: std::ops::RangeInclusive<u64> = 5 << 20..=5 << 30;
/// S3's bound of a single PUT.
const MAX_PUT: u64 = 5 << 30;
