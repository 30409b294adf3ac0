//! The options of `iam-policy`.

use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrustArg {
    /// Pods of EKS, by the OIDC provider of their cluster
    Irsa,
    /// Pods of EKS, by its Pod Identity agent
    PodIdentity,
    /// Tasks of ECS, also on Fargate
    Ecs,
    /// Amazon S3 Files, to reach the bucket behind a file system
    S3filesService,
}

#[derive(Debug, Clone, Args)]
pub struct IamPolicyArgs {
    /// Bucket, or ARN of an access point, that is served, with an optional prefix
    #[arg(long, value_name = "NAME[/PREFIX]", required_unless_present_any = ["s3files", "trust"])]
    pub bucket: Option<String>,

    /// File system of Amazon S3 Files that is mounted, in place of a bucket
    #[arg(long, value_name = "ARN", conflicts_with = "bucket")]
    pub s3files: Option<String>,

    /// Only through this access point of the file system
    #[arg(long, value_name = "ARN", requires = "s3files")]
    pub access_point: Option<String>,

    /// Only what is needed to read
    #[arg(long, conflicts_with = "trust")]
    pub read_only: bool,

    /// KMS key that encrypts the bucket
    #[arg(long, value_name = "ARN", requires = "bucket")]
    pub kms_key: Option<String>,

    /// Partition of AWS [default: the one of the ARNs, else aws]
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,

    /// Print instead who may take the role
    #[arg(long, value_enum, help_heading = "Trust")]
    pub trust: Option<TrustArg>,

    /// Account of the role [default: the file system's, else ACCOUNT, to be filled in]
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
