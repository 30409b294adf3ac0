//! The embedded S3 server as a process of its own, in memory.

use std::io::BufRead;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::contenders::{BUCKET, KEYS};

/// Ends when it is dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_s3dav"))
            .args(["embedded-s3", "--listen", "127.0.0.1:0", "--bucket", BUCKET])
            .env("S3DAV_ACCESS_KEY", KEYS.0)
            .env("S3DAV_SECRET_KEY", KEYS.1)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        std::thread::spawn(move || output.lines().for_each(drop));
        let address = line.trim().strip_prefix("endpoint_url=http://").unwrap().parse().unwrap();
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}
