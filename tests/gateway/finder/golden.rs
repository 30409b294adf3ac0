//! The tests' Mac, its parser and the gateway, held to what Apple's own code was recorded to do
//! (`data/webdavfs/`).

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::client::{QUOTA, STAT, VALID};
use super::mac::{Closed, Errno, Mac, Mode};
use super::names::escaped;
use super::parser::{component, count, entries, has_quota, lock_token, stat, validators};
use super::wire::Sent;
use crate::harness::TestGateway;

fn golden(file: &str) -> Value {
    serde_json::from_str(&text(file)).unwrap()
}

fn text(file: &str) -> String {
    let path = format!("{}/tests/gateway/data/webdavfs/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The names, with the request targets that the client makes of them.
fn names() -> Vec<(String, String)> {
    let all = golden("urls.json");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names: Vec<_> =
        all.as_array().unwrap().iter().map(|row| (text(&row["name"]), text(&row["target"]))).collect();
    assert_eq!(names.len(), 235);
    names
}

/// Names that are refused on purpose, with a status and a reason.
const REFUSED: &[Refusal] = &[Refusal {
    applies: |name| name.chars().any(char::is_control) && name != ICON,
    status: 400,
    reason: "control characters: XML 1.0 cannot carry most, and a terminal obeys some",
}];

struct Refusal {
    applies: fn(&str) -> bool,
    status: u16,
    reason: &'static str,
}
/// Finder's file for the icon of a folder.
const ICON: &str = "Icon\r";

#[test]
fn the_tests_mac_escapes_as_apples_does() {
    for (name, target) in names() {
        assert_eq!(format!("/{}", escaped(&name)), target, "{name:?}");
        // What sends it leaves it as it is.
        let url = reqwest::Url::parse(&format!("http://localhost{target}")).unwrap();
        assert_eq!((url.path(), url.query(), url.fragment()), (target.as_str(), None, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_is_stored_listed_and_found() {
    for gateway in TestGateway::both().await {
        let refusal = |name: &str| REFUSED.iter().find(|refusal| (refusal.applies)(name));
        let names: Vec<_> = names().into_iter().filter(|(name, _)| name != ICON).collect();
        let (refused, taken): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|(name, _)| refusal(name).is_some());
        assert_eq!((refused.len(), taken.len()), (38, 196));
        assert_eq!(gateway.status("MKCOL", "/d").await, 201);
        let mac = Mac::at(&gateway.address());
        for (name, target) in refused {
            let Refusal { status, reason, .. } = refusal(&name).unwrap();
            for method in ["PUT", "PROPFIND", "LOCK"] {
                let answered = gateway.status(method, &format!("/d{target}")).await;
                assert_eq!(answered, *status, "{method} {name:?}: {reason}");
            }
        }
        stream::iter(&taken)
            .for_each_concurrent(8, |(name, target)| {
                let mac = &mac;
                async move {
                    let path = format!("/d{target}");
                    let sent = mac.wire.send("PUT", &path, &[], name.clone().into()).await.unwrap();
                    assert_eq!(sent.status, 201, "{name:?}");
                    let depth = [("Depth", "0".to_owned())];
                    let found = mac.wire.send("PROPFIND", &path, &depth, STAT.into()).await.unwrap();
                    assert_eq!(found.status, 207, "{name:?}");
                    let found = entries(&found.text());
                    assert_eq!(found.len(), 1, "{name:?}");
                    assert_eq!(component("/d/", &found[0]), Some(name.as_str()));
                    assert_eq!(found[0].size, Some(name.len() as u64), "{name:?}");
                }
            })
            .await;
        // Some names are stored composed; the client takes both spellings for one name.
        let composed = |name: &String| name.nfc().collect::<String>();
        let listed: BTreeSet<_> = mac.list("/d").await.unwrap().iter().map(composed).collect();
        // Kept on this machine, and shown to nobody.
        let is_shown = |name: &&String| *name != ".hidden";
        let expected: BTreeSet<_> =
            taken.iter().map(|(name, _)| name).filter(is_shown).map(composed).collect();
        assert_eq!(listed, expected, "{}", gateway.is_bucket());
        assert_eq!(listed.len(), 195);
        for (name, _) in &taken {
            assert_eq!(mac.read(&format!("/d/{name}")).await.unwrap(), name.as_bytes(), "{name:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_icon_of_a_folder_is_kept() {
    for gateway in TestGateway::both().await {
        let mac = Mac::at(&gateway.address());
        mac.make_folder("/d").await.unwrap();
        for name in [ICON, "._Icon\r"] {
            let path = format!("/d/{name}");
            assert_eq!(mac.stat(&path).await, Err(Errno::NoEntry), "{name:?}");
            assert_eq!(mac.save(&path, "icon").await, Ok(Closed::Stored), "{name:?}");
            mac.a_minute_passes();
            assert_eq!(mac.read(&path).await.unwrap(), "icon", "{name:?}");
        }
        assert_eq!(mac.remove(&format!("/d/{ICON}")).await, Ok(()));
        assert_eq!(mac.remove("/d").await, Ok(()), "nothing else is in it");
    }
}

/// What a request must have in common with the recorded one.
#[derive(Debug, PartialEq)]
struct Shape {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
    status: u16,
}

/// What differs between two runs stands for itself: hosts, tokens, dates.
fn plain(name: &str, value: &str) -> String {
    match name {
        "Host" => "HOST".to_owned(),
        "If-Modified-Since" => "DATE".to_owned(),
        "If" => "(<TOKEN>)".to_owned(),
        "Lock-Token" => "<TOKEN>".to_owned(),
        "Destination" => format!("/{}", value.splitn(4, '/').nth(3).unwrap()),
        _ => value.to_owned(),
    }
}

impl Shape {
    fn new<'h>(
        line: String,
        headers: impl Iterator<Item = (&'h str, &'h str)>,
        body: String,
        status: u16,
    ) -> Self {
        let mut headers: Vec<_> =
            headers.map(|(name, value)| (name.to_owned(), plain(name, value))).collect();
        headers.sort();
        // Whether a file of this second has changed is a matter of when it is asked.
        let is_open =
            headers.iter().any(|(name, _)| name == "If-Modified-Since") && matches!(status, 200 | 304);
        Self { line, headers, body, status: if is_open { 200 } else { status } }
    }

    fn recorded(request: &Value) -> Self {
        let text = |value: &'_ Value| value.as_str().unwrap().to_owned();
        let headers = request["headers"].as_array().unwrap().iter();
        let headers = headers.map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
        let line = format!("{} {}", text(&request["method"]), text(&request["target"]));
        Self::new(line, headers, text(&request["body"]), request["status"].as_u64().unwrap() as u16)
    }

    fn sent(sent: &Sent) -> Self {
        let headers = sent.headers.iter().map(|(name, value)| (*name, value.as_str()));
        // Bodies of files were not recorded.
        let body =
            if sent.method == "PUT" { String::new() } else { String::from_utf8_lossy(&sent.body).into() };
        Self::new(format!("{} {}", sent.method, sent.target), headers, body, sent.status)
    }
}

/// Carries out an operation of the recording by its name.
async fn carry_out(mac: &Mac, operation: &str) {
    let open = |mode| mac.open("/g/a.txt", mode);
    let copied = vec![7; 100_000];
    match operation {
        "mount" => mac.mount().await.unwrap(),
        "mkdir g" => mac.make_folder("/g").await.unwrap(),
        "stat missing" => assert_eq!(mac.stat("/g/no").await, Err(Errno::NoEntry)),
        "create+write 5 B+close" => assert_eq!(mac.save("/g/a.txt", "hello").await, Ok(Closed::Stored)),
        "finder copy 100000 B" => {
            let copy = mac.copy("/g/copy.bin", &copied, 8 << 10, Duration::from_secs(5)).await;
            assert_eq!(copy, Ok(Closed::Stored));
        }
        "list g" => {
            let mut names = mac.list("/g").await.unwrap();
            names.sort();
            assert_eq!(names, ["a.txt", "copy.bin"]);
            // Between this and the next more than a minute went by.
            mac.a_minute_passes();
        }
        "open+read (cold)" | "open+read (warm)" => assert_eq!(mac.read("/g/a.txt").await.unwrap(), "hello"),
        "append" => {
            let mut file = open(Mode::Write).await.unwrap();
            assert_eq!(file.content, b"hello");
            file.write("hello!");
            assert_eq!(mac.close(file).await, Closed::Stored);
        }
        "overwrite (O_TRUNC)" => {
            let mut file = open(Mode::Truncate).await.unwrap();
            file.write("new");
            assert_eq!(mac.close(file).await, Closed::Stored);
        }
        "truncate 2" => {
            let mut file = open(Mode::Write).await.unwrap();
            assert_eq!(file.content, b"new");
            file.truncate(2);
            assert_eq!(mac.close(file).await, Closed::Stored);
        }
        "utimes" => {
            let file = open(Mode::Write).await.unwrap();
            assert_eq!(file.content, b"ne");
            assert_eq!(mac.close(file).await, Closed::Unchanged);
        }
        "rename a.txt -> b c.txt" => mac.rename("/g/a.txt", "/g/b c.txt").await.unwrap(),
        "create tmp" => assert_eq!(mac.save("/g/t.tmp", "next").await, Ok(Closed::Stored)),
        "rename over existing" => mac.rename("/g/t.tmp", "/g/b c.txt").await.unwrap(),
        "mkdir g/s" => mac.make_folder("/g/s").await.unwrap(),
        "rename folder s -> s2" => mac.rename("/g/s", "/g/s2").await.unwrap(),
        "rmdir s2" => mac.remove("/g/s2").await.unwrap(),
        "rmdir non-empty" => assert_eq!(mac.remove("/g").await, Err(Errno::NotEmpty)),
        "delete file" => mac.remove("/g/b c.txt").await.unwrap(),
        "statfs" => mac.free_space().await.unwrap(),
        "patch, fsync, patch, close" => {
            let mut file = mac.open("/g/copy.bin", Mode::Write).await.unwrap();
            assert!(file.content == copied);
            for patch in [1, 2] {
                file.content[50_000] = patch;
                let content = file.content.clone();
                file.write(content);
                if patch == 1 {
                    mac.sync(&mut file).await.unwrap();
                    let content = file.content.clone();
                    file.write(content);
                }
            }
            assert_eq!(mac.close(file).await, Closed::Stored);
        }
        _ => panic!("{operation} is new"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_is_the_requests_that_apples_code_sends() {
    let operations = golden("ops.json");
    let operations = operations.as_array().unwrap();
    assert_eq!(operations.len(), 22);
    for gateway in TestGateway::both().await {
        let mac = Mac::at(&gateway.address());
        for operation in operations {
            let name = operation["op"].as_str().unwrap();
            let before = mac.wire.sent().len();
            carry_out(&mac, name).await;
            let sent: Vec<_> = mac.wire.sent()[before..].iter().map(Shape::sent).collect();
            let recorded: Vec<_> =
                operation["requests"].as_array().unwrap().iter().map(Shape::recorded).collect();
            let lines = |all: &[Shape]| all.iter().map(|shape| shape.line.clone()).collect::<Vec<_>>();
            assert_eq!(lines(&sent), lines(&recorded), "{name}");
            assert_eq!(sent, recorded, "{name}");
        }
        let mut left = vec![7; 100_000];
        left[50_000] = 2;
        let contents: Vec<_> = gateway.bucket().await.contents().await.into_iter().collect();
        let files: Vec<_> = contents.iter().filter(|(key, _)| !key.ends_with('/')).collect();
        assert!(files.len() == 1 && files[0].0 == "g/copy.bin" && files[0].1 == left);
    }
}

/// A recorded answer by its name and parser.
fn recorded(name: &str) -> (String, Vec<Value>) {
    let results = text(&format!("parse/{name}.json"));
    let results: Vec<Value> = results.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(results[0]["error"], 0, "{name}");
    (text(&format!("parse/{name}.xml")), results)
}

#[test]
fn the_model_of_the_parser_comes_to_the_results_of_apples() {
    for (name, folder) in [("root", "/"), ("locked", "/"), ("in", "/in/"), ("empty", "/empty/")] {
        let (xml, results) = recorded(&format!("{name}.dir"));
        let entries = entries(&xml);
        let (children, own): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| component(folder, entry).is_some());
        assert_eq!(children.len() as u64, results[0]["n"].as_u64().unwrap(), "{name}");
        for (entry, result) in children.iter().zip(&results[1..]) {
            let name = component(folder, entry).unwrap();
            assert_eq!(name, result["name"].as_str().unwrap());
            assert_eq!(name.len() as u64, result["namlen"].as_u64().unwrap());
            same_attributes(entry, result);
        }
        assert_eq!(own[0].modified_at(), results.last().unwrap()["self_mtime"].as_u64().unwrap(), "{name}");
    }
    for name in ["root.stat", "dir.stat", "file.stat"] {
        let (xml, results) = recorded(name);
        same_attributes(&stat(&xml), &results[0]);
    }
    for name in ["empty.count", "full.count"] {
        let (xml, results) = recorded(name);
        assert_eq!(count(&xml) as u64, results[0]["count"].as_u64().unwrap(), "{name}");
    }
    for name in ["file.lock", "refresh.lock"] {
        let (xml, results) = recorded(name);
        assert_eq!(lock_token(&xml).as_deref(), results[0]["token"].as_str(), "{name}");
    }
    let (xml, results) = recorded("root.statfs");
    assert!(!has_quota(&xml) && results[0]["blocks"] == 0);
    let (xml, results) = recorded("file.validators");
    let (date, etag) = validators(&xml);
    assert_eq!(date, results[0]["last_modified"].as_u64().unwrap());
    assert_eq!(etag, results[0]["etag"].as_str().unwrap(), "overwritten by the status that follows");
}

fn same_attributes(entry: &super::parser::Entry, result: &Value) {
    assert_eq!(entry.is_folder, result["dir"], "{}", entry.href);
    assert_eq!(entry.shown_size(), result["size"].as_u64().unwrap(), "{}", entry.href);
    assert_eq!(entry.modified_at(), result["mtime"].as_u64().unwrap(), "{}", entry.href);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_today_parse_as_they_should() {
    for gateway in TestGateway::both().await {
        let mac = super::client::Finder::of(&gateway);
        let ask = |path, depth, body| {
            let request = mac.propfind(path, depth, body);
            async move { request.send().await.unwrap().text().await.unwrap() }
        };
        assert_eq!(mac.status("MKCOL", "/d").await, 201);
        mac.create("/d/file", "12345").await;
        let file = stat(&ask("/d/file", "0", STAT).await);
        assert!(!file.is_folder && file.size == Some(5) && file.modified_at() > 0, "{file:?}");
        assert!(stat(&ask("/d", "0", STAT).await).is_folder);
        assert!(stat(&ask("/", "0", STAT).await).is_folder);
        assert!(!has_quota(&ask("/", "0", QUOTA).await));
        assert_eq!(count(&ask("/d/", "1", super::client::EMPTY).await), 2);
        let (date, _) = validators(&ask("/d/file", "0", VALID).await);
        assert_eq!(date, file.modified_at(), "the date stands before what overwrites it");
        let token = mac.lock("/d/file").await;
        let listed = entries(&ask("/d/", "1", STAT).await);
        assert_eq!(listed.len(), 2, "a lock's own href were one more: {listed:?}");
        let refresh = mac.request("LOCK", "/d/file").header("If", format!("(<{token}>)"));
        let refreshed = refresh.header("Timeout", "Second-600").send().await.unwrap().text().await.unwrap();
        assert_eq!(lock_token(&refreshed), Some(token));
    }
}
