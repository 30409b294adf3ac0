//! Whose the state directory is: what another user owns, or has put there, is neither used nor followed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use s3dav::embedded::EmbeddedS3;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::harness::process::{Process, command, outcome, program_in};
use crate::harness::users::{as_user, others_have, python};
use crate::harness::{BUCKET, embedded};

const OWNER: u32 = 12_001;
const OTHER: u32 = 12_002;

/// A place that every user can reach, with the program in it.
struct Place {
    directory: TempDir,
    s3: Arc<EmbeddedS3>,
}

impl Place {
    /// `None` where nobody can be another user.
    async fn new() -> Option<Self> {
        if !others_have(&[]) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        program_in(directory.path());
        Some(Self { directory, s3: embedded().await })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn make(&self, name: &str, uid: u32, mode: u32) -> PathBuf {
        let path = self.at(name);
        fs::create_dir(&path).unwrap();
        chown(&path, Some(uid), Some(uid)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    /// A link that another user has made.
    fn link(&self, from: &Path, to: &Path) {
        symlink(to, from).unwrap();
        lchown(from, Some(OTHER), Some(OTHER)).unwrap();
    }

    /// A command line of the program as a user.
    fn run(&self, uid: u32, arguments: &[&str]) -> Command {
        let model = command(arguments);
        let mut command = as_user(uid, self.at("s3dav").to_str().unwrap()).unwrap();
        command.args(model.as_std().get_args()).env("HOME", self.at("home"));
        for (name, value) in model.as_std().get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env_remove("XDG_STATE_HOME").stdin(Stdio::null());
        command
    }

    /// A command that serves with the state in a directory.
    fn with_state(&self, uid: u32, name: &str, bucket: &str, state: &Path) -> Command {
        let endpoint = self.s3.endpoint_url();
        let mut command = self.run(uid, &[name, "--bucket", bucket, "--endpoint-url", &endpoint]);
        command.args(["--force-path-style", "--state-dir"]).arg(state);
        if name == "serve" {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command
    }

    /// How it ends where nothing is wrong but that there is no such bucket.
    async fn end(&self, uid: u32, name: &str, state: &Path) -> (i32, String) {
        let (code, _, error) = outcome(self.with_state(uid, name, "missing", state)).await;
        assert_ne!(code, 0);
        (code, error)
    }

    async fn refused(&self, uid: u32, state: &Path, expected: &str) {
        let (_, error) = self.end(uid, "serve", state).await;
        assert!(error.contains(expected) && error.contains("hint: "), "{}: {error}", state.display());
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_of_another_user_is_refused() {
    let Some(place) = Place::new().await else { return };
    let foreign = place.make("foreign", OTHER, 0o777);
    fs::write(foreign.join("credential"), "s3dav\nknown-to-others\n").unwrap();
    chown(foreign.join("credential"), Some(OTHER), Some(OTHER)).unwrap();
    for uid in [0, OWNER] {
        place.refused(uid, &foreign, "belongs to another user (uid 12002)").await;
        // A link of another user's, though it leads to what is one's own.
        let own = place.make(&format!("own-{uid}"), uid, 0o700);
        let link = place.at(&format!("link-{uid}"));
        place.link(&link, &own);
        place.refused(uid, &link, "belongs to another user (uid 12002)").await;
        fs::remove_file(&link).unwrap();
        symlink(&foreign, &link).unwrap();
        lchown(&link, Some(uid), None).unwrap();
        place.refused(uid, &link, "belongs to another user (uid 12002)").await;
        for command in ["status", "stop", "unmount"] {
            let mut command = place.run(uid, &[command, "--state-dir"]);
            command.arg(&foreign);
            let (code, _, error) = outcome(command).await;
            assert_eq!((code, error.contains("belongs to another user")), (1, true), "{error}");
        }
    }
    let names: Vec<_> = fs::read_dir(&foreign).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["credential"], "nothing is put there");
    assert_eq!(mode(&foreign), 0o777);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_something_else_is_left_as_it_is() {
    let Some(place) = Place::new().await else { return };
    let home = place.make("home", OWNER, 0o755);
    fs::write(home.join(".profile"), "").unwrap();
    place.refused(OWNER, &home, "open to other users").await;
    assert_eq!(mode(&home), 0o755);
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
    // What others can write into, they may have written into.
    let shared = place.make("shared", OWNER, 0o777);
    fs::write(shared.join("gateway.lock"), "").unwrap();
    chown(shared.join("gateway.lock"), Some(OWNER), None).unwrap();
    place.refused(OWNER, &shared, "open to other users").await;
    let file = place.at("file");
    fs::write(&file, "").unwrap();
    place.refused(OWNER, &file, "is not a directory").await;
    let missing = "there is no bucket";
    for (name, mode_before) in [("empty", 0o777), ("used", 0o755)] {
        let directory = place.make(name, OWNER, mode_before);
        if name == "used" {
            fs::write(directory.join("gateway.lock"), "").unwrap();
            chown(directory.join("gateway.lock"), Some(OWNER), None).unwrap();
        }
        let (_, error) = place.end(OWNER, "serve", &directory).await;
        assert!(error.contains(missing), "{name}: {error}");
        assert_eq!(mode(&directory), 0o700, "{name}");
    }
    let link = place.at("own-link");
    symlink(place.at("empty"), &link).unwrap();
    lchown(&link, Some(OWNER), None).unwrap();
    let (_, error) = place.end(OWNER, "serve", &link).await;
    assert!(error.contains(missing), "an own link to an own directory: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_roots_is_used_by_a_directory_in_it() {
    let Some(place) = Place::new().await else { return };
    for (at, (gid, mode_of_volume)) in
        [(0, 0o777), (0, 0o1777), (OWNER, 0o2775), (OWNER, 0o770)].into_iter().enumerate()
    {
        let volume = place.make(&format!("volume{at}"), 0, 0o700);
        chown(&volume, Some(0), Some(gid)).unwrap();
        fs::set_permissions(&volume, Permissions::from_mode(mode_of_volume)).unwrap();
        let mut gateway = Process::serving(place.with_state(OWNER, "serve", BUCKET, &volume)).await;
        let inner = volume.join("s3dav-12001");
        assert_eq!((mode(&inner) & 0o777, fs::metadata(&inner).unwrap().uid()), (0o700, OWNER));
        assert!(inner.join("state.redb").exists());
        assert_eq!(mode(&volume), mode_of_volume);
        let mut status = place.run(OWNER, &["status", "--json", "--state-dir"]);
        status.arg(&volume);
        let (code, text, error) = outcome(status).await;
        assert_eq!((code, text.contains(&gateway.url)), (0, true), "{text}{error}");
        let mut stop = place.run(OWNER, &["stop", "--state-dir"]);
        stop.arg(&volume);
        assert_eq!(outcome(stop).await.0, 0);
        assert!(gateway.child.wait().await.unwrap().success());
    }
    let volume = place.at("volume0");
    fs::remove_dir_all(volume.join("s3dav-12001")).unwrap();
    place.make("volume0/s3dav-12001", OTHER, 0o777);
    place.refused(OWNER, &volume, "s3dav-12001 belongs to another user (uid 12002)").await;
    fs::remove_dir(volume.join("s3dav-12001")).unwrap();
    place.link(&volume.join("s3dav-12001"), &place.make("own", OWNER, 0o700));
    place.refused(OWNER, &volume, "s3dav-12001 belongs to another user (uid 12002)").await;
    let closed = place.make("closed", 0, 0o755);
    place.refused(OWNER, &closed, "closed/s3dav-12001: Permission denied").await;
    // Nobody can look whether there is one.
    let shut = place.make("shut", 0, 0o700);
    place.refused(OWNER, &shut, "shut cannot be used: Permission denied").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_planted_in_a_state_directory_is_not_followed() {
    let Some(place) = Place::new().await else { return };
    let precious = place.make("precious", 0, 0o700);
    let file = precious.join("file");
    fs::write(&file, "s3dav\nprecious\n").unwrap();
    for (at, (name, command)) in [
        ("gateway.lock", "serve"),
        ("credential", "serve"),
        ("state.redb", "serve"),
        ("shelf", "serve"),
        ("port", "mount"),
        ("start.log", "mount"),
        ("gateway.log", "mount"),
    ]
    .into_iter()
    .enumerate()
    {
        let state = place.make(&format!("state{at}"), 0, 0o700);
        let target = if name == "shelf" { &precious } else { &file };
        place.link(&state.join(name), target);
        let (_, error) = place.end(0, command, &state).await;
        if name != "port" {
            assert!(error.contains(&format!("{name} is a symbolic link")), "{name}: {error}");
            assert!(error.contains("hint: remove it"), "{name}: {error}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "s3dav\nprecious\n", "{name}");
        if name == "shelf" {
            continue;
        }
        // A file of another user's is not believed, either.
        fs::remove_file(state.join(name)).unwrap();
        fs::write(state.join(name), "s3dav\nplanted\n").unwrap();
        chown(state.join(name), Some(OTHER), Some(OTHER)).unwrap();
        let (_, error) = place.end(0, command, &state).await;
        let expected = format!("{name} belongs to another user (uid 12002)");
        assert!(name == "port" || error.contains(&expected), "{name}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_state_is_not_anothers() {
    let Some(place) = Place::new().await else { return };
    place.make("data.state", OTHER, 0o777);
    let mut demo = place.run(0, &["demo", "--listen", "127.0.0.1:0", "--data"]);
    demo.arg(place.at("data"));
    let (code, _, error) = outcome(demo).await;
    assert_eq!(
        (code, error.contains("data.state belongs to another user (uid 12002)")),
        (1, true),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_another_user_is_not_asked() {
    if !others_have(&["python3"]) {
        return;
    }
    let Some(place) = Place::new().await else { return };
    let state = place.make("open", 0, 0o777);
    let script = "import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print('bound', flush=True)
c, _ = s.accept()
c.sendall(b'{\"version\":1,\"reply\":\"failed\",\"message\":\"a lie\"}\\n')
";
    let socket = state.join("control.sock");
    let Some(mut python) = python(OTHER, script, &[socket.to_str().unwrap()]) else { return };
    let mut python = python.stdout(Stdio::piped()).spawn().unwrap();
    python.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).await.unwrap();
    let mut status = place.run(0, &["status", "--state-dir"]);
    status.arg(&state);
    let (code, _, error) = outcome(status).await;
    assert!(!error.contains("a lie"), "{error}");
    assert_eq!((code, error.contains("another user's program (uid 12002)")), (1, true), "{error}");
    python.kill().await.unwrap();
}
