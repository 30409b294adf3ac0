//! What is saved is stored, or the program is told: close(2) tells it nothing.

use std::time::Duration;

use s3dav::embedded::{Action, Gate, Rule};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{AGENT, Finder};
use crate::harness::process::Process;
use crate::harness::raw::read_answer;
use crate::harness::{TestGateway, buckets, eventually};

const DENIED: Action = Action::Fail { status: 403, code: "AccessDenied", message: "" };

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_not_replaced_by_what_could_not_be_stored() {
    let gateway = TestGateway::start().await;
    gateway.put("/document", "old").await;
    let finder = Finder::of(&gateway);
    finder.status("MKCOL", "/.sb-1").await;
    // As a program saves: to a temporary file, which then takes the document's place.
    assert_eq!(finder.status("PUT", "/.sb-1/document").await, 201);
    let token = finder.lock("/.sb-1/document").await;
    gateway.hooks().add(Rule {
        operation: Some("PutObject".into()),
        target: Some("/.sb-1/document".into()),
        times: 1,
        action: DENIED,
    });
    assert_eq!(finder.put("/.sb-1/document", &token, "new").await, 403);
    assert_eq!(finder.unlock("/.sb-1/document", &token).await, 204);
    assert_eq!(finder.rename("/.sb-1/document", "/document").await, 424);
    assert_eq!(finder.rename("/.sb-1", "/elsewhere").await, 424, "nor with its folder");
    assert_eq!(gateway.get("/document").await.1, "old");
    assert_eq!(gateway.transfer("COPY", "/.sb-1/document", "/seen").await, 201, "others know what they do");
    // It is saved again, and that is stored.
    let token = finder.lock("/.sb-1/document").await;
    assert_eq!(finder.put("/.sb-1/document", &token, "new").await, 204);
    assert_eq!(finder.unlock("/.sb-1/document", &token).await, 204);
    assert_eq!(finder.rename("/.sb-1/document", "/document").await, 204);
    assert_eq!(gateway.get("/document").await.1, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_can_be_deleted_and_made_anew() {
    let gateway = TestGateway::start().await;
    let finder = Finder::of(&gateway);
    finder.status("MKCOL", "/d").await;
    for gone in ["/d/file", "/d/"] {
        finder.status("MKCOL", "/d").await;
        assert_eq!(finder.status("PUT", "/d/file").await, 201);
        let token = finder.lock("/d/file").await;
        gateway.hooks().next(1, "PutObject", DENIED);
        assert_eq!(finder.put("/d/file", &token, "content").await, 403);
        gateway.hooks().heal();
        assert_eq!(finder.rename("/d/file", "/moved").await, 424);
        assert_eq!(finder.status("DELETE", gone).await, 204);
        finder.status("MKCOL", "/d").await;
        gateway.put("/d/file", "by another").await;
        assert_eq!(finder.rename("/d/file", "/moved").await, if gone == "/d/" { 204 } else { 201 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_moved_while_its_content_comes() {
    let gateway = TestGateway::start().await;
    let finder = Finder::of(&gateway);
    assert_eq!(finder.status("PUT", "/file").await, 201);
    let token = finder.lock("/file").await;
    let gate = Gate::default();
    gateway.hooks().next(1, "PutObject", Action::Hold(gate.clone()));
    let put = finder.request("PUT", "/file").header("If", format!("(<{token}>)")).body("content").send();
    let put = tokio::spawn(put);
    gate.reached().await;
    assert_eq!(finder.rename("/file", "/moved").await, 424);
    gate.open();
    assert!(put.await.unwrap().unwrap().status().is_success());
    assert_eq!(finder.rename("/file", "/moved").await, 201);
    assert_eq!(gateway.get("/moved").await.1, "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_while_the_file_is_sent() {
    let gateway = TestGateway::start().await;
    let mut copy = TcpStream::connect(gateway.address()).await.unwrap();
    // There is no such folder; on one connection, as a whole mount goes down with one.
    for _ in 0..3 {
        let head = format!(
            "PUT /no/file HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {AGENT}\r\nTransfer-Encoding: chunked\r\n\
             X-Expected-Entity-Length: 83886080\r\n\r\n"
        );
        copy.write_all(head.as_bytes()).await.unwrap();
        let chunk = [b"100000\r\n".as_slice(), &vec![1; 1 << 20], b"\r\n"].concat();
        copy.write_all(&chunk).await.unwrap();
        let answer = read_answer(&mut copy).await;
        assert!(answer.starts_with("HTTP/1.1 409") && !answer.contains("connection: close"), "{answer}");
        // It goes on nevertheless until it has seen that.
        for _ in 0..80 {
            copy.write_all(&chunk).await.unwrap();
        }
        copy.write_all(b"0\r\n\r\n").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mac_that_crashed_can_write_again() {
    let gateway = TestGateway::start().await;
    let finder = Finder::of(&gateway);
    finder.create("/document", "old").await;
    let lost = finder.lock("/document").await;
    // Mounted again: it knows nothing of that lock, and takes one.
    let token = finder.lock("/document").await;
    assert_ne!(token, lost);
    assert_eq!(finder.put("/document", &token, "new").await, 204);
    let other = gateway.request("LOCK", "/document").body(super::client::LOCK);
    assert_eq!(other.send().await.unwrap().status(), 423, "others wait");
    assert_eq!(finder.unlock("/document", &lost).await, 204);
    assert_eq!(gateway.put("/document", "theirs").await, 423, "it is locked still");
    assert_eq!(finder.unlock("/document", &token).await, 204);
    assert_eq!(gateway.put("/document", "theirs").await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_being_moved_is_left_alone() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for n in 0..20 {
        bucket.put(&format!("a/{n}"), "content").await;
    }
    let finder = Finder::of(&gateway);
    let gate = Gate::default();
    gateway.hooks().next(1, "CopyObject", Action::Hold(gate.clone()));
    let to = format!("{}/b", gateway.url);
    let moving = tokio::spawn(finder.request("MOVE", "/a").header("Destination", to).send());
    gate.reached().await;
    eventually("some of it is there", || async { finder.look("/b/1").await == 207 }).await;
    // It takes long, and what is half there looks like something to be cleaned up.
    for path in ["/b/", "/b/1", "/a/", "/a/1"] {
        assert_eq!(finder.status("DELETE", path).await, 423, "{path}");
    }
    assert_eq!(finder.rename("/b", "/c").await, 423);
    assert_eq!(finder.rename("/a", "/b").await, 423, "not a second time");
    assert_eq!(finder.status("MKCOL", "/b/new").await, 423);
    assert_eq!(gateway.put("/a/new", "content").await, 423);
    assert_eq!(gateway.put("/elsewhere", "content").await, 201);
    assert_eq!(gateway.transfer("COPY", "/elsewhere", "/b/too").await, 423);
    gate.open();
    assert_eq!(moving.await.unwrap().unwrap().status(), 201);
    assert_eq!(bucket.keys().await.iter().filter(|key| key.starts_with("b/")).count(), 20);
    assert_eq!(finder.status("DELETE", "/b/1").await, 204);
}

/// The date of a folder as the client asks for it.
async fn date(finder: &Finder, path: &str) -> String {
    let answer = finder.propfind(path, "0", super::client::STAT).send().await.unwrap();
    assert_eq!(answer.status(), 207, "{path}");
    let text = answer.text().await.unwrap();
    text.split("getlastmodified>").nth(1).unwrap().split('<').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_answered_is_asked_for_again() {
    let gateway =
        TestGateway::start_with(|config| config.service.request_budget = Some(Duration::from_millis(100)))
            .await;
    gateway.bucket().await.put("caf\u{e9}/file", "content").await;
    let finder = Finder::of(&gateway);
    // The client's own spelling is another than the key's.
    let folder = "/cafe%CC%81/";
    let before = date(&finder, folder).await;
    gateway.hooks().always(Action::Fail { status: 503, code: "SlowDown", message: "" });
    // Taken for an absence, until the folder's date is another one.
    assert_eq!(finder.look(&format!("{folder}file")).await, 503);
    let between = date(&finder, folder).await;
    assert_eq!(finder.look(&format!("{folder}file")).await, 503);
    gateway.hooks().heal();
    let after = date(&finder, folder).await;
    assert!(before != between && between != after && before != after, "{before} {between} {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_file_of_others_sees_it_come() {
    let gateway = TestGateway::start_with(|config| {
        buckets(config).cache.times.metadata = Duration::from_millis(100);
    })
    .await;
    let bucket = gateway.bucket().await;
    bucket.put("caf\u{e9}/other", "content").await;
    let finder = Finder::of(&gateway);
    // Looked for in vain: from now on the client asks for the folder's date only.
    assert_eq!(finder.look("/cafe%CC%81/done").await, 404);
    bucket.put("caf\u{e9}/done", "content").await;
    let folder = "/cafe%CC%81/";
    let first = date(&finder, folder).await;
    bucket.put("caf\u{e9}/later", "content").await;
    eventually("the date is another one", || async { date(&finder, folder).await != first }).await;
    let later = date(&finder, folder).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(date(&finder, folder).await, later, "nothing has changed since");
    let (s3, state) = gateway.stop().await;
    let gateway = TestGateway::start_on(s3, state, |_| {}).await;
    let finder = Finder::of(&gateway);
    assert_eq!(finder.look("/cafe%CC%81/nothing").await, 404);
    date(&finder, "/cafe%CC%81/").await;
    gateway.hooks().reset();
    for _ in 0..50 {
        date(&finder, "/cafe%CC%81/").await;
    }
    assert_eq!(gateway.hooks().total(), 0, "one look for many questions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_died_knows_what_has_no_content() {
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let s3 = Process::embedded_s3(&data).await;
    let mut gateway = Process::gateway(&s3.url, &state, &[]).await;
    let finder = Finder::at(&gateway.url);
    finder.create("/document", "old").await;
    assert_eq!(finder.status("PUT", "/saved").await, 201);
    let token = finder.lock("/saved").await;
    // While the content is sent.
    gateway.child.kill().await.unwrap();
    let gateway = Process::gateway(&s3.url, &state, &[]).await;
    let finder = Finder::at(&gateway.url);
    assert_eq!(finder.rename("/saved", "/document").await, 424);
    assert_eq!(finder.get("/document").await.1, "old");
    assert_eq!(finder.put("/saved", &token, "new").await, 204);
    assert_eq!(finder.rename("/saved", "/document").await, 204);
    assert_eq!(finder.get("/document").await.1, "new");
}
