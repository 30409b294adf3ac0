//! A system with stand-ins for the programs of efs-utils: they record how they were started, and do what the real ones
//! were seen to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::clients::{self, Tools};
use crate::harness::held::is_gone;
use crate::harness::process::{command, outcome, send_signal};
use crate::harness::{client, eventually};
use crate::s3files::stand_ins::{CONFIGURATION, Places};

pub const FILE_SYSTEM: &str = "fs-0123456789abcdef0";

/// See the module. Its processes end with it.
pub struct TestSystem {
    pub root: TempDir,
    tools: Tools,
}

impl TestSystem {
    /// `None` where this machine cannot run it.
    pub fn new() -> Option<Self> {
        let tools =
            clients::needs(&["root", "python3", "sh", "mount", "umount", "unshare", "nsenter", "grep"])?;
        let system = Self { root: tempfile::tempdir().unwrap(), tools };
        for directory in ["etc/amazon/efs", "usr/bin", "usr/sbin", "sbin", "source", "run", "var"] {
            fs::create_dir_all(system.at(directory)).unwrap();
        }
        fs::write(system.at("record"), "").unwrap();
        fs::write(system.at("source/file"), "content").unwrap();
        for (name, text) in CONFIGURATION {
            fs::write(system.at(name), text).unwrap();
        }
        for (name, text) in system.places().programs() {
            system.executable(name, &text);
        }
        Some(system)
    }

    fn executable(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A Python script as a program of the system.
    pub fn program(&self, name: &str, script: &str) {
        self.executable(name, &self.places().python(script));
    }

    fn places(&self) -> Places {
        let tool = |name| self.tools.path(name).display().to_string();
        let root = self.root.path().display().to_string();
        Places {
            notes: root.clone(),
            root,
            python: tool("python3"),
            sh: tool("sh"),
            mount: tool("mount"),
            umount: tool("umount"),
            grep: tool("grep"),
        }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Where it is mounted.
    pub fn dir(&self) -> PathBuf {
        fs::canonicalize(self.root.path()).unwrap().join("mnt")
    }

    /// A file that tells the stand-ins what to do.
    pub fn tell(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    /// A command line of `container`, in a namespace of mounts of its own.
    pub fn container(&self, more: &[&str]) -> Command {
        self.within(&["--mount"], more)
    }

    /// The same with other options of `unshare`.
    pub fn within(&self, unshare: &[&str], more: &[&str]) -> Command {
        let model = self.model(more);
        let mut command = self.tools.command("unshare");
        command.args(unshare).arg(model.as_std().get_program()).args(model.as_std().get_args());
        crate::harness::process::take_environment(&mut command, &model);
        command
    }

    /// The same after a shell has done something; it finds the command line in `"$@"`.
    pub fn after(&self, script: &str, more: &[&str]) -> Command {
        let model = self.model(more);
        let mut command = self.tools.command("unshare");
        command.arg("--mount").arg(self.tools.path("sh")).args([
            "-c",
            &format!("{script}\nexec \"$@\""),
            "sh",
        ]);
        command.arg(model.as_std().get_program()).args(model.as_std().get_args());
        crate::harness::process::take_environment(&mut command, &model);
        command
    }

    fn model(&self, more: &[&str]) -> Command {
        let mut command = command(&["container", "--s3files", FILE_SYSTEM, "--listen", "127.0.0.1:0"]);
        command.arg("--system-root").arg(self.root.path()).arg("--dir").arg(self.dir());
        command
            .arg("--state-dir")
            .arg(self.at("state"))
            .args(["--notify=off", "--watch-interval=50ms"])
            .args(more);
        command
    }

    /// `s3dav container credentials`.
    pub fn credentials(&self) -> Command {
        let mut command = command(&["container", "credentials"]);
        command.arg("--system-root").arg(self.root.path());
        command
    }

    /// How the mount is for whoever asks within the namespaces of a container.
    pub async fn health(&self, container: u32) -> (i32, String) {
        let mut model = command(&["health"]);
        model.arg("--system-root").arg(self.root.path()).arg("--state-dir").arg(self.at("state"));
        let mut command = self.tools.command("nsenter");
        command.args(["--target", &container.to_string(), "--mount"]);
        command.arg(model.as_std().get_program()).args(model.as_std().get_args());
        let (code, _, said) = outcome(command).await;
        (code, said)
    }

    /// What the stand-ins have done.
    pub fn record(&self) -> Vec<String> {
        fs::read_to_string(self.at("record")).unwrap().lines().map(str::to_owned).collect()
    }

    pub fn count(&self, line: &str) -> usize {
        self.record().iter().filter(|recorded| *recorded == line).count()
    }

    pub async fn until(&self, line: &str, times: usize) {
        eventually(line, || async { self.count(line) >= times }).await;
    }

    /// What the helper's environment was.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.at("mount.env")).unwrap();
        let split =
            |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        text.lines().filter_map(split).collect()
    }

    pub fn variable(&self, name: &str) -> Option<String> {
        self.environment().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// What the endpoint answers to a token.
    pub async fn ask(&self, token: Option<&str>) -> (u16, serde_json::Value) {
        let url = self.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").unwrap();
        let mut request = client().get(url).timeout(Duration::from_secs(5));
        if let Some(token) = token {
            request = request.header("Authorization", token);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    pub fn token(&self) -> String {
        fs::read_to_string(self.at("run/s3dav/token")).unwrap()
    }

    /// Ends a process without a word.
    pub async fn kill(&self, id: &str) {
        send_signal("KILL", id);
        eventually("an end", || async { is_gone(id) }).await;
    }

    /// The processes that have a word in their command line which begins so, below this root.
    pub fn processes(&self, program: &str) -> Vec<String> {
        let path = self.at(program);
        let path = path.to_str().unwrap();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let ids = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let has = |id: &String| {
            let line = fs::read(Path::new("/proc").join(id).join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(path)
        };
        let own = std::process::id().to_string();
        ids.filter(|id| id.parse::<u32>().is_ok() && *id != own).filter(has).collect()
    }

    pub fn tools(&self) -> &Tools {
        &self.tools
    }
}

impl Drop for TestSystem {
    fn drop(&mut self) {
        for id in self.processes("") {
            if !is_gone(&id) {
                // It may just have ended.
                let pid = rustix::process::Pid::from_raw(id.parse().unwrap()).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}
