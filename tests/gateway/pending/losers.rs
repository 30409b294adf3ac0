//! What loses against somebody else's save is kept beside it, each version once, whatever its client read and saved since.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use s3dav::store::journal::Durability;

use super::Away;
use super::crashes::serve;
use crate::finder::client::{AGENT, Finder};
use crate::harness::door::Door;
use crate::harness::drained::drained;
use crate::harness::{BUCKET, Bucket, TestGateway, buckets, embedded, eventually};

/// What lies in the bucket: at the file's name, and beside it.
async fn versions(bucket: &Bucket) -> (Bytes, Vec<Bytes>) {
    let mut contents = bucket.contents().await;
    let at = contents.remove("file").unwrap();
    let mut beside: Vec<Bytes> = contents.into_values().collect();
    beside.sort();
    (at, beside)
}

async fn save(client: &Finder, content: &'static str) {
    let put = client.request("PUT", "/file").body(content).send().await.unwrap();
    assert!(matches!(put.status().as_u16(), 201 | 204), "{content}: {}", put.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lost_and_saves_on_what_won_has_both() {
    for durability in [Durability::Journal, Durability::Store] {
        for others_save in [false, true] {
            let mut away =
                Away::start_with(|config| buckets(config).file_system.durability = durability).await;
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
        let mut away = Away::start_with(|config| buckets(config).file_system.durability = durability).await;
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
        let mut away = Away::start_with(|config| buckets(config).file_system.durability = durability).await;
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
        eventually("the first lies beside", || async { away.bucket.keys().await.len() > 1 }).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_is_told_before_it_deletes_what_won() {
    for durability in [Durability::Journal, Durability::Store] {
        for agent in [AGENT, "curl/8"] {
            let away = Away::start_with(|config| buckets(config).file_system.durability = durability).await;
            let client = Finder::at(&away.gateway.url).called(agent);
            away.bucket.put("file", "old").await;
            assert_eq!(client.get("/file").await.1, "old");
            away.bucket.put("file", "theirs").await;
            save(&client, "mine").await;
            away.drained().await;
            assert!(matches!(client.status("DELETE", "/file").await, 412 | 423));
            assert_eq!(versions(&away.bucket).await, (Bytes::from("theirs"), vec![Bytes::from("mine")]));
            assert_eq!(client.status("DELETE", "/file").await, 204);
            away.drained().await;
            let [copy] = &away.bucket.keys().await[..] else { panic!("the copy is there") };
            assert_eq!(client.status("DELETE", &format!("/{}", copy.replace(' ', "%20"))).await, 204);
            away.drained().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_made_a_file_empty_is_told_before_it_deletes_what_others_have_put_there() {
    let gateway =
        TestGateway::start_with(|config| buckets(config).create_wait = Duration::from_millis(100)).await;
    let (bucket, mac) = (gateway.bucket().await, Finder::of(&gateway));
    assert_eq!(mac.look("/file").await, 404);
    assert_eq!(mac.status("PUT", "/file").await, 201);
    bucket.put("file", "theirs").await;
    eventually("theirs is shown", || async { gateway.get("/file").await.1 == "theirs" }).await;
    assert_eq!(mac.status("DELETE", "/file").await, 423);
    assert_eq!(bucket.get("file").await.unwrap(), "theirs");
    assert_eq!(mac.status("DELETE", "/file").await, 204);
    assert_eq!(bucket.get("file").await, None);
}
