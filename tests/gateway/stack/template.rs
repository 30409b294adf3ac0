//! The template: clean by what lints it, and closed with whatever parameters.

use serde_json::Value;

use s3dav::stack::{SourceRange, TEMPLATE};

use super::render::{PATH, Rendered, Template};
use crate::harness::clients;
use crate::harness::process::{command, outcome};

#[tokio::test]
async fn it_is_what_the_program_prints() {
    let (code, said, error) = outcome(command(&["stack", "template"])).await;
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(said, std::fs::read_to_string(PATH).unwrap());
    assert!(TEMPLATE.len() <= 51_200, "CloudFormation takes no more of a file");
}

/// What its program runs.
const LINT: &str = "import sys; from cfnlint.runner import main; sys.exit(main())";

#[tokio::test]
async fn cfn_lint_finds_nothing_in_two_regions() {
    let Some(tools) = clients::needs(&["cfn-lint"]) else { return };
    let mut lint = tools.command("cfn-lint");
    lint.args(["-c", LINT, "--regions", "us-east-1", "eu-west-1", "--include-checks", "W", "--", PATH]);
    let (code, said, error) = outcome(lint).await;
    assert_eq!((code, said.trim(), error.trim()), (0, "", ""));
}

#[tokio::test]
async fn checkov_finds_nothing_but_what_is_skipped_with_a_reason() {
    let Some(tools) = clients::needs(&["checkov"]) else { return };
    let skips = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/infra/checkov.yaml");
    let mut check = tools.command("checkov");
    check.args(["--config-file", skips, "--file", PATH, "--output", "json"]);
    let (code, said, error) = outcome(check).await;
    assert_eq!(code, 0, "{said}{error}");
    let report: Value = serde_json::from_str(&said).unwrap();
    let summary = &report["summary"];
    assert!(summary["passed"].as_u64().unwrap() > 40 && summary["failed"] == 0, "{summary}");
    assert_eq!(summary["parsing_errors"], 0, "{summary}");
    // Each skip is one that would fail, and says why.
    let text = std::fs::read_to_string(skips).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("- CKV")).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains(" # ")), "{lines:?}");
}

/// Values of a parameter.
type Choices = &'static [&'static [(&'static str, &'static str)]];

/// All that may be combined.
const CHOICES: &[Choices] = &[
    &[&[], &[("ExistingBucket", "photos")]],
    &[&[], &[("Prefix", "team/")]],
    &[&[], &[("ReadOnly", "true")]],
    &[&[], &[("Architecture", "X86_64")]],
    &[&[], &[("Running", "0")]],
    &[&[], &[("SourceCidr", "203.0.113.7/32")], &[("SourceCidr", "203.0.113.0/24")]],
    &[
        &[],
        &[
            ("ExistingVpc", "vpc-01234567"),
            ("ExistingSubnet", "subnet-01234567"),
            ("MountTargetAddress", "10.9.8.29"),
        ],
    ],
];

fn combinations() -> Vec<Vec<(&'static str, &'static str)>> {
    let needed = vec![("Image", super::fake::IMAGE), ("PasswordParameter", "/s3dav/files/password")];
    CHOICES.iter().fold(vec![needed], |sets, choices| {
        let with = |set: &Vec<_>, choice: &[_]| [set.as_slice(), choice].concat();
        sets.iter().flat_map(|set| choices.iter().map(move |choice| with(set, choice))).collect()
    })
}

#[tokio::test]
async fn whatever_the_parameters_it_is_closed_and_the_bucket_stays() {
    let Some(template) = Template::read().await else { return };
    let sets = combinations();
    assert_eq!(sets.len(), 192);
    for set in sets {
        let rendered = template.render(&set);
        assert!(rendered.is_taken(), "{set:?}");
        let is = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        check_network(&rendered, is("SourceCidr"));
        check_task(&rendered, is("ReadOnly").is_some());
        let resources = rendered.resources();
        let bucket = resources.get("Bucket");
        assert_eq!(bucket.is_some(), is("ExistingBucket").is_none());
        if let Some(bucket) = bucket {
            // Only a stack that never came to be takes its empty bucket along.
            assert_eq!(bucket["DeletionPolicy"], "RetainExceptOnCreate");
            assert_eq!(bucket["UpdateReplacePolicy"], "Retain");
            assert_eq!(bucket["Properties"]["VersioningConfiguration"]["Status"], "Enabled");
        }
        let address = is("MountTargetAddress").unwrap_or("10.77.0.10");
        assert_eq!(resources["MountTarget"]["Properties"]["Ipv4Address"], address);
        let outputs = rendered.outputs();
        assert_eq!(outputs.contains_key("LoadBalancerName"), is("SourceCidr").is_some());
        assert_eq!(outputs.get("BucketPrefix").and_then(Value::as_str), is("Prefix"));
        assert_eq!(outputs["BucketName"], is("ExistingBucket").unwrap_or("files-bucket-1"));
        assert_eq!(outputs["Running"], is("Running").unwrap_or("1"));
        for name in outputs.keys() {
            assert!(OUTPUTS.contains(&name.as_str()), "{name} is read by nobody");
        }
    }
}

