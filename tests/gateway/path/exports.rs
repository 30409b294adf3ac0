//! What Amazon S3 Files tells of its files: their way into the bucket, and those that lost against a change there.
//!
//! Nothing else has an attribute whose name is the time. So the files of these tests have it for each second of the
//! next quarter of an hour, on a file system that takes so many: the calls and the names are the real ones, the
//! answers those of the documentation.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{XattrFlags, setxattr};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::clients;
use crate::harness::process::{Process, command, outcome};
use crate::harness::{client, eventually, xml};

const LOST: &str = ".s3files-lost+found-fs-0123456789abcdef0";

/// A gateway on a directory that answers as S3 Files does.
struct S3Files {
    gateway: Process,
    root: TempDir,
    state: PathBuf,
    _state: TempDir,
}

/// A directory of which the files can have so many attributes.
fn directory() -> Option<TempDir> {
    clients::needs(&["attributes on /dev/shm"])?;
    Some(tempfile::tempdir_in("/dev/shm").unwrap())
}

fn tells(path: &Path, text: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for second in now - 2..now + SECONDS {
        setxattr(path, format!("user.s3files.status;{second}"), text.as_bytes(), XattrFlags::empty())
            .unwrap();
    }
}

/// Something that was changed long ago.
fn old(path: &Path, text: &str, tells_of: &str) {
    fs::write(path, text).unwrap();
    tells(path, tells_of);
}

impl S3Files {
    async fn start(root: TempDir, more: &[&str]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut serve = command(&["serve", "--listen", "127.0.0.1:0", "--export-wait", "200ms"]);
        let at = state.path().join("state");
        serve.arg("--path").arg(root.path()).arg("--state-dir").arg(&at).args(more);
        let gateway = Process::serving(serve).await;
        Self { gateway, root, state: at, _state: state }
    }

    async fn status(&self, below: &str) -> (i32, String, String) {
        let mut status = command(&["status", "--state-dir"]);
        status.arg(&self.state).arg(self.root.path().join(below));
        outcome(status).await
    }

    async fn json(&self, below: &str) -> Value {
        let mut status = command(&["status", "--json", "--state-dir"]);
        status.arg(&self.state).arg(self.root.path().join(below));
        let (code, out, error) = outcome(status).await;
        assert_eq!(code, 0, "{error}");
        serde_json::from_str(&out).unwrap()
    }

