//! Whoever would delete somebody else's version in the place of its own is told first, once for each version.

use std::time::Duration;

use bytes::Bytes;
use s3dav::store::journal::Durability;

use super::Away;
use super::losers::{save, versions};
use crate::finder::client::{AGENT, Finder};
use crate::harness::{TestGateway, buckets, eventually};

const BOTH: [Durability; 2] = [Durability::Journal, Durability::Store];

fn is_told(status: u16) -> bool {
    matches!(status, 412 | 423)
}

async fn away(durability: Durability) -> Away {
    Away::start_with(|config| buckets(config).file_system.durability = durability).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_is_told_before_it_deletes_what_won() {
    for durability in BOTH {
        for agent in [AGENT, "curl/8"] {
            let away = away(durability).await;
            let client = Finder::at(&away.gateway.url).called(agent);
            away.bucket.put("file", "old").await;
            assert_eq!(client.get("/file").await.1, "old");
            away.bucket.put("file", "theirs").await;
            save(&client, "mine").await;
            away.drained().await;
            assert!(is_told(client.status("DELETE", "/file").await));
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
async fn who_was_told_of_one_version_is_told_of_the_next() {
    let gateway = TestGateway::start().await;
    let (bucket, mac) = (gateway.bucket().await, Finder::of(&gateway));
    bucket.put("file", "old").await;
    assert_eq!(mac.get("/file").await.1, "old");
    bucket.put("file", "theirs").await;
    save(&mac, "mine").await;
    assert_eq!(mac.status("DELETE", "/file").await, 423);
    bucket.put("file", "newer").await;
    eventually("the newer one is shown", || async { gateway.get("/file").await.1 == "newer" }).await;
    assert_eq!(mac.status("DELETE", "/file").await, 423);
    assert_eq!(mac.status("DELETE", "/file").await, 204);
    assert_eq!(bucket.get("file").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_own_version_waits_is_told_before_it_deletes_what_is_shown() {
    for durability in BOTH {
        for reads in [false, true] {
            let mut away = away(durability).await;
            let first = Finder::at(&away.gateway.url);
            let second = Finder::at(&away.gateway.url).of_another();
            away.bucket.put("file", "old").await;
            for client in [&first, &second] {
                assert_eq!(client.get("/file").await.1, "old");
            }
            away.door.shut().await;
            save(&first, "first").await;
            save(&second, "second").await;
            if reads {
                let part = second.request("GET", "/file").header("Range", "bytes=0-1").send().await.unwrap();
                assert_eq!(part.text().await.unwrap(), "fi");
            }
            assert!(is_told(second.status("DELETE", "/file").await), "{durability:?}, {reads}");
            away.door.open().await;
            away.drained().await;
            let both = (Bytes::from("first"), vec![Bytes::from("second")]);
            assert_eq!(versions(&away.bucket).await, both, "{durability:?}, {reads}");
            assert_eq!(second.status("DELETE", "/file").await, 423, "it is another version in S3");
            assert_eq!(second.status("DELETE", "/file").await, 204);
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

#[tokio::test(flavor = "multi_thread")]
async fn whose_empty_file_came_second_is_told_before_it_deletes_the_first() {
    let gateway = TestGateway::start().await;
    let (bucket, client) = (gateway.bucket().await, Finder::of(&gateway).called("curl/8"));
    assert_eq!(client.status("GET", "/file").await, 404);
    bucket.put("file", "theirs").await;
    assert!(matches!(client.status("PUT", "/file").await, 200..=204));
    assert_eq!(bucket.get("file").await.unwrap(), "theirs");
    assert_eq!(client.status("DELETE", "/file").await, 412);
    save(&client, "mine").await;
    assert_eq!(versions(&bucket).await, (Bytes::from("theirs"), vec![Bytes::from("mine")]));
}
