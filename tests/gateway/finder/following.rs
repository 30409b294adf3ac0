//! Properties and Finder's own files follow what they belong to, also where the gateway is killed in the middle.

use std::sync::Arc;

use s3dav::embedded::{Action, EmbeddedS3, Gate, Rule};
use tempfile::TempDir;

use super::client::Finder;
use crate::harness::process::{Process, command};
use crate::harness::{TestGateway, buckets, client, embedded, xml};

async fn tag(mac: &Finder, path: &str) {
    let patch = xml::set(&format!("<c xmlns=\"urn:t\">color of {path}</c>"));
    let answer = mac.request("PROPPATCH", path).body(patch).send().await.unwrap();
    assert_eq!(answer.status(), 207, "{path}");
    assert_eq!(mac.status("PUT", &beside(path)).await, 201, "{path}");
    let token = mac.lock(&beside(path)).await;
    assert_eq!(mac.put(&beside(path), &token, format!("tags of {path}")).await, 204, "{path}");
    assert_eq!(mac.unlock(&beside(path), &token).await, 204, "{path}");
}

fn beside(path: &str) -> String {
    let (folder, name) = path.trim_end_matches('/').rsplit_once('/').unwrap();
    format!("{folder}/._{name}")
}

/// Whose property and tags are at `path`.
async fn tags(mac: &Finder, path: &str) -> (Option<String>, Option<String>) {
    let asked = xml::propfind("<c xmlns=\"urn:t\"/>");
    let answer = mac.propfind(path, "0", &asked).send().await.unwrap();
    assert_eq!(answer.status(), 207, "{path}");
    let text = answer.text().await.unwrap();
    let found = text.split("color of ").nth(1).and_then(|rest| Some(rest.split_once('<')?.0.to_owned()));
    let (status, content) = mac.get(&beside(path)).await;
    let content = String::from_utf8(content.to_vec()).unwrap();
    (found, (status == 200).then(|| content.trim_start_matches("tags of ").to_owned()))
}

/// Both are those that `of` had.
async fn assert_tags(mac: &Finder, path: &str, of: &str) {
    let expected = (Some(of.to_owned()), Some(of.to_owned()));
    assert_eq!(tags(mac, path).await, expected, "{path}");
}

async fn assert_no_tags(mac: &Finder, path: &str) {
    assert_eq!(tags(mac, path).await, (None, None), "{path}");
}

struct Life {
    s3: Arc<EmbeddedS3>,
    state: TempDir,
}

impl Life {
    async fn new() -> Self {
        Self { s3: embedded().await, state: tempfile::tempdir().unwrap() }
    }

    async fn begin(&self) -> (Process, Finder) {
        let gateway = Process::gateway(&self.s3.endpoint_url(), &self.state, OPTIONS).await;
        let mac = Finder::at(&gateway.url);
        (gateway, mac)
    }

