//! What is refused before anything is made, and what AWS refuses.

use serde_json::json;

use super::fake::{FakeAws, IMAGE, NO_STACK, bare, fails, image_for, says, stack, will_be_created};
use crate::harness::process::{command, outcome};

#[tokio::test]
async fn mistakes_are_found_before_aws_is_asked() {
    let Some(aws) = FakeAws::new() else { return };
    for (arguments, error, hint) in [
        ("files --image s3dav:latest", "does not name an image by its digest", "sha256:DIGEST"),
        ("files --nlb-from 0.0.0.0/0", "more than 256 addresses", "203.0.113.7/32"),
        ("files --nlb-from ::/0", "not a range of IPv4", "/32"),
        ("files --nlb-from 10.0.0.0/8", "more than 256 addresses", "/24"),
        ("files --nlb-from 203.0.113.7/24", "is not the start of a range", "/32"),
        ("files --vpc vpc-01234567", "--subnet", "--help"),
        ("files --vpc vpc-x --subnet subnet-01234567", "not the ID of a VPC", "vpc-"),
        ("files --bucket arn:aws:s3:eu-west-1:123456789012:accesspoint/a", "access point", "NAME/PREFIX"),
        ("files --bucket photos/a*", "means something else", "NAME/PREFIX"),
        ("2files", "not a valid name of a stack", "letter"),
    ] {
        let (code, said, told) = aws.outcome(&format!("stack up {arguments} --yes")).await;
        assert_eq!((code, said.as_str()), (2, ""), "{arguments}: {told}");
        assert!(told.contains(error) && told.contains(hint), "{arguments}: {told}");
    }
    assert_eq!(aws.names(), [""; 0]);
}

#[tokio::test]
async fn an_answer_without_stacks_is_no_absence() {
    let Some(aws) = FakeAws::new() else { return };
    will_be_created(&aws);
    for answer in [json!({}), json!(null), json!({ "Stacks": [] })] {
        aws.answers("cloudformation-describe-stacks", &[says(&answer)]);
        for command in ["up", "down"] {
            let line =
                if command == "up" { format!("up files --image {IMAGE}") } else { "down files".to_owned() };
            let (code, _, error) = aws.outcome(&format!("stack {line} --yes")).await;
            assert!(code == 1 && error.contains("printed an incomplete answer"), "{error}");
        }
    }
    assert!(aws.was_only_asked(), "{:?}", aws.names());
}

#[tokio::test]
async fn without_an_image_nothing_is_made_and_the_ways_to_one_are_named() {
    let Some(aws) = FakeAws::new() else { return };
    will_be_created(&aws);
    let (code, _, error) = aws.outcome("stack up files --yes").await;
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("this release names no image"), "{error}");
    assert!(error.contains("--image") && error.contains("s3dav container build --binary"), "{error}");
    let missing = json!({ "images": [], "failures": [{ "failureCode": "ImageNotFound" }] });
    for (answer, words, hint) in [
        (says(&missing), "there is no image", "docker push"),
        (
            fails("An error occurred (RepositoryNotFoundException) when calling …"),
            "no repository s3dav",
            "create-repo",
        ),
        (says(&image_for(&["s390x"])), "is not for arm64, nor for amd64", "push one for"),
    ] {
        will_be_created(&aws);
        aws.answers("ecr-batch-get-image", &[answer]);
        let (code, _, error) = aws.outcome(&format!("stack up files --image {IMAGE} --yes")).await;
        assert_eq!(code, 1, "{error}");
        assert!(error.contains(words) && error.contains(hint), "{words}: {error}");
    }
    will_be_created(&aws);
    aws.answers("ecr-batch-get-image", &[says(&image_for(&["amd64"]))]);
    let (code, _, error) =
        aws.outcome(&format!("stack up files --image {IMAGE} --architecture arm64 --yes")).await;
    assert_eq!((code, error.contains("is not for arm64")), (1, true), "{error}");
    assert!(aws.was_only_asked(), "{:?}", aws.names());
}

