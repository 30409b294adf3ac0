//! The work, the same for all.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::client::Client;

/// Something to do.
#[derive(Debug, Clone)]
pub struct Work {
    pub name: &'static str,
    /// What it is done to, below the root.
    pub path: String,
    /// GiB that go through, for what is measured by that.
    pub gib: f64,
}

/// For the memory that many at once need; by s3dav alone.
pub const CROWD: &str = "16 readers and 4 writers of 1 GiB";

/// How long it took.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub seconds: f64,
    pub first_byte: Option<Duration>,
}

impl Work {
    pub fn all() -> Vec<Self> {
        let work = |name, path: &str, gib| Self { name, path: path.to_owned(), gib };
        vec![
            work("list 1,000", "/k1/", 0.0),
            work("list 10,000", "/k10/", 0.0),
            work("stat 60", "/small/", 0.0),
            work("read 40 small", "/small/", 0.0),
            work("read 1 GiB", "/large/0", 1.0),
            work("write 1 GiB", "/written/", 1.0),
            work("8 readers of 256 MiB", "/mid/", 2.0),
            work("rename 1,000", "/rename-", 0.0),
            work("delete 1,000", "/delete-", 0.0),
            work("put 200 small", "/put-", 0.0),
            work(CROWD, "/written/", 20.0),
        ]
    }

    /// Whether it is done a second time by the same program, with what it remembers.
    pub fn is_repeated(&self) -> bool {
        matches!(self.name, "list 1,000" | "list 10,000" | "stat 60" | "read 40 small")
    }

    /// Does it over WebDAV; `who` tells apart what contenders write.
    pub async fn run(&self, address: SocketAddr, who: &str) -> Outcome {
        let mut client = Client::connect(address).await;
        let begun = Instant::now();
        let mut first_byte = None;
        match self.name {
            "list 1,000" | "list 10,000" => {
                let answer = client.request("PROPFIND", &self.path, "Depth: 1\r\n").await;
                assert_eq!(answer.status, 207);
            }
            "stat 60" => {
                for n in 0..60 {
                    let path = format!("{}{n:04}", self.path);
                    assert_eq!(client.request("PROPFIND", &path, "Depth: 0\r\n").await.status, 207);
                }
            }
            "read 40 small" => {
                for n in 0..40 {
                    assert_eq!(client.request("GET", &format!("{}{n:04}", self.path), "").await.bytes, 4096);
                }
            }
            "read 1 GiB" => {
                let answer = client.request("GET", &self.path, "").await;
                assert_eq!(answer.bytes, 1 << 30);
                first_byte = Some(answer.first_byte);
            }
            "write 1 GiB" => {
                let answer = client.put(&format!("{}{who}", self.path), 1 << 30).await;
                assert!(answer.status < 300, "{}", answer.status);
            }
            "8 readers of 256 MiB" => {
                let readers = (0..8).map(|n| async move {
                    let mut client = Client::connect(address).await;
                    assert_eq!(client.request("GET", &format!("/mid/{n}"), "").await.bytes, 256 << 20);
                });
                join_all(readers).await;
            }
            "rename 1,000" => {
                let to = format!("Destination: http://{address}/renamed-{who}\r\nOverwrite: F\r\n");
                let answer = client.request("MOVE", &format!("{}{who}", self.path), &to).await;
                assert!(answer.status < 300, "{}", answer.status);
            }
            "delete 1,000" => {
                let answer = client.request("DELETE", &format!("{}{who}", self.path), "").await;
                assert!(answer.status < 300, "{}", answer.status);
            }
            "put 200 small" => {
                for n in 0..200 {
                    let answer = client.put(&format!("{}{who}/{n}", self.path), 4096).await;
                    assert!(answer.status < 300, "{}", answer.status);
                }
            }
            CROWD => {
                let readers = (0..16).map(|_| async move {
                    let mut client = Client::connect(address).await;
                    assert_eq!(client.request("GET", "/large/0", "").await.bytes, 1 << 30);
                });
                let writers = (0..4).map(|n| async move {
                    let mut client = Client::connect(address).await;
                    let answer = client.put(&format!("/written/{n}"), 1 << 30).await;
                    assert!(answer.status < 300, "{}", answer.status);
                });
                futures_util::future::join(join_all(readers), join_all(writers)).await;
            }
            other => panic!("{other}?"),
        }
        Outcome { seconds: begun.elapsed().as_secs_f64(), first_byte }
    }
}