/// Nothing comes in but from groups of the stack, and through the load balancer from one range.
fn check_network(rendered: &Rendered<'_>, range: Option<&str>) {
    let resources = rendered.resources();
    let mut ingress: Vec<(String, Value)> = Vec::new();
    for (name, resource) in &resources {
        let (kind, properties) = (resource["Type"].as_str().unwrap(), &resource["Properties"]);
        match kind {
            "AWS::EC2::SecurityGroup" => {
                let rules =
                    properties.get("SecurityGroupIngress").and_then(Value::as_array).into_iter().flatten();
                ingress.extend(rules.map(|rule| (name.clone(), rule.clone())));
            }
            "AWS::EC2::SecurityGroupIngress" => {
                let group = properties["GroupId"].as_str().unwrap().trim_end_matches(".GroupId");
                ingress.push((group.to_owned(), properties.clone()));
            }
            _ => {}
        }
    }
    for (group, rule) in &ingress {
        assert_ne!(group, "TaskGroup", "nothing comes in at the task: {rule}");
        assert_eq!((&rule["FromPort"], &rule["ToPort"]), (&2049.into(), &2049.into()), "{rule}");
        assert!(rule.get("CidrIpv6").is_none() && rule.get("SourcePrefixListId").is_none(), "{rule}");
        match rule.get("CidrIp").and_then(Value::as_str) {
            Some(from) => {
                assert_eq!((group.as_str(), Some(from)), ("LoadBalancerGroup", range));
                let bits: u8 = from.split_once('/').unwrap().1.parse().unwrap();
                assert!((24..=32).contains(&bits), "{from}");
            }
            None => {
                let source = rule["SourceSecurityGroupId"].as_str().unwrap();
                assert!(["TaskGroup.GroupId", "LoadBalancerGroup.GroupId"].contains(&source), "{source}");
            }
        }
    }
    assert_eq!(resources.contains_key("LoadBalancer"), range.is_some());
    assert_eq!(ingress.len(), if range.is_some() { 3 } else { 1 });
    let service = &resources["Service"]["Properties"];
    assert!(service.get("LoadBalancers").is_none());
    let groups = &service["NetworkConfiguration"]["AwsvpcConfiguration"]["SecurityGroups"];
    assert_eq!(groups, &serde_json::json!(["TaskGroup.GroupId"]));
}

/// The task serves its own loopback, asks for the password, and shows it nowhere.
fn check_task(rendered: &Rendered<'_>, is_read_only: bool) {
    let resources = rendered.resources();
    let container = &resources["Task"]["Properties"]["ContainerDefinitions"][0];
    assert!(container.get("Environment").is_none() && container.get("PortMappings").is_none());
    let secret = &container["Secrets"][0];
    assert_eq!(secret["ValueFrom"], "arn:aws:ssm:us-east-1:123456789012:parameter/s3dav/files/password");
    let words: Vec<String> = serde_json::from_value(container["Command"].clone()).unwrap();
    let words = std::iter::once("s3dav".to_owned()).chain(words).map(Into::into);
    let read = s3dav::cli::parse(words, |_| Ok::<_, ()>(s3dav::cli::Layer::new())).unwrap();
    let s3dav::cli::Command::Serve(args) = read.cli.command else { panic!("it serves") };
    assert_eq!(args.read_only, is_read_only);
    assert_eq!(
        (args.listen, args.auth),
        (vec!["127.0.0.1:8330".to_owned()], Some(s3dav::http::auth::AuthMode::Basic))
    );
    assert_eq!(args.user.as_deref(), Some(s3dav::far::USER));
    assert_eq!(args.password_variable.as_deref(), secret["Name"].as_str());
    assert_eq!(args.path.unwrap().to_str(), container["MountPoints"][0]["ContainerPath"].as_str());
    assert_eq!(container["MountPoints"][0]["ReadOnly"], is_read_only);
}

#[tokio::test]
async fn its_rules_and_patterns_refuse_what_the_program_refuses() {
    let Some(template) = Template::read().await else { return };
    for half in [("ExistingVpc", "vpc-01234567"), ("ExistingSubnet", "subnet-01234567")] {
        assert!(!template.render(&[half]).is_taken(), "{half:?}");
    }
    let pattern = template.json["Parameters"]["SourceCidr"]["AllowedPattern"].as_str().unwrap();
    let ranges = [
        "",
        "203.0.113.7/32",
        "203.0.113.0/24",
        "10.0.0.128/25",
        "0.0.0.0/0",
        "::/0",
        "0.0.0.0/24",
        "10.0.0.0/8",
        "10.0.0.0/23",
        "203.0.113.7",
        "10.0.0.0/33",
        "2001:db8::/64",
        "0.0.0.0/32",
    ];
    let mut python = template.tools.command("cfn-lint");
    python.args([
        "-c",
        "import re, sys\nfor text in sys.argv[2:]: print(bool(re.search(sys.argv[1], text)))",
        pattern,
    ]);
    let (_, said, _) = outcome({
        python.args(ranges);
        python
    })
    .await;
    let taken: Vec<bool> = said.lines().map(|line| line == "True").collect();
    let expected: Vec<bool> =
        ranges.iter().map(|text| text.is_empty() || text.parse::<SourceRange>().is_ok()).collect();
    assert_eq!(taken, expected);
}

/// What `src/stack/found.rs` reads, and people.
const OUTPUTS: &[&str] = &[
    "S3davVersion",
    "Region",
    "BucketName",
    "BucketPrefix",
    "ReadOnly",
    "FileSystemId",
    "AccessPointId",
    "AvailabilityZoneId",
    "MountTargetAddress",
    "ClientPolicyArn",
    "ClusterName",
    "ServiceName",
    "Running",
    "GatewayPort",
    "PasswordParameter",
    "LoadBalancerName",
];
