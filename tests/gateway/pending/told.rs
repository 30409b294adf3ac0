//! Whoever would delete somebody else's version in the place of its own is told first, once for each version.

use std::time::Duration;

use bytes::Bytes;
use s3dav::embedded::{Action, Gate};
use s3dav::store::journal::Durability;

use super::Away;
use super::crashes::serve;
use super::losers::{save, save_to, versions};
use crate::finder::client::{AGENT, Finder};
use crate::harness::door::Door;
use crate::harness::drained::drained;
use crate::harness::{BUCKET, Bucket, TestGateway, buckets, embedded, eventually};

const BOTH: [Durability; 2] = [Durability::Journal, Durability::Store];

fn is_told(status: u16) -> bool {
    matches!(status, 412 | 423)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_is_told_before_it_deletes_what_won() {
    for durability in BOTH {
        for agent in [AGENT, "curl/8"] {
            let away = Away::start_as(durability).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_of_no_file_is_told_before_it_deletes_one() {
    for durability in BOTH {
        let away = Away::start_as(durability).await;
        let (client, other) = (Finder::of(&away.gateway), Finder::of(&away.gateway).of_another());
        assert_eq!(client.look("/file").await, 404);
        away.bucket.put("moved", "mine").await;
        assert_eq!(client.get("/moved").await.1, "mine");
        assert_eq!(client.rename("/moved", "/away").await, 201);
        away.drained().await;
        for name in ["file", "moved"] {
            let path = format!("/{name}");
            away.bucket.put(name, "theirs").await;
            eventually("it is shown", || async { other.get(&path).await.1 == "theirs" }).await;
            assert!(is_told(client.status("DELETE", &path).await), "{durability:?} {name}");
            assert_eq!(away.bucket.get(name).await.unwrap(), "theirs");
            assert_eq!(client.status("DELETE", &path).await, 204);
            away.drained().await;
            // Whoever has looked knows.
            away.bucket.put(name, "theirs, again").await;
            eventually("it is shown", || async { other.get(&path).await.1 == "theirs, again" }).await;
            assert!(client.list("/").await.contains(&path));
            assert_eq!(client.status("DELETE", &path).await, 204);
            away.drained().await;
        }
    }
}

/// As programs save that keep the old version until the new one is there.
#[tokio::test(flavor = "multi_thread")]
async fn who_moved_aside_what_it_had_not_seen_is_told_before_it_deletes_that() {
    for durability in BOTH {
        for is_away in [false, true] {
            let mut away = Away::start_as(durability).await;
            let (client, other) = (Finder::of(&away.gateway), Finder::of(&away.gateway).of_another());
            away.bucket.put("file", "old").await;
            for client in [&client, &other] {
                assert_eq!(client.get("/file").await.1, "old");
            }
            assert_eq!(client.list("/").await.len(), 2);
            if is_away {
                away.door.shut().await;
            }
            save(&other, "theirs").await;
            save_to(&client, "/new", "mine").await;
            assert_eq!(client.rename("/file", "/aside").await, 201);
            assert_eq!(client.rename("/new", "/file").await, 201);
            assert!(is_told(client.status("DELETE", "/aside").await), "{durability:?}, away: {is_away}");
            if is_away {
                away.door.open().await;
            }
            away.drained().await;
            assert_eq!(away.bucket.get("file").await.unwrap(), "mine");
            assert_eq!(away.bucket.get("aside").await.unwrap(), "theirs");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_and_moves_aside_what_won_is_told_before_it_deletes_that() {
    for durability in BOTH {
        let away = Away::start_as(durability).await;
        let client = Finder::of(&away.gateway);
        away.bucket.put("file", "old").await;
        assert_eq!(client.get("/file").await.1, "old");
        away.bucket.put("file", "theirs").await;
        save(&client, "lost").await;
        away.drained().await;
        save_to(&client, "/new", "mine").await;
        assert_eq!(client.rename("/file", "/aside").await, 201);
        assert_eq!(client.rename("/new", "/file").await, 201);
        assert!(is_told(client.status("DELETE", "/aside").await), "{durability:?}");
        away.drained().await;
        assert_eq!(away.bucket.get("aside").await.unwrap(), "theirs");
        // Whoever has got it knows.
        assert_eq!(client.get("/aside").await.1, "theirs");
        assert_eq!(client.status("DELETE", "/aside").await, 204);
    }
}

/// As programs do that keep a backup of each save.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_moved_aside_unseen_is_neither_replaced_nor_deleted_unseen() {
    for durability in BOTH {
        for agent in [AGENT, "curl/8"] {
            let away = Away::start_as(durability).await;
            let client = Finder::of(&away.gateway).called(agent);
            away.bucket.put("file", "old").await;
            assert_eq!(client.get("/file").await.1, "old");
            away.bucket.put("file", "theirs").await;
            assert_eq!(client.list("/").await.len(), 2);
            assert_eq!(client.rename("/file", "/before").await, 201);
            away.drained().await;
            // It has not got it by moving it again.
            assert_eq!(client.rename("/before", "/aside").await, 201);
            away.drained().await;
            for content in ["first", "second", "third"] {
                save_to(&client, "/file", content).await;
                assert!(matches!(client.rename("/file", "/aside").await, 201 | 204));
                assert!(
                    is_told(client.status("DELETE", "/aside").await),
                    "{durability:?}, {agent}, {content}"
                );
            }
            save_to(&client, "/file", "last").await;
            away.drained().await;
            assert_eq!(away.bucket.get("file").await.unwrap(), "last", "{durability:?}, {agent}");
            assert_eq!(away.bucket.get("aside").await.unwrap(), "theirs", "{durability:?}, {agent}");
            assert_eq!(away.bucket.keys().await.len(), 3, "{:?}", away.bucket.keys().await);
            // Whoever has got it knows.
            assert_eq!(client.get("/aside").await.1, "theirs");
            save_to(&client, "/aside", "mine").await;
            away.drained().await;
            assert_eq!(away.bucket.get("aside").await.unwrap(), "mine");
        }
    }
}

/// As programs do that keep one backup, and move it away at each save.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_where_it_knew_of_none_is_moved_unseen() {
    for durability in BOTH {
        for agent in [AGENT, "curl/8"] {
            let away = Away::start_as(durability).await;
            let (client, other) =
                (Finder::of(&away.gateway).called(agent), Finder::of(&away.gateway).of_another());
            away.bucket.put("file", "old").await;
            assert_eq!(client.get("/file").await.1, "old");
            assert_eq!(client.rename("/file", "/before").await, 201);
            away.drained().await;
            away.bucket.put("file", "theirs").await;
            eventually("it is known", || async { other.get("/file").await.1 == "theirs" }).await;
            assert_eq!(client.rename("/file", "/before").await, 204);
            save_to(&client, "/file", "first").await;
            away.drained().await;
            assert!(is_told(client.status("DELETE", "/before").await), "{durability:?}, {agent}");
            assert!(matches!(client.rename("/file", "/before").await, 201 | 204));
            save_to(&client, "/file", "second").await;
            away.drained().await;
            assert_eq!(away.bucket.get("file").await.unwrap(), "second", "{durability:?}, {agent}");
            assert_eq!(away.bucket.get("before").await.unwrap(), "theirs", "{durability:?}, {agent}");
            assert_eq!(away.bucket.keys().await.len(), 3, "{:?}", away.bucket.keys().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_in_a_directory_where_it_knew_of_none_is_moved_unseen() {
    let gateway = TestGateway::on_a_path().await;
    let (root, client) = (gateway.directory(), Finder::of(&gateway));
    std::fs::write(root.join("file"), "old").unwrap();
    assert_eq!(client.get("/file").await.1, "old");
    assert_eq!(client.rename("/file", "/before").await, 201);
    std::fs::write(root.join("file"), "theirs").unwrap();
    assert_eq!(client.rename("/file", "/before").await, 204);
    save_to(&client, "/file", "first").await;
    assert!(is_told(client.status("DELETE", "/before").await));
    assert!(matches!(client.rename("/file", "/before").await, 201 | 204));
    assert_eq!(std::fs::read(root.join("before")).unwrap(), b"theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_moved_unseen_is_so_after_a_crash() {
    for is_away in [false, true] {
        let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
        let (bucket, mut door) =
            (Bucket::of(&s3.endpoint_url(), BUCKET).await, Door::before(&s3.endpoint_url()).await);
        bucket.put("file", "old").await;
        let mut gateway = serve(&door, &state).await;
        let (client, other) = (Finder::at(&gateway.url), Finder::at(&gateway.url).of_another());
        assert_eq!(client.list("/").await.len(), 2);
        assert_eq!(client.get("/file").await.1, "old");
        bucket.put("file", "theirs").await;
        eventually("it is known", || async { other.get("/file").await.1 == "theirs" }).await;
        if is_away {
            door.shut().await;
        }
        assert_eq!(client.rename("/file", "/aside").await, 201);
        gateway.child.kill().await.unwrap();
        let gateway = serve(&door, &state).await;
        save_to(&Finder::at(&gateway.url), "/aside", "mine").await;
        if is_away {
            door.open().await;
        }
        let place = std::fs::read_dir(state.path()).unwrap().next().unwrap().unwrap().path();
        drained(&place).await;
        assert_eq!(bucket.get("aside").await.unwrap(), "theirs", "away: {is_away}");
        assert_eq!(bucket.keys().await.len(), 2, "the save lies beside");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_make_where_a_file_was_moved_away_is_not_replaced_by_who_looked_at_it_to_save() {
    for durability in BOTH {
        let away = Away::start_as(durability).await;
        let (client, other) = (Finder::of(&away.gateway), Finder::of(&away.gateway).of_another());
        away.bucket.put("file", "old").await;
        for client in [&client, &other] {
            assert_eq!(client.get("/file").await.1, "old");
        }
        assert_eq!(client.rename("/file", "/aside").await, 201);
        save(&other, "theirs").await;
        away.drained().await;
        assert_eq!(client.look("/file").await, 207);
        save(&client, "mine").await;
        away.drained().await;
        assert_eq!(away.bucket.get("aside").await.unwrap(), "old");
        away.bucket.delete("aside").await;
        assert_eq!(versions(&away.bucket).await, (Bytes::from("theirs"), vec![Bytes::from("mine")]));
        // A listing is for its user.
        assert_eq!(client.status("DELETE", "/file").await, 423);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moved_aside_what_changed_meanwhile_is_told_before_it_deletes_that() {
    let gateway = TestGateway::start().await;
    let (bucket, client) = (gateway.bucket().await, Finder::of(&gateway));
    bucket.put("file", "old").await;
    assert_eq!(client.get("/file").await.1, "old");
    let gate = Gate::default();
    gateway.hooks().next(1, "DeleteObject", Action::HoldFirst(gate.clone()));
    let moving = tokio::spawn({
        let to = format!("{}/aside", gateway.url);
        client.request("MOVE", "/file").header("Destination", to).send()
    });
    eventually("it is copied", || async { bucket.get("aside").await.is_some() }).await;
    bucket.put("file", "theirs").await;
    gate.open();
    assert_eq!(moving.await.unwrap().unwrap().status(), 201);
    assert_eq!(bucket.get("aside").await.unwrap(), "theirs", "it is moved again");
    assert_eq!(client.status("DELETE", "/aside").await, 423);
    assert_eq!(bucket.get("aside").await.unwrap(), "theirs");
}
