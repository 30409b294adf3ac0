//! The service: what launchd and systemd are told, read by their own programs where they are here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use s3dav::service::{Definition, launchd_files, systemd_files};
use tokio::process::Command;

use crate::harness::clients::{self, Tools};
use crate::harness::process::{command, outcome, take_environment};
use crate::harness::{BUCKET, Bucket, embedded};

fn definition(mounts: bool) -> Definition {
    Definition {
        program: "/bin/true".into(),
        arguments: ["serve", "--mount=/tmp/s3files", "--bucket=a & b/<c>", "--volume-name=100% \"$HOME\""]
            .map(str::to_owned)
            .to_vec(),
        environment: vec![
            ("AWS_PROFILE".into(), "work & play".into()),
            ("PATH".into(), "/usr/local/bin:/usr/bin".into()),
        ],
        sockets: vec!["127.0.0.1:8330".parse().unwrap(), "[::1]:8330".parse().unwrap()],
        mounts,
        log: "/Users/me/Library/Logs/s3dav/s3dav.log".into(),
    }
}

fn plist() -> (PathBuf, String) {
    launchd_files(Path::new("/Users/me"), &definition(true)).remove(0)
}

#[test]
fn the_agent_is_as_it_was_looked_over() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/service_files/io.s3dav.agent.plist");
    let (path, text) = plist();
    assert_eq!(path, Path::new("/Users/me/Library/LaunchAgents/io.s3dav.agent.plist"));
    if std::env::var_os("S3DAV_WRITE_GOLDEN").is_some() {
        fs::write(golden, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(golden).unwrap(), "S3DAV_WRITE_GOLDEN=1 writes it anew");
}

#[tokio::test]
async fn the_agent_is_a_property_list() {
    let Some(tools) = clients::needs(&["plistutil"]) else { return };
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("io.s3dav.agent.plist");
    fs::write(&path, plist().1).unwrap();
    let mut plistutil = tools.command("plistutil");
    plistutil.arg("-i").arg(&path).args(["-o", "/dev/null", "-f", "bin"]);
    let (code, _, error) = outcome(plistutil).await;
    assert_eq!(code, 0, "{error}");
}

#[tokio::test]
async fn the_agent_has_the_right_types() {
    let Some(tools) = clients::needs(&["python3"]) else { return };
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("io.s3dav.agent.plist");
    fs::write(&path, plist().1).unwrap();
    let script = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let mut command = tools.command("python3");
    command.args(["-c", script]).arg(&path);
    let (code, text, error) = outcome(command).await;
    assert_eq!(code, 0, "{error}");
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = definition(true);
    assert_eq!(list["Label"], "io.s3dav.agent", "as the file is named");
    let arguments: Vec<&str> =
        list["ProgramArguments"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(arguments[0], "/bin/true");
    assert_eq!(arguments[1..], expected.arguments);
    assert_eq!(list["EnvironmentVariables"]["AWS_PROFILE"], "work & play");
    assert_eq!(list["RunAtLoad"], true);
    assert_eq!(list["KeepAlive"]["SuccessfulExit"], false);
    assert_eq!(list["ThrottleInterval"], 10);
    assert_eq!(list["ExitTimeOut"], 60);
    assert_eq!(list["SoftResourceLimits"]["NumberOfFiles"], 4096);
    assert_eq!(
        (&list["SoftResourceLimits"]["Core"], &list["HardResourceLimits"]["Core"]),
        (&0.into(), &0.into())
    );
    assert_eq!(list["Umask"], 0o077);
    assert_eq!(list["Sockets"]["http"][1]["SockNodeName"], "::1");
    assert_eq!(list["Sockets"]["http"][0]["SockServiceName"], "8330");
    assert!(list["StandardErrorPath"].as_str().unwrap().starts_with('/'));
}

#[tokio::test]
async fn what_is_filled_in_is_not_filled_in_again() {
    let Some(tools) = clients::needs(&["python3"]) else { return };
    let mut definition = definition(true);
    definition.arguments.push("--bucket=b/@SOCKETS@".into());
    definition.arguments.push("--user=@LABEL@ @".into());
    definition.environment.push(("AWS_PROFILE".into(), "@STANDARD_ERROR@@ARGUMENTS@".into()));
    let text = launchd_files(Path::new("/Users/me"), &definition).remove(0).1;
    let place = tempfile::NamedTempFile::new().unwrap();
    fs::write(place.path(), text).unwrap();
    let script = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let mut command = tools.command("python3");
    command.args(["-c", script]).arg(place.path());
    let (code, text, error) = outcome(command).await;
    assert_eq!(code, 0, "{error}");
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list["ProgramArguments"][5], "--bucket=b/@SOCKETS@");
    assert_eq!(list["ProgramArguments"][6], "--user=@LABEL@ @");
    assert_eq!(list["EnvironmentVariables"]["AWS_PROFILE"], "@STANDARD_ERROR@@ARGUMENTS@");
}

