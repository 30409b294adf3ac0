//! Empty segments: `/a//b` means `/a/b`, whoever asks and however.

use reqwest::Response;

use crate::finder::client::{Finder, LOCK, STAT};
use crate::harness::{BUCKET, TestGateway, config, embedded_with, xml};

async fn lock(gateway: &TestGateway, path: &str) -> Response {
    gateway.request("LOCK", path).header("Depth", "0").body(LOCK).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_takes_them_for_nothing() {
    for gateway in TestGateway::both().await {
        assert_eq!(gateway.status("MKCOL", "//a").await, 201);
        assert_eq!(gateway.status("MKCOL", "/a//").await, 405);
        assert_eq!(gateway.put("/a//f", "content").await, 201);
        assert_eq!(gateway.put("/a//f//", "content").await, 405, "a folder's path");
        for path in ["/a/f", "//a/f", "/a///f", "//a//f"] {
            assert_eq!(gateway.get(path).await, (200, "content".into()), "{path}");
            assert_eq!(gateway.status("HEAD", path).await, 200, "{path}");
        }
        assert_eq!(gateway.transfer("COPY", "/a//f", "//a///g").await, 201);
        assert_eq!(gateway.transfer("MOVE", "//a/g", "/a//h//").await, 201);
        assert_eq!(gateway.transfer("MOVE", "/a//h", "/a/h").await, 403, "onto itself");
        assert_eq!(gateway.transfer("MOVE", "//a", "/a//b").await, 409, "into itself");
        let relative = gateway.request("COPY", "/a/f").header("Destination", "//a//i");
        assert_eq!(relative.send().await.unwrap().status(), 201, "a path, not another host");
        assert_eq!(gateway.bucket().await.keys().await.iter().filter(|key| key.ends_with('f')).count(), 1);
        let patch = xml::set("<x xmlns=\"urn:x\">1</x>");
        let patched = gateway.request("PROPPATCH", "/a//f").body(patch).send().await.unwrap();
        assert_eq!(patched.status(), 207);
        assert_eq!(crate::harness::hrefs(&patched.text().await.unwrap()), ["/a//f"]);
        assert!(gateway.propfind("/a/f", "0", "").await.text().await.unwrap().contains("urn:x"));
        for gone in ["/a//f", "//a/h", "/a//i", "//a//"] {
            assert_eq!(gateway.status("DELETE", gone).await, 204, "{gone}");
        }
        assert!(gateway.bucket().await.keys().await.is_empty());
        assert_eq!(gateway.put("/a%2Fb", "x").await, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_those_of_the_path_without_them() {
    for gateway in TestGateway::both().await {
        gateway.status("MKCOL", "/a").await;
        gateway.put("/a/b", "old").await;
        let answer = lock(&gateway, "/a//b").await;
        assert_eq!(answer.status(), 200);
        let token = answer.headers()["lock-token"].to_str().unwrap().to_owned();
        for path in ["/a/b", "//a/b", "/a//b"] {
            assert_eq!(lock(&gateway, path).await.status(), 423, "{path}");
            assert_eq!(gateway.put(path, "new").await, 423, "{path}");
            assert_eq!(gateway.status("DELETE", path).await, 423, "{path}");
            assert_eq!(gateway.transfer("MOVE", path, "/c").await, 423, "{path}");
            let found = gateway.propfind(path, "0", "").await.text().await.unwrap();
            assert!(found.contains("opaquelocktoken:") || found.contains("urn:uuid:"), "{path}: {found}");
        }
        for (path, tag) in [("/a//b", ""), ("/a/b", "/a//b"), ("//a/b", "//a/b")] {
            let tag = if tag.is_empty() { String::new() } else { format!("<{}{tag}> ", gateway.url) };
            let put = gateway.request("PUT", path).header("If", format!("{tag}({token})")).body(tag.clone());
            assert_eq!(put.send().await.unwrap().status(), 204, "{path} with {tag:?}");
        }
        let unlock = gateway.request("UNLOCK", "//a//b").header("Lock-Token", &token);
        assert_eq!(unlock.send().await.unwrap().status(), 204);
        assert_eq!(gateway.status("DELETE", "/a/b").await, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_protected_stays_so() {
    let s3 = embedded_with(&[BUCKET, "two"]).await;
    let state = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let (endpoint, for_config) = (s3.endpoint_url(), std::sync::Arc::clone(&state));
    let gateway =
        TestGateway::start_on(s3, state, |c| *c = config(&endpoint, &[BUCKET, "two"], &for_config)).await;
    let bucket = gateway.bucket().await;
    bucket.put("a/b", "x").await;
    for path in ["//", "///", "/bucket//", "//bucket", "//bucket//"] {
        assert_eq!(gateway.status("DELETE", path).await, 403, "{path}");
        assert_eq!(gateway.transfer("MOVE", path, "/two/x").await, 403, "{path}");
        let plain = if path.trim_matches('/').is_empty() { "/" } else { "/bucket/" };
        let refused = gateway.transfer("COPY", "/bucket/a", plain).await;
        assert!(matches!(refused, 403 | 409), "{refused}");
        assert_eq!(gateway.transfer("COPY", "/bucket/a", path).await, refused, "{path}");
    }
    for path in ["//new", "/new//"] {
        assert_eq!(gateway.status("MKCOL", path).await, 403, "{path}");
    }
    for path in ["//.s3dav/x", "/.s3dav//x", "//.s3dav//x"] {
        assert_eq!(gateway.put(path, "x").await, 403, "{path}");
        assert_eq!(
            gateway.status("DELETE", path).await,
            gateway.status("DELETE", "/.s3dav/x").await,
            "{path}"
        );
        assert_eq!(gateway.transfer("COPY", "/bucket/a/b", path).await, 403, "{path}");
        assert_eq!(gateway.status("GET", path).await, 404, "{path}");
    }
    assert_eq!(gateway.get("//.s3dav//health").await, (200, "ok\n".into()));
    assert_eq!(gateway.put("//.s3dav/health", "x").await, 405);
    assert_eq!(gateway.put("/.s3dav//metrics", "x").await, 405);
    assert_eq!(bucket.keys().await, ["a/b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hrefs_are_in_the_clients_own_spelling() {
    for gateway in TestGateway::both().await {
        let bucket = gateway.bucket().await;
        bucket.put("a/b/\u{e9} x", "1").await;
        let url = &gateway.url;
        let cases = [
            ("/a//b/", "/a//b/".to_owned()),
            ("/a//b", "/a//b/".to_owned()),
            ("/a/b//", "/a/b//".to_owned()),
            // Without a host, `a` would be one.
            ("//a/b", format!("{url}//a/b/")),
            ("///a//b//", format!("{url}///a//b//")),
        ];
        for (asked, own) in cases {
            assert_eq!(gateway.hrefs(asked, "1").await, [own.clone(), format!("{own}%C3%A9%20x")], "{asked}");
            assert_eq!(gateway.hrefs(asked, "0").await, [own], "{asked}");
        }
        assert_eq!(gateway.hrefs("/a//b/e%CC%81%20x", "0").await, ["/a//b/e%CC%81%20x"]);
        assert_eq!(gateway.hrefs("//", "1").await, [format!("{url}//"), format!("{url}//a/")]);
        let page = gateway.request("GET", "//a//").send().await.unwrap();
        assert!(page.headers().get("location").is_none());
        let page = page.text().await.unwrap();
        assert!(page.contains("href=\"b/\"") && !page.contains("href=\"/"), "{page}");
        for method in ["GET", "HEAD", "MKCOL", "LOCK", "PROPFIND"] {
            let answer = gateway.request(method, "//a").send().await.unwrap();
            for name in ["location", "content-location"] {
                let leads = answer.headers().get(name).map(|to| to.to_str().unwrap());
                assert!(leads.is_none_or(|to| !to.starts_with("//")), "{method}: {leads:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shelf_and_held_files_are_those_of_the_path_without_them() {
    for gateway in TestGateway::both().await {
        let finder = Finder::of(&gateway);
        gateway.status("MKCOL", "/d").await;
        assert_eq!(finder.request("PUT", "//d//._f").body("tags").send().await.unwrap().status(), 201);
        assert_eq!(finder.get("/d/._f").await, (200, "tags".into()));
        assert_eq!(finder.status("PUT", "/d//f").await, 201);
        let listed = finder.propfind("//d", "1", STAT).send().await.unwrap().text().await.unwrap();
        assert!(listed.contains(&format!("<D:href>{}//d/f</D:href>", gateway.url)), "{listed}");
        let token = finder.lock("//d/f").await;
        assert_eq!(finder.put("/d//f", &token, "content").await, 204);
        assert_eq!(finder.unlock("/d/f", &token).await, 204);
        assert_eq!(gateway.bucket().await.get("d/f").await.unwrap(), "content");
    }
}
