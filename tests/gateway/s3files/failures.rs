//! Each way in which a start can fail ends soon, with the step, the cause, what to do, and a code of its own.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use s3dav::container::TABLE;

use super::stand_ins::CONFIGURATION;
use super::system::{FILE_SYSTEM, TestSystem};
use crate::harness::eventually;
use crate::harness::process::{command, outcome, program_in};
use crate::harness::users::{SOMEBODY, as_user, others_have};

/// What the helper says and its exit code, the code of the container, and what that says.
const OF_HELPER: &[(&str, i32, i32, &str)] = &[
    (
        "Cannot retrieve AZ-ID from instance metadata service (IMDS). Please set it",
        1,
        41,
        "name it with --az-id",
    ),
    (
        "Error retrieving region. Please set the \"region\" parameter in the config",
        1,
        42,
        "name it with --region",
    ),
    ("Invalid \"region\" mount option specified: 'us-nowhere-1'", 1, 43, "spelling of --region"),
    (
        "Failed to resolve \"use1-az1.fs-0.s3files.us-east-1.on.aws\" - check that your file",
        1,
        44,
        "--mount-target",
    ),
    (
        "Connection to the mount target IP address 10.0.0.1 timeout. Please retry in 5 minutes",
        1,
        45,
        "security group",
    ),
    ("Cannot connect to file system mount target ip address 10.0.0.1.", 1, 46, "TCP 2049"),
    ("Unknown error, when connecting: [Errno 111] Connection refused", 1, 46, "check --mount-target"),
    ("AWS Access Key ID and Secret Access Key are not found in AWS credentials file", 1, 47, "127.0.0.1"),
    ("AWS security credentials not found in /root/.aws under named profile [work]", 1, 48, "--profile"),
    ("Access Point ID fsap-0123456789abcdef0 does not exist", 1, 49, "check --access-point"),
    (
        "Failed to create private key: [Errno 30] Read-only file system: '/etc/x'",
        1,
        50,
        "tmpfs at /etc/amazon/efs",
    ),
    ("Failed to initialize tunnel for fs-0, please check mount.log", 1, 51, "mount.log"),
    ("b'mount.nfs4: access denied by server while mounting 127.0.0.1:/'", 32, 52, "s3files:ClientMount"),
    ("b'mount.nfs4: No such device'", 32, 53, "nfsv4"),
    ("b'mount.nfs4: Operation not permitted'", 32, 54, "--cap-add SYS_ADMIN"),
    ("b'mount.nfs4: Connection reset by peer'", 32, 55, "available"),
    (
        "Traceback (most recent call last):\nValueError: too many values to unpack",
        1,
        57,
        "update amazon-efs-utils",
    ),
    ("Something that nobody has seen yet", 7, 58, "ended with 7: Something that nobody has seen yet"),
];

