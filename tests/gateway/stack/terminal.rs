//! What is asked at a terminal, which a small Python program plays.

use serde_json::json;

use super::fake::{FakeAws, NO_STACK, fails, says, stack};
use crate::harness::process::{outcome, take_environment};

/// Runs its arguments at a terminal, types the first of them once something was asked, and prints all that was shown.
const TERMINAL: &str = r#"
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
shown, typed = b"", False
while True:
    try:
        more = os.read(fd, 4096)
    except OSError:
        break
    if not more:
        break
    shown += more
    if not typed and b"[y/N] " in shown:
        os.write(fd, sys.argv[1].encode() + b"\n")
        typed = True
status = os.waitpid(pid, 0)[1]
sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(status))
"#;

async fn at_terminal(aws: &FakeAws, line: &str, answer: &str) -> (i32, String) {
    let model = aws.command(line);
    let mut terminal = aws.tools.command("python3");
    take_environment(&mut terminal, &model);
    terminal.args(["-c", TERMINAL, answer, env!("CARGO_BIN_EXE_s3dav")]).args(model.as_std().get_args());
    let (code, said, error) = outcome(terminal).await;
    (code, said + &error)
}

#[tokio::test]
async fn whether_the_last_minute_of_others_matters_is_asked() {
    let Some(aws) = FakeAws::new() else { return };
    aws.answers("cloudformation-describe-stacks", &[says(&stack("CREATE_COMPLETE", &[]))]);
    // Not a directory, so that it ends there.
    let line = "mount --stack files --endpoint-url http://127.0.0.1:1 /dev/null";
    let (code, said) = at_terminal(&aws, line, "n").await;
    assert!(code != 0 && said.contains("within the last minute?"), "{said}");
    assert!(said.contains("by its bucket bucket, it is the fastest"), "{said}");
    let (_, said) = at_terminal(&aws, line, "y").await;
    assert!(said.contains("by its task in the cluster files-Cluster (experimental)"), "{said}");
    assert!(said.contains("and the stack has no load balancer"), "{said}");
    let balancer = [("LoadBalancerName", "nlb.example")];
    aws.answers("cloudformation-describe-stacks", &[says(&stack("CREATE_COMPLETE", &balancer))]);
    let (_, said) = at_terminal(&aws, line, "y").await;
    assert!(said.contains("by a container that mounts fs-0123456789abcdef0 through nlb.example"), "{said}");
    // Where there is nothing to choose from, or it was said, nothing is asked.
    aws.answers("cloudformation-describe-stacks", &[says(&stack("CREATE_COMPLETE", &[("Running", "0")]))]);
    for line in [line, &line.replace("--endpoint", "--via direct --endpoint")] {
        let (_, said) = at_terminal(&aws, line, "n").await;
        assert!(!said.contains("[y/N]") && said.contains("by its bucket"), "{said}");
    }
}

#[tokio::test]
async fn a_stack_that_there_is_not_is_offered() {
    let Some(aws) = FakeAws::new() else { return };
    aws.answers("cloudformation-describe-stacks", &[fails(NO_STACK)]);
    let (code, said) = at_terminal(&aws, "mount --stack files /dev/null", "n").await;
    assert!(code != 0 && said.contains("there is no stack files in us-east-1"), "{said}");
    // Until a release names an image there is none to offer it with.
    assert!(said.contains("stack up files --image") || said.contains("Create the stack files?"), "{said}");
    assert!(aws.was_only_asked(), "{:?}", aws.names());
}

#[tokio::test]
async fn no_is_an_answer() {
    let Some(aws) = FakeAws::new() else { return };
    super::fake::will_be_created(&aws);
    let line = format!("stack up files --image {}", super::fake::IMAGE);
    let (code, said) = at_terminal(&aws, &line, "n").await;
    assert!(
        code == 1 && said.contains("Create the stack files? [y/N]") && said.contains("nothing was done"),
        "{said}"
    );
    assert!(said.contains("about 11 dollars a month"), "{said}");
    aws.answers("cloudformation-describe-stacks", &[says(&stack("CREATE_COMPLETE", &[]))]);
    aws.answers("cloudformation-update-stack", &[says(&json!({}))]);
    let (code, said) = at_terminal(&aws, "stack down files", "").await;
    assert!(code == 1 && said.contains("Delete the stack files?") && said.contains("are kept"), "{said}");
    assert!(aws.was_only_asked(), "{:?}", aws.names());
}
