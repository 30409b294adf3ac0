//! The S3 server, what lies in it, and where the results go.

use std::net::SocketAddr;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::contenders::{BUCKET, Contender};
use super::sdk;
use super::server::Server;
use super::work::Work;

/// The embedded server with what is measured.
pub struct S3 {
    pub address: SocketAddr,
    client: Client,
    _server: Server,
}

impl S3 {
    pub async fn start() -> Self {
        let server = Server::start();
        let s3 = Self { address: server.address, client: sdk::client(server.address), _server: server };
        s3.fill("k1/", 1000, 100).await;
        s3.fill("k10/", 10_000, 100).await;
        s3.fill("small/", 100, 4096).await;
        s3.large("large/0", 1 << 30).await;
        for n in 0..8 {
            s3.large(&format!("mid/{n}"), 256 << 20).await;
        }
        s3.fill("written/", 1, 1).await;
        s3
    }

    /// What a contender changes, anew.
    pub async fn prepare(&self, work: &Work, who: &str) {
        match work.name {
            "rename 1,000" | "delete 1,000" => {
                self.fill(&format!("{}{who}/", &work.path[1..]), 1000, 100).await
            }
            "put 200 small" => self.put(format!("put-{who}/"), Bytes::new()).await,
            _ => {}
        }
    }

    async fn fill(&self, prefix: &str, count: usize, size: usize) {
        let body = Bytes::from(vec![b'.'; size]);
        let puts = stream::iter(0..count).map(|n| self.put(format!("{prefix}{n:04}"), body.clone()));
        puts.buffer_unordered(16).collect::<Vec<()>>().await;
    }

    async fn large(&self, key: &str, size: usize) {
        self.put(key.to_owned(), Bytes::from(vec![b'.'; size])).await;
    }

    async fn put(&self, key: String, body: Bytes) {
        let request = self.client.put_object().bucket(BUCKET).key(key).body(ByteStream::from(body));
        request.send().await.unwrap();
    }
}

/// A contender's name in keys.
pub fn tag(contender: Contender) -> String {
    match contender {
        Contender::S3dav => "s3dav",
        Contender::S3davJournal => "journal",
        Contender::Rclone => "rclone",
        Contender::RcloneTuned => "rclone-tuned",
        Contender::RcloneCached => "rclone-cached",
        Contender::Bare => "bare",
    }
    .to_owned()
}

/// Replaces what stands between the two marks of docs/BENCHMARKS.md.
pub fn write_readme(text: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/BENCHMARKS.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (Some(begin), Some(end)) = (readme.find(BEGIN), readme.find(END)) else { return };
    let text = format!("{}{BEGIN}\n{}\n{}", &readme[..begin], text.trim_end(), &readme[end..]);
    std::fs::write(path, text).unwrap();
}

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";
