//! The rights in the template are those of the tables of `iam-policy`, and its caller's are those that it takes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use s3dav::iam::{
    BucketPart, FileSystemPart, Names, Trust, of_client, of_deployer, of_file_system, of_service,
    of_sessions, trust,
};

use super::render::{ACCOUNT, REGION, Template};
use crate::harness::process::{command, outcome};

const FILE_SYSTEM: &str = "arn:aws:s3files:us-east-1:123456789012:file-system/fs-0123456789abcdef0";

#[tokio::test]
async fn each_role_of_the_template_is_of_the_tables() {
    let Some(template) = Template::read().await else { return };
    let names = Names {
        partition: "aws".to_owned(),
        account: Some(ACCOUNT.to_owned()),
        region: Some(REGION.to_owned()),
        ..Names::default()
    };
    for (bucket, prefix) in [("", ""), ("photos", ""), ("photos", "team/"), ("", "a/b/")] {
        for read_only in [false, true] {
            let text = read_only.to_string();
            let given = [("ExistingBucket", bucket), ("Prefix", prefix), ("ReadOnly", &text)];
            let resources = template.render(&given).resources();
            let of = |name: &str, property: &str| resources[name]["Properties"][property].clone();
            let inline = |name: &str| of(name, "Policies")[0]["PolicyDocument"].clone();
            let bucket = if bucket.is_empty() { "files-bucket-1" } else { bucket };
            let part = BucketPart::new("aws", bucket, prefix.trim_end_matches('/'), None).unwrap();
            let access_point = format!("{FILE_SYSTEM}/access-point/fsap-0123456789abcdef0");
            let file_system = FileSystemPart::new(FILE_SYSTEM.to_owned(), Some(access_point)).unwrap();
            let client = of("ClientPolicy", "PolicyDocument");
            assert_eq!(client, json!(of_client(&file_system, &part, read_only)));
            // What `iam-policy --s3files` prints is its first part.
            assert_eq!(
                client["Statement"][0],
                json!(of_file_system(&file_system, read_only))["Statement"][0]
            );
            assert_eq!(of("ServiceRolePolicy", "PolicyDocument"), json!(of_service(&part, "aws", ACCOUNT)));
            assert_eq!(inline("TaskRole"), json!(of_sessions()));
            let trusts = [
                ("ServiceRole", Trust::S3FilesService),
                ("TaskRole", Trust::Ecs),
                ("ExecutionRole", Trust::Ecs),
            ];
            for (role, who) in trusts {
                assert_eq!(of(role, "AssumeRolePolicyDocument"), json!(trust(who, &names)), "{role}");
            }
            let password = &inline("ExecutionRole")["Statement"];
            assert_eq!(password[0]["Action"], "ssm:GetParameters");
            assert_eq!(password.as_array().unwrap().len(), 1);
        }
    }
}

/// Prints by type of resource what its handlers ask for.
const HANDLERS: &str = "
import glob, json, os, sys
import cfnlint
found = {}
for name in glob.glob(os.path.dirname(cfnlint.__file__) + '/data/schemas/resources/*.json'):
    with open(name) as file:
        schema = json.load(file)
    if schema.get('typeName') in sys.argv[1:]:
        asked = found.setdefault(schema['typeName'], set())
        for handler in schema.get('handlers', {}).values():
            asked.update(handler.get('permissions', []))
print(json.dumps({name: sorted(asked) for name, asked in found.items()}))";

/// What handlers ask for, for properties that the template has not.
const UNUSED: &[&str] = &[
    "cognito-idp:*",
    "ec2:AttachVpnGateway",
    "ec2:DetachVpnGateway",
    "ec2:AssociateSubnetCidrBlock",
    "ec2:DisassociateSubnetCidrBlock",
    "ec2:ModifyVpcTenancy",
    "firehose:*",
    "iam:*Group*",
    "iam:*User*",
    "iam:*PermissionsBoundary",
    "kms:*",
    "logs:*Bearer*",
    "logs:*DataProtection*",
    "logs:*Delivery*",
    "logs:*IndexPolic*",
    "logs:*KmsKey",
    "logs:*ResourcePolic*",
    "logs:*DeletionProtection",
    "s3:*Acl",
    "s3:*Metadata*",
    "s3:*Object*",
    "s3:DeleteBucket",
    "s3:DeleteBucket*Configuration",
    "s3:DeleteBucketCors",
    "s3:DeleteBucketEncryption",
    "s3:DeleteBucketLifecycle",
    "s3:DeleteBucketReplication",
    "s3:DeleteBucketWebsite",
    "s3:Put*Configuration",
    "s3:REST*",
    "s3tables:*",
    "vpc-lattice:*",
    "vpce:*",
];

fn matches(pattern: &str, action: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == action,
        Some((start, rest)) => action
            .strip_prefix(start)
            .is_some_and(|left| rest.is_empty() || (0..=left.len()).any(|at| matches(rest, &left[at..]))),
    }
}

#[tokio::test]
async fn whoever_creates_it_may_do_what_its_resources_take() {
    let Some(template) = Template::read().await else { return };
    let resources = template.json["Resources"].as_object().unwrap().values();
    let kinds: BTreeSet<&str> = resources.map(|resource| resource["Type"].as_str().unwrap()).collect();
    let mut python = template.tools.command("cfn-lint");
    python.args(["-c", HANDLERS]).args(&kinds);
    let (code, text, error) = outcome(python).await;
    assert_eq!(code, 0, "{error}");
    let asked: BTreeMap<String, Vec<String>> = serde_json::from_str(&text).unwrap();
    assert_eq!(asked.len(), kinds.len());
    let (code, printed, error) = outcome(command(&["stack", "template", "--iam"])).await;
    assert_eq!((code, printed.trim_end()), (0, of_deployer().to_string().as_str()), "{error}");
    let policy: Value = serde_json::from_str(&printed).unwrap();
    let allowed: Vec<String> = policy["Statement"].as_array().unwrap().iter().flat_map(actions).collect();
    let may = |action: &str| allowed.iter().any(|pattern| matches(pattern, action));
    let mut missing = BTreeSet::new();
    for action in asked.values().flatten() {
        if !may(action) && !UNUSED.iter().any(|pattern| matches(pattern, action)) {
            missing.insert(action);
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(!may("s3:DeleteBucket") && !may("s3:DeleteObject") && !may("s3:GetObject"));
}

fn actions(statement: &Value) -> Vec<String> {
    match &statement["Action"] {
        Value::String(only) => vec![only.clone()],
        several => serde_json::from_value(several.clone()).unwrap(),
    }
}
