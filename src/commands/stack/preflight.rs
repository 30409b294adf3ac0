//! What must be true before anything is created.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::anyhow;
use serde_json::Value;

use super::super::CommandError;
use super::wanted::{Network, Wanted};
use crate::aws_cli::AwsCli;
use crate::named::NamedEnum;
use crate::stack::{Architecture, ImageRef, free_address};

/// The bucket keeps versions, and is where the stack will be.
pub(super) async fn check_bucket(aws: &AwsCli, bucket: &str) -> Result<(), CommandError> {
    let asked = aws.ask(&["s3api", "get-bucket-location", "--bucket", bucket]).await;
    let answer = asked.map_err(|error| {
        if error.says("nosuchbucket") {
            let hint = "`aws s3 ls` lists the account's buckets; without --bucket a new one is created";
            return CommandError::hinted(anyhow!("there is no bucket {bucket}"), hint);
        }
        error.into()
    })?;
    let region = match answer.get("LocationConstraint").and_then(Value::as_str) {
        None | Some("") => "us-east-1",
        Some("EU") => "eu-west-1",
        Some(region) => region,
    };
    if region != aws.region() {
        return Err(CommandError::hinted(
            anyhow!("the bucket {bucket} is in {region}, and the stack would be in {}", aws.region()),
            format!("add --region {region}"),
        ));
    }
    let answer = aws.ask(&["s3api", "get-bucket-versioning", "--bucket", bucket]).await?;
    if answer.get("Status").and_then(Value::as_str) == Some("Enabled") {
        return Ok(());
    }
    Err(CommandError::hinted(
        anyhow!("the bucket {bucket} has no versioning, which S3 Files requires"),
        format!(
            "`aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled`; \
             old versions are billed until a lifecycle rule deletes them"
        ),
    ))
}

/// What the image is for. Where it can be looked for, it is there.
pub(super) async fn architecture(
    aws: &AwsCli,
    image: &ImageRef,
    wanted: &Wanted,
) -> Result<Architecture, CommandError> {
    let given = wanted.architecture;
    let Some(ecr) = image.of_ecr() else {
        tell!(
            "warning: {} is not in ECR, so it cannot be checked here\nhint: `docker manifest inspect` shows \
             whether it exists, and for which processors; the task pulls it without a password",
            image.as_str()
        );
        return Ok(given.unwrap_or(Architecture::Arm64));
    };
    let digest = format!("imageDigest={}", ecr.digest);
    let asked = ["ecr", "batch-get-image", "--registry-id", ecr.account, "--repository-name", ecr.repository];
    let asked = [&asked[..], &["--image-ids", &digest]].concat();
    let answer = aws.in_region(ecr.region).ask(&asked).await.map_err(|error| {
        if error.says("repositorynotfound") {
            return CommandError::hinted(
                anyhow!("there is no repository {} in {}", ecr.repository, ecr.region),
                format!(
                    "`aws ecr create-repository --repository-name {}`, then push the image",
                    ecr.repository
                ),
            );
        }
        error.into()
    })?;
    let manifest = answer["images"][0]["imageManifest"].as_str().ok_or_else(|| {
        CommandError::hinted(
            anyhow!("there is no image {} in ECR", image.as_str()),
            "push it, and use the digest that `docker push` prints",
        )
    })?;
    let manifest = serde_json::from_str(manifest).unwrap_or(Value::Null);
    choose_architecture(&manifest, given).map_err(|wrong| {
        let names = ["arm64", "amd64"].join(" or ");
        CommandError::hinted(
            anyhow!("the image {} is not for {wrong}", image.as_str()),
            format!("push one for {names}, or leave --architecture out"),
        )
    })
}

/// The one that an index of images has; `Err` names what it lacks.
fn choose_architecture(manifest: &Value, given: Option<Architecture>) -> Result<Architecture, &'static str> {
    let Some(entries) = manifest.get("manifests").and_then(Value::as_array) else {
        // One image: its manifest does not say.
        return Ok(given.unwrap_or(Architecture::Arm64));
    };
    let has = |architecture: &Architecture| {
        entries.iter().any(|entry| entry["platform"]["architecture"] == architecture.name())
    };
    match given {
        Some(given) if has(&given) => Ok(given),
        Some(given) => Err(given.name()),
        None => Architecture::ALL.iter().copied().find(has).ok_or("arm64, nor for amd64"),
    }
}

/// A free address of the subnet for the mount target.
pub(super) async fn mount_target_address(aws: &AwsCli, network: &Network) -> Result<Ipv4Addr, CommandError> {
    let Network { vpc, subnet } = network;
    let answer = aws.ask(&["ec2", "describe-subnets", "--subnet-ids", subnet]).await?;
    let found = &answer["Subnets"][0];
    if found["VpcId"].as_str() != Some(vpc) {
        return Err(CommandError::hinted(
            anyhow!("the subnet {subnet} is not in {vpc}"),
            format!("`aws ec2 describe-subnets --filters Name=vpc-id,Values={vpc}` lists those that are"),
        ));
    }
    let filter = format!("Name=subnet-id,Values={subnet}");
    let answer = aws.ask(&["ec2", "describe-network-interfaces", "--filters", &filter]).await?;
    let interfaces = answer["NetworkInterfaces"].as_array().into_iter().flatten();
    let addresses = interfaces.flat_map(|one| one["PrivateIpAddresses"].as_array().into_iter().flatten());
    let used: BTreeSet<Ipv4Addr> =
        addresses.filter_map(|address| address["PrivateIpAddress"].as_str()?.parse().ok()).collect();
    let range = found["CidrBlock"].as_str().unwrap_or_default();
    free_address(range, &used).ok_or_else(|| {
        CommandError::hinted(
            anyhow!("the subnet {subnet} ({range}) has no free address for the mount target"),
            "name another subnet",
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_index_says_what_the_image_is_for() {
        let index = |names: &[&str]| {
            let entries: Vec<Value> =
                names.iter().map(|name| json!({ "platform": { "architecture": name } })).collect();
            json!({ "manifests": entries })
        };
        let both = index(&["amd64", "arm64"]);
        assert_eq!(choose_architecture(&both, None), Ok(Architecture::Arm64));
        assert_eq!(choose_architecture(&both, Some(Architecture::Amd64)), Ok(Architecture::Amd64));
        assert_eq!(choose_architecture(&index(&["amd64", "unknown"]), None), Ok(Architecture::Amd64));
        assert_eq!(choose_architecture(&index(&["amd64"]), Some(Architecture::Arm64)), Err("arm64"));
        assert!(choose_architecture(&index(&["s390x"]), None).is_err());
        let single = json!({ "config": {} });
        assert_eq!(choose_architecture(&single, None), Ok(Architecture::Arm64));
        assert_eq!(choose_architecture(&single, Some(Architecture::Amd64)), Ok(Architecture::Amd64));
    }
}
