//! Clients that go away, and a gateway that is killed: the old file or the new one, and nothing
//! beside.

use std::fs;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::process::{Process, command};
use crate::harness::{TestGateway, eventually};

const SIZE: usize = 20 << 20;

/// Sends a PUT of `SIZE` bytes up to `cut`; the connection lives on for the caller.
async fn begin_put(address: &str, cut: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("PUT /file HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'n'; cut]).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_off_put_leaves_the_old_file_or_the_new_one() {
    let gateway = TestGateway::on_a_path().await;
    let root = gateway.directory();
    for n in 0..20 {
        fs::write(root.join("file"), "old").unwrap();
        let cut = SIZE / 19 * n;
        drop(begin_put(&gateway.address(), cut).await);
        eventually("what was begun is gone", || async { fs::read_dir(root).unwrap().count() == 1 }).await;
        let found = fs::read(root.join("file")).unwrap();
        assert!(found == b"old" || (found.len() == SIZE && cut == SIZE), "cut at {cut}: {}", found.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_off_tree_operation_runs_to_its_end() {
    for method in ["COPY", "MOVE", "DELETE"] {
        for n in 0..20_u64 {
            let gateway = TestGateway::on_a_path().await;
            let root = gateway.directory().to_owned();
            for i in 0..50 {
                fs::create_dir_all(root.join(format!("tree/{}", i % 5))).unwrap();
                fs::write(root.join(format!("tree/{}/{i}", i % 5)), "x").unwrap();
            }
            let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
            let head = format!("{method} /tree HTTP/1.1\r\nHost: localhost\r\nDestination: /copy\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_micros(n * 300)).await;
            drop(stream);
            // What has begun ends; what has not, never begins.
            let bucket = gateway.bucket().await;
            let shutdown = gateway.shutdown.clone();
            let _directory = gateway.end().await;
            shutdown.drained().await;
            let keys = bucket.keys().await;
            let count = |prefix: &str| keys.iter().filter(|key| key.starts_with(prefix)).count();
            let found = (count("tree/"), count("copy/"));
            let right = match method {
                "COPY" => [(50, 0), (50, 50)],
                "MOVE" => [(50, 0), (0, 50)],
                _ => [(50, 0), (0, 0)],
            };
            assert!(right.contains(&found) && keys.len() == found.0 + found.1, "{method} {n}: {keys:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_nothing_of_an_upload_stays() {
    let (root, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let serve = || {
        let mut command = command(&["serve", "--listen", "127.0.0.1:0"]);
        command.arg("--path").arg(root.path()).arg("--state-dir").arg(state.path().join("state"));
        command
    };
    fs::write(root.path().join("file"), "old").unwrap();
    let mut gateway = Process::serving(serve()).await;
    let address = gateway.url.trim_start_matches("http://").to_owned();
    let _upload = begin_put(&address, SIZE / 2).await;
    let entries = || fs::read_dir(root.path()).unwrap().count();
    eventually("it has begun", || async { entries() == 2 }).await;
    gateway.child.kill().await.unwrap();
    assert_eq!(entries(), 2);
    let gateway = Process::serving(serve()).await;
    let client = crate::harness::client();
    let listing = client.request("PROPFIND".parse().unwrap(), &gateway.url).header("Depth", "1");
    let hrefs = crate::harness::hrefs(&listing.send().await.unwrap().text().await.unwrap());
    assert_eq!(hrefs, ["/", "/file"]);
    assert_eq!(entries(), 1, "what the killed one left is gone");
    assert_eq!(fs::read_to_string(root.path().join("file")).unwrap(), "old");
}
