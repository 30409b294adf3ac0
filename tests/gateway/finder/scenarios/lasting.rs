//! What takes long: a body while nothing of it is stored, a file that is open, a busy day.

use std::time::Duration;

use s3dav::embedded::{Action, Gate};

use super::{World, scenarios};
use crate::finder::busy;
use crate::finder::sender::{body, whole};

scenarios! {
    s26_a_body_is_taken_without_a_pause fails if |asked, answer| {
        if asked.method == "PUT" {
            answer.stall(4000);
        }
    };
    s43_a_busy_mac_keeps_what_it_has_open fails if |asked, answer| {
        if asked.method == "LOCK" && asked.headers.contains_key("if") {
            answer.is(200);
            answer.swallow();
        }
    };
}

async fn s26_a_body_is_taken_without_a_pause(world: World) {
    // A directory that stalls is in `path::faults`.
    let gate = Gate::default();
    if let Some(s3) = world.s3() {
        s3.next(usize::MAX, "UploadPart", Action::Hold(gate.clone()));
    }
    let (body, taking) = body(true);
    let sending = tokio::spawn(world.mac.request("PUT", "/file").body(body).send());
    tokio::time::sleep(STALL).await;
    gate.open();
    assert_eq!(sending.await.unwrap().unwrap().status(), 201);
    let pause = taking.longest_pause();
    assert!(pause < PATIENCE, "{pause:?}");
    assert!(world.mac.get("/file").await.1 == whole());
}

async fn s43_a_busy_mac_keeps_what_it_has_open(world: World) {
    let rounds = busy::work(&world.mac.url, &world.gateway.url, SOAK).await;
    assert!(rounds.iter().all(|rounds| *rounds > 0), "{rounds:?}: somebody was stuck");
    let mut left = world.stored().await.contents().await;
    assert_eq!(left.remove("open").unwrap(), "mine");
    for (key, content) in &left {
        let told = world.mac.get(&format!("/{key}")).await;
        assert!(key.ends_with('/') || told == (200, content.clone()), "{key}");
    }
    let (_, workers) = rounds.split_last().unwrap();
    for (worker, rounds) in workers.iter().enumerate() {
        // How often it worked depends on the machine, and so does what it made.
        let folder = format!("mac{worker}/");
        let kept = left.keys().filter(|key| key.starts_with(&format!("{folder}renamed"))).count();
        assert_eq!(kept, rounds.div_ceil(3), "{folder}");
        assert_eq!(world.mac.status("DELETE", &format!("/{folder}")).await, 204);
    }
}

/// A tenth of what a part may take, and of what the client waits for before it gives an upload up.
const STALL: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_millis(2500);
/// Half an hour, shortened: a lock lasts half of it.
const SOAK: Duration = Duration::from_secs(12);
