//! Pages for people: a folder, and why something is not shown.

use std::time::{Duration, Instant};

use reqwest::Response;
use s3dav::embedded::Action;
use s3dav::http::auth::{Access, Credentials};
use serde_json::json;

use crate::harness::TestGateway;
use crate::harness::browser::Browser;
use crate::harness::clients::needs;
use crate::harness::process::{Process, command};

/// What a browser sends with each address that is typed.
const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

async fn visit(gateway: &TestGateway, path: &str) -> Response {
    gateway.request("GET", path).header(BROWSER.0, BROWSER.1).send().await.unwrap()
}

async fn page(gateway: &TestGateway, path: &str) -> String {
    let answer = visit(gateway, path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.unwrap()
}

/// The names in the order of the page.
fn names(page: &str) -> Vec<&str> {
    let rows = page.split_once("<tbody>").map_or("", |(_, rows)| rows);
    rows.split("<bdi>").skip(1).map(|rest| rest.split('<').next().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_sorted_as_people_read_it_or_as_they_ask() {
    for gateway in TestGateway::both().await {
        let bucket = gateway.bucket().await;
        for (name, size) in [("Zebra", 30), ("apple", 10), ("IMG_10", 50), ("IMG_9", 40), ("\u{c4}rger", 20)]
        {
            bucket.put(&format!("d/{name}"), &"x".repeat(size)).await;
        }
        bucket.put("d/Music/x", "").await;
        let sorted = async |query: &str| {
            let page = page(&gateway, &format!("/d/{query}")).await;
            names(&page).join(" ")
        };
        let by_name = "Music apple \u{c4}rger IMG_9 IMG_10 Zebra";
        assert_eq!(sorted("").await, by_name);
        assert_eq!(sorted("?sort=colour&order=up").await, by_name, "it is ignored");
        assert_eq!(sorted("?sort=name&order=desc").await, "Music Zebra IMG_10 IMG_9 \u{c4}rger apple");
        assert_eq!(sorted("?sort=size&order=asc").await, "Music apple \u{c4}rger Zebra IMG_9 IMG_10");
        assert_eq!(sorted("?sort=size").await, "Music IMG_10 IMG_9 Zebra \u{c4}rger apple");
        let page = page(&gateway, "/d/?sort=size&order=asc").await;
        assert!(page.contains("1 folder, 5 files, 150 bytes"), "{page}");
        assert!(page.contains("<a href=\"Music/?sort=size&#38;order=asc\">"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_dates_that_are_kept_are_shown() {
    for gateway in TestGateway::both().await {
        gateway.bucket().await.put("folder/file", "x").await;
        let root = page(&gateway, "/").await;
        let dates = usize::from(!gateway.is_bucket());
        assert_eq!(root.matches("<time datetime=\"20").count(), dates, "{root}");
        let folder = page(&gateway, "/folder/").await;
        assert_eq!(folder.matches("<time datetime=\"20").count(), 1, "{folder}");
        assert_eq!(folder.matches("Times: ").count(), 1, "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_says_so() {
    for gateway in TestGateway::both().await {
        assert!(page(&gateway, "/").await.contains("Nothing is here yet"));
        gateway.status("MKCOL", "/d").await;
        let page = page(&gateway, "/d/").await;
        assert!(page.contains("This folder is empty"), "{page}");
        let expected = if gateway.is_bucket() { "<title>bucket – d</title>" } else { " – d</title>" };
        assert!(page.contains(expected), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_cut_says_so() {
    let gateway = TestGateway::on_a_path().await;
    for number in 0..10_001 {
        std::fs::File::create(gateway.directory().join(number.to_string())).unwrap();
    }
    let page = page(&gateway, "/").await;
    assert_eq!(names(&page).len(), 10_000);
    assert!(page.contains("More than 10,000 entries are in this folder."), "{}", &page[..4000]);
}

/// What a program gets that asks the same.
async fn plain(gateway: &TestGateway, path: &str) -> (u16, Option<String>, String) {
    let answer = gateway.request("GET", path).header("accept", "*/*").send().await.unwrap();
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    (answer.status().as_u16(), kind, answer.text().await.unwrap())
}

async fn refused(gateway: &TestGateway, path: &str, status: u16, said: &[&str]) {
    let answer = visit(gateway, path).await;
    assert_eq!(answer.status(), status, "{path}");
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    let policy = answer.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let page = answer.text().await.unwrap();
    for said in said.iter().chain(&[&*status.to_string()]) {
        assert!(page.contains(said), "{said}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_page_for_people_and_a_text_for_programs() {
    for gateway in TestGateway::both().await {
        gateway.bucket().await.put("d/file", "x").await;
        refused(&gateway, "/d/missing", 404, &["There is nothing", "href=\"./\""]).await;
        refused(&gateway, "/missing/", 404, &["There is nothing", "href=\"../\""]).await;
        assert_eq!(plain(&gateway, "/d/missing").await, (404, None, String::new()));
        refused(&gateway, "/%zz", 400, &["The path holds a broken percent escape."]).await;
        let told = "the path holds a broken percent escape\n".to_owned();
        assert_eq!(plain(&gateway, "/%zz").await, (400, Some("text/plain; charset=utf-8".to_owned()), told));
        let foreign =
            gateway.request("GET", "/d/").header("host", "example.com").header(BROWSER.0, BROWSER.1);
        let foreign = foreign.send().await.unwrap();
        assert_eq!(foreign.status(), 403);
        let page = foreign.text().await.unwrap();
        assert!(page.contains("allow it with --allowed-host") && !page.contains("bucket"), "{page}");
        // The answer of another method is a program's.
        let put = gateway.request("MKCOL", "/d").header(BROWSER.0, BROWSER.1).send().await.unwrap();
        assert!(put.status() == 405 && !put.text().await.unwrap().contains("<html"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_known_is_told_how_to_come_in() {
    let gateway = TestGateway::start_with(|config| {
        config.access = Access::Password(Some(Credentials::new("me", "secret")));
    })
    .await;
    let answer = visit(&gateway, "/").await;
    assert_eq!(answer.status(), 401);
    assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    let page = answer.text().await.unwrap();
    assert!(
        page.contains("Sign in") && page.contains("--show-password") && !page.contains("bucket"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_not_kept_waiting_for_a_store_that_is_away() {
    let gateway = TestGateway::start().await;
    gateway.hooks().always(Action::Fail { status: 503, code: "ServiceUnavailable", message: "" });
    let begun = Instant::now();
    let answer = visit(&gateway, "/d/").await;
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "programs are waited for longer: {:?}",
        begun.elapsed()
    );
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    let page = answer.text().await.unwrap();
    for said in ["Not available right now", "Check the network", "http-equiv=\"refresh\" content=\"5\""] {
        assert!(page.contains(said), "{said}: {page}");
    }
    gateway.hooks().heal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_pages_as_they_are_meant() {
    let Some(tools) = needs(&["chromium"]) else { return };
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    let long = "a-name-that-has-no-place-to-break-it-".repeat(5);
    for key in ["Photos/2026/x", "Photos/IMG_9.jpg", "Photos/IMG_10.jpg", &format!("Photos/{long}.pdf")] {
        bucket.put(key, "content").await;
    }
    let mut browser = Browser::start(&tools).await;
    browser.call("Page.enable", json!({})).await;
    browser.resize(1200, 800).await;
    browser.open(&format!("{}/Photos/", gateway.url)).await;
    let shown = "[document.title, document.querySelector('h1').textContent, document.documentElement.lang, \
         document.querySelector('nav a').href, getComputedStyle(document.querySelector('table')).borderCollapse]";
    let expected = json!(["bucket – Photos", "Photos", "en", format!("{}/", gateway.url), "collapse"]);
    assert_eq!(browser.value(shown).await, expected, "with its style, which the policy allows");
    // Its own requests: the page alone, no icon that is not there.
    let asked = browser.value("performance.getEntriesByType('resource').map(entry => entry.name)").await;
    assert_eq!(
        asked.as_array().unwrap().iter().filter(|at| !at.as_str().unwrap().starts_with("data:")).count(),
        0
    );
    browser.click("document.querySelector('thead .size a')", 1).await;
    browser.until("location.search === '?sort=size&order=desc'").await;
    let is_sorted = "document.querySelector('th.size')?.getAttribute('aria-sort') === 'descending'";
    browser.until(&format!("document.readyState === 'complete' && {is_sorted}")).await;
    // A phone.
    browser.resize(390, 800).await;
    // It is laid out anew in a moment.
    browser.until("document.documentElement.scrollWidth <= 390").await;
    let small = "[...document.querySelectorAll('tbody tr, thead a, nav a')] \
         .filter(e => e.getBoundingClientRect().height < 44).length === 0";
    // What a finger can hit.
    browser.until(small).await;
    // The size is below the name.
    let lines = "(row => row.querySelector('td.size').getBoundingClientRect().top \
         >= row.querySelector('th').getBoundingClientRect().bottom)(document.querySelector('tbody tr:last-child'))";
    browser.until(lines).await;
    // In the dark.
    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.call("Emulation.setEmulatedMedia", dark).await;
    browser.until("getComputedStyle(document.body).backgroundColor === 'rgb(20, 24, 31)'").await;
    // Without scripts it is the same page.
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    browser.call("Page.reload", json!({})).await;
    browser.until("document.querySelectorAll('tbody tr').length === 4").await;
}

/// What the documentation shows is what a demo shows.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_worth_a_picture() {
    let Some(tools) = needs(&["chromium"]) else { return };
    let home = tempfile::tempdir().unwrap();
    let mut demo = command(&["demo", "--listen", "127.0.0.1:0"]);
    demo.env("XDG_STATE_HOME", home.path()).env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3");
    let mut demo = Process::demo(demo).await;
    let mut browser = Browser::start(&tools).await;
    browser.resize(1000, 470).await;
    browser.open(&format!("{}/Pictures/", demo.url)).await;
    browser.until("document.querySelector('footer').textContent.includes('Times: CE')").await;
    browser.document("browser.png", 100_000).await;
    demo.signal("INT").await;
    assert!(demo.child.wait().await.unwrap().success());
}
