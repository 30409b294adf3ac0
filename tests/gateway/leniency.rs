//! What popular clients send otherwise than the letter has it.

use reqwest::StatusCode;

use crate::harness::TestGateway;
use crate::harness::raw::{exchange, status};

#[tokio::test(flavor = "multi_thread")]
async fn an_if_none_match_that_is_none_matches_nothing() {
    for gateway in TestGateway::both().await {
        let send = async |method: &str, path: &str, value: &str| {
            let request = gateway.request(method, path).header("If-None-Match", value).body(body(method));
            request.send().await.unwrap().status().as_u16()
        };
        // As Joplin has it.
        for value in ["JoplinIgnore-74610", "\"open", ""] {
            assert_eq!(send("PUT", "/file", value).await, 201, "{value:?}");
            assert_eq!(send("PUT", "/file", value).await, 204);
            assert_eq!(send("GET", "/file", value).await, 200);
            assert_eq!(send("PROPFIND", "/file", value).await, 207);
            assert_eq!(send("MKCOL", "/folder", value).await, 201);
            assert_eq!(send("DELETE", "/folder/", value).await, 204);
            assert_eq!(send("DELETE", "/file", value).await, 204);
        }
        assert_eq!(send("PUT", "/file", "*").await, 201);
        assert_eq!(send("PUT", "/file", "*").await, 412);
        for value in ["*, \"a\"", "\"*", "x*"] {
            assert_eq!(send("PUT", "/file", value).await, 400, "it may have meant: only if it is new");
            assert_eq!(send("GET", "/file", value).await, 200);
        }
        let strict = gateway.request("PUT", "/file").header("If-Match", "word").body("x");
        assert_eq!(strict.send().await.unwrap().status(), 400);
    }
}

fn body(method: &str) -> &'static str {
    if method == "PUT" { "content" } else { "" }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_if_range_that_is_none_gets_the_whole() {
    for gateway in TestGateway::both().await {
        gateway.put("/file", "content").await;
        for value in ["word", "\"a\", \"b\"", "Sun, 99 Nev 2026"] {
            let request =
                gateway.request("GET", "/file").header("Range", "bytes=1-2").header("If-Range", value);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{value}");
            assert_eq!(answer.text().await.unwrap(), "content");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_understood_as_it_is_written() {
    for gateway in TestGateway::both().await {
        assert_eq!(gateway.status("MKCOL", "/d").await, 201);
        for (written, path) in [
            ("/d/caf\u{e9} 1", "/d/caf%C3%A9%201"),
            ("http://HOST/d/\u{6771} {x}", "/d/%E6%9D%B1%20%7Bx%7D"),
            ("other", "/d/other"),
            ("./caf\u{e9}", "/d/caf%C3%A9"),
            ("../up", "/up"),
        ] {
            assert_eq!(gateway.put("/d/from", "content").await, 201);
            assert_eq!(moved(&gateway, "/d/from", written).await, 201, "{written}");
            assert_eq!(gateway.get(path).await, (200, "content".into()), "{path}");
        }
        assert_eq!(gateway.put("/from", "content").await, 201);
        for wrong in ["", " ", "../../up", "mailto:x", "/a#b", "/a?b", "/%zz", "."] {
            let answer = moved(&gateway, "/from", wrong).await;
            assert!((400..500).contains(&answer), "{wrong:?}: {answer}");
        }
        assert_eq!(gateway.get("/from").await.0, 200);
    }
}

/// A MOVE with a destination of just these bytes.
async fn moved(gateway: &TestGateway, from: &str, destination: &str) -> u16 {
    let address = gateway.address();
    let destination = destination.replace("HOST", &address);
    let request = format!("MOVE {from} HTTP/1.1\r\nHost: {address}\r\nDestination: {destination}\r\n\r\n");
    status(&exchange(&address, request.as_bytes()).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_without_its_folder() {
    for gateway in TestGateway::both().await {
        gateway.status("MKCOL", "/d").await;
        gateway.put("/d/file", "content").await;
        assert_eq!(gateway.hrefs("/d/", "1,noroot").await, ["/d/file"]);
        assert_eq!(gateway.hrefs("/d/", "1, NoRoot").await, ["/d/file"]);
        assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/", "/d/file"]);
        for (method, path, depth, expected) in [
            ("PROPFIND", "/none/", "1,noroot", 404),
            ("PROPFIND", "/d/", "0,noroot", 400),
            ("PROPFIND", "/d/", "1,other", 400),
            ("DELETE", "/d/", "infinity,noroot", 400),
        ] {
            let request = gateway.request(method, path).header("Depth", depth);
            assert_eq!(request.send().await.unwrap().status(), expected, "{method} {path} {depth}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_body_is_no_body() {
    for gateway in TestGateway::both().await {
        gateway.put("/file", "content").await;
        let send = async |method: &str, path: &str, header: Option<(&str, String)>| {
            let request = gateway.request(method, path).header("Depth", "0").body("\r\n  \r\n");
            let request = header.iter().fold(request, |request, (name, value)| request.header(*name, value));
            request.send().await.unwrap()
        };
        assert_eq!(send("PROPFIND", "/file", None).await.status(), 207);
        let lock = gateway.request("LOCK", "/file").body(crate::finder::client::LOCK).send().await.unwrap();
        let token = lock.headers()["lock-token"].to_str().unwrap().to_owned();
        let refreshed = send("LOCK", "/file", Some(("If", format!("({token})")))).await;
        assert_eq!(refreshed.status(), 200);
        assert_eq!(send("UNLOCK", "/file", Some(("Lock-Token", token))).await.status(), 204);
        assert_eq!(send("MKCOL", "/d", None).await.status(), 201);
        assert_eq!(gateway.request("MKCOL", "/e").body("x").send().await.unwrap().status(), 415);
        assert_eq!(gateway.request("DELETE", "/d").body("\n").send().await.unwrap().status(), 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_windows_says_of_a_file_is_kept() {
    for gateway in TestGateway::both().await {
        gateway.put("/file", "content").await;
        // As Windows writes it: with a prefix of the root's.
        let update = "<D:propertyupdate xmlns:D=\"DAV:\" xmlns:Z=\"urn:schemas-microsoft-com:\"><D:set><D:prop>\
             <Z:Win32CreationTime>Fri, 27 Nov 2026 02:38:51 GMT</Z:Win32CreationTime>\
             <Z:Win32FileAttributes>00000022</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>";
        let answer = gateway.request("PROPPATCH", "/file").body(update).send().await.unwrap();
        assert_eq!(answer.status(), 207);
        assert_eq!(answer.text().await.unwrap().matches("HTTP/1.1 200").count(), 1);
        let shown = async |path: &str| gateway.propfind(path, "0", "").await.text().await.unwrap();
        for kept in [">Fri, 27 Nov 2026 02:38:51 GMT</", ">00000022</"] {
            assert!(shown("/file").await.contains(kept), "{}", shown("/file").await);
        }
        assert_eq!(gateway.transfer("MOVE", "/file", "/moved").await, 201);
        assert!(shown("/moved").await.contains(">00000022</"), "it goes along");
        let refused = update
            .replace("</D:set>", "</D:set><D:set><D:prop><D:getetag>x</D:getetag></D:prop></D:set>")
            .replace("00000022", "00000001");
        let answer = gateway.request("PROPPATCH", "/moved").body(refused).send().await.unwrap();
        assert!(answer.text().await.unwrap().contains("HTTP/1.1 403"));
        assert!(shown("/moved").await.contains(">00000022</"), "all or nothing");
    }
}
