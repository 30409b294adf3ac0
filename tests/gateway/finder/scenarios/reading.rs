//! Opening files: a whole GET, revalidation, parts.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{TTL, World, scenarios};

scenarios! {
    s16_a_file_comes_with_what_it_is fails if |asked, answer| {
        if asked.method == "GET" {
            answer.headers.remove("last-modified");
        }
    };
    s17_unchanged_is_not_sent_again fails if |asked, answer| {
        if asked.headers.contains_key("if-modified-since") {
            answer.is(304);
        }
    };
    s18_a_broken_download_goes_on fails if |asked, answer| {
        if asked.headers.contains_key("if-range") && answer.status == 206 {
            answer.status = 200;
        }
    };
    s19_a_part_is_that_part fails if |_, answer| {
        if answer.status == 206 {
            answer.status = 200;
        }
    };
    s20_slow_readers_hold_nobody_up fails if |asked, answer| {
        if asked.method == "PROPFIND" {
            answer.delay(3000);
        }
    };
    s30_a_lock_keeps_nobody_from_reading fails if |asked, answer| {
        if asked.method == "GET" {
            answer.is(423);
        }
    };
    s41_nothing_is_sent_elsewhere_or_packed fails if |_, answer| answer.header("content-encoding", "gzip");
}

const CONTENT: &str = "0123456789";

async fn s16_a_file_comes_with_what_it_is(world: World) {
    world.outside("file", CONTENT).await;
    let answer = world.mac.send("GET", "/file").await;
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("content-length").unwrap(), "10");
    assert_eq!(header("accept-ranges").unwrap(), "bytes");
    assert!(header("last-modified").is_some() && header("etag").is_some());
    assert_eq!(answer.text().await.unwrap(), CONTENT);
}

async fn last_modified(world: &World) -> String {
    let answer = world.mac.send("GET", "/file").await;
    answer.headers()["last-modified"].to_str().unwrap().to_owned()
}

async fn s17_unchanged_is_not_sent_again(world: World) {
    world.outside("file", CONTENT).await;
    let since = last_modified(&world).await;
    let again = || world.mac.request("GET", "/file").header("If-Modified-Since", &since).send();
    assert_eq!(again().await.unwrap().status(), 304);
    // In the same second, behind the gateway.
    world.outside("file", "another").await;
    tokio::time::sleep(TTL).await;
    let changed = again().await.unwrap();
    assert_eq!((changed.status().as_u16(), changed.text().await.unwrap().as_str()), (200, "another"));
}

async fn s18_a_broken_download_goes_on(world: World) {
    world.outside("file", CONTENT).await;
    let date = last_modified(&world).await;
    // A date is proof only when the file is not being written any more.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rest = |date: &str| {
        let request = world.mac.request("GET", "/file").header("Range", "bytes=4-").header("If-Range", date);
        async move { request.send().await.unwrap() }
    };
    let answer = rest(&date).await;
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (206, "456789"));
    let answer = rest("Sat, 21 Nov 2020 00:00:00 GMT").await;
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, CONTENT));
}

async fn s19_a_part_is_that_part(world: World) {
    world.outside("file", CONTENT).await;
    for (range, status, expected) in [
        ("2-4", 206, "234"),
        ("0-20", 206, CONTENT),
        ("0-0", 206, "0"),
        ("8-20", 416, ""),
        ("10-12", 416, ""),
    ] {
        let answer =
            world.mac.request("GET", "/file").header("Range", format!("bytes={range}")).send().await.unwrap();
        assert_eq!(answer.status(), status, "{range}");
        if status == 206 {
            assert_eq!(answer.text().await.unwrap(), expected, "{range}");
        }
    }
}

async fn s20_slow_readers_hold_nobody_up(world: World) {
    let large = Bytes::from(vec![b'x'; 24 << 20]);
    world.gateway.bucket().await.put_bytes("large", large).await;
    world.mac.list("/").await;
    // They take the head of the answer, and no more.
    let mut slow = Vec::new();
    for _ in 0..6 {
        slow.push(world.mac.send("GET", "/large").await);
    }
    let begun = Instant::now();
    let looks = (0..24).map(|_| world.mac.look("/large"));
    assert!(futures_util::future::join_all(looks).await.iter().all(|status| *status == 207));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    drop(slow);
}

async fn s30_a_lock_keeps_nobody_from_reading(world: World) {
    world.outside("file", CONTENT).await;
    world.mac.lock("/file").await;
    assert_eq!(world.mac.get("/file").await, (200, CONTENT.into()));
    assert_eq!(world.mac.look("/file").await, 207);
    assert_eq!(world.gateway.get("/file").await.0, 200, "nobody");
}

async fn s41_nothing_is_sent_elsewhere_or_packed(world: World) {
    world.outside("d/file", &"packs well ".repeat(1000)).await;
    for (method, path) in
        [("GET", "/d/file"), ("GET", "/d"), ("OPTIONS", "/d"), ("HEAD", "/d/file"), ("GET", "/no")]
    {
        let answer = world.mac.send(method, path).await;
        assert!(!answer.status().is_redirection(), "{method} {path}: {}", answer.status());
        assert!(!answer.headers().contains_key("content-encoding"), "{method} {path}");
        if let Some(connection) = answer.headers().get("connection") {
            assert!(["close", "keep-alive"].contains(&connection.to_str().unwrap()));
        }
    }
}
