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

pub const FILE_SYSTEM: &str = "fs-0123456789abcdef0";

/// Mounts the directory `source`, starts a proxy and gets credentials, unless `says` tells it to fail, or to hang.
const HELPER: &str = r#"
import json, os, subprocess, sys, time, urllib.request
record('mount.s3files ' + ' '.join(sys.argv[1:]))
put('mount.env', '\n'.join(f'{name}={value}' for name, value in os.environ.items()))
request = urllib.request.Request(os.environ['AWS_CONTAINER_CREDENTIALS_FULL_URI'])
request.add_header('Authorization', open(os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']).read())
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
record('keys ' + json.load(opener.open(request, timeout=1))['AccessKeyId'])
sys.stderr.write('Could not start amazon-efs-mount-watchdog, unrecognized init system "s3dav"\n')
if os.path.exists(root + '/hangs'):
    os.makedirs(root + '/var/log/amazon/efs', exist_ok=True)
    open(root + '/var/log/amazon/efs/fs-0.efs-proxy.log', 'w').write('began\nthe certificate of the server is wrong\n')
    start_proxy()
    time.sleep(600)
if os.path.exists(root + '/says'):
    sys.stderr.write(open(root + '/says').read())
    sys.exit(int(open(root + '/code').read()))
if os.path.exists(root + '/lies'):
    sys.exit(0)
subprocess.run([MOUNT, '--bind', root + '/source', sys.argv[2]], check=True)
start_proxy()
"#;

const WATCHDOG: &str = r#"
import os, signal, sys, time
if os.path.exists(root + '/no-watchdog'):
    sys.exit(3)
def end(*_):
    record('watchdog ended')
    os._exit(0)
signal.signal(signal.SIGTERM, end)
record('watchdog began')
while True:
    try:
        proxy = int(open(root + '/proxy').read())
        if open(f'/proc/{proxy}/stat').read().split(') ')[1][0] == 'Z':
            raise OSError
    except ValueError:
        pass
    except OSError:
        if os.path.exists(root + '/proxy'):
            record('watchdog starts a proxy')
            start_proxy()
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except OSError:
        pass
    time.sleep(0.05)
"#;

const PROXY: &str = r#"
import os, signal, time
def end(*_):
    record('proxy ended')
    os._exit(0)
signal.signal(signal.SIGTERM, end)
put('proxy', str(os.getpid()))
record('proxy began')
while True:
    time.sleep(600)
"#;

/// Where `busy` stands, only what it names works. A shell is quick: it is ended soon.
const UMOUNT: &str = r#"
for dir; do :; done
line="umount $*"
if "$GREP" -qs -e "--path=$dir" /proc/[0-9]*/cmdline; then line="$line while served"; fi
"$GREP" -qxF -e "$line" "$root/record" || echo "$line" >> "$root/record"
if [ -e "$root/busy" ]; then
    read -r works < "$root/busy"
    [ "$1" = "$works" ] || exit 32
fi
exec "$UMOUNT" "$@"
"#;

/// What all of them know.
const PRELUDE: &str = r#"
import os as _os, subprocess as _subprocess
def put(name, text):
    with open(f'{root}/{name}.new', 'w') as file:
        file.write(text)
    _os.rename(f'{root}/{name}.new', f'{root}/{name}')
def record(line):
    with open(root + '/record', 'a') as file:
        file.write(line + '\n')
def start_proxy():
    null = _subprocess.DEVNULL
    _subprocess.Popen([root + '/usr/bin/efs-proxy'], stdin=null, stdout=null, stderr=null, start_new_session=True)
"#;

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
        for directory in ["etc/amazon/efs", "usr/bin", "sbin", "source", "run", "var"] {
            fs::create_dir_all(system.at(directory)).unwrap();
        }
        fs::write(system.at("record"), "").unwrap();
        fs::write(system.at("source/file"), "content").unwrap();
        let of_helper =
            "[mount]\nregion =\n[proxy]\nmetrics_enabled = true\n\n[cloudwatch-log]\nenabled = true\n";
        fs::write(system.at("etc/amazon/efs/s3files-utils.conf"), of_helper).unwrap();
        fs::write(system.at("etc/amazon/efs/efs-utils.conf"), "[cloudwatch-log]\n# enabled = true\n")
            .unwrap();
        for (name, script) in [
            ("sbin/mount.s3files", HELPER),
            ("usr/bin/amazon-efs-mount-watchdog", WATCHDOG),
            ("usr/bin/efs-proxy", PROXY),
        ] {
            system.program(name, script);
        }
        system.program(
            "usr/bin/mount",
            "import sys\nrecord(' '.join(['mount', *sys.argv[1:]]))\n_os.execv(MOUNT, sys.argv)",
        );
        let tool = |name| system.tools.path(name).display().to_string();
        let known = [
            ("root", system.root.path().display().to_string()),
            ("GREP", tool("grep")),
            ("UMOUNT", tool("umount")),
        ];
        let known: String = known.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
        system.executable("usr/bin/umount", &format!("#!{}\n{known}{UMOUNT}", tool("sh")));
        Some(system)
    }

    fn executable(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A Python script as a program of the system.
    pub fn program(&self, name: &str, script: &str) {
        let tool = |name| self.tools.path(name).to_str().unwrap();
        let (python, mount) = (tool("python3"), tool("mount"));
        let root = self.root.path().display().to_string();
        let known = format!("#!{python}\nroot = {root:?}; MOUNT = {mount:?}\n");
        self.executable(name, &(known + PRELUDE + script));
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
