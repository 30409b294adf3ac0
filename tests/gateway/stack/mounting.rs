//! `s3dav mount --stack`: through the kernel, and why one way was taken.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::fake::{FakeAws, IMAGE, NO_STACK, STACK_ID, bare, fails, nothing, says, stack, will_be_created};
use crate::harness::process::{command, outcome};
use crate::harness::{BUCKET, Bucket, clients};
use crate::mounting::{Home, is_mounted};

const SHEET: &str = include_str!("../../../docs/S3-FILES.md");

#[tokio::test(flavor = "multi_thread")]
async fn the_bucket_of_a_stack_is_mounted() {
    let Some(home) = Home::new().await else { return };
    let Some(aws) = FakeAws::new() else { return };
    aws.answers(
        "cloudformation-describe-stacks",
        &[says(&stack("CREATE_COMPLETE", &[("BucketName", BUCKET), ("BucketPrefix", "team/")]))],
    );
    let bucket = Bucket::of(&home.s3.endpoint_url(), BUCKET).await;
    bucket.put("team/file", "content").await;
    bucket.put("beside", "it").await;
    let point = home.point();
    let endpoint = home.s3.endpoint_url();
    let mut mount = home.command(&["mount", "--stack", "files", "--endpoint-url", &endpoint]);
    mount.args(["--force-path-style", point.to_str().unwrap()]).env("PATH", aws.directory());
    let (code, said, error) = outcome(mount).await;
    assert_eq!(code, 0, "{error}");
    assert!(said.contains("bucket/team mounted at"), "{said}");
    assert!(error.contains("files: by its bucket bucket/team, it is the fastest"), "{error}");
    assert_eq!(fs::read_to_string(point.join("file")).unwrap(), "content");
    fs::write(point.join("new"), "saved").unwrap();
    assert!(!point.join("beside").exists());
    let (code, _, error) = home.unmount(&[]).await;
    assert_eq!(code, 0, "{error}");
    assert!(!is_mounted(&point));
    assert_eq!(bucket.get("team/new").await.unwrap(), "saved");
    assert_eq!(aws.names(), ["cloudformation describe-stacks"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_may_write_is_mounted_so() {
    let Some(home) = Home::new().await else { return };
    let Some(aws) = FakeAws::new() else { return };
    aws.answers(
        "cloudformation-describe-stacks",
        &[says(&stack("CREATE_COMPLETE", &[("BucketName", BUCKET), ("ReadOnly", "true")]))],
    );
    let (point, endpoint) = (home.point(), home.s3.endpoint_url());
    let mut mount =
        home.command(&["mount", "--stack", "files", "--via", "direct", "--endpoint-url", &endpoint]);
    mount.args(["--force-path-style", point.to_str().unwrap()]).env("PATH", aws.directory());
    let (code, _, error) = outcome(mount).await;
    assert_eq!((code, error.contains("as --via says")), (0, true), "{error}");
    assert!(fs::write(point.join("new"), "x").is_err());
    assert_eq!(home.unmount(&[]).await.0, 0);
}

#[tokio::test]
async fn a_way_that_there_is_not_says_what_makes_it() {
    let Some(aws) = FakeAws::new() else { return };
    let there = |more: &[(&str, &str)]| [says(&stack("CREATE_COMPLETE", more))];
    for (more, via, words, hint) in [
        (&[][..], "docker", "has no load balancer", "stack up files --nlb-from"),
        (&[("Running", "0")], "task", "is stopped", "stack start files"),
        (&[("S3davVersion", "2")], "direct", "version 2", "stack up files"),
    ] {
        aws.answers("cloudformation-describe-stacks", &there(more));
        let (code, _, error) = aws.outcome(&format!("mount --stack files --via {via} /nowhere")).await;
        assert!(code == 1 && error.contains(words) && error.contains(hint), "{via}: {error}");
    }
    aws.answers("cloudformation-describe-stacks", &[fails(NO_STACK)]);
    let (code, _, error) = aws.outcome("mount --stack files /nowhere").await;
    assert!(
        code == 1 && error.contains("there is no stack files") && error.contains("`s3dav stack up files`"),
        "{error}"
    );
    aws.answers("cloudformation-describe-stacks", &[says(&bare("CREATE_IN_PROGRESS"))]);
    let (code, _, error) = aws.outcome("mount --stack files /nowhere").await;
    assert!(
        code == 1 && error.contains("CREATE_IN_PROGRESS") && error.contains("stack status files"),
        "{error}"
    );
    let (code, _, error) = aws.outcome("mount --stack files --bucket photos /nowhere").await;
    assert_eq!((code, error.contains("both say what to mount")), (2, true), "{error}");
    let (code, _, error) = aws.outcome("service install --stack files").await;
    assert!(code == 2 && error.contains("may ask questions"), "{error}");
    assert!(aws.was_only_asked(), "{:?}", aws.names());
}

/// The commands of a row of the sheet's table, as a shell reads them.
fn rows() -> Vec<(String, Vec<String>)> {
    let table = SHEET.split("<!-- table: helper script -->").nth(1).expect("the table is marked");
    let rows =
        table.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let code = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    rows.skip(2).map(cells).map(|cells| (cells[0].trim_matches('`').to_owned(), code(&cells[1]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_sheets_table_do_what_the_helper_script_did() {
    let rows = rows();
    let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["up", "shell", "ls", "cp", "down"]);
    let Some(home) = Home::new().await else { return };
    let Some(tools) = clients::needs(&["python3", "bash", "cp", "ls"]) else { return };
    let aws = FakeAws::with(tools);
    let place = aws.directory();
    // The program with what leads to a bucket of this machine.
    let program = place.join("s3dav");
    let script = format!(
        "#!/bin/sh\nexport S3DAV_ENDPOINT_URL={} S3DAV_FORCE_PATH_STYLE=true\nexec {} \"$@\"\n",
        home.s3.endpoint_url(),
        env!("CARGO_BIN_EXE_s3dav")
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(home.directory.path().join("report.pdf"), "a report").unwrap();
    let bucket = Bucket::of(&home.s3.endpoint_url(), BUCKET).await;
    bucket.put("of-others", "").await;
    let made = stack("CREATE_COMPLETE", &[("BucketName", BUCKET)]);
    for (name, commands) in &rows {
        will_be_created(&aws);
        if name == "up" {
            aws.answers("cloudformation-describe-stacks", &[fails(NO_STACK), says(&made)]);
        } else {
            let states = ["CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"];
            aws.answers(
                "cloudformation-describe-stacks",
                &states.map(|status| says(&stack(status, &[("BucketName", BUCKET)]))),
            );
            aws.answers("cloudformation-update-stack", &[says(&json!({ "StackId": STACK_ID }))]);
            aws.answers("cloudformation-delete-stack", &[nothing()]);
            aws.answers("ssm-delete-parameter", &[nothing()]);
        }
        for line in commands {
            let line = line.replace("IMAGE@sha256:DIGEST", IMAGE);
            let line = if line.contains(" stack ") {
                line + " --yes --drain-wait 1ms --poll-interval 1ms"
            } else {
                line
            };
            let mut shell = aws.tools.script(&line);
            crate::harness::process::take_environment(&mut shell, &home.command(&[]));
            let path = format!("{}:{}", place.display(), aws.tools.path("cp").parent().unwrap().display());
            shell.env("PATH", path).current_dir(home.directory.path());
            let (code, said, error) = outcome(shell).await;
            assert_eq!(code, 0, "{line}: {said}{error}");
            if name == "ls" {
                assert!(said.lines().any(|name| name == "of-others"), "{line}: {said}");
            }
        }
        if name == "up" {
            assert!(is_mounted(&home.point()));
        }
    }
    assert!(!is_mounted(&home.point()));
    assert_eq!(bucket.keys().await, ["of-others", "report.pdf"]);
}

#[tokio::test]
async fn every_command_of_the_sheet_is_one() {
    let blocks = SHEET.split("```sh parsed\n").skip(1).map(|block| block.split("```").next().unwrap());
    let inline = SHEET.split('`').skip(1).step_by(2).filter(|code| code.starts_with("s3dav "));
    let lines = blocks.flat_map(str::lines).filter(|line| line.starts_with("s3dav ")).chain(inline);
    let mut count = 0;
    for line in lines {
        let line = line.split('#').next().unwrap().replace("IMAGE@sha256:DIGEST", IMAGE);
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        // Asked for help, it says what it would not have understood.
        let (code, _, error) = outcome(command(&[&words[..], &["--help"]].concat())).await;
        assert_eq!(code, 0, "{line}: {error}");
        count += 1;
    }
    assert!(count >= 8, "{count}");
}

#[tokio::test]
async fn what_the_environment_serves_otherwise_is_no_obstacle_to_a_stack() {
    let Some(aws) = FakeAws::new() else { return };
    let found = stack("CREATE_COMPLETE", &[("LoadBalancerName", "nlb.example")]);
    aws.answers("cloudformation-describe-stacks", &[says(&found)]);
    let mut mount = aws.command("mount --stack files --via docker /nowhere");
    mount.env("S3DAV_BUCKET", "photos").env("S3DAV_ACCESS_POINT", "fsap-00000000000000000");
    mount.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let (code, _, error) = outcome(mount).await;
    // What is missing then is an engine that runs the container.
    assert!(code == 1 && error.contains("through nlb.example") && error.contains("docker"), "{error}");
}

#[tokio::test]
async fn a_task_that_does_not_run_yet_is_told_of() {
    let Some(aws) = FakeAws::new() else { return };
    let plugin = aws.directory().join("session-manager-plugin");
    fs::write(&plugin, "").unwrap();
    aws.answers("cloudformation-describe-stacks", &[says(&stack("CREATE_COMPLETE", &[]))]);
    let line = "mount --stack files --via task /nowhere";
    aws.answers("ecs-list-tasks", &[says(&json!({ "taskArns": [] }))]);
    let (code, _, error) = aws.outcome(line).await;
    assert!(
        code == 1 && error.contains("has not started it yet") && error.contains("stack status files"),
        "{error}"
    );
    let arn = "arn:aws:ecs:us-east-1:123456789012:task/files-Cluster/0123";
    aws.answers("ecs-list-tasks", &[says(&json!({ "taskArns": [arn] }))]);
    let pending = json!({ "tasks": [{ "lastStatus": "PENDING", "containers": [{}] }] });
    aws.answers("ecs-describe-tasks", &[says(&pending)]);
    let (code, _, error) = aws.outcome(line).await;
    assert!(code == 1 && error.contains("it is in PENDING"), "{error}");
    assert_eq!(aws.calls().last().unwrap().option("--tasks"), Some(arn));
    assert!(aws.calls().iter().all(|call| !call.argv.contains(&"get-parameter".to_owned())));
}
