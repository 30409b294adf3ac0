//! System calls of a real program that end as a broken machine's do. strace makes them so.

use std::fs;

use tokio::process::Child;

use super::process::Process;
use super::{clients, eventually};

/// From now on calls of `program` that touch one of these paths, or without any all calls, end as `inject`
/// says; until what this returns is killed.
pub async fn injected(program: &Process, paths: &[&str], inject: &str) -> Child {
    let process = program.child.id().unwrap().to_string();
    let tools = clients::needs(&["strace"]).expect("the test has asked for strace");
    let strace = tools
        .command("strace")
        .args(["-f", "-q", "-p", &process, "-o", "/dev/null"])
        .args(paths.iter().flat_map(|path| ["-P", path]))
        .arg(format!("--inject={inject}"))
        .spawn()
        .unwrap();
    let is_traced = |status: String| !status.contains("TracerPid:\t0");
    eventually("strace is attached", || async {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        tasks
            .into_iter()
            .all(|task| fs::read_to_string(task.unwrap().path().join("status")).is_ok_and(is_traced))
    })
    .await;
    strace
}
