//! HTTP as WebDAVFS's agent speaks it: each header as it was seen, one request a connection at a time, and a
//! streamed body whose sender sees each error of its connection.

use std::io::{Error, ErrorKind, Result};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::AGENT;

/// A request as it was sent, and the status of its answer; 0: none has come.
#[derive(Debug, Clone)]
pub struct Sent {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    pub status: u16,
    /// From its last byte to the answer's.
    pub took: Duration,
}

pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Connections to one server, and all that was sent on them.
pub struct Wire {
    pub address: String,
    idle: Mutex<Vec<TcpStream>>,
    sent: Mutex<Vec<Sent>>,
}

impl Wire {
    pub fn to(address: &str) -> Self {
        Self { address: address.to_owned(), idle: Mutex::default(), sent: Mutex::default() }
    }

    /// All requests so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().clone()
    }

    /// Sends a request; if the connection is lost, once more on a new one (send_transaction).
    pub async fn send(
        &self,
        method: &'static str,
        target: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Answer> {
        let mut headers = self.all_headers("keep-alive", headers);
        // CFNetwork tells the length of each body, and of none where one is usual.
        if !matches!(method, "GET" | "OPTIONS") {
            headers.push(("Content-Length", body.len().to_string()));
        }
        let (target, took, begun) = (target.to_owned(), Duration::ZERO, Instant::now());
        let (number, bytes) = self.note(Sent { method, target, headers, body, status: 0, took });
        let pooled = self.idle.lock().pop();
        let answer = match pooled {
            Some(stream) => match self.exchange(stream, &bytes).await {
                Err(error) if is_lost(&error) => self.exchange_anew(&bytes).await,
                answer => answer,
            },
            None => self.exchange_anew(&bytes).await,
        }?;
        self.note_answer(number, &answer, begun);
        Ok(answer)
    }

    async fn exchange_anew(&self, bytes: &[u8]) -> Result<Answer> {
        self.exchange(TcpStream::connect(&self.address).await?, bytes).await
    }

    async fn exchange(&self, mut stream: TcpStream, bytes: &[u8]) -> Result<Answer> {
        stream.write_all(bytes).await?;
        let answer = read_answer(&mut stream).await?;
        if answer.header("connection") != Some("close") {
            self.idle.lock().push(stream);
        }
        Ok(answer)
    }

    /// Begins a PUT in pieces, on a connection of its own (setup_seq_write).
    pub async fn stream(&self, target: &str, headers: &[(&'static str, String)]) -> Result<Streamed<'_>> {
        let mut headers = self.all_headers("close", headers);
        headers.push(("Transfer-Encoding", "Chunked".to_owned()));
        let (target, body, took) = (target.to_owned(), Bytes::new(), Duration::ZERO);
        let (number, head) = self.note(Sent { method: "PUT", target, headers, body, status: 0, took });
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(&head).await?;
        Ok(Streamed { wire: self, number, stream })
    }

    fn all_headers(
        &self,
        connection: &str,
        headers: &[(&'static str, String)],
    ) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("Host", self.address.clone()),
            ("User-Agent", AGENT.to_owned()),
            ("Accept", "*/*".to_owned()),
            ("Connection", connection.to_owned()),
        ];
        all.extend(headers.iter().cloned());
        all
    }

    /// Notes a request; gives its number and its bytes.
    fn note(&self, sent: Sent) -> (usize, Vec<u8>) {
        let mut head = format!("{} {} HTTP/1.1\r\n", sent.method, sent.target);
        for (name, value) in &sent.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let bytes = [head.as_bytes(), b"\r\n", &sent.body].concat();
        let mut all = self.sent.lock();
        all.push(sent);
        (all.len() - 1, bytes)
    }

    fn note_answer(&self, number: usize, answer: &Answer, begun: Instant) {
        let sent = &mut self.sent.lock()[number];
        (sent.status, sent.took) = (answer.status, begun.elapsed());
    }
}

/// A PUT whose body comes in pieces.
pub struct Streamed<'w> {
    wire: &'w Wire,
    number: usize,
    stream: TcpStream,
}

impl Streamed<'_> {
    /// Sends a piece, unless the answer has begun to come: false.
    pub async fn piece(&mut self, piece: &[u8]) -> Result<bool> {
        match self.stream.peek(&mut [0]).now_or_never() {
            Some(Ok(0)) => return Err(ErrorKind::ConnectionReset.into()),
            Some(answered) => return answered.map(|_| false),
            None => {}
        }
        let head = format!("{:x}\r\n", piece.len());
        self.stream.write_all(&[head.as_bytes(), piece, b"\r\n"].concat()).await?;
        Ok(true)
    }

    /// Ends the body; gives the answer.
    pub async fn end(mut self) -> Result<Answer> {
        self.stream.write_all(b"0\r\n\r\n").await?;
        self.answer().await
    }

    pub async fn answer(mut self) -> Result<Answer> {
        let begun = Instant::now();
        let answer = read_answer(&mut self.stream).await?;
        self.wire.note_answer(self.number, &answer, begun);
        Ok(answer)
    }
}

fn is_lost(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
}

async fn read_answer(stream: &mut TcpStream) -> Result<Answer> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, &mut bytes).await?;
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    bytes.drain(..head);
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let mut answer = Answer { status, headers: headers.collect(), body: Bytes::new() };
    answer.body = if matches!(status, 204 | 304) {
        Bytes::new()
    } else if answer.header("transfer-encoding") == Some("chunked") {
        read_chunks(stream, bytes).await?
    } else {
        let length = answer.header("content-length").unwrap().parse().unwrap();
        while bytes.len() < length {
            more(stream, &mut bytes).await?;
        }
        bytes.into()
    };
    Ok(answer)
}

async fn read_chunks(stream: &mut TcpStream, mut bytes: Vec<u8>) -> Result<Bytes> {
    let mut body = Vec::new();
    loop {
        let Some(line) = bytes.windows(2).position(|two| two == b"\r\n") else {
            more(stream, &mut bytes).await?;
            continue;
        };
        let length = usize::from_str_radix(str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        let end = line + 2 + length + 2;
        while bytes.len() < end {
            more(stream, &mut bytes).await?;
        }
        body.extend_from_slice(&bytes[line + 2..line + 2 + length]);
        bytes.drain(..end);
        if length == 0 {
            return Ok(body.into());
        }
    }
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<()> {
    if stream.read_buf(bytes).await? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
