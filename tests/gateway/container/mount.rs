//! `mount --s3files`: with a Docker that publishes ports, and davfs2.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::clients::{self, Tools};
use crate::harness::docker::Docker;
use crate::harness::eventually;
use crate::harness::held::end_holder;
use crate::harness::process::{command, outcome};
use crate::mounting::is_mounted;
use crate::s3files::system::FILE_SYSTEM;

/// A user's home beside a Docker; what is mounted or runs at the end is ended.
struct Home {
    directory: TempDir,
    docker: Arc<Docker>,
    tools: Tools,
}

impl Home {
    fn point(&self) -> PathBuf {
        self.directory.path().join("s3files")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut model = command(arguments);
        model.env("HOME", self.directory.path()).env("XDG_STATE_HOME", self.directory.path().join("state"));
        model.env("AWS_SECRET_ACCESS_KEY", SECRET);
        self.docker.within(&model)
    }

    async fn mount(&self) -> (i32, String, String) {
        let mut mount = self.command(&["mount", "--s3files", FILE_SYSTEM, "--endpoint", "10.0.0.1"]);
        mount.args(["--access-point", "fsap-0123456789abcdef0", "--notify=off"]).arg(self.point());
        outcome(mount).await
    }

    async fn status(&self) -> serde_json::Value {
        let (_, text, _) = outcome(self.command(&["status", "--json"])).await;
        serde_json::from_str::<serde_json::Value>(&text).unwrap()[0].clone()
    }

    /// All that there are.
    async fn containers(&self) -> Vec<String> {
        let listed = self.docker.wants(&["ps", "--all", "--quiet", "--no-trunc"]).await;
        listed.lines().map(str::to_owned).collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // After a failed test.
        let mut umount = self.tools.blocking_command("umount");
        let _ = umount.args(["-i", "-f", "-l"]).arg(self.point()).output();
        let states = fs::read_dir(self.directory.path().join("state/s3dav")).into_iter().flatten().flatten();
        for state in states {
            if std::thread::panicking() {
                let log = fs::read_to_string(state.path().join("gateway.log")).unwrap_or_default();
                eprintln!("the gateway's log:\n{log}");
            }
            for lock in ["parent.lock", "gateway.lock"] {
                end_holder(&state.path().join(lock));
            }
        }
    }
}

const SECRET: &str = "a-secret-of-this-machine";

#[tokio::test(flavor = "multi_thread")]
async fn s3_files_is_mounted_by_a_container_that_ends_with_it() {
    let Some(tools) = clients::needs(clients::MOUNT) else { return };
    let Some(docker) = Docker::with_bridge().await else { return };
    docker.s3files_image().await;
    let home = Home { directory: tempfile::tempdir().unwrap(), docker, tools };
    let (code, said, error) = home.mount().await;
    assert_eq!((code, said.contains("mounted at")), (0, true), "{error}");
    let point = home.point();
    assert_eq!(fs::read_to_string(point.join("file")).unwrap(), "content");
    fs::write(point.join("new"), "from a program").unwrap();
    let [container] = &home.containers().await[..] else { panic!("one container") };
    let stored = || async {
        home.docker.run(&["exec", container, "cat", "/notes/source/new"]).await.out == "from a program"
    };
    eventually("it is stored", stored).await;

    // A second run changes nothing.
    let (code, said, error) = home.mount().await;
    assert_eq!((code, said.contains("is already mounted")), (0, true), "{error}");
    assert_eq!(&home.containers().await, std::slice::from_ref(container));
    let status = home.status().await;
    assert_eq!(status["source"], format!("{FILE_SYSTEM}/fsap-0123456789abcdef0"));
    assert_eq!((&status["auth"], &status["problems"]), (&"peer".into(), &serde_json::json!([])));
    // The next life of the gateway finds it.
    let (code, _, error) = outcome(home.command(&["restart"])).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(&home.containers().await, std::slice::from_ref(container));
    assert_eq!(fs::read_to_string(point.join("new")).unwrap(), "from a program");

    // What it was given is shown by nothing.
    let state_dir = PathBuf::from(status["state_dir"].as_str().unwrap());
    let password = fs::read_to_string(state_dir.join("far-password")).unwrap();
    let mode = fs::metadata(state_dir.join("far-password")).unwrap().permissions().mode();
    assert_eq!((password.len(), mode & 0o777), (64, 0o600));
    let inspected = home.docker.wants(&["inspect", container]).await;
    let logs = home.docker.run(&["logs", container]).await;
    let all = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline";
    let environments = home.docker.run(&["exec", container, "sh", "-c", all]).await.out;
    let log = fs::read_to_string(state_dir.join("gateway.log")).unwrap();
    let record = home.docker.wants(&["exec", container, "cat", "/notes/record", "/notes/mount.env"]).await;
    for text in [&inspected, &logs.out, &logs.error, &environments, &log, &record] {
        assert!(!text.contains(SECRET) && !text.contains(&password), "{text}");
    }
    assert!(record.contains("accesspoint=fsap-0123456789abcdef0") && record.contains("keys "), "{record}");
    assert!(inspected.contains("\"ReadonlyRootfs\": true"), "{inspected}");

    // One that dies is replaced, and what is asked meanwhile waits.
    let begun = Instant::now();
    home.docker.wants(&["kill", container]).await;
    let another = || async {
        home.containers().await.into_iter().find(|now| now != container).filter(|_| point.exists())
    };
    eventually("another container", || async { another().await.is_some() }).await;
    // What davfs2 has not seen before.
    fs::write(point.join("after"), "in another container").unwrap();
    eventually("it is stored there", || async {
        let Some(now) = another().await else { return false };
        let said = home.docker.run(&["exec", &now, "cat", "/notes/source/after"]).await;
        said.out == "in another container"
    })
    .await;
    let within = begun.elapsed();
    assert!(within < Duration::from_secs(60), "{within:?}");
    eprintln!("a container that died was replaced, and a save stored, in {within:?}");

    let mut unmount = home.command(&["unmount"]);
    unmount.arg(&point);
    let (code, said, error) = outcome(unmount).await;
    assert_eq!((code, said.contains("unmounted")), (0, true), "{error}");
    assert!(!is_mounted(&point) && !point.exists());
    eventually("no container", || async { home.containers().await.is_empty() }).await;
    assert!(!state_dir.join("far-password").exists());
}

