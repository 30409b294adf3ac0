//! Nobody's work is lost: two gateways and a plain S3 program write to one bucket at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use s3dav::embedded::Action;
use s3dav::object::{Attributes, Condition, Key};
use s3dav::spool::Quota;
use s3dav::store::PutObject;
use tokio::sync::oneshot;

use crate::harness::{Bucket, TestGateway, buckets, embedded, xml};

const LOCK: &str = xml::EXCLUSIVE;

/// What races in a round.
#[derive(Debug, Clone, Copy)]
enum Race {
    PutPut,
    MoveOntoPut,
    MoveAwayPut,
    DeletePut,
    MultipartPut,
    PutPlain,
    MovePlain,
    MultipartPlain,
}

const RACES: [Race; 8] = [
    Race::PutPut,
    Race::MoveOntoPut,
    Race::MoveAwayPut,
    Race::DeletePut,
    Race::MultipartPut,
    Race::PutPlain,
    Race::MovePlain,
    Race::MultipartPlain,
];

const ROUNDS: usize = 1000;

/// Numbers that look random and are the same each time.
fn shuffled(seed: usize) -> usize {
    let mut x = (seed as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) as usize
}

/// A little time, so that now one is first and now the other.
async fn jitter(seed: usize) {
    tokio::time::sleep(Duration::from_micros((shuffled(seed) % 2500) as u64)).await;
}

async fn plain_put(bucket: &Bucket, key: &str, body: &str, replaces: &Condition) -> bool {
    let body = body.to_owned().into();
    let (key, attributes) = (&Key::new(key).unwrap(), &Attributes::default());
    bucket.store().put(PutObject { key, body, attributes, condition: replaces }).await.is_ok()
}

