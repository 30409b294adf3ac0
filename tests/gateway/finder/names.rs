//! Names as the client escapes them, names that it cannot tell apart, and keys that it cannot be shown.

use super::client::Finder;
use crate::harness::TestGateway;

/// A name as the client escapes it in a request (Apple's CFURL).
pub fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!$&'()*+,-./=@_~".contains(&byte);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_spellings_one_is_shown() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for key in ["d/cafe\u{301}", "d/caf\u{e9}", "d/caf\u{e8}", "d/u\u{308}/x", "d/\u{fc}/x"] {
        bucket.put(key, key).await;
    }
    let finder = Finder::of(&gateway);
    let shown = finder.list("/d/").await;
    assert_eq!(shown, ["/d/", "/d/cafe%CC%81", "/d/caf%C3%A8", "/d/u%CC%88/"]);
    for path in &shown[1..3] {
        let content = finder.get(path).await.1;
        assert_eq!(
            percent_encoding::percent_encode(&content, percent_encoding::CONTROLS).to_string(),
            path[1..]
        );
    }
    assert_eq!(gateway.hrefs("/d/", "1").await.len(), 6, "others see both");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_deleted_is_not_said_to_be_gone() {
    let gateway = TestGateway::start().await;
    gateway.bucket().await.put("d//hidden", "x").await;
    let finder = Finder::of(&gateway);
    assert!(finder.is_empty("/d/").await, "so it seems");
    let answer = finder.send("DELETE", "/d/").await;
    // 409 were "cannot be found".
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("--delete-hidden"));
    assert_eq!(gateway.status("DELETE", "/d/").await, 409);
}