#[tokio::test]
async fn a_bucket_must_keep_versions_and_be_in_the_region() {
    let Some(aws) = FakeAws::new() else { return };
    let here = || says(&json!({ "LocationConstraint": null }));
    for (location, versioning, words, hint) in [
        (here(), says(&json!({})), "has no versioning", "put-bucket-versioning --bucket photos"),
        (here(), says(&json!({ "Status": "Suspended" })), "has no versioning", "Status=Enabled"),
        (says(&json!({ "LocationConstraint": "EU" })), here(), "is in eu-west-1", "--region eu-west-1"),
        (
            fails("An error occurred (NoSuchBucket) when calling …"),
            here(),
            "there is no bucket photos",
            "aws s3 ls",
        ),
    ] {
        will_be_created(&aws);
        aws.answers("s3api-get-bucket-location", &[location]);
        aws.answers("s3api-get-bucket-versioning", &[versioning]);
        let (code, _, error) =
            aws.outcome(&format!("stack up files --image {IMAGE} --bucket photos --yes")).await;
        assert_eq!(code, 1, "{error}");
        assert!(error.contains(words) && error.contains(hint), "{words}: {error}");
    }
    assert!(aws.was_only_asked(), "{:?}", aws.names());
}

#[tokio::test]
async fn nobody_is_asked_without_a_terminal() {
    let Some(aws) = FakeAws::new() else { return };
    will_be_created(&aws);
    let there = || [says(&stack("CREATE_COMPLETE", &[]))];
    let (code, _, error) = aws.outcome(&format!("stack up files --image {IMAGE}")).await;
    assert_eq!((code, error.contains("--yes")), (1, true), "{error}");
    assert!(error.contains("about 11 dollars a month"), "it is shown all the same: {error}");
    for line in ["stack stop files", "stack down files", "stack up files --read-only"] {
        aws.answers("cloudformation-describe-stacks", &there());
        let (code, _, error) = aws.outcome(line).await;
        assert_eq!((code, error.contains("--yes")), (1, true), "{line}: {error}");
    }
    assert!(aws.was_only_asked(), "{:?}", aws.names());
}

#[tokio::test]
async fn a_stack_of_others_is_left_alone() {
    let Some(aws) = FakeAws::new() else { return };
    will_be_created(&aws);
    let mut foreign = stack("CREATE_COMPLETE", &[]);
    foreign["Stacks"][0]["Tags"] = json!([]);
    foreign["Stacks"][0]["Outputs"] = json!([{ "OutputKey": "Url", "OutputValue": "https://shop.example" }]);
    aws.answers("cloudformation-describe-stacks", &[says(&foreign)]);
    let up = format!("up files --image {IMAGE} --yes");
    for line in [&*up, "down files --yes", "stop files --yes", "start files", "status files"] {
        let (code, _, error) = aws.outcome(&format!("stack {line}")).await;
        assert_eq!((code, error.contains("was not created by s3dav")), (1, true), "{line}: {error}");
    }
    let (code, _, error) = aws.outcome("mount --stack files /nowhere").await;
    assert_eq!((code, error.contains("was not created by s3dav")), (1, true), "{error}");
    assert!(aws.was_only_asked(), "{:?}", aws.names());
}

