//! What a client saw is what its next write means to replace: after restarts, after downloads that failed, and
//! where it saw nothing.

use std::time::Duration;

use reqwest::RequestBuilder;
use s3dav::embedded::Action;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::finder::client::LOCK;
use crate::harness::process::{Process, command};
use crate::harness::{BUCKET, Bucket, TestGateway, client, embedded, hrefs};

const MAC: &str = "WebDAVFS/3.0.0 (03008000) Darwin/25.2.0 (arm64)";

/// A client of a gateway.
struct Program<'u> {
    url: &'u str,
    agent: &'static str,
}

impl Program<'_> {
    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        client().request(method, format!("{}{path}", self.url)).header("User-Agent", self.agent)
    }

    async fn get(&self, path: &str) -> String {
        self.request("GET", path).send().await.unwrap().text().await.unwrap()
    }

    async fn look(&self, path: &str) -> u16 {
        self.request("PROPFIND", path).header("Depth", "0").send().await.unwrap().status().as_u16()
    }

    async fn put(&self, path: &str, content: &str) -> u16 {
        self.request("PUT", path).body(content.to_owned()).send().await.unwrap().status().as_u16()
    }

    /// The files of the root but `others`, with what they hold.
    async fn copies(&self, path: &str) -> Vec<String> {
        let list = self.request("PROPFIND", "/").header("Depth", "1").send().await.unwrap();
        let names = hrefs(&list.text().await.unwrap());
        let start = format!("{path}%20%28conflict");
        let mut copies = Vec::new();
        for name in names.into_iter().filter(|name| name.starts_with(&start)) {
            copies.push(self.get(&name).await);
        }
        copies
    }
}

/// A gateway of its own process, of a bucket or a directory that others write, too.
enum Place {
    Bucket(Box<Bucket>, String),
    Directory(TempDir),
}

impl Place {
    async fn both() -> [Self; 2] {
        let s3 = embedded().await;
        let (bucket, url) = (Bucket::of(&s3.endpoint_url(), BUCKET).await, s3.endpoint_url());
        // It lives as long as the tests.
        std::mem::forget(s3);
        [Self::Bucket(Box::new(bucket), url), Self::Directory(tempfile::tempdir().unwrap())]
    }

    async fn start(&self, state: &TempDir) -> Process {
        match self {
            Self::Bucket(_, url) => Process::gateway(url, state, &["--auth", "none"]).await,
            Self::Directory(directory) => {
                let mut serve = command(&["serve", "--listen", "127.0.0.1:0", "--auth", "none"]);
                serve.arg("--path").arg(directory.path());
                serve.arg("--state-dir").arg(state.path().join("state"));
                Process::serving(serve).await
            }
        }
    }

    /// Another program writes.
    async fn write(&self, name: &str, content: &str) {
        match self {
            Self::Bucket(bucket, _) => bucket.put(name, content).await,
            Self::Directory(directory) => std::fs::write(directory.path().join(name), content).unwrap(),
        }
    }
}