/// What `mount` says, by a path with nothing but a docker of this script; and that nothing is left of it.
async fn refused(script: Option<&str>, more: &[&str], variables: &[(&str, &str)]) -> Option<String> {
    let tools = clients::needs(&["sh"])?;
    let place = tempfile::tempdir().unwrap();
    if let Some(script) = script {
        let program = place.path().join("docker");
        fs::write(&program, format!("#!{}\n{script}", tools.path("sh").display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut mount = command(&["mount", "--s3files", FILE_SYSTEM, "--endpoint", "10.0.0.1"]);
    mount.args(more).arg("--notify=off").arg(place.path().join("point"));
    mount.env("HOME", place.path()).env("XDG_STATE_HOME", place.path().join("state"));
    mount.env("PATH", place.path()).envs(variables.iter().copied());
    let (code, _, error) = outcome(mount).await;
    assert!(code != 0, "{error}");
    assert!(!place.path().join("point").exists(), "{error}");
    let states = fs::read_dir(place.path().join("state/s3dav")).into_iter().flatten().flatten();
    assert_eq!(states.count(), 0, "{error}");
    Some(error)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_said_before_anything_is_made() {
    const ENGINE: &str = r#"
case "$*" in
    "context inspect "*) echo "${DOCKER_HOST:-unix:///var/run/docker.sock}" ;;
    "version "*) echo amd64 ;;
    "image inspect "*foreign*) echo "sha256:1 arm64" ;;
    "image inspect "*) exit 1 ;;
    "pull "*) echo "manifest unknown" >&2; exit 1 ;;
    *) echo "it is started: $*" >&2; exit 3 ;;
esac
"#;
    let ways =
        "hint: name an image with --image, or build one: `s3dav container build --s3files --binary FILE`";
    let build = format!("error: there is no image s3dav-s3files:{} here", env!("CARGO_PKG_VERSION"));
    for (script, more, variables, says) in [
        (Some(ENGINE), &[][..], &[][..], [&*build, ways]),
        (
            Some(ENGINE),
            &["--image", "never-made:1"],
            &[],
            ["error: the image never-made:1 cannot be pulled: manifest unknown", ways],
        ),
        (
            Some(ENGINE),
            &["--image", "foreign:1"],
            &[],
            ["error: the image foreign:1 is for arm64, and docker has amd64", ways],
        ),
        (
            Some(ENGINE),
            &[],
            &[("DOCKER_HOST", "tcp://10.0.0.1:2375")],
            [
                "error: docker runs containers on another machine, at tcp://10.0.0.1:2375",
                "hint: s3dav only reaches containers on this machine",
            ],
        ),
        (
            Some("echo 'Cannot connect to the Docker daemon' >&2; exit 1"),
            &[],
            &[],
            ["docker does not answer", "hint: start it, and check that `docker info` works"],
        ),
        (None, &[], &[], ["error: there is no docker and no podman in PATH", "hint: install Docker Desktop"]),
        (
            None,
            &["--engine", "host"],
            &[],
            ["on this machine itself", "hint: run `s3dav container --s3files"],
        ),
        (
            None,
            &["--access-point", "fsap-1"],
            &[],
            ["--access-point \"fsap-1\" is not a valid", "hint: write its ID"],
        ),
        (None, &["--bucket", "a"], &[], ["cannot be used with", "--bucket"]),
    ] {
        let Some(error) = refused(script, more, variables).await else { return };
        for text in says {
            assert!(error.contains(text), "{text}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_come_is_refused_by_the_real_engine() {
    let Some(docker) = Docker::shared().await else { return };
    let place = tempfile::tempdir().unwrap();
    let mut model = command(&["mount", "--s3files", FILE_SYSTEM, "--endpoint", "10.0.0.1"]);
    model.args(["--image", "never-made:1"]).arg(place.path().join("point"));
    model.env("HOME", place.path()).env("XDG_STATE_HOME", place.path().join("state"));
    let (code, _, error) = outcome(docker.leading(model)).await;
    assert!(code == 1 && error.contains("the image never-made:1 cannot be pulled"), "{error}");
    assert!(!place.path().join("point").exists());
    let filter = "label=s3dav.gateway";
    assert_eq!(docker.wants(&["ps", "--all", "--quiet", "--filter", filter]).await, "");
}
