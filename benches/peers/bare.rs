//! What the SDK itself needs for the same work: the limit of what a gateway can reach.
//!
//! Runs as a process of its own, so that what it uses can be measured like the others'.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::contenders::{BUCKET, Used, used};
use super::sdk::client;
use super::work::{Outcome, Work};

/// Bytes of a range or part, and how many are under way: as s3dav has them.
const PIECE: u64 = 8 << 20;
const READING: usize = 4;
const WRITING: usize = 8;

/// Runs `work` in a child process; it prints its seconds and the time to the first byte.
pub fn run(work: &Work, s3: SocketAddr) -> (Outcome, Used) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env("S3DAV_BARE_WORK", work.name)
        .env("S3DAV_BARE_S3", s3.to_string())
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    // It waits for its input to end, so that it can be looked at.
    let used = used(child.id());
    drop(child.stdin.take());
    child.wait().unwrap();
    let numbers: Vec<f64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
    (Outcome { seconds: numbers[0], first_byte: Some(Duration::from_secs_f64(numbers[1])) }, used)
}

/// What the child process does, if this is one.
pub async fn child() -> bool {
    let (Ok(name), Ok(s3)) = (std::env::var("S3DAV_BARE_WORK"), std::env::var("S3DAV_BARE_S3")) else {
        return false;
    };
    let work = Work::all().into_iter().find(|work| work.name == name).unwrap();
    let client = client(s3.parse().unwrap());
    // A connection is open before the clock starts, as the gateways have one.
    client.list_objects_v2().bucket(BUCKET).max_keys(1).send().await.unwrap();
    let begun = Instant::now();
    let first_byte = act(&work, &client).await.unwrap_or_default();
    println!("{} {}", begun.elapsed().as_secs_f64(), first_byte.as_secs_f64());
    let _ = std::io::stdin().read_line(&mut String::new());
    true
}

async fn act(work: &Work, client: &Client) -> Option<Duration> {
    match work.name {
        "list 1,000" | "list 10,000" => {
            let mut pages = client
                .list_objects_v2()
                .bucket(BUCKET)
                .prefix(work.path.trim_start_matches('/'))
                .delimiter("/")
                .into_paginator()
                .send();
            while let Some(page) = pages.next().await {
                page.unwrap();
            }
            None
        }
        "stat 60" => {
            let prefix = work.path.trim_start_matches('/');
            client.list_objects_v2().bucket(BUCKET).prefix(prefix).send().await.unwrap();
            None
        }
        "read 40 small" => {
            for n in 0..40 {
                read_range(client, &format!("small/{n:04}"), 0, 4096).await;
            }
            None
        }
        "read 1 GiB" => Some(read(client, "large/0".into(), 1 << 30).await),
        "8 readers of 256 MiB" => {
            let readers = (0..8).map(|n| read(client, format!("mid/{n}"), 256 << 20));
            futures_util::future::join_all(readers).await;
            None
        }
        "write 1 GiB" => {
            write(client, "written/bare", 1 << 30).await;
            None
        }
        "rename 1,000" => {
            rename(client, "rename-bare/", "renamed-bare/").await;
            None
        }
        "delete 1,000" => {
            delete(client, "delete-bare/").await;
            None
        }
        "put 200 small" => {
            for n in 0..200 {
                let body = ByteStream::from(Bytes::from(vec![b'.'; 4096]));
                client
                    .put_object()
                    .bucket(BUCKET)
                    .key(format!("put-bare/{n}"))
                    .body(body)
                    .send()
                    .await
                    .unwrap();
            }
            None
        }
        other => panic!("{other}?"),
    }
}

async fn read_range(client: &Client, key: &str, first: u64, end: u64) -> Duration {
    let begun = Instant::now();
    let range = format!("bytes={first}-{}", end - 1);
    let mut body = client.get_object().bucket(BUCKET).key(key).range(range).send().await.unwrap().body;
    let mut first_byte = None;
    while let Some(chunk) = body.next().await {
        chunk.unwrap();
        first_byte.get_or_insert(begun.elapsed());
    }
    first_byte.unwrap_or_default()
}

async fn read(client: &Client, key: String, size: u64) -> Duration {
    let ranges = stream::iter((0..size).step_by(PIECE as usize)).map(|first| {
        let (client, key) = (client.clone(), key.clone());
        async move {
            tokio::spawn(async move { read_range(&client, &key, first, size.min(first + PIECE)).await })
                .await
                .unwrap()
        }
    });
    let times: Vec<Duration> = ranges.buffered(READING).collect().await;
    times.first().copied().unwrap_or_default()
}

async fn write(client: &Client, key: &str, size: u64) {
    let created = client.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
    let id = Arc::new(created.upload_id.unwrap());
    let parts = stream::iter(1..=size.div_ceil(PIECE)).map(|number| {
        let (client, key, id) = (client.clone(), key.to_owned(), Arc::clone(&id));
        // Filled anew, as a body that arrives is.
        tokio::spawn(async move {
            let body = ByteStream::from(Bytes::from(vec![b'.'; PIECE as usize]));
            let request =
                client.upload_part().bucket(BUCKET).key(key).upload_id(&*id).part_number(number as i32);
            let part = request.body(body).send().await.unwrap();
            CompletedPart::builder().part_number(number as i32).set_e_tag(part.e_tag).build()
        })
    });
    let parts: Vec<CompletedPart> = parts.buffered(WRITING).map(Result::unwrap).collect().await;
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let request = client.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(&*id);
    request.multipart_upload(parts).send().await.unwrap();
}

async fn keys(client: &Client, prefix: &str) -> Vec<String> {
    let page = client.list_objects_v2().bucket(BUCKET).prefix(prefix).send().await.unwrap();
    page.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
}

async fn rename(client: &Client, from: &str, to: &str) {
    let copies = stream::iter(keys(client, from).await).map(|key| {
        let target = key.replace(from, to);
        let copy = client.copy_object().bucket(BUCKET).copy_source(format!("{BUCKET}/{key}")).key(target);
        async move { drop(copy.send().await.unwrap()) }
    });
    copies.buffer_unordered(16).collect::<Vec<()>>().await;
    delete(client, from).await;
}

async fn delete(client: &Client, prefix: &str) {
    let keys = keys(client, prefix).await;
    let objects = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build().unwrap()).collect();
    let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build().unwrap();
    client.delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
}