/// Runs one round below `r{n}/`; returns what was acknowledged and must be found.
async fn round(n: usize, a: &TestGateway, b: &TestGateway, bucket: &Bucket) -> Vec<String> {
    let race = RACES[n % RACES.len()];
    let (key, path, temporary) = (format!("r{n}/doc"), format!("/r{n}/doc"), format!("/r{n}/tmp"));
    let (mine, theirs) = (format!("a's content of round {n}"), format!("b's content of round {n}"));
    let original = bucket.store().head(&Key::new(&key).unwrap()).await.unwrap().etag;
    // Both have seen the original: that is what they mean to replace.
    assert_eq!(a.get(&path).await.1, "original");
    assert_eq!(b.get(&path).await.1, "original");
    let large = format!("{mine}{}", ".".repeat(100_000));
    let mine = if matches!(race, Race::MultipartPut | Race::MultipartPlain) { large } else { mine };
    if matches!(race, Race::MoveOntoPut | Race::MovePlain) {
        assert_eq!(a.put(&temporary, mine.clone()).await, 201);
    }
    if n.is_multiple_of(11) {
        // An answer is lost: whoever it hits must not take its own object for another's.
        bucket.store().head(&Key::new(&key).unwrap()).await.unwrap();
        a.hooks().next(1, "PutObject", Action::ApplyThenFail);
    }
    let first = async {
        jitter(n * 2).await;
        match race {
            Race::PutPut | Race::PutPlain | Race::MultipartPut | Race::MultipartPlain => {
                a.put(&path, mine.clone()).await
            }
            Race::MoveOntoPut | Race::MovePlain => a.transfer("MOVE", &temporary, &path).await,
            Race::MoveAwayPut => a.transfer("MOVE", &path, &format!("/r{n}/moved")).await,
            Race::DeletePut => a.status("DELETE", &path).await,
        }
    };
    let second = async {
        jitter(n * 2 + 1).await;
        match race {
            Race::PutPlain | Race::MovePlain | Race::MultipartPlain => {
                let replaces = Condition::IfMatch(original);
                if plain_put(bucket, &key, &theirs, &replaces).await { 201 } else { 412 }
            }
            _ => b.put(&path, theirs.clone()).await,
        }
    };
    let (first, second) = tokio::join!(first, second);
    a.hooks().heal();
    let mut acknowledged = Vec::new();
    if (200..300).contains(&first) && !matches!(race, Race::DeletePut | Race::MoveAwayPut) {
        acknowledged.push(mine);
    }
    if (200..300).contains(&second) {
        acknowledged.push(theirs);
    }
    let may_fail = matches!(race, Race::DeletePut) || n.is_multiple_of(11);
    assert!(may_fail || (200..300).contains(&first), "{race:?}: {first}");
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_content_is_found_after_a_thousand_races() {
    let s3 = embedded().await;
    let start = async |s3| {
        TestGateway::start_on(s3, Arc::new(tempfile::tempdir().unwrap()), |config| {
            buckets(config).uploads.multipart_threshold = 50_000;
        })
        .await
    };
    let (a, b) = (start(Arc::clone(&s3)).await, start(s3).await);
    let bucket = a.bucket().await;
    for n in 0..ROUNDS {
        bucket.put(&format!("r{n}/doc"), "original").await;
    }
    let mut expected = Vec::new();
    for n in 0..ROUNDS {
        let contents = round(n, &a, &b, &bucket).await;
        expected.extend(contents.into_iter().map(|content| (n, content)));
    }
    let found = bucket.contents().await;
    for (n, content) in &expected {
        let prefix = format!("r{n}/");
        let is_there = found.iter().any(|(key, body)| key.starts_with(&prefix) && *body == *content);
        let keys: Vec<&String> = found.keys().filter(|key| key.starts_with(&prefix)).collect();
        assert!(is_there, "{:?}, round {n}: {:.30} is lost; there are {keys:?}", RACES[n % 8], content);
    }
    let copies = found.keys().filter(|key| key.contains(" (conflict ")).count();
    assert!(expected.len() > ROUNDS && copies > ROUNDS / 10, "{} contents, {copies} copies", expected.len());
    let metrics = String::from_utf8(a.get("/.s3dav/metrics").await.1.to_vec()).unwrap();
    assert!(!metrics.contains("s3dav_conflicts_total 0"));
    assert!(found.keys().all(|key| !key.ends_with("/tmp")), "what was moved is gone from where it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn saving_safely_makes_no_conflict_copies() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    bucket.put("doc.txt", "first").await;
    assert_eq!(gateway.get("/doc.txt").await.1, "first");
    for n in 0..20 {
        let content = format!("version {n}");
        assert_eq!(gateway.put("/doc.tmp", content.clone()).await, 201);
        assert_eq!(gateway.transfer("MOVE", "/doc.txt", "/doc.bak").await, if n == 0 { 201 } else { 204 });
        assert_eq!(gateway.transfer("MOVE", "/doc.tmp", "/doc.txt").await, 201);
        if n % 2 == 0 {
            assert_eq!(gateway.put("/doc.tmp", content.clone()).await, 201);
            assert_eq!(gateway.transfer("MOVE", "/doc.tmp", "/doc.txt").await, 204, "straight over it");
        }
        if n % 3 == 0 {
            assert_eq!(gateway.put("/doc.txt", content.clone()).await, 204, "or in place");
        }
        assert_eq!(gateway.get("/doc.txt").await.1, content);
    }
    assert_eq!(bucket.keys().await, ["doc.bak", "doc.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_keeps_his_content_beside_the_winners() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    bucket.put("d/letter.txt", "original").await;
    bucket.put("gone", "original").await;
    assert_eq!(gateway.get("/d/letter.txt").await.1, "original");
    bucket.put("d/letter.txt", "theirs").await;
    let answer = gateway.request("PUT", "/d/letter.txt").body("mine").send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert!(!answer.headers().contains_key("etag"), "the object is not what was sent");
    let contents = bucket.contents().await;
    assert_eq!(contents["d/letter.txt"], "theirs");
    let (copy, content) = contents.iter().find(|(key, _)| key.contains("(conflict ")).unwrap();
    assert_eq!(content, "mine");
    assert!(copy.starts_with("d/letter (conflict ") && copy.ends_with(").txt"), "{copy}");
    assert_eq!(gateway.hrefs("/d/", "1").await.len(), 3, "both are seen");
    assert_eq!(gateway.get("/d/letter.txt").await.1, "theirs");
    // Who asks for the condition himself is told.
    let stale = gateway.request("PUT", "/d/letter.txt").header("If-Match", "\"0123\"").body("x");
    assert_eq!(stale.send().await.unwrap().status(), 412);
    let new = gateway.request("PUT", "/d/letter.txt").header("If-None-Match", "*").body("x");
    assert_eq!(new.send().await.unwrap().status(), 412);
    assert_eq!(bucket.keys().await.len(), 3);
    // What was deleted by others comes back under its own name.
    assert_eq!(gateway.get("/gone").await.1, "original");
    bucket.store().delete(&Key::new("gone").unwrap(), &Condition::None).await.unwrap();
    assert_eq!(gateway.put("/gone", "mine").await, 201);
    assert_eq!(bucket.get("gone").await.unwrap(), "mine");
    assert_eq!(bucket.keys().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_uploads_that_lose_are_kept_too() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    bucket.put("film.mov", "original").await;
    assert_eq!(gateway.get("/film.mov").await.1, "original");
    let body: Vec<u8> = (0..40_u64 << 20).map(|n| (n % 253) as u8).collect();
    bucket.put("film.mov", "theirs").await;
    assert_eq!(gateway.put("/film.mov", body.clone()).await, 204);
    let contents = bucket.contents().await;
    assert_eq!(contents["film.mov"], "theirs");
    let copy = contents.iter().find(|(key, _)| key.contains("(conflict ")).unwrap();
    assert!(*copy.1 == body, "the copy is whole");
    // Without room on disk the client is told, and nothing is acknowledged.
    let (s3, state) = gateway.stop().await;
    let gateway =
        TestGateway::start_on(s3, state, |config| buckets(config).intake.quota = Quota::of(0)).await;
    assert_eq!(gateway.get("/film.mov").await.1, "theirs");
    bucket.put("film.mov", "theirs again").await;
    assert_eq!(gateway.put("/film.mov", body).await, 409);
    assert_eq!(bucket.get("film.mov").await.unwrap(), "theirs again");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_a_new_name_leaves_the_winners_properties() {
    for gateway in TestGateway::both().await {
        let (begun, has_begun) = oneshot::channel();
        let (more, rest) = oneshot::channel();
        let first = stream::iter([Ok("lo")]);
        let last = stream::once(async {
            begun.send(()).unwrap();
            rest.await.map(|()| "st")
        });
        let request = gateway.request("PUT", "/f").header("User-Agent", "slow/1");
        let losing = tokio::spawn(request.body(reqwest::Body::wrap_stream(first.chain(last))).send());
        has_begun.await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(gateway.put("/f", "won").await, 201);
        let colour = xml::set("<x:colour xmlns:x=\"urn:x\">red</x:colour>");
        assert_eq!(gateway.request("PROPPATCH", "/f").body(colour).send().await.unwrap().status(), 207);
        more.send(()).unwrap();
        assert_eq!(losing.await.unwrap().unwrap().status(), 201);
        assert_eq!(gateway.get("/f").await.1, "won");
        let asked = xml::propfind("<x:colour xmlns:x=\"urn:x\"/>");
        let told = gateway.propfind("/f", "0", &asked).await.text().await.unwrap();
        assert!(told.contains("red"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_that_comes_second_is_no_conflict() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    assert_eq!(gateway.hrefs("/", "1").await, ["/"]);
    bucket.put("new", "theirs").await;
    assert_eq!(gateway.put("/new", "").await, 201);
    bucket.put("locked", "theirs").await;
    let lock = gateway.request("LOCK", "/locked").body(LOCK).send().await.unwrap();
    assert!(lock.status().is_success(), "{}", lock.status());
    assert_eq!(bucket.contents().await.values().collect::<Vec<_>>(), ["theirs", "theirs"]);
    assert_eq!(gateway.get("/new").await.1, "theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_what_somebody_else_changed_is_refused_once() {
    for finder in [false, true] {
        let gateway = TestGateway::start().await;
        let bucket = gateway.bucket().await;
        bucket.put("file", "original").await;
        assert_eq!(gateway.get("/file").await.1, "original");
        bucket.put("file", "theirs").await;
        let delete = || {
            let request = gateway.request("DELETE", "/file");
            if finder { request.header("User-Agent", "WebDAVFS/3.0.0") } else { request }.send()
        };
        assert_eq!(delete().await.unwrap().status(), if finder { 423 } else { 412 });
        assert_eq!(bucket.get("file").await.unwrap(), "theirs");
        assert_eq!(delete().await.unwrap().status(), 204, "now it is known");
        assert!(bucket.get("file").await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_changes_while_it_is_moved_loses_nothing() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for n in 0..30 {
        bucket.put(&format!("t/{n:02}"), "original").await;
    }
    let gate = s3dav::embedded::Gate::default();
    gateway.hooks().next(1, "CopyObject", Action::Hold(gate.clone()));
    let request =
        gateway.request("MOVE", "/t").header("Destination", format!("{}/moved", gateway.url)).send();
    let moving = tokio::spawn(request);
    crate::harness::eventually("all are being copied", || async {
        gateway.hooks().count("CopyObject") == 30
    })
    .await;
    bucket.put("t/07", "theirs").await;
    bucket.put("t/new", "theirs").await;
    gate.open();
    assert_eq!(moving.await.unwrap().unwrap().status(), 201);
    let contents = bucket.contents().await;
    assert_eq!(contents["moved/07"], "theirs", "moved again in its new version");
    assert_eq!(contents["t/new"], "theirs", "what came later stays");
    assert_eq!(contents.len(), 31);
    assert!(contents.keys().all(|key| !key.contains("conflict")));
}

/// A folder whose path has so many bytes.
fn deep_folder(bytes: usize) -> String {
    let mut folder = "t/".to_owned();
    while folder.len() + 101 < bytes {
        folder.push_str(&format!("{}/", "d".repeat(60)));
    }
    format!("{folder}{}", "e".repeat(bytes - folder.len()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_loses_finds_room_beside_the_prefix_that_is_served() {
    let prefix = "p".repeat(200);
    let gateway = TestGateway::start_with(|config| {
        buckets(config).cache.times.metadata = Duration::ZERO;
        buckets(config).buckets[0].prefix = prefix.clone();
    })
    .await;
    let (bucket, key) = (gateway.bucket().await, format!("{}/letter.txt", deep_folder(800)));
    bucket.put(&format!("{prefix}/{key}"), "original").await;
    assert_eq!(gateway.get(&format!("/{key}")).await.1, "original");
    bucket.put(&format!("{prefix}/{key}"), "theirs").await;
    assert_eq!(gateway.put(&format!("/{key}"), "mine").await, 204);
    let files = shown_files(&gateway).await;
    let copy = files.iter().find(|href| href.contains("conflict")).unwrap();
    assert_eq!(gateway.get(copy).await.1, "mine");
}

/// A path as a header has it.
fn encoded(path: &str) -> String {
    let names = path.split('/').map(|name| utf8_percent_encode(name, NON_ALPHANUMERIC).to_string());
    names.collect::<Vec<_>>().join("/")
}

/// Every file that clients are shown.
async fn shown_files(gateway: &TestGateway) -> Vec<String> {
    let (mut folders, mut files) = (vec!["/".to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for href in gateway.hrefs(&folder, "1").await.into_iter().filter(|href| *href != folder) {
            if href.ends_with('/') { &mut folders } else { &mut files }.push(href);
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn what_loses_finds_a_name_that_is_shown_however_long_its_own_is() {
    let keys = [
        format!("t/1. {}", "n".repeat(240)),
        format!("t/report 2.0 of the{}", " long night".repeat(20)),
        format!("t/{}.jpeg", "\u{e9}".repeat(125)),
        format!("{}/letter.txt", deep_folder(930)),
        format!("{}/letter.txt", deep_folder(1012)),
        format!("{}/{}.txt", deep_folder(780), "n".repeat(238)),
        format!("{}/a", deep_folder(1021)),
    ];
    for gateway in [TestGateway::forgetful().await, TestGateway::on_a_path().await] {
        let bucket = gateway.bucket().await;
        for key in &keys {
            let path = format!("/{key}");
            for by_move in [false, true] {
                bucket.put(key, "original").await;
                bucket.put("new", "mine").await;
                assert_eq!(gateway.get(&path).await.1, "original", "{key}");
                bucket.put(key, "theirs, and longer").await;
                let status = if by_move {
                    gateway.transfer("MOVE", "/new", &encoded(&path)).await
                } else {
                    gateway.put(&path, "mine").await
                };
                assert!(matches!(status, 201 | 204), "{status} for {key}");
                bucket.delete("new").await;
                let files = shown_files(&gateway).await;
                let copy = files.iter().find(|href| href.contains("conflict"));
                let copy = copy.unwrap_or_else(|| panic!("{files:?}"));
                assert_eq!(gateway.get(copy).await.1, "mine", "{key}");
                assert_eq!(gateway.get(&path).await.1, "theirs, and longer", "{key}");
                assert_eq!(files.len(), 2, "{files:?}");
                assert_eq!(gateway.status("DELETE", copy).await, 204);
                assert_eq!(gateway.status("DELETE", "/t").await, 204, "nothing is hidden in it");
                assert_eq!(bucket.keys().await.len(), 0, "{key}");
            }
        }
    }
}
