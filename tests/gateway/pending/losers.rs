//! What loses against somebody else's save is kept beside it, each version once, whatever its client read and saved since.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use s3dav::store::journal::Durability;

use super::Away;
use super::crashes::serve;
use crate::finder::client::Finder;
use crate::harness::door::Door;
use crate::harness::drained::drained;
use crate::harness::{BUCKET, Bucket, TestGateway, buckets, embedded, eventually};

/// What lies in the bucket: at the file's name, and beside it.
pub(super) async fn versions(bucket: &Bucket) -> (Bytes, Vec<Bytes>) {
    let mut contents = bucket.contents().await;
    let at = contents.remove("file").unwrap();
    let mut beside: Vec<Bytes> = contents.into_values().collect();
    beside.sort();
    (at, beside)
}

pub(super) async fn save(client: &Finder, content: &'static str) {
    save_to(client, "/file", content).await;
}

pub(super) async fn save_to(client: &Finder, path: &str, content: &'static str) {
    let put = client.request("PUT", path).body(content).send().await.unwrap();
    assert!(matches!(put.status().as_u16(), 201 | 204), "{path}, {content}: {}", put.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lost_and_saves_on_what_won_has_both() {
    for durability in [Durability::Journal, Durability::Store] {
        for others_save in [false, true] {
            let mut away = Away::start_as(durability).await;
            let first = Finder::at(&away.gateway.url);
            let second = Finder::at(&away.gateway.url).of_another();
            away.bucket.put("file", "old").await;
            for client in [&first, &second] {
                assert_eq!(client.get("/file").await.1, "old");
            }
            away.door.shut().await;
            save(&first, "first, on the old one").await;
            save(&second, "second, on the old one").await;
            assert_eq!(second.get("/file").await.1, "first, on the old one");
            save(&second, "third, on the first").await;
            if others_save {
                away.bucket.put("file", "theirs").await;
            }
            away.door.open().await;
            away.drained().await;
            let (at, beside) = versions(&away.bucket).await;
            if others_save {
                assert_eq!(at, "theirs", "{durability:?}");
                assert_eq!(beside, ["second, on the old one", "third, on the first"], "{durability:?}");
            } else {
                assert_eq!(at, "third, on the first", "{durability:?}");
                assert_eq!(beside, ["second, on the old one"], "{durability:?}");
            }
            // What it saves next goes on from its last.
            save(&second, "fourth, on the third").await;
            away.drained().await;
            let (at, beside) = versions(&away.bucket).await;
            let last = if others_save { "theirs" } else { "fourth, on the third" };
            assert_eq!(at, last, "{durability:?}");
            assert!(beside.contains(&Bytes::from("second, on the old one")), "{beside:?}");
            assert_eq!(beside.len(), if others_save { 2 } else { 1 }, "{beside:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_got_what_will_win_does_not_replace_its_own_after_a_crash() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let (bucket, mut door) =
        (Bucket::of(&s3.endpoint_url(), BUCKET).await, Door::before(&s3.endpoint_url()).await);
    bucket.put("file", "old").await;
    let mut gateway = serve(&door, &state).await;
    let first = Finder::at(&gateway.url);
    let second = Finder::at(&gateway.url).of_another();
    for client in [&first, &second] {
        assert_eq!(client.get("/file").await.1, "old");
    }
    door.shut().await;
    save(&first, "first, on the old one").await;
    save(&second, "second, on the old one").await;
    assert_eq!(second.get("/file").await.1, "first, on the old one");
    gateway.child.kill().await.unwrap();
    let gateway = serve(&door, &state).await;
    save(&Finder::at(&gateway.url).of_another(), "third, on the first").await;
    door.open().await;
    let place = std::fs::read_dir(state.path()).unwrap().next().unwrap().unwrap().path();
    drained(&place).await;
    let (at, mut all) = versions(&bucket).await;
    all.push(at);
    // What it got in the last moment may be forgotten: then its last lies beside that, too.
    for kept in ["second, on the old one", "third, on the first"] {
        assert!(all.contains(&Bytes::from(kept)), "{all:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_back_what_it_saved_has_one_copy() {
    for durability in [Durability::Journal, Durability::Store] {
        let mut away = Away::start_as(durability).await;
        away.bucket.put("file", "old").await;
        assert_eq!(away.mac.get("/file").await.1, "old");
        away.bucket.put("file", "theirs").await;
        save(&away.mac, "mine").await;
        away.drained().await;
        assert_eq!(versions(&away.bucket).await, (Bytes::from("theirs"), vec![Bytes::from("mine")]));
        away.door.shut().await;
        save(&away.mac, "mine, again").await;
        assert_eq!(away.mac.get("/file").await.1, "mine, again");
        save(&away.mac, "mine, at last").await;
        away.door.open().await;
        away.drained().await;
        let (at, beside) = versions(&away.bucket).await;
        assert_eq!(
            (at, beside),
            (Bytes::from("theirs"), vec![Bytes::from("mine, at last")]),
            "{durability:?}"
        );
    }
}

/// The first half of a body, and the other when `rest` tells.
fn halves(halves: [&'static str; 2], rest: tokio::sync::oneshot::Receiver<()>) -> reqwest::Body {
    let pieces = stream::unfold((0, Some(rest)), move |(number, mut rest)| async move {
        if number == 1 {
            rest.take()?.await.ok()?;
        }
        Some((Ok::<_, String>(*halves.get(number)?), (number + 1, rest)))
    });
    reqwest::Body::wrap_stream(pieces)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_twice_by_who_has_lost_lies_beside_once() {
    let gateway = TestGateway::start().await;
    let (bucket, mac) = (gateway.bucket().await, Finder::of(&gateway));
    bucket.put("file", "old").await;
    assert_eq!(mac.get("/file").await.1, "old");
    bucket.put("file", "theirs").await;
    save(&mac, "mine").await;
    assert_eq!(versions(&bucket).await, (Bytes::from("theirs"), vec![Bytes::from("mine")]));
    let mut sent = Vec::new();
    for _ in 0..2 {
        let (rest, told) = tokio::sync::oneshot::channel();
        let request = mac.request("PUT", "/file").body(halves(["mine, ", "again"], told));
        sent.push((tokio::spawn(request.send()), rest));
    }
    // Both have begun by then: if not, there is nothing to find.
    tokio::time::sleep(Duration::from_millis(300)).await;
    for (answer, rest) in sent {
        rest.send(()).unwrap();
        assert_eq!(answer.await.unwrap().unwrap().status(), 204);
    }
    assert_eq!(versions(&bucket).await, (Bytes::from("theirs"), vec![Bytes::from("mine, again")]));
}

/// Two have saved on one version, and both lose against what others have made.
#[tokio::test(flavor = "multi_thread")]
async fn what_lost_is_not_shown_when_what_won_before_lies_beside() {
    for durability in [Durability::Journal, Durability::Store] {
        let mut away = Away::start_as(durability).await;
        let first = Finder::at(&away.gateway.url);
        let second = Finder::at(&away.gateway.url).of_another();
        away.bucket.put("file", "old").await;
        for client in [&first, &second] {
            assert_eq!(client.get("/file").await.1, "old");
        }
        away.door.shut().await;
        save(&first, "first").await;
        save(&second, "second").await;
        away.bucket.put("file", "theirs").await;
        // So that the second does not follow the first at once.
        away.s3.hooks().set_latency(Duration::from_millis(200));
        away.door.open().await;
        eventually("the first lies beside", || async { away.bodies().len() == 1 }).await;
        away.door.shut().await;
        away.s3.hooks().set_latency(Duration::ZERO);
        for _ in 0..2 {
            let (status, content) = Finder::at(&away.gateway.url).get("/file").await;
            assert!(status == 503 || content == "theirs", "{durability:?}: {status} {content:?}");
            away = away.restarted().await;
        }
        away.door.open().await;
        away.drained().await;
        let (at, beside) = versions(&away.bucket).await;
        assert_eq!((at, beside), (Bytes::from("theirs"), vec![Bytes::from("first"), Bytes::from("second")]));
    }
}

/// What is saved safely is not left under a name that its program means to be gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_moved_over_others_in_an_outage_lies_beside_where_theirs_is_known() {
    for (durability, ends) in
        [(Durability::Journal, true), (Durability::Store, false), (Durability::Store, true)]
    {
        let mut away = Away::start_as(durability).await;
        let client = Finder::of(&away.gateway);
        away.bucket.put("file", "old").await;
        assert_eq!(client.get("/file").await.1, "old");
        away.bucket.put("file", "theirs").await;
        eventually("theirs is known", || async { away.gateway.get("/file").await.1 == "theirs" }).await;
        assert_eq!(client.list("/").await.len(), 2);
        away.door.shut().await;
        for content in ["first", "second"] {
            save_to(&client, "/new", content).await;
            assert!(matches!(client.rename("/new", "/file").await, 201 | 204));
        }
        assert_eq!(client.list("/").await.len(), 3, "theirs, and the copy");
        let client = if ends {
            away = away.restarted_with(|config| buckets(config).file_system.durability = durability).await;
            Finder::of(&away.gateway)
        } else {
            client
        };
        away.door.open().await;
        away.drained().await;
        let expected = (Bytes::from("theirs"), vec![Bytes::from("second")]);
        assert_eq!(versions(&away.bucket).await, expected, "{durability:?}");
        save(&client, "third").await;
        away.drained().await;
        let expected = (Bytes::from("theirs"), vec![Bytes::from("third")]);
        assert_eq!(versions(&away.bucket).await, expected, "{durability:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_saves_beside_and_moves_over_what_it_lost_has_one_copy() {
    for durability in [Durability::Journal, Durability::Store] {
        let away = Away::start_as(durability).await;
        let client = Finder::of(&away.gateway);
        away.bucket.put("file", "old").await;
        assert_eq!(client.get("/file").await.1, "old");
        away.bucket.put("file", "theirs").await;
        for content in ["first", "second", "third"] {
            assert_eq!(client.status("PUT", "/beside").await, 201);
            let put = client.request("PUT", "/beside").body(content).send().await.unwrap();
            assert_eq!(put.status(), 204);
            assert!(matches!(client.rename("/beside", "/file").await, 201 | 204));
            away.drained().await;
            let expected = (Bytes::from("theirs"), vec![Bytes::from(content)]);
            assert_eq!(versions(&away.bucket).await, expected, "{durability:?}");
        }
        assert_eq!(client.get("/file").await.1, "theirs");
        save(&client, "on theirs").await;
        away.drained().await;
        assert_eq!(versions(&away.bucket).await, (Bytes::from("on theirs"), vec![Bytes::from("third")]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moves_its_copy_over_what_won_has_both() {
    let gateway = TestGateway::start().await;
    let (bucket, client) = (gateway.bucket().await, Finder::of(&gateway));
    bucket.put("file", "old").await;
    assert_eq!(client.get("/file").await.1, "old");
    bucket.put("file", "theirs").await;
    save(&client, "mine").await;
    for method in ["COPY", "MOVE"] {
        let keys = bucket.keys().await;
        let copy = keys.iter().find(|key| key.contains("conflict")).unwrap();
        let to = format!("{}/file", gateway.url);
        let sent =
            client.request(method, &format!("/{}", copy.replace(' ', "%20"))).header("Destination", to);
        let answer = sent.send().await.unwrap();
        assert!(
            answer.status().is_success(),
            "{method}: {} {}",
            answer.status(),
            answer.text().await.unwrap()
        );
        let (at, beside) = versions(&bucket).await;
        assert_eq!(at, "theirs");
        assert!(!beside.is_empty() && beside.iter().all(|beside| beside == "mine"), "{method}: {beside:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_what_waits_while_it_is_stored_knows_it_after_a_restart() {
    let mut away = Away::start().await;
    let reader = Finder::of(&away.gateway).of_another();
    away.bucket.put("file", "old").await;
    for client in [&away.mac, &reader] {
        assert_eq!(client.get("/file").await.1, "old");
    }
    away.door.shut().await;
    let content = Bytes::from("new".repeat(10 << 20));
    let put = away.mac.request("PUT", "/file").body(content.clone()).send().await.unwrap();
    assert_eq!(put.status(), 204);
    // More than what is on its way between both.
    let mut answer = reader.send("GET", "/file").await;
    let mut got = answer.chunk().await.unwrap().unwrap().to_vec();
    away.door.open().await;
    away.drained().await;
    while let Some(chunk) = answer.chunk().await.unwrap() {
        got.extend_from_slice(&chunk);
    }
    assert!(got == content);
    let away = away.restarted().await;
    save(&Finder::of(&away.gateway).of_another(), "on the new one").await;
    let keys = away.bucket.keys().await;
    assert!(keys == ["file"] && away.bucket.get("file").await.unwrap() == "on the new one", "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_for_what_won_in_vain_has_one_copy() {
    let mut away = Away::start().await;
    away.bucket.put("file", "old").await;
    assert_eq!(away.mac.get("/file").await.1, "old");
    away.bucket.put("file", "theirs").await;
    save(&away.mac, "mine").await;
    let beyond = away.mac.request("GET", "/file").header("Range", "bytes=100-").send().await.unwrap();
    assert_eq!(beyond.status(), 416);
    away.door.shut().await;
    let part = away.mac.request("GET", "/file").header("Range", "bytes=1-2").send().await.unwrap();
    assert_eq!(part.status(), 503);
    away.door.open().await;
    save(&away.mac, "mine, again").await;
    away.drained().await;
    assert_eq!(versions(&away.bucket).await, (Bytes::from("theirs"), vec![Bytes::from("mine, again")]));
}
