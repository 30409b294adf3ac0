//! What `s3dav pending discard` gives up: its client goes on from what is there again.

use std::time::Duration;

use s3dav::config::Config;
use s3dav::control::{self, ControlError, PendingAction, Reply, Request};
use s3dav::embedded::{Action, Gate};
use s3dav::store::journal::Durability;

use super::Away;
use crate::harness::{buckets, eventually};

/// A gateway on a bucket that holds `f`, which the client has read.
async fn with_file() -> Away {
    let away = Away::start_as(Durability::Journal).await;
    away.bucket.put("f", "old").await;
    assert_eq!(away.gateway.get("/f").await.1, "old");
    // What else is there is known when S3 is away.
    assert_eq!(away.gateway.hrefs("/", "1").await.len(), 2);
    away
}

impl Away {
    async fn gives_up(&self, changes: usize) {
        assert_eq!(self.pending(PendingAction::Discard).await.len(), changes);
        assert!(self.pending(PendingAction::List).await.is_empty());
    }

    /// Gives up a save of `f` that S3 has by then, and has not answered.
    async fn gives_up_what_s3_took(&self) {
        let gate = Gate::default();
        self.s3.hooks().next(1, "PutObject", Action::Hold(gate.clone()));
        assert_eq!(self.gateway.put("/f", "given up").await, 204);
        eventually("S3 has it", || async { self.bucket.get("f").await.unwrap() == "given up" }).await;
        self.gives_up(1).await;
        gate.open();
    }

