//! Faults of macOS's own client from which the gateway keeps those who use it.

use std::time::{Duration, SystemTime};

use reqwest::Response;

use super::client::{AGENT, Finder, LOCK};
use super::mac::{Closed, Mac};
use crate::harness::TestGateway;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_copied_has_its_size_at_once() {
    for gateway in TestGateway::both().await {
        let mac = Mac::at(&gateway.address());
        let content = vec![7; 100_000];
        let copied = mac.copy("/copy", &content, 8 << 10, Duration::from_secs(5)).await;
        assert_eq!(copied, Ok(Closed::Stored));
        assert_eq!(mac.stat("/copy").await, Ok(100_000));
        assert_eq!(mac.save("/file", "saved").await, Ok(Closed::Stored));
        assert_eq!(mac.stat("/file").await, Ok(5));
    }
}

fn is_dated(answer: &Response) -> bool {
    answer.headers().get("date").is_some_and(|date| {
        let date = httpdate::parse_http_date(date.to_str().unwrap()).unwrap();
        let apart = SystemTime::now().duration_since(date).unwrap_or_default();
        apart < Duration::from_secs(60)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_has_a_date_but_the_one_to_macoss_empty_create() {
    for gateway in TestGateway::both().await {
        let mac = Finder::of(&gateway);
        for (path, status) in [("/new", 201), ("/._new", 201), ("/new", 204)] {
            let made = mac.send("PUT", path).await;
            assert_eq!((made.status().as_u16(), is_dated(&made)), (status, false), "{path}");
        }
        // It failed.
        assert!(is_dated(&mac.send("PUT", "/no/new").await));
        let token = mac.lock("/new").await;
        let under_lock = |body: &'static str| {
            mac.request("PUT", "/new").header("If", format!("(<{token}>)")).body(body).send()
        };
        for body in ["", "content"] {
            let stored = under_lock(body).await.unwrap();
            assert!(stored.status().is_success() && is_dated(&stored), "{body:?}");
        }
        assert_eq!(mac.unlock("/new", &token).await, 204);
        let others = gateway.request("PUT", "/others").send().await.unwrap();
        assert!(others.status() == 201 && is_dated(&others), "another client's");
        for method in
            ["GET", "GET", "HEAD", "PROPFIND", "LOCK", "OPTIONS", "MKCOL", "UNLOCK", "POST", "DELETE"]
        {
            for path in ["/new", "/missing"] {
                let request = mac.request(method, path).header("Depth", "0");
                let body = if method == "LOCK" { LOCK } else { "" };
                let answer = request.body(body).send().await.unwrap();
                assert!(is_dated(&answer), "{method} {path}: {}", answer.status());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_beyond_the_end_gives_no_garbage() {
    let content: Vec<u8> = (0..200_000_u32).map(|at| (at >> 8) as u8).collect();
    for gateway in TestGateway::both().await {
        gateway.bucket().await.put_bytes("file", content.clone().into()).await;
        // Unknown, known, and from memory.
        for _ in 0..3 {
            let mac = Mac::at(&gateway.address());
            let end = mac.read_ahead("/file", 199_000, 64 << 10).await.unwrap();
            assert!(end == content[199_000..], "{} bytes", end.len());
            let part = mac.read_ahead("/file", 1000, 64 << 10).await.unwrap();
            assert!(part == content[1000..1000 + (64 << 10)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_macos_is_refused_a_range_that_reaches_beyond_the_end() {
    for gateway in TestGateway::both().await {
        gateway.bucket().await.put("file", "0123456789").await;
        let ask = |agent: &'static str, range: &'static str| {
            let request = gateway.request("GET", "/file").header("User-Agent", agent);
            async move {
                let answer = request.header("Range", format!("bytes={range}")).send().await.unwrap();
                let range =
                    answer.headers().get("content-range").map(|range| range.to_str().unwrap().to_owned());
                (answer.status().as_u16(), range.unwrap_or_default(), answer.text().await.unwrap())
            }
        };
        for round in ["cold", "warm", "hot"] {
            for range in ["1-10", "9-10", "5-500", "10-12"] {
                let (status, content_range, _) = ask(AGENT, range).await;
                assert_eq!((status, content_range.as_str()), (416, "bytes */10"), "{round} {range}");
            }
            for (range, content) in [
                ("0-10", "0123456789"),
                ("0-99", "0123456789"),
                ("5-", "56789"),
                ("-3", "789"),
                ("-99", "0123456789"),
                ("1-9", "123456789"),
                ("9-9", "9"),
                ("2-4", "234"),
            ] {
                let (status, _, text) = ask(AGENT, range).await;
                assert_eq!((status, text.as_str()), (206, content), "{round} {range}");
            }
            for (range, content) in [("1-10", "123456789"), ("5-500", "56789"), ("9-10", "9")] {
                let (status, _, text) = ask("davfs2/1.6", range).await;
                assert_eq!((status, text.as_str()), (206, content), "{round} {range}");
            }
            assert_eq!(gateway.get("/file").await.0, 200);
        }
    }
}
