//! System calls of a real program that end as a broken machine's do. strace makes them so.

use std::fs;

use tokio::process::{Child, Command};

use super::process::{Process, send_signal, take_environment};
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
    eventually("strace is attached", || async { are_traced(&process).all(|is_traced| is_traced) }).await;
    strace
}

/// Starts what serves a directory as it runs on a network's file system: where it does not get to know that the disk
/// is this machine's, it expects each call to hang.
pub async fn serving_from_afar(serve: &Command) -> Process {
    let tools = clients::needs(&["strace"]).expect("the test has asked for strace");
    let place = tempfile::tempdir().unwrap();
    let note = place.path().join("strace");
    let script = "strace -f -q -o /dev/null --inject=fstatfs:error=ENOSYS -p $$ & echo $! >\"$0\"; \
                  while grep -q 'TracerPid:.0' /proc/$$/status; do sleep 0.01; done; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(&note).arg(serve.as_std().get_program()).args(serve.as_std().get_args());
    take_environment(&mut command, serve);
    let programs = tools.path("strace").parent().unwrap().display().to_string();
    command.env("PATH", format!("{programs}:/usr/bin:/bin")).kill_on_drop(true);
    let gateway = Process::serving(command).await;
    send_signal("TERM", fs::read_to_string(note).unwrap().trim());
    let process = gateway.child.id().unwrap().to_string();
    eventually("strace is gone", || async { are_traced(&process).all(|is_traced| !is_traced) }).await;
    gateway
}

/// Of each thread of a process, whether strace follows it.
fn are_traced(process: &str) -> impl Iterator<Item = bool> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.map(|task| {
        let status = fs::read_to_string(task.unwrap().path().join("status"));
        status.is_ok_and(|status| !status.contains("TracerPid:\t0"))
    })
}
