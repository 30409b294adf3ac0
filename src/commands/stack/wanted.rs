//! What `stack up` is asked for, checked before anything is done.

use super::super::CommandError;
use super::mistaken;
use crate::cli::StackUpArgs;
use crate::config::BucketSpec;
use crate::stack::{Architecture, ImageRef, NoValue, RELEASE_IMAGE, SourceRange, StackName};

/// A stack as it is wanted; what is `None` is as it is, or as the template has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Wanted {
    /// A bucket that exists, and its prefix.
    pub(super) bucket: Option<(String, String)>,
    pub(super) read_only: Option<bool>,
    pub(super) image: Option<ImageRef>,
    pub(super) architecture: Option<Architecture>,
    /// Who may reach the load balancer; none at all for no load balancer.
    pub(super) source: Option<Option<SourceRange>>,
    pub(super) network: Option<Network>,
}

/// A VPC that exists, and a subnet of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) vpc: String,
    pub(super) subnet: String,
}

impl Wanted {
    pub(super) fn of(args: &StackUpArgs) -> Result<Self, CommandError> {
        let network = args.vpc.clone().zip(args.subnet.clone());
        if let Some((vpc, subnet)) = &network {
            check_id(vpc, "vpc-", "VPC")?;
            check_id(subnet, "subnet-", "subnet")?;
        }
        let source = match args.nlb_from.as_deref() {
            None => None,
            Some("none") => Some(None),
            Some(range) => Some(Some(range.parse().map_err(mistaken)?)),
        };
        Ok(Self {
            bucket: args.bucket.as_deref().map(bucket).transpose()?,
            read_only: args.read_only,
            image: args.image.as_deref().map(str::parse).transpose().map_err(mistaken)?,
            architecture: args.architecture,
            source,
            network: network.map(|(vpc, subnet)| Network { vpc, subnet }),
        })
    }

    /// The image of a new stack.
    pub(super) fn image_or_releases(&self, name: &StackName) -> Result<ImageRef, CommandError> {
        match &self.image {
            Some(image) => Ok(image.clone()),
            None => RELEASE_IMAGE.parse().map_err(|_: NoValue| {
                let error = anyhow::anyhow!("this release names no image for the task");
                let hint = format!(
                    "`s3dav stack up {name} --image REPOSITORY@sha256:DIGEST` names one; {HOW_TO_MAKE}"
                );
                CommandError { exit_code: 2, ..CommandError::hinted(error, hint) }
            }),
        }
    }
}

fn bucket(text: &str) -> Result<(String, String), CommandError> {
    let wrong = |message: String| {
        mistaken(NoValue {
            message,
            hint: "name a bucket of this account and region, as NAME or NAME/PREFIX",
        })
    };
    let spec = BucketSpec::parse(text).map_err(wrong)?;
    if spec.bucket.starts_with("arn:") || spec.bucket.ends_with("-s3alias") {
        return Err(wrong(format!("{text:?} is an access point, but S3 Files needs a bucket")));
    }
    if let Some(odd) = spec.prefix.chars().find(|c| "*?$".contains(*c)) {
        return Err(wrong(format!(
            "the prefix of {text:?} has a {odd:?}, which means something else in policies"
        )));
    }
    let prefix = if spec.prefix.is_empty() { String::new() } else { format!("{}/", spec.prefix) };
    Ok((spec.bucket, prefix))
}

fn check_id(id: &str, start: &str, what: &str) -> Result<(), CommandError> {
    let digits = id.strip_prefix(start).unwrap_or_default();
    let is_well = (8..=17).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_well {
        return Ok(());
    }
    let message = format!("{id:?} is not the ID of a {what}");
    Err(mistaken(NoValue { message, hint: "the console shows it under VPC, as in vpc-0123456789abcdef0" }))
}

/// An image.
const HOW_TO_MAKE: &str = "to make it: `s3dav container build --binary FILE` with s3dav for Linux, then `docker push` to a \
                           registry that the task reaches, such as ECR";
