//! Folders that are moved, copied or deleted while something in them is under way, by clients who are told
//! of each failure.

use s3dav::embedded::{Action, Gate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::harness::raw::{read_answer, status};
use crate::harness::{TestGateway, eventually};

/// A PUT of which the body does not come yet, though the gateway waits for it.
async fn begin_put(gateway: &TestGateway, path: &str, size: usize) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// Sends the whole body; returns the status.
async fn end_put(mut put: TcpStream, body: &[u8]) -> u16 {
    put.write_all(body).await.unwrap();
    status(&read_answer(&mut put).await)
}

/// A request that waits for S3, which has not begun with it.
async fn held(gateway: &TestGateway, operation: &str, method: &str, path: &str, to: &str) -> (Gate, Waiting) {
    let gate = Gate::default();
    gateway.hooks().next(1, operation, Action::HoldFirst(gate.clone()));
    let to = format!("{}{to}", gateway.url);
    let waiting = tokio::spawn(gateway.request(method, path).header("Destination", to).send());
    gate.reached().await;
    (gate, waiting)
}

type Waiting = JoinHandle<reqwest::Result<reqwest::Response>>;

async fn status_of(waiting: Waiting) -> u16 {
    waiting.await.unwrap().unwrap().status().as_u16()
}

async fn with_files(keys: &[&str]) -> TestGateway {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for key in keys {
        bucket.put(key, key).await;
    }
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_being_deleted_does_not_come_back_in_a_moved_folder() {
    let gateway = with_files(&["q/f1", "q/f2"]).await;
    let (gate, deleting) = held(&gateway, "DeleteObject", "DELETE", "/q/f2", "").await;
    let moved = gateway.transfer("MOVE", "/q", "/q-n").await;
    assert_eq!(gateway.status("DELETE", "/q").await, 423);
    gate.open();
    assert_eq!((moved, status_of(deleting).await), (423, 204));
    assert_eq!(gateway.transfer("MOVE", "/q", "/q-n").await, 201);
    assert_eq!(gateway.bucket().await.keys().await, ["q-n/f1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_being_moved_is_in_one_place_when_its_folder_is_moved() {
    let gateway = with_files(&["q/f1", "q/f2"]).await;
    let (gate, moving) = held(&gateway, "CopyObject", "MOVE", "/q/f1", "/out1").await;
    let moved = gateway.transfer("MOVE", "/q", "/q-n").await;
    gate.open();
    assert_eq!((moved, status_of(moving).await), (423, 201));
    // Its destination is a place that no folder takes, either.
    let (gate, moving) = held(&gateway, "CopyObject", "MOVE", "/out1", "/q/back").await;
    let moved = gateway.transfer("MOVE", "/q", "/q-n").await;
    assert_eq!(gateway.transfer("COPY", "/q", "/q-copy").await, 201, "what is there is read");
    gate.open();
    assert_eq!((moved, status_of(moving).await), (423, 201));
    assert_eq!(gateway.bucket().await.keys().await, ["q-copy/f2", "q/back", "q/f2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_stays_while_a_file_is_written_in_it() {
    // A new file and one that is replaced, in one piece and in parts.
    for (name, size) in [("new", 100), ("f1", 100), ("new", 20 << 20), ("f1", 20 << 20)] {
        let gateway = with_files(&["a/f1", "b/f2"]).await;
        let bucket = gateway.bucket().await;
        let body = vec![b'x'; size];
        let mut put = begin_put(&gateway, &format!("/a/{name}"), size).await;
        if size > 100 {
            put.write_all(&body[..size - 100]).await.unwrap();
            eventually("it goes on in parts", || async { gateway.hooks().count("UploadPart") > 0 }).await;
        }
        assert_eq!(gateway.transfer("MOVE", "/a", "/c").await, 423, "{name}");
        assert_eq!(gateway.status("DELETE", "/a").await, 423, "{name}");
        assert_eq!(gateway.transfer("MOVE", "/b", "/a").await, 423, "it would be replaced");
        assert_eq!(gateway.transfer("MOVE", "/b", "/a2").await, 201, "this is another one");
        assert_eq!(gateway.put("/a/other", "content").await, 201, "files are in nobody's way");
        let status = end_put(put, &body[size - body.len().min(100)..]).await;
        assert_eq!(status, if name == "new" { 201 } else { 204 });
        assert_eq!(gateway.transfer("MOVE", "/a", "/c").await, 201);
        assert!(bucket.get(&format!("c/{name}")).await.unwrap() == body);
        assert!(bucket.keys().await.iter().all(|key| !key.starts_with("a/")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_its_folder_free() {
    let gateway = with_files(&["a/f1"]).await;
    let put = begin_put(&gateway, "/a/f1", 100).await;
    assert_eq!(gateway.transfer("MOVE", "/a", "/b").await, 423);
    drop(put);
    eventually("it is moved", || async { gateway.transfer("MOVE", "/a", "/b").await == 201 }).await;
    assert_eq!(gateway.bucket().await.keys().await, ["b/f1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_does_not_hide_beside_the_folder_that_took_its_name() {
    for gateway in TestGateway::both().await {
        let bucket = gateway.bucket().await;
        let put = begin_put(&gateway, "/n", 100).await;
        assert_eq!(gateway.put("/n", "short").await, 201);
        assert_eq!(gateway.status("DELETE", "/n").await, 204);
        assert_eq!(gateway.status("MKCOL", "/n").await, 201);
        assert_eq!(gateway.put("/n/child", "content").await, 201);
        assert_eq!(end_put(put, &[b'x'; 100]).await, 405);
        let mut keys = bucket.keys().await;
        keys.retain(|key| key != "n/");
        assert_eq!(keys, ["n/child"]);
        assert_eq!(gateway.status("DELETE", "/n").await, 204);
        assert!(bucket.is_empty().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_file_and_a_folder_that_are_made_at_once_one_is_refused() {
    let gateway = TestGateway::start().await;
    let (gate, making) = held(&gateway, "PutObject", "MKCOL", "/n", "").await;
    let put = gateway.put("/n", "content").await;
    gate.open();
    assert_eq!((put, status_of(making).await), (423, 201));
    let (gate, putting) = held(&gateway, "PutObject", "PUT", "/m", "").await;
    let made = gateway.status("MKCOL", "/m").await;
    gate.open();
    assert_eq!((made, status_of(putting).await), (423, 201));
    assert_eq!(gateway.bucket().await.keys().await, ["m", "n/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_of_a_copy_stays_until_it_is_copied() {
    let gateway = with_files(&["a/f1", "a/f2"]).await;
    let (gate, copying) = held(&gateway, "CopyObject", "COPY", "/a", "/b").await;
    assert_eq!(gateway.transfer("MOVE", "/a", "/c").await, 423);
    assert_eq!(gateway.status("DELETE", "/a").await, 423);
    assert_eq!(gateway.transfer("COPY", "/a", "/d").await, 201, "it is read twice");
    assert_eq!(gateway.put("/a/f3", "content").await, 201, "and written to");
    gate.open();
    assert_eq!(status_of(copying).await, 201);
    assert_eq!(gateway.transfer("MOVE", "/a", "/c").await, 201);
    let keys = gateway.bucket().await.keys().await;
    assert_eq!(keys, ["b/f1", "b/f2", "c/f1", "c/f2", "c/f3", "d/f1", "d/f2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_directory_what_is_under_way_is_told_that_its_folder_has_gone() {
    let gateway = TestGateway::on_a_path().await;
    let bucket = gateway.bucket().await;
    for name in ["new", "f1"] {
        bucket.put("a/f1", "old").await;
        let put = begin_put(&gateway, &format!("/a/{name}"), 100).await;
        assert_eq!(gateway.transfer("MOVE", "/a", "/b").await, 201, "a rename");
        assert_eq!(end_put(put, &[b'x'; 100]).await, 409);
        assert_eq!(bucket.keys().await, ["b/f1"], "it is not made again");
        assert_eq!(bucket.get("b/f1").await.unwrap(), "old");
        assert_eq!(gateway.status("DELETE", "/b").await, 204);
    }
}
