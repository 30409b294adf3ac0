//! Saves that are accepted: what everybody sees of them, and what S3 has afterwards.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use s3dav::embedded::Action;

use super::{Away, PATIENCE};
use crate::finder::client::Finder;
use crate::harness::{eventually, open_uploads};

/// Content of which no two pieces are alike.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_while_s3_is_away_is_accepted_shown_and_stored_later() {
    let mut away = Away::start().await;
    away.bucket.put("d/doc", "old").await;
    assert_eq!(away.mac.list("/d/").await.len(), 2);
    assert_eq!(away.mac.get("/d/doc").await.1, "old");
    away.door.shut().await;
    let begun = Instant::now();
    assert_eq!(away.save("/d/doc", "newer").await, 204);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(away.mac.get("/d/doc").await, (200, "newer".into()), "its own client sees it");
    assert_eq!(away.gateway.get("/d/doc").await, (200, "newer".into()), "and so do others");
    let listed = away.gateway.propfind("/d/", "1", "").await.text().await.unwrap();
    assert!(listed.contains("getcontentlength>5<"), "{listed}");
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "old", "S3 has nothing of it");
    away.door.open().await;
    eventually("it is stored", || async { away.bucket.get("d/doc").await.unwrap() == "newer" }).await;
    away.drained().await;
    assert_eq!(away.bucket.keys().await, ["d/doc"]);
    assert_eq!(away.save("/d/doc", "newest").await, 204);
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "newest", "the next one is written on it");
    assert_eq!(away.bucket.keys().await, ["d/doc"], "and not beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_in_a_folder_that_is_known_is_accepted() {
    let mut away = Away::start().await;
    away.bucket.put("d/other", "x").await;
    assert_eq!(away.mac.list("/d/").await.len(), 2);
    assert_eq!(away.mac.look("/d/new").await, 404);
    assert_eq!(away.mac.status("PUT", "/d/new").await, 201);
    away.door.shut().await;
    assert!(matches!(away.save("/d/new", "content").await, 200..=204));
    assert_eq!(away.mac.list("/d/").await.len(), 3);
    assert_eq!(away.gateway.get("/d/new").await, (200, "content".into()));
    away.door.open().await;
    eventually("it is stored", || async {
        away.bucket.get("d/new").await.is_some_and(|new| new == "content")
    })
    .await;
    away.drained().await;
    assert_eq!(away.bucket.keys().await, ["d/new", "d/other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_outlives_the_gateway() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    assert_eq!(away.save("/doc", "newer").await, 204);
    let away = away.restarted().await;
    assert_eq!(away.mac.get("/doc").await, (200, "newer".into()), "it is shown while S3 is away still");
    assert_eq!(away.save("/doc", "newest").await, 204, "and is written on");
    let mut away = away.restarted().await;
    away.door.open().await;
    eventually("it is stored", || async { away.bucket.get("doc").await.unwrap() == "newest" }).await;
    away.drained().await;
    assert_eq!(away.bucket.keys().await, ["doc"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_lost_is_stored_beside_once() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    assert_eq!(away.save("/doc", "mine").await, 204);
    assert_eq!(away.save("/doc", "mine, again").await, 204);
    away.bucket.put("doc", "theirs").await;
    away.door.open().await;
    away.drained().await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "theirs");
    let keys = away.bucket.keys().await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    let copy = keys.iter().find(|key| key.starts_with("doc (")).unwrap();
    assert_eq!(away.bucket.get(copy).await.unwrap(), "mine, again");
    assert_eq!(away.save("/doc", "mine, a third time").await, 204);
    assert_eq!(away.bucket.get(copy).await.unwrap(), "mine, a third time", "there is one copy of it");
    assert_eq!(away.bucket.keys().await, keys);
    assert_eq!(away.mac.get("/doc").await.1, "theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_twice_is_sent_once() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    for n in 0..5 {
        assert_eq!(away.save("/doc", format!("version {n}")).await, 204);
    }
    away.s3.hooks().reset();
    away.door.open().await;
    away.drained().await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "version 4");
    let puts = away.s3.hooks().transcript().into_iter().filter(|(operation, _)| operation == "PutObject");
    // The first may have been tried already: then the store may have it, and it goes first.
    assert!(puts.count() <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_in_the_middle_of_a_large_file_loses_nothing_of_it() {
    let mut away = Away::start_with(|config| {
        super::buckets(config).intake.pause = Duration::from_millis(200);
        super::buckets(config).uploads.memory = 16 << 20;
    })
    .await;
    away.bucket.put("other", "x").await;
    assert_eq!(away.mac.list("/").await.len(), 2);
    let whole = Bytes::from(content(40 << 20));
    assert_eq!(away.mac.status("PUT", "/large").await, 201);
    let token = away.mac.lock("/large").await;
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let pieces = stream::unfold(receiver, |mut pieces| async {
        Some((Ok::<_, Infallible>(pieces.recv().await?), pieces))
    });
    let request = away.mac.request("PUT", "/large").header("If", format!("(<{token}>)"));
    let request =
        request.header("X-Expected-Entity-Length", whole.len()).body(reqwest::Body::wrap_stream(pieces));
    let saving = tokio::spawn(request.send());
    for (number, piece) in (0..whole.len()).step_by(1 << 20).enumerate() {
        if number == 24 {
            eventually("a part of it is in S3", || async { !open_uploads(&away.s3).await.is_empty() }).await;
            away.door.shut().await;
        }
        sender.send(whole.slice(piece..piece + (1 << 20))).await.unwrap();
    }
    drop(sender);
    let status = saving.await.unwrap().unwrap().status();
    assert!(status.is_success(), "{status}");
    let told = away.mac.get("/large").await;
    assert!(told.0 == 200 && told.1 == whole, "it is shown");
    let part =
        away.gateway.request("GET", "/large").header("Range", "bytes=5000000-5000009").send().await.unwrap();
    assert_eq!(
        (part.status().as_u16(), part.bytes().await.unwrap()),
        (206, whole.slice(5_000_000..5_000_010))
    );
    away.door.open().await;
    away.drained().await;
    assert!(away.bucket.get("large").await.unwrap() == whole);
    eventually("nothing else is left in S3", || async { open_uploads(&away.s3).await.is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_again_by_themselves_are_told() {
    let mut away =
        Away::start_with(|config| config.service.request_budget = Some(Duration::from_secs(1))).await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.gateway.get("/doc").await.1, "old");
    away.door.shut().await;
    let answer = away.gateway.request("PUT", "/doc").body("newer").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(away.bodies().is_empty());
    away.door.open().await;
    assert_eq!(away.gateway.put("/doc", "newer").await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_kept_a_save_waits_for_s3() {
    let mut away = Away::start_with(|config| super::buckets(config).file_system.keeps = false).await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    let token = away.mac.lock("/doc").await;
    let request = away.mac.request("PUT", "/doc").header("If", format!("(<{token}>)")).body("newer").send();
    let saving = tokio::spawn(request);
    tokio::time::sleep(PATIENCE * 4).await;
    assert!(!saving.is_finished() && away.bodies().is_empty());
    away.door.open().await;
    assert_eq!(saving.await.unwrap().unwrap().status(), 204);
    assert_eq!(away.bucket.get("doc").await.unwrap(), "newer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_whose_answer_was_lost_is_no_conflict_for_the_next() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!((away.mac.list("/").await.len(), away.mac.get("/doc").await.0), (2, 200));
    // S3 has it, and answers no more.
    let gate = s3dav::embedded::Gate::default();
    away.s3.hooks().next(1, "PutObject", s3dav::embedded::Action::Hold(gate.clone()));
    let token = away.mac.lock("/doc").await;
    let request = away.mac.request("PUT", "/doc").header("If", format!("(<{token}>)")).body("newer").send();
    let saving = tokio::spawn(request);
    gate.reached().await;
    away.door.shut().await;
    gate.open();
    assert_eq!(saving.await.unwrap().unwrap().status(), 204);
    assert_eq!(away.bucket.get("doc").await.unwrap(), "newer");
    assert_eq!(away.mac.put("/doc", &token, "newest").await, 204);
    away.door.open().await;
    away.drained().await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "newest");
    assert_eq!(away.bucket.keys().await, ["doc"], "nothing lies beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_in_a_new_folder_is_not_saved_on_somebody_elses() {
    let mut away = Away::start().await;
    away.bucket.put("d/doc", "x").await;
    away.mac.list("/d/").await;
    away.door.shut().await;
    assert_eq!(away.mac.status("MKCOL", "/d/folder").await, 201);
    assert_eq!(away.mac.look("/d/folder/new").await, 404);
    assert_eq!(away.mac.status("PUT", "/d/folder/new").await, 201);
    assert_eq!(away.mac.look("/d/folder/new").await, 207, "it is there, though empty");
    assert_eq!(away.mac.list("/d/folder/").await.len(), 2);
    assert_eq!(away.save("/d/folder/new", "mine").await, 204);
    away.bucket.put("d/folder/new", "theirs").await;
    away.door.open().await;
    away.drained().await;
    assert_eq!(away.bucket.get("d/folder/new").await.unwrap(), "theirs");
    let keys = away.bucket.keys().await;
    let beside =
        keys.iter().find(|key| key.starts_with("d/folder/new (")).unwrap_or_else(|| panic!("{keys:?}"));
    assert_eq!(away.bucket.get(beside).await.unwrap(), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_though_its_answer_was_lost_is_known_when_s3_is_away_next() {
    for agent in ["curl/8.9.1", crate::finder::client::AGENT] {
        let mut away = Away::start().await;
        for key in ["doc", "gone", "from"] {
            away.bucket.put(key, "old").await;
        }
        let client = Finder::at(&away.gateway.url).called(agent);
        client.list("/").await;
        for path in ["/doc", "/gone", "/from"] {
            assert_eq!(client.get(path).await.1, "old");
        }
        for operation in ["PutObject", "DeleteObject", "CopyObject"] {
            away.s3.hooks().next(1, operation, Action::ApplyThenFail);
        }
        let put = client.request("PUT", "/doc").body("new").send().await.unwrap();
        assert_eq!(put.status(), 204);
        assert_eq!(client.status("DELETE", "/gone").await, 204);
        assert_eq!(client.rename("/from", "/to").await, 201);
        away.door.shut().await;
        assert_eq!(client.get("/doc").await, (200, "new".into()), "{agent}");
        assert_eq!(client.get("/gone").await.0, 404, "{agent}");
        assert_eq!((client.get("/from").await.0, client.get("/to").await.0), (404, 200), "{agent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_found_however_its_name_is_spelled() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    away.bucket.put("\u{d6}.txt", "old").await;
    away.mac.list("/").await;
    assert_eq!(away.mac.get("/O%CC%88.txt").await.1, "old");
    away.door.shut().await;
    assert_eq!(away.save("/doc", "so that it is known").await, 204);
    away.save_new("/A%CC%88.txt", "new").await;
    assert_eq!(away.save("/O%CC%88.txt", "newer").await, 204);
    let curl = Finder::at(&away.gateway.url).called("curl/8.9.1");
    for client in [&away.mac, &curl] {
        for (spellings, content) in
            [(["/A%CC%88.txt", "/%C3%84.txt"], "new"), (["/O%CC%88.txt", "/%C3%96.txt"], "newer")]
        {
            for path in spellings {
                assert_eq!(client.get(path).await, (200, content.into()), "{path}");
            }
        }
    }
    assert_eq!(away.mac.status("DELETE", "/O%CC%88.txt").await, 204);
    assert_eq!(away.mac.get("/%C3%96.txt").await.0, 404);
    away.door.open().await;
    away.drained().await;
    assert_eq!(away.bucket.keys().await, ["doc", "\u{c4}.txt"]);
}
