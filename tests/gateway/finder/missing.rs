//! A document is never replaced by a file whose content is missing, whatever becomes of the gateway between the
//! save and the rename.

use std::sync::Arc;
use std::time::Duration;

use s3dav::embedded::{Action, EmbeddedS3, Gate, Rule};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{AGENT, Finder, LOCK};
use crate::harness::process::{Process, command};
use crate::harness::{BUCKET, Behind, Bucket, TestGateway, embedded, eventually};

/// How far a save came.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// The file is made and open, and nothing was sent.
    Open,
    /// Half of its content was sent.
    Half,
    /// The connection was lost in the middle of it.
    Cut,
    /// The same, and the program has closed the file.
    Closed,
}

/// How the gateway ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Stopped,
    Killed,
}

/// A source, and the state of its gateways.
struct Life {
    behind: Behind,
    state: TempDir,
}

impl Life {
    async fn both() -> [Self; 2] {
        let directory = Behind::Directory(Arc::new(tempfile::tempdir().unwrap()));
        [Behind::S3(embedded().await), directory]
            .map(|behind| Self { behind, state: tempfile::tempdir().unwrap() })
    }

    async fn begin(&self) -> Process {
        match &self.behind {
            Behind::S3(s3) => Process::gateway(&s3.endpoint_url(), &self.state, OPTIONS).await,
            Behind::Directory(directory) => {
                let mut serve = command(&["serve", "--listen", "127.0.0.1:0"]);
                serve.args(OPTIONS);
                serve.arg("--path").arg(directory.path());
                serve.arg("--state-dir").arg(self.state.path().join("state"));
                Process::serving(serve).await
            }
            Behind::Elsewhere(_) => panic!("it is not the embedded server"),
        }
    }
}

async fn end(mut gateway: Process, ending: Ending) {
    match ending {
        Ending::Killed => gateway.child.kill().await.unwrap(),
        Ending::Stopped => {
            gateway.signal("TERM").await;
            gateway.child.wait().await.unwrap();
        }
    }
}