/// Runs it to its end; nothing that it started is left.
async fn ends(system: &TestSystem, more: &[&str]) -> (i32, String) {
    let begun = Instant::now();
    let (code, _, said) = outcome(system.container(more)).await;
    assert!(begun.elapsed() < Duration::from_secs(75), "{said}");
    assert!(system.processes("usr").is_empty() && system.processes("sbin").is_empty(), "{said}");
    assert!(
        !system.at("run/s3dav/container.json").exists() && !system.at("run/s3dav/container.sock").exists()
    );
    let row =
        TABLE.iter().find(|row| i32::from(row.code) == code).unwrap_or_else(|| panic!("{code}: {said}"));
    let line = format!("error: {}: {}", row.step, row.cause);
    assert!(said.lines().any(|said| said.starts_with(&line)), "{line}\n{said}");
    assert!(said.contains(&format!("hint: {}", row.fix)), "{said}");
    (code, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_helper_says_becomes_a_cause_a_fix_and_a_code() {
    let mut codes = BTreeSet::new();
    for (says, code, expected, part) in OF_HELPER {
        let Some(system) = TestSystem::new() else { return };
        system.tell("says", says);
        system.tell("code", &code.to_string());
        let (code, said) = ends(&system, &[]).await;
        assert_eq!(code, *expected, "{said}");
        assert!(said.contains(part), "{part}\n{said}");
        codes.insert(code);
    }
    assert!(codes.len() >= 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_hangs_is_ended_and_the_proxys_log_is_shown() {
    let Some(system) = TestSystem::new() else { return };
    system.tell("hangs", "");
    let (code, said) = ends(&system, &["--mount-limit=1s"]).await;
    assert_eq!(code, 40, "{said}");
    assert!(
        said.contains("efs-proxy: began")
            && said.contains("after 1s; the certificate of the server is wrong")
    );
    assert_eq!(system.count("proxy ended"), 1, "{:?}", system.record());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_image_lacks_is_named() {
    let Some(system) = TestSystem::new() else { return };
    system.tell("lies", "");
    assert_eq!(ends(&system, &[]).await.0, 56);
    system.tell("no-watchdog", "");
    fs::remove_file(system.at("lies")).unwrap();
    let (code, said) = ends(&system, &[]).await;
    assert!(code == 35 && said.contains("exit status: 3"), "{said}");
    let mut without = system.container(&["--credentials-limit=300ms"]);
    without.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let (code, _, said) = outcome(without).await;
    assert!(code == 31 && said.contains("error: credentials: no AWS credentials were found"), "{said}");
    assert!(said.contains("s3dav container credentials") && system.processes("usr").is_empty(), "{said}");
    for missing in ["etc/amazon/efs/s3files-utils.conf", "sbin/mount.s3files"] {
        fs::remove_file(system.at(missing)).unwrap();
        let (code, said) = ends(&system, &[]).await;
        let name = missing.rsplit('/').next().unwrap();
        assert!(code == 21 && said.contains(&format!("there is no {name}")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_mount_of_the_machine_is_left_alone() {
    let Some(system) = TestSystem::new() else { return };
    for name in ["amazon-efs-mount-watchdog", "efs-proxy"] {
        let program = format!("usr/bin/{name}");
        let mut other = system.tools().command("python3").arg(system.at(&program)).spawn().unwrap();
        eventually("another mount's process", || async { !system.processes(&program).is_empty() }).await;
        let (code, _, said) = outcome(system.container(&[])).await;
        assert!(code == 23 && said.contains("another mount of EFS or S3 Files runs here"), "{said}");
        assert!(said.contains(&format!("{name} is process {}", other.id().unwrap())), "{said}");
        assert!(other.try_wait().unwrap().is_none(), "it was ended");
        for (name, text) in CONFIGURATION {
            assert_eq!(fs::read_to_string(system.at(name)).unwrap(), text);
        }
        other.kill().await.unwrap();
    }
    assert!(!system.record().iter().any(|line| line.starts_with("mount.s3files")));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_than_root_is_told() {
    if !others_have(&[]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = program_in(place.path());
    let mut command = as_user(SOMEBODY, program.to_str().unwrap()).unwrap();
    command.args(["container", "--s3files", FILE_SYSTEM]);
    let (code, _, said) = outcome(command).await;
    assert!(
        code == 20 && said.contains("error: files: only root can mount\nhint: run the container as root"),
        "{said}"
    );
}

#[tokio::test]
async fn options_that_cannot_be_right_end_it_before_anything_is_done() {
    for (options, part) in [
        (&["--s3files", "fs-1"][..], "--s3files \"fs-1\" is not a valid file system ID\nhint: write its ID"),
        (&["--s3files", FILE_SYSTEM, "--access-point", "fsap-xyz"], "is not a valid access point ID"),
        (&["--s3files", FILE_SYSTEM, "--region", "US_EAST"], "is not a valid AWS region"),
        (&["--s3files", FILE_SYSTEM, "--az-id", "a,b=c"], "is not a valid availability zone ID"),
        (&["--s3files", FILE_SYSTEM, "--mount-target", "a=b"], "is not a valid host name"),
        (&["--s3files", FILE_SYSTEM, "--bucket", "b"], "--bucket names something else"),
        (&["--s3files", FILE_SYSTEM, "--path", "/"], "--path names something else"),
        (&[], "--s3files"),
    ] {
        let (code, _, said) = outcome(command(&[&["container"], options].concat())).await;
        assert!(code == 2 && said.contains(part), "{options:?}: {said}");
    }
}

#[test]
fn the_documentation_has_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONTAINERS.md");
    let text = fs::read_to_string(path).unwrap();
    for row in TABLE {
        let line = format!("| {} | {} | {} | {} |", row.code, row.step, row.cause, row.fix);
        assert!(text.contains(&line), "{line}");
    }
}
