//! Connections without number that are closed at once cost the gateway next to nothing, and its owner nothing.

use std::fs;
use std::time::Duration;

use super::{attack_time, port};
use crate::harness::clients::needs_of_users;
use crate::harness::process::{Process, outcome};
use crate::harness::trace::Trace;
use crate::harness::users::{Owner, SOMEBODY, SOMEBODY_ELSE, others_have, python};
use crate::harness::{BUCKET, Bucket, client};

const CLOSES: &str = include_str!("closes.py");
const HALVES: &str = include_str!("halves.py");
const OWNER: &str = include_str!("owner.py");

fn threads(gateway: &Process) -> usize {
    fs::read_dir(format!("/proc/{}/task", gateway.child.id().unwrap())).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_costs_few_calls_and_no_table_is_read() {
    let Some(tools) = needs_of_users(&["strace"], &["python3"]) else { return };
    let owner = Owner::new(SOMEBODY).await;
    let Some(gateway) = owner.gateway(&[]).await else { return };
    let trace = Trace::attach(&gateway, &tools, &[]).await;
    let before = trace.text().len();
    let Some(flood) = python(SOMEBODY_ELSE, CLOSES, &[port(&gateway.url), "100", "2"]) else { return };
    let count: usize = outcome(flood).await.1.trim().parse().unwrap();
    // What is answered later has been accepted later.
    client().get(format!("{}/.s3dav/health", gateway.url)).send().await.unwrap();
    let text = trace.end().await;
    assert!(!text.contains("/proc/net/tcp"), "a table of all sockets is read");
    let lines = text[before..].lines().filter(|line| !line.contains("resumed>"));
    // Waiting threads wake one another now and then, connection or not.
    let calls = lines.filter(|line| !line.contains("futex(") && !line.contains("epoll_wait(")).count();
    eprintln!("{calls} calls for {count} connections");
    assert!(calls < count * MOST_CALLS, "{calls} calls for {count} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_takes_neither_threads_nor_descriptors_from_the_owner() {
    if !others_have(&["python3", "prlimit"]) {
        return;
    }
    let owner = Owner::new(SOMEBODY).await;
    Bucket::of(&owner.s3.endpoint_url(), BUCKET).await.put("file", "content").await;
    let Some(command) = owner.serve(&["prlimit", "--nofile=256:256"], &[]) else { return };
    let gateway = Process::serving(command).await;
    let seconds = attack_time().as_secs().to_string();
    let (at, mut most) = (port(&gateway.url), 0);
    let Some(flood) = python(SOMEBODY_ELSE, CLOSES, &[at, "400", &seconds]) else { return };
    let Some(own) = python(SOMEBODY, OWNER, &[at, &seconds]) else { return };
    let watch = async {
        loop {
            most = most.max(threads(&gateway));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (_, answers, error) = tokio::select! {
        (_, own) = async { tokio::join!(outcome(flood), outcome(own)) } => own,
        () = watch => unreachable!(),
    };
    eprintln!("the owner got {}; {most} threads", answers.trim());
    assert!(answers.starts_with("{'200': ") && !answers.contains(','), "{answers}{error}");
    assert!(most < 64, "{most} threads");
}

fn descriptors(gateway: &Process) -> usize {
    fs::read_dir(format!("/proc/{}/fd", gateway.child.id().unwrap())).unwrap().count()
}

/// How often the owner was answered; nothing else may have come.
fn answers(said: &str) -> usize {
    let count = said.trim().strip_prefix("{'200': ").and_then(|rest| rest.strip_suffix('}'));
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_halves_takes_no_descriptors_and_leaves_the_owner_his_turn() {
    if !others_have(&["python3", "prlimit"]) {
        return;
    }
    let owner = Owner::new(SOMEBODY).await;
    Bucket::of(&owner.s3.endpoint_url(), BUCKET).await.put("file", "content").await;
    let Some(command) = owner.serve(&["prlimit", "--nofile=1024:1024"], &[]) else { return };
    let gateway = Process::serving(command).await;
    let seconds = attack_time().as_secs().to_string();
    let (at, mut most) = (port(&gateway.url), 0);
    let own = outcome(python(SOMEBODY, OWNER, &[at, &seconds]).unwrap());
    let storm = outcome(python(SOMEBODY_ELSE, HALVES, &[at, &seconds]).unwrap());
    let watch = async {
        loop {
            most = most.max(descriptors(&gateway));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ((_, sent, _), (_, said, _)) = tokio::select! {
        both = async { tokio::join!(storm, own) } => both,
        () = watch => unreachable!(),
    };
    let (halves, answers) = (sent.trim().parse::<usize>().unwrap(), answers(&said));
    eprintln!("{halves} halves; {most} descriptors; {answers} answers");
    assert!(most < 400, "{most} descriptors");
    assert!(halves < answers * MOST_BEFORE_A_TURN, "{halves} halves beside {answers} answers");
}

/// A full queue of the kernel (1,024 connections), and what comes while the owner's client pauses or is answered.
/// The turn is counted in connections and not in time, so that it is the same on a busy machine.
const MOST_BEFORE_A_TURN: usize = 2 * 1024;

/// accept, two options, registering and polling, one question about its end, and closing it.
const MOST_CALLS: usize = 25;
