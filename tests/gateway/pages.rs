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
        let root = if gateway.is_bucket() {
            "bucket"
        } else {
            // Of its path, the last part.
            gateway.directory().file_name().unwrap().to_str().unwrap()
        };
        assert!(page.contains(&format!("<title>d – {root}</title>")), "{page}");
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
        let named = ["There is nothing called “missing” here", "\"./\">The folder above<", "\"../\">Home<"];
        refused(&gateway, "/d/missing", 404, &named).await;
        refused(&gateway, "/missing/", 404, &["There is nothing", "\"../\">Home<"]).await;
        assert_eq!(plain(&gateway, "/d/missing").await, (404, None, String::new()));
        let broken = ["The path holds a broken percent escape.", "\"./\">Home<"];
        refused(&gateway, "/%zz", 400, &broken).await;
        let told = "the path holds a broken percent escape\n".to_owned();
        assert_eq!(plain(&gateway, "/%zz").await, (400, Some("text/plain; charset=utf-8".to_owned()), told));
        let foreign =
            gateway.request("GET", "/d/").header("host", "example.com").header(BROWSER.0, BROWSER.1);
        let foreign = foreign.send().await.unwrap();
        assert_eq!(foreign.status(), 403);
        let page = foreign.text().await.unwrap();
        assert!(page.contains("allow it with --allowed-host") && !page.contains("bucket"), "{page}");
        assert!(page.contains("\"../\">Home<"), "{page}");
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
    let expected = json!(["Photos – bucket", "Photos", "en", format!("{}/", gateway.url), "collapse"]);
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

#[tokio::test(flavor = "multi_thread")]
async fn the_way_home_ends_below_the_prefix() {
    // Its address has the prefix.
    let gateway =
        TestGateway::start_with(|config| config.service.url_prefix = "/proxy/1/".parse().unwrap()).await;
    refused(&gateway, "/a/b", 404, &["\"./\">The folder above<", "\"../\">Home<"]).await;
    refused(&gateway, "/a", 404, &["\"./\">Home<"]).await;
}

/// What people would otherwise have to find out.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_a_link_and_heads_stay_in_sight() {
    let Some(tools) = needs(&["chromium"]) else { return };
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for number in 0..60 {
        bucket.put(&format!("a/b/c/{number:02}.txt"), "content").await;
    }
    bucket.put("a/b/c/folder/x", "").await;
    let mut browser = Browser::start(&tools).await;
    browser.call("Page.enable", json!({})).await;
    browser.resize(1200, 600).await;
    browser.open(&format!("{}/a/b/c/", gateway.url)).await;
    // Whatever of a row is hit is its link, the first and the last cell of it alike.
    let at = "(element, x) => { const box = element.getBoundingClientRect(); \
         return document.elementFromPoint(box.x + box.width * x, box.y + box.height / 2)?.closest('a')?.textContent; }";
    let hit = format!(
        "[...document.querySelectorAll('tbody tr')].slice(0, 5).flatMap(row => [0.01, 0.5, 0.99].map(x => ({at})(row, x)))"
    );
    let rows = ["folder", "00.txt", "01.txt", "02.txt", "03.txt"];
    let thrice: Vec<_> = rows.iter().flat_map(|row| [row; 3]).collect();
    assert_eq!(browser.value(&hit).await, json!(thrice));
    // The whole cell of a head as well, but for the one that sorts nothing.
    let heads = format!(
        "[...document.querySelectorAll('thead th')].map(head => [0.02, 0.98].map(x => ({at})(head, x) ?? null))"
    );
    let expected = json!([["Name", "Name"], [null, null], ["Size", "Size"], ["Modified", "Modified"]]);
    assert_eq!(browser.value(&heads).await, expected);
    let drawn = "[...document.querySelectorAll('thead th')].map(head => \
         getComputedStyle(head.querySelector('a') ?? head, head.querySelector('a') ? '::after' : null).content)";
    let arrows = json!([
        "\"\u{2191}\" / \"\"",
        "normal",
        "\"\u{2195}\u{fe0e}\" / \"\"",
        "\"\u{2195}\u{fe0e}\" / \"\""
    ]);
    assert_eq!(browser.value(drawn).await, arrows);
    let colours = "(style => new Set([style('thead .kind'), style('thead .size a'), style('thead .name a')]).size)\
         (at => getComputedStyle(document.querySelector(at)).color)";
    assert_eq!(browser.value(colours).await, json!(3), "what is sorted, can be and cannot be");
    // Readers are told names alone.
    browser.call("Accessibility.enable", json!({})).await;
    let tree = browser.call("Accessibility.getFullAXTree", json!({})).await;
    let read: Vec<_> = tree["nodes"].as_array().unwrap().iter().map(|node| &node["name"]["value"]).collect();
    assert!(read.contains(&&json!("Modified")) && read.contains(&&json!("not known")));
    // The dash of the title is a word of it.
    let is_drawn = |name: &str| name == "–" || name.contains(['\u{2191}', '\u{2195}']);
    assert!(!read.iter().any(|name| name.as_str().is_some_and(is_drawn)), "{read:?}");
    // Below the top, also on a phone and in the dark: rows do not show through.
    for (width, theme) in [(1200, "light"), (1200, "dark"), (390, "light")] {
        browser.resize(width, 600).await;
        let theme = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        browser.call("Emulation.setEmulatedMedia", theme).await;
        browser.value("window.scrollTo(0, 900)").await;
        browser.until(&format!("innerWidth === {width} && scrollY > 800")).await;
        browser
            .until("document.querySelector('thead').querySelector('th').getBoundingClientRect().top === 0")
            .await;
        let opaque = "['thead', 'thead th'].some(at => \
             getComputedStyle(document.querySelector(at)).backgroundColor === getComputedStyle(document.body).backgroundColor)";
        browser.until(opaque).await;
        let on_top = format!("({at})(document.querySelector('thead .name'), 0.1) === 'Name'");
        browser.until(&on_top).await;
    }
    // A text is what it was.
    browser.resize(1200, 600).await;
    gateway.put("/note.txt", "caf\u{e9}").await;
    browser.open(&format!("{}/note.txt", gateway.url)).await;
    assert_eq!(browser.value("document.body.textContent").await, json!("caf\u{e9}"));
}

