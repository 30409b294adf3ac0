//! Making and writing files.

use bytes::Bytes;
use futures_util::stream;

use super::{World, scenarios};
use crate::finder::client::STAT;
use crate::finder::parser::entries;

scenarios! {
    s14_a_folder_of_finders_own_files_is_empty fails if |asked, answer| {
        if asked.method == "PROPFIND" {
            answer.replace("</D:multistatus>", "<D:response><D:href>/d/.DS_Store</D:href></D:response></D:multistatus>");
        }
    };
    s15_a_folder_with_files_is_not fails if |asked, answer| {
        if asked.headers.get("depth").is_some_and(|depth| depth == "1") {
            let end = answer.body.find("</D:response>").unwrap_or_default();
            answer.body.replace_range(end.., "</D:response></D:multistatus>");
        }
    };
    s21_a_new_file_is_there_at_once fails if |asked, answer| {
        if asked.method == "PUT" {
            answer.headers.remove("last-modified");
        }
    };
    s24_the_expected_length_is_a_hint fails if |asked, answer| {
        let hint = asked.headers.get("x-expected-entity-length").and_then(|value| value.to_str().ok()?.parse().ok());
        if hint.is_some_and(|hint: usize| hint != asked.length) {
            answer.is(400);
        }
    };
    s25_a_write_tells_what_it_became fails if |asked, answer| {
        if asked.method == "PUT" {
            answer.headers.remove("etag");
        }
    };
    s38_probes_are_answered_from_memory fails if |_, answer| {
        if answer.status == 404 {
            answer.is(207);
        }
    };
    s39_what_belongs_to_a_file_is_kept_beside_it fails if |asked, answer| {
        if asked.path.contains("/._") && asked.method == "PUT" {
            answer.is(403);
        }
    };
}

async fn s14_a_folder_of_finders_own_files_is_empty(world: World) {
    world.mac.status("MKCOL", "/d").await;
    world.mac.create("/d/.DS_Store", "store").await;
    world.mac.create("/d/._x", "attributes").await;
    assert!(world.mac.is_empty("/d/").await);
    assert_eq!(world.mac.status("DELETE", "/d/").await, 204);
    world.mac.status("MKCOL", "/d").await;
    assert_eq!(world.mac.look("/d/._x").await, 404);
}

async fn s15_a_folder_with_files_is_not(world: World) {
    world.outside("d/file", "x").await;
    world.forget_costs();
    assert!(!world.mac.is_empty("/d/").await);
    if let Some(s3) = world.s3() {
        assert!(s3.count("ListObjectsV2") <= 1);
    }
}

async fn s21_a_new_file_is_there_at_once(world: World) {
    world.mac.list("/").await;
    world.forget_costs();
    let answer = world.mac.request("PUT", "/new").header("Content-Length", "0").send().await.unwrap();
    assert_eq!(answer.status(), 201);
    for name in ["last-modified", "etag"] {
        assert!(answer.headers().contains_key(name), "{name}");
    }
    let text = world.mac.propfind("/new", "0", STAT).send().await.unwrap().text().await.unwrap();
    assert_eq!(entries(&text)[0].size, Some(0));
    if let Some(s3) = world.s3() {
        assert!(s3.count("PutObject") <= 1);
    }
}

async fn s24_the_expected_length_is_a_hint(world: World) {
    for (name, hint) in [("/right", "6"), ("/longer", "3"), ("/shorter", "1000")] {
        assert_eq!(world.mac.status("PUT", name).await, 201);
        let token = world.mac.lock(name).await;
        let chunks = ["con", "ten", ""].map(|chunk| Ok::<_, std::io::Error>(Bytes::from(chunk)));
        let request = world.mac.request("PUT", name).header("If", format!("(<{token}>)"));
        let request = request.header("X-Expected-Entity-Length", hint);
        let answer = request.body(reqwest::Body::wrap_stream(stream::iter(chunks))).send().await.unwrap();
        assert!(answer.status().is_success(), "{name}: {}", answer.status());
        assert_eq!(world.mac.get(name).await.1, "conten");
    }
}

async fn s25_a_write_tells_what_it_became(world: World) {
    assert_eq!(world.mac.status("PUT", "/file").await, 201);
    let token = world.mac.lock("/file").await;
    let request = world.mac.request("PUT", "/file").header("If", format!("(<{token}>)"));
    let answer = request.body("content").send().await.unwrap();
    assert!(answer.status().is_success());
    assert!(answer.headers().contains_key("last-modified") && answer.headers().contains_key("etag"));
    let etag = answer.headers()["etag"].clone();
    assert_eq!(world.mac.send("GET", "/file").await.headers()["etag"], etag);
}

async fn s38_probes_are_answered_from_memory(world: World) {
    world.forget_costs();
    for number in 0..200 {
        for name in [format!("._{number}"), ".localized".into(), ".hidden".into(), ".DS_Store".into()] {
            assert_eq!(world.mac.look(&format!("/{name}")).await, 404, "{name}");
        }
    }
    world.cost_nothing();
}

async fn s39_what_belongs_to_a_file_is_kept_beside_it(world: World) {
    world.outside("f", "x").await;
    world.mac.list("/").await;
    world.forget_costs();
    world.mac.create("/._f", vec![1; 4096]).await;
    assert_eq!(world.mac.get("/._f").await.1.len(), 4096);
    world.cost_nothing();
    assert_eq!(world.mac.list("/").await, ["/", "/f"]);
    assert_eq!(world.mac.rename("/f", "/g").await, 201);
    assert!(matches!(world.mac.rename("/._f", "/._g").await, 201 | 204));
    assert_eq!(world.mac.get("/._g").await.1.len(), 4096);
    assert_eq!(world.mac.status("DELETE", "/._g").await, 204);
    assert_eq!(world.stored().await.keys().await, ["g"]);
}