    /// Gives up what is pending at a path; the paths of that.
    async fn discards(&self, path: &str) -> Vec<String> {
        let state = self.gateway.state.path().join("state");
        loop {
            let request = Request::Pending { path: path.to_owned(), action: PendingAction::Discard };
            match control::ask(&state, request, Duration::from_secs(30)).await {
                Ok(Reply::Pending { changes }) => {
                    return changes.into_iter().map(|change| change.path).collect();
                }
                // It has only just started.
                Err(ControlError::NotRunning { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn holds(&self, content: &str) {
        self.drained().await;
        assert_eq!(self.bucket.keys().await, ["f"]);
        assert_eq!(self.bucket.get("f").await.unwrap(), content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_took_while_it_was_given_up_is_nobody_elses() {
    let away = with_file().await;
    away.gives_up_what_s3_took().await;
    assert_eq!(away.gateway.put("/f", "newest").await, 204);
    away.holds("newest").await;
}

/// The same bytes may be saved again, by whoever they are worth something to.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_client_gave_up_another_one_does_not_replace() {
    let away = with_file().await;
    let by_other = |method: &str| away.gateway.request(method, "/f").header("User-Agent", "other/1");
    assert_eq!(by_other("GET").send().await.unwrap().text().await.unwrap(), "old");
    away.gives_up_what_s3_took().await;
    assert_eq!(by_other("PUT").body("others'").send().await.unwrap().status(), 204);
    away.drained().await;
    assert_eq!(away.bucket.get("f").await.unwrap(), "given up");
    assert_eq!(away.bucket.keys().await.len(), 2, "the save lies beside");
}

/// A guard.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_since_a_save_was_given_up_stays() {
    let away = with_file().await;
    away.gives_up_what_s3_took().await;
    // Of the same length.
    away.bucket.put("f", "others'!").await;
    assert_eq!(away.gateway.put("/f", "newest").await, 204);
    away.drained().await;
    assert_eq!(away.bucket.get("f").await.unwrap(), "others'!");
    assert_eq!(away.bucket.keys().await.len(), 2, "the save lies beside");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gave_up_a_deletion_saves_on_what_is_there_again() {
    let mut away = with_file().await;
    away.door.shut().await;
    assert_eq!(away.gateway.status("DELETE", "/f").await, 204);
    away.gives_up(1).await;
    away.door.open().await;
    assert_eq!(away.gateway.put("/f", "newest").await, 204);
    away.holds("newest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gave_up_a_move_saves_on_what_is_there_again() {
    let mut away = with_file().await;
    away.door.shut().await;
    assert_eq!(away.gateway.transfer("MOVE", "/f", "/g").await, 201);
    away.gives_up(1).await;
    away.door.open().await;
    assert_eq!(away.gateway.put("/f", "newest").await, 204);
    away.holds("newest").await;
}

/// Of what builds on each other, too.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_gave_up_a_save_and_its_deletion_saves_on_what_is_there_again() {
    let mut away = with_file().await;
    away.door.shut().await;
    assert_eq!(away.gateway.put("/f", "given up").await, 204);
    assert_eq!(away.gateway.status("DELETE", "/f").await, 204);
    let changes = away.pending(PendingAction::List).await.len();
    away.gives_up(changes).await;
    away.door.open().await;
    assert_eq!(away.gateway.put("/f", "newest").await, 204);
    away.holds("newest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gave_up_the_move_of_a_save_saves_on_that() {
    let mut away = with_file().await;
    away.door.shut().await;
    assert_eq!(away.gateway.put("/f", "first").await, 204);
    assert_eq!(away.gateway.transfer("MOVE", "/f", "/g").await, 201);
    assert_eq!(away.discards("/g").await, ["/g"]);
    assert_eq!(away.gateway.get("/f").await.1, "first");
    assert_eq!(away.gateway.put("/f", "newest").await, 204);
    away.door.open().await;
    away.holds("newest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gave_up_a_save_deletes_what_is_there_again() {
    let mut away = with_file().await;
    away.door.shut().await;
    assert_eq!(away.gateway.put("/f", "given up").await, 204);
    away.gives_up(1).await;
    away.door.open().await;
    assert_eq!(away.gateway.status("DELETE", "/f").await, 204, "nobody else has changed it");
    away.drained().await;
    assert!(away.bucket.is_empty().await);
}

/// A guard.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_gave_up_a_new_file_knows_of_none() {
    let mut away = with_file().await;
    away.door.shut().await;
    assert_eq!(away.gateway.put("/new", "given up").await, 201);
    away.gives_up(1).await;
    away.bucket.put("new", "others'").await;
    away.door.open().await;
    assert_eq!(away.gateway.put("/new", "newest").await / 100, 2);
    away.drained().await;
    assert_eq!(away.bucket.get("new").await.unwrap(), "others'", "it stays");
    assert_eq!(away.bucket.keys().await.len(), 3, "the save lies beside");
}

/// A backup that is given up was never made: what was saved replaces what was there.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_where_a_move_is_given_up_replaces_what_is_there_again() {
    for saves_more in [false, true] {
        let mut away = with_file().await;
        away.door.shut().await;
        assert_eq!(away.gateway.transfer("MOVE", "/f", "/backup").await, 201);
        assert_eq!(away.gateway.put("/f", "newer").await, 201);
        assert_eq!(away.discards("/backup").await, ["/backup"]);
        assert_eq!(away.gateway.get("/f").await.1, "newer");
        if saves_more {
            assert_eq!(away.gateway.put("/f", "newest").await, 204);
        }
        away.door.open().await;
        away.holds(if saves_more { "newest" } else { "newer" }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_after_the_second_move_that_is_given_up_is_shown_and_saved_on() {
    let mut away = with_file().await;
    away.door.shut().await;
    assert_eq!(away.gateway.transfer("MOVE", "/f", "/m").await, 201);
    assert_eq!(away.gateway.put("/m", "first").await, 204);
    assert_eq!(away.gateway.transfer("MOVE", "/m", "/k").await, 201);
    assert_eq!(away.gateway.put("/m", "third").await, 201);
    assert_eq!(away.discards("/k").await, ["/k"]);
    assert_eq!(away.gateway.get("/m").await.1, "third");
    assert_eq!(away.gateway.put("/m", "fourth").await, 204);
    assert_eq!(away.gateway.get("/m").await.1, "fourth");
    away.door.open().await;
    away.drained().await;
    assert_eq!(away.bucket.keys().await, ["m"]);
    assert_eq!(away.bucket.get("m").await.unwrap(), "fourth");
}

/// What others had made, and its client had not got when it moved it, is nobody's to replace.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_moved_unseen_is_not_replaced_when_the_move_is_given_up() {
    for (is_over_another, restarts) in [(false, false), (true, false), (false, true)] {
        let mut away = with_file().await;
        if is_over_another {
            assert_eq!(away.gateway.put("/aside", "a backup").await, 201);
            away.drained().await;
        }
        away.bucket.put("f", "theirs").await;
        eventually("theirs is known", || async {
            let request = away.gateway.request("GET", "/f").header("User-Agent", "other/1");
            request.send().await.unwrap().text().await.unwrap() == "theirs"
        })
        .await;
        away.door.shut().await;
        let moved = away.gateway.transfer("MOVE", "/f", "/aside").await;
        assert_eq!(moved, if is_over_another { 204 } else { 201 });
        assert_eq!(away.gateway.put("/f", "mine").await, 201);
        if restarts {
            let as_before =
                |config: &mut Config| buckets(config).file_system.durability = Durability::Journal;
            away = away.restarted_with(as_before).await;
        }
        assert_eq!(away.discards("/aside").await, ["/aside"]);
        away.door.open().await;
        away.drained().await;
        assert_eq!(away.bucket.get("f").await.unwrap(), "theirs", "{is_over_another}, {restarts}");
        let files = if is_over_another { 3 } else { 2 };
        assert_eq!(away.bucket.keys().await.len(), files, "what was saved lies beside");
    }
}

/// macOS makes a file empty, and then writes it: both are given up.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_new_file_that_is_given_up_nothing_is_left() {
    for durability in [Durability::Journal, Durability::Store] {
        let mut away = Away::start_as(durability).await;
        away.mac.list("/").await;
        assert_eq!(away.mac.look("/n").await, 404);
        assert_eq!(away.mac.status("PUT", "/n").await, 201);
        away.door.shut().await;
        assert_eq!(away.save("/n", "content").await, 204);
        assert_eq!(away.discards("/n").await, ["/n"], "{durability:?}");
        assert!(away.pending(PendingAction::List).await.is_empty(), "{durability:?}");
        assert_eq!(away.discards("/n").await, Vec::<String>::new());
        // An empty file alone is given up, too.
        assert_eq!(away.mac.status("PUT", "/empty").await, 201);
        assert_eq!(away.discards("/").await, ["/empty"], "{durability:?}");
        away.door.open().await;
        away.drained().await;
        assert_eq!(away.bucket.keys().await, Vec::<String>::new(), "{durability:?}");
    }
}
