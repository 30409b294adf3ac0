//! The program as a process of its own: for what ends a process, and to measure its memory.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{BUCKET, KEYS, clients};

/// A running `s3dav`.
pub struct Process {
    pub child: Child,
    /// Of the gateway, or of the S3 server.
    pub url: String,
    /// What it has written on standard error.
    pub said: Arc<Mutex<String>>,
}

/// A command line of the program, with nothing of the environment that could change it.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_s3dav"));
    let (access_key, secret) = KEYS;
    for (name, _) in std::env::vars() {
        if name.starts_with("AWS_")
            || name.starts_with("S3DAV_")
            || name.to_ascii_lowercase().ends_with("_proxy")
        {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", access_key)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The program where other users reach it, too.
pub fn program_in(place: &Path) -> PathBuf {
    let program = place.join("s3dav");
    // Not copied by this process: what it starts meanwhile would hold the copy open for writing.
    let tools = clients::needs(&["cp"]).expect("a test asks before it begins");
    let copied = tools.blocking_command("cp").arg(env!("CARGO_BIN_EXE_s3dav")).arg(&program).status();
    assert!(copied.unwrap().success());
    program
}

/// Gives a command the variables that another one has, or lacks.
pub fn take_environment(command: &mut Command, model: &Command) {
    for (name, value) in model.as_std().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

/// The same command line by another copy of the program.
pub fn by(program: &Path, model: &Command) -> Command {
    let mut command = Command::new(program);
    command.args(model.as_std().get_args()).stdin(Stdio::null()).kill_on_drop(true);
    take_environment(&mut command, model);
    command
}

/// The command line that serves the bucket of an endpoint, its state in `state`, on a free port unless `more` names one.
pub fn serve(endpoint: &str, state: &TempDir, more: &[&str]) -> Command {
    let mut command =
        command(&["serve", "--bucket", BUCKET, "--endpoint-url", endpoint, "--force-path-style"]);
    command.arg("--state-dir").arg(state.path().join("state")).args(more);
    if !more.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    if !more.contains(&"--notify-command") {
        // Nobody's desktop is told of tests.
        command.arg("--notify=off");
    }
    command
}

/// What a command that ends by itself said: exit code, standard output, standard error.
pub async fn outcome(mut command: Command) -> (i32, String, String) {
    outcome_within(&mut command, Duration::from_secs(60)).await
}

/// The same of one that may take another time.
pub async fn outcome_within(command: &mut Command, limit: Duration) -> (i32, String, String) {
    let output = tokio::time::timeout(limit, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} does not end")).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// Sends a signal by its name to a process by its id.
pub fn send_signal(name: &str, id: &str) {
    let signal = match name {
        "CONT" => Signal::CONT,
        "INT" => Signal::INT,
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "TERM" => Signal::TERM,
        _ => panic!("{name} is no signal that tests send"),
    };
    kill_process(Pid::from_raw(id.parse().unwrap()).unwrap(), signal).unwrap();
}

impl Process {
    /// An S3 server that keeps its objects on disk.
    pub async fn embedded_s3(data: &TempDir) -> Self {
        let data = data.path().to_str().unwrap();
        let mut command =
            command(&["embedded-s3", "--listen", "127.0.0.1:0", "--data", data, "--bucket", BUCKET]);
        command.env("S3DAV_ACCESS_KEY", KEYS.0).env("S3DAV_SECRET_KEY", KEYS.1);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        let url = line.strip_prefix("endpoint_url=").unwrap().to_owned();
        // Its output must be read, or it ends when it prints more.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, url, said: Arc::default() }
    }

    /// A demo, once it serves; what it said is its welcome.
    pub async fn demo(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Ctrl-C") {
            assert!(output.read_line(&mut said).await.unwrap() > 0, "the demo did not start: {said}");
        }
        let url = said.lines().next().unwrap().rsplit(' ').next().unwrap().trim_end_matches('/').to_owned();
        Self { child, url, said: Arc::new(Mutex::new(said)) }
    }

    /// A gateway over an endpoint.
    pub async fn gateway(endpoint: &str, state: &TempDir, more: &[&str]) -> Self {
        Self::serving(serve(endpoint, state, more)).await
    }

    /// Waits for the line that tells the address.
    pub async fn serving(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let url = loop {
            let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
            let Ok(Ok(Some(line))) = line else { panic!("the gateway did not start:\n{said}") };
            said.push_str(&line);
            said.push('\n');
            if let Some(at) = line.find("http://127.0.0.1:")
                && (line.contains("urls=") || line.contains("\"urls\""))
            {
                break line[at..].split(['/', '"', ' ']).take(3).collect::<Vec<_>>().join("/");
            }
        };
        let said = Arc::new(Mutex::new(said));
        let more = Arc::clone(&said);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                more.lock().push_str(&format!("{line}\n"));
                // Shown when a test fails.
                if line.contains("WARN") || line.contains("ERROR") {
                    eprintln!("the gateway said: {line}");
                }
            }
        });
        // It answers when everything is open.
        super::eventually("an answer", || async {
            super::client().get(format!("{url}/.s3dav/health")).send().await.is_ok()
        })
        .await;
        Self { child, url, said }
    }

    /// How one that does not serve ended: exit code, and what it said; an error if it serves.
    pub async fn ending(mut command: Command) -> Result<(i32, String), String> {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            said.push_str(&line);
            said.push('\n');
            if line.contains("urls=") {
                return Err(said);
            }
        }
        Ok((child.wait().await.unwrap().code().unwrap_or(-1), said))
    }

    /// Sends a signal by its name.
    pub async fn signal(&self, name: &str) {
        send_signal(name, &self.child.id().expect("the process runs").to_string());
    }

    /// The most memory it ever used, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}
