//! A Docker daemon of the tests' own, with a Debian in it: for what is about containers.
//!
//! Containers have the machine's network, or none: the daemon makes no bridge and changes no firewall, so that it
//! runs beside any other. It ends with the last test that uses it, and where the tests are killed.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::{Mutex, OnceCell};

use super::clients::{Tools, needs, skip};
use super::process::{command, outcome, take_environment};
use crate::s3files::stand_ins::{CONFIGURATION, Places};

/// See the module.
pub struct Docker {
    tools: Tools,
    /// Ends the daemon when its standard input does.
    keeper: Child,
    place: TempDir,
    image: OnceCell<()>,
    s3files_image: OnceCell<()>,
}

/// Whose network containers and the daemon have.
enum Network {
    /// The machine's; there is no bridge.
    Machine,
    Own,
}

/// A container that is removed when this is dropped.
pub struct Container {
    pub id: String,
    docker: Arc<Docker>,
}

/// What a command of the client printed, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Docker {
    /// The one that all tests share; `None` after saying why there is none here.
    pub async fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Docker>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(docker) = shared.upgrade() {
            return Some(docker);
        }
        let docker = Arc::new(Self::start().await?);
        *shared = Arc::downgrade(&docker);
        Some(docker)
    }

    /// The image of this program; built once.
    pub async fn image(&self) -> &'static str {
        let build = || async {
            let (code, _, error) =
                outcome(self.build(env!("CARGO_BIN_EXE_s3dav"), &["--base", BASE, "--tag", IMAGE])).await;
            assert_eq!(code, 0, "{error}");
        };
        self.image.get_or_init(build).await;
        IMAGE
    }

    /// The image that mounts S3 Files, with stand-ins for efs-utils; built once, and tagged as by default.
    pub async fn s3files_image(&self) -> &'static str {
        let build = || async {
            self.build_base_of_s3files().await;
            let more = ["--s3files", "--base", BASE_OF_S3FILES, "--tag", S3FILES_IMAGE];
            let (code, _, error) = outcome(self.build(env!("CARGO_BIN_EXE_s3dav"), &more)).await;
            assert_eq!(code, 0, "{error}");
        };
        self.s3files_image.get_or_init(build).await;
        S3FILES_IMAGE
    }

    /// A base whose `dnf` installs the stand-ins. They note in `/notes` what they do.
    async fn build_base_of_s3files(&self) {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        let places = Places {
            root: String::new(),
            notes: "/notes".to_owned(),
            python: "/usr/bin/python3".to_owned(),
            sh: "/bin/sh".to_owned(),
            mount: "/usr/bin/mount".to_owned(),
            umount: "/usr/bin/umount".to_owned(),
            grep: "/bin/grep".to_owned(),
        };
        let programs = places.programs();
        let configuration = CONFIGURATION.iter().map(|(name, text)| (*name, (*text).to_owned()));
        for (name, text) in programs.into_iter().chain(configuration) {
            write(&format!("stand-ins/{name}"), &text);
        }
        write("dnf", DNF);
        write("source/file", "content");
        let recipe =
            "COPY dnf /usr/bin/dnf\nCOPY stand-ins /stand-ins\nCOPY source /notes/source\nVOLUME /notes\n";
        write("Dockerfile", &format!("FROM {BASE}\n{recipe}"));
        self.wants(&["build", "--quiet", "--tag", BASE_OF_S3FILES, place.path().to_str().unwrap()]).await;
    }

    /// `s3dav container build` of a program, with this daemon.
    pub fn build(&self, binary: &str, more: &[&str]) -> Command {
        let mut command = command(&["container", "build", "--binary", binary]);
        self.lead(&mut command);
        command.args(more).env("PATH", self.tools.path("docker").parent().unwrap());
        command
    }

    async fn start() -> Option<Self> {
        Self::start_in(Network::Machine).await
    }

    async fn start_in(network: Network) -> Option<Self> {
        let tools = needs(&["root", "bash", "docker", "dockerd", "ip", "nsenter", "unshare", DEBIAN])?;
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name).display().to_string();
        fs::create_dir(path("client")).unwrap();
        fs::write(path("daemon.json"), "{}").unwrap();
        let log = File::create(path("log")).unwrap();
        let mut keeper = match network {
            Network::Machine => tools.blocking_command("bash"),
            Network::Own => {
                let mut keeper = tools.blocking_command("unshare");
                keeper.arg("--net").arg(tools.path("bash"));
                keeper
            }
        };
        let script = match network {
            Network::Machine => KEEPER.to_owned(),
            Network::Own => format!("'{}' link set lo up; {KEEPER}", tools.path("ip").display()),
        };
        keeper.args(["-c", &script, "keeper"]).arg(tools.path("dockerd"));
        keeper.args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")]);
        keeper.args(["--config-file", &path("daemon.json"), "--host", &format!("unix://{}", path("socket"))]);
        keeper.args(["--iptables=false", "--ip6tables=false", "--ip-masq=false"]);
        if matches!(network, Network::Machine) {
            keeper.args(["--bridge", "none"]);
        }
        keeper.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        let keeper = keeper.spawn().unwrap();
        let docker = Self { tools, keeper, place, image: OnceCell::new(), s3files_image: OnceCell::new() };
        if let Err(reason) = docker.answers().await {
            skip(&format!("dockerd does not start here: {reason}"));
            return None;
        }
        let debian = docker.tools.path(DEBIAN).display().to_string();
        docker.wants(&["import", &debian, BASE]).await;
        Some(docker)
    }

    /// Waits until it does, or has given up.
    async fn answers(&self) -> Result<(), String> {
        let end = Instant::now() + START;
        while self.run(&["info"]).await.code != 0 {
            let log = fs::read_to_string(self.place.path().join("log")).unwrap_or_default();
            let failed = log.lines().find(|line| line.contains("failed to start daemon"));
            if let Some(line) = failed {
                return Err(line.to_owned());
            }
            if Instant::now() > end {
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                return Err(format!("no answer within {START:?}: {}", last.join(" / ")));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// A daemon in a network of its own, with a bridge: what is published is at this network's loopback, where
    /// [`Self::within`] leads.
    pub async fn with_bridge() -> Option<Arc<Self>> {
        Self::start_in(Network::Own).await.map(Arc::new)
    }

    /// A command line in the daemon's own network, with the client in its path.
    pub fn within(&self, model: &Command) -> Command {
        let mut command = self.tools.command("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.keeper.id()));
        command.arg(model.as_std().get_program()).args(model.as_std().get_args());
        take_environment(&mut command, model);
        self.lead(&mut command);
        command.env("PATH", self.tools.path("docker").parent().unwrap()).kill_on_drop(true);
        command
    }

    /// A command line of the client.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.tools.command("docker");
        self.lead(&mut command);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// A command line that runs the client with this daemon.
    pub fn leading(&self, mut command: Command) -> Command {
        self.lead(&mut command);
        command.env("PATH", self.tools.path("docker").parent().unwrap());
        command
    }

    /// Leads a program that runs the client to this daemon.
    pub fn lead(&self, command: &mut Command) {
        for name in ["DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"] {
            command.env_remove(name);
        }
        command
            .env("DOCKER_HOST", format!("unix://{}", self.place.path().join("socket").display()))
            .env("DOCKER_CONFIG", self.place.path().join("client"));
    }

    pub async fn run(&self, arguments: &[&str]) -> Said {
        let output = tokio::time::timeout(COMMAND, self.command(arguments).output()).await;
        let output = output.unwrap_or_else(|_| panic!("docker {arguments:?} does not end")).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            error: text(&output.stderr),
        }
    }

    /// What a command prints that must end well.
    pub async fn wants(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments).await;
        assert_eq!(said.code, 0, "docker {arguments:?}: {} {}", said.out, said.error);
        said.out
    }

    /// `docker run -d` with these arguments.
    pub async fn container(self: &Arc<Self>, arguments: &[&str]) -> Container {
        let arguments: Vec<&str> = ["run", "-d"].iter().chain(arguments).copied().collect();
        Container { id: self.wants(&arguments).await, docker: Arc::clone(self) }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Container {
    /// `docker exec` in it.
    pub async fn exec(&self, arguments: &[&str]) -> Said {
        let arguments: Vec<&str> = ["exec", &self.id].iter().chain(arguments).copied().collect();
        self.docker.run(&arguments).await
    }

    /// What `docker inspect` says by a template.
    pub async fn inspect(&self, template: &str) -> String {
        self.docker.wants(&["inspect", "--format", template, &self.id]).await
    }

    /// What it has printed so far, on both outputs.
    pub async fn logs(&self) -> String {
        let said = self.docker.run(&["logs", &self.id]).await;
        said.out + &said.error
    }

    /// Its exit code, once it has ended.
    pub async fn ended(&self) -> i32 {
        self.docker.wants(&["wait", &self.id]).await.parse().unwrap()
    }

    pub async fn signal(&self, name: &str) {
        self.docker.wants(&["kill", "--signal", name, &self.id]).await;
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let mut remove = self.docker.command(&["rm", "--force", "--volumes", &self.id]);
        let remove = remove.as_std_mut().stdout(Stdio::null()).stderr(Stdio::null());
        let _ = remove.status();
    }
}

/// Runs a daemon until its standard input ends, as it does with this process, too.
const KEEPER: &str = r#""$@" </dev/null & daemon=$!; read -r _; kill "$daemon"; wait "$daemon""#;
/// Debian as an image.
pub const BASE: &str = "debian-of-tests:12";
/// The same as an archive, by its name in the table.
const DEBIAN: &str = "Debian's root file system";
/// This program as an image.
const IMAGE: &str = "s3dav-of-tests:1";
/// With a `dnf` that knows one package.
const BASE_OF_S3FILES: &str = "amazon-of-tests:1";
/// This program as the image that `mount --s3files` takes where none is named.
const S3FILES_IMAGE: &str = concat!("s3dav-s3files:", env!("CARGO_PKG_VERSION"));
const DNF: &str = r#"#!/bin/sh
set -e
case "$*" in
    "install -y amazon-efs-utils >= 3.1.2") cd /stand-ins && find . -type f | while read -r file; do
        mkdir -p "/${file%/*}" && cp -p "$file" "/$file"
    done ;;
    "clean all") ;;
    *) echo "no such package: $*" >&2; exit 1 ;;
esac
"#;
/// Of the daemon.
const START: Duration = Duration::from_secs(60);
/// Building takes the longest: a program with its debugging information is large.
const COMMAND: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
