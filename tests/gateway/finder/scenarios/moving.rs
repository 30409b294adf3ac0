//! Renaming, saving safely, deleting.

use std::time::{Duration, Instant};

use s3dav::embedded::Action;

use super::{World, scenarios};
use crate::finder::broken::{Answer, Asked};

scenarios! {
    s32_a_file_goes_where_it_should fails if super::swallowed;
    s33_a_large_folder_is_renamed_in_time fails if super::swallowed;
    s34_another_spelling_loses_nothing fails if super::swallowed;
    s35_a_delete_is_done_or_not fails if |asked, answer| {
        if asked.method == "DELETE" && answer.status != 204 {
            answer.is(207);
        }
    };
    s42_saving_safely fails if |asked, answer| {
        if asked.method == "MOVE" {
            answer.is(412);
        }
    };
}

/// A front that says it moved something.
fn swallowed(asked: &Asked, answer: &mut Answer) {
    if asked.method == "MOVE" {
        answer.swallow();
    }
}

async fn s32_a_file_goes_where_it_should(world: World) {
    world.outside("old", "x").await;
    world.outside("there before", "y").await;
    assert_eq!(world.mac.rename("/old", "/new%20name").await, 201);
    assert_eq!(world.mac.rename("/new%20name", "/there%20before").await, 204);
    assert_eq!(world.mac.get("/there%20before").await.1, "x");
    // By another name of this machine.
    let port = world.gateway.url.rsplit(':').next().unwrap();
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let request = world.mac.request("MOVE", "/there%20before");
        let request = request.header("Destination", format!("http://{host}:{port}/elsewhere"));
        assert_eq!(request.send().await.unwrap().status(), 201, "{host}");
        assert_eq!(world.mac.rename("/elsewhere", "/there%20before").await, 201);
    }
    assert_eq!(world.stored().await.keys().await, ["there before"]);
}

async fn s33_a_large_folder_is_renamed_in_time(world: World) {
    const FILES: usize = 2000;
    let bucket = world.gateway.bucket().await;
    for number in 0..FILES {
        bucket.put(&format!("large/{number:04}"), "").await;
    }
    let begun = Instant::now();
    assert_eq!(world.mac.rename("/large", "/renamed").await, 201);
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(world.mac.list("/renamed/").await.len(), FILES + 1);
    assert_eq!(world.mac.look("/large").await, 404);
}

async fn s34_another_spelling_loses_nothing(world: World) {
    world.outside("a", "x").await;
    assert!(matches!(world.mac.rename("/a", "/A").await, 201 | 204));
    assert_eq!(world.mac.get("/A").await, (200, "x".into()));
    world.outside("caf\u{e9}", "y").await;
    let status = world.mac.rename("/caf%C3%A9", "/cafe%CC%81").await;
    assert!(matches!(status, 201 | 204 | 403), "{status}");
    assert_eq!(world.mac.get("/cafe%CC%81").await, (200, "y".into()));
}

async fn s35_a_delete_is_done_or_not(world: World) {
    world.outside("file", "x").await;
    assert_eq!(world.mac.status("DELETE", "/file").await, 204);
    assert_eq!(world.mac.status("DELETE", "/file").await, 404);
    world.outside("d/file", "x").await;
    if let Some(s3) = world.s3() {
        s3.next(1, "DeleteObjects", Action::Fail { status: 403, code: "AccessDenied", message: "" });
        let status = world.mac.status("DELETE", "/d/").await;
        assert!((400..500).contains(&status), "{status}");
        s3.heal();
    }
    assert_eq!(world.mac.status("DELETE", "/d/").await, 204);
}

async fn s42_saving_safely(world: World) {
    world.outside("doc", "old").await;
    world.mac.get("/doc").await;
    // As most programs do: a new file, moved over the document.
    world.mac.create("/doc.tmp", "new").await;
    assert_eq!(world.mac.rename("/doc.tmp", "/doc").await, 204);
    assert_eq!(world.mac.get("/doc").await.1, "new");
    // With a folder of its own, and the old one kept until all is well.
    assert_eq!(world.mac.status("MKCOL", "/doc.sb-1a2b3c4d-x1y2z3").await, 201);
    world.mac.create("/doc.sb-1a2b3c4d-x1y2z3/doc", "newer").await;
    assert_eq!(world.mac.rename("/doc", "/doc~").await, 201);
    assert_eq!(world.mac.rename("/doc.sb-1a2b3c4d-x1y2z3/doc", "/doc").await, 201);
    assert_eq!(world.mac.status("DELETE", "/doc~").await, 204);
    assert!(world.mac.is_empty("/doc.sb-1a2b3c4d-x1y2z3/").await);
    assert_eq!(world.mac.status("DELETE", "/doc.sb-1a2b3c4d-x1y2z3/").await, 204);
    assert_eq!(world.mac.get("/doc").await.1, "newer");
    assert_eq!(world.stored().await.keys().await, ["doc"]);
}
