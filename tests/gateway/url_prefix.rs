//! Behind a reverse proxy that shows the gateway below a path.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::{RequestBuilder, Url};
use tempfile::tempdir;

use crate::finder::client::LOCK;
use crate::harness::front::Front;
use crate::harness::process::{command, outcome};
use crate::harness::{Behind, TestGateway, embedded, hrefs, xml};

/// Where the proxy shows it.
const SHOWN: &str = "/proxy/8330/";

/// The links of a page to folders and files, as its address makes them whole.
fn links(page: &str, at: &Url) -> Vec<Url> {
    let between = |begin: &str, end: &str| {
        page.split_once(begin).map_or("", |(_, rest)| rest.split_once(end).unwrap().0)
    };
    let parts = [between("<nav", "</nav>"), between("<tbody>", "</tbody>")].concat();
    let links = parts.split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    links.map(|link| at.join(link).unwrap()).collect()
}

/// The page at an address, after all redirects of a browser: where it was found, and its links.
async fn visit(gateway: &TestGateway, at: &str) -> (Url, Vec<Url>) {
    let mut at: Url = at.parse().unwrap();
    loop {
        let asked = gateway.client.get(at.clone()).header("accept", "text/html");
        let answer = asked.send().await.unwrap();
        if answer.status() == 301 {
            at = at.join(answer.headers()["location"].to_str().unwrap()).unwrap();
            continue;
        }
        assert_eq!(answer.status(), 200, "{at}");
        let links = links(&answer.text().await.unwrap(), &at);
        return (at, links);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_need_no_option_behind_a_proxy_that_strips_the_prefix() {
    for gateway in TestGateway::both().await {
        let bucket = gateway.bucket().await;
        for key in ["d/e/file", "d/a:b \u{e9}?#", "d/100%25"] {
            bucket.put(key, "content").await;
        }
        let front = Front::start(gateway.address().parse().unwrap(), SHOWN, true).await;
        let shown = |path: &str| format!("{}{path}", front.url);
        for asked in ["d/", "d"] {
            let (at, links) = visit(&gateway, &shown(asked)).await;
            assert_eq!(at.as_str(), shown("d/"));
            let expected = ["", "d/e/", "d/100%2525", "d/a%3Ab%20%C3%A9%3F%23"].map(shown);
            assert_eq!(links.iter().map(Url::as_str).collect::<Vec<_>>(), expected);
            for link in links {
                assert_eq!(gateway.client.get(link.clone()).send().await.unwrap().status(), 200, "{link}");
            }
        }
        let (at, links) = visit(&gateway, &shown("d/e")).await;
        assert_eq!(at.as_str(), shown("d/e/"));
        assert_eq!(
            links.iter().map(Url::as_str).collect::<Vec<_>>(),
            [shown(""), shown("d/"), shown("d/e/file")]
        );
        let (at, links) = visit(&gateway, &shown("d/e?sort=size&order=asc")).await;
        assert_eq!(at.as_str(), shown("d/e/?sort=size&order=asc"));
        assert_eq!(links[2].as_str(), shown("d/e/file"));
    }
}

/// Gateways of each kind with the option, each behind a proxy that strips it and behind one that does not.
async fn shown() -> Vec<(TestGateway, Front)> {
    let mut all = Vec::new();
    for strips in [true, false] {
        for behind in [Behind::S3(embedded().await), Behind::Directory(Arc::new(tempdir().unwrap()))] {
            let gateway = TestGateway::start_behind(behind, Arc::new(tempdir().unwrap()), |config| {
                config.service.url_prefix = SHOWN.parse().unwrap();
            })
            .await;
            assert!(format!("{}/", gateway.url).ends_with(SHOWN), "{}", gateway.url);
            let bucket = gateway.bucket().await;
            for key in ["d/e/file", "d/\u{e9} &x", "proxy/8330/deep"] {
                bucket.put(key, "content").await;
            }
            let address = gateway.url.trim_start_matches("http://").trim_end_matches("/proxy/8330");
            let front = Front::start(address.parse().unwrap(), SHOWN, strips).await;
            all.push((gateway, front));
        }
    }
    all
}

/// A request to a path below what is shown.
fn request(gateway: &TestGateway, front: &Front, method: &str, path: &str) -> RequestBuilder {
    gateway.client.request(method.parse().unwrap(), format!("{}{path}", front.url))
}

async fn text(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_in_an_answer_has_the_prefix() {
    for (gateway, front) in shown().await {
        let list = |path: &str| text(request(&gateway, &front, "PROPFIND", path).header("Depth", "1"));
        for (asked, expected) in [
            ("", &["", "d/", "proxy/"][..]),
            ("d/", &["d/", "d/%C3%A9%20%26x", "d/e/"]),
            ("d", &["d/", "d/%C3%A9%20%26x", "d/e/"]),
            ("d//e/", &["d//e/", "d//e/file"]),
            // What is named as the prefix leads to the root where it is stripped: nobody is led there.
            ("proxy/", &["proxy/"]),
        ] {
            let (status, listed) = list(asked).await;
            assert_eq!(status, 207, "{asked}: {listed}");
            let expected: BTreeSet<String> = expected.iter().map(|path| format!("{SHOWN}{path}")).collect();
            assert_eq!(hrefs(&listed).into_iter().collect::<BTreeSet<_>>(), expected, "{asked}");
        }
        let patch = xml::set("<x xmlns=\"urn:x\">1</x>");
        for path in ["d/e/file", "d//e/file"] {
            let (_, patched) = text(request(&gateway, &front, "PROPPATCH", path).body(patch.clone())).await;
            assert_eq!(hrefs(&patched), [format!("{SHOWN}{path}")]);
        }
        let (at, links) = visit(&gateway, &format!("{}d", front.url)).await;
        assert_eq!(at.as_str(), format!("{}d/", front.url));
        for link in links {
            assert_eq!(gateway.client.get(link.clone()).send().await.unwrap().status(), 200, "{link}");
        }
        let (_, links) = visit(&gateway, &format!("{}proxy/", front.url)).await;
        assert_eq!(links.iter().map(Url::as_str).collect::<Vec<_>>(), [&front.url]);
        // A program that asks without the slash gets links that are right wherever it thinks that it is.
        let (_, page) = text(request(&gateway, &front, "GET", "d")).await;
        assert!(page.contains("href=\"/proxy/8330/d/e/\""), "{page}");
        let (status, health) = text(request(&gateway, &front, "GET", ".s3dav/health")).await;
        assert_eq!((status, health.as_str()), (200, "ok\n"));
        // Without its last slash it is the root, too.
        let bare = front.url.trim_end_matches('/');
        let (at, _) = visit(&gateway, bare).await;
        // One that strips it leaves nothing to tell the two apart by.
        assert_eq!(at.as_str(), if front.strips { bare } else { &front.url });
        let asked = gateway.client.request("PROPFIND".parse().unwrap(), bare).header("Depth", "0");
        assert_eq!(hrefs(&text(asked).await.1), [SHOWN]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_and_locks_are_named_with_the_prefix_or_without_it() {
    for (gateway, front) in shown().await {
        let origin = front.url.trim_end_matches(SHOWN).to_owned();
        let transfer = |method: &str, from: &str, to: String| {
            text(request(&gateway, &front, method, from).header("Destination", to))
        };
        for (from, to) in [
            ("d/e/file", format!("{}d/e/moved", front.url)),
            ("d/e/moved", format!("{SHOWN}d/e/again")),
            ("d/e/again", format!("{origin}/d/e/bare")),
            ("d/e/bare", "relative".to_owned()),
            ("d/e/relative", "../up".to_owned()),
        ] {
            let moved = transfer("MOVE", from, to.clone()).await;
            assert_eq!(moved.0, 201, "{from} {to} {moved:?}");
        }
        assert_eq!(
            transfer("MOVE", "d/up", "../../out".to_owned()).await.0,
            400,
            "it leads out of what is shown"
        );
        assert_eq!(transfer("MOVE", "d/up", front.url.clone()).await.0, 403, "the root");
        assert_eq!(transfer("MOVE", "d/e", format!("{}d/e/f", front.url)).await.0, 409, "into itself");
        assert_eq!(transfer("COPY", "d/", format!("{}d2/", front.url)).await.0, 201);
        let keys = gateway.bucket().await.keys().await;
        let expected = ["d/e/", "d/up", "d/\u{e9} &x", "d2/e/", "d2/up", "d2/\u{e9} &x", "proxy/8330/deep"];
        assert_eq!(keys.iter().filter(|key| !key.ends_with('/')).count(), 5, "{keys:?}");
        assert!(keys.iter().all(|key| expected.contains(&key.as_str())), "{keys:?}");

        let lock =
            request(&gateway, &front, "LOCK", "d/up").header("Depth", "0").body(LOCK).send().await.unwrap();
        assert_eq!(lock.status(), 200);
        let token = lock.headers()["lock-token"].to_str().unwrap().to_owned();
        let answer = lock.text().await.unwrap();
        assert!(answer.contains(&format!("<D:href>{SHOWN}d/up</D:href>")), "{answer}");
        let (_, found) = text(request(&gateway, &front, "PROPFIND", "d/up").header("Depth", "0")).await;
        let shown = format!("<D:lockroot><D:href>{SHOWN}d/up</D:href></D:lockroot>");
        assert!(found.contains(&shown), "{found}");
        let put = |tag: String| {
            request(&gateway, &front, "PUT", "d/up")
                .header("If", format!("{tag}({token})"))
                .body("new")
                .send()
        };
        assert_eq!(
            gateway.client.put(format!("{}d/up", front.url)).body("x").send().await.unwrap().status(),
            423
        );
        for tag in [
            format!("<{}d/up> ", front.url),
            format!("<{SHOWN}d/up> "),
            format!("<{origin}/d/up> "),
            String::new(),
        ] {
            assert_eq!(put(tag.clone()).await.unwrap().status(), 204, "{tag}");
        }
        let wrong = put(format!("<{}d/other> ", front.url)).await.unwrap().status();
        assert_eq!(wrong, 412, "it is not locked by that");
        let unlock = request(&gateway, &front, "UNLOCK", "d/up").header("Lock-Token", &token);
        assert_eq!(unlock.send().await.unwrap().status(), 204);
        // The lock of a folder is shown by what lies in it.
        let lock =
            request(&gateway, &front, "LOCK", "d/").header("Depth", "infinity").body(LOCK).send().await;
        assert_eq!(lock.unwrap().status(), 200);
        let (_, found) = text(request(&gateway, &front, "PROPFIND", "d/up").header("Depth", "0")).await;
        let shown = format!("<D:lockroot><D:href>{SHOWN}d/</D:href></D:lockroot>");
        assert!(found.contains(&shown), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_others_are_led_to_nothing_of_the_gateways_own() {
    for (gateway, front) in shown().await {
        let followed = |path: &str| {
            let asked = request(&gateway, &front, "GET", path).header("sec-fetch-site", "cross-site");
            let asked = asked.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
            text(asked)
        };
        assert_eq!(followed("d/").await.0, 200);
        assert_eq!(followed(".s3dav/metrics").await.0, 403);
        for (method, path) in [("PUT", ".s3dav/x"), ("MKCOL", ".s3dav/x/")] {
            assert_eq!(text(request(&gateway, &front, method, path)).await.0, 403, "{method}");
        }
    }
}

#[tokio::test]
async fn a_prefix_that_is_none_is_refused() {
    let mut command = command(&["serve", "--path", ".", "--url-prefix", "/a/../b/"]);
    command.args(["--listen", "127.0.0.1:0"]);
    let (code, _, said) = outcome(command).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("--url-prefix: \"/a/../b/\" is not the path below which a proxy"), "{said}");
    assert!(said.contains("hint: write it as the proxy shows it"), "{said}");
}
