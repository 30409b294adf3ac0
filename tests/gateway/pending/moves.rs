//! Files that S3 has, and that are moved while it is away.

use std::time::{Duration, Instant};

use s3dav::embedded::{Action, Gate, Rule};

use super::Away;
use super::changes::{away, objects};
use super::crashes::serve;
use crate::finder::client::Finder;
use crate::harness::door::Door;
use crate::harness::drained::drained;
use crate::harness::{BUCKET, Bucket, embedded};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_s3_has_is_moved_later_and_shown_at_once() {
    let away = away(&[("d/doc", "content"), ("d/other", "x")]).await;
    assert_eq!(away.mac.rename("/d/doc", "/d/moved").await, 201);
    assert_eq!(away.mac.look("/d/doc").await, 404);
    assert_eq!(away.mac.get("/d/moved").await, (200, "content".into()));
    assert_eq!(away.gateway.get("/d/moved").await.1, "content", "to other clients, too");
    assert_eq!(away.mac.list("/d/").await.len(), 3);
    let mut away = away.restarted().await;
    assert_eq!(away.mac.look("/d/doc").await, 404, "after a restart, too");
    let (requests, left) = away.outcome().await;
    assert_eq!(left, objects(&[("d/moved", "content"), ("d/other", "x")]));
    assert_eq!(requests, ["CopyObject", "DeleteObject"]);
    assert_eq!(away.mac.get("/d/moved").await, (200, "content".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_replaced_with_a_backup() {
    let mut away = away(&[("d/doc", "old")]).await;
    away.save_new("/d/doc.sb", "newer").await;
    assert_eq!(away.mac.rename("/d/doc", "/d/doc~").await, 201);
    assert_eq!(away.mac.rename("/d/doc.sb", "/d/doc").await, 201);
    assert_eq!(away.mac.get("/d/doc").await, (200, "newer".into()));
    assert_eq!(away.mac.get("/d/doc~").await, (200, "old".into()));
    assert_eq!(away.mac.status("DELETE", "/d/doc~").await, 204);
    assert_eq!(away.outcome().await.1, objects(&[("d/doc", "newer")]));
    assert_eq!(away.save("/d/doc", "newest").await, 204);
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "newest", "nothing lies beside");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_exchanged_and_come_back() {
    let mut away = away(&[("a", "of a"), ("b", "of b")]).await;
    for (from, to) in [("/a", "/c"), ("/b", "/a"), ("/c", "/b")] {
        assert_eq!(away.mac.rename(from, to).await, 201, "{from} {to}");
    }
    assert_eq!((away.mac.get("/a").await.1, away.mac.get("/b").await.1), ("of b".into(), "of a".into()));
    assert_eq!((away.mac.rename("/a", "/d").await, away.mac.rename("/d", "/a").await), (201, 201));
    assert_eq!(away.outcome().await.1, objects(&[("a", "of b"), ("b", "of a")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_is_moved_and_saved_again() {
    let mut away = away(&[("d/doc", "old"), ("d/other", "x")]).await;
    assert_eq!(away.save("/d/doc", "newer").await, 204);
    assert_eq!(away.mac.rename("/d/doc", "/d/other").await, 204, "it replaces that");
    assert_eq!(away.mac.get("/d/other").await.1, "newer");
    assert_eq!(away.save("/d/other", "newest").await, 204);
    away.save_new("/d/doc", "anew").await;
    assert_eq!(away.outcome().await.1, objects(&[("d/doc", "anew"), ("d/other", "newest")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_lost_at_its_source_changes_nothing() {
    let mut away = away(&[("doc", "old")]).await;
    assert_eq!(away.mac.rename("/doc", "/moved").await, 201);
    away.bucket.put("doc", "theirs").await;
    assert_eq!(away.outcome().await.1, objects(&[("doc", "theirs")]));
    assert_eq!(away.mac.get("/doc").await, (200, "theirs".into()), "it is shown again");
}

/// As it would if S3 had been there.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_lost_at_its_destination_lies_beside() {
    for is_new in [false, true] {
        let mut there = vec![("doc", "mine")];
        there.extend((!is_new).then_some(("taken", "old")));
        let mut away = away(&there).await;
        assert!(matches!(away.mac.rename("/doc", "/taken").await, 201 | 204));
        away.bucket.put("taken", "theirs").await;
        let (requests, left) = away.outcome().await;
        let [taken, copy] = &left[..] else { panic!("{left:?}") };
        assert_eq!(*taken, ("taken".to_owned(), "theirs".to_owned()));
        assert!(copy.0.starts_with("taken (conflict ") && copy.1 == "mine", "{copy:?}");
        assert_eq!(requests, ["CopyObject", "CopyObject", "DeleteObject", "PutObject"], "the last is theirs");
        assert_eq!(away.mac.look("/doc").await, 404);
        assert_eq!(away.mac.get("/taken").await.1, "theirs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_over_what_others_have_deleted_comes_there() {
    let mut away = away(&[("doc", "mine"), ("taken", "old")]).await;
    assert_eq!(away.mac.rename("/doc", "/taken").await, 204);
    away.bucket.delete("taken").await;
    assert_eq!(away.outcome().await.1, objects(&[("taken", "mine")]));
}

/// Programs save to another name first, and users do not see what that is called.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_was_saved_safely_and_lost_lies_beside() {
    for is_found_out in [false, true] {
        let mut away = Away::start().await;
        away.bucket.put("doc", "old").await;
        assert_eq!(away.mac.list("/").await.len(), 2);
        assert_eq!(away.mac.get("/doc").await.1, "old");
        away.door.shut().await;
        if is_found_out {
            away.save_new("/first", "x").await;
        }
        for content in ["first", "second"] {
            away.save_new("/doc.sb", content).await;
            assert_eq!(away.mac.rename("/doc.sb", "/doc").await, 204);
            assert_eq!(away.mac.get("/doc").await.1, content);
        }
        away.bucket.put("doc", "theirs").await;
        let mut left = away.outcome().await.1;
        left.retain(|(key, _)| key != "first");
        let [doc, copy] = &left[..] else { panic!("{left:?}") };
        assert_eq!(*doc, ("doc".to_owned(), "theirs".to_owned()));
        assert!(copy.0.starts_with("doc (conflict ") && copy.1 == "second", "{copy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_lost_lies_beside_once_after_a_kill() {
    for (operation, target) in [("CopyObject", "conflict"), ("DeleteObject", "doc")] {
        let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
        let (bucket, mut door) =
            (Bucket::of(&s3.endpoint_url(), BUCKET).await, Door::before(&s3.endpoint_url()).await);
        bucket.put("doc", "mine").await;
        bucket.put("taken", "old").await;
        let mut gateway = serve(&door, &state).await;
        let mac = Finder::at(&gateway.url);
        assert_eq!((mac.list("/").await.len(), mac.get("/taken").await.1), (3, "old".into()));
        door.shut().await;
        assert_eq!(mac.rename("/doc", "/taken").await, 204);
        bucket.put("taken", "theirs").await;
        let gate = Gate::default();
        let (named, action) = (Some(operation.to_owned()), Action::Hold(gate.clone()));
        s3.hooks().add(Rule { operation: named, target: Some(target.to_owned()), times: 1, action });
        door.open().await;
        gate.reached().await;
        gateway.child.kill().await.unwrap();
        gate.open();
        let _gateway = serve(&door, &state).await;
        let place = std::fs::read_dir(state.path()).unwrap().next().unwrap().unwrap().path();
        drained(&place).await;
        let mut left = bucket.contents().await;
        assert_eq!(left.remove("taken").unwrap(), "theirs", "{operation}");
        let [(copy, content)] = &left.into_iter().collect::<Vec<_>>()[..] else { panic!("{operation}") };
        assert!(copy.starts_with("taken (conflict ") && content == "mine", "{operation}: {copy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_on_a_move_that_lost_is_not_lost() {
    let mut away = away(&[("doc", "old")]).await;
    assert_eq!(away.mac.rename("/doc", "/backup").await, 201);
    away.save_new("/doc", "mine").await;
    assert_eq!(away.save("/backup", "mine, too").await, 204);
    away.bucket.put("doc", "theirs").await;
    let left = away.outcome().await.1;
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.contains(&("doc".to_owned(), "theirs".to_owned())), "{left:?}");
    assert!(left.contains(&("backup".to_owned(), "mine, too".to_owned())), "{left:?}");
    assert!(left.iter().any(|(key, content)| key.starts_with("doc (") && content == "mine"), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_not_moved_nor_deleted_while_s3_is_away() {
    let away = away(&[("d/doc", "content")]).await;
    let begun = Instant::now();
    assert_eq!(away.mac.rename("/d", "/e").await, 503);
    assert_eq!(away.mac.status("DELETE", "/d/").await, 503);
    assert!(begun.elapsed() < Duration::from_secs(12), "each within 6 s");
    assert_eq!(away.mac.get("/d/doc").await.1, "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_builds_on_two_others_is_made_after_both() {
    for _ in 0..8 {
        let mut away = away(&[("a", "of a"), ("b", "of b"), ("c", "of c")]).await;
        for (from, to, status) in [("/b", "/a", 204), ("/c", "/m", 201), ("/m", "/a", 204)] {
            assert_eq!(away.mac.rename(from, to).await, status, "{from} {to}");
        }
        assert_eq!(away.outcome().await.1, objects(&[("a", "of c")]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_put_in_the_place_of_a_move_whose_source_is_gone_is_theirs() {
    let mut away = away(&[("from", "content"), ("to", "old")]).await;
    // Found out by this, so that the move is not sent before it is accepted.
    away.save_new("/first", "x").await;
    assert_eq!(away.mac.rename("/from", "/to").await, 204);
    assert_eq!(away.mac.status("DELETE", "/to").await, 204);
    away.bucket.delete("from").await;
    away.bucket.put("to", "of them").await;
    assert_eq!(
        away.outcome().await.1,
        objects(&[("first", "x"), ("to", "of them")]),
        "it is as long, and newer"
    );
}
