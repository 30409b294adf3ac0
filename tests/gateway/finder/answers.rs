//! What a copy in Finder is answered: nothing before its end, since an early success ends it unseen, and never
//! much, since the client has room for 4 KiB and takes an answer that does not end there for none.

use std::time::Duration;

use s3dav::embedded::Action;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{AGENT, Finder};
use crate::harness::raw::{exchange, read_answer, status};
use crate::harness::{TestGateway, eventually};

/// The head of a body in chunks, of which macOS tells the length.
fn head(gateway: &TestGateway, path: &str, more: &str) -> String {
    let host = gateway.address();
    format!(
        "PUT {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\nTransfer-Encoding: chunked\r\n{more}\r\n"
    )
}

/// Sends all of a body but its end, sees that no answer comes, and then that one does.
async fn ends_with_its_end(gateway: &TestGateway, path: &str, headers: &str, length: usize) {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(head(gateway, path, headers).as_bytes()).await.unwrap();
    let piece = vec![b'x'; PIECE];
    for _ in 0..length / PIECE {
        stream.write_all(format!("{PIECE:x}\r\n").as_bytes()).await.unwrap();
        stream.write_all(&piece).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    if gateway.is_bucket() && length > LARGE / 2 {
        eventually("a part is there", || async { gateway.hooks().count("UploadPart") > 0 }).await;
    }
    assert!(matches!(gateway.status("PROPFIND", "/").await, 207));
    let early = timeout(MOMENT, stream.read(&mut [0; 1024])).await;
    assert!(early.is_err(), "{path}, {length} bytes: answered before its end");
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert!(matches!(status(&answer), 201 | 204), "{path}, {length} bytes: {answer}");
    assert!(answer.len() < ROOM, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_not_answered_before_its_end() {
    for gateway in TestGateway::both().await {
        let finder = Finder::of(&gateway);
        for (path, length) in [("/empty", 0), ("/small", PIECE), ("/large", LARGE), ("/._small", PIECE)] {
            let expected = format!("X-Expected-Entity-Length: {length}\r\n");
            // Made empty before, by a request of its own; then as another client would, and over what is there.
            assert_eq!(finder.status("PUT", path).await, 201, "{path}");
            let token = finder.lock(path).await;
            ends_with_its_end(&gateway, path, &format!("{expected}If: (<{token}>)\r\n"), length).await;
            assert_eq!(finder.unlock(path, &token).await, 204);
            if gateway.is_bucket() {
                gateway.hooks().reset();
            }
            ends_with_its_end(&gateway, path, "", length).await;
            let (status, content) = finder.get(path).await;
            assert_eq!((status, content.len()), (200, length), "{path}");
            assert!(content.iter().all(|byte| *byte == b'x'));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_room_where_macos_reads_it() {
    let gateway =
        TestGateway::start_with(|config| config.service.request_budget = Some(Duration::from_millis(300)))
            .await;
    gateway.status("MKCOL", "/d").await;
    let put = |path: &str, more: &str| head(&gateway, path, more) + "1\r\nx\r\n0\r\n\r\n";
    let check = |answer: String, expected: &[u16], what: &str| {
        assert!(expected.contains(&status(&answer)), "{what}: {answer}");
        assert!(answer.len() < ROOM, "{what}: {} bytes", answer.len());
    };
    let texts = ["x".repeat(8000), "\u{e9}".repeat(4000), "\u{202e}".repeat(2000), "<&\">".repeat(2000)];
    for text in texts {
        let message: &'static str = text.leak();
        for (number, code) in [
            (403, "AccessDenied"),
            (400, "InvalidRequest"),
            (503, "ServiceUnavailable"),
            (500, "Odd"),
            (409, "Odd"),
        ] {
            gateway.hooks().next(usize::MAX, "PutObject", Action::Fail { status: number, code, message });
            let answer = exchange(&gateway.address(), put("/d/file", "").as_bytes()).await;
            check(answer, &[403, 503], &format!("{number} {code}"));
            gateway.hooks().heal();
        }
    }
    let long = format!("/{}", vec!["%C3%A9".repeat(125); 3].join("/"));
    check(exchange(&gateway.address(), put(&long, "").as_bytes()).await, &[403, 409], "no folder");
    check(exchange(&gateway.address(), put("/d", "").as_bytes()).await, &[405], "a folder");
    check(
        exchange(&gateway.address(), put(&"/%C3%A9".repeat(2000), "").as_bytes()).await,
        &[414],
        "too long",
    );
    let odd = format!("If: <http://{}/> (<x>)\r\n", "%".repeat(7000));
    check(exchange(&gateway.address(), put("/d/f", &odd).as_bytes()).await, &[400, 412], "an odd If");
    let stranger = put("/d/f", "").replacen(&gateway.address(), &"h".repeat(7000), 1);
    check(exchange(&gateway.address(), stranger.as_bytes()).await, &[400, 403], "another host");
}

/// Bytes that macOS reads of an answer.
const ROOM: usize = 4096;
/// A chunk of a copy.
const PIECE: usize = 8 << 10;
/// So large that it goes to S3 in parts.
const LARGE: usize = 24 << 20;
/// An early answer would be there by then.
const MOMENT: Duration = Duration::from_millis(200);
