//! Ways to a far gateway that break: what was under way is sent anew.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use s3dav::spool::Quota;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::far::{PASSWORD, Pair, TestFar};
use crate::harness::{TestGateway, eventually};

/// A way that carries bytes to the far end, and breaks with all its connections: when it is dropped, or by itself.
struct Line {
    pub address: SocketAddr,
    accepting: AbortHandle,
}

/// When it breaks by itself.
#[derive(Clone, Copy)]
enum Breaks {
    Never,
    /// When so many bytes have gone to the far end.
    After(i64),
    /// When the far end answers anything but the first question, which is whether it is there.
    AtAnAnswer,
}

impl Line {
    async fn start(to: SocketAddr, breaks: Breaks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            let left = Arc::new(AtomicI64::new(match breaks {
                Breaks::After(bytes) => bytes,
                _ => i64::MAX,
            }));
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { return };
                        connections.spawn(carry(stream, to, Arc::clone(&left), breaks));
                    }
                    // A connection that ends in `true` takes all others along, and the way.
                    Some(Ok(true)) = connections.join_next() => return,
                }
            }
        });
        Self { address, accepting: accepting.abort_handle() }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut near: TcpStream, to: SocketAddr, left: Arc<AtomicI64>, breaks: Breaks) -> bool {
    let Ok(mut far) = TcpStream::connect(to).await else { return false };
    let (mut out, mut back, mut answers) = ([0; 65536], [0; 65536], 0);
    loop {
        tokio::select! {
            read = near.read(&mut out) => match read {
                Ok(0) | Err(_) => return false,
                Ok(read) => {
                    if left.fetch_sub(read as i64, Ordering::SeqCst) < read as i64 {
                        return true;
                    }
                    if far.write_all(&out[..read]).await.is_err() {
                        return false;
                    }
                }
            },
            read = far.read(&mut back) => match read {
                Ok(0) | Err(_) => return false,
                Ok(read) => {
                    answers += 1;
                    if answers > 1 && matches!(breaks, Breaks::AtAnAnswer) {
                        return true;
                    }
                    if near.write_all(&back[..read]).await.is_err() {
                        return false;
                    }
                }
            },
        }
    }
}

async fn lead(wire: &TestFar, pair: &Pair, breaks: Breaks) -> Line {
    let line = Line::start(pair.far.address().parse().unwrap(), breaks).await;
    let before = wire.opened();
    wire.lead(line.address);
    eventually("the new way is used", || async { wire.opened() > before }).await;
    line
}

