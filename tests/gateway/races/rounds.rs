//! What the writers do in a round, and what they were told.

use std::time::Instant;

use bytes::Bytes;
use md5::{Digest, Md5};
use reqwest::{Client, Method, Response};
use s3dav::object::{Attributes, Condition, Key};
use s3dav::store::{PutObject, StoreError};

use super::{Race, TTL};
use crate::harness::client;
use crate::harness::dice::Dice;

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// Through the gateway of that number.
    Through(usize),
    /// Another S3 program.
    Plain,
}

/// What one writer did with one name, in order.
#[derive(Debug)]
pub struct Log {
    pub writer: Writer,
    pub key: String,
    pub events: Vec<Event>,
}

#[derive(Debug)]
pub struct Event {
    pub begun: Instant,
    pub ended: Instant,
    pub what: What,
}

/// Versions are known by the MD5 of their content: no two are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It was told that nothing is there.
    Absent,
    /// It was told that something is there.
    Shown,
    /// It got this version, whole.
    Got(String),
    Put {
        version: String,
        answer: Answer,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Acknowledged,
    Refused(u16),
    /// The gateway ended meanwhile.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Nowhere,
    Propfind,
    Folder,
    Head,
    Get,
}

const LOOKS: &[Look] = &[Look::Nowhere, Look::Propfind, Look::Folder, Look::Head, Look::Get];
const AGENTS: [&str; 2] = ["editor/1", "WebDAVFS/3.0.0 (03008000) Darwin/25.2.0 (arm64)"];

impl Race {
    /// All writers write one name.
    pub(super) async fn round(&self, round: u64, mut dice: Dice) -> Vec<Log> {
        // What a listing shows in one round is not shown in another.
        self.bucket.put(&format!("r{round}/"), "").await;
        let key = format!("r{round}/file");
        let original = if dice.comes(50) { Some(self.original(&key, round).await) } else { None };
        dice.pause(TTL).await;
        let (a, b, plain) = tokio::join!(
            self.client(0, &key, dice.part(1)),
            self.client(1, &key, dice.part(2)),
            self.plain(&key, dice.part(3)),
        );
        original.into_iter().chain([a, b, plain]).collect()
    }

    async fn original(&self, key: &str, round: u64) -> Log {
        let content = format!("original of {round}");
        let mut log = Log::new(Writer::Plain, key);
        let begun = Instant::now();
        self.bucket.put(key, &content).await;
        log.note(begun, What::Put { version: version_of(content.as_bytes()), answer: Answer::Acknowledged });
        log
    }

    async fn client(&self, number: usize, key: &str, mut dice: Dice) -> Log {
        let (mut log, client) = (Log::new(Writer::Through(number), key), client());
        dice.pause(TTL).await;
        for save in 0..1 + dice.below(3) {
            let look = dice.pick(LOOKS);
            let begun = Instant::now();
            if let Some(what) = self.look(number, &client, key, look).await {
                log.note(begun, what);
            }
            dice.pause(TTL * 2).await;
            let content = format!("save {save} of client {number} to {key}");
            let begun = Instant::now();
            let answer = self.put(number, &client, key, &content).await;
            log.note(begun, What::Put { version: version_of(content.as_bytes()), answer });
            if answer == Answer::None {
                break;
            }
        }
        log
    }

    /// `None`: there is no answer that tells anything, such as to a look at the folder that does not show it.
    async fn look(&self, number: usize, client: &Client, key: &str, look: Look) -> Option<What> {
        let folder = format!("{}/", key.split('/').next().unwrap());
        let (method, path, depth) = match look {
            Look::Nowhere => return None,
            Look::Propfind => ("PROPFIND", key, "0"),
            Look::Folder => ("PROPFIND", folder.as_str(), "1"),
            Look::Head => ("HEAD", key, "0"),
            Look::Get => ("GET", key, "0"),
        };
        loop {
            let answer = self.send(number, client, method, path, depth, Bytes::new()).await;
            let Ok(answer) = answer else { continue };
            let status = answer.status().as_u16();
            let Ok(body) = answer.bytes().await else { continue };
            return match status {
                404 => Some(What::Absent),
                200 if look == Look::Get => Some(What::Got(version_of(&body))),
                200 => Some(What::Shown),
                207 if look == Look::Propfind => Some(What::Shown),
                207 => {
                    let href = format!("<D:href>/{key}</D:href>");
                    String::from_utf8_lossy(&body).contains(&href).then_some(What::Shown)
                }
                // It was replaced while it was read.
                503 => continue,
                status => panic!("{method} {path}: {status}"),
            };
        }
    }

    async fn put(&self, number: usize, client: &Client, key: &str, content: &str) -> Answer {
        loop {
            match self.send(number, client, "PUT", key, "0", content.to_owned().into()).await {
                Ok(answer) if answer.status().is_success() => return Answer::Acknowledged,
                // It is being restarted, and has taken nothing.
                Ok(answer) if answer.status() == 503 => {}
                Ok(answer) => return Answer::Refused(answer.status().as_u16()),
                Err(error) if error.is_connect() => {}
                Err(_) => return Answer::None,
            }
        }
    }

    async fn send(
        &self,
        number: usize,
        client: &Client,
        method: &str,
        path: &str,
        depth: &str,
        body: Bytes,
    ) -> reqwest::Result<Response> {
        let url = self.slots[number].url.read().await.clone();
        let request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{url}/{path}"));
        let request = request.header("User-Agent", AGENTS[number]).header("Depth", depth).body(body);
        let answer = request.send().await;
        if answer.is_err() {
            // The next one listens elsewhere.
            tokio::time::sleep(TTL / 20).await;
        }
        answer
    }

    /// A program that looks before it writes, and writes on that condition; or neither.
    async fn plain(&self, key: &str, mut dice: Dice) -> Log {
        let mut log = Log::new(Writer::Plain, key);
        let (store, name) = (self.bucket.store(), Key::new(key).unwrap());
        dice.pause(TTL * 2).await;
        for save in 0..dice.below(3) {
            let condition = match store.head(&name).await {
                _ if dice.comes(20) => Condition::None,
                Ok(meta) => Condition::IfMatch(meta.etag),
                Err(StoreError::NotFound) => Condition::IfAbsent,
                Err(error) => panic!("{error}"),
            };
            dice.pause(TTL * 2).await;
            let content = format!("save {save} of a plain program to {key}");
            let (begun, version) = (Instant::now(), version_of(content.as_bytes()));
            let (body, attributes, condition) = (content.into(), &Attributes::default(), &condition);
            match store.put(PutObject { key: &name, body, attributes, condition }).await {
                Ok(_) => log.note(begun, What::Put { version, answer: Answer::Acknowledged }),
                Err(StoreError::ConditionFailed | StoreError::NotFound) => {}
                Err(error) => panic!("{error}"),
            }
        }
        log
    }
}

impl Log {
    fn new(writer: Writer, key: &str) -> Self {
        Self { writer, key: key.to_owned(), events: Vec::new() }
    }

    fn note(&mut self, begun: Instant, what: What) {
        self.events.push(Event { begun, ended: Instant::now(), what });
    }
}

/// As S3's ETag has it.
fn version_of(content: &[u8]) -> String {
    hex::encode(Md5::digest(content))
}
