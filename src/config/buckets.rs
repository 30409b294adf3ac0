//! Buckets as what is served.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{ConfigError, Source, mistake};
use crate::cache::CacheOptions;
use crate::cli::{ChecksumsArg, ConditionalWritesArg, S3Args};
use crate::fs::s3::S3FileSystemOptions;
use crate::spool::IntakeOptions;
use crate::store::creates::WAIT;
use crate::store::layers::conditional::LOOK_AGE;
use crate::store::multipart::UploadOptions;
use crate::store::reach::LOST_WAIT;
use crate::store::read_ahead::ReadAheadOptions;
use crate::store::s3::{Checksums, S3Options};

/// Buckets, and how they are reached, written and remembered.
#[derive(Debug, Clone)]
pub struct BucketSource {
    pub buckets: Vec<BucketSpec>,
    pub s3: S3Options,
    pub cache: CacheOptions,
    /// The endpoint is known to keep the conditions of writes, so it is not asked.
    pub trusts_conditions: bool,
    pub uploads: UploadOptions,
    pub read_ahead: ReadAheadOptions,
    pub file_system: S3FileSystemOptions,
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
    /// With the defaults, of an endpoint that keeps conditions.
    pub fn new(buckets: Vec<BucketSpec>, s3: S3Options) -> Self {
        let file_system =
            S3FileSystemOptions { bucket_folders: buckets.len() > 1, ..S3FileSystemOptions::default() };
        Self {
            buckets,
            s3,
            cache: CacheOptions::default(),
            trusts_conditions: true,
            uploads: UploadOptions::default(),
            read_ahead: ReadAheadOptions::default(),
            file_system,
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
) -> Result<Source, ConfigError> {
    if given.is_empty() {
        let hint = "name one, as in `s3dav serve my-photos` or `s3dav mount ./photos`, or a source of the \
                    configuration file with --source";
        return Err(mistake("no bucket or directory given", hint));
    }
    args.endpoint_url = args.endpoint_url.or_else(endpoint_of_environment);
    let buckets = buckets(given)?;
    let (trusts_conditions, uploads) =
        (args.conditional_writes == ConditionalWritesArg::Yes, uploads(&args, intake)?);
    let read_ahead = ReadAheadOptions { window: args.read_ahead, total: args.read_ahead_total };
    let source = BucketSource {
        s3: s3(args, &buckets)?,
        file_system: S3FileSystemOptions { bucket_folders: buckets.len() > 1, delete_hidden },
        buckets,
        cache,
        trusts_conditions,
        uploads,
        read_ahead,
        create_wait: WAIT,
        look_age: LOOK_AGE,
        lost_wait: LOST_WAIT,
        is_patient: false,
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

fn buckets(given: &[String]) -> Result<Vec<BucketSpec>, ConfigError> {
    let buckets: Vec<BucketSpec> = given
        .iter()
        .map(|text| {
            let hint = BucketSpec::meant(text).map(|name| format!("write {name}")).unwrap_or_default();
            BucketSpec::parse(text).map_err(|message| mistake(message, &hint))
        })
        .collect::<Result<_, _>>()?;
    let folders: BTreeSet<&str> = buckets.iter().map(BucketSpec::folder).collect();
    if folders.len() == buckets.len() {
        Ok(buckets)
    } else {
        Err(mistake(
            "two of the buckets would show as the same folder",
            "serve prefixes of one bucket with separate gateways, each with its own --listen",
        ))
    }
}

fn uploads(args: &S3Args, intake: IntakeOptions) -> Result<UploadOptions, ConfigError> {
    if !PART_SIZES.contains(&args.part_size) {
        return Err(mistake("--part-size is outside of what S3 accepts", "parts must be 5MiB to 5GiB"));
    }
    if args.multipart_threshold > MAX_PUT {
        return Err(mistake(
            "--multipart-threshold is more than S3 accepts in one request",
            "the maximum is 5GiB",
        ));
    }
    if args.upload_memory < args.part_size * 2 {
        return Err(mistake("--upload-memory is too small for two parts", "raise it, or lower --part-size"));
    }
    Ok(UploadOptions {
        multipart_threshold: args.multipart_threshold,
        part_size: args.part_size,
        memory: args.upload_memory,
        spool: args.upload_spool,
        intake,
        equal_parts: args.equal_parts,
        ..UploadOptions::default()
    })
}

fn s3(args: S3Args, buckets: &[BucketSpec]) -> Result<S3Options, ConfigError> {
    if let Some(url) = &args.endpoint_url
        && !["http", "https"].iter().any(|scheme| has_scheme(url, scheme))
    {
        return Err(mistake(
            format!("{url:?} is not a URL"),
            "write e.g. --endpoint-url https://minio.example:9000",
        ));
    }
    if let Some(url) = &args.endpoint_url
        && url.split('/').nth(2).is_some_and(|authority| authority.contains('@'))
    {
        let hint = "give keys with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or with --profile";
        return Err(mistake("an endpoint URL cannot contain a user and a password", hint));
    }
    check_kind(&args, buckets)?;
    if args.force_path_style == Some(true) && buckets.iter().any(|spec| spec.bucket.starts_with("arn:")) {
        return Err(mistake("an access point cannot be named in a path", "leave out --force-path-style"));
    }
    if let Some(kind) = args.sse.as_deref()
        && !["AES256", "aws:kms", "aws:kms:dsse"].contains(&kind)
    {
        return Err(mistake(format!("--sse {kind:?} is unknown"), "use AES256, aws:kms or aws:kms:dsse"));
    }
    if args.sse.is_none() && args.sse_kms_key_id.is_some() {
        return Err(mistake("--sse-kms-key-id without --sse", "add --sse aws:kms"));
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
        checksums: match args.checksums {
            ChecksumsArg::Auto => Checksums::Auto,
            ChecksumsArg::WhenSupported => Checksums::WhenSupported,
            ChecksumsArg::WhenRequired => Checksums::WhenRequired,
        },
        ca_bundle: args.ca_bundle,
        ..S3Options::default()
    })
}

fn has_scheme(url: &str, scheme: &str) -> bool {
    url.split_once("://").is_some_and(|(own, _)| own.eq_ignore_ascii_case(scheme))
}

/// Refuses what no endpoint of AWS can be.
fn check_kind(args: &S3Args, buckets: &[BucketSpec]) -> Result<(), ConfigError> {
    let kinds = [("--dual-stack", args.dual_stack), ("--fips", args.fips), ("--accelerate", args.accelerate)];
    let chosen = kinds.iter().find(|(_, is_chosen)| *is_chosen);
    if let (Some((option, _)), Some(_)) = (chosen, &args.endpoint_url) {
        let message = format!("{option} selects an endpoint of AWS, but --endpoint-url names another");
        return Err(mistake(message, "leave out one of them"));
    }
    if args.accelerate && args.force_path_style == Some(true) {
        return Err(mistake(
            "--accelerate needs the bucket's name in the host",
            "leave out --force-path-style",
        ));
    }
    if buckets.iter().any(|spec| spec.bucket.starts_with("arn:") && spec.bucket.ends_with(".mrap")) {
        return Err(mistake(
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
/// A bucket and a place in it, as `--bucket` names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSpec {
    /// Name, access point alias or ARN.
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
}

impl BucketSpec {
    /// Reads `NAME[/PREFIX]`, `arn:…:accesspoint/NAME[/PREFIX]` or what other programs write for the former:
    /// `s3://NAME[/PREFIX]` and `arn:aws:s3:::NAME[/PREFIX]`.
    pub fn parse(given: &str) -> Result<Self, String> {
        let text = plain(given);
        let segments = if text.starts_with("arn:") { 2 } else { 1 };
        let mut parts = text.splitn(segments + 1, '/');
        if Self::meant(given).is_some() {
            return Err(format!("{given:?} is not a bucket"));
        }
        let bucket = parts.by_ref().take(segments).collect::<Vec<_>>().join("/");
        let prefix = parts.next().unwrap_or_default().trim_matches('/').to_owned();
        if bucket.is_empty() || bucket.contains(char::is_whitespace) {
            return Err(format!("{given:?} is not a bucket"));
        }
        if ["http:", "https:"].iter().any(|scheme| bucket.eq_ignore_ascii_case(scheme)) {
            return Err(format!(
                "{given:?} is a URL; name the bucket, e.g. s3://photos/2026, and its server with --endpoint-url"
            ));
        }
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !text.starts_with("arn:") && !bucket.chars().all(is_legal) {
            return Err(format!(
                "{bucket:?} is not a valid bucket name, which has letters, digits, dots and dashes"
            ));
        }
        if text.starts_with("arn:") && !bucket.contains(":accesspoint/") {
            return Err(format!("{text:?} is not the ARN of an access point; give a bucket's name instead"));
        }
        if prefix
            .split('/')
            .any(|segment| matches!(segment, "." | "..") || (segment.is_empty() && !prefix.is_empty()))
        {
            return Err(format!("the prefix of {text:?} has an empty or dotted segment"));
        }
        Ok(Self { bucket, prefix })
    }

    /// What is meant by a name that begins almost as `s3://` does, and with what no bucket's can.
    pub fn meant(given: &str) -> Option<String> {
        let rest = given.get(..3).filter(|begin| begin.eq_ignore_ascii_case("s3:")).map(|_| &given[3..])?;
        let name = rest.trim_start_matches('/');
        (!name.is_empty() && !given.starts_with("s3://")).then(|| format!("s3://{name}"))
    }

    /// The folder that stands for it beside others.
    pub fn folder(&self) -> &str {
        self.bucket.rsplit('/').next().unwrap_or(&self.bucket)
    }
}

/// Without what only says that it is a bucket. Its ARN names neither a region nor an account.
fn plain(text: &str) -> &str {
    let text = text.strip_prefix("s3://").unwrap_or(text);
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "s3", "", "", bucket] => bucket,
        _ => text,
    }
}

impl std::fmt::Display for BucketSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.prefix.is_empty() {
            f.write_str(&self.bucket)
        } else {
            write!(f, "{}/{}", self.bucket, self.prefix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_prefixes_and_arns() {
        let spec = BucketSpec::parse("photos/2026/may/").unwrap();
        assert_eq!((spec.bucket.as_str(), spec.prefix.as_str()), ("photos", "2026/may"));
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap";
        let spec = BucketSpec::parse(&format!("{arn}/in/side")).unwrap();
        assert_eq!((spec.bucket.as_str(), spec.prefix.as_str(), spec.folder()), (arn, "in/side", "ap"));
    }

    #[test]
    fn a_bucket_is_the_same_however_it_is_written() {
        for (text, same) in [
            ("s3://photos", "photos"),
            ("s3://photos/", "photos"),
            ("s3://photos/2026/", "photos/2026"),
            ("arn:aws:s3:::photos", "photos"),
            ("arn:aws-us-gov:s3:::photos/2026", "photos/2026"),
            ("s3://arn:aws:s3:eu-west-1:1:accesspoint/ap/in", "arn:aws:s3:eu-west-1:1:accesspoint/ap/in"),
        ] {
            assert_eq!(BucketSpec::parse(text).unwrap().to_string(), same);
        }
    }

    #[test]
    fn what_begins_almost_as_other_programs_write_it_is_understood() {
        for text in ["S3://photos/2026", "s3:photos/2026", "s3:/photos/2026", "S3:photos/2026"] {
            assert_eq!(BucketSpec::meant(text).as_deref(), Some("s3://photos/2026"), "{text}");
            assert!(BucketSpec::parse(text).is_err(), "{text}");
        }
        for text in ["s3://photos", "s3", "s3:", "s3photos", "é3:x", "arn:aws:s3:::photos"] {
            assert_eq!(BucketSpec::meant(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert!(BucketSpec::parse("https://s3.example/photos").unwrap_err().contains("URL"));
        assert!(BucketSpec::parse("arn:aws:s3:eu-west-1:1:photos").unwrap_err().contains("access point"));
        for nothing in ["s3://", "s3:///photos", "arn:aws:s3:::", "s3://s3://photos"] {
            assert!(BucketSpec::parse(nothing).is_err(), "{nothing}");
        }
        assert!(BucketSpec::parse("Bad Name!").is_err());
        assert!(BucketSpec::parse("Bad_Name!!").is_err());
        assert!(BucketSpec::parse("").is_err());
        assert!(BucketSpec::parse("a/../b").is_err());
    }
}