#[tokio::test]
async fn what_cannot_be_changed_now_says_what_to_do() {
    let Some(aws) = FakeAws::new() else { return };
    will_be_created(&aws);
    for (found, hint) in [
        (bare("ROLLBACK_COMPLETE"), "s3dav stack down files"),
        (stack("UPDATE_IN_PROGRESS", &[]), "s3dav stack status files"),
        (stack("UPDATE_ROLLBACK_FAILED", &[]), "continue-update-rollback --stack-name files"),
        (stack("DELETE_FAILED", &[]), "s3dav stack down files"),
    ] {
        aws.answers("cloudformation-describe-stacks", &[says(&found)]);
        for line in [&*format!("up files --image {IMAGE} --yes"), "stop files --yes", "start files"] {
            let (code, _, error) = aws.outcome(&format!("stack {line}")).await;
            assert_eq!((code, error.contains(hint)), (1, true), "{line}: {error}");
        }
    }
    aws.answers("cloudformation-describe-stacks", &[says(&stack("CREATE_COMPLETE", &[]))]);
    let (code, _, error) = aws.outcome("stack up files --bucket photos --yes").await;
    assert_eq!((code, error.contains("cannot be changed")), (1, true), "{error}");
    let (code, _, error) =
        aws.outcome("stack up files --vpc vpc-01234567 --subnet subnet-01234567 --yes").await;
    assert_eq!((code, error.contains("cannot be changed")), (1, true), "{error}");
    assert!(aws.was_only_asked(), "{:?}", aws.names());
}

#[tokio::test]
async fn what_aws_says_has_its_hint() {
    let Some(aws) = FakeAws::new() else { return };
    for (words, hint) in [
        ("An error occurred (ExpiredToken) when calling the DescribeStacks operation", "aws sso login"),
        ("Error loading SSO Token: Token for work does not exist", "aws sso login"),
        (
            "Unable to locate credentials. You can configure credentials",
            "`aws sso login`, set up keys with `aws configure`",
        ),
        (
            "An error occurred (AccessDenied) when calling …: not authorized to perform: x",
            "stack template --iam",
        ),
        ("Could not connect to the endpoint URL: \"https://x\"", "network"),
    ] {
        aws.answers("cloudformation-describe-stacks", &[fails(words)]);
        let (code, _, error) = aws.outcome("stack status files").await;
        assert_eq!((code, error.contains(hint)), (1, true), "{words}: {error}");
        assert!(error.contains(&words[..20]), "what it said is shown: {error}");
    }
    will_be_created(&aws);
    let exists = "An error occurred (AlreadyExistsException) when calling the CreateStack operation";
    aws.answers("cloudformation-create-stack", &[fails(exists)]);
    // It is gone already; one that is there may have that password.
    aws.answers("cloudformation-describe-stacks", &[fails(NO_STACK)]);
    aws.answers("ssm-delete-parameter", &[says(&json!({}))]);
    let (code, _, error) = aws.outcome(&format!("stack up files --image {IMAGE} --yes")).await;
    assert_eq!((code, error.contains("has created a stack")), (1, true), "{error}");
    assert!(aws.names().contains(&"ssm delete-parameter".to_owned()), "a password that was new is not left");
}

#[tokio::test]
async fn what_is_missing_is_named_with_its_install_line() {
    let mut status = command(&["stack", "status", "files"]);
    status.env("PATH", "/nonexistent");
    let (code, _, error) = outcome(status).await;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("aws was not found in PATH") && error.contains("install it"), "{error}");
    let Some(aws) = FakeAws::new() else { return };
    let mut status = aws.command("stack status files");
    status.env_remove("AWS_REGION");
    aws.answers("configure-get", &[fails("")]);
    let (code, _, error) = outcome(status).await;
    assert_eq!((code, error.contains("--region")), (1, true), "{error}");
    let mut status = aws.command("stack status files");
    status.env_remove("AWS_REGION");
    aws.answers("configure-get", &[super::fake::Answer(0, "eu-west-3\n".into())]);
    aws.answers("cloudformation-describe-stacks", &[fails(NO_STACK)]);
    let (code, _, error) = outcome(status).await;
    assert!(
        code == 1 && error.contains("no stack files in eu-west-3") && error.contains("stack up files"),
        "{error}"
    );
    // Where a session is needed, its plugin is.
    aws.answers("cloudformation-describe-stacks", &[says(&stack("CREATE_COMPLETE", &[]))]);
    let mut mount = aws.command("mount --stack files --via task /nowhere");
    mount.env("PATH", aws.directory());
    let (code, _, error) = outcome(mount).await;
    assert!(code == 1 && error.contains("session-manager-plugin") && error.contains("install it"), "{error}");
}
