//! From the mount to its end.

use std::fs;
use std::time::{Duration, Instant};

use super::stand_ins::CONFIGURATION;
use super::system::{FILE_SYSTEM, TestSystem};
use crate::harness::held::{children, is_gone};
use crate::harness::process::{Process, outcome, send_signal};
use crate::harness::{client, eventually};

async fn get(container: &Process, path: &str) -> (u16, String) {
    let answer = client().get(format!("{}{path}", container.url)).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn ends_well(container: &mut Process) {
    container.signal("TERM").await;
    let ended = tokio::time::timeout(Duration::from_secs(30), container.child.wait()).await;
    let said = container.said.lock().clone();
    assert_eq!(ended.expect("it goes on").unwrap().code(), Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_mounted_served_and_ended_in_order() {
    let Some(system) = TestSystem::new() else { return };
    let more = ["--region=us-east-1", "--az-id=use1-az1", "--mount-target=10.0.0.1"];
    let more = [&more[..], &["--access-point=fsap-0123456789abcdef0", "--no-direct-reads"]].concat();
    let mut command = system.container(&more);
    let config = system.at("config");
    fs::write(&config, "[profile work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = a-secret\n")
        .unwrap();
    command.env("AWS_CONFIG_FILE", &config).env("AWS_PROFILE", "work");
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let mut container = Process::serving(command).await;
    assert_eq!(get(&container, "/file").await, (200, "content".to_owned()));
    let put = client().put(format!("{}/new", container.url)).body("new").send().await.unwrap();
    assert_eq!(
        (put.status().as_u16(), fs::read_to_string(system.at("source/new")).unwrap()),
        (201, "new".to_owned())
    );

    let dir = system.dir();
    let mounted = format!(
        "mount.s3files {FILE_SYSTEM}:/ {} -o region=us-east-1,azid=use1-az1,mounttargetip=10.0.0.1,\
         accesspoint=fsap-0123456789abcdef0,nodirects3read",
        dir.display()
    );
    system.until("proxy began", 1).await;
    system.until("watchdog began", 1).await;
    assert_eq!((system.count(&mounted), system.count("keys AKIAWORK")), (1, 1), "{:?}", system.record());
    let of_aws = |(name, _): &(String, String)| name.starts_with("AWS_").then(|| name.clone());
    let mut names: Vec<String> = system.environment().iter().filter_map(of_aws).collect();
    names.retain(|name| !["AWS_REGION", "AWS_EC2_METADATA_DISABLED"].contains(&name.as_str()));
    names.sort();
    let expected = [
        "AWS_CONFIG_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_SHARED_CREDENTIALS_FILE",
    ];
    assert_eq!(names, expected);
    let conf = |name: &str| fs::read_to_string(system.at("etc/amazon/efs").join(name)).unwrap();
    let helpers =
        "[mount]\nregion =\n[proxy]\nmetrics_enabled = false\n\n[cloudwatch-log]\nenabled = false\n";
    assert_eq!(conf("s3files-utils.conf"), helpers);
    assert!(conf("efs-utils.conf").starts_with("[cloudwatch-log]\nenabled = false\n"));

    ends_well(&mut container).await;
    let record = system.record();
    let ends: Vec<&str> = record[record.len() - 3..].iter().map(String::as_str).collect();
    assert_eq!(ends, [&*format!("umount {}", dir.display()), "watchdog ended", "proxy ended"]);
    assert!(system.processes("").is_empty(), "{:?}", system.processes(""));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "{}", container.said.lock());
    assert!(!system.at("run/s3dav/container.json").exists());
    for (name, text) in CONFIGURATION {
        assert_eq!(fs::read_to_string(system.at(name)).unwrap(), text, "it is the machine's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_may_stand_in_the_environment() {
    let Some(system) = TestSystem::new() else { return };
    let mut command = system.container(&[]);
    command.env("S3DAV_REGION", "eu-west-1").env("S3DAV_AZ_ID", "euw1-az1").env("S3DAV_READ_ONLY", "1");
    let mut container = Process::serving(command).await;
    let record = system.record();
    assert!(record.iter().any(|line| line.ends_with(" -o region=eu-west-1,azid=euw1-az1")), "{record:?}");
    let put = client().put(format!("{}/new", container.url)).body("new").send().await.unwrap();
    assert_eq!((put.status().as_u16(), get(&container, "/file").await.0), (403, 200));
    let gateway = children(&container.child.id().unwrap().to_string());
    let of_gateway = |id: &&String| {
        fs::read_to_string(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.contains("serve\0--path="))
    };
    let id = gateway.iter().find(of_gateway).unwrap();
    let environment = fs::read(format!("/proc/{id}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("AWS_"), "it needs nothing of AWS");
    ends_well(&mut container).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dies_is_started_again_and_files_answer() {
    let Some(system) = TestSystem::new() else { return };
    let mut container = Process::serving(system.container(&[])).await;
    system.until("proxy began", 1).await;
    let proxy = fs::read_to_string(system.at("proxy")).unwrap();
    let begun = Instant::now();
    system.kill(&proxy).await;
    system.until("proxy began", 2).await;
    assert_eq!(get(&container, "/file").await, (200, "content".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(10));
    for times in [2, 3] {
        let watchdog = system.processes("usr/bin/amazon-efs-mount-watchdog").pop().unwrap();
        system.kill(&watchdog).await;
        system.until("watchdog began", times).await;
        let note = || fs::read_to_string(system.at("run/s3dav/container.json")).unwrap_or_default();
        let is_new = || async { note().contains("watchdog") && !note().contains(&format!(":{watchdog}}}")) };
        eventually("a note of the new one", is_new).await;
    }
    // A gateway that dies is the parent's.
    let gateway = format!("--path={}", system.dir().display());
    let id = container.child.id().unwrap().to_string();
    let serving = || {
        let line = |id: &String| fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        children(&id).into_iter().find(|id| line(id).contains(&gateway) && !is_gone(id))
    };
    let before = serving().unwrap();
    system.kill(&before).await;
    eventually("another gateway", || async { serving().is_some_and(|now| now != before) }).await;
    assert_eq!(get(&container, "/file").await, (200, "content".to_owned()));
    ends_well(&mut container).await;
    assert!(system.processes("").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn its_health_is_that_of_the_mount_and_of_what_keeps_it_alive() {
    let Some(system) = TestSystem::new() else { return };
    let mut container = Process::serving(system.container(&[])).await;
    let id = container.child.id().unwrap();
    system.until("proxy began", 1).await;
    assert_eq!(system.health(id).await, (0, String::new()));
    let watchdog = system.processes("usr/bin/amazon-efs-mount-watchdog").pop().unwrap();
    send_signal("STOP", &watchdog);
    system.kill(&fs::read_to_string(system.at("proxy")).unwrap()).await;
    let (code, said) = system.health(id).await;
    assert!(code == 1 && said.contains("error: efs-proxy is not running"), "{said}");
    send_signal("CONT", &watchdog);
    system.until("proxy began", 2).await;
    assert_eq!(system.health(id).await, (0, String::new()));
    // Nobody is there who would start another one.
    send_signal("STOP", &id.to_string());
    system.kill(&watchdog).await;
    let (code, said) = system.health(id).await;
    assert!(code == 1 && said.contains("error: amazon-efs-mount-watchdog is not running"), "{said}");
    send_signal("CONT", &id.to_string());
    system.until("watchdog began", 2).await;
    ends_well(&mut container).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_not_left_mounted() {
    let Some(system) = TestSystem::new() else { return };
    let (code, _, said) = outcome(system.container(&["--listen=0.0.0.0:0"])).await;
    assert!(code == 2 && said.contains("hint: add --user") && system.record().is_empty(), "{said}");
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = format!("--listen={}", taken.local_addr().unwrap());
    let (code, _, said) = outcome(system.container(&[&listen])).await;
    assert!(code == 1 && said.contains("is taken"), "{said}");
    assert_eq!(system.count(&format!("umount {}", system.dir().display())), 1, "{:?}", system.record());
    assert!(system.processes("").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_is_lost_is_made_again_once() {
    let Some(system) = TestSystem::new() else { return };
    let mut container = Process::serving(system.container(&[])).await;
    let id = container.child.id().unwrap().to_string();
    let lose = async || {
        let mut umount = system.tools().command("nsenter");
        umount
            .args(["--target", &id, "--mount"])
            .arg(system.tools().path("umount"))
            .arg("-l")
            .arg(system.dir());
        assert_eq!(outcome(umount).await.0, 0);
    };
    let mounts = || system.record().iter().filter(|line| line.starts_with("mount.s3files")).count();
    lose().await;
    // The gateway starts anew on the new mount.
    eventually("another gateway", || async { container.said.lock().matches(" serving source").count() == 2 })
        .await;
    system.tell("source/later", "later");
    assert_eq!((mounts(), get(&container, "/later").await), (2, (200, "later".to_owned())));
    lose().await;
    let ended = tokio::time::timeout(Duration::from_secs(30), container.child.wait()).await;
    let said = container.said.lock().clone();
    assert_eq!(ended.expect("it goes on").unwrap().code(), Some(60), "{said}");
    assert!(system.processes("").is_empty() && mounts() == 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_is_busy_is_ended_in_the_end() {
    let Some(system) = TestSystem::new() else { return };
    let dir = system.dir();
    for (how, count) in [("-f", 2), ("-l", 3)] {
        fs::write(system.at("record"), "").unwrap();
        let mut container = Process::serving(system.container(&["--unmount-limit=2s"])).await;
        system.until("proxy began", 1).await;
        system.tell("busy", &format!("{how}\n"));
        ends_well(&mut container).await;
        let record = system.record();
        let ends: Vec<_> = record.iter().filter(|line| line.starts_with("umount")).cloned().collect();
        let all = ["", "-f ", "-l "].map(|how| format!("umount {how}{}", dir.display()));
        assert_eq!(ends, all[..count], "{how}");
        eventually("the words", || async { container.said.lock().contains("the last writes may be lost") })
            .await;
        assert!(system.processes("").is_empty());
        fs::remove_file(system.at("busy")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_comes_during_the_start_is_one() {
    let Some(system) = TestSystem::new() else { return };
    system.tell("hangs", "");
    let mut starting = system.container(&[]).spawn().unwrap();
    system.until("proxy began", 1).await;
    send_signal("TERM", &starting.id().unwrap().to_string());
    let ended = tokio::time::timeout(Duration::from_secs(30), starting.wait()).await;
    assert_eq!(ended.expect("it goes on").unwrap().code(), Some(0));
    eventually("nothing", || async { system.processes("").is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_comes_before_the_mount_is_one() {
    let Some(system) = TestSystem::new() else { return };
    let waits = ["--password-from-host", "--credentials-limit=10m"];
    let mut starting = system.container(&waits).spawn().unwrap();
    let (name, before) = CONFIGURATION[0];
    eventually("a change", || async { fs::read_to_string(system.at(name)).unwrap() != before }).await;
    send_signal("TERM", &starting.id().unwrap().to_string());
    let ended = tokio::time::timeout(Duration::from_secs(30), starting.wait()).await;
    assert_eq!(ended.expect("it goes on").unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(system.at(name)).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_process_1_it_hands_on_signals_and_reaps() {
    let Some(system) = TestSystem::new() else { return };
    let within = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut container = Process::serving(system.within(&within, &[])).await;
    let unshare = container.child.id().unwrap().to_string();
    let first = children(&unshare).pop().unwrap();
    let mut shell = system.tools().command("nsenter");
    shell.args(["--target", &first, "--pid", "--mount"]).arg(system.tools().path("sh"));
    shell.args(["-c", "for i in 1 2 3 4 5; do (sleep 0.05 &); done"]);
    assert_eq!(outcome(shell).await.0, 0);
    system.until("proxy began", 1).await;
    let zombies = || {
        let stat = |id: &String| fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        children(&first).iter().filter(|id| stat(id).contains(") Z ")).count()
    };
    // The work, and the proxy, which its starter has left to process 1.
    eventually("nothing is left", || async { zombies() == 0 && children(&first).len() == 2 }).await;
    assert_eq!(get(&container, "/file").await, (200, "content".to_owned()));
    send_signal("TERM", &first);
    let ended = tokio::time::timeout(Duration::from_secs(30), container.child.wait()).await;
    assert_eq!(ended.expect("it goes on").unwrap().code(), Some(0), "{}", container.said.lock());
    assert_eq!(system.record().last().map(String::as_str), Some("proxy ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_cannot_be_written_gets_its_files_in_memory() {
    let Some(system) = TestSystem::new() else { return };
    let (configuration, logs) = (system.at("etc/amazon/efs"), system.at("var/log/amazon/efs"));
    fs::create_dir_all(&logs).unwrap();
    let before = fs::read_to_string(configuration.join("s3files-utils.conf")).unwrap();
    let mut script = String::new();
    for directory in [&configuration, &logs] {
        let (mount, directory) = (system.tools().path("mount").display(), directory.display());
        script += &format!(
            "{mount} --bind {directory} {directory} && {mount} -o remount,bind,ro {directory} || exit 9\n"
        );
    }
    let mut container = Process::serving(system.after(&script, &[])).await;
    let id = container.child.id().unwrap();
    let seen =
        fs::read_to_string(format!("/proc/{id}/root{}/s3files-utils.conf", configuration.display())).unwrap();
    assert!(seen.contains("enabled = false") && seen.contains("metrics_enabled = false"), "{seen}");
    assert_eq!(fs::read_to_string(configuration.join("s3files-utils.conf")).unwrap(), before);
    for directory in [&configuration, &logs] {
        let line = format!("mount -t tmpfs -o mode=0755,size=64m tmpfs {}", directory.display());
        assert_eq!(system.count(&line), 1, "{:?}", system.record());
    }
    ends_well(&mut container).await;
}