/// Sends half of a content; the connection stays open.
async fn send_half(mac: &Finder, path: &str, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(mac.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {AGENT}\r\nIf: (<{token}>)\r\n\
         Transfer-Encoding: chunked\r\nX-Expected-Entity-Length: 20\r\nExpect: 100-continue\r\n\r\n\
         a\r\n0123456789\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Whoever is told to go on is being listened to.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    // It is under way, and keeps the file from being moved; a document is there, and not replaced.
    let to = format!("{}/document", mac.url);
    let move_it = || mac.request("MOVE", path).header("Overwrite", "F").header("Destination", &to).send();
    eventually("the content is on its way", || async { move_it().await.unwrap().status() == 424 }).await;
    stream
}

/// A program saves to another name as far as `stage`, the gateway ends and begins anew, and the program goes on.
async fn is_kept_from_moving(life: &Life, stage: Stage, ending: Ending) {
    let case = format!("{stage:?}, {ending:?}");
    let gateway = life.begin().await;
    let mac = Finder::at(&gateway.url);
    assert!(mac.status("DELETE", "/document").await < 500, "{case}");
    mac.create("/document", "the document").await;
    assert_eq!(mac.status("PUT", "/saved").await, 201, "{case}");
    let token = mac.lock("/saved").await;
    let sending = match stage {
        Stage::Open => None,
        _ => Some(send_half(&mac, "/saved", &token).await),
    };
    let sending = sending.filter(|_| stage == Stage::Half);
    if stage == Stage::Closed {
        assert_eq!(mac.unlock("/saved", &token).await, 204, "{case}");
    }
    end(gateway, ending).await;
    drop(sending);
    // One more time: what is known must not be lost by being read.
    end(life.begin().await, Ending::Killed).await;
    let gateway = life.begin().await;
    let mac = Finder::at(&gateway.url);
    if stage != Stage::Closed {
        mac.unlock("/saved", &token).await;
    }
    assert_eq!(mac.rename("/saved", "/document").await, 424, "{case}");
    assert_eq!(mac.get("/document").await, (200, "the document".into()), "{case}");
    let token = mac.lock("/saved").await;
    assert!(matches!(mac.put("/saved", &token, "the new one").await, 201 | 204), "{case}");
    assert_eq!(mac.unlock("/saved", &token).await, 204, "{case}");
    assert_eq!(mac.rename("/saved", "/document").await, 204, "{case}");
    assert_eq!(mac.get("/document").await, (200, "the new one".into()), "{case}");
    end(gateway, Ending::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_outlives_a_save_and_the_gateway() {
    for life in Life::both().await {
        for stage in [Stage::Open, Stage::Half, Stage::Cut, Stage::Closed] {
            for ending in [Ending::Stopped, Ending::Killed] {
                is_kept_from_moving(&life, stage, ending).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_empty_can_be_moved_after_a_restart() {
    for life in Life::both().await {
        let gateway = life.begin().await;
        let mac = Finder::at(&gateway.url);
        for path in ["/touched", "/opened"] {
            assert_eq!(mac.status("PUT", path).await, 201);
        }
        let token = mac.lock("/opened").await;
        assert_eq!(mac.unlock("/opened", &token).await, 204);
        end(gateway, Ending::Stopped).await;
        let gateway = life.begin().await;
        let mac = Finder::at(&gateway.url);
        for path in ["/touched", "/opened"] {
            assert_eq!(mac.rename(path, &format!("{path}-and-moved")).await, 201, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_incomplete_where_the_rest_of_a_cut_upload_is_sent() {
    for gateway in TestGateway::both().await {
        let mac = Finder::of(&gateway);
        gateway.put("/document", "the document").await;
        assert_eq!(mac.status("PUT", "/saved").await, 201);
        let token = mac.lock("/saved").await;
        drop(send_half(&mac, "/saved", &token).await);
        // What macOS sends after a reset: what is left of it, announced as the whole.
        let send = |content: &'static [u8]| {
            let body = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, String>(content)]));
            let request = mac.request("PUT", "/saved").header("If", format!("(<{token}>)"));
            request.header("X-Expected-Entity-Length", "20").body(body).send()
        };
        assert!(send(b"0123456789").await.unwrap().status().is_success());
        assert_eq!(mac.rename("/saved", "/moved").await, 424);
        assert_eq!(mac.get("/saved").await.1, "0123456789", "what came is there");
        assert!(send(b"01234567890123456789").await.unwrap().status().is_success());
        assert_eq!(mac.rename("/saved", "/moved").await, 201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_since_is_moved() {
    for gateway in [TestGateway::forgetful().await, TestGateway::on_a_path().await] {
        let mac = Finder::of(&gateway);
        gateway.put("/document", "the document").await;
        for (how, moved) in [("others write it", 201), ("others delete it", 404)] {
            assert_eq!(mac.status("PUT", "/saved").await, 201, "{how}");
            let token = mac.lock("/saved").await;
            drop(send_half(&mac, "/saved", &token).await);
            assert_eq!(mac.unlock("/saved", &token).await, 204, "{how}");
            assert_eq!(mac.rename("/saved", "/moved").await, 424, "{how}");
            // S3's dates have whole seconds.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            behind(&gateway, (how == "others write it").then_some("theirs")).await;
            let answer = || async { mac.rename("/saved", "/moved").await == moved };
            eventually("it is seen what others did", answer).await;
        }
    }
}

/// Another program writes `/saved`, or deletes it, not through the gateway.
async fn behind(gateway: &TestGateway, content: Option<&str>) {
    if gateway.is_bucket() {
        let bucket = gateway.bucket().await;
        match content {
            Some(content) => bucket.put("saved", content).await,
            None => bucket.delete("saved").await,
        }
    } else {
        let path = gateway.directory().join("saved");
        match content {
            Some(content) => std::fs::write(path, content).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_missing_where_others_move_it() {
    for gateway in TestGateway::both().await {
        let mac = Finder::of(&gateway);
        mac.status("MKCOL", "/d").await;
        gateway.put("/document", "the document").await;
        assert_eq!(mac.status("PUT", "/d/saved").await, 201);
        let token = mac.lock("/d/saved").await;
        drop(send_half(&mac, "/d/saved", &token).await);
        assert_eq!(mac.unlock("/d/saved", &token).await, 204);
        // What nobody has open any more goes to S3.
        eventually("it is there", || async { gateway.bucket().await.get("d/saved").await.is_some() }).await;
        assert_eq!(gateway.transfer("MOVE", "/d", "/e").await, 201);
        assert_eq!(mac.rename("/e/saved", "/document").await, 424);
        assert_eq!(mac.get("/document").await.1, "the document");
    }
}

/// The connection was down for a moment when the program closed it: macOS has sent neither its content nor its end.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_and_was_never_written_replaces_no_document() {
    for gateway in TestGateway::both().await {
        let mac = Finder::of(&gateway);
        gateway.put("/document", "the document").await;
        assert_eq!(mac.status("PUT", "/saved").await, 201);
        let token = mac.lock("/saved").await;
        assert_eq!(mac.rename("/saved", "/document").await, 424);
        assert_eq!(mac.get("/document").await.1, "the document");
        // Where it replaces nothing it may get another name while it is open.
        assert_eq!(mac.rename("/saved", "/other").await, 201);
        mac.unlock("/saved", &token).await;
        // What a program has made empty and closed is meant so.
        assert_eq!(mac.status("PUT", "/empty").await, 201);
        let token = mac.lock("/empty").await;
        assert_eq!(mac.unlock("/empty", &token).await, 204);
        assert_eq!(mac.rename("/empty", "/document").await, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_no_file_keeps_nothing_from_moving() {
    for gateway in TestGateway::both().await {
        let mac = Finder::of(&gateway);
        mac.status("MKCOL", "/d").await;
        mac.status("MKCOL", "/d/e").await;
        let put = async |path: &str| mac.request("PUT", path).body("content").send().await.unwrap().status();
        assert_eq!(put("/d/e").await, 405, "a folder is there");
        assert_eq!(put("/d/no/file").await, 409, "no folder is there");
        assert_eq!(mac.rename("/d", "/moved").await, 201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_empty_file_is_written_after_a_restart() {
    let s3 = embedded().await;
    s3.hooks().set_opaque_etags(true);
    let state = tempfile::tempdir().unwrap();
    let gateway = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
    let mac = Finder::at(&gateway.url);
    assert_eq!(mac.status("PUT", "/saved").await, 201);
    let token = mac.lock("/saved").await;
    end(gateway, Ending::Stopped).await;
    let gateway = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
    let mac = Finder::at(&gateway.url);
    assert!(matches!(mac.put("/saved", &token, "content").await, 201 | 204));
    assert_eq!(mac.get("/saved").await.1, "content");
    assert_eq!(mac.list("/").await, ["/", "/saved"], "no copy of itself");
    end(gateway, Ending::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_has_of_a_cut_save_is_shown() {
    let s3 = embedded().await;
    let state = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let path = format!("/file-{round}");
        cut_when_stored(&s3, &state, &path).await;
        let gateway = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
        let mac = Finder::at(&gateway.url);
        if round == 0 {
            assert_eq!(mac.get(&path).await, (200, "content".into()));
        }
        if round == 1 {
            assert_eq!(mac.status("DELETE", &path).await, 204);
            assert_eq!(mac.look(&path).await, 404, "a deleted file does not return");
        }
        if round == 2 {
            // The Mac lost its connection, and looks.
            assert_eq!(mac.look(&path).await, 207);
            let token = mac.lock(&path).await;
            assert_eq!(mac.put(&path, &token, "newer").await, 204);
            assert_eq!(mac.get(&path).await, (200, "newer".into()));
        }
        if round == 3 {
            let moved = || async { mac.rename(&path, "/moved").await == 201 };
            eventually("S3 was asked, and has the content", moved).await;
            assert_eq!(mac.get("/moved").await, (200, "content".into()));
        }
        let names = mac.list("/").await;
        assert!(!names.iter().any(|name| name.contains("conflict")), "{names:?}");
        end(gateway, Ending::Killed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_of_a_file_that_was_made_empty_stays() {
    let s3 = embedded().await;
    let bucket = crate::harness::Bucket::of(&s3.endpoint_url(), crate::harness::BUCKET).await;
    let state = tempfile::tempdir().unwrap();
    let gateway = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
    let mac = Finder::at(&gateway.url);
    assert_eq!(mac.status("PUT", "/file").await, 201);
    let token = mac.lock("/file").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    bucket.put("file", "theirs").await;
    end(gateway, Ending::Killed).await;
    let gateway = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
    let mac = Finder::at(&gateway.url);
    assert!(matches!(mac.put("/file", &token, "mine").await, 201 | 204));
    assert_eq!(mac.get("/file").await.1, "theirs");
    assert_eq!(mac.list("/").await.len(), 3, "what lost lies beside");
    end(gateway, Ending::Killed).await;
}

/// A file is made and written; the gateway is killed when S3 has the content and has not answered.
async fn cut_when_stored(s3: &EmbeddedS3, state: &TempDir, path: &str) {
    let gateway = Process::gateway(&s3.endpoint_url(), state, OPTIONS).await;
    let mac = Finder::at(&gateway.url);
    assert_eq!(mac.status("PUT", path).await, 201);
    let token = mac.lock(path).await;
    let gate = Gate::default();
    s3.hooks().add(Rule {
        operation: Some("PutObject".into()),
        target: Some(format!("{path}?")),
        times: 1,
        action: Action::Hold(gate.clone()),
    });
    let writing = mac.request("PUT", path).header("If", format!("(<{token}>)")).body("content").send();
    let writing = tokio::spawn(writing);
    gate.reached().await;
    end(gateway, Ending::Killed).await;
    let _ = writing.await;
    gate.open();
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    let key = path.trim_start_matches('/');
    let is_stored = || async { bucket.get(key).await.is_some_and(|content| content == "content") };
    eventually("S3 has stored it", is_stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_survive_a_crash() {
    for life in Life::both().await {
        let gateway = life.begin().await;
        let mac = Finder::at(&gateway.url);
        mac.create("/file", "content").await;
        let lock = mac.request("LOCK", "/file").header("Timeout", "Second-600").body(LOCK);
        assert!(lock.send().await.unwrap().status().is_success());
        // What is promised.
        tokio::time::sleep(Duration::from_secs(1)).await;
        end(gateway, Ending::Killed).await;
        let gateway = life.begin().await;
        let other = crate::harness::client().put(format!("{}/file", gateway.url)).body("theirs");
        assert_eq!(other.send().await.unwrap().status(), 423);
        end(gateway, Ending::Killed).await;
    }
}

/// An upload that does not go on is not waited for.
const OPTIONS: &[&str] = &["--auth", "none", "--shutdown-timeout", "300ms"];
