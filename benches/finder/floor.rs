//! The same day with only those requests to S3 that nobody could do without, by the SDK.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::Clock;
use super::contenders::BUCKET;
use super::day::{LARGE, picture};

/// As s3dav has them.
const PIECE: usize = 8 << 20;
const READING: usize = 4;
const COPYING: usize = 32;

pub async fn live(client: &Client, clock: &mut Clock<'_>) {
    clock.step("mount");
    clock.step("17 probes of the root");
    list(client, "", true).await;
    list(client, "pictures/", true).await;
    clock.step("open a folder of 1,000 pictures, 63 probes");
    clock.step("60 looks");
    for number in 0..40 {
        get(client, &format!("pictures/{number:04}.jpg"), None).await;
    }
    clock.step("read 40 small files");
    clock.step("the same, revalidated");
    clock.step("the same, once more");
    let ranges = stream::iter((0..LARGE).step_by(PIECE));
    let gets = ranges.map(|first| get(client, "film.mov", Some((first, first + PIECE - 1))));
    gets.buffered(READING).collect::<Vec<()>>().await;
    clock.step("read 64 MiB");
    put(client, "new/", Bytes::new()).await;
    for number in 0..50 {
        put(client, &format!("new/{number:02}.txt"), picture(number)).await;
    }
    clock.step("copy in 50 small files with AppleDouble");
    upload(client, "new/film.mov").await;
    clock.step("copy in 64 MiB");
    get(client, "docs/letter.txt", None).await;
    put(client, "docs/letter.txt.sb-1", "new".into()).await;
    copy(client, "docs/letter.txt.sb-1", "docs/letter.txt").await;
    delete(client, "docs/letter.txt.sb-1").await;
    get(client, "docs/letter.txt", None).await;
    clock.step("save a document safely");
    copy(client, "docs/plan.txt", "docs/plans.txt").await;
    delete(client, "docs/plan.txt").await;
    clock.step("rename a file");
    let keys = list(client, "album/", false).await;
    let copies = keys.iter().map(|key| {
        let target = key.replace("album/", "holiday/");
        async move { copy(client, key, &target).await }
    });
    stream::iter(copies).buffer_unordered(COPYING).collect::<Vec<()>>().await;
    delete_all(client, &keys).await;
    clock.step("rename a folder of 100");
    for key in list(client, "old/", true).await {
        delete(client, &key).await;
    }
    clock.step("delete a folder of 100, file by file");
    let keys = list(client, "tree/", false).await;
    delete_all(client, &keys).await;
    clock.step("delete a tree of 100 in 10 folders");
}

async fn list(client: &Client, prefix: &str, delimited: bool) -> Vec<String> {
    let request = client.list_objects_v2().bucket(BUCKET).prefix(prefix);
    let request = request.set_delimiter(delimited.then(|| "/".to_owned()));
    let page = request.send().await.unwrap();
    page.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
}

async fn get(client: &Client, key: &str, range: Option<(usize, usize)>) {
    let range = range.map(|(first, last)| format!("bytes={first}-{last}"));
    let answer = client.get_object().bucket(BUCKET).key(key).set_range(range).send().await.unwrap();
    answer.body.collect().await.unwrap();
}

async fn put(client: &Client, key: &str, body: Bytes) {
    client.put_object().bucket(BUCKET).key(key).body(ByteStream::from(body)).send().await.unwrap();
}

async fn copy(client: &Client, from: &str, to: &str) {
    let source = format!("{BUCKET}/{from}");
    client.copy_object().bucket(BUCKET).copy_source(source).key(to).send().await.unwrap();
}

async fn delete(client: &Client, key: &str) {
    client.delete_object().bucket(BUCKET).key(key).send().await.unwrap();
}

async fn delete_all(client: &Client, keys: &[String]) {
    let objects = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build().unwrap()).collect();
    let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build().unwrap();
    client.delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
}

async fn upload(client: &Client, key: &str) {
    let created = client.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
    let id = created.upload_id.unwrap();
    let parts = stream::iter(1..=LARGE / PIECE).map(|number| {
        let request = client.upload_part().bucket(BUCKET).key(key).upload_id(&id).part_number(number as i32);
        async move {
            let body = ByteStream::from(Bytes::from(vec![b'n'; PIECE]));
            let part = request.body(body).send().await.unwrap();
            CompletedPart::builder().part_number(number as i32).set_e_tag(part.e_tag).build()
        }
    });
    let parts: Vec<CompletedPart> = parts.buffered(8).collect().await;
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let request = client.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(&id);
    request.multipart_upload(parts).send().await.unwrap();
}
