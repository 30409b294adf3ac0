//! Sockets that the system opened: the gateway is started anew, and nobody is refused.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::process::{Process, serve};
use crate::harness::{BUCKET, Bucket, embedded};

/// The gateway as systemd starts it.
async fn start(endpoint: &str, state: &TempDir, listener: &TcpListener) -> Process {
    let mut command = serve(endpoint, state, &[]);
    let parent_fd = listener.try_clone().unwrap().into();
    command.fd_mappings(vec![FdMapping { parent_fd, child_fd: 3 }]).unwrap();
    command.env("LISTEN_FDS", "1");
    Process::serving(command).await
}

async fn get(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_refuses_nobody() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    Bucket::of(&s3.endpoint_url(), BUCKET).await.put("file", "content").await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut gateway = start(&s3.endpoint_url(), &state, &listener).await;
    assert_eq!(gateway.url, format!("http://{address}"), "it serves at the socket that it was given");
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let hammers: Vec<_> = (0..4)
        .map(|_| {
            let (stop, answered, address) = (Arc::clone(&stop), Arc::clone(&answered), address.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = get(&address).await.unwrap_or_else(|error| panic!("{error}"));
                    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("content"), "{answer}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..5 {
        let before = answered.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
        gateway.signal("TERM").await;
        assert!(gateway.child.wait().await.unwrap().success());
        gateway = start(&s3.endpoint_url(), &state, &listener).await;
        assert!(answered.load(Ordering::Relaxed) > before);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Relaxed);
    for hammer in hammers {
        hammer.await.unwrap();
    }
}
