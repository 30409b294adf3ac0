//! The options of `iam-policy`.

use clap::Args;

use super::value::named;
use crate::iam::Trust;

#[derive(Debug, Clone, Args)]
pub struct IamPolicyArgs {
    /// Bucket to serve, as for --bucket
    #[arg(value_name = "NAME[/PREFIX]", group = "named", conflicts_with = "s3files")]
    pub what: Option<String>,

    /// Bucket to serve, or the ARN of an access point, with an optional prefix
    #[arg(long, value_name = "NAME[/PREFIX]", group = "named")]
    pub bucket: Option<String>,

    /// File system of Amazon S3 Files to mount, instead of a bucket
    #[arg(long, value_name = "ARN", conflicts_with = "bucket")]
    pub s3files: Option<String>,

    /// Access point through which alone the file system may be mounted
    #[arg(long, value_name = "ARN", requires = "s3files")]
    pub access_point: Option<String>,

    /// Allow reading only
    #[arg(long, conflicts_with = "trust")]
    pub read_only: bool,

    /// KMS key that encrypts the bucket
    #[arg(long, value_name = "ARN", requires = "named")]
    pub kms_key: Option<String>,

    /// AWS partition, such as aws-cn [default: that of the ARNs, else aws]
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,

    /// Print the trust policy of the role instead
    #[arg(long, value_name = "WHO", value_parser = named::<Trust>(), help_heading = "Trust")]
    pub trust: Option<Trust>,

    /// Account of the role [default: the file system's, else a placeholder]
    #[arg(long, value_name = "NUMBER", requires = "trust", help_heading = "Trust")]
    pub account: Option<String>,

    /// OIDC provider of the cluster, as `aws eks describe-cluster` shows it (irsa)
    #[arg(long, value_name = "URL", requires = "trust", help_heading = "Trust")]
    pub oidc_provider: Option<String>,

    /// Namespace of the pods (irsa, pod-identity)
    #[arg(long, value_name = "NAME", requires = "trust", help_heading = "Trust")]
    pub namespace: Option<String>,

    /// Service account of the pods (irsa, pod-identity)
    #[arg(long, value_name = "NAME", requires = "trust", help_heading = "Trust")]
    pub service_account: Option<String>,
}
