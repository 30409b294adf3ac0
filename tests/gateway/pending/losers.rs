//! What loses against somebody else's save is kept beside it, each version once, whatever its client read and saved since.

use bytes::Bytes;
use s3dav::store::journal::Durability;

use super::Away;
use crate::finder::client::Finder;
use crate::harness::buckets;

/// What lies in the bucket: at the file's name, and beside it.
async fn versions(away: &Away) -> (Bytes, Vec<Bytes>) {
    let mut contents = away.bucket.contents().await;
    let at = contents.remove("file").unwrap();
    let mut beside: Vec<Bytes> = contents.into_values().collect();
    beside.sort();
    (at, beside)
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
            let save = async |client: &Finder, content: &'static str| {
                let put = client.request("PUT", "/file").body(content).send().await.unwrap();
                assert_eq!(put.status(), 204, "{content}");
            };
            save(&first, "first, on the old one").await;
            save(&second, "second, on the old one").await;
            assert_eq!(second.get("/file").await.1, "first, on the old one");
            save(&second, "third, on the first").await;
            if others_save {
                away.bucket.put("file", "theirs").await;
            }
            away.door.open().await;
            away.drained().await;
            let (at, beside) = versions(&away).await;
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
            let (at, beside) = versions(&away).await;
            let last = if others_save { "theirs" } else { "fourth, on the third" };
            assert_eq!(at, last, "{durability:?}");
            assert!(beside.contains(&Bytes::from("second, on the old one")), "{beside:?}");
            assert_eq!(beside.len(), if others_save { 2 } else { 1 }, "{beside:?}");
        }
    }
}
