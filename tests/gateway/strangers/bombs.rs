//! The largest and worst bodies of XML that somebody who is let in can send: they cost little, and the gateway
//! goes on.

use std::time::{Duration, Instant};

use reqwest::Method;
use s3dav::embedded::EmbeddedS3;

use crate::harness::process::Process;
use crate::harness::{BUCKET, Bucket, client, embedded};

/// At the same time.
const MANY: usize = 10;
/// Of memory more than before.
const MOST_BYTES: u64 = 64 << 20;
/// Entries of the folder that is looked into.
const ENTRIES: usize = 200;

/// `count` declarations of namespaces of so many bytes.
fn declarations(count: usize, bytes: usize) -> String {
    (0..count).map(|n| format!(" xmlns:n{n}=\"urn:{n}:{}\"", "u".repeat(bytes))).collect()
}

/// So many elements, each of the first namespace.
fn elements(count: usize, name_bytes: usize) -> String {
    (0..count).map(|n| format!("<n0:e{n}{}/>", "e".repeat(name_bytes))).collect()
}

fn body(method: &str, declarations: &str, elements: &str) -> String {
    let (begin, end) = match method {
        "PROPFIND" => ("propfind@><D:prop>", "</D:prop></D:propfind>"),
        "PROPPATCH" => ("propertyupdate@><D:set><D:prop>", "</D:prop></D:set></D:propertyupdate>"),
        _ => (
            "lockinfo@><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>",
            "</D:owner></D:lockinfo>",
        ),
    };
    let begin = begin.replace('@', &format!(" xmlns:D=\"DAV:\"{declarations}"));
    format!("<D:{begin}{elements}{end}")
}

/// Those that end a gateway without limits, and those that are just within them.
fn hostile(method: &str) -> Vec<String> {
    let of = |(count, bytes), (elements, name)| {
        body(method, &declarations(count, bytes), &self::elements(elements, name))
    };
    vec![
        of((1300, 0), (1500, 0)),
        of((1000, 0), (1000, 0)),
        of((1, 40_000), (1500, 0)),
        of((1, 20_000), (1000, 0)),
        of((60, 900), (4, 0)),
        of((62, 0), (55, 0)),
        of((1, 900), (300, 0)),
        of((1, 0), (300, 20)),
        of((1, 0), (700, 40)),
        of((1, 0), (300, 150)),
        of((1, 0), (4000, 0)),
    ]
}

/// As long, and harmless.
fn harmless(method: &str, bytes: usize) -> String {
    let plain = body(method, " xmlns:n0=\"urn:0\"", "<n0:e/>");
    let padding = "x".repeat(bytes.saturating_sub(plain.len() + 9));
    plain.replacen("<D:", &format!("<!--{padding}--><D:"), 1)
}

/// Sends a body so many times at once, to files from `first` on; the time, and the bytes of an answer.
async fn storm(gateway: &Process, method: &str, first: usize, body: &str) -> (Duration, usize) {
    let begun = Instant::now();
    let sent = (first..first + MANY).map(|n| {
        let path = if method == "PROPFIND" { "/".to_owned() } else { format!("/f{n}") };
        let request =
            client().request(Method::from_bytes(method.as_bytes()).unwrap(), gateway.url.clone() + &path);
        let request = request.header("Depth", if method == "PROPFIND" { "1" } else { "0" });
        let request = request.header("Timeout", "Second-1").body(body.to_owned());
        tokio::spawn(async move { request.send().await.unwrap().bytes().await.unwrap().len() })
    });
    let sent: Vec<_> = sent.collect();
    let mut bytes = 0;
    for answer in sent {
        bytes = bytes.max(answer.await.unwrap());
    }
    (begun.elapsed(), bytes)
}

async fn gateway(s3: &EmbeddedS3, state: &tempfile::TempDir, more: &[&str]) -> Process {
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    for n in 0..ENTRIES {
        bucket.put(&format!("f{n}"), "x").await;
    }
    Process::gateway(&s3.endpoint_url(), state, more).await
}

async fn bomb(more: &[&str], methods: &[&str]) {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let mut gateway = gateway(&s3, &state, more).await;
    for method in methods {
        // What is kept for later requests is there before.
        storm(&gateway, method, 0, &harmless(method, 60 << 10)).await;
        for (body, first) in hostile(method).into_iter().zip((MANY..).step_by(2 * MANY)) {
            assert!(body.len() < 64 << 10, "{}", body.len());
            let (usual, _) = storm(&gateway, method, first, &harmless(method, body.len())).await;
            let before = gateway.peak_memory();
            let (time, bytes) = storm(&gateway, method, first + MANY, &body).await;
            let more = gateway.peak_memory().saturating_sub(before);
            eprintln!(
                "{method} of {} bytes: {} MiB more, {time:?} beside {usual:?}, {bytes} bytes in answer",
                body.len(),
                more >> 20
            );
            assert!(more < MOST_BYTES, "{more} bytes more");
            assert!(time < usual * 5 + SLACK, "{time:?}, and {usual:?} for a harmless one");
        }
        assert!(gateway.child.try_wait().unwrap().is_none(), "it goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_takes_much_memory_or_time() {
    bomb(&[], &["PROPFIND", "LOCK", "PROPPATCH"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_where_nothing_may_be_written() {
    bomb(&["--read-only"], &["PROPFIND"]).await;
}

/// What a busy machine adds to a measurement of some milliseconds.
const SLACK: Duration = Duration::from_secs(2);