    /// Sends a request, and kills the gateway when S3 has carried out `operation` and has not answered.
    async fn cut(&self, operation: &str, target: &str, method: &str, from: &str, to: &str) {
        let (mut gateway, mac) = self.begin().await;
        let gate = Gate::default();
        self.s3.hooks().add(Rule {
            operation: Some(operation.to_owned()),
            target: Some(target.to_owned()),
            times: 1,
            action: Action::Hold(gate.clone()),
        });
        let request = mac.request(method, from).header("Destination", format!("{}{to}", mac.url));
        let asked = tokio::spawn(request.send());
        gate.reached().await;
        gateway.child.kill().await.unwrap();
        let _ = asked.await;
        gate.open();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_moved_has_its_tags_after_a_crash() {
    let life = Life::new().await;
    let (mut gateway, mac) = life.begin().await;
    for path in ["/plain", "/old", "/caf%C3%A9"] {
        assert_eq!(client().put(format!("{}{path}", mac.url)).body("x").send().await.unwrap().status(), 201);
        tag(&mac, path).await;
    }
    assert_eq!(client().put(format!("{}/bare", mac.url)).body("x").send().await.unwrap().status(), 201);
    gateway.child.kill().await.unwrap();
    life.cut("DeleteObject", "/plain", "MOVE", "/plain", "/moved").await;
    let (mut gateway, mac) = life.begin().await;
    assert_tags(&mac, "/moved", "/plain").await;
    gateway.child.kill().await.unwrap();
    life.cut("DeleteObject", "/caf", "MOVE", "/caf%C3%A9", "/moved").await;
    let (mut gateway, mac) = life.begin().await;
    assert_tags(&mac, "/moved", "/caf%C3%A9").await;
    gateway.child.kill().await.unwrap();
    // One that has none replaces one that has: its property goes.
    life.cut("DeleteObject", "/bare", "MOVE", "/bare", "/old").await;
    let (mut gateway, mac) = life.begin().await;
    assert_eq!(tags(&mac, "/old").await.0, None);
    gateway.child.kill().await.unwrap();
    // Nothing was moved: it stays where it is.
    life.cut("CopyObject", "/stays", "MOVE", "/moved", "/stays").await;
    let (mut gateway, mac) = life.begin().await;
    assert_tags(&mac, "/moved", "/caf%C3%A9").await;
    gateway.child.kill().await.unwrap();
}

/// A folder `/d` with tags, and files in it.
async fn make_folder(mac: &Finder) {
    assert_eq!(mac.status("MKCOL", "/d").await, 201);
    assert_eq!(mac.status("MKCOL", "/d/sub").await, 201);
    for path in ["/d/a", "/d/b", "/d/sub/c"] {
        assert_eq!(client().put(format!("{}{path}", mac.url)).body("x").send().await.unwrap().status(), 201);
    }
    for path in ["/d/a", "/d/b", "/d/sub/c", "/d", "/d/sub"] {
        tag(mac, path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_moved_has_its_tags_after_a_crash() {
    let life = Life::new().await;
    let (mut gateway, mac) = life.begin().await;
    make_folder(&mac).await;
    gateway.child.kill().await.unwrap();
    life.cut("DeleteObjects", "", "MOVE", "/d", "/e").await;
    for _ in 0..2 {
        let (mut gateway, mac) = life.begin().await;
        for name in ["", "/a", "/b", "/sub", "/sub/c"] {
            assert_tags(&mac, &format!("/e{name}"), &format!("/d{name}")).await;
        }
        gateway.child.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_leaves_no_tags_after_a_crash() {
    let life = Life::new().await;
    let (mut gateway, mac) = life.begin().await;
    make_folder(&mac).await;
    gateway.child.kill().await.unwrap();
    life.cut("DeleteObject", "/d/b", "DELETE", "/d/b", "").await;
    life.cut("DeleteObjects", "", "DELETE", "/d", "").await;
    let (mut gateway, mac) = life.begin().await;
    assert_eq!(mac.look("/d").await, 404);
    assert_eq!(mac.status("MKCOL", "/d").await, 201);
    for path in ["/d/a", "/d/b"] {
        assert_eq!(client().put(format!("{}{path}", mac.url)).body("x").send().await.unwrap().status(), 201);
        assert_no_tags(&mac, path).await;
    }
    gateway.child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_did_move_of_a_folder_has_its_tags_at_once() {
    let gateway = TestGateway::start_with(|config| buckets(config).trusts_conditions = true).await;
    let mac = Finder::of(&gateway);
    make_folder(&mac).await;
    let fail = |operation: &str, target: &str, status, code| {
        gateway.hooks().add(Rule {
            operation: Some(operation.to_owned()),
            target: Some(target.to_owned()),
            times: usize::MAX,
            action: Action::Fail { status, code, message: "" },
        });
    };
    // One by one, and one of them may not be deleted.
    fail("DeleteObjects", "", 501, "NotImplemented");
    fail("DeleteObject", "/d/b", 403, "AccessDenied");
    assert!(mac.rename("/d", "/e").await >= 400);
    for name in ["/a", "/sub", "/sub/c"] {
        assert_tags(&mac, &format!("/e{name}"), &format!("/d{name}")).await;
    }
    for path in ["/d", "/d/b"] {
        assert_tags(&mac, path, path).await;
    }
    assert_no_tags(&mac, "/e/b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_moved_on_a_disk_has_its_tags_after_a_crash() {
    let (directory, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let begin = || async {
        let mut serve = command(&["serve", "--listen", "127.0.0.1:0", "--auth", "none"]);
        serve.arg("--path").arg(directory.path()).arg("--state-dir").arg(state.path().join("state"));
        Process::serving(serve).await
    };
    let mut gateway = begin().await;
    let mac = Finder::at(&gateway.url);
    make_folder(&mac).await;
    gateway.child.kill().await.unwrap();
    // As it is on disk when the gateway ends between the rename and what follows.
    {
        let state = s3dav::state::State::open(&state.path().join("state"), "test").await.unwrap();
        use s3dav::state::Kept;
        for (kept, from, to) in [(Kept::Properties, "d/", "e/"), (Kept::Shelf, "/d", "/e")] {
            assert!(state.begin_transfer(kept, from, Some(to), true).await.is_some());
        }
    }
    std::fs::rename(directory.path().join("d"), directory.path().join("e")).unwrap();
    let mut gateway = begin().await;
    let mac = Finder::at(&gateway.url);
    for name in ["", "/a", "/b", "/sub", "/sub/c"] {
        assert_tags(&mac, &format!("/e{name}"), &format!("/d{name}")).await;
    }
    gateway.child.kill().await.unwrap();
}

/// The hooks count on the first request of a kind to be about the file that is meant.
const OPTIONS: &[&str] = &["--auth", "none", "--conditional-writes", "yes"];
