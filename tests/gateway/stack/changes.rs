//! What is made, changed and removed, call by call.

use std::path::Path;

use serde_json::json;

use super::fake::{
    Answer, FakeAws, IMAGE, NO_STACK, STACK_ID, bare, fails, image_for, nothing, says, stack, will_be_created,
};

#[tokio::test]
async fn up_shows_what_it_makes_and_makes_it() {
    let Some(aws) = FakeAws::new() else { return };
    will_be_created(&aws);
    let (code, said, error) =
        aws.outcome(&format!("stack up files --image {IMAGE} --nlb-from 203.0.113.7/32 --yes")).await;
    assert_eq!(code, 0, "{error}");
    for word in
        ["a new one with versions", "203.0.113.7/32 alone", "about 31 dollars a month", "November 2026"]
    {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(error.contains("mount --stack files") && said.contains("bucket         bucket"), "{said}{error}");
    assert!(said.contains("task           running"), "{said}");
    let create = aws.call("cloudformation create-stack");
    assert_eq!(create.option("--capabilities"), Some("CAPABILITY_IAM"));
    assert_eq!(create.option("--tags"), Some("Key=s3dav,Value=stack"));
    assert_eq!(create.option("--region"), Some("us-east-1"));
    let template = include_str!("../../../deploy/infra/s3files.yaml");
    assert_eq!(create.file("--template-body")["text"], template);
    let expected = json!({
        "Image": IMAGE, "Architecture": "ARM64", "PasswordParameter": "/s3dav/files/password",
        "SourceCidr": "203.0.113.7/32",
    });
    assert_eq!(json!(create.parameters()), expected);
    let names = aws.names();
    let at = |name: &str| names.iter().position(|called| called == name).unwrap();
    assert!(at("ecr batch-get-image") < at("ssm put-parameter"), "{names:?}");
    assert!(at("ssm put-parameter") < at("cloudformation create-stack"), "{names:?}");
}

#[tokio::test]
async fn the_password_goes_by_a_private_file_and_nowhere_else() {
    let Some(aws) = FakeAws::new() else { return };
    will_be_created(&aws);
    let mut up = aws.command(&format!("stack up files --image {IMAGE} --yes"));
    up.env("S3DAV_PROFILE", "work");
    let (code, said, error) = crate::harness::process::outcome(up).await;
    assert_eq!(code, 0, "{error}");
    let put = aws.call("ssm put-parameter");
    assert_eq!(
        (put.option("--type"), put.option("--name")),
        (Some("SecureString"), Some("/s3dav/files/password"))
    );
    assert_eq!(put.option("--profile"), Some("work"));
    assert!(!put.argv.contains(&"--overwrite".to_owned()));
    let file = put.file("--value");
    let password = file["text"].as_str().unwrap().to_owned();
    assert!(password.len() == 32 && password.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!((&file["mode"], &file["directory"]), (&json!(0o600), &json!(0o700)));
    assert!(!said.contains(&password) && !error.contains(&password));
    for call in aws.calls() {
        let named = call.argv.iter().filter_map(|word| word.strip_prefix("file://"));
        for path in named {
            assert!(!Path::new(path).exists(), "{path} is left");
        }
        let shown = format!("{:?}{}{}", call.argv, call.record["environment"], call.record["stdin"]);
        assert!(!shown.contains(&password), "{}", call.name());
        assert!(
            call.record["environment"].as_object().unwrap().keys().all(|name| !name.starts_with("S3DAV_"))
        );
        let is_of_password = call.name() == "ssm put-parameter";
        assert!(is_of_password || !call.record["files"].to_string().contains(&password), "{}", call.name());
    }
    // Another one is not made where there is one.
    aws.forget();
    will_be_created(&aws);
    aws.answers("ssm-put-parameter", &[fails("An error occurred (ParameterAlreadyExists) when calling …")]);
    assert_eq!(aws.outcome(&format!("stack up files --image {IMAGE} --yes")).await.0, 0);
}

#[tokio::test]
async fn a_stack_whose_answer_was_lost_is_followed_and_keeps_its_password() {
    let Some(aws) = FakeAws::new() else { return };
    let lost = [fails("Read timeout on endpoint URL: \"None\""), Answer(0, "<html>".to_owned())];
    for answer in lost {
        will_be_created(&aws);
        aws.forget();
        aws.answers("cloudformation-create-stack", std::slice::from_ref(&answer));
        let (code, _, error) = aws.outcome(&format!("stack up files --image {IMAGE} --yes")).await;
        assert_eq!((code, error.contains("AWS's answer was lost")), (0, true), "{error}");
        assert!(!aws.names().contains(&"ssm delete-parameter".to_owned()), "{:?}", aws.names());
        // Where AWS knows nothing of it the password is of no use.
        aws.forget();
        aws.answers("cloudformation-create-stack", &[answer]);
        aws.answers("cloudformation-describe-stacks", &[fails(NO_STACK)]);
        aws.answers("ssm-delete-parameter", &[nothing()]);
        assert_eq!(aws.outcome(&format!("stack up files --image {IMAGE} --yes")).await.0, 1);
        aws.call("ssm delete-parameter");
    }
    // It may be of use to whoever was faster.
    aws.forget();
    let faster =
        fails("An error occurred (AlreadyExistsException) when calling …: Stack [files] already exists");
    aws.answers("cloudformation-create-stack", &[faster]);
    aws.answers("cloudformation-describe-stacks", &[fails(NO_STACK), says(&bare("CREATE_IN_PROGRESS"))]);
    let (code, _, error) = aws.outcome(&format!("stack up files --image {IMAGE} --yes")).await;
    assert_eq!((code, error.contains("has created a stack")), (1, true), "{error}");
    assert!(!aws.names().contains(&"ssm delete-parameter".to_owned()), "{:?}", aws.names());
}

#[tokio::test]
async fn a_bucket_and_a_network_that_exist_are_used() {
    let Some(aws) = FakeAws::new() else { return };
    will_be_created(&aws);
    aws.answers("ecr-batch-get-image", &[says(&image_for(&["amd64"]))]);
    aws.answers("s3api-get-bucket-location", &[says(&json!({ "LocationConstraint": null }))]);
    aws.answers("s3api-get-bucket-versioning", &[says(&json!({ "Status": "Enabled" }))]);
    let subnet = json!({ "Subnets": [{ "VpcId": "vpc-01234567", "CidrBlock": "10.9.8.16/28" }] });
    aws.answers("ec2-describe-subnets", &[says(&subnet)]);
    let used =
        |last: u32| json!({ "PrivateIpAddresses": [{ "PrivateIpAddress": format!("10.9.8.{last}") }] });
    aws.answers(
        "ec2-describe-network-interfaces",
        &[says(&json!({ "NetworkInterfaces": [used(30), used(28)] }))],
    );
    let network = "--vpc vpc-01234567 --subnet subnet-01234567";
    let line = format!("stack up files --image {IMAGE} --bucket photos/team/a --read-only {network} --yes");
    let (code, _, error) = aws.outcome(&line).await;
    assert_eq!(code, 0, "{error}");
    let expected = json!({
        "Image": IMAGE, "Architecture": "X86_64", "PasswordParameter": "/s3dav/files/password", "ReadOnly": "true",
        "ExistingBucket": "photos", "Prefix": "team/a/", "ExistingVpc": "vpc-01234567",
        "ExistingSubnet": "subnet-01234567", "MountTargetAddress": "10.9.8.29",
    });
    assert_eq!(json!(aws.call("cloudformation create-stack").parameters()), expected);
}

#[tokio::test]
async fn up_again_changes_only_what_it_is_told() {
    let Some(aws) = FakeAws::new() else { return };
    will_be_created(&aws);
    let there = says(&stack("CREATE_COMPLETE", &[]));
    let changed =
        [there.clone(), says(&stack("UPDATE_IN_PROGRESS", &[])), says(&stack("UPDATE_COMPLETE", &[]))];
    aws.answers("cloudformation-describe-stacks", &changed);
    aws.answers("cloudformation-update-stack", &[says(&json!({ "StackId": STACK_ID }))]);
    let (code, _, error) = aws.outcome("stack up files --nlb-from 203.0.113.0/24 --yes").await;
    assert_eq!(code, 0, "{error}");
    let parameters = aws.call("cloudformation update-stack").parameters();
    assert_eq!(parameters["SourceCidr"], "203.0.113.0/24");
    let kept = parameters.iter().filter(|(_, value)| value["kept"] == true).count();
    assert_eq!((kept, parameters.len()), (10, 11), "{parameters:?}");
    aws.answers("cloudformation-describe-stacks", &[there]);
    let nothing_new = "An error occurred (ValidationError) when calling the UpdateStack operation: No updates are to be \
                       performed.";
    aws.answers("cloudformation-update-stack", &[fails(nothing_new)]);
    let (code, _, error) = aws.outcome("stack up files --nlb-from none --yes").await;
    assert_eq!((code, error.contains("there is nothing to change")), (0, true), "{error}");
}

#[tokio::test]
async fn another_processor_is_one_for_the_image_that_it_has() {
    let Some(aws) = FakeAws::new() else { return };
    let there = says(&stack("CREATE_COMPLETE", &[]));
    aws.answers("cloudformation-describe-stacks", &[there, says(&stack("UPDATE_COMPLETE", &[]))]);
    aws.answers("cloudformation-update-stack", &[says(&json!({ "StackId": STACK_ID }))]);
    aws.answers("ssm-put-parameter", &[fails("An error occurred (ParameterAlreadyExists) when calling …")]);
    aws.answers("ecr-batch-get-image", &[says(&image_for(&["arm64", "amd64"]))]);
    aws.answers("ecs-describe-services", &[says(&json!({ "services": [{ "runningCount": 1 }] }))]);
    let (code, _, error) = aws.outcome("stack up files --architecture amd64 --yes").await;
    assert_eq!(code, 0, "{error}");
    let parameters = aws.call("cloudformation update-stack").parameters();
    assert_eq!((&parameters["Architecture"], &parameters["Image"]), (&json!("X86_64"), &json!(IMAGE)));
}

#[tokio::test]
async fn what_failed_first_is_told() {
    let Some(aws) = FakeAws::new() else { return };
    will_be_created(&aws);
    let end = [fails(NO_STACK), says(&bare("ROLLBACK_IN_PROGRESS")), says(&bare("ROLLBACK_COMPLETE"))];
    aws.answers("cloudformation-describe-stacks", &end);
    let event = |resource: &str, status: &str, reason: &str| json!({ "LogicalResourceId": resource, "ResourceStatus": status, "ResourceStatusReason": reason });
    let events = json!({ "StackEvents": [
        event("Nlb", "CREATE_FAILED", "Resource creation cancelled"),
        event("LoadBalancer", "CREATE_FAILED", "VPC vpc-1 has no internet gateway"),
    ] });
    aws.answers("cloudformation-describe-stack-events", &[says(&events)]);
    let (code, _, error) = aws.outcome(&format!("stack up files --image {IMAGE} --yes")).await;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("ROLLBACK_COMPLETE: LoadBalancer: VPC vpc-1 has no internet gateway"), "{error}");
    assert!(error.contains("public subnet") && error.contains("s3dav stack down files"), "{error}");
}

#[tokio::test]
async fn stop_and_start_change_one_parameter_of_the_template_that_is_there() {
    let Some(aws) = FakeAws::new() else { return };
    aws.answers("cloudformation-update-stack", &[says(&json!({ "StackId": STACK_ID }))]);
    for (line, before, number) in [("stop files --yes", "1", "0"), ("start files", "0", "1")] {
        aws.forget();
        let before = stack("CREATE_COMPLETE", &[("Running", before)]);
        aws.answers("cloudformation-describe-stacks", &[says(&before), says(&stack("UPDATE_COMPLETE", &[]))]);
        let (code, said, error) = aws.outcome(&format!("stack {line}")).await;
        assert_eq!(code, 0, "{error}");
        let update = aws.call("cloudformation update-stack");
        assert!(update.argv.contains(&"--use-previous-template".to_owned()), "{:?}", update.argv);
        assert_eq!(update.parameters()["Running"], number);
        assert!(update.parameters().iter().all(|(key, value)| key == "Running" || value["kept"] == true));
        // The same once more does nothing.
        aws.forget();
        aws.answers(
            "cloudformation-describe-stacks",
            &[says(&stack("UPDATE_COMPLETE", &[("Running", number)]))],
        );
        assert_eq!(aws.outcome(&format!("stack {line}")).await.0, 0, "{said}");
        assert!(aws.was_only_asked(), "{:?}", aws.names());
    }
}

#[tokio::test]
async fn down_ends_the_task_first_and_deletes_no_bucket() {
    let Some(aws) = FakeAws::new() else { return };
    let states = ["CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_IN_PROGRESS", "DELETE_COMPLETE"];
    aws.answers("cloudformation-describe-stacks", &states.map(|status| says(&stack(status, &[]))));
    aws.answers("cloudformation-update-stack", &[says(&json!({ "StackId": STACK_ID }))]);
    aws.answers("cloudformation-delete-stack", &[nothing()]);
    aws.answers("ssm-delete-parameter", &[nothing()]);
    let (code, said, error) = aws.outcome("stack down files --yes").await;
    assert_eq!(code, 0, "{error}");
    assert!(said.contains("the bucket bucket and everything in it are kept"), "{said}");
    assert!(
        error.contains("s3dav mount bucket") && error.contains("to export what was written last"),
        "{error}"
    );
    let changes: Vec<String> = aws.names().into_iter().filter(|name| !name.contains("describe")).collect();
    let expected = ["cloudformation update-stack", "cloudformation delete-stack", "ssm delete-parameter"];
    assert_eq!(changes, expected);
    assert_eq!(aws.call("cloudformation delete-stack").option("--stack-name"), Some(STACK_ID));
    for call in aws.calls() {
        let line = call.argv.join(" ");
        assert!(!line.contains("bucket") && !line.starts_with("s3"), "{line}");
    }
}

#[tokio::test]
async fn down_removes_what_never_came_to_be() {
    let Some(aws) = FakeAws::new() else { return };
    aws.answers(
        "cloudformation-describe-stacks",
        &["ROLLBACK_COMPLETE", "DELETE_COMPLETE"].map(|s| says(&bare(s))),
    );
    aws.answers("cloudformation-delete-stack", &[nothing()]);
    aws.answers("ssm-delete-parameter", &[fails("An error occurred (ParameterNotFound) when calling …")]);
    let (code, said, error) = aws.outcome("stack down files --yes").await;
    assert_eq!((code, said.contains("a bucket with files in it is kept")), (0, true), "{said}{error}");
    assert!(!aws.names().contains(&"cloudformation update-stack".to_owned()));
}

#[tokio::test]
async fn status_tells_what_there_is_and_what_runs() {
    let Some(aws) = FakeAws::new() else { return };
    let more = [("LoadBalancerName", "nlb.example"), ("BucketPrefix", "team/"), ("ReadOnly", "true")];
    aws.answers("cloudformation-describe-stacks", &[says(&stack("UPDATE_COMPLETE", &more))]);
    let events = json!([{ "message": "(service files-Service) was unable to place a task" }]);
    let services = json!({ "services": [{ "runningCount": 0, "pendingCount": 0, "events": events }] });
    aws.answers("ecs-describe-services", &[says(&services)]);
    let (code, said, error) = aws.outcome("stack status files").await;
    assert_eq!(code, 0, "{error}");
    for line in [
        "stack          files, UPDATE_COMPLETE",
        "bucket         bucket/team",
        "file system    fs-0123456789abcdef0 by fsap-0123456789abcdef0, read-only",
        "task           not running: (service files-Service) was unable to place a task",
        "load balancer  nlb.example, TCP 2049",
    ] {
        assert!(said.lines().any(|shown| shown == line), "{line}: {said}");
    }
    assert!(aws.was_only_asked());
    aws.answers("cloudformation-describe-stacks", &[says(&bare("ROLLBACK_COMPLETE"))]);
    let (code, said, error) = aws.outcome("stack status files").await;
    assert_eq!((code, said.contains("ROLLBACK_COMPLETE")), (1, true), "{error}");
    assert!(error.contains("s3dav stack down files"), "{error}");
}
