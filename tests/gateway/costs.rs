//! What each action costs in S3 requests: warm, when the parent's listing is known, and cold, when
//! nothing is.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use s3dav::embedded::{Action, Gate};

use crate::harness::{TestGateway, buckets, eventually, xml};

const LOCK: &str = xml::EXCLUSIVE;

/// What S3 was asked for since the last look: `1 HeadObject, 1 ListObjectsV2`.
fn asked(gateway: &TestGateway) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (operation, _) in gateway.hooks().transcript() {
        *counts.entry(operation).or_default() += 1;
    }
    gateway.hooks().reset();
    let told: Vec<String> = counts.into_iter().map(|(name, count)| format!("{count} {name}")).collect();
    told.join(", ")
}

/// A gateway that knows nothing, over a bucket with these keys.
async fn over(keys: &[&str]) -> TestGateway {
    // What is counted must not depend on how long it takes.
    let long = Duration::from_secs(600);
    let gateway = TestGateway::start_with(|config| buckets(config).cache.times.metadata = long).await;
    let bucket = gateway.bucket().await;
    for key in keys {
        bucket.put(key, "content").await;
    }
    gateway.hooks().reset();
    gateway
}

/// As [`over`], with the listings of these folders known.
async fn warm(keys: &[&str], folders: &[&str]) -> TestGateway {
    let gateway = over(keys).await;
    for folder in folders {
        gateway.hrefs(folder, "1").await;
    }
    gateway.hooks().reset();
    gateway
}

