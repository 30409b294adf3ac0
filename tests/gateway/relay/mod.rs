//! A gateway that leads to another one: what comes is answered there, whatever becomes of the way.

mod docker;
mod far;
mod lines;
mod session;
mod slow;

use std::time::Duration;

use s3dav::http::auth::Access;

use crate::conformance::litmus;
use crate::harness::clients::needs;
use crate::harness::eventually;
use crate::harness::users::{NOBODY, asked, others_have, python};
use far::{Pair, TestFar};

#[tokio::test(flavor = "multi_thread")]
async fn all_that_webdav_has_goes_through() {
    let Some(tools) = needs(&["litmus"]) else { return };
    let pair = Pair::new(|_| {}).await;
    litmus(&tools, &pair.near.url).await;
    assert_eq!(pair.near.put("/a", "content").await, 201);
    let (status, body) = pair.near.get("/a").await;
    assert_eq!((status, &body[..]), (200, &b"content"[..]));
    assert_eq!(pair.near.transfer("MOVE", "/a", "/b").await, 201);
    assert_eq!(pair.far.bucket().await.get("b").await.as_deref(), Some(&b"content"[..]));
    let head = pair.near.request("HEAD", "/b").send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "7");
    let part = pair.near.request("GET", "/b").header("Range", "bytes=1-2").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.text().await.unwrap().as_str()), (206, "on"));
    assert_eq!(pair.near.status("GET", "/.s3dav/ready").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_asked_for_a_password_at_this_end() {
    if !others_have(&["curl"]) {
        return;
    }
    let pair = Pair::new(|config| config.access = Access::Peers(None)).await;
    let url = format!("{}/", pair.near.url);
    assert_eq!(asked(NOBODY, &url, &[]).await.unwrap(), "401");
    // The far end's own password is none of this end.
    let login = format!("s3dav:{}", far::PASSWORD);
    assert_eq!(asked(NOBODY, &url, &["-u", &login]).await.unwrap(), "401");
    assert_eq!(asked(0, &url, &[]).await.unwrap(), "200");
    assert_eq!(asked(0, &format!("{}/", pair.far.url), &[]).await.unwrap(), "401", "the far end asks all");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_while_it_is_away_and_are_told_why_it_does_not_come() {
    let pair = Pair::new(|config| config.service.request_budget = Some(Duration::from_secs(2))).await;
    assert_eq!(pair.near.put("/a", "content").await, 201);
    pair.wire.lead_nowhere("the tests have ended it");
    eventually("a refusal", || async {
        let answer = pair.near.request("GET", "/a").send().await.unwrap();
        answer.status() == 503 && answer.text().await.unwrap().contains("the tests have ended it")
    })
    .await;
    assert_eq!(pair.near.status("OPTIONS", "/").await, 200, "mounting does not depend on it");
    let waiting = tokio::spawn({
        let near = pair.near.clone_handle();
        async move { near.get("/a").await }
    });
    pair.wire.lead(pair.far.address().parse().unwrap());
    let (status, body) = waiting.await.unwrap();
    assert_eq!((status, &body[..]), (200, &b"content"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_not_told_to_another_users_program() {
    if !others_have(&["python3"]) {
        return;
    }
    let pair = Pair::new(|config| config.service.request_budget = Some(Duration::from_secs(3))).await;
    let script = "import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self):
        print(self.command, self.path, self.headers.get('Authorization'), flush=True)
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()
    do_GET = do_PUT = do_PROPFIND = answer
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
";
    let Some(mut thief) = python(NOBODY, script, &[]) else { return };
    let mut thief = thief.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(thief.stdout.take().unwrap()));
    let port: u16 = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    pair.wire.lead(([127, 0, 0, 1], port).into());
    let asked = lines.next_line().await.unwrap().unwrap();
    assert_eq!(asked, "GET /.s3dav/health None", "it is asked without it first");
    assert_eq!(pair.near.status("GET", "/a").await, 503);
    thief.kill().await.unwrap();
    while let Some(line) = lines.next_line().await.unwrap() {
        assert_eq!(line, "GET /.s3dav/health None");
    }
    pair.wire.lead(pair.far.address().parse().unwrap());
    assert_eq!(pair.near.put("/a", "content").await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_reached_when_it_starts_or_it_does_not_start() {
    let state = tempfile::tempdir().unwrap();
    let wire = TestFar::new();
    wire.lead_nowhere("there is none");
    let config = far::config(&wire, &state, |_| {});
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shutdown = s3dav::shutdown::Shutdown::default();
    let gateway = s3dav::commands::gateway::Gateway::new(config, vec![listener], shutdown).await;
    let failure = gateway.err().expect("it starts");
    assert_eq!(failure.error.to_string(), "there is none");
    assert_eq!(failure.hint.as_deref(), Some("lead it somewhere"));
    assert_eq!(wire.closed(), 1, "what was started is ended");
}
