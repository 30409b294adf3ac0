//! Faults of macOS's own client from which the gateway keeps those who use it.

use std::time::{Duration, SystemTime};

use reqwest::Response;

use super::client::{Finder, LOCK};
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
