//! One test a section of `src/fs/s3/SEMANTICS.md`, by its name.

use std::time::Duration;

use s3dav::embedded::Action;

use crate::harness::{TestGateway, buckets, eventually, open_uploads, xml};
use crate::pending::{Away, cut_off};

const AWAY: Action =
    Action::Fail { status: 503, code: "SlowDown", message: "Please reduce your request rate" };
const EXPIRED: Action =
    Action::Fail { status: 400, code: "ExpiredToken", message: "The provided token has expired" };

#[test]
fn every_section_has_its_test() {
    let document = include_str!("../../src/fs/s3/SEMANTICS.md");
    let tests = include_str!("semantics.rs");
    let sections: Vec<&str> = document.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(sections.len() >= 10);
    for section in sections {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        let name: String = section.chars().filter(|c| *c != ',').map(plain).collect();
        assert!(tests.contains(&format!("async fn {name}()")), "{section}: {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_plain_object() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    // Before the gateway lists anything, as it does for a name that has several spellings.
    bucket.put("from/elsewhere", "x").await;
    assert_eq!(gateway.put("/Gr%C3%BC%C3%9Fe%20%26%20mehr.txt", "hallo").await, 201);
    assert_eq!(bucket.get("Grüße & mehr.txt").await.unwrap(), "hallo");
    assert_eq!(gateway.get("/from/elsewhere").await, (200, "x".into()));
    let patch = xml::set("<x xmlns=\"urn:x\">1</x>");
    gateway.request("PROPPATCH", "/from/elsewhere").body(patch).send().await.unwrap();
    assert_eq!(bucket.keys().await, ["Grüße & mehr.txt", "from/elsewhere"], "nothing of ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn success_means_stored() {
    let gateway =
        TestGateway::start_with(|config| config.service.request_budget = Some(Duration::from_millis(300)))
            .await;
    let bucket = gateway.bucket().await;
    bucket.put("file", "old").await;
    gateway.hooks().next(usize::MAX, "PutObject", AWAY);
    assert_eq!(gateway.put("/file", "new").await, 503);
    assert_eq!(bucket.get("file").await.unwrap(), "old");
    gateway.hooks().heal();
    gateway.hooks().next(usize::MAX, "UploadPart", AWAY);
    assert_eq!(gateway.put("/file", vec![0_u8; 30 << 20]).await, 503);
    assert_eq!(bucket.get("file").await.unwrap(), "old");
    crate::harness::eventually("the upload is aborted", || async {
        open_uploads(gateway.s3()).await.is_empty()
    })
    .await;
    gateway.hooks().heal();
    // The destination stays until it is replaced.
    bucket.put("source", "source").await;
    gateway.hooks().next(usize::MAX, "CopyObject", AWAY);
    assert_eq!(gateway.transfer("MOVE", "/source", "/file").await, 503);
    assert_eq!(bucket.get("file").await.unwrap(), "old");
    assert_eq!(bucket.get("source").await.unwrap(), "source");
    gateway.hooks().heal();
    assert_eq!(gateway.transfer("MOVE", "/source", "/file").await, 204);
    assert_eq!(bucket.keys().await, ["file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_while_s3_is_away_is_kept() {
    let budget = |config: &mut s3dav::config::Config| {
        config.service.request_budget = Some(Duration::from_secs(1));
    };
    let mut away = Away::start_with(budget).await;
    for (key, content) in [("d/doc", "old"), ("d/gone", "x"), ("d/old", "x"), ("e/unseen", "x")] {
        away.bucket.put(key, content).await;
    }
    assert_eq!(away.mac.list("/d/").await.len(), 4);
    away.door.shut().await;
    assert_eq!(away.gateway.put("/d/doc", "others are told").await, 503);
    let own = away.mac.request("PUT", "/d/doc").header("If-Match", "\"x\"").body("own condition");
    assert!(!own.send().await.unwrap().status().is_success());
    assert_eq!(away.mac.look("/e/unseen").await, 503, "nothing is known of it");
    assert_eq!(away.save("/d/doc", "kept").await, 204);
    assert_eq!(away.mac.rename("/d/old", "/d/moved").await, 201);
    assert_eq!(away.mac.status("DELETE", "/d/gone").await, 204);
    assert_eq!(away.mac.rename("/d", "/f").await, 503, "only S3 can do that");
    assert_eq!(away.gateway.get("/d/doc").await, (200, "kept".into()), "all clients see it");
    let mut away = away.restarted().await;
    assert_eq!(away.gateway.get("/d/doc").await, (200, "kept".into()), "after a restart, too");
    away.door.open().await;
    away.drained().await;
    let wanted = ["d/doc", "d/moved", "e/unseen"];
    eventually("everything is made", || async { away.bucket.keys().await == wanted }).await;
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_journal_changes_are_answered_before_s3_has_them() {
    let journal = |config: &mut s3dav::config::Config| {
        let source = crate::harness::buckets(config);
        source.file_system.durability = s3dav::store::journal::Durability::Journal;
        source.journal_delay = Duration::from_secs(1);
    };
    let away = Away::start_with(journal).await;
    away.bucket.put("d/doc", "old").await;
    away.bucket.put("d/gone", "x").await;
    assert_eq!(away.mac.list("/d/").await.len(), 3);
    assert_eq!(away.save("/d/doc", "newer").await, 204);
    assert_eq!(away.gateway.put("/d/new", "of another client").await, 201);
    assert_eq!(away.mac.status("DELETE", "/d/gone").await, 204);
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "old", "S3 has it later");
    assert_eq!(away.gateway.get("/d/doc").await, (200, "newer".into()), "all clients see it");
    let own = away.gateway.request("PUT", "/d/doc").header("If-Match", "\"x\"").body("own condition");
    assert_eq!(own.send().await.unwrap().status(), 412);
    away.drained().await;
    assert_eq!(away.bucket.keys().await, ["d/doc", "d/new"]);
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "newer");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_resume() {
    let (mut away, content) = cut_off().await;
    assert_eq!(away.finish(&content).await, [5, 6, 7, 8, 9], "S3 had the first four parts");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_silently_overwritten() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    bucket.put("shared.txt", "original").await;
    // Somebody else writes between the gateway's look and its write.
    let gate = s3dav::embedded::Gate::default();
    gateway.hooks().next(1, "HeadObject", Action::Hold(gate.clone()));
    let request = gateway.request("PUT", "/file").header("If-None-Match", "*").body("mine");
    let put = tokio::spawn(async move { request.send().await.unwrap().status().as_u16() });
    gate.reached().await;
    bucket.put("file", "theirs").await;
    gate.open();
    assert_eq!(put.await.unwrap(), 412);
    assert_eq!(bucket.get("file").await.unwrap(), "theirs");
    // An answer that was lost is not a conflict with ourselves.
    gateway.hooks().next(1, "PutObject", Action::ApplyThenFail);
    let put = gateway.request("PUT", "/new").header("If-None-Match", "*").body("mine").send().await.unwrap();
    assert_eq!(put.status(), 201);
    assert_eq!(bucket.get("new").await.unwrap(), "mine");
    // Two clients that have seen the same: who comes second keeps his content beside the first.
    let by = |client: &'static str, method, body: &'static str| {
        let request = gateway.request(method, "/shared.txt").header("User-Agent", client);
        async move { request.body(body).send().await.unwrap().status().as_u16() }
    };
    assert_eq!((by("one/1", "GET", "").await, by("two/1", "GET", "").await), (200, 200));
    assert_eq!(by("one/1", "PUT", "of one").await, 204);
    assert_eq!(by("two/1", "PUT", "of two").await, 204);
    assert_eq!(bucket.get("shared.txt").await.unwrap(), "of one");
    let keys = bucket.keys().await;
    let copy =
        keys.iter().find(|key| key.starts_with("shared (conflict ") && key.ends_with(").txt")).unwrap();
    assert_eq!(bucket.get(copy).await.unwrap(), "of two");
    // A move of what somebody else changed moves the change.
    assert_eq!(gateway.transfer("MOVE", "/shared.txt", "/moved.txt").await, 201);
    assert_eq!(bucket.get("moved.txt").await.unwrap(), "of one");
}

#[tokio::test(flavor = "multi_thread")]
async fn staleness_is_bounded() {
    let ttl = Duration::from_millis(400);
    let gateway = TestGateway::start_with(|config| buckets(config).cache.times.metadata = ttl).await;
    let bucket = gateway.bucket().await;
    bucket.put("d/f", "old").await;
    assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/", "/d/f"]);
    assert_eq!(gateway.get("/d/f").await.1, "old");
    bucket.put("d/f", "new").await;
    bucket.put("d/g", "new").await;
    let begun = std::time::Instant::now();
    assert_eq!(gateway.put("/d/own", "own").await, 201);
    assert!(gateway.hrefs("/d/", "1").await.contains(&"/d/own".to_owned()), "at once");
    crate::harness::eventually("others' changes are seen", || async {
        gateway.hrefs("/d/", "1").await == ["/d/", "/d/f", "/d/g", "/d/own"]
            && gateway.get("/d/f").await.1 == "new"
    })
    .await;
    assert!(begun.elapsed() < ttl * 10, "soon: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn dates() {
    let gateway = TestGateway::start().await;
    let put =
        gateway.request("PUT", "/file").header("X-OC-Mtime", "1700000000").body("x").send().await.unwrap();
    assert_eq!(put.headers()["x-oc-mtime"], "accepted");
    let date = |answer: &reqwest::Response| answer.headers()["last-modified"].to_str().unwrap().to_owned();
    let head = gateway.request("HEAD", "/file").send().await.unwrap();
    let modified = date(&head);
    let text = gateway
        .propfind("/file", "0", &xml::propfind("<D:getlastmodified/><mtime xmlns=\"urn:s3dav\"/>"))
        .await;
    let text = text.text().await.unwrap();
    assert!(text.contains(&modified) && text.contains(">1700000000<"), "{text}");
    let since =
        |value: &str| gateway.request("GET", "/file").header("If-Modified-Since", value.to_owned()).send();
    assert_eq!(since(&modified).await.unwrap().status(), 304);
    assert_eq!(since("Fri, 01 Jan 2100 00:00:00 GMT").await.unwrap().status(), 200, "older is not the same");
    // A folder's date moves with its children, the same in both views.
    gateway.status("MKCOL", "/d").await;
    let folder_date = || async {
        let own = gateway.propfind("/d/", "0", "").await.text().await.unwrap();
        let seen = own.split("<D:getlastmodified>").nth(1).unwrap().split('<').next().unwrap().to_owned();
        let parent = gateway.propfind("/", "1", "").await.text().await.unwrap();
        let entry = parent.split("<D:href>/d/</D:href>").nth(1).unwrap();
        assert!(entry.split("</D:response>").next().unwrap().contains(&seen));
        seen
    };
    let before = folder_date().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    gateway.put("/d/x", "1").await;
    let after = folder_date().await;
    assert_ne!(after, before);
    // It stays over a restart, and moves when a listing shows that others changed something.
    gateway.hrefs("/d/", "1").await;
    let (s3, state) = gateway.stop().await;
    let gateway = TestGateway::start_on(s3, state, |config| {
        buckets(config).cache.times.metadata = Duration::ZERO;
    })
    .await;
    let folder_date = || async {
        let own = gateway.propfind("/d/", "0", "").await.text().await.unwrap();
        own.split("<D:getlastmodified>").nth(1).unwrap().split('<').next().unwrap().to_owned()
    };
    assert_eq!(folder_date().await, after);
    gateway.hrefs("/d/", "1").await;
    assert_eq!(folder_date().await, after, "nothing has changed");
    gateway.bucket().await.put("d/y", "theirs").await;
    gateway.hrefs("/d/", "1").await;
    assert_ne!(folder_date().await, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders() {
    let gateway = TestGateway::forgetful().await;
    let bucket = gateway.bucket().await;
    assert_eq!(gateway.status("MKCOL", "/made").await, 201);
    assert_eq!(bucket.keys().await, ["made/"]);
    bucket.put("implied/deep/file", "x").await;
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/implied/", "/made/"]);
    assert_eq!(gateway.hrefs("/implied", "1").await, ["/implied/", "/implied/deep/"]);
    assert_eq!(gateway.status("DELETE", "/implied/deep/file").await, 204);
    assert_eq!(gateway.hrefs("/implied/deep", "1").await, ["/implied/deep/"], "it stays");
    bucket.put("other/file", "x").await;
    assert_eq!(gateway.transfer("MOVE", "/other/file", "/made/file").await, 201);
    assert_eq!(gateway.hrefs("/other", "1").await, ["/other/"]);
    assert_eq!(gateway.status("DELETE", "/implied/deep").await, 204);
    assert_eq!(bucket.keys().await, ["implied/", "made/", "made/file", "other/"]);
    // A file may replace a folder, and a folder a file.
    gateway.put("/file", "f").await;
    assert_eq!(gateway.transfer("COPY", "/file", "/made").await, 204);
    assert_eq!(bucket.keys().await, ["file", "implied/", "made", "other/"]);
    assert_eq!(gateway.transfer("MOVE", "/implied", "/file").await, 204);
    assert_eq!(bucket.keys().await, ["file/", "made", "other/"]);
    bucket.put("both", "object").await;
    bucket.put("both/child", "x").await;
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/both/", "/file/", "/made", "/other/"]);
    assert_eq!(gateway.hrefs("/both", "0").await, ["/both/"]);
    assert_eq!(gateway.get("/both").await, (200, "object".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn names() {
    let gateway = TestGateway::forgetful().await;
    let bucket = gateway.bucket().await;
    let (nfc, nfd) = ("/caf%C3%A9/%C3%BC", "/cafe%CC%81/u%CC%88");
    bucket.put("caf\u{e9}/\u{fc}", "composed").await;
    for path in [nfc, nfd, "/caf%C3%A9/u%CC%88"] {
        assert_eq!(gateway.get(path).await, (200, "composed".into()), "{path}");
    }
    assert_eq!(gateway.put(nfd, "overwritten").await, 204);
    assert_eq!(bucket.keys().await, ["caf\u{e9}/\u{fc}"], "the same object");
    assert_eq!(
        gateway.hrefs("/cafe%CC%81/", "1").await,
        ["/cafe%CC%81/", "/cafe%CC%81/%C3%BC"],
        "the parent as it was asked for"
    );
    // Where both exist the exact one counts.
    bucket.put("cafe\u{301}/u\u{308}", "decomposed").await;
    assert_eq!(gateway.get(nfd).await.1, "decomposed");
    assert_eq!(gateway.get(nfc).await.1, "overwritten");
    // New names: as sent, but composed for macOS.
    gateway.put("/new-e%CC%81", "x").await;
    let finder =
        gateway.request("PUT", "/finder-e%CC%81").header("User-Agent", "WebDAVFS/3.0.0 (03008000)").body("x");
    assert_eq!(finder.send().await.unwrap().status(), 201);
    let keys = bucket.keys().await;
    assert!(
        keys.contains(&"new-e\u{301}".to_owned()) && keys.contains(&"finder-\u{e9}".to_owned()),
        "{keys:?}"
    );
    assert_eq!(gateway.transfer("MOVE", "/finder-e%CC%81", "/moved").await, 201);
    assert_eq!(gateway.status("DELETE", nfd).await, 204);
    assert_eq!(gateway.put(&format!("/{}", "n".repeat(255)), "x").await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_keys() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    let hidden = ["d//x", "d/./y", "d/bell\u{7}", "d/full/", "d/shadowed"];
    for key in hidden.into_iter().chain(["d/seen", "d/shadowed/child"]) {
        bucket.put(key, key).await;
    }
    assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/", "/d/full/", "/d/seen", "/d/shadowed/"]);
    let metrics = String::from_utf8(gateway.get("/.s3dav/metrics").await.1.to_vec()).unwrap();
    assert!(!metrics.contains("s3dav_hidden_keys_total 0"), "they are counted");
    assert_eq!(gateway.transfer("COPY", "/d", "/copy").await, 201);
    assert_eq!(bucket.get("copy//x").await.unwrap(), "d//x");
    assert_eq!(bucket.get("copy/shadowed").await.unwrap(), "d/shadowed");
    assert_eq!(gateway.transfer("MOVE", "/copy", "/moved").await, 201);
    assert_eq!(bucket.keys().await.iter().filter(|key| key.starts_with("moved/")).count(), 7);
    let refusal = gateway.request("DELETE", "/d").send().await.unwrap();
    assert_eq!(refusal.status(), 409);
    let text = refusal.text().await.unwrap();
    assert!(
        text.contains("5 object(s)") && text.contains("d//x") && text.contains("--delete-hidden"),
        "{text}"
    );
    assert_eq!(bucket.keys().await.len(), 14, "nothing was deleted");
    gateway.put("/plain", "x").await;
    assert_eq!(gateway.transfer("MOVE", "/plain", "/d").await, 409, "nor replaced");
    let (s3, state) = gateway.stop().await;
    let gateway =
        TestGateway::start_on(s3, state, |config| buckets(config).file_system.delete_hidden = true).await;
    assert_eq!(gateway.status("DELETE", "/d").await, 204);
    assert_eq!(gateway.status("DELETE", "/moved").await, 204);
    assert_eq!(bucket.keys().await, ["plain"]);
    assert_eq!(gateway.put("//new//name", "x").await, 409, "an empty segment means nothing");
    assert_eq!(gateway.put("//name", "x").await, 201);
    assert_eq!(bucket.keys().await, ["name", "plain"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_never_emptied_by_a_slip() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    bucket.put("a/b", "x").await;
    for path in ["/", ""] {
        assert_eq!(gateway.status("DELETE", path).await, 403, "{path:?}");
        assert_eq!(gateway.transfer("MOVE", path, "/x").await, 403, "{path:?}");
        assert_eq!(gateway.transfer("COPY", "/a", if path.is_empty() { "/" } else { path }).await, 403);
    }
    assert_eq!(bucket.keys().await, ["a/b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_5xx_for_what_can_wait() {
    let gateway =
        TestGateway::start_with(|config| config.service.request_budget = Some(Duration::from_secs(8))).await;
    gateway.bucket().await.put("file", "content").await;
    // Longer than the SDK tries by itself.
    for operation in ["HeadObject", "ListObjectsV2", "GetObject", "PutObject"] {
        gateway.hooks().next(5, operation, AWAY);
    }
    assert_eq!(gateway.get("/file").await, (200, "content".into()));
    assert_eq!(gateway.put("/file", "new").await, 204);
    gateway.hooks().heal();
    let (s3, state) = gateway.stop().await;
    let gateway = TestGateway::start_on(s3, state, |config| {
        config.service.request_budget = Some(Duration::from_millis(300))
    })
    .await;
    gateway.hooks().always(AWAY);
    let requests = [
        ("GET", "/file"),
        ("HEAD", "/file"),
        ("PROPFIND", "/file"),
        ("DELETE", "/file"),
        ("PUT", "/new"),
        ("MKCOL", "/new"),
        ("LOCK", "/file"),
    ];
    for (method, path) in requests {
        let info = xml::EXCLUSIVE;
        let request = gateway.request(method, path);
        let request = if method == "LOCK" { request.body(info) } else { request };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 503, "{method}");
        assert_eq!(answer.headers()["retry-after"], "5", "{method}");
    }
    for method in ["COPY", "MOVE"] {
        assert_eq!(gateway.transfer(method, "/file", "/other").await, 503, "{method}");
    }
    gateway.hooks().heal();
    // A portal's page is no S3 server's answer, whatever its status.
    gateway.hooks().always(Action::CaptivePortal);
    for (method, path) in [("GET", "/file"), ("PUT", "/file"), ("PROPFIND", "/nothing"), ("PROPFIND", "/d/")]
    {
        assert_eq!(gateway.status(method, path).await, 503, "{method} {path}");
    }
    gateway.hooks().heal();
    // What is known is answered for while S3 is away, however old; what is not known, is not.
    let (s3, state) = gateway.stop().await;
    let gateway = TestGateway::start_on(s3, state, |config| {
        config.service.request_budget = Some(Duration::from_millis(300));
        buckets(config).cache.times.metadata = Duration::from_millis(50);
    })
    .await;
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/file"]);
    assert_eq!(gateway.get("/file").await.0, 200);
    tokio::time::sleep(Duration::from_millis(100)).await;
    gateway.hooks().always(AWAY);
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/file"]);
    assert_eq!(gateway.get("/file").await, (200, "new".into()));
    assert_eq!(gateway.status("HEAD", "/file").await, 200);
    assert_eq!(gateway.status("HEAD", "/other").await, 503, "an absence must be proven");
    gateway.hooks().heal();
    assert_eq!(gateway.bucket().await.contents().await.len(), 1, "nothing came of any of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_credentials_is_weather() {
    let gateway = TestGateway::start().await;
    gateway.bucket().await.put("file", "content").await;
    gateway.hooks().always(EXPIRED);
    let begun = std::time::Instant::now();
    assert_eq!(gateway.status("GET", "/file").await, 503);
    assert!(begun.elapsed() < Duration::from_secs(5), "others are told at once");
    assert_eq!(gateway.status("OPTIONS", "/").await, 200);
    // macOS waits, and is served when they are renewed.
    let request = gateway
        .request("GET", "/file")
        .header("User-Agent", "WebDAVFS/3.0.0 (03008000) Darwin/25.2.0 (arm64)");
    let waiting = tokio::spawn(async move { request.send().await.unwrap().text().await.unwrap() });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!waiting.is_finished());
    gateway.hooks().heal();
    assert_eq!(waiting.await.unwrap(), "content");
    assert_eq!(gateway.get("/file").await, (200, "content".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_and_locks_stay_here() {
    let gateway = TestGateway::start().await;
    let patch = xml::set("<x xmlns=\"urn:x\">kept</x>");
    let has = |path: &'static str| {
        let gateway = &gateway;
        async move { gateway.propfind(path, "0", "").await.text().await.unwrap().contains("kept") }
    };
    gateway.status("MKCOL", "/d").await;
    gateway.put("/d/f", "1").await;
    for path in ["/d", "/d/f"] {
        assert_eq!(
            gateway.request("PROPPATCH", path).body(patch.clone()).send().await.unwrap().status(),
            207
        );
    }
    assert_eq!(gateway.transfer("COPY", "/d", "/copy").await, 201);
    assert!(has("/copy").await && has("/copy/f").await && has("/d/f").await);
    assert_eq!(gateway.transfer("MOVE", "/d", "/moved").await, 201);
    assert!(has("/moved/f").await);
    gateway.put("/moved/f", "2").await;
    assert!(has("/moved/f").await, "a new content keeps them");
    gateway.status("DELETE", "/moved").await;
    gateway.status("MKCOL", "/moved").await;
    gateway.put("/moved/f", "3").await;
    assert!(!has("/moved").await && !has("/moved/f").await, "a new file of the old name has none");
    gateway.put("/plain", "x").await;
    assert_eq!(gateway.transfer("COPY", "/plain", "/copy/f").await, 204);
    assert!(!has("/copy/f").await, "a replaced file has those of its replacement");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_macos_keeps_beside_files_stays_here() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    gateway.put("/file", "x").await;
    gateway.hooks().reset();
    let finder =
        |method: &str, path: &str| gateway.request(method, path).header("User-Agent", "WebDAVFS/3.0.0");
    assert_eq!(finder("PUT", "/._file").body("attributes").send().await.unwrap().status(), 201);
    assert_eq!(gateway.hooks().total(), 0);
    assert_eq!(gateway.get("/._file").await.0, 404);
    assert_eq!(bucket.keys().await, ["file"]);
    assert_eq!(gateway.transfer("MOVE", "/file", "/moved").await, 201);
    assert_eq!(finder("GET", "/._moved").send().await.unwrap().text().await.unwrap(), "attributes");
    assert_eq!(gateway.put("/._moved", "a file of this name").await, 201, "of other clients it is one");
    assert_eq!(bucket.get("._moved").await.unwrap(), "a file of this name");
}