#[tokio::test]
async fn what_no_definition_can_hold_is_refused_before_anything_is_written() {
    let home = tempfile::tempdir().unwrap();
    for (option, variable) in [
        ("--volume-name=a\u{1}b", ""),
        ("--volume-name=two\nlines", ""),
        ("--volume-name=a\u{9b}31m", ""),
        ("--volume-name=a\u{ffff}", ""),
        ("--state-dir=/tmp/a\tb", ""),
        ("there\u{7f}", ""),
        ("--volume-name=good", "a\u{1b}[31m"),
    ] {
        let mut install = command(&["service", "install", "--bucket", "b", option]);
        install.env("HOME", home.path()).env("XDG_STATE_HOME", home.path()).env("AWS_PROFILE", variable);
        let (code, _, error) = outcome(install).await;
        let expected = "cannot be used in a service";
        assert_eq!((code, error.contains(expected), error.contains("hint: ")), (1, true, true), "{error}");
        assert!(!error.contains(['\u{1}', '\u{1b}', '\u{9b}']), "it is shown escaped: {error:?}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "{option}");
    }
}

#[tokio::test]
async fn the_units_are_what_systemd_understands() {
    let Some(tools) = clients::needs(&["systemd-analyze"]) else { return };
    let place = tempfile::tempdir().unwrap();
    let odd = place.path().join("$HOME $$ ${x} 100%h ;");
    fs::copy("/bin/true", &odd).unwrap();
    for (mounts, program) in [(true, Path::new("/bin/true")), (false, &odd)] {
        let home = tempfile::tempdir().unwrap();
        let definition = Definition { program: program.to_owned(), ..definition(mounts) };
        let mut verify = tools.command("systemd-analyze");
        verify.args(["verify", "--user", "--man=no"]).env("XDG_RUNTIME_DIR", home.path());
        for (path, text) in systemd_files(home.path(), &definition) {
            assert!(!path.ends_with("s3dav.service") || text.contains("\nLimitCORE=0\n"), "{text}");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            verify.arg(path);
        }
        let (code, text, error) = outcome(verify).await;
        assert_eq!((code, text.as_str(), error.as_str()), (0, "", ""));
    }
}

/// A world of mounts of its own, in which the system's manager is one that writes down what it was asked, and starts
/// what it should. Whoever is no root cannot make one, and the program knows no other place to look for it.
struct World {
    home: tempfile::TempDir,
    holder: tokio::process::Child,
    tools: Tools,
}

impl World {
    async fn new() -> Option<Self> {
        use std::os::unix::fs::PermissionsExt;
        use tokio::io::AsyncReadExt;
        let world = ["cat", "nsenter", "sed", "sh", "systemctl", "unshare"];
        let tools = clients::needs(&[clients::MOUNT, &world].concat())?;
        let systemctl = tools.path("systemctl").display();
        let home = tempfile::tempdir().unwrap();
        let keys: String =
            command(&[]).as_std().get_envs().fold(String::new(), |text, (name, value)| match value {
                Some(value) => text + &format!("export {}={:?}\n", name.to_str().unwrap(), value),
                None => text,
            });
        // Keys are where the manager finds them; what a unit names comes before.
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {}\ncase \"$*\" in *enable*) unit=$HOME/.config/systemd/user/s3dav.service\n\
             {keys}eval \"export $(sed -n 's/^Environment=//p' $unit)\"\n\
             eval \"$(sed -n 's/^ExecStart=//p' $unit) >/dev/null 2>&1 &\" ;; esac\n",
            home.path().join("said").display()
        );
        let manager = home.path().join("systemctl");
        fs::write(&manager, script).unwrap();
        fs::set_permissions(&manager, fs::Permissions::from_mode(0o755)).unwrap();
        let hold = format!("mount --bind {} {systemctl} && echo made && exec cat", manager.display());
        let mut holder = tools.command("unshare");
        holder.arg("--mount").arg(tools.path("sh")).args(["-c", &hold]);
        let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        holder.stdout.as_mut().unwrap().read_exact(&mut [0; 4]).await.unwrap();
        Some(Self { home, holder, tools })
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    /// A command in it.
    fn within(&self, model: &Command) -> Command {
        let mut command = self.tools.command("nsenter");
        command.args(["--mount", "--target", &self.holder.id().unwrap().to_string()]);
        // Its working directory is found in that world, too.
        command
            .arg(self.tools.path("sh"))
            .args(["-c", "cd \"$0\" && exec \"$@\""])
            .arg(self.path())
            .arg(model.as_std().get_program());
        command.args(model.as_std().get_args());
        take_environment(&mut command, model);
        command
            .env("HOME", self.path())
            .env("XDG_STATE_HOME", self.path().join("state"))
            .env("AWS_PROFILE", "");
        command
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        outcome(self.within(&command(arguments))).await
    }

    async fn sh(&self, script: &str) -> (i32, String, String) {
        let mut shell = self.tools.command("sh");
        shell.args(["-c", script]);
        outcome(self.within(&shell)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_installed_and_removed_by_command() {
    let Some(home) = World::new().await else { return };
    let (s3, said) = (embedded().await, home.path().join("said"));
    let run = async |arguments: &[&str]| home.run(arguments).await;
    let (code, _, error) = run(&["service", "status"]).await;
    assert_eq!((code, error.contains("service install")), (1, true), "{error}");
    let endpoint = s3.endpoint_url();
    let options = [
        "service",
        "install",
        "--bucket",
        BUCKET,
        "--endpoint-url",
        &endpoint,
        "--force-path-style",
        "--state-dir",
        "relative",
        "there",
    ];
    let (code, text, error) = run(&options).await;
    assert_eq!(code, 0, "{error}");
    assert!(text.contains("is mounted at") && text.contains("s3dav.service"), "{text}");
    assert!(error.contains("AWS_SECRET_ACCESS_KEY is not passed to the service"), "{error}");
    let (code, _, error) = home.sh("printf 'through the service' > there/file").await;
    assert_eq!(code, 0, "{error}");
    let unit = fs::read_to_string(home.path().join(".config/systemd/user/s3dav.service")).unwrap();
    let absolute = format!("\"--state-dir={}\"", home.path().join("relative").display());
    assert!(unit.contains("\"--bucket=bucket\"") && unit.contains(&absolute), "{unit}");
    assert!(!unit.contains("not-a-secret"), "{unit}");
    assert!(fs::read_to_string(&said).unwrap().contains("--user enable --now s3dav.socket s3dav.service"));
    let (code, _, error) = run(&["stop", "--state-dir", "relative"]).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(Bucket::of(&endpoint, BUCKET).await.get("file").await.unwrap(), "through the service");
    let (code, _, error) = run(&["service", "stop"]).await;
    assert_eq!(code, 0, "{error}");
    let log = run(&["service", "logs", "-n", "2"]).await.1;
    assert_eq!((log.lines().count(), log.contains("stopped")), (2, true), "{log}");
    assert_eq!(run(&["service", "uninstall"]).await.0, 0);
    assert!(!home.path().join(".config/systemd/user/s3dav.service").exists());
}
