//! Chromium: a folder's page, with hostile names in it.

use std::path::{Path, PathBuf};

use super::run;
use crate::harness::TestGateway;
use crate::harness::clients::{CHROMIUM_FLAGS, Tools, needs};

/// Names that would do something if they were not escaped.
const HOSTILE: [&str; 6] = [
    "<script>document.title='pwned'<script>",
    "<img src=x onerror=document.title='pwned'>",
    "\"onmouseover=\"document.title='pwned'",
    "javascript:document.title='pwned'",
    "&lt;b&gt;&#x27;%3Cb%3E",
    "'><svg onload=document.title='pwned'>",
];

async fn chromium(tools: &Tools, profile: &Path, arguments: &[&str]) -> String {
    let mut command = tools.command("chromium");
    command.args(CHROMIUM_FLAGS).arg(format!("--user-data-dir={}", profile.display()));
    run(command.args(arguments)).await.unwrap_or_else(|problem| panic!("{problem}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_folders_and_no_name_does_harm() {
    let Some(tools) = needs(&["chromium"]) else { return };
    for gateway in TestGateway::both().await {
        gateway.status("MKCOL", "/holiday").await;
        gateway.status("MKCOL", "/holiday/beach").await;
        for (name, size) in [("a.jpg", 2_345_678), ("notes.txt", 12), ("gr\u{fc}\u{df}e \u{1f600}.md", 4_321)]
        {
            assert_eq!(gateway.put(&format!("/holiday/{}", encoded(name)), vec![b'x'; size]).await, 201);
        }
        for name in HOSTILE {
            assert_eq!(gateway.put(&format!("/holiday/{}", encoded(name)), "x").await, 201, "{name}");
        }
        let profile = tempfile::tempdir().unwrap();
        let url = format!("{}/holiday/", gateway.url);
        let page = chromium(&tools, profile.path(), &["--dump-dom", &url]).await;
        assert!(page.contains("<title>holiday – "), "a name did something:\n{page}");
        let rows = page.split_once("<tbody>").unwrap().1;
        let links = rows.split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        let links: Vec<String> = links.collect();
        assert_eq!((links.len(), links[0].as_str()), (1 + 3 + HOSTILE.len(), "beach/"), "{links:?}");
        for link in &links {
            assert_eq!(gateway.status("GET", &format!("/holiday/{link}")).await, 200, "{link}");
        }
        assert!(page.contains("2.3 MB") && page.contains(">beach<"), "{page}");
        let picture = picture();
        let screenshot = format!("--screenshot={}", picture.display());
        chromium(&tools, profile.path(), &[&screenshot, &url]).await;
        assert!(std::fs::metadata(&picture).unwrap().len() > 10_000, "the page is not blank");
    }
}

fn encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Where the screenshot goes, to be looked at.
fn picture() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("s3dav-folder.png")
}
