//! `s3dav iam-policy`, and the sheet that shows what it prints.

use s3dav::iam::{BUCKET, FILE_SYSTEM};

use crate::harness::process::{command, outcome};

const SHEET: &str = include_str!("../../docs/IAM.md");

/// What the command says: exit code, standard output, standard error.
async fn policy(arguments: &str) -> (i32, String, String) {
    outcome(command(&format!("iam-policy {arguments}").split_whitespace().collect::<Vec<_>>())).await
}

#[tokio::test]
async fn each_policy_of_the_sheet_is_what_the_command_above_it_prints() {
    let mut count = 0;
    let mut above = "";
    for block in SHEET.split("```").skip(1).step_by(2) {
        if let Some(shown) = block.strip_prefix("json parsed\n") {
            let arguments =
                above.strip_prefix("sh parsed\ns3dav iam-policy ").expect("a command stands above it");
            let (code, printed, said) = policy(arguments).await;
            assert_eq!((code, said.as_str()), (0, ""), "{arguments}");
            assert_eq!(printed, shown, "{arguments}");
            count += 1;
        }
        above = block;
    }
    assert_eq!(count, SHEET.matches("```json").count());
    assert!(count >= 8);
}

#[test]
fn the_sheet_says_for_what_each_action_is() {
    let rows: Vec<&str> = SHEET.lines().filter(|line| line.starts_with("| `")).collect();
    let grants = BUCKET.iter().chain(FILE_SYSTEM);
    let expected: Vec<String> =
        grants.map(|grant| format!("| `{}` | {} |", grant.action, grant.why)).collect();
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn names_are_read_as_serve_reads_them_and_tell_the_partition() {
    for (arguments, expected) in [
        ("--bucket s3://photos/a/b/", "\"arn:aws:s3:::photos/a/b/*\""),
        ("--bucket arn:aws-cn:s3:::photos", "\"arn:aws-cn:s3:::photos/*\""),
        ("--bucket photos --partition aws-us-gov", "\"arn:aws-us-gov:s3:::photos\""),
        (
            "--bucket photos --kms-key arn:aws-cn:kms:cn-north-1:123456789012:key/k",
            "\"arn:aws-cn:s3:::photos\"",
        ),
        (
            "--bucket arn:aws:s3:eu-west-1:123456789012:accesspoint/team/a",
            "\"arn:aws:s3:eu-west-1:123456789012:accesspoint/team/object/a/*\"",
        ),
        ("--trust ecs --partition aws-cn", "\"arn:aws-cn:ecs:*:ACCOUNT:*\""),
        (
            "--trust irsa --oidc-provider https://oidc.eks.eu-west-1.amazonaws.com/id/E1/ --account 123456789012",
            "\"arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/E1\"",
        ),
        ("--trust irsa --namespace data --service-account s3dav", "\"system:serviceaccount:data:s3dav\""),
    ] {
        let (code, printed, said) = policy(arguments).await;
        assert!(code == 0 && printed.contains(expected), "{arguments}: {printed}{said}");
        serde_json::from_str::<serde_json::Value>(&printed).unwrap();
    }
    assert_eq!(policy("photos").await, policy("--bucket photos").await);
}

#[tokio::test]
async fn what_no_policy_can_name_is_refused_with_what_to_write() {
    let key = "arn:aws:kms:eu-west-1:123456789012:alias/k";
    for (arguments, error, hint) in [
        ("", "no bucket or file system", "--s3files"),
        ("--bucket a b", "cannot be used with", "--help"),
        ("--kms-key arn:aws:kms:eu-west-1:123456789012:key/k --trust ecs", "required", "--help"),
        ("--bucket a --s3files b", "cannot be used with", "--help"),
        ("--bucket a --account 123456789012", "--trust", "--help"),
        ("--bucket a/../b", "dotted segment", "NAME/PREFIX"),
        ("--bucket team-abc-s3alias", "which is an alias", "by its ARN"),
        (&format!("--bucket a --kms-key {key}"), "not the ARN of a KMS key", "key/ID"),
        ("--s3files fs-1", "not the ARN of a file system", "file-system/fs-ID"),
        ("--bucket arn:aws-cn:s3:::a --partition aws", "aws-cn", "one partition"),
        ("--bucket a --partition gcp", "not a partition", "aws-us-gov"),
        ("--trust ecs --account 12", "not an account ID", "twelve digits"),
        ("--trust ecs --namespace a", "does not apply", "leave it out"),
        ("--trust pod-identity --oidc-provider a", "does not apply", "leave it out"),
        ("--trust irsa --service-account *", "not a valid name of a namespace", "lower-case letters"),
        ("--trust irsa --oidc-provider http://a", "not the URL", "https://oidc"),
    ] {
        let (code, printed, said) = policy(arguments).await;
        assert_eq!((code, printed.as_str()), (2, ""), "{arguments}: {said}");
        assert!(said.contains(error) && said.contains(hint), "{arguments}: {said}");
    }
}