async fn end(mut gateway: Process, kills: bool) {
    if kills {
        gateway.child.kill().await.unwrap();
    } else {
        gateway.signal("TERM").await;
        gateway.child.wait().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_saw_outlives_the_gateway() {
    for place in Place::both().await {
        for (round, kills) in [false, true].into_iter().enumerate() {
            let state = tempfile::tempdir().unwrap();
            let path = format!("/document-{round}");
            place.write(&path[1..], "first").await;
            let gateway = place.start(&state).await;
            let program = Program { url: &gateway.url, agent: "editor/1" };
            assert_eq!(program.get(&path).await, "first");
            if kills {
                // What is promised.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            end(gateway, kills).await;
            place.write(&path[1..], "theirs, and longer").await;
            let gateway = place.start(&state).await;
            let program = Program { url: &gateway.url, agent: "editor/1" };
            assert!(matches!(program.put(&path, "mine").await, 200..=204));
            assert_eq!(program.get(&path).await, "theirs, and longer", "kills: {kills}");
            assert_eq!(program.copies(&path).await, ["mine"], "kills: {kills}");
            end(gateway, true).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_seen_before_a_crash_is_kept() {
    for place in Place::both().await {
        // Whether it crashes, whether the client is known, whether it looks after the start; whether the other's stays.
        let cases = [
            (true, true, false, true),
            (true, true, true, false),
            (true, false, false, false),
            (false, true, false, false),
        ];
        for (round, (crashes, is_known, looks, stays)) in cases.into_iter().enumerate() {
            let state = tempfile::tempdir().unwrap();
            let path = format!("/unseen-{round}");
            place.write("other", "other").await;
            let gateway = place.start(&state).await;
            if is_known {
                Program { url: &gateway.url, agent: "editor/1" }.get("/other").await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            end(gateway, crashes).await;
            place.write(&path[1..], "theirs").await;
            let gateway = place.start(&state).await;
            let program = Program { url: &gateway.url, agent: "editor/1" };
            if looks {
                assert_eq!(program.look(&path).await, 207);
            }
            assert!(matches!(program.put(&path, "mine").await, 200..=204));
            let (there, copies) = if stays { ("theirs", vec!["mine".to_owned()]) } else { ("mine", vec![]) };
            assert_eq!(
                (program.get(&path).await.as_str(), program.copies(&path).await),
                (there, copies),
                "{round}"
            );
            end(gateway, true).await;
        }
    }
}

/// A way of reading a file that may not show it whole.
#[derive(Debug, Clone, Copy)]
enum Reading {
    CutByS3,
    CutByClient,
    OneByte,
    AnyVersion,
    AllButOne,
    Pieces,
    Whole,
}

async fn read(gateway: &TestGateway, program: &Program<'_>, reading: Reading, size: usize) {
    let get = || program.request("GET", "/file");
    let ranged =
        |range: String| async { get().header("Range", range).send().await.unwrap().bytes().await.unwrap() };
    match reading {
        Reading::CutByS3 => {
            // And it does not go on where that ended.
            gateway.hooks().next(1, "GetObject", Action::CutBody(size as u64 / 2));
            let denied = Action::Fail { status: 403, code: "AccessDenied", message: "" };
            gateway.hooks().next(1000, "GetObject", denied);
            let answer = get().send().await.unwrap();
            assert!(!answer.status().is_success() || answer.bytes().await.is_err());
            gateway.hooks().heal();
        }
        Reading::CutByClient => {
            let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
            let head =
                format!("GET /file HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {}\r\n\r\n", program.agent);
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.read_exact(&mut [0; 4096]).await.unwrap();
        }
        Reading::OneByte => drop(ranged("bytes=0-0".to_owned()).await),
        Reading::AnyVersion => {
            assert_eq!(get().header("If-None-Match", "*").send().await.unwrap().status(), 304);
        }
        Reading::AllButOne => drop(ranged("bytes=1-".to_owned()).await),
        Reading::Pieces => {
            ranged(format!("bytes={}-", size / 3)).await;
            ranged(format!("bytes=0-{}", size / 2)).await;
        }
        Reading::Whole => drop(get().send().await.unwrap().bytes().await.unwrap()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_counts_when_its_last_byte_was_taken() {
    let cases = [
        (Reading::CutByS3, false),
        (Reading::CutByClient, false),
        (Reading::OneByte, false),
        (Reading::AnyVersion, false),
        (Reading::AllButOne, false),
        (Reading::Pieces, true),
        (Reading::Whole, true),
    ];
    for (reading, has_seen) in cases {
        // Small enough for the cache or not; what is cut must not lie in the connection's buffers as a whole.
        for size in [300_000, 12 << 20] {
            let gateway = TestGateway::forgetful().await;
            let bucket = gateway.bucket().await;
            let program = Program { url: &gateway.url, agent: "editor/1" };
            bucket.put("file", "first").await;
            assert_eq!(program.get("/file").await, "first");
            let theirs = "t".repeat(size);
            bucket.put("file", &theirs).await;
            if size < 1 << 20 && matches!(reading, Reading::CutByClient) {
                continue;
            }
            read(&gateway, &program, reading, size).await;
            assert!(matches!(program.put("/file", "mine").await, 200..=204));
            let copies = program.copies("/file").await;
            if has_seen {
                assert_eq!(
                    (program.get("/file").await.as_str(), copies.len()),
                    ("mine", 0),
                    "{reading:?}, {size}"
                );
            } else {
                assert_eq!(copies, ["mine"], "{reading:?}, {size}");
                assert!(program.get("/file").await == theirs, "{reading:?}, {size}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_blind_saves_make_one_copy() {
    for gateway in [TestGateway::forgetful().await, TestGateway::on_a_path().await] {
        let theirs = async |content: &str| {
            let other = Program { url: &gateway.url, agent: "other/1" };
            other.get("/file").await;
            assert!(matches!(other.put("/file", content).await, 200..=204));
        };
        let program = Program { url: &gateway.url, agent: MAC };
        theirs("first").await;
        assert_eq!(program.get("/file").await, "first");
        theirs("second").await;
        for n in 0..10 {
            assert!(matches!(program.put("/file", &format!("save {n}")).await, 200..=204));
        }
        assert_eq!(program.copies("/file").await, ["save 9"]);
        assert_eq!(program.get("/file").await, "second");
        // It has looked: what it saves now replaces what it saw.
        assert!(matches!(program.put("/file", "merged").await, 200..=204));
        assert_eq!((program.get("/file").await.as_str(), program.copies("/file").await.len()), ("merged", 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_somebody_changed_is_not_replaced() {
    let gateway = TestGateway::forgetful().await;
    let (bucket, program) = (gateway.bucket().await, Program { url: &gateway.url, agent: "editor/1" });
    bucket.put("file", "first").await;
    program.get("/file").await;
    bucket.put("file", "second").await;
    program.put("/file", "save 1").await;
    let copy = bucket.keys().await.into_iter().find(|key| key.contains("conflict")).unwrap();
    bucket.put(&copy, "theirs").await;
    program.put("/file", "save 2").await;
    let mut copies = program.copies("/file").await;
    copies.sort();
    assert_eq!(copies, ["save 2", "theirs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absence_that_was_told_is_a_basis() {
    for agent in ["editor/1", MAC] {
        for method in ["PROPFIND", "GET", "HEAD"] {
            let gateway = TestGateway::forgetful().await;
            let (bucket, program) = (gateway.bucket().await, Program { url: &gateway.url, agent });
            let look =
                async || program.request(method, "/file").header("Depth", "0").send().await.unwrap().status();
            assert_eq!(look().await, 404);
            bucket.put("file", "theirs").await;
            assert!(matches!(program.put("/file", "mine").await, 200..=204));
            assert_eq!(program.copies("/file").await, ["mine"], "{agent}, {method}");
            assert_eq!(program.get("/file").await, "theirs", "{agent}, {method}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_by_an_absence_has_not_seen_the_winner() {
    for gateway in [TestGateway::forgetful().await, TestGateway::on_a_path().await] {
        let program = Program { url: &gateway.url, agent: "editor/1" };
        let other = Program { url: &gateway.url, agent: "other/1" };
        assert_eq!(program.look("/file").await, 404);
        assert_eq!(other.put("/file", "theirs").await, 201);
        for n in 0..3 {
            assert!(matches!(program.put("/file", &format!("save {n}")).await, 200..=204));
        }
        assert_eq!(program.copies("/file").await, ["save 2"]);
        assert_eq!(program.get("/file").await, "theirs");
        assert_eq!(program.put("/file", "merged").await, 204);
        assert_eq!(program.get("/file").await, "merged", "now it has seen that");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_and_somebody_moved_in_vain_is_not_replaced() {
    for gateway in [TestGateway::forgetful().await, TestGateway::on_a_path().await] {
        let program = Program { url: &gateway.url, agent: "editor/1" };
        let other = Program { url: &gateway.url, agent: "other/1" };
        assert_eq!(other.put("/file", "first").await, 201);
        assert_eq!(program.get("/file").await, "first");
        assert_eq!(other.put("/file", "second").await, 204);
        assert_eq!(other.put("/new", "theirs").await, 201);
        let destination = format!("{}/file", gateway.url);
        let moved = program.request("MOVE", "/new").header("Destination", destination).send().await;
        assert_eq!(moved.unwrap().status(), 204);
        assert_eq!(program.copies("/file").await, ["theirs"]);
        assert!(matches!(program.put("/file", "mine").await, 200..=204));
        let mut copies = program.copies("/file").await;
        copies.sort();
        assert_eq!(copies, ["mine", "theirs"]);
        assert_eq!(other.get("/file").await, "second");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_removed_a_file_replaces_nothing_in_its_place() {
    for method in ["DELETE", "MOVE"] {
        for gateway in [TestGateway::forgetful().await, TestGateway::on_a_path().await] {
            let program = Program { url: &gateway.url, agent: "editor/1" };
            let other = Program { url: &gateway.url, agent: "other/1" };
            assert_eq!(program.put("/file", "first").await, 201);
            let destination = format!("{}/elsewhere", gateway.url);
            let removed = program.request(method, "/file").header("Destination", destination).send().await;
            assert!(removed.unwrap().status().is_success());
            assert_eq!(other.put("/file", "theirs").await, 201);
            assert!(matches!(program.put("/file", "mine").await, 200..=204));
            assert_eq!(other.get("/file").await, "theirs", "{method}");
            assert_eq!(program.copies("/file").await, ["mine"], "{method}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_is_known_after_a_restart() {
    for place in Place::both().await {
        let state = tempfile::tempdir().unwrap();
        let mut gateway = place.start(&state).await;
        let put = async |url: &str, content: &str| {
            let status = Program { url, agent: "editor/1" }.put("/lost", content).await;
            assert!(matches!(status, 200..=204));
        };
        assert_eq!(Program { url: &gateway.url, agent: "editor/1" }.look("/lost").await, 404);
        place.write("lost", "theirs").await;
        put(&gateway.url, "save 1").await;
        for (content, kills) in [("save 2", false), ("save 3", true)] {
            if kills {
                // What is promised.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            end(gateway, kills).await;
            gateway = place.start(&state).await;
            put(&gateway.url, content).await;
        }
        let program = Program { url: &gateway.url, agent: "editor/1" };
        assert_eq!(program.get("/lost").await, "theirs");
        assert_eq!(program.copies("/lost").await, ["save 3"]);
        end(gateway, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mac_that_makes_a_file_takes_nobodys() {
    for gateway in [TestGateway::forgetful().await, TestGateway::on_a_path().await] {
        let mac = Program { url: &gateway.url, agent: MAC };
        let other = Program { url: &gateway.url, agent: "other/1" };
        assert_eq!(mac.look("/file").await, 404);
        assert_eq!(other.put("/file", "theirs").await, 201);
        // It does not look again: empty, locked, written.
        assert!(matches!(mac.put("/file", "").await, 200..=204));
        assert_eq!(other.get("/file").await, "theirs", "nobody sees it empty");
        let lock =
            mac.request("LOCK", "/file").header("Timeout", "Second-600").body(LOCK).send().await.unwrap();
        let token = lock.headers().get("lock-token").unwrap().to_str().unwrap().to_owned();
        let written = mac.request("PUT", "/file").header("If", format!("({token})")).body("mine");
        assert!(written.send().await.unwrap().status().is_success());
        assert_eq!(mac.copies("/file").await, ["mine"]);
        assert_eq!(other.get("/file").await, "theirs");
    }
}

/// A gateway of each kind, for each way to take a file elsewhere.
async fn moved_and_copied() -> [(TestGateway, &'static str); 4] {
    [
        (TestGateway::forgetful().await, "MOVE"),
        (TestGateway::forgetful().await, "COPY"),
        (TestGateway::on_a_path().await, "MOVE"),
        (TestGateway::on_a_path().await, "COPY"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_it_taken_by_a_rename() {
    for (gateway, method) in moved_and_copied().await {
        let program = Program { url: &gateway.url, agent: "editor/1" };
        let other = Program { url: &gateway.url, agent: "other/1" };
        assert_eq!(program.put("/saved", "mine").await, 201);
        assert_eq!(program.look("/file").await, 404);
        assert_eq!(other.put("/file", "theirs").await, 201);
        let to = format!("{}/file", gateway.url);
        let moved = program.request(method, "/saved").header("Destination", to).send().await.unwrap();
        assert!(moved.status().is_success(), "{method}");
        assert_eq!(program.get("/file").await, "theirs", "{method}");
        assert_eq!(program.copies("/file").await, ["mine"], "{method}");
        // Now it has seen that.
        assert_eq!(program.put("/again", "newer").await, 201);
        let to = format!("{}/file", gateway.url);
        let moved = program.request(method, "/again").header("Destination", to).send().await.unwrap();
        assert_eq!(moved.status(), 204, "{method}");
        assert_eq!(program.get("/file").await, "newer", "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_knew_and_took_there_in_vain_it_saves_again() {
    for (gateway, method) in moved_and_copied().await {
        let program = Program { url: &gateway.url, agent: "editor/1" };
        let other = Program { url: &gateway.url, agent: "other/1" };
        assert_eq!((program.put("/saved", "mine").await, program.put("/file", "old").await), (201, 201));
        assert_eq!(other.put("/file", "theirs").await, 204);
        let to = format!("{}/file", gateway.url);
        let moved = program.request(method, "/saved").header("Destination", to).send().await.unwrap();
        assert!(moved.status().is_success(), "{method}");
        assert_eq!(program.copies("/file").await, ["mine"], "{method}");
        assert!(matches!(program.put("/file", "newer").await, 200..=204), "{method}");
        assert_eq!(program.copies("/file").await, ["newer"], "{method}: one copy");
        assert_eq!(other.get("/file").await, "theirs", "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absence_counts_until_the_name_is_shown() {
    for gateway in [TestGateway::forgetful().await, TestGateway::on_a_path().await] {
        let program = Program { url: &gateway.url, agent: "editor/1" };
        let other = Program { url: &gateway.url, agent: "other/1" };
        for (method, depth, path) in
            [("PROPFIND", "1", "/"), ("PROPFIND", "0", "/file"), ("HEAD", "0", "/file")]
        {
            assert_eq!(program.look("/file").await, 404);
            assert_eq!(other.put("/file", "theirs").await, 201);
            let shown = program.request(method, path).header("Depth", depth).send().await.unwrap();
            assert!(shown.status().is_success());
            drop(shown.bytes().await.unwrap());
            assert!(matches!(program.put("/file", "mine").await, 200..=204));
            assert_eq!(program.get("/file").await, "mine", "{method} {path}");
            assert!(program.copies("/file").await.is_empty(), "{method} {path}");
            assert_eq!(program.request("DELETE", "/file").send().await.unwrap().status(), 204);
        }
    }
}