fn content(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + number * 7 + at / 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn saves_across_ways_that_break_are_all_stored() {
    let pair = Pair::new(|_| {}).await;
    let size = |number: usize| 300_000 + number * 100_000;
    let saves: Vec<_> = (0..20)
        .map(|number| {
            let near = pair.near.clone_handle();
            tokio::spawn(async move { near.put(&format!("/{number}"), content(number, size(number))).await })
        })
        .collect();
    let is_saved = || saves.iter().all(|save| save.is_finished());
    let mut broken = 0;
    while !is_saved() && broken < 5 {
        let line = lead(&pair.wire, &pair, Breaks::After(2_000_000)).await;
        broken += 1;
        let end = Instant::now() + Duration::from_secs(5);
        eventually("it breaks", || async {
            is_saved() || line.accepting.is_finished() || Instant::now() > end
        })
        .await;
    }
    let _line = lead(&pair.wire, &pair, Breaks::Never).await;
    let mut statuses = Vec::new();
    for save in saves {
        statuses.push(save.await.unwrap());
    }
    // One whose answer was lost has been made before.
    assert!(statuses.iter().all(|status| [201, 204].contains(status)), "{statuses:?}");
    let bucket = pair.far.bucket().await;
    for number in 0..20 {
        let stored = bucket.get(&number.to_string()).await.unwrap();
        assert!(stored == content(number, size(number)), "{number}");
    }
    assert_eq!(bucket.keys().await.len(), 20, "nothing else was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_larger_than_memory_is_sent_anew_from_the_disk() {
    let pair = Pair::new(|_| {}).await;
    let _line = lead(&pair.wire, &pair, Breaks::After(6_000_000)).await;
    let body = content(1, 9_000_000);
    let saving = tokio::spawn({
        let (near, body) = (pair.near.clone_handle(), body.clone());
        async move { near.put("/large", body).await }
    });
    eventually("it breaks", || async { _line.accepting.is_finished() }).await;
    let _next = lead(&pair.wire, &pair, Breaks::Never).await;
    assert!([201, 204].contains(&saving.await.unwrap()));
    assert!(pair.far.bucket().await.get("large").await.unwrap() == body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_without_room_is_refused_and_stores_nothing() {
    let pair = Pair::new(|config| match &mut config.source {
        s3dav::config::Source::Far(source) => source.intake.quota = Quota::of(0),
        _ => unreachable!(),
    })
    .await;
    assert_eq!(pair.near.put("/small", content(1, 100_000)).await, 201);
    let line = lead(&pair.wire, &pair, Breaks::After(3_000_000)).await;
    let saving = tokio::spawn({
        let near = pair.near.clone_handle();
        async move { near.request("PUT", "/large").body(content(1, 9_000_000)).send().await }
    });
    eventually("it breaks", || async { line.accepting.is_finished() }).await;
    let _next = lead(&pair.wire, &pair, Breaks::Never).await;
    let answer = saving.await.unwrap().unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("too large to be sent again"));
    assert_eq!(pair.far.bucket().await.keys().await, ["small"]);
}

/// The answer to a request whose first answer is lost.
async fn answered_late(pair: &Pair, request: reqwest::RequestBuilder) -> reqwest::Response {
    let line = lead(&pair.wire, pair, Breaks::AtAnAnswer).await;
    let asking = tokio::spawn(request.send());
    eventually("it breaks", || async { line.accepting.is_finished() }).await;
    let _next = lead(&pair.wire, pair, Breaks::Never).await;
    asking.await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_before_its_answer_was_lost_is_done() {
    let pair = Pair::new(|_| {}).await;
    assert_eq!(pair.near.put("/old", "content").await, 201);
    for (method, path, expected) in
        [("DELETE", "/old", 204), ("MKCOL", "/folder", 201), ("PUT", "/new", 201), ("PROPFIND", "/", 207)]
    {
        let request = pair.near.request(method, path).header("Depth", "0");
        let request = if method == "PUT" { request.body("new") } else { request };
        assert_eq!(answered_late(&pair, request).await.status(), expected, "{method}");
    }
    let _last = lead(&pair.wire, &pair, Breaks::Never).await;
    assert_eq!(pair.near.status("DELETE", "/never").await, 404, "what was never there is told");
    let keys = pair.far.bucket().await.keys().await;
    assert_eq!(keys, ["folder/", "new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_before_its_answer_was_lost_is_refused() {
    let pair = Pair::new(|_| {}).await;
    let request = pair.near.request("DELETE", "/never");
    assert_eq!(answered_late(&pair, request).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_twice_is_done_once_and_has_its_first_answer() {
    let pair = Pair::new(|_| {}).await;
    let destination = |path: &str| format!("{}{path}", pair.near.url);
    // Too large to wait in sockets: the second body is not read before the answer.
    let body = content(1, 3_000_000);
    let put = pair.near.request("PUT", "/a").header("If-None-Match", "*").body(body.clone());
    assert_eq!(answered_late(&pair, put).await.status(), 201);
    let copy = pair.near.request("COPY", "/a").header("Destination", destination("/b"));
    assert_eq!(answered_late(&pair, copy.header("Overwrite", "F")).await.status(), 201);
    let renamed = pair.near.request("MOVE", "/a").header("Destination", destination("/c"));
    assert_eq!(answered_late(&pair, renamed.header("Overwrite", "F")).await.status(), 201);
    let stored = pair.far.bucket().await;
    assert_eq!(stored.keys().await, ["b", "c"]);
    assert!(stored.get("c").await.unwrap() == body);

    // Without a prefix.
    let info =
        "<lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>";
    let locked = answered_late(&pair, pair.near.request("LOCK", "/c").body(info)).await;
    assert_eq!(locked.status(), 200);
    let token = locked.headers()["lock-token"].to_str().unwrap().to_owned();
    assert!(locked.text().await.unwrap().contains("lockdiscovery"), "the body is the first one, too");
    let _last = lead(&pair.wire, &pair, Breaks::Never).await;
    assert_eq!(pair.near.put("/c", "other").await, 423);
    let unlocked = pair.near.request("UNLOCK", "/c").header("Lock-Token", token).send().await.unwrap();
    assert_eq!(unlocked.status(), 204);
    assert_eq!(pair.near.put("/c", "other").await, 204, "no other lock is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_the_relays_own_and_of_those_who_know_the_password() {
    let pair = Pair::new(|_| {}).await;
    let put = |gateway: &TestGateway, content: &'static str| {
        gateway.request("PUT", "/a").header("S3dav-Request", "1").body(content)
    };
    assert_eq!(put(&pair.near, "first").send().await.unwrap().status(), 201);
    let second = put(&pair.near, "second").send().await.unwrap();
    assert_eq!(second.status(), 204, "a client's ID is not looked at");
    assert!(!second.headers().contains_key("s3dav-request"));
    let known = |content| put(&pair.far, content).basic_auth(s3dav::far::USER, Some(PASSWORD));
    assert_eq!(known("third").send().await.unwrap().status(), 204);
    let again = known("fourth").send().await.unwrap();
    assert_eq!(
        (again.status().as_u16(), &again.headers()["s3dav-request"]),
        (204, &HeaderValue::from_static("1"))
    );
    assert_eq!(put(&pair.far, "fifth").send().await.unwrap().status(), 401, "an ID alone opens nothing");
    assert_eq!(pair.far.bucket().await.get("a").await.as_deref(), Some(&b"third"[..]));
}
