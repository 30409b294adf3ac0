//! A WebDAV client that costs next to nothing: bytes in, bytes out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One kept connection.
pub struct Client {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

/// An answer, its body counted and thrown away.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    pub status: u16,
    pub bytes: u64,
    /// From the request to the first byte of the body.
    pub first_byte: Duration,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, address, buffer: vec![0; 1 << 18] }
    }

    pub async fn request(&mut self, method: &str, path: &str, headers: &str) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: 0\r\n\r\n",
            self.address
        );
        let begun = Instant::now();
        self.stream.write_all(head.as_bytes()).await.unwrap();
        self.answer(begun).await
    }

    pub async fn put(&mut self, path: &str, size: u64) -> Answer {
        let head = format!("PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {size}\r\n\r\n", self.address);
        let begun = Instant::now();
        self.stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = vec![b'.'; (1 << 18).min(size as usize)];
        let mut left = size;
        while left > 0 {
            let part = left.min(chunk.len() as u64);
            self.stream.write_all(&chunk[..part as usize]).await.unwrap();
            left -= part;
        }
        self.answer(begun).await
    }

    async fn answer(&mut self, begun: Instant) -> Answer {
        let mut head = Vec::new();
        let body_at = loop {
            let read = self.stream.read(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the connection ended");
            head.extend_from_slice(&self.buffer[..read]);
            if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let text = String::from_utf8_lossy(&head[..body_at]).to_ascii_lowercase();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        let length =
            text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<u64>().ok());
        let chunked = text.contains("transfer-encoding: chunked");
        let mut body = head.split_off(body_at);
        if !chunked {
            let length = if status == 204 || status == 304 { 0 } else { length.unwrap_or(0) };
            let mut bytes = body.len() as u64;
            let mut first_byte = begun.elapsed();
            if bytes == 0 && length > 0 {
                bytes += self.stream.read(&mut self.buffer).await.unwrap() as u64;
                first_byte = begun.elapsed();
            }
            while bytes < length {
                let read = self.stream.read(&mut self.buffer).await.unwrap();
                assert!(read > 0, "the body ended early");
                bytes += read as u64;
            }
            return Answer { status, bytes, first_byte };
        }
        let first_byte = begun.elapsed();
        let mut bytes = body.len() as u64;
        while !body.ends_with(b"0\r\n\r\n") {
            let read = self.stream.read(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the body ended early");
            bytes += read as u64;
            body.extend_from_slice(&self.buffer[..read]);
            body.drain(..body.len().saturating_sub(16));
        }
        Answer { status, bytes, first_byte }
    }
}