    async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut request = client().request(method.parse().unwrap(), format!("{}{path}", self.gateway.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The properties of our own, of a resource and its children.
    async fn properties(&self, path: &str, depth: &str) -> String {
        let body = r#"<propfind xmlns="DAV:"><prop><export-state xmlns="urn:s3dav"/><export-error xmlns="urn:s3dav"/>
            <export-key xmlns="urn:s3dav"/><original-path xmlns="urn:s3dav"/></prop></propfind>"#;
        let (status, answer) = self.request("PROPFIND", path, &[("Depth", depth)], body).await;
        assert_eq!(status, 207, "{answer}");
        answer
    }

    async fn metrics(&self) -> String {
        self.request("GET", "/.s3dav/metrics", &[], "").await.1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_files_way_into_the_bucket_is_told() {
    let Some(root) = directory() else { return };
    tells(root.path(), "S3Key: \n");
    fs::create_dir(root.path().join("d")).unwrap();
    old(&root.path().join("d/failed"), "1", "S3Key: s3://b/d/failed\nExportError: PathTooLong\n");
    old(&root.path().join("d/new"), "2", "S3Key: \n");
    old(&root.path().join("plain"), "3", "S3Key: s3://b/plain\n");
    let files = S3Files::start(root, &[]).await;
    let answer = files.properties("/d/failed", "0").await;
    for part in [
        "<o:export-state xmlns:o=\"urn:s3dav\">failed</o:export-state>",
        "<o:export-error xmlns:o=\"urn:s3dav\">PathTooLong</o:export-error>",
        "<o:export-key xmlns:o=\"urn:s3dav\">s3://b/d/failed</o:export-key>",
    ] {
        assert!(answer.contains(part), "{answer}");
    }
    let answer = files.properties("/d/", "1").await;
    let new = answer.split("<D:href>").find(|part| part.starts_with("/d/new")).unwrap();
    assert!(new.contains(">pending</o:export-state>"), "{new}");
    assert!(new.contains("export-key/>") && new.contains("404"), "nothing is linked: {new}");
    // Who asks for all gets what costs nothing.
    let (_, all) = files.request("PROPFIND", "/d/failed", &[("Depth", "0")], "").await;
    assert!(!all.contains("export"), "{all}");
    // One that has its object and has just been changed waits all the same.
    assert!(files.properties("/plain", "0").await.contains(">pending</o:export-state>"));

    let (code, out, error) = files.status("").await;
    assert_eq!(code, 0, "{error}");
    for line in ["failed     d/failed: PathTooLong", "pending    d/new", "hint       shorten the names"] {
        assert!(out.contains(line), "{out}");
    }
    let told = files.json("d/failed").await;
    assert_eq!((told["failed"].as_u64(), told["pending"].as_u64()), (Some(1), Some(0)), "{told}");
    assert_eq!(told["files"][0]["why"], "PathTooLong");
    assert_eq!(files.status("missing").await.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_wrote_is_followed_until_it_is_in_the_bucket() {
    let Some(root) = directory() else { return };
    tells(root.path(), "S3Key: \n");
    let files = S3Files::start(root, &[]).await;
    for name in ["first", "second"] {
        assert_eq!(files.request("PUT", &format!("/{name}"), &[], "1").await.0, 201);
        tells(&files.root.path().join(name), "S3Key: \n");
    }
    let counts = |what: &'static str| {
        let files = &files;
        async move { files.metrics().await.contains(what) }
    };
    eventually("two are pending", || counts("s3dav_exports{state=\"pending\",error=\"\"} 2")).await;
    tells(&files.root.path().join("second"), "S3Key: \nExportError: S3AccessDenied\n");
    eventually("one has failed", || counts("s3dav_exports{state=\"failed\",error=\"S3AccessDenied\"} 1"))
        .await;
    let mut status = command(&["status", "--state-dir"]);
    status.arg(&files.state);
    let out = outcome(status).await.1;
    assert!(out.contains("\"second\" is not exported to S3 (S3AccessDenied)"), "{out}");
    assert!(out.contains("allow the role of the file system to write to the bucket"), "{out}");
    // What is gone is followed no longer.
    for name in ["/first", "/second"] {
        assert_eq!(files.request("DELETE", name, &[], "").await.0, 204);
    }
    let is_over = |metrics: &str| metrics.contains("error=\"\"} 0") && !metrics.contains("state=\"failed\"");
    eventually("nothing waits", || async { is_over(&files.metrics().await) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_is_shown_where_it_lay() {
    let Some(root) = directory() else { return };
    tells(root.path(), "S3Key: \n");
    let lost = root.path().join(LOST);
    fs::create_dir(&lost).unwrap();
    let told = "S3Key: s3://b/data/report.csv\nFilePath: /data/report.csv\n";
    old(&lost.join("abcdef1234_report.csv"), "mine", told);
    old(&lost.join("abcdef9999_report.csv"), "mine, older", told);
    fs::write(lost.join("ab12_notes.txt"), "of nobody knows where").unwrap();
    fs::create_dir(root.path().join("data")).unwrap();
    fs::write(root.path().join("data/report.csv"), "theirs").unwrap();
    let root_of_conflicts = root.path().to_owned();
    let files = S3Files::start(root, &["--show-conflicts"]).await;

    let (_, listing) = files.request("PROPFIND", "/", &[("Depth", "1")], "").await;
    assert!(listing.contains("<D:href>/Conflicts/</D:href>") && !listing.contains("lost+found"), "{listing}");
    let (_, listing) = files.request("PROPFIND", "/Conflicts/", &[("Depth", "1")], "").await;
    let hrefs: Vec<_> = listing.split("<D:href>").skip(1).filter_map(|part| part.split('<').next()).collect();
    assert_eq!(hrefs, ["/Conflicts/", "/Conflicts/data/", "/Conflicts/notes%20%28ab12%29.txt"]);
    let listing = files.properties("/Conflicts/data/", "1").await;
    assert!(listing.contains("/Conflicts/data/report%20%28abcdef9999%29.csv"), "{listing}");
    assert!(listing.contains(">/data/report.csv</o:original-path>"), "{listing}");
    let mine = "/Conflicts/data/report%20%28abcdef1234%29.csv";
    assert_eq!(files.request("GET", mine, &[], "").await, (200, "mine".to_owned()));

    // Whatever somebody else makes of that name stays unseen.
    fs::create_dir(root_of_conflicts.join("Conflicts")).unwrap();
    fs::write(root_of_conflicts.join("Conflicts/real"), "theirs").unwrap();
    assert_eq!(files.request("GET", "/Conflicts/real", &[], "").await.0, 404);

    // Nothing changes there, whatever is tried.
    let destination = format!("{}/x", files.gateway.url);
    for (method, path) in [
        ("PUT", mine),
        ("PUT", "/Conflicts/new"),
        ("DELETE", mine),
        ("DELETE", "/Conflicts/"),
        ("MOVE", mine),
        ("MOVE", "/Conflicts/"),
        ("COPY", "/Conflicts/data/"),
        ("MKCOL", "/Conflicts/new"),
    ] {
        let (status, answer) = files.request(method, path, &[("Destination", &destination)], "").await;
        assert_eq!(status, 403, "{method} {path}: {answer}");
    }
    let patch = xml::set("<x xmlns=\"urn:x\">1</x>");
    assert_eq!(files.request("PROPPATCH", mine, &[], &patch).await.0, 403);
    assert_eq!(fs::read_dir(files.root.path().join(LOST)).unwrap().count(), 3);
    // The way back.
    let original = format!("{}/data/report.csv", files.gateway.url);
    let back = [("Destination", original.as_str()), ("Overwrite", "T")];
    assert_eq!(files.request("COPY", mine, &back, "").await.0, 204);
    assert_eq!(fs::read_to_string(files.root.path().join("data/report.csv")).unwrap(), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_is_not_shown_unless_it_is_asked_for() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join(LOST)).unwrap();
    fs::write(root.path().join(LOST).join("ab12_x"), "1").unwrap();
    let files = S3Files::start(root, &[]).await;
    let (_, listing) = files.request("PROPFIND", "/", &[("Depth", "1")], "").await;
    assert_eq!(listing.matches("<D:href>").count(), 1, "{listing}");
    assert_eq!(files.request("GET", "/Conflicts/x%20%28ab12%29", &[], "").await.0, 404);
    // A directory of another kind tells nothing, and says so.
    let (code, _, error) = files.status("").await;
    assert!(code == 1 && error.contains("not a mount of Amazon S3 Files"), "{error}");
    let answer = files.properties("/", "0").await;
    assert!(answer.contains("404 Not Found") && !answer.contains("o:export"), "{answer}");
    assert!(!files.metrics().await.contains("s3dav_exports{"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_called_so_already_stays_in_sight() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("Conflicts/own")).unwrap();
    fs::create_dir(root.path().join(LOST)).unwrap();
    fs::write(root.path().join(LOST).join("ab12_x"), "1").unwrap();
    let files = S3Files::start(root, &["--show-conflicts"]).await;
    let (_, listing) = files.request("PROPFIND", "/", &[("Depth", "1")], "").await;
    assert!(
        listing.contains("/Conflicts/<") && listing.contains("/Conflicts%20of%20S3%20Files/<"),
        "{listing}"
    );
    assert_eq!(files.request("PUT", "/Conflicts/own/x", &[], "1").await.0, 201);
    let shown = "/Conflicts%20of%20S3%20Files/x%20%28ab12%29";
    assert_eq!(files.request("GET", shown, &[], "").await, (200, "1".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_has_no_conflicts_of_s3_files() {
    let (code, _, error) = outcome(command(&["serve", "--bucket", "b", "--show-conflicts"])).await;
    assert!(code == 2 && error.contains("--path"), "{code} {error}");
}

/// A test is over long before.
const SECONDS: u64 = 900;
