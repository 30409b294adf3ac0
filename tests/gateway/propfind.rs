//! PROPFIND, our own.

use s3dav::embedded::Action;

use crate::harness::{TestGateway, xml};

fn some(properties: &str) -> String {
    format!("<D:propfind xmlns:D=\"DAV:\" xmlns:x=\"urn:x\"><D:prop>{properties}</D:prop></D:propfind>")
}

#[tokio::test(flavor = "multi_thread")]
async fn found_and_missing_properties_have_propstats_of_their_own() {
    for gateway in TestGateway::both().await {
        gateway.put("/a.txt", "12345").await;
        let text = gateway
            .propfind("/a.txt", "0", &some("<D:getetag/><x:unknown/><D:quota-available-bytes/>"))
            .await
            .text()
            .await
            .unwrap();
        let (found, missing) = text.split_once("HTTP/1.1 200 OK").unwrap();
        let head = gateway.request("HEAD", "/a.txt").send().await.unwrap();
        let etag = head.headers()["etag"].to_str().unwrap();
        assert!(found.contains(&format!("<D:getetag>{etag}</D:getetag>")), "{text}");
        assert!(missing.contains("<n0:unknown/>") && missing.contains("quota-available-bytes"), "{text}");
        assert_eq!(text.matches("xmlns:n0=\"urn:x\"").count(), 1, "{text}");
        assert!(missing.contains("404 Not Found"));
        let brief = gateway.request("PROPFIND", "/a.txt").header("Depth", "0").header("Brief", "t");
        let text = brief.body(some("<D:getetag/><x:unknown/>")).send().await.unwrap().text().await.unwrap();
        assert!(!text.contains("404"), "{text}");
        let text = gateway.propfind("/a.txt", "0", &some("<x:unknown/>")).await.text().await.unwrap();
        assert!(text.contains("<D:propstat>") && text.contains("404 Not Found"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_properties_come_once_and_only_if_asked() {
    for gateway in TestGateway::both().await {
        gateway.put("/a", "1").await;
        // Prefixes may be those of the root.
        let patch = "<D:propertyupdate xmlns:D=\"DAV:\" xmlns:x=\"urn:x\"><D:set><D:prop>\
             <x:one>eins &amp; &lt;zwei&gt;</x:one><x:two>2</x:two></D:prop></D:set></D:propertyupdate>";
        let answer = gateway.request("PROPPATCH", "/a").body(patch).send().await.unwrap();
        assert_eq!(answer.status(), 207);
        let text = gateway.propfind("/a", "0", &some("<x:one/>")).await.text().await.unwrap();
        assert_eq!(text.matches("eins &amp; &lt;zwei").count(), 1, "{text}");
        assert!(!text.contains(":two") && !text.contains("<two"), "{text}");
        let all = gateway.propfind("/a", "0", "").await.text().await.unwrap();
        assert_eq!(all.matches("eins").count(), 1, "{all}");
        let names = gateway
            .propfind("/a", "0", "<D:propfind xmlns:D=\"DAV:\"><D:propname/></D:propfind>")
            .await
            .text()
            .await
            .unwrap();
        assert!(
            names.contains("one") && !names.contains("eins") && names.contains("<D:getetag/>"),
            "{names}"
        );
        let include = "<D:propfind xmlns:D=\"DAV:\"><D:allprop/><D:include><D:acl/></D:include></D:propfind>";
        let text = gateway.propfind("/a", "0", include).await.text().await.unwrap();
        assert!(text.contains("<D:acl/>") && text.contains("404"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_display_name_can_be_set_and_removed() {
    for gateway in TestGateway::both().await {
        gateway.put("/a", "1").await;
        let patch = |what: &str| {
            let body = xml::propertyupdate(what);
            gateway.request("PROPPATCH", "/a").body(body).send()
        };
        let name =
            || async { gateway.propfind("/a", "0", &some("<D:displayname/>")).await.text().await.unwrap() };
        patch("<D:set><D:prop><D:displayname>Other</D:displayname></D:prop></D:set>").await.unwrap();
        assert!(name().await.contains(">Other<"));
        // Refused as a whole, so nothing is removed.
        let both = "<D:remove><D:prop><D:displayname/></D:prop></D:remove><D:set><D:prop><D:getetag>x</D:getetag></D:prop></D:set>";
        assert!(patch(both).await.unwrap().text().await.unwrap().contains("424"));
        assert!(name().await.contains(">Other<"));
        patch("<D:remove><D:prop><D:displayname/></D:prop></D:remove>").await.unwrap();
        assert!(name().await.contains("<D:displayname>a</D:displayname>"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hrefs_are_ascii_echo_the_request_and_round_trip() {
    for gateway in TestGateway::both().await {
        let bucket = gateway.bucket().await;
        let names = ["a&b 'c' <d> \"e\".txt", "100% #1;x?.txt", "a:b", "\u{e9}", "\u{1f600}", "a+b", "~-_."];
        let long = "n".repeat(255);
        for name in names.iter().copied().chain([long.as_str()]) {
            bucket.put(&format!("d/{name}"), name).await;
        }
        let found = gateway.hrefs("/d/", "1").await;
        assert_eq!(found[0], "/d/");
        assert_eq!(found.len(), names.len() + 2);
        for href in &found {
            assert!(href.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~/%".contains(&b)), "{href}");
        }
        for href in &found[1..] {
            let (status, body) = gateway.get(href).await;
            assert_eq!(status, 200, "{href}");
            assert!(names.contains(&std::str::from_utf8(&body).unwrap()) || body.len() == 255);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_answer_with_and_without_their_slash() {
    for gateway in TestGateway::both().await {
        gateway.bucket().await.put("d/x", "1").await;
        for path in ["/d", "/d/"] {
            for depth in ["0", "1"] {
                let found = gateway.hrefs(path, depth).await;
                assert_eq!(found[0], "/d/", "{path} {depth}");
                assert_eq!(found.len(), 1 + usize::from(depth == "1"));
            }
        }
        assert_eq!(gateway.propfind("/nothing", "0", "").await.status(), 404);
        assert_eq!(gateway.propfind("/nothing", "1", "").await.status(), 404);
        assert_eq!(gateway.hrefs("/d/x", "1").await, ["/d/x"], "a file has no children");
        assert_eq!(gateway.hrefs("/", "0").await, ["/"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_midway_never_looks_like_a_complete_listing() {
    let gateway = TestGateway::start_with(|config| {
        config.service.request_budget = Some(std::time::Duration::from_secs(1))
    })
    .await;
    let bucket = gateway.bucket().await;
    for n in 0..1500 {
        bucket.put(&format!("d/{n:04}"), "").await;
    }
    // The second page never comes.
    let broken = Action::Fail { status: 500, code: "InternalError", message: "down" };
    gateway.hooks().add(s3dav::embedded::Rule {
        operation: Some("ListObjectsV2".into()),
        target: Some("continuation-token".into()),
        times: usize::MAX,
        action: broken.clone(),
    });
    let answer = gateway.propfind("/d/", "1", "").await;
    assert_eq!(answer.status(), 207);
    assert!(answer.text().await.is_err(), "the body breaks off");
    gateway.hooks().heal();
    assert_eq!(gateway.hrefs("/d/", "1").await.len(), 1501);
    // The first page never comes: a status says so.
    bucket.put("e/unknown", "").await;
    gateway.hooks().always(broken);
    let answer = gateway.propfind("/e/", "1", "").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
}
