//! What is done, step by step.

use std::net::SocketAddr;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::Clock;
use super::contenders::BUCKET;
use super::mac::Mac;
use super::sdk;

pub const LARGE: usize = 64 << 20;

pub fn picture(number: usize) -> Bytes {
    format!("picture {number} ").repeat(200).into()
}

/// What is in the bucket in the morning.
pub async fn fill(client: &Client) {
    let mut objects: Vec<(String, Bytes)> = Vec::new();
    objects.extend((0..1000).map(|number| (format!("pictures/{number:04}.jpg"), picture(number))));
    for number in 0..100 {
        objects.push((format!("album/{number:03}"), Bytes::from("x")));
        objects.push((format!("old/{number:03}"), Bytes::from("x")));
        objects.push((format!("tree/{}/{number:03}", number % 10), Bytes::from("x")));
    }
    objects.push(("docs/letter.txt".into(), Bytes::from("old")));
    objects.push(("docs/plan.txt".into(), Bytes::from("plan")));
    objects.push(("film.mov".into(), vec![b'f'; LARGE].into()));
    let puts = stream::iter(objects).map(|(key, body)| async move {
        client.put_object().bucket(BUCKET).key(key).body(ByteStream::from(body)).send().await.unwrap();
    });
    puts.buffer_unordered(16).collect::<Vec<()>>().await;
}

/// Keys that are no user's file.
pub async fn junk(s3: SocketAddr) -> usize {
    let client = sdk::client(s3);
    let mut pages = client.list_objects_v2().bucket(BUCKET).into_paginator().send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        let keys = page.contents().iter().filter_map(|object| object.key());
        count += keys.filter(|key| key.contains("._") || key.contains(".DS_Store")).count();
    }
    count
}

/// Lives the day; counts what did not come out as it should.
pub async fn live(mac: &Mac, clock: &mut Clock<'_>) -> usize {
    let mut wrong = look_around(mac, clock).await;
    wrong += read(mac, clock).await;
    wrong += write(mac, clock).await;
    wrong + rename_and_delete(mac, clock).await
}

async fn look_around(mac: &Mac, clock: &mut Clock<'_>) -> usize {
    mac.status("OPTIONS", "/").await;
    mac.look("/").await;
    clock.step("mount");
    for probe in [
        ".hidden",
        ".DS_Store",
        "DCIM",
        ".metadata_never_index_unless_rootfs",
        ".metadata_never_index",
        ".metadata_direct_scope_only",
        ".Spotlight-V100",
        "._.",
        ".localized",
        ".ql_disablethumbnails",
        ".ql_disablecache",
        ".VolumeIcon.icns",
        ".TemporaryItems",
        ".Trashes",
        ".fseventsd",
        ".apdisk",
        "mach_kernel",
    ] {
        mac.look(&format!("/{probe}")).await;
    }
    clock.step("17 probes of the root");
    let mut wrong = usize::from(mac.list("/").await.len() != 7);
    wrong += usize::from(mac.list("/pictures/").await.len() != 1001);
    for name in [".DS_Store", ".localized", "._."] {
        mac.look(&format!("/pictures/{name}")).await;
    }
    for number in 0..60 {
        mac.look(&format!("/pictures/._{number:04}.jpg")).await;
    }
    clock.step("open a folder of 1,000 pictures, 63 probes");
    for number in 0..60 {
        wrong += usize::from(mac.look(&format!("/pictures/{number:04}.jpg")).await != 207);
    }
    clock.step("60 looks");
    wrong
}

async fn read(mac: &Mac, clock: &mut Clock<'_>) -> usize {
    let (mut wrong, mut dates) = (0, Vec::new());
    for number in 0..40 {
        let answer = mac.send("GET", &format!("/pictures/{number:04}.jpg"), &[], Bytes::new()).await;
        dates.push(answer.headers()["last-modified"].to_str().unwrap().to_owned());
        wrong += usize::from(answer.bytes().await.unwrap() != picture(number));
    }
    clock.step("read 40 small files");
    for (number, date) in dates.iter().enumerate() {
        let since = [("If-Modified-Since", date.as_str())];
        let answer = mac.send("GET", &format!("/pictures/{number:04}.jpg"), &since, Bytes::new()).await;
        wrong += usize::from(answer.status() != 304);
    }
    clock.step("the same, revalidated");
    for number in 0..40 {
        wrong += usize::from(mac.get(&format!("/pictures/{number:04}.jpg")).await != picture(number));
    }
    clock.step("the same, once more");
    wrong += usize::from(mac.get("/film.mov").await.len() != LARGE);
    clock.step("read 64 MiB");
    wrong
}

async fn write(mac: &Mac, clock: &mut Clock<'_>) -> usize {
    mac.look("/new").await;
    let mut wrong = usize::from(mac.status("MKCOL", "/new").await != 201);
    mac.list("/new/").await;
    for number in 0..50 {
        let path = format!("/new/{number:02}.txt");
        mac.look(&format!("/new/._{number:02}.txt")).await;
        mac.create(&path, picture(number)).await;
        mac.create(&format!("/new/._{number:02}.txt"), vec![0; 4096].into()).await;
        wrong += usize::from(mac.look(&path).await != 207);
    }
    clock.step("copy in 50 small files with AppleDouble");
    mac.create("/new/film.mov", vec![b'n'; LARGE].into()).await;
    clock.step("copy in 64 MiB");
    wrong += usize::from(mac.get("/docs/letter.txt").await != "old");
    mac.create("/docs/letter.txt.sb-1", "new".into()).await;
    wrong += usize::from(mac.rename("/docs/letter.txt.sb-1", "/docs/letter.txt").await >= 300);
    wrong += usize::from(mac.get("/docs/letter.txt").await != "new");
    clock.step("save a document safely");
    wrong
}

async fn rename_and_delete(mac: &Mac, clock: &mut Clock<'_>) -> usize {
    let mut wrong = usize::from(mac.rename("/docs/plan.txt", "/docs/plans.txt").await >= 300);
    clock.step("rename a file");
    wrong += usize::from(mac.rename("/album", "/holiday").await >= 300);
    clock.step("rename a folder of 100");
    for path in mac.list("/old/").await.iter().skip(1).filter(|path| !path.contains("/._")) {
        wrong += usize::from(mac.status("DELETE", path).await >= 300);
    }
    mac.list("/old/").await;
    wrong += usize::from(mac.status("DELETE", "/old/").await >= 300);
    clock.step("delete a folder of 100, file by file");
    wrong += usize::from(mac.status("DELETE", "/tree/").await >= 300);
    clock.step("delete a tree of 100 in 10 folders");
    wrong
}
