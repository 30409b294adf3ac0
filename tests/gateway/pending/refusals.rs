//! Saves that were accepted and that S3 refuses, or that this machine lost.

use std::fs;
use std::time::Duration;

use s3dav::control::{self, PendingAction, Request};
use s3dav::embedded::{Action, Gate};
use s3dav::spool::Quota;

use super::Away;
use super::durability::journaling;
use crate::finder::client::Finder;
use crate::harness::{eventually, process};

const DENIED: Action = Action::Fail { status: 403, code: "AccessDenied", message: "Access Denied" };

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_refuses_is_kept_told_and_gives_way_to_what_is_saved_next() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    assert_eq!(away.save("/doc", "newer").await, 204);
    assert_eq!(away.told().await[0]["state"], "waiting");
    away.s3.hooks().next(usize::MAX, "PutObject", DENIED);
    away.door.open().await;
    eventually("it is refused", || async { away.told().await[0]["state"] == "refused" }).await;
    assert!(away.told().await[0]["why"].as_str().unwrap().contains("access denied"), "{}", away.told().await);
    assert_eq!(away.mac.get("/doc").await, (200, "newer".into()), "it is shown still");
    assert_eq!((away.bodies().len(), away.bucket.get("doc").await.unwrap()), (1, "old".into()));
    away.s3.hooks().heal();
    assert_eq!(away.save("/doc", "newest").await, 204);
    assert_eq!(away.bucket.get("doc").await.unwrap(), "newest");
    away.drained().await;
    assert_eq!(away.bucket.keys().await, ["doc"]);
    assert_eq!(away.told().await, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn why_s3_refuses_is_told_without_a_gateway_too() {
    let away = Away::start().await;
    away.mac.list("/").await;
    away.s3.hooks().next(usize::MAX, "PutObject", DENIED);
    away.mac.create("/new", "content").await;
    eventually("it is refused", || async { away.told().await[0]["state"] == "refused" }).await;
    let (_, state) = away.gateway.end().await;
    let pending = async |arguments: &[&str]| {
        let mut command = process::command(&[&["pending"], arguments].concat());
        command.arg("--state-dir").arg(state.path().join("state"));
        process::outcome(command).await.1
    };
    for _ in 0..2 {
        let said = pending(&["list"]).await;
        assert!(said.contains("refused    /new (7 bytes, ") && said.contains("access denied"), "{said}");
    }
    assert_eq!(pending(&["retry", "--all"]).await, "to be tried again: /new\n");
    assert!(pending(&["list"]).await.contains("pending    /new (7 bytes, "), "it is not refused any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_whose_database_is_gone_are_told_and_kept() {
    let mut away = Away::start().await;
    away.mac.list("/").await;
    away.door.shut().await;
    away.mac.create("/new", "content").await;
    let (_, state) = away.gateway.end().await;
    let directory = state.path().join("state");
    fs::remove_file(directory.join("state.redb")).unwrap();
    for _ in 0..2 {
        let mut command = process::command(&["pending", "--state-dir"]);
        command.arg(&directory);
        let (_, said, error) = process::outcome(command).await;
        assert!(
            said.contains("unclaimed  1 content in ") && !error.contains("nothing is pending"),
            "{said}{error}"
        );
    }
    let mut command = process::command(&["pending", "list", "--json", "--state-dir"]);
    command.arg(&directory);
    let (_, said, _) = process::outcome(command).await;
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told[0]["unclaimed"]["count"], 1, "{said}");
    let kept = fs::read_dir(directory.join("pending.noindex/unclaimed")).unwrap();
    let kept: Vec<_> = kept.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert_eq!(kept, [b"content"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_refuses_at_once_is_kept_for_whoever_cannot_be_told() {
    let away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    assert_eq!(away.mac.look("/new").await, 404);
    away.s3.hooks().next(usize::MAX, "PutObject", DENIED);
    assert_eq!(away.gateway.put("/doc", "of a client that is told").await, 403);
    assert_eq!(away.save("/doc", "newer").await, 204);
    away.mac.create("/new", "content").await;
    eventually("both are refused", || async {
        let told = away.told().await;
        told.as_array().unwrap().iter().filter(|save| save["state"] == "refused").count() == 2
    })
    .await;
    assert_eq!(away.mac.get("/doc").await, (200, "newer".into()), "it is shown");
    assert_eq!(away.mac.get("/new").await, (200, "content".into()));
    assert_eq!((away.bodies().len(), away.bucket.keys().await), (2, vec!["doc".to_owned()]));
    away.s3.hooks().heal();
    let state = away.gateway.state.path().join("state");
    let request = Request::Pending { path: String::new(), action: PendingAction::Retry };
    control::ask(&state, request, Duration::from_secs(30)).await.unwrap();
    away.drained().await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "newer");
    assert_eq!(away.bucket.get("new").await.unwrap(), "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_save_that_s3_refuses_before_its_end_is_kept_too() {
    const PART: u64 = 5 << 20;
    for operation in ["CreateMultipartUpload", "UploadPart"] {
        let away = Away::start_with(|config| {
            let uploads = &mut super::buckets(config).uploads;
            (uploads.part_size, uploads.multipart_threshold) = (PART, PART);
        })
        .await;
        away.bucket.put("doc", "old").await;
        assert_eq!(away.mac.get("/doc").await.1, "old");
        away.s3.hooks().next(usize::MAX, operation, DENIED);
        let content = vec![b'x'; 6 * PART as usize];
        assert_eq!(away.save("/doc", content.clone()).await, 204, "{operation}");
        eventually("it is refused", || async { away.told().await[0]["state"] == "refused" }).await;
        assert_eq!(away.bucket.get("doc").await.unwrap(), "old");
        away.s3.hooks().heal();
        away.pending(PendingAction::Retry).await;
        away.drained().await;
        assert!(away.bucket.get("doc").await.unwrap() == content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_over_what_s3_refused_takes_nothing_of_others_along() {
    let away = journaling(0).await;
    let of = |agent| Finder::at(&away.gateway.url).called(agent);
    let (one, two) = (of("one/1"), of("two/1"));
    for mind in [&one, &two] {
        assert_eq!(mind.get("/d/doc").await.1, "old");
    }
    away.s3.hooks().next(usize::MAX, "PutObject", DENIED);
    let put = async |client: &Finder, content: &'static str| {
        assert_eq!(client.request("PUT", "/d/doc").body(content).send().await.unwrap().status(), 204);
    };
    put(&one, "one").await;
    eventually("it is refused", || async {
        away.pending(PendingAction::List).await.iter().all(|change| change.refused.is_some())
    })
    .await;
    put(&two, "two").await;
    // From now on what is saved goes to S3 first.
    let away = away.restarted().await;
    eventually("both are refused", || async {
        let pending = away.pending(PendingAction::List).await;
        pending.len() == 2 && pending.iter().all(|change| change.refused.is_some())
    })
    .await;
    away.s3.hooks().heal();
    let script = Finder::at(&away.gateway.url).called("script/1");
    assert_eq!(script.get("/d/doc").await.1, "one", "it is shown");
    assert_eq!(script.request("PUT", "/d/doc").body("three").send().await.unwrap().status(), 204);
    away.pending(PendingAction::Retry).await;
    away.drained().await;
    let contents = away.bucket.contents().await;
    assert_eq!(contents["d/doc"], "three");
    assert!(contents.values().any(|content| content == "two"), "{contents:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_moved_can_be_written_elsewhere_too() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.mac.list("/").await;
    let gate = Gate::default();
    away.s3.hooks().next(usize::MAX, "PutObject", Action::HoldFirst(gate.clone()));
    // It was sent, and nobody knows whether it came.
    away.mac.create("/tmp", "saved").await;
    away.door.shut().await;
    gate.open();
    assert_eq!(away.mac.rename("/tmp", "/doc").await, 204);
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().to_path_buf();
    away.pending(PendingAction::Save { directory }).await;
    assert_eq!(fs::read_to_string(place.path().join("doc")).unwrap(), "saved");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_tried_again_at_the_next_start() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    assert_eq!(away.save("/doc", "newer").await, 204);
    away.s3.hooks().next(usize::MAX, "PutObject", DENIED);
    away.door.open().await;
    eventually("it is refused", || async { away.told().await[0]["state"] == "refused" }).await;
    away.s3.hooks().heal();
    let away = away.restarted().await;
    away.drained().await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "newer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_damaged_is_told_and_never_stored() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    assert_eq!(away.save("/doc", "newer").await, 204);
    let file = away.gateway.state.path().join("state/pending.noindex").join(&away.bodies()[0]);
    fs::write(file, "NEWER").unwrap();
    away.door.open().await;
    eventually("it is told", || async { away.told().await[0]["state"] == "refused" }).await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "old");
    assert_eq!(away.bucket.keys().await, ["doc"]);
    assert_eq!(away.bodies().len(), 1, "it is not thrown away");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_damaged_keeps_no_other_from_being_written_elsewhere() {
    let mut away = Away::start().await;
    away.mac.list("/").await;
    away.door.shut().await;
    for name in ["/a", "/b", "/c"] {
        away.mac.create(name, "content").await;
    }
    let body = away.bodies().into_iter().min().unwrap();
    let file = away.gateway.state.path().join("state/pending.noindex").join(body);
    fs::write(file, "damaged").unwrap();
    let place = tempfile::tempdir().unwrap();
    let state = away.gateway.state.path().join("state");
    let action = PendingAction::Save { directory: place.path().to_path_buf() };
    let request = Request::Pending { path: String::new(), action };
    let said = control::ask(&state, request, Duration::from_secs(30)).await;
    assert!(format!("{said:?}").contains("damaged"), "{said:?}");
    let written: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(written.len(), 2, "and no half of the other");
    assert!(written.iter().all(|path| fs::read_to_string(path).unwrap() == "content"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_that_is_lost_is_never_stored_as_an_empty_file() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    assert_eq!(away.save("/doc", "newer").await, 204);
    let file = away.gateway.state.path().join("state/pending.noindex").join(&away.bodies()[0]);
    fs::remove_file(file).unwrap();
    let mut away = away.restarted().await;
    away.door.open().await;
    eventually("it is told", || async { away.told().await[0]["state"] == "refused" }).await;
    let state = away.gateway.state.path().join("state");
    let request = Request::Pending { path: String::new(), action: PendingAction::Retry };
    control::ask(&state, request, Duration::from_secs(30)).await.unwrap();
    eventually("it is told again", || async { away.told().await[0]["state"] == "refused" }).await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "old");
    assert_eq!(away.mac.get("/doc").await.0, 500, "nor is it shown as one");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_a_save_waits_for_s3() {
    let mut away = Away::start_with(|config| super::buckets(config).intake.quota = Quota::of(64 << 10)).await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    let token = away.mac.lock("/doc").await;
    let content = "x".repeat(100_000);
    let request = away.mac.request("PUT", "/doc").header("If", format!("(<{token}>)"));
    let saving = tokio::spawn(request.body(content.clone()).send());
    tokio::time::sleep(super::PATIENCE * 4).await;
    assert!(!saving.is_finished());
    away.door.open().await;
    assert_eq!(saving.await.unwrap().unwrap().status(), 204);
    assert_eq!(away.bucket.get("doc").await.unwrap(), content);
    away.drained().await;
}
