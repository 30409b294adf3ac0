//! What is handed over to a container, and when: by a `docker` that notes it, and runs nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::process::Command;

use crate::harness::clients::{Tools, needs};
use crate::harness::process::{Process, command, outcome, send_signal};
use crate::harness::{TestGateway, eventually};
use crate::s3files::system::FILE_SYSTEM;

/// One container, which is there as long as `container` is; its port is that of the address in `far`.
const DOCKER: &str = r#"
import json, os, signal, sys, time
words = sys.argv[1:]
with open(place + '/calls', 'a') as file:
    file.write(' '.join(words) + '\n')
is_there = os.path.exists(place + '/container')
if os.path.exists(place + '/silent'):
    sys.exit('Cannot connect to the Docker daemon')
if os.path.exists(place + '/without-' + words[0]):
    sys.exit('it cannot ' + words[0])
if words[:2] == ['context', 'inspect']:
    print('unix:///var/run/docker.sock')
elif words[0] == 'version':
    print('amd64')
elif words[:2] == ['image', 'inspect']:
    print('sha256:1 amd64')
elif words[0] == 'ps':
    if is_there:
        print('1234' if '--quiet' in words else '1234 running ' + open(place + '/container').read())
elif words[0] == 'run':
    label = [word for word in words if word.startswith('--label=s3dav.made-as=')][0]
    open(place + '/container', 'w').write(label.split('=')[2])
    print('1234')
elif words[0] == 'exec':
    told = sys.stdin.read()
    with open(place + '/told', 'a') as file:
        file.write(words[-1] + ' ' + told.strip() + '\n')
elif words[0] == 'port':
    print(open(place + '/far').read())
elif words[0] == 'inspect':
    print('true' if is_there else 'false')
elif words[0] == 'logs':
    print('error: mount: the mount target does not answer (the helper said so)', file=sys.stderr)
    print('hint: let its security group accept TCP 2049 from here', file=sys.stderr)
elif words[0] == 'wait':
    while os.path.exists(place + '/container'):
        time.sleep(0.05)
    print('45')
elif words[0] == 'rm':
    try:
        os.remove(place + '/container')
    except OSError:
        pass
"#;

struct Place {
    directory: TempDir,
    shell: PathBuf,
}

