//! What nobody should send. Each gets its one right answer, and the same process then serves a
//! normal request.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::raw::{exchange, status};
use crate::harness::{TestGateway, eventually, xml};

const PROPFIND: &str = "PROPFIND / HTTP/1.1\r\nHost: localhost\r\nDepth: 0\r\n";

/// A request with a body.
fn with_body(head: &str, body: &str) -> Vec<u8> {
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A request without one.
fn bare(head: &str) -> Vec<u8> {
    format!("{head}\r\n").into_bytes()
}

fn line(method: &str, target: &str, headers: &str) -> Vec<u8> {
    bare(&format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}"))
}

fn nested(depth: usize) -> String {
    format!(
        "<D:propfind xmlns:D=\"DAV:\"><D:prop>{}{}</D:prop></D:propfind>",
        "<a>".repeat(depth),
        "</a>".repeat(depth)
    )
}

/// The cases: what it is, the bytes, and the statuses that are right.
#[allow(clippy::too_many_lines)]
fn cases() -> Vec<(String, Vec<u8>, Vec<u16>)> {
    let mut cases: Vec<(String, Vec<u8>, Vec<u16>)> = Vec::new();
    let mut case = |name: &str, bytes: Vec<u8>, right: &[u16]| cases.push((name.into(), bytes, right.into()));

    // XML
    for depth in [100, 4000, 9000] {
        case(&format!("PROPFIND nested {depth}"), with_body(PROPFIND, &nested(depth)), &[400, 413]);
    }
    let proppatch = "PROPPATCH /file HTTP/1.1\r\nHost: localhost\r\n";
    case("PROPPATCH nested", with_body(proppatch, &nested(5000)), &[400]);
    let lock = "LOCK /file HTTP/1.1\r\nHost: localhost\r\n";
    case("LOCK nested", with_body(lock, &nested(5000)), &[400]);
    let entity =
        format!("<!DOCTYPE a [<!ENTITY x \"{}\">]><a>{}</a>", "y".repeat(20_000), "&x;".repeat(3000));
    case("entity expansion", with_body(PROPFIND, &entity), &[400]);
    let laughs = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><l>&b;</l>";
    case("billion laughs", with_body(PROPFIND, laughs), &[400]);
    let external = "<!DOCTYPE l [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><l>&a;</l>";
    case("external entity", with_body(PROPFIND, external), &[400]);
    for body in [
        "<",
        "<a>",
        "not xml",
        "<D:propfind/>",
        "<a xmlns:D=\"DAV:\"/>",
        "<?xml version=\"1.0\"?>",
        "<a><b></a></b>",
        "<D:propfind xmlns:D=\"DAV:\"/>",
        "\u{feff}",
        "<D:propfind xmlns:D=\"DAV:\"><D:prop><q:x/></D:prop></D:propfind>",
    ] {
        case(&format!("PROPFIND {body:?}"), with_body(PROPFIND, body), &[400]);
    }
    case("PROPFIND of invalid UTF-8", [with_body(PROPFIND, "<aa>")[..].to_vec(), vec![]].concat(), &[400]);
    case("PROPFIND too large", with_body(PROPFIND, &"x".repeat(70_000)), &[413]);
    case("PROPPATCH of something else", with_body(proppatch, "<D:propfind xmlns:D=\"DAV:\"/>"), &[400]);
    case("LOCK of something else", with_body(lock, "<D:propfind xmlns:D=\"DAV:\"/>"), &[400]);
    case("LOCK without scope", with_body(lock, "<D:lockinfo xmlns:D=\"DAV:\"/>"), &[400]);
    case("MKCOL with a body", with_body("MKCOL /new HTTP/1.1\r\nHost: localhost\r\n", "<x/>"), &[415]);
    case("DELETE with a body", with_body("DELETE /file HTTP/1.1\r\nHost: localhost\r\n", "x"), &[415]);

    // If and its kin
    for value in [
        "garbage[",
        "(<",
        "([",
        "[\"",
        "(",
        "()",
        "(Not <x>",
        "(Not)",
        "(<t>) trailing",
        "<no list>",
        "(<>)",
        "([\"e)",
    ] {
        case(&format!("If: {value}"), line("DELETE", "/file", &format!("If: {value}\r\n")), &[400]);
    }
    for name in ["If-Match", "If-None-Match", "If-Range"] {
        for value in ["\"", "W/\"", "unquoted", "\"a\" \"b\""] {
            // What matches nothing harms nobody; who says what must be there is to be understood.
            let right = if name == "If-Match" { 400 } else { 200 };
            case(
                &format!("{name}: {value}"),
                line("GET", "/file", &format!("{name}: {value}\r\n")),
                &[right],
            );
        }
    }
    case("If twice", line("DELETE", "/file", "If: (<a>)\r\nIf: (<b>)\r\n"), &[400]);

    // Headers
    for depth in ["2", "-1", "one", "", "0,1", "infinite"] {
        case(&format!("Depth: {depth}"), line("PROPFIND", "/", &format!("Depth: {depth}\r\n")), &[400]);
    }
    case("Depth: infinity", line("PROPFIND", "/", "Depth: infinity\r\n"), &[403]);
    case("infinity with X-Litmus", line("PROPFIND", "/", "Depth: infinity\r\nX-Litmus: x\r\n"), &[403]);
    case("DELETE Depth: 1", line("DELETE", "/dir", "Depth: 1\r\n"), &[400]);
    case("DELETE of a folder with Depth: 0", line("DELETE", "/dir", "Depth: 0\r\n"), &[400]);
    case("MOVE Depth: 0", line("MOVE", "/dir", "Depth: 0\r\nDestination: /x\r\n"), &[400]);
    for value in ["X", "true", ""] {
        let headers = format!("Overwrite: {value}\r\nDestination: /x\r\n");
        case(&format!("Overwrite: {value}"), line("COPY", "/file", &headers), &[400]);
    }
    for value in ["soon", "Second-", "Second-x", "Second--1"] {
        let head = format!("LOCK /file HTTP/1.1\r\nHost: localhost\r\nTimeout: {value}\r\n");
        let body = xml::EXCLUSIVE;
        case(&format!("Timeout: {value}"), with_body(&head, body), &[400]);
    }
    case("UNLOCK without a token", line("UNLOCK", "/file", ""), &[400]);
    case("LOCK without anything", line("LOCK", "/file", ""), &[400]);
    case("Expect: more", line("PUT", "/x", "Expect: miracles\r\nContent-Length: 0\r\n"), &[417]);
    case(
        "PUT of a part",
        line("PUT", "/file", "Content-Range: bytes 0-1/5\r\nContent-Length: 0\r\n"),
        &[400],
    );
    case("X-OC-Mtime", line("PUT", "/x", "X-OC-Mtime: yesterday\r\nContent-Length: 0\r\n"), &[400]);

    // Destinations
    for (destination, right) in [
        ("", 400),
        ("../x", 400),
        ("mailto:x", 400),
        ("http://localhost/a?b", 400),
        ("http://elsewhere/x", 502),
        ("/dir", 403),
        ("/dir/", 403),
        ("/dir/below", 409),
        ("/", 403),
        ("/%2e%2e/x", 400),
        ("/a%2fb", 400),
        ("/%ff", 400),
        ("/missing/x", 409),
        ("/.s3dav/x", 403),
    ] {
        for method in ["COPY", "MOVE"] {
            let headers = format!("Destination: {destination}\r\n");
            case(&format!("{method} to {destination:?}"), line(method, "/dir", &headers), &[right]);
        }
    }
    case("MOVE onto an ancestor", line("MOVE", "/dir/inner", "Destination: /dir\r\n"), &[409]);
    case("COPY without destination", line("COPY", "/file", ""), &[400]);
    case("COPY of the root", line("COPY", "/", "Destination: /x\r\n"), &[403]);

    // Targets
    for target in
        ["/%ff%fe", "/a%00b", "/a%2fb", "/%zz", "/%4", "/%01", "/./a", "/../a", "/a/%2e%2e/b", "/a%7fb"]
    {
        for method in ["PUT", "GET", "MKCOL"] {
            case(&format!("{method} {target}"), line(method, target, "Content-Length: 0\r\n"), &[400]);
        }
    }
    case("a long name", line("PUT", &format!("/{}", "n".repeat(256)), "Content-Length: 0\r\n"), &[414]);
    case("a long path", line("PUT", &"/abcdefghi".repeat(120), "Content-Length: 0\r\n"), &[414]);
    case("a very long path", line("GET", &"/a".repeat(10_000), ""), &[414]);
    for method in ["GET", "DELETE", "PROPFIND"] {
        case(&format!("{method} 512 levels down"), line(method, &"/a".repeat(512), ""), &[404]);
    }
    for method in ["GET", "DELETE", "PROPFIND", "PUT", "MKCOL"] {
        case(&format!("{method} 513 levels down"), line(method, &"/a".repeat(513), ""), &[414]);
    }
    case("PUT of the root", line("PUT", "/", "Content-Length: 0\r\n"), &[405]);
    case("PUT of a folder's path", line("PUT", "/new/", "Content-Length: 0\r\n"), &[405]);
    case("PUT onto a folder", line("PUT", "/dir", "Content-Length: 0\r\n"), &[405]);
    case("PUT without its folder", line("PUT", "/no/where", "Content-Length: 0\r\n"), &[409]);
    case("MKCOL without its folder", line("MKCOL", "/no/where", ""), &[409]);
    case("MKCOL of what is there", line("MKCOL", "/dir", ""), &[405]);
    case("MKCOL onto a file", line("MKCOL", "/file", ""), &[405]);
    case("DELETE of the root", line("DELETE", "/", ""), &[403]);
    case("MOVE of the root", line("MOVE", "/", "Destination: /x\r\n"), &[403]);
    case("PUT into the gateway's folder", line("PUT", "/.s3dav/x", "Content-Length: 0\r\n"), &[403]);
    case("PUT of health", line("PUT", "/.s3dav/health", "Content-Length: 0\r\n"), &[405]);

    // Methods and versions
    for method in ["POST", "PATCH", "TRACE", "REPORT", "SEARCH"] {
        case(method, line(method, "/file", "Content-Length: 0\r\n"), &[405]);
    }
    case("an unknown method", line("FROBNICATE", "/file", ""), &[501]);
    case("CONNECT", bare("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n"), &[400, 403, 405]);
    case("no host", bare("GET /file HTTP/1.1\r\n"), &[400]);
    case("another host", bare("GET /file HTTP/1.1\r\nHost: evil.example\r\n"), &[403]);
    case(
        "another host in the target",
        bare("GET http://evil.example/file HTTP/1.1\r\nHost: localhost\r\n"),
        &[403],
    );
    case("another origin", line("GET", "/file", "Origin: http://evil.example\r\n"), &[403]);
    let origin = "Origin: http://localhost\r\n";
    case("localhost, where another program may be it, too", line("GET", "/file", origin), &[403]);
    case("no origin at all", line("GET", "/file", "Origin: null\r\n"), &[403]);
    case(
        "embedded in another site",
        line("GET", "/file", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"),
        &[403],
    );
    case(
        "a header of 100 KiB",
        line("GET", "/file", &format!("X-Long: {}\r\n", "x".repeat(100_000))),
        &[400, 431],
    );
    case("200 headers", line("GET", "/file", &"X-Many: x\r\n".repeat(200)), &[400, 431]);
    case("two lengths", line("PUT", "/x", "Content-Length: 1\r\nContent-Length: 2\r\n"), &[400]);
    case("a negative length", line("PUT", "/x", "Content-Length: -1\r\n"), &[400]);
    case("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), &[400, 0]);
    for value in ["gzip, chunked", "gzip,chunked", "chunked, chunked", "identity, chunked", "chunked;a=b"] {
        let head = format!("Transfer-Encoding: {value}\r\n\r\n1\r\nx\r\n0\r\n");
        // One that does not end with the chunks has no end that can be known.
        let right = if value.ends_with("chunked") { 501 } else { 400 };
        case(&format!("PUT in {value}"), line("PUT", "/x", &head), &[right]);
    }
    case(
        "PUT in two lines of codings",
        line("PUT", "/x", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"),
        &[501],
    );
    case("PROPFIND in gzip", line("PROPFIND", "/", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n"), &[501]);
    case("a bad chunk", line("PUT", "/x", "Transfer-Encoding: chunked\r\n\r\nzz"), &[400]);
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_inputs_are_refused_and_do_no_harm() {
    for gateway in TestGateway::both().await {
        let bucket = gateway.bucket().await;
        for key in ["file", "dir/", "dir/inner/x"] {
            bucket.put(key, "12345").await;
        }
        let before = bucket.contents().await;
        let cases = cases();
        assert!(cases.len() >= 80, "{}", cases.len());
        let mut wrong = Vec::new();
        for (name, bytes, right) in cases {
            let answer = exchange(&gateway.address(), &bytes).await;
            if !right.contains(&status(&answer)) {
                wrong.push(format!(
                    "{name}: {} instead of {right:?}",
                    answer.lines().next().unwrap_or("nothing")
                ));
            }
            assert_eq!(gateway.get("/file").await, (200, "12345".into()), "after {name}");
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        // What was begun on a disk is removed a moment after the answer.
        eventually("nothing is changed by any of them", || async { bucket.contents().await == before }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_an_unknown_coding_is_refused_and_ends_the_connection() {
    for gateway in TestGateway::both().await {
        for coding in ["gzip, chunked", "x, Chunked", "chunked, chunked"] {
            let head = format!("PUT /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {coding}\r\n\r\n");
            let next = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
            let both = format!("{head}1\r\nx\r\n0\r\n\r\n{next}");
            let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
            stream.write_all(both.as_bytes()).await.unwrap();
            let mut answers = String::new();
            let ended = timeout(Duration::from_secs(20), stream.read_to_string(&mut answers)).await;
            assert!(ended.is_ok(), "{coding}: the connection stays open");
            assert_eq!(status(&answers), 501, "{answers}");
            assert!(answers.to_ascii_lowercase().contains("connection: close\r\n"), "{answers}");
            assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{answers}");
        }
        assert!(gateway.bucket().await.is_empty().await);
        let head = "PUT /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: Chunked\r\n";
        let put = format!("{head}Content-Encoding: gzip\r\n\r\n1\r\nx\r\n0\r\n\r\n");
        assert_eq!(status(&exchange(&gateway.address(), put.as_bytes()).await), 201);
        assert_eq!(gateway.get("/x").await.1, "x", "a content's own coding is its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_odd_but_is_right_is_served() {
    for gateway in TestGateway::both().await {
        gateway.bucket().await.put("file", "0123456789").await;
        let ranges = vec!["0-9"; 2000].join(",");
        let cases = [
            ("2,000 ranges", line("GET", "/file", &format!("Range: bytes={ranges}\r\n")), 200),
            ("a suffix longer than the file", line("GET", "/file", "Range: bytes=-99\r\n"), 206),
            ("a range beyond the end", line("GET", "/file", "Range: bytes=10-\r\n"), 416),
            ("an unknown unit", line("GET", "/file", "Range: lines=1-2\r\n"), 200),
            ("the absolute form", bare("GET http://localhost/file HTTP/1.1\r\nHost: localhost\r\n"), 200),
            (
                "own origin",
                b"GET /file HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n\r\n".to_vec(),
                200,
            ),
            (
                "a timeout with a choice",
                with_body(
                    "LOCK /file HTTP/1.1\r\nHost: localhost\r\nTimeout: Infinite, Second-4100000000\r\n",
                    xml::EXCLUSIVE,
                ),
                200,
            ),
        ];
        for (name, bytes, right) in cases {
            assert_eq!(status(&exchange(&gateway.address(), &bytes).await), right, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_let_go() {
    let gateway = TestGateway::start_with(|config| {
        config.limits.header_time = Duration::from_millis(300);
        config.service.body_stall = Duration::from_millis(300);
    })
    .await;
    // Headers that never end.
    let answer = exchange(&gateway.address(), b"GET /file HTTP/1.1\r\nHost: localhost\r\nX-Slow:").await;
    assert!(matches!(status(&answer), 0 | 408), "{answer}");
    // A body that never comes.
    let head = b"PUT /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc";
    let answer = exchange(&gateway.address(), head).await;
    assert!(matches!(status(&answer), 0 | 400 | 408 | 500), "{answer}");
    assert!(gateway.bucket().await.is_empty().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_wait_for_their_turn() {
    let gateway = TestGateway::start_with(|config| config.limits.connections = 2).await;
    gateway.bucket().await.put("file", "x").await;
    let requests = (0..20).map(|_| gateway.get("/file"));
    for (status, _) in futures_util::future::join_all(requests).await {
        assert_eq!(status, 200);
    }
}