/// Every width is one that somebody has.
#[tokio::test(flavor = "multi_thread")]
async fn names_have_room_and_columns_their_places() {
    let Some(tools) = needs(&["chromium"]) else { return };
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for key in ["short/a.txt", "long/A presentation of all that we have.pptx", "long/b.tar.gz", "a/b/c/d/e/x"]
    {
        bucket.put(key, "content").await;
    }
    let mut browser = Browser::start(&tools).await;
    browser.call("Page.enable", json!({})).await;
    let mut columns = Vec::new();
    for folder in ["short", "long"] {
        browser.resize(1200, 800).await;
        browser.open(&format!("{}/{folder}/", gateway.url)).await;
        columns.push(
            browser
                .value(
                    "[...document.querySelectorAll('thead th')].map(head => head.getBoundingClientRect().x)",
                )
                .await,
        );
        // Headings begin where the table's texts do.
        let texts = "(at => { const range = document.createRange(); return ['h1', 'nav a', 'thead a'].map(name => { \
             range.selectNodeContents(document.querySelector(name)); return range.getBoundingClientRect().x; }); })()";
        let texts = browser.value(texts).await;
        assert!(texts.as_array().unwrap().iter().all(|x| *x == texts[0]), "{texts}");
        for width in [701, 800, 801, 960, 961, 1200] {
            browser.resize(width, 800).await;
            browser.until(&format!("innerWidth === {width}")).await;
            let share = "document.querySelector('thead .name').getBoundingClientRect().width \
                 / document.querySelector('table').getBoundingClientRect().width";
            browser
                .until(&format!("{share} >= 0.5 && document.documentElement.scrollWidth <= {width}"))
                .await;
            let kind = "getComputedStyle(document.querySelector('thead .kind')).display === 'none'";
            browser.until(&format!("({kind}) === {}", width <= 960)).await;
            // A head takes one line, and nothing runs over its cell.
            browser.until("document.querySelector('thead').getBoundingClientRect().height < 40").await;
            let whole = "[...document.querySelectorAll('thead th, td, bdi')].every(cell => cell.scrollWidth <= cell.clientWidth + 1)";
            browser.until(whole).await;
        }
    }
    assert_eq!(columns[0], columns[1]);
    assert_eq!(
        browser.value("getComputedStyle(document.documentElement).scrollbarGutter").await,
        json!("stable")
    );
    // A phone: crumbs take one line, without an end that leads nowhere.
    browser.resize(390, 800).await;
    browser.open(&format!("{}/a/b/c/d/e/", gateway.url)).await;
    browser.until("document.querySelector('nav ol').getBoundingClientRect().height <= 32").await;
    let last = "getComputedStyle(document.querySelector('nav li:last-child'), '::after').content";
    assert_eq!(browser.value(last).await, json!("none"));
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
