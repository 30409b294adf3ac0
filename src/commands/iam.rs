//! `s3dav iam-policy`.

use super::CommandError;
use crate::cli::IamPolicyArgs;
use crate::config::BucketSpec;
use crate::iam::{
    Arn, BucketPart, Document, FileSystemPart, IamError, Names, Trust, of_bucket, of_file_system,
    partition_of, trust,
};

pub(super) fn run(mut args: IamPolicyArgs) -> Result<(), CommandError> {
    args.bucket = args.bucket.or(args.what.take());
    say!("{}", document(args)?);
    Ok(())
}

fn document(args: IamPolicyArgs) -> Result<Document, CommandError> {
    let named = [&args.bucket, &args.s3files, &args.access_point, &args.kms_key];
    let arns: Vec<&str> = named.into_iter().flatten().map(String::as_str).collect();
    let partition = partition_of(args.partition.as_deref(), &arns).map_err(mistaken)?;
    let file_system =
        args.s3files.as_ref().map(|arn| FileSystemPart::new(arn.clone(), args.access_point.clone()));
    let file_system = file_system.transpose().map_err(mistaken)?;
    let bucket =
        args.bucket.as_ref().map(|bucket| part(&partition, bucket, args.kms_key.clone())).transpose()?;
    if let Some(who) = args.trust {
        return Ok(trust(who, &names(who, &args, partition, file_system.as_ref())?));
    }
    match (bucket, file_system) {
        (Some(bucket), _) => Ok(of_bucket(&bucket, args.read_only)),
        (None, Some(file_system)) => Ok(of_file_system(&file_system, args.read_only)),
        (None, None) => Err(mistake(
            "no bucket or file system given",
            "name a bucket, as in `s3dav iam-policy my-photos`, or a file system with --s3files",
        )),
    }
}

fn part(partition: &str, bucket: &str, key: Option<String>) -> Result<BucketPart, CommandError> {
    let spec = BucketSpec::parse(bucket)
        .map_err(|message| mistake(message, "write NAME or NAME/PREFIX, as for `s3dav serve`"))?;
    BucketPart::new(partition, &spec.bucket, &spec.prefix, key).map_err(mistaken)
}

/// What was given to fill in; what the document has no place for is a mistake.
fn names(
    who: Trust,
    args: &IamPolicyArgs,
    partition: String,
    file_system: Option<&FileSystemPart>,
) -> Result<Names, CommandError> {
    let of_pods = [Trust::Irsa, Trust::PodIdentity];
    let of_accounts = [Trust::Irsa, Trust::Ecs, Trust::S3FilesService];
    for (option, value, takers) in [
        ("--account", &args.account, &of_accounts[..]),
        ("--oidc-provider", &args.oidc_provider, &of_pods[..1]),
        ("--namespace", &args.namespace, &of_pods),
        ("--service-account", &args.service_account, &of_pods),
    ] {
        if value.is_some() && !takers.contains(&who) {
            return Err(mistake(format!("{option} does not apply to this document"), "leave it out"));
        }
    }
    let home = file_system.and_then(FileSystemPart::home);
    let account = args.account.clone().or_else(|| home.map(|(account, _)| account.to_owned()));
    if let Some(wrong) = account.as_ref().filter(|account| !is_account(account)) {
        return Err(mistake(format!("{wrong:?} is not an account ID"), "an account ID has twelve digits"));
    }
    for name in [&args.namespace, &args.service_account].into_iter().flatten() {
        if !is_name(name) {
            let hint = "names in Kubernetes have lower-case letters, digits, dots and dashes";
            return Err(mistake(
                format!("{name:?} is not a valid name of a namespace or a service account"),
                hint,
            ));
        }
    }
    Ok(Names {
        partition,
        account,
        region: home.map(|(_, region)| region.to_owned()),
        oidc_provider: args.oidc_provider.as_deref().map(provider).transpose()?,
        namespace: args.namespace.clone(),
        service_account: args.service_account.clone(),
    })
}

fn is_account(text: &str) -> bool {
    text.len() == ACCOUNT_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    !text.is_empty() && text.chars().all(is_legal)
}

/// The provider as a policy names it, from its URL or its ARN.
fn provider(given: &str) -> Result<String, CommandError> {
    let of_arn = Arn::parse(given).and_then(|arn| arn.resource.strip_prefix("oidc-provider/"));
    let plain =
        of_arn.unwrap_or_else(|| given.strip_prefix("https://").unwrap_or(given)).trim_end_matches('/');
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "-._~/:%".contains(c);
    if plain.is_empty() || plain.contains("://") || !plain.chars().all(is_legal) {
        let hint = "write it as https://oidc.eks.REGION.amazonaws.com/id/ID";
        return Err(mistake(format!("{given:?} is not the URL of an OIDC provider"), hint));
    }
    Ok(plain.to_owned())
}

fn mistaken(error: IamError) -> CommandError {
    let hint = error.hint;
    CommandError { exit_code: 2, ..CommandError::hinted(error, hint) }
}

fn mistake(message: impl Into<String>, hint: &str) -> CommandError {
    CommandError { exit_code: 2, ..CommandError::hinted(anyhow::anyhow!(message.into()), hint) }
}

/// Of the number of an account.
const ACCOUNT_DIGITS: usize = 12;