impl Place {
    fn new(tools: &Tools, far: &str) -> Self {
        let shell = tools.path("sh").to_owned();
        let place = Self { directory: tempfile::tempdir().unwrap(), shell };
        let (python, cat) = (tools.path("python3").display(), tools.path("cat").display());
        let shown = place.directory.path().display();
        fs::create_dir(place.at("bin")).unwrap();
        fs::write(place.at("bin/docker"), format!("#!{python}\nplace = '{shown}'\n{DOCKER}")).unwrap();
        fs::set_permissions(place.at("bin/docker"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(place.at("far"), far).unwrap();
        fs::write(place.at("config"), format!("[default]\ncredential_process = {cat} {shown}/keys\n"))
            .unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the `credential_process` prints from now on.
    fn sign_in(&self, name: &str, lasting: Duration) {
        let end = OffsetDateTime::from(SystemTime::now() + lasting).format(&Rfc3339).unwrap();
        let keys = format!(
            r#"{{"Version": 1, "AccessKeyId": "{name}", "SecretAccessKey": "{SECRET}", "SessionToken": "t", "Expiration": "{end}"}}"#
        );
        fs::write(self.at("keys.new"), keys).unwrap();
        fs::rename(self.at("keys.new"), self.at("keys")).unwrap();
    }

    fn serve(&self) -> Command {
        let mut command =
            command(&["serve", "--s3files", FILE_SYSTEM, "--endpoint", "10.0.0.1", "--notify=off"]);
        command.args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(self.at("state"));
        // A `credential_process` is run by a shell.
        let path = std::env::join_paths([self.at("bin"), self.shell.parent().unwrap().to_owned()]).unwrap();
        command.env("PATH", path).env("AWS_CONFIG_FILE", self.at("config"));
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    /// The names of the keys that were handed over, one after the other.
    fn keys(&self) -> Vec<String> {
        let told = self.read("told");
        let keys = told.lines().filter_map(|line| line.strip_prefix("credentials "));
        let name = |keys: &str| {
            let keys: serde_json::Value = serde_json::from_str(keys).unwrap();
            assert_eq!((&keys["Version"], &keys["SecretAccessKey"]), (&1.into(), &SECRET.into()));
            keys["AccessKeyId"].as_str().unwrap().to_owned()
        };
        keys.map(name).collect()
    }

    async fn problems(&self) -> String {
        let mut status = command(&["status", "--json", "--state-dir"]);
        status.arg(self.at("state"));
        let (_, text, _) = outcome(status).await;
        serde_json::from_str::<serde_json::Value>(&text).unwrap()[0]["problems"].to_string()
    }
}

const SECRET: &str = "a-secret-of-this-machine";

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_handed_over_again_before_they_end_and_after_a_login() {
    let Some(tools) = needs(&["python3", "cat", "sh"]) else { return };
    // It lets everybody in: what counts here is what the container is told.
    let far = TestGateway::start().await;
    let place = Place::new(&tools, &far.address());
    place.sign_in("FIRST", Duration::from_secs(20));
    let mut gateway = Process::serving(place.serve()).await;
    eventually("the first", || async { place.keys() == ["FIRST"] }).await;
    assert!(place.read("told").starts_with("password "), "{}", place.read("told"));
    place.sign_in("SECOND", Duration::from_secs(20));
    let begun = Instant::now();
    eventually("the second", || async { place.keys().contains(&"SECOND".to_owned()) }).await;
    assert!(begun.elapsed() < Duration::from_secs(19), "before the first ends: {:?}", begun.elapsed());
    // The session ends, and nobody signs in for a while.
    fs::remove_file(place.at("keys")).unwrap();
    eventually("a problem", || async { place.problems().await.contains("credentials: ") }).await;
    assert!(place.problems().await.contains("sign in, as with `aws sso login`"));
    place.sign_in("THIRD", Duration::from_secs(3600));
    let begun = Instant::now();
    eventually("the third", || async { place.keys().contains(&"THIRD".to_owned()) }).await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    eventually("no problem", || async { place.problems().await == "[]" }).await;
    let password = place.read("state/far-password");
    for text in [&place.read("calls"), &*gateway.said.lock()] {
        assert!(!text.contains(SECRET) && !text.contains(&password), "{text}");
    }
    gateway.signal("TERM").await;
    assert_eq!(gateway.child.wait().await.unwrap().code(), Some(0));
    assert!(place.read("calls").ends_with("stop --time 40 1234\nrm --force --volumes 1234\n"));
    assert!(!place.at("state/far-password").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_nothing_is_started() {
    let Some(tools) = needs(&["python3", "cat", "sh"]) else { return };
    let place = Place::new(&tools, "127.0.0.1:1");
    let (code, _, error) = outcome(place.serve()).await;
    assert!(code == 1 && error.contains("hint: sign in, as with `aws sso login`"), "{error}");
    assert!(!place.read("calls").contains("run --detach"), "{}", place.read("calls"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_fetches_the_image_before_it_starts_a_gateway() {
    let Some(tools) = needs(&["python3", "cat", "sh"]) else { return };
    let place = Place::new(&tools, "127.0.0.1:1");
    place.sign_in("FIRST", Duration::from_secs(3600));
    for name in ["without-image", "without-pull"] {
        fs::write(place.at(name), "").unwrap();
    }
    let mut mount = command(&["mount", "--s3files", FILE_SYSTEM, "--endpoint", "10.0.0.1"]);
    mount.args(["--image", "registry.example/s3dav:1", "--listen", "127.0.0.1:0", "--state-dir"]);
    mount.arg(place.at("state")).arg("--mount").arg(place.at("mount")).env("PATH", place.at("bin"));
    let (code, _, error) = outcome(mount).await;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("docker is pulling the image registry.example/s3dav:1; this may take"), "{error}");
    assert!(error.contains("cannot be pulled: it cannot pull"), "{error}");
    assert!(!place.at("state").exists(), "a gateway was started");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_takes_no_password_is_asked_why_before_it_is_removed() {
    let Some(tools) = needs(&["python3", "cat", "sh"]) else { return };
    let place = Place::new(&tools, "127.0.0.1:1");
    place.sign_in("FIRST", Duration::from_secs(3600));
    fs::write(place.at("without-exec"), "").unwrap();
    let (code, _, error) = outcome(place.serve()).await;
    assert_eq!(code, 1, "{error}");
    let message =
        "does not accept its password: it cannot exec; it said: mount: the mount target does not answer";
    assert!(error.contains(message), "{error}");
    assert!(!error.contains("docker logs") && !place.at("container").exists(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_cannot_remove_is_told_and_removed_by_stop() {
    let Some(tools) = needs(&["python3", "cat", "sh"]) else { return };
    let far = TestGateway::start().await;
    let place = Place::new(&tools, &far.address());
    place.sign_in("FIRST", Duration::from_secs(3600));
    let mut gateway = Process::serving(place.serve()).await;
    let note = place.at("state/far-container");
    assert_eq!(place.read("state/far-container"), r#"{"engine":"docker","id":"1234"}"#);
    assert_eq!(fs::metadata(&note).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(place.at("silent"), "").unwrap();
    gateway.signal("TERM").await;
    assert_eq!(gateway.child.wait().await.unwrap().code(), Some(0));
    eventually("the words", || async { gateway.said.lock().contains("`docker rm --force 1234` removes it") })
        .await;
    assert!(place.at("container").exists() && note.exists());
    fs::remove_file(place.at("silent")).unwrap();
    // The next one finds it, and cannot list it at its end.
    let gateway = Process::serving(place.serve()).await;
    fs::write(place.at("without-ps"), "").unwrap();
    let mut stop = command(&["stop", "--state-dir"]);
    stop.arg(place.at("state")).env("PATH", place.at("bin"));
    let (code, _, error) = outcome(stop).await;
    assert_eq!(code, 0, "{error}");
    assert!(!place.at("container").exists() && !note.exists(), "{}", place.read("calls"));
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_during_the_start_leaves_no_container() {
    let Some(tools) = needs(&["python3", "cat", "sh"]) else { return };
    // Nobody answers there.
    let place = Place::new(&tools, "127.0.0.1:1");
    place.sign_in("FIRST", Duration::from_secs(3600));
    let mut child = place.serve().spawn().unwrap();
    eventually("a container", || async { place.keys() == ["FIRST"] }).await;
    send_signal("TERM", &child.id().unwrap().to_string());
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    assert!(!place.at("container").exists(), "{}", place.read("calls"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ends_says_why() {
    let Some(tools) = needs(&["python3", "cat", "sh"]) else { return };
    let place = Place::new(&tools, "127.0.0.1:1");
    place.sign_in("FIRST", Duration::from_secs(3600));
    let ending = tokio::spawn(outcome(place.serve()));
    eventually("a container", || async { place.keys() == ["FIRST"] }).await;
    fs::remove_file(place.at("container")).unwrap();
    let (code, _, error) = ending.await.unwrap();
    assert_eq!(code, 1, "{error}");
    assert!(
        error.contains("error: the container has exited: mount: the mount target does not answer"),
        "{error}"
    );
    assert!(error.contains("hint: let its security group accept TCP 2049 from here"), "{error}");
    assert!(!place.at("state/state.redb").exists(), "nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_options_make_another_container_and_the_same_find_it() {
    let Some(tools) = needs(&["python3", "cat", "sh"]) else { return };
    let far = TestGateway::start().await;
    let place = Place::new(&tools, &far.address());
    place.sign_in("FIRST", Duration::from_secs(3600));
    let runs = || place.read("calls").lines().filter(|line| line.starts_with("run ")).count();
    for (more, expected) in [(&[][..], 1), (&[], 1), (&["--read-only"], 2)] {
        let mut command = place.serve();
        command.args(more);
        let mut gateway = Process::serving(command).await;
        eventually("it is led to", || async {
            let answer = crate::harness::client().get(&gateway.url).send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        assert_eq!(runs(), expected, "{}", place.read("calls"));
        // Without a chance to end it, as by a crash.
        gateway.signal("KILL").await;
        gateway.child.wait().await.unwrap();
    }
}
