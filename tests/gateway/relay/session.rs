//! A far end at the end of a session, by an `aws` that forwards a port.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::Command;

use super::far::{PASSWORD, far};
use crate::harness::clients::{Tools, needs};
use crate::harness::process::{Process, command, outcome, send_signal};
use crate::harness::users::{NOBODY, asked, others_have};
use crate::harness::{TestGateway, client, eventually};

/// Notes how it was started; a session forwards to the address in `far`, as long as `refuses` is not there.
const AWS: &str = r#"
import json, os, socket, sys, threading
with open(place + '/calls', 'a') as file:
    file.write(json.dumps(sys.argv[1:]) + '\n')
with open(place + '/environ', 'a') as file:
    file.write(repr(dict(os.environ)) + '\n')
if '--version' in sys.argv:
    print('aws-cli/2.31.0')
    sys.exit()
if 'get-parameter' in sys.argv:
    print(json.dumps(open(place + '/password').read()))
    sys.exit()
if os.path.exists(place + '/refuses'):
    sys.stderr.write('An error occurred (TargetNotConnected): the task does not run\n')
    sys.exit(254)
parameters = json.loads(sys.argv[sys.argv.index('--parameters') + 1])
host, port = open(place + '/far').read().split(':')
def carry(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for end in (one, other):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
server = socket.create_server(('127.0.0.1', int(parameters['localPortNumber'][0])))
with open(place + '/pid.new', 'w') as file:
    file.write(str(os.getpid()))
os.rename(place + '/pid.new', place + '/pid')
while True:
    near, _ = server.accept()
    far = socket.create_connection((host, int(port)))
    for ends in ((near, far), (far, near)):
        threading.Thread(target=carry, args=ends, daemon=True).start()
"#;

struct Place {
    directory: TempDir,
    far: TestGateway,
}

impl Place {
    async fn new(tools: &Tools) -> Self {
        let (directory, far) = (tempfile::tempdir().unwrap(), far().await);
        let place = Self { directory, far };
        fs::create_dir(place.at("bin")).unwrap();
        let python = tools.path("python3").display().to_string();
        let shown = place.directory.path().display().to_string();
        fs::write(place.at("bin/aws"), format!("#!{python}\nplace = {shown:?}\n{AWS}")).unwrap();
        fs::set_permissions(place.at("bin/aws"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(place.at("bin/session-manager-plugin"), "").unwrap();
        fs::write(place.at("far"), place.far.address()).unwrap();
        fs::write(place.at("password"), PASSWORD).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn serve(&self) -> Command {
        let mut command =
            command(&["serve", "--session", "ecs:cluster_task_runtime", "--session-port", "8330"]);
        command.args(["--session-password", "/s3dav/password", "--region", "us-east-1", "--notify=off"]);
        command.args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(self.at("state"));
        command.env("PATH", self.at("bin"));
        command
    }

    fn pid(&self) -> String {
        fs::read_to_string(self.at("pid")).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_dies_is_replaced_and_saves_across_it_are_stored() {
    let Some(tools) = needs(&["python3"]) else { return };
    if !others_have(&["curl"]) {
        return;
    }
    let place = Place::new(&tools).await;
    let mut gateway = Process::serving(place.serve()).await;
    assert_eq!(asked(NOBODY, &format!("{}/", gateway.url), &[]).await.unwrap(), "401");
    let saving = tokio::spawn({
        let url = gateway.url.clone();
        async move {
            let mut statuses = Vec::new();
            for number in 0..20 {
                // A new connection each time: none may be refused.
                let put = client().put(format!("{url}/{number}")).body(vec![number as u8; 200_000]);
                statuses.push(put.send().await.unwrap().status().as_u16());
            }
            statuses
        }
    });
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        let (died, begun) = (place.pid(), Instant::now());
        send_signal("KILL", &died);
        eventually("another session", || async { place.pid() != died }).await;
        assert_eq!(client().get(format!("{}/", gateway.url)).send().await.unwrap().status(), 200);
        longest = longest.max(begun.elapsed());
    }
    assert!(longest < Duration::from_secs(10), "{longest:?}");
    let statuses = saving.await.unwrap();
    assert!(statuses.iter().all(|status| [201, 204].contains(status)), "{statuses:?}");
    let bucket = place.far.bucket().await;
    for number in 0..20 {
        assert_eq!(bucket.get(&number.to_string()).await.unwrap(), vec![number as u8; 200_000]);
    }
    let calls = fs::read_to_string(place.at("calls")).unwrap();
    assert!(calls.contains(r#""ssm", "get-parameter", "--with-decryption""#), "{calls}");
    assert!(calls.contains(r#""--target", "ecs:cluster_task_runtime""#), "{calls}");
    let environments = fs::read_to_string(place.at("environ")).unwrap();
    for shown in [&calls, &environments, &*gateway.said.lock()] {
        assert!(!shown.contains(PASSWORD), "{shown}");
    }
    let last = place.pid();
    gateway.signal("TERM").await;
    assert_eq!(gateway.child.wait().await.unwrap().code(), Some(0));
    eventually("the session ends with it", || async { crate::harness::held::is_gone(&last) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named() {
    let Some(tools) = needs(&["python3"]) else { return };
    let place = Place::new(&tools).await;
    fs::write(place.at("refuses"), "").unwrap();
    let (code, _, error) = outcome(place.serve()).await;
    assert!(code == 1 && error.contains("the session with the task has ended: "), "{error}");
    assert!(error.contains("TargetNotConnected") && error.contains("hint: "), "{error}");
    fs::remove_file(place.at("bin/aws")).unwrap();
    let (code, _, error) = outcome(place.serve()).await;
    assert!(code == 1 && error.contains("error: aws was not found in PATH"), "{error}");
    assert!(error.contains("hint: install it: "), "{error}");
    assert!(!place.at("state/state.redb").exists(), "nothing is left");
}

#[tokio::test]
async fn what_the_task_would_not_know_of_is_refused() {
    for option in ["--allowed-host=files.example", "--url-prefix=/files/", "--delete-hidden"] {
        let mut serve = command(&["serve", "--session", "ecs:cluster_task_runtime", "--region", "us-east-1"]);
        serve.args(["--session-password", "/s3dav/password", option]);
        let (code, _, error) = outcome(serve).await;
        let name = option.split('=').next().unwrap();
        assert!(code == 2 && error.contains(&format!("{name} has no effect")), "{option}: {error}");
    }
}
