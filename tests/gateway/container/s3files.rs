//! The image that mounts Amazon S3 Files, built of the same recipe on a base whose `dnf` installs stand-ins for the
//! programs of efs-utils.

use std::fs;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::direct::url;
use crate::harness::docker::{Container, Docker};
use crate::harness::{client, eventually};
use crate::s3files::system::FILE_SYSTEM;

const SECRET: &str = "a-secret-that-nothing-may-show";

/// What a `credential_process` prints.
fn credentials() -> String {
    format!(
        r#"{{"Version": 1, "AccessKeyId": "AKIAPUSHED", "SecretAccessKey": "{SECRET}", "SessionToken": "{SECRET}",
            "Expiration": "2999-01-01T00:00:00Z"}}"#
    )
}

/// Hands credentials over, once somebody takes them.
async fn push(docker: &Docker, container: &Container) {
    eventually("credentials are taken", || async {
        let mut command = docker.command(&["exec", "-i", &container.id, "s3dav", "container", "credentials"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It may have ended at once.
        let _ = stdin.write_all(credentials().as_bytes()).await;
        drop(stdin);
        let is_running = container.inspect("{{.State.Running}}").await == "true";
        assert!(is_running, "{}", container.logs().await);
        child.wait().await.unwrap().success()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_mounts_s3_files_serves_it_and_ends_in_order() {
    let Some(docker) = Docker::shared().await else { return };
    let image = docker.s3files_image().await;
    let notes = TempDir::new().unwrap();
    fs::create_dir(notes.path().join("source")).unwrap();
    fs::write(notes.path().join("source/file"), "content").unwrap();
    let volume = format!("{}:/notes", notes.path().display());
    let container = docker
        .container(&[
            "--network=host",
            "--cap-drop=ALL",
            "--cap-add=SYS_ADMIN",
            "--read-only",
            "--tmpfs=/run",
            "--tmpfs=/tmp",
            "--tmpfs=/var/lib/s3dav",
            "--health-interval=1s",
            "-v",
            &volume,
            "-e",
            "AWS_PROFILE=work",
            "-e",
            "AWS_EC2_METADATA_DISABLED=true",
            image,
            "--s3files",
            FILE_SYSTEM,
            "--region=us-east-1",
            "--mount-target=10.0.0.1",
            "--access-point=fsap-0123456789abcdef0",
            "--listen=127.0.0.1:0",
        ])
        .await;
    push(&docker, &container).await;
    let url = url(&container).await;
    let answer = client().get(format!("{url}/file")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, "content".to_owned()));
    let put = client().put(format!("{url}/new")).body("new").send().await.unwrap().status().as_u16();
    let stored = fs::read_to_string(notes.path().join("source/new")).unwrap();
    assert_eq!((put, stored.as_str()), (201, "new"));
    let status = container.exec(&["cat", "/proc/1/status"]).await.out;
    assert!(status.contains("CapBnd:\t0000000000200000"), "CAP_SYS_ADMIN alone: {status}");
    eventually("healthy", || async { container.inspect("{{.State.Health.Status}}").await == "healthy" })
        .await;

    let record = || fs::read_to_string(notes.path().join("record")).unwrap();
    let mounted = format!(
        "mount.s3files {FILE_SYSTEM}:/ /mnt/s3files -o region=us-east-1,azid=none,mounttargetip=10.0.0.1,\
         accesspoint=fsap-0123456789abcdef0\n"
    );
    assert!(record().contains(&mounted) && record().contains("keys AKIAPUSHED\n"), "{}", record());
    let environment = fs::read_to_string(notes.path().join("mount.env")).unwrap();
    assert!(environment.contains("AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:"), "{environment}");
    assert!(!environment.contains("AWS_PROFILE") && !environment.contains(SECRET), "{environment}");

    // The secret is in no place where others could see it.
    let inspected = container.inspect("{{json .}}").await;
    let history = docker.wants(&["history", "--no-trunc", image]).await;
    let environments =
        container.exec(&["sh", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline"]).await.out;
    let files = container.exec(&["grep", "-rlF", SECRET, "/run", "/tmp", "/etc", "/var"]).await.out;
    let shown = [inspected, history, environments, container.logs().await, files, record()];
    for (place, text) in shown.iter().enumerate() {
        assert!(!text.contains(SECRET), "{place}: {text}");
    }
    assert_eq!(shown[4], "", "it is in no file");

    docker.wants(&["stop", "-t", "40", &container.id]).await;
    assert_eq!(container.inspect("{{.State.ExitCode}}").await, "0", "{}", container.logs().await);
    let record = record();
    let ends: Vec<&str> = record.lines().rev().take(3).collect();
    assert_eq!(ends, ["proxy ended", "watchdog ended", "umount /mnt/s3files"], "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_without_dnf_is_refused_by_name() {
    let Some(docker) = Docker::shared().await else { return };
    let more = ["--s3files", "--base", crate::harness::docker::BASE, "--tag", "never:1"];
    let (code, _, error) =
        crate::harness::process::outcome(docker.build(env!("CARGO_BIN_EXE_s3dav"), &more)).await;
    assert!(code == 1 && error.contains("the image cannot be built"), "{error}");
    assert!(error.contains("hint: the base image needs dnf"), "{error}");
}
