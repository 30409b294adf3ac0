//! The first hour: what a newcomer types, mistypes and is told.

use s3dav::embedded::Listable;
use tempfile::TempDir;

use crate::harness::process::{Process, command, outcome};
use crate::harness::{BUCKET, Bucket, client, embedded};

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_that_is_a_file_is_refused() {
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    bucket.put("notes/today.txt", "x").await;
    let state = tempfile::tempdir().unwrap();
    let at = ["--bucket", "bucket/notes/today.txt"];
    let mut refused = command(&["serve", "--endpoint-url", &s3.endpoint_url(), "--force-path-style"]);
    refused.args(at).args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(state.path().join("state"));
    let (code, _, error) = outcome(refused).await;
    let expected = "\"bucket/notes/today.txt\" is a file, not a folder";
    assert_eq!((code, error.contains(expected)), (1, true), "{error}");
    assert!(error.contains("hint: serve the folder that holds it: --bucket bucket/notes"), "{error}");
    // What is both is served as the folder.
    bucket.put("notes/today.txt/more", "x").await;
    let gateway = prefixed(&s3.endpoint_url(), &state, "bucket/notes/today.txt").await;
    assert_eq!(client().get(format!("{}/more", gateway.url)).send().await.unwrap().status(), 200);
    assert!(!gateway.said.lock().contains("nothing lies below"));
}

/// A gateway that serves what lies below a prefix.
async fn prefixed(endpoint: &str, state: &TempDir, bucket: &str) -> Process {
    let mut command = command(&[
        "serve",
        "--endpoint-url",
        endpoint,
        "--force-path-style",
        "--bucket",
        bucket,
        "--notify=off",
    ]);
    command.args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(state.path().join("state"));
    Process::serving(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_where_nothing_lies_is_told_of_with_those_that_may_be_meant() {
    let s3 = embedded().await;
    let endpoint = s3.endpoint_url();
    let bucket = Bucket::of(&endpoint, BUCKET).await;
    for key in ["2026/a", "2027/a", "photos/summer/a", "photos/winter/a", "empty/"] {
        bucket.put(key, "x").await;
    }
    for (prefix, message, hint) in [
        (
            "2099",
            "nothing lies below 2099/ yet; it begins with the first file",
            "did you mean bucket/2026 or bucket/2027?",
        ),
        ("photos/sumer", "nothing lies below photos/sumer/ yet", "did you mean bucket/photos/summer?"),
        ("elsewhere", "nothing lies below elsewhere/ yet", "check its spelling if files should be there"),
    ] {
        let state = tempfile::tempdir().unwrap();
        let gateway = prefixed(&endpoint, &state, &format!("bucket/{prefix}")).await;
        let said = gateway.said.lock().clone();
        let line = said.lines().find(|line| line.contains(" WARN ")).unwrap_or_default();
        assert!(line.contains(message) && line.contains(hint), "{said}");
        let put = client().put(format!("{}/first", gateway.url)).body("x").send().await.unwrap();
        assert_eq!(put.status(), 201, "{prefix}");
    }
    // A folder that is empty is there.
    let state = tempfile::tempdir().unwrap();
    let gateway = prefixed(&endpoint, &state, "bucket/empty").await;
    assert!(!gateway.said.lock().contains("nothing lies below"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_shows_one_folder_alone_keeps_nobody_from_serving_it() {
    let s3 = embedded().await;
    let own = Listable { prefix: "home/alice/*", delimiter: None };
    s3.hooks().change_quirks(|quirks| quirks.listable = Some(vec![own]));
    let state = tempfile::tempdir().unwrap();
    let gateway = prefixed(&s3.endpoint_url(), &state, "bucket/home/alice").await;
    assert!(gateway.said.lock().contains("nothing lies below home/alice/ yet"));
}
