//! GET, PUT and their kin, beyond what litmus looks at.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use s3dav::embedded::{Action, Gate};

use crate::harness::{TestGateway, buckets, open_uploads};

async fn header(
    gateway: &TestGateway,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    name: &str,
) -> (u16, String) {
    let mut request = gateway.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let value = answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    (answer.status().as_u16(), value)
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_exact() {
    for gateway in TestGateway::both().await {
        gateway.put("/r", "0123456789").await;
        for (range, status, expected) in [
            ("0-0", 206, "0"),
            ("2-4", 206, "234"),
            ("7-", 206, "789"),
            ("-3", 206, "789"),
            ("8-99", 206, "89"),
        ] {
            let answer =
                gateway.request("GET", "/r").header("Range", format!("bytes={range}")).send().await.unwrap();
            assert_eq!(answer.status(), status, "{range}");
            assert_eq!(answer.text().await.unwrap(), expected, "{range}");
        }
        let several = gateway.request("GET", "/r").header("Range", "bytes=0-1,8-9").send().await.unwrap();
        assert_eq!(several.status(), 200, "several ranges are answered with the whole");
        assert_eq!(several.text().await.unwrap(), "0123456789");
        let (_, etag) = header(&gateway, "HEAD", "/r", &[], "etag").await;
        let range = [("Range", "bytes=1-2"), ("If-Range", etag.as_str())];
        assert_eq!(
            header(&gateway, "GET", "/r", &range, "content-range").await,
            (206, "bytes 1-2/10".into())
        );
        let range = [("Range", "bytes=1-2"), ("If-Range", "\"other\"")];
        assert_eq!(header(&gateway, "GET", "/r", &range, "content-length").await, (200, "10".into()));
    }
}

/// Ranges of a file of ten bytes: the status, the content, and the `Content-Range`.
const ODD_RANGES: &[(&str, u16, &str, &str)] = &[
    ("bytes=0-18446744073709551615", 206, "0123456789", "bytes 0-9/10"),
    ("bytes=0-18446744073709551614", 206, "0123456789", "bytes 0-9/10"),
    ("bytes=8-9223372036854775807", 206, "89", "bytes 8-9/10"),
    ("bytes=8-9223372036854775806", 206, "89", "bytes 8-9/10"),
    ("bytes=8-99999999999999999999999999999999999999999", 206, "89", "bytes 8-9/10"),
    ("bytes=000000000000000000000000000000008-9", 206, "89", "bytes 8-9/10"),
    ("Bytes=1-2", 206, "12", "bytes 1-2/10"),
    ("bytes= 1-2", 206, "12", "bytes 1-2/10"),
    ("bytes=10-", 416, "", "bytes */10"),
    ("bytes=10-20", 416, "", "bytes */10"),
    ("bytes=9223372036854775807-", 416, "", "bytes */10"),
    ("bytes=18446744073709551615-", 416, "", "bytes */10"),
    ("bytes=18446744073709551615-18446744073709551615", 416, "", "bytes */10"),
    ("bytes=99999999999999999999999999999999999999999-", 416, "", "bytes */10"),
    ("bytes=-0", 416, "", "bytes */10"),
    ("bytes=-10", 206, "0123456789", "bytes 0-9/10"),
    ("bytes=-11", 206, "0123456789", "bytes 0-9/10"),
    ("bytes=-18446744073709551615", 206, "0123456789", "bytes 0-9/10"),
    ("bytes=5-2", 200, "0123456789", ""),
    ("bytes=18446744073709551615-18446744073709551614", 200, "0123456789", ""),
    ("bytes=-", 200, "0123456789", ""),
    ("bytes=", 200, "0123456789", ""),
    ("bytes=a-b", 200, "0123456789", ""),
    ("bytes=+1-2", 200, "0123456789", ""),
    ("bytes=1-2-3", 200, "0123456789", ""),
    ("bytes=--1", 200, "0123456789", ""),
    ("bytes 1-2", 200, "0123456789", ""),
    ("bytes=1-2,", 200, "0123456789", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn odd_ranges_are_those_of_rfc_9110() {
    for gateway in TestGateway::both().await {
        let asked = async |method: &str, path: &str, range: &str| {
            let answer = gateway.request(method, path).header("Range", range).send().await.unwrap();
            let text = |name: &str| {
                let value = answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
                value.unwrap_or_default()
            };
            let (status, part, length) =
                (answer.status().as_u16(), text("content-range"), text("content-length"));
            (status, part, length, answer.text().await.unwrap())
        };
        let bucket = gateway.bucket().await;
        bucket.put("empty", "").await;
        for number in 0..ODD_RANGES.len() {
            bucket.put(&format!("r{number}"), "0123456789").await;
        }
        for (number, (range, status, content, part)) in ODD_RANGES.iter().enumerate() {
            // Nothing is known of it, then all.
            for method in ["GET", "HEAD", "GET", "HEAD"] {
                let answer = asked(method, &format!("/r{number}"), range).await;
                let body = if method == "GET" { *content } else { "" };
                let length = content.len().to_string();
                assert_eq!(answer, (*status, (*part).into(), length, body.into()), "{method} {range}");
            }
        }
        for (range, status, part) in
            [("bytes=0-", 416, "bytes */0"), ("bytes=-0", 416, "bytes */0"), ("bytes=-5", 200, "")]
        {
            for method in ["GET", "HEAD"] {
                let answer = asked(method, "/empty", range).await;
                assert_eq!(answer, (status, part.into(), "0".into(), String::new()), "{method} {range}");
            }
        }
        let other =
            gateway.request("GET", "/r0").header("Range", "bytes=-11").header("If-Range", "\"other\"");
        assert_eq!(other.send().await.unwrap().status(), 200, "another version comes whole");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn preconditions_are_those_of_rfc_9110() {
    for gateway in TestGateway::both().await {
        gateway.put("/p", "1").await;
        let (_, etag) = header(&gateway, "HEAD", "/p", &[], "etag").await;
        for (name, value, status) in [
            ("If-None-Match", etag.as_str(), 304),
            ("If-None-Match", "*", 304),
            ("If-None-Match", "\"other\"", 200),
            ("If-Match", etag.as_str(), 200),
            ("If-Match", "\"other\"", 412),
            ("If-Unmodified-Since", "Mon, 01 Jan 2024 00:00:00 GMT", 412),
            ("If-Modified-Since", "Mon, 01 Jan 2024 00:00:00 GMT", 200),
        ] {
            assert_eq!(
                header(&gateway, "GET", "/p", &[(name, value)], "x").await.0,
                status,
                "{name}: {value}"
            );
        }
        for (name, value, status) in
            [("If-None-Match", "*", 412), ("If-Match", "\"other\"", 412), ("If-Match", etag.as_str(), 204)]
        {
            let put = gateway.request("PUT", "/p").header(name, value).body("2").send().await.unwrap();
            assert_eq!(put.status(), status, "{name}: {value}");
        }
        let put = gateway.request("PUT", "/q").header("If-Match", "*").body("2").send().await.unwrap();
        assert_eq!(put.status(), 412);
        let put = gateway.request("PUT", "/q").header("If-None-Match", "*").body("2").send().await.unwrap();
        assert_eq!(put.status(), 201);
        let delete = gateway.request("DELETE", "/q").header("If-Match", "\"other\"").send().await.unwrap();
        assert_eq!(delete.status(), 412);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_replaced_since_it_was_listed_is_read_as_it_is_under_a_condition_too() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    bucket.put("d/replaced", "old").await;
    bucket.put("d/deleted", "old").await;
    assert_eq!(gateway.propfind("/d/", "1", "").await.status(), 207);
    bucket.put("d/replaced", "newer").await;
    bucket.delete("d/deleted").await;
    let get = async |path: &str| {
        let answer = gateway.request("GET", path).header("If-None-Match", "\"other\"").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get("/d/replaced").await, (200, "newer".to_owned()));
    assert_eq!(get("/d/deleted").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_damaged_is_refused() {
    for gateway in TestGateway::both().await {
        let put =
            |md5: &str| gateway.request("PUT", "/m").header("Content-MD5", md5.to_owned()).body("abc").send();
        assert_eq!(put("AAAAAAAAAAAAAAAAAAAAAA==").await.unwrap().status(), 400);
        assert_eq!(put("no base64").await.unwrap().status(), 400);
        assert!(gateway.bucket().await.is_empty().await);
        assert_eq!(put("kAFQmDzST7DWlj99KOF/cg==").await.unwrap().status(), 201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_types_are_those_of_s3() {
    let gateway = TestGateway::start().await;
    let put = gateway.request("PUT", "/a.bin").header("Content-Type", "image/x-own").body("x");
    assert_eq!(put.send().await.unwrap().status(), 201);
    assert_eq!(header(&gateway, "GET", "/a.bin", &[], "content-type").await.1, "image/x-own");
    gateway.put("/b.png", "x").await;
    assert_eq!(header(&gateway, "HEAD", "/b.png", &[], "content-type").await.1, "image/png");
    let form = gateway
        .request("PUT", "/c.csv")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body("x");
    form.send().await.unwrap();
    assert_eq!(header(&gateway, "GET", "/c.csv", &[], "content-type").await.1, "text/csv; charset=utf-8");
}

/// A browser takes a text without a charset for windows-1252.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_sent_as_utf_8_unless_it_says_otherwise() {
    for gateway in TestGateway::both().await {
        gateway.put("/notes.md", "caf\u{e9}").await;
        // The second GET comes from memory.
        for method in ["HEAD", "GET", "GET", "HEAD"] {
            let told = header(&gateway, method, "/notes.md", &[], "content-type").await;
            assert_eq!(told, (200, "text/markdown; charset=utf-8".to_owned()), "{method}");
        }
        let part = header(&gateway, "GET", "/notes.md", &[("range", "bytes=4-4")], "content-type").await;
        assert_eq!(part, (206, "text/markdown; charset=utf-8".to_owned()));
        // What is stored is told to programs as it is.
        let listed = gateway.propfind("/notes.md", "0", "").await.text().await.unwrap();
        assert!(listed.contains(">text/markdown</"), "{listed}");
    }
    let gateway = TestGateway::start().await;
    let put = gateway.request("PUT", "/old.txt").header("Content-Type", "text/plain; charset=iso-8859-1");
    assert_eq!(put.body("x").send().await.unwrap().status(), 201);
    let told = header(&gateway, "GET", "/old.txt", &[], "content-type").await.1;
    assert_eq!(told, "text/plain; charset=iso-8859-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_every_size_arrive_whole() {
    let gateway = TestGateway::start_with(|config| {
        buckets(config).uploads.multipart_threshold = 6 << 20;
        buckets(config).uploads.part_size = 5 << 20;
        buckets(config).uploads.memory = 12 << 20;
    })
    .await;
    let bucket = gateway.bucket().await;
    let mib = 1 << 20;
    for size in [0, 1, 5 * mib - 1, 5 * mib, 6 * mib, 6 * mib + 1, 10 * mib, 23 * mib + 7] {
        let content: Bytes = (0..size).map(|n| (n / 97 % 251) as u8).collect::<Vec<_>>().into();
        assert!(matches!(gateway.put("/known", content.clone()).await, 201 | 204), "{size}");
        assert!(bucket.get("known").await.unwrap() == content, "{size}");
        let chunks: Vec<Result<Bytes, std::io::Error>> =
            content.chunks(100_003).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
        assert!(matches!(gateway.put("/unknown", body).await, 201 | 204), "{size}");
        assert!(bucket.get("unknown").await.unwrap() == content, "{size}, chunked");
        assert!(gateway.get("/known").await.1 == content, "{size}, read back");
    }
    assert!(open_uploads(gateway.s3()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_uploads_share_a_small_memory_without_deadlock() {
    let gateway = TestGateway::start_with(|config| {
        buckets(config).uploads.part_size = 5 << 20;
        buckets(config).uploads.memory = 10 << 20;
    })
    .await;
    let content = Bytes::from(vec![7_u8; 12 << 20]);
    let uploads = (0..8).map(|n| {
        let (content, path) = (content.clone(), format!("/{n}"));
        let body = match n % 2 {
            0 => reqwest::Body::from(content),
            _ => reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(content)])),
        };
        let request = gateway.request("PUT", &path).body(body);
        async move { request.send().await.unwrap().status().as_u16() }
    });
    let all = tokio::time::timeout(Duration::from_secs(60), futures_util::future::join_all(uploads));
    assert_eq!(all.await.expect("a deadlock"), [201; 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_leaves_the_connection_alive() {
    for gateway in TestGateway::both().await {
        gateway.status("MKCOL", "/d").await;
        let body = Bytes::from(vec![1_u8; 8 << 20]);
        let answer = gateway.request("PUT", "/d").body(body).send().await.unwrap();
        assert_eq!(answer.status(), 405);
        assert!(!answer.headers().contains_key("connection"), "{:?}", answer.headers());
        assert!(gateway.bucket().await.keys().await == ["d/"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_resumes_over_broken_connections() {
    let gateway = TestGateway::start().await;
    let content = Bytes::from((0..3_000_000).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    gateway.bucket().await.put_bytes("big", content.clone()).await;
    gateway.hooks().next(3, "GetObject", Action::CutBody(700_000));
    assert!(gateway.get("/big").await.1 == content);
    assert!(gateway.hooks().count("GetObject") >= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_object_breaks_a_download_off() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    bucket.put_bytes("big", vec![1_u8; 4 << 20].into()).await;
    let gate = Gate::default();
    gateway.hooks().next(1, "GetObject", Action::StallBody(1 << 20, gate.clone()));
    gateway.hooks().next(1, "GetObject", Action::CutBody(1 << 20));
    let mut stream = gateway.request("GET", "/big").send().await.unwrap().bytes_stream();
    let first = stream.next().await.unwrap().unwrap();
    bucket.put_bytes("big", vec![2_u8; 4 << 20].into()).await;
    gate.open();
    let mut read = first.to_vec();
    let mut broken = false;
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => read.extend_from_slice(&chunk),
            Err(_) => broken = true,
        }
    }
    assert!(read.iter().all(|byte| *byte == 1), "never a mix");
    assert!(broken || read.len() == 4 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_come_from_memory_and_tell_the_truth() {
    for gateway in TestGateway::both().await {
        assert_eq!(header(&gateway, "OPTIONS", "/", &[], "dav").await, (200, "1, 2".into()));
        assert!(header(&gateway, "OPTIONS", "/any/where", &[], "allow").await.1.contains("PROPPATCH"));
        let gateway = TestGateway::start_with(|config| config.service.read_only = true).await;
        gateway.bucket().await.put("a", "1").await;
        assert_eq!(header(&gateway, "OPTIONS", "/", &[], "dav").await, (200, "1".into()));
        for (method, path) in [
            ("PUT", "/b"),
            ("DELETE", "/a"),
            ("MKCOL", "/d"),
            ("PROPPATCH", "/a"),
            ("LOCK", "/a"),
            ("UNLOCK", "/a"),
        ] {
            assert_eq!(gateway.status(method, path).await, 403, "{method}");
        }
        assert_eq!(gateway.transfer("MOVE", "/a", "/b").await, 403);
        assert_eq!(gateway.get("/a").await, (200, "1".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_asked_for() {
    let gateway = TestGateway::start_with(|config| {
        let credentials = s3dav::http::auth::Credentials::new("me", "s3cr\u{e9}t");
        config.access = s3dav::http::auth::Access::Password(Some(credentials));
    })
    .await;
    let (status, challenge) = header(&gateway, "GET", "/", &[], "www-authenticate").await;
    assert_eq!(status, 401);
    assert!(challenge.starts_with("Basic realm="));
    let with = |user: &str, password: &str| {
        gateway.request("PROPFIND", "/").header("Depth", "0").basic_auth(user, Some(password))
    };
    assert_eq!(with("me", "s3cr\u{e9}t").send().await.unwrap().status(), 207);
    assert_eq!(with("me", "wrong").send().await.unwrap().status(), 401);
    assert_eq!(with("you", "s3cr\u{e9}t").send().await.unwrap().status(), 401);
    assert_eq!(gateway.status("GET", "/.s3dav/metrics").await, 401);
    assert_eq!(gateway.status("GET", "/.s3dav/health").await, 200, "health needs none");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_there_and_never_listed() {
    let gateway = TestGateway::start().await;
    gateway.put("/a", "12345").await;
    assert_eq!(gateway.get("/.s3dav/health").await, (200, "ok\n".into()));
    let text = String::from_utf8(gateway.get("/.s3dav/metrics").await.1.to_vec()).unwrap();
    for part in [
        "s3dav_s3_requests_total{operation=\"PutObject\",outcome=\"ok\"} 1",
        "s3dav_dav_requests_total{method=\"PUT\",status=\"201\"} 1",
        "s3dav_dav_body_bytes_total{direction=\"received\"} 5",
        "s3dav_dav_latency_seconds_count{method=\"PUT\"} 1",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/a"]);
    assert_eq!(gateway.status("DELETE", "/.s3dav/metrics").await, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_buckets_are_folders() {
    let s3 = crate::harness::embedded_with(&["one", "two"]).await;
    let state = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let (endpoint, for_config) = (s3.endpoint_url(), std::sync::Arc::clone(&state));
    let gateway = TestGateway::start_on(s3, state, move |c| {
        *c = crate::harness::config(&endpoint, &["one", "two/inner"], &for_config);
    })
    .await;
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/one/", "/two/"]);
    assert_eq!(gateway.put("/one/a", "1").await, 201);
    assert_eq!(gateway.transfer("COPY", "/one/a", "/two/a").await, 201);
    assert_eq!(gateway.transfer("MOVE", "/one/a", "/two/b").await, 201);
    assert_eq!(gateway.hooks().count("GetObject"), 0, "copies are made by S3");
    let two = crate::harness::Bucket::of(&gateway.s3().endpoint_url(), "two").await;
    assert_eq!(two.keys().await, ["inner/a", "inner/b"]);
    assert_eq!(gateway.put("/three", "x").await, 403);
    assert_eq!(gateway.status("MKCOL", "/three").await, 403);
    assert_eq!(gateway.status("PROPFIND", "/three").await, 404);
    assert_eq!(gateway.transfer("MOVE", "/one", "/two/one").await, 403);
    assert_eq!(gateway.status("DELETE", "/two").await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_a_page_for_a_browser() {
    for gateway in TestGateway::both().await {
        gateway.bucket().await.put("d/<script>alert(1)</script>", "x").await;
        for path in ["/d", "/d/"] {
            let answer = gateway.request("GET", path).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
            let page = answer.text().await.unwrap();
            assert!(page.contains("&#60;script&#62;") && !page.contains("<script>"), "{page}");
        }
        assert_eq!(gateway.status("HEAD", "/d/").await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_sent_to_the_folder_with_its_slash() {
    for gateway in TestGateway::both().await {
        let bucket = gateway.bucket().await;
        for key in ["d/e/file", "a b\u{e9}/x", "f"] {
            bucket.put(key, "x").await;
        }
        let page = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        for (path, location) in [
            ("/d", "d/"),
            ("/d/e", "e/"),
            ("//d//e", "e/"),
            ("//d", "d/"),
            ("/a%20b%c3%a9?sort=size", "a%20b%C3%A9/?sort=size"),
        ] {
            for (name, value) in [page, ("sec-fetch-dest", "document")] {
                for method in ["GET", "HEAD"] {
                    let answer = gateway.request(method, path).header(name, value).send().await.unwrap();
                    assert_eq!(answer.status(), 301, "{method} {path}");
                    assert_eq!(answer.headers()["location"], location);
                    assert_eq!(answer.headers()["cache-control"], "no-store", "it may be a file tomorrow");
                }
            }
        }
        for (path, status) in [("/d/", 200), ("/", 200), ("/f", 200), ("/missing", 404), ("//", 200)] {
            let answer = gateway.request("GET", path).header(page.0, page.1).send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.headers().get("location")),
                (status, None),
                "{path}"
            );
        }
        for (name, value) in
            [("accept", "*/*"), ("accept", "image/avif,image/*"), ("sec-fetch-dest", "empty")]
        {
            let answer = gateway.request("GET", "/d").header(name, value).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{value}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_of_one_second_are_told_apart() {
    for gateway in TestGateway::both().await {
        let get = async |client: &str, since: &str| {
            let request = gateway.request("GET", "/file").header("User-Agent", client);
            let answer = request.header("If-Modified-Since", since).send().await.unwrap();
            let date = answer.headers()["last-modified"].to_str().unwrap().to_owned();
            (answer.status().as_u16(), date, answer.text().await.unwrap())
        };
        let old = "Mon, 01 Jan 2024 00:00:00 GMT";
        // Until both fall into one second.
        let date = loop {
            gateway.put("/file", "one").await;
            let (_, first, _) = get("reader", old).await;
            gateway.put("/file", "two").await;
            let (_, second, _) = get("another", old).await;
            if first == second {
                break first;
            }
        };
        let (status, _, text) = get("reader", &date).await;
        assert_eq!((status, text.as_str()), (200, "two"), "it has the other one");
        assert_eq!(get("stranger", &date).await.0, 200, "it may have the other one");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        gateway.put("/file", "three").await;
        let (_, date, _) = get("reader", old).await;
        assert_eq!(get("reader", &date).await.0, 304);
        assert_eq!(get("someone new", &date).await.0, 304);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_behind_the_end_is_not_a_version_that_was_read() {
    for gateway in TestGateway::both().await {
        let bucket = gateway.bucket().await;
        let as_client =
            |method: &str, name: &str| gateway.request(method, "/file").header("User-Agent", name);
        let put = as_client("PUT", "writer").body("first");
        assert_eq!(put.send().await.unwrap().status(), 201);
        // Another client's write: the writer's own version is not there any more.
        as_client("GET", "other").send().await.unwrap().bytes().await.unwrap();
        let put = as_client("PUT", "other").body("second");
        assert_eq!(put.send().await.unwrap().status(), 204);
        let beyond = as_client("GET", "writer").header("Range", "bytes=100-");
        assert_eq!(beyond.send().await.unwrap().status(), 416);
        let put = as_client("PUT", "writer").body("third");
        assert_eq!(put.send().await.unwrap().status(), 204);
        assert_eq!(bucket.get("file").await.unwrap(), "second", "what the writer had not seen stays");
    }
}
