//! The daemon of the tests runs containers, with few rights, and says how they ended.

use crate::harness::docker::{BASE, Docker};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_and_ends() {
    let Some(docker) = Docker::shared().await else { return };
    let script = "trap 'echo ended; exit 3' TERM; echo begun; while :; do sleep 0.05; done";
    let rights = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--user", "65532:65532"];
    let arguments: Vec<&str> = rights.into_iter().chain([BASE, "sh", "-c", script]).collect();
    let container = docker.container(&arguments).await;
    let said = container.exec(&["sh", "-c", "id -u; grep CapBnd /proc/1/status; touch /x"]).await;
    assert_eq!((said.code, said.out.as_str()), (1, "65532\nCapBnd:\t0000000000000000"), "{said:?}");
    assert!(said.error.contains("Read-only file system"), "{said:?}");
    crate::harness::eventually("a word", || async { container.logs().await == "begun" }).await;
    container.signal("TERM").await;
    assert_eq!(container.ended().await, 3);
    assert_eq!(container.logs().await, "begun\nended");
    assert_eq!(container.inspect("{{.State.ExitCode}}").await, "3");
}