async fn lock(gateway: &TestGateway, path: &str) -> String {
    let answer = gateway.request("LOCK", path).body(LOCK).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.headers()["lock-token"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn options_unlock_and_refresh() {
    let gateway = over(&["d/f"]).await;
    assert_eq!(gateway.status("OPTIONS", "/d/f").await, 200);
    let token = lock(&gateway, "/d/f").await;
    asked(&gateway);
    let refresh = gateway.request("LOCK", "/d/f").header("If", format!("({token})")).send().await.unwrap();
    assert_eq!(refresh.status(), 200);
    let unlock = gateway.request("UNLOCK", "/d/f").header("Lock-Token", &token).send().await.unwrap();
    assert_eq!(unlock.status(), 204);
    assert_eq!(asked(&gateway), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn propfind_of_a_folder() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    bucket.put("d/", "").await;
    for n in 0..2400 {
        bucket.put(&format!("d/{n:04}"), "").await;
    }
    asked(&gateway);
    assert_eq!(gateway.hrefs("/d/", "1").await.len(), 2401);
    assert_eq!(asked(&gateway), "3 ListObjectsV2", "cold");
    assert_eq!(gateway.hrefs("/d/", "1").await.len(), 2401);
    assert_eq!(gateway.hrefs("/d", "1").await.len(), 2401);
    // That it is no file nobody knew yet.
    assert_eq!(asked(&gateway), "1 HeadObject", "warm");
    assert_eq!(gateway.hrefs("/d", "1").await.len(), 2401);
    assert_eq!(asked(&gateway), "", "warm");
    let gateway = over(&["d/f"]).await;
    assert_eq!(gateway.hrefs("/d", "1").await.len(), 2);
    assert_eq!(asked(&gateway), "1 HeadObject, 1 ListObjectsV2", "cold, and it may be a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_a_browser_to_a_folder() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for n in 0..2400 {
        bucket.put(&format!("d/{n:04}"), "").await;
    }
    asked(&gateway);
    let answer = gateway.request("GET", "/d").header("accept", "text/html").send().await.unwrap();
    assert_eq!(answer.status(), 301);
    assert_eq!(asked(&gateway), "1 GetObject, 1 ListObjectsV2", "that it is a folder is enough");
    let answer = gateway.request("GET", "/d/").header("accept", "text/html").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(asked(&gateway), "3 ListObjectsV2", "its pages");
    let answer = gateway.request("GET", "/d/?sort=size").header("accept", "text/html").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(asked(&gateway), "", "in another order, of what is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_one_path() {
    for method in ["PROPFIND", "HEAD", "LOCK"] {
        let gateway = over(&["d/f", "d/g", "d/h"]).await;
        let gate = Gate::default();
        gateway.hooks().next(1, "HeadObject", Action::Hold(gate.clone()));
        let look = |path: &'static str| {
            let request = gateway.request(method, path).header("Depth", "0");
            if method == "LOCK" { request.body(LOCK) } else { request }.send()
        };
        let first = tokio::spawn(look("/d/f"));
        eventually("both are asked in one round trip", || async { gateway.hooks().total() == 2 }).await;
        gate.open();
        assert!(first.await.unwrap().unwrap().status().is_success());
        assert_eq!(asked(&gateway), "1 HeadObject, 1 ListObjectsV2", "{method} cold");
        // A second one in the same folder: its listing serves all that follow.
        assert!(look("/d/g").await.unwrap().status().is_success());
        assert_eq!(asked(&gateway), "1 ListObjectsV2", "{method} second");
        assert!(look("/d/h").await.unwrap().status().is_success());
        assert_eq!(asked(&gateway), "", "{method} warm");
        if method != "LOCK" {
            assert_eq!(look("/d/none").await.unwrap().status(), 404);
            assert_eq!(asked(&gateway), "", "{method} warm, proven absent");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_beyond_the_first_page() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for n in 0..1500 {
        bucket.put(&format!("d/{n:04}"), "").await;
    }
    asked(&gateway);
    for (path, cost) in [
        ("/d/1400", "1 HeadObject, 1 ListObjectsV2"),
        // The first page does not tell of it.
        ("/d/1401", "1 HeadObject, 2 ListObjectsV2"),
        // And is not asked for again.
        ("/d/1402", "1 HeadObject, 1 ListObjectsV2"),
        ("/d/0007", ""),
    ] {
        assert_eq!(gateway.hrefs(path, "0").await.len(), 1);
        assert_eq!(asked(&gateway), cost, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_a_name_that_is_not_ascii() {
    let gateway = over(&["d/caf\u{e9}"]).await;
    let gate = Gate::default();
    gateway.hooks().next(1, "HeadObject", Action::Hold(gate.clone()));
    let request = gateway.request("PROPFIND", "/d/cafe%CC%81").header("Depth", "0");
    let first = tokio::spawn(request.send());
    eventually("all are asked in one round trip", || async { gateway.hooks().total() == 4 }).await;
    gate.open();
    assert_eq!(first.await.unwrap().unwrap().status(), 207);
    assert_eq!(asked(&gateway), "2 HeadObject, 2 ListObjectsV2", "cold: both spellings");
    let gateway = warm(&["d/caf\u{e9}", "d/e\u{301}\u{e9}"], &["/d/"]).await;
    for path in ["/d/cafe%CC%81", "/d/caf%C3%A9", "/d/%C3%A9e%CC%81"] {
        assert_eq!(gateway.hrefs(path, "0").await.len(), 1, "{path}");
    }
    assert_eq!(gateway.status("HEAD", "/d/%C3%BC").await, 404);
    assert_eq!(asked(&gateway), "", "warm, also for spellings that mix both forms");
}

/// It may be there in a spelling that is neither composed nor decomposed, which only a listing tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_miss_of_a_name_that_is_not_ascii() {
    let gateway = over(&["d/f", "caf\u{e9}/f"]).await;
    assert_eq!(gateway.status("HEAD", "/d/caf%C3%A9").await, 404);
    assert_eq!(asked(&gateway), "2 HeadObject, 3 ListObjectsV2", "cold: both spellings, and one listing");
    assert_eq!(gateway.status("HEAD", "/d/%C3%BCber").await, 404);
    assert_eq!(asked(&gateway), "", "which tells of all others");
    assert_eq!(gateway.put("/d/caf%C3%A9", "x").await, 201);
    assert_eq!(asked(&gateway), "1 HeadObject, 1 PutObject", "whether the parent is a file, too");
    let gateway = over(&["d/f", "caf\u{e9}/f"]).await;
    assert_eq!(gateway.status("HEAD", "/d/%E6%9D%B1%E4%BA%AC").await, 404);
    assert_eq!(asked(&gateway), "1 HeadObject, 1 ListObjectsV2", "a name of one spelling is not listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_a_small_file() {
    let gateway = over(&["d/f", "d/empty"]).await;
    assert_eq!(gateway.get("/d/f").await, (200, "content".into()));
    assert_eq!(asked(&gateway), "1 GetObject", "cold: it is its own stat");
    assert_eq!(gateway.get("/d/f").await, (200, "content".into()));
    let part = gateway.request("GET", "/d/f").header("Range", "bytes=3-5").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.text().await.unwrap()), (206, "ten".to_owned()));
    assert_eq!(asked(&gateway), "", "hot");
    let gateway = warm(&["d/f"], &["/d/"]).await;
    assert_eq!(gateway.get("/d/f").await, (200, "content".into()));
    assert_eq!(asked(&gateway), "1 GetObject", "warm");
    assert_eq!(gateway.get("/d/f").await, (200, "content".into()));
    assert_eq!(gateway.get("/d/none").await.0, 404);
    assert_eq!(asked(&gateway), "", "hot, and proven absent");
    gateway.put("/d/own", "own").await;
    asked(&gateway);
    assert_eq!(gateway.get("/d/own").await, (200, "own".into()));
    assert_eq!(asked(&gateway), "", "what was written is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_small_files_one_after_the_other() {
    let keys: Vec<String> = (0..9).map(|number| format!("d/{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let gateway = warm(&keys, &["/d/"]).await;
    let get = async |number: usize| assert_eq!(gateway.get(&format!("/d/{number}")).await.1, "content");
    for number in [0, 1] {
        get(number).await;
    }
    let held = Gate::default();
    gateway.hooks().next(4, "GetObject", Action::Hold(held.clone()));
    let ahead = async {
        eventually("three more go out with it", || async { gateway.hooks().count("GetObject") == 6 }).await;
        held.open();
    };
    tokio::join!(get(2), ahead);
    for number in 3..9 {
        get(number).await;
    }
    assert_eq!(asked(&gateway), "9 GetObject", "once each");
    let gateway = warm(&keys, &["/d/"]).await;
    for number in [0, 1, 3, 4, 6, 8] {
        assert_eq!(gateway.get(&format!("/d/{number}")).await.1, "content");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(asked(&gateway), "6 GetObject", "here and there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_small_files_is_left_alone_where_it_is_large_or_would_not_be_read() {
    let keys: Vec<String> = (0..9).map(|number| format!("d/{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let gateway = warm(&keys, &["/d/"]).await;
    let hooks = gateway.hooks();
    // Replaced through this gateway since it was listed, and by others.
    gateway.put("/d/3", vec![7; 5 << 20]).await;
    gateway.bucket().await.put_bytes("d/4", vec![7; 5 << 20].into()).await;
    hooks.reset();
    for number in 0..3 {
        assert_eq!(gateway.get(&format!("/d/{number}")).await.1, "content");
    }
    eventually("those that were small are on their way", || async { hooks.count("GetObject") == 5 }).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(asked(&gateway), "5 GetObject");
    let gateway = warm(&keys, &["/d/"]).await;
    for number in 0..9 {
        let answer = gateway.request("GET", &format!("/d/{number}")).header("If-None-Match", "*");
        assert_eq!(answer.send().await.unwrap().status(), 304);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(asked(&gateway), "", "nothing of it is read");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_want_the_same_at_once() {
    let gateway = over(&["d/f"]).await;
    let gate = Gate::default();
    gateway.hooks().next(1, "GetObject", Action::Hold(gate.clone()));
    let gets: Vec<_> = (0..20).map(|_| tokio::spawn(gateway.request("GET", "/d/f").send())).collect();
    eventually("the first is asked", || async { gateway.hooks().total() >= 1 }).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    for get in gets {
        assert_eq!(get.await.unwrap().unwrap().text().await.unwrap(), "content");
    }
    assert_eq!(asked(&gateway), "1 GetObject");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_is_asked_for_again_but_not_sent_again() {
    let ttl = Duration::from_millis(300);
    let gateway = TestGateway::start_with(|config| buckets(config).cache.times.metadata = ttl).await;
    let bucket = gateway.bucket().await;
    bucket.put("f", "content").await;
    assert_eq!(gateway.get("/f").await.1, "content");
    tokio::time::sleep(ttl).await;
    asked(&gateway);
    // A body would never come.
    gateway.hooks().next(1, "GetObject", Action::CutBody(0));
    assert_eq!(gateway.get("/f").await.1, "content");
    assert_eq!(asked(&gateway), "1 GetObject", "a conditional one, answered with 304");
    gateway.hooks().heal();
    bucket.put("f", "others").await;
    tokio::time::sleep(ttl).await;
    assert_eq!(gateway.get("/f").await.1, "others");
}

#[tokio::test(flavor = "multi_thread")]
async fn putting() {
    let gateway = over(&["d/f"]).await;
    assert_eq!(gateway.put("/d/f", "new").await, 204);
    assert_eq!(
        asked(&gateway),
        "2 HeadObject, 2 ListObjectsV2, 1 PutObject",
        "cold: stats of target and parent"
    );
    assert_eq!(gateway.put("/e/f", "new").await, 409);
    asked(&gateway);
    let gateway = over(&["d/f"]).await;
    assert_eq!(gateway.put("/d/new", "new").await, 201);
    assert_eq!(
        asked(&gateway),
        "2 HeadObject, 2 ListObjectsV2, 1 PutObject",
        "cold: stats of target and parent"
    );
    let gateway = warm(&["d/f"], &["/", "/d/"]).await;
    for (path, status) in [("/d/f", 204), ("/d/new", 201), ("/d/new", 204), ("/top", 201)] {
        assert_eq!(gateway.put(path, "new").await, status);
        assert_eq!(asked(&gateway), "1 PutObject", "warm: {path}");
    }
    assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/", "/d/f", "/d/new"]);
    assert_eq!(asked(&gateway), "", "the listing knows");
    let body = vec![7_u8; 40 << 20];
    assert_eq!(gateway.put("/d/large", body.clone()).await, 201);
    assert_eq!(asked(&gateway), "1 CompleteMultipartUpload, 1 CreateMultipartUpload, 5 UploadPart");
    assert_eq!(gateway.hrefs("/d/large", "0").await.len(), 1);
    assert_eq!(asked(&gateway), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn making_folders() {
    let gateway = over(&["d/f"]).await;
    assert_eq!(gateway.status("MKCOL", "/d/new").await, 201);
    assert_eq!(asked(&gateway), "2 HeadObject, 2 ListObjectsV2, 1 PutObject", "cold");
    assert_eq!(gateway.status("MKCOL", "/d/new/deeper").await, 201);
    assert_eq!(gateway.put("/d/new/deeper/file", "x").await, 201);
    asked(&gateway);
    let gateway = warm(&["d/f"], &["/", "/d/"]).await;
    assert_eq!(gateway.status("MKCOL", "/d/new").await, 201);
    assert_eq!(asked(&gateway), "1 PutObject", "warm");
    assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/", "/d/f", "/d/new/"]);
    assert_eq!(asked(&gateway), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_files() {
    let gateway = warm(&["d/f", "d/g"], &["/", "/d/"]).await;
    assert_eq!(gateway.status("DELETE", "/d/f").await, 204);
    assert_eq!(asked(&gateway), "1 DeleteObject", "warm");
    assert_eq!(gateway.status("DELETE", "/d/g").await, 204);
    assert_eq!(asked(&gateway), "1 DeleteObject, 1 PutObject", "the last child leaves a marker");
    assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/"]);
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/d/"]);
    assert_eq!(asked(&gateway), "");
    let gateway = over(&["d/f", "d/g"]).await;
    assert_eq!(gateway.status("DELETE", "/d/f").await, 204);
    assert_eq!(asked(&gateway), "1 DeleteObject, 1 HeadObject, 2 ListObjectsV2", "cold: stats of both");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_trees() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    let fill = async || {
        for n in 0..1000 {
            bucket.put(&format!("t/{}/{n:04}", n % 7), "").await;
        }
        bucket.put("keep", "").await;
        asked(&gateway);
    };
    fill().await;
    assert_eq!(gateway.status("DELETE", "/t").await, 204);
    assert_eq!(asked(&gateway), "1 DeleteObjects, 1 HeadObject, 1 ListObjectsV2", "cold");
    fill().await;
    let gateway = {
        let (s3, state) = gateway.stop().await;
        TestGateway::start_on(s3, state, |_| {}).await
    };
    gateway.hrefs("/", "1").await;
    asked(&gateway);
    assert_eq!(gateway.status("DELETE", "/t").await, 204);
    assert_eq!(asked(&gateway), "1 DeleteObjects, 1 ListObjectsV2", "warm");
    assert_eq!(bucket.keys().await, ["keep"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn copying_and_moving_files() {
    let folders = ["/", "/d/", "/e/"];
    let gateway = warm(&["d/f", "d/g", "e/x"], &folders).await;
    assert_eq!(gateway.transfer("COPY", "/d/f", "/e/f").await, 201);
    assert_eq!(asked(&gateway), "1 CopyObject", "warm");
    assert_eq!(gateway.transfer("MOVE", "/d/f", "/e/f2").await, 201);
    assert_eq!(asked(&gateway), "1 CopyObject, 1 DeleteObject", "warm");
    assert_eq!(gateway.transfer("MOVE", "/d/g", "/e/x").await, 204);
    assert_eq!(
        asked(&gateway),
        "1 CopyObject, 1 DeleteObject, 1 PutObject",
        "the last child leaves a marker"
    );
    assert_eq!(gateway.hrefs("/e/", "1").await, ["/e/", "/e/f", "/e/f2", "/e/x"]);
    assert_eq!(asked(&gateway), "");
    let gateway = over(&["d/f", "d/g", "e/x"]).await;
    assert_eq!(gateway.transfer("COPY", "/d/f", "/e/f").await, 201);
    assert_eq!(
        asked(&gateway),
        "1 CopyObject, 3 HeadObject, 3 ListObjectsV2",
        "cold: stats of source, target, parent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_folders() {
    let keys: Vec<String> = (0..50).map(|n| format!("t/{}/{n:04}", n % 7)).collect();
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.push("u/x");
    let gateway = warm(&keys, &["/", "/u/"]).await;
    assert_eq!(gateway.transfer("MOVE", "/t", "/u/t").await, 201);
    assert_eq!(asked(&gateway), "50 CopyObject, 1 DeleteObjects, 1 ListObjectsV2", "warm");
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/u/"]);
    assert_eq!(asked(&gateway), "", "the listings know");
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_a_large_file() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    let body: Vec<u8> = (0..50_u64 << 20).map(|n| (n % 251) as u8).collect();
    bucket.put_bytes("large", Bytes::from(body.clone())).await;
    asked(&gateway);
    assert!(gateway.get("/large").await.1 == body, "the content is right");
    assert_eq!(asked(&gateway), "7 GetObject", "8 MiB each");
    assert!(gateway.get("/large").await.1 == body, "the content is right");
    assert_eq!(asked(&gateway), "7 GetObject", "the same when it is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_of_many_pages() {
    // What is warm stays so, however long two thousand copies take here.
    let long = Duration::from_secs(600);
    let gateway = TestGateway::start_with(|config| buckets(config).cache.times.metadata = long).await;
    let bucket = gateway.bucket().await;
    for n in 0..2100 {
        bucket.put(&format!("t/{n:04}"), "").await;
    }
    asked(&gateway);
    assert_eq!(gateway.transfer("MOVE", "/t", "/u").await, 201);
    assert_eq!(
        asked(&gateway),
        "2100 CopyObject, 3 DeleteObjects, 1 HeadObject, 5 ListObjectsV2",
        "cold: three pages, the source's stat, and the root, which has no target"
    );
    assert_eq!(gateway.status("DELETE", "/u").await, 204);
    assert_eq!(asked(&gateway), "3 DeleteObjects, 3 ListObjectsV2", "warm");
    for n in 0..2100 {
        bucket.put(&format!("v/{n:04}"), "").await;
    }
    let (s3, state) = gateway.stop().await;
    let gateway = TestGateway::start_on(s3, state, |_| {}).await;
    assert_eq!(gateway.status("DELETE", "/v").await, 204);
    assert_eq!(asked(&gateway), "3 DeleteObjects, 1 HeadObject, 3 ListObjectsV2", "cold");
}

#[tokio::test(flavor = "multi_thread")]
async fn putting_a_large_file_where_nothing_is_known() {
    let gateway = over(&["d/f"]).await;
    assert_eq!(gateway.put("/d/large", vec![7_u8; 40 << 20]).await, 201);
    assert_eq!(
        asked(&gateway),
        "1 CompleteMultipartUpload, 1 CreateMultipartUpload, 2 HeadObject, 2 ListObjectsV2, 5 UploadPart"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_file_is_answered_with_the_same_headers() {
    let gateway = over(&["d/f.txt", "d/odd"]).await;
    for path in ["/d/f.txt", "/d/odd"] {
        let headers = async || {
            let answer = gateway.request("GET", path).send().await.unwrap();
            let mut headers = answer.headers().clone();
            headers.remove("date");
            let named =
                headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
            let headers: BTreeMap<String, String> = named.collect();
            (headers, answer.bytes().await.unwrap())
        };
        let cold = headers().await;
        asked(&gateway);
        assert_eq!(headers().await, cold);
        assert_eq!(asked(&gateway), "");
    }
}

/// Makes a file as clients do that make it empty first: lock, write, unlock.
async fn create(gateway: &TestGateway, agent: &str, path: &str) {
    let send = |method: &str| gateway.request(method, path).header("User-Agent", agent);
    if agent.starts_with("WebDAVFS") {
        assert_eq!(send("PUT").send().await.unwrap().status(), 201);
    }
    let answer = send("LOCK").body(LOCK).send().await.unwrap();
    let token = answer.headers()["lock-token"].to_str().unwrap().to_owned();
    let put = send("PUT").header("If", format!("({token})")).body("content").send().await.unwrap();
    assert!(put.status().is_success());
    assert_eq!(send("UNLOCK").header("Lock-Token", token).send().await.unwrap().status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_a_file_in_the_way_of_macos_and_davfs2() {
    for agent in ["WebDAVFS/3.0.0", "davfs2/1.6.1 neon/0.32.5"] {
        let gateway = warm(&["d/other"], &["/", "/d/"]).await;
        create(&gateway, agent, "/d/f").await;
        assert_eq!(asked(&gateway), "1 PutObject", "{agent}");
        assert_eq!(gateway.get("/d/f").await.1, "content");
        let gateway = over(&["d/other"]).await;
        create(&gateway, agent, "/d/f").await;
        let cold = asked(&gateway);
        assert_eq!(cold, "2 HeadObject, 2 ListObjectsV2, 1 PutObject", "{agent}: stats of target and parent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finders_probes() {
    let gateway = over(&["d/f"]).await;
    for path in ["/._f", "/.DS_Store", "/d/._f", "/d/.localized", "/.hidden", "/.Trashes"] {
        let probe =
            gateway.request("PROPFIND", path).header("User-Agent", "WebDAVFS/3.0.0").header("Depth", "0");
        assert_eq!(probe.send().await.unwrap().status(), 404, "{path}");
    }
    assert_eq!(asked(&gateway), "");
}
