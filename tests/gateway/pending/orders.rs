//! `s3dav pending`, with a gateway and without.

use tempfile::TempDir;

use crate::finder::client::Finder;
use crate::harness::door::Door;
use crate::harness::process::{Process, command, outcome, send_signal};
use crate::harness::{BUCKET, Bucket, embedded, eventually};

async fn pending(state: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    let mut pending = command(&["pending"]);
    pending.args(arguments).arg("--state-dir").arg(state.path().join("state"));
    outcome(pending).await
}

async fn serve(door: &Door, state: &TempDir) -> Process {
    let mut serve = command(&["serve", "--bucket", BUCKET, "--force-path-style", "--listen", "127.0.0.1:0"]);
    serve.args(["--endpoint-url", &format!("http://{}", door.address)]);
    serve.args(["--on-outage", "keep", "--store-patience", "300ms", "--state-dir"]);
    serve.arg(state.path().join("state"));
    Process::serving(serve).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pending_is_listed_written_elsewhere_and_given_up() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let (bucket, mut door) =
        (Bucket::of(&s3.endpoint_url(), BUCKET).await, Door::before(&s3.endpoint_url()).await);
    bucket.put("d/doc", "old").await;
    bucket.put("d/gone", "x").await;
    bucket.put("d/first", "x").await;
    let mut gateway = serve(&door, &state).await;
    let mac = Finder::at(&gateway.url);
    assert_eq!((mac.list("/d/").await.len(), mac.get("/d/doc").await.0), (4, 200));
    assert_eq!(pending(&state, &[]).await, (0, String::new(), "nothing is pending\n".to_owned()));
    door.shut().await;
    let token = mac.lock("/d/doc").await;
    assert_eq!(mac.put("/d/doc", &token, "newer").await, 204);
    assert_eq!(mac.status("DELETE", "/d/gone").await, 204);
    assert_eq!(mac.rename("/d/first", "/d/second").await, 201);
    let (code, said, _) = pending(&state, &[]).await;
    assert_eq!(code, 0);
    for line in [
        "pending    /d/doc (5 bytes, for ",
        "pending    /d/gone (deleted, for ",
        "pending    /d/second (moved from /d/first, for ",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let json = pending(&state, &["list", "--json", "/d/doc"]).await.1;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["pending"][0]["path"], "/d/doc");
    assert_eq!(json[0]["pending"].as_array().unwrap().len(), 1);
    let place = tempfile::tempdir().unwrap();
    let saved = pending(&state, &["save-to", place.path().to_str().unwrap(), "--all"]).await;
    assert_eq!((saved.0, std::fs::read_to_string(place.path().join("d/doc")).unwrap()), (0, "newer".into()));
    let again = pending(&state, &["save-to", place.path().to_str().unwrap(), "--all"]).await;
    assert!(again.0 == 1 && again.2.contains("exists already"), "{again:?}");
    assert_eq!(pending(&state, &["retry", "/d/doc"]).await.0, 1, "nothing is refused");
    // The same without a gateway.
    send_signal("TERM", &gateway.child.id().unwrap().to_string());
    gateway.child.wait().await.unwrap();
    assert!(pending(&state, &[]).await.1.contains("no gateway serves this source"));
    let (code, said, _) = pending(&state, &["discard", "/d/doc"]).await;
    assert_eq!((code, said.as_str()), (0, "discarded: /d/doc\n"));
    assert_eq!(pending(&state, &["discard"]).await.0, 2, "which one?");
    let _gateway = serve(&door, &state).await;
    door.open().await;
    eventually("the rest is made", || async { bucket.get("d/gone").await.is_none() }).await;
    eventually("the move, too", || async { bucket.keys().await == ["d/doc", "d/second"] }).await;
    assert_eq!(bucket.get("d/doc").await.unwrap(), "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_a_state_that_nobody_serves_is_sent() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let (bucket, mut door) =
        (Bucket::of(&s3.endpoint_url(), BUCKET).await, Door::before(&s3.endpoint_url()).await);
    bucket.put("d/doc", "old").await;
    let mut gateway = serve(&door, &state).await;
    let mac = Finder::at(&gateway.url);
    assert_eq!((mac.list("/d/").await.len(), mac.get("/d/doc").await.0), (2, 200));
    door.shut().await;
    let token = mac.lock("/d/doc").await;
    assert_eq!(mac.put("/d/doc", &token, "newer").await, 204);
    let place = state.path().join("state");
    let mut drain = command(&["drain"]);
    let (code, _, said) = outcome({
        drain.arg(&place);
        drain
    })
    .await;
    assert!(code == 0 && said.contains("is in use (process "), "{code} {said}");
    let mut stop = command(&["stop", "--state-dir"]);
    stop.arg(&place);
    let (code, _, said) = outcome(stop).await;
    gateway.child.wait().await.unwrap();
    assert!(code == 0 && said.contains("not in S3 yet: 1 change"), "{code} {said}");
    let mut in_vain = command(&["drain", "--wait", "1s"]);
    in_vain.arg(&place);
    let (code, _, said) = outcome(in_vain).await;
    assert!(code == 1 && said.contains("not in S3 yet: 1 change"), "{code} {said}");
    door.open().await;
    let mut drain = command(&["drain"]);
    drain.arg(&place);
    let (code, said, errors) = outcome(drain).await;
    assert!(code == 0 && said == "bucket: stored 1 change\n", "{code} {said} {errors}");
    assert_eq!(bucket.get("d/doc").await.unwrap(), "newer");
    let mut again = command(&["drain"]);
    again.arg(&place);
    assert_eq!(outcome(again).await.0, 0);
    let mut nothing = command(&["drain"]);
    nothing.arg("/nowhere");
    assert_eq!(outcome(nothing).await.0, 1, "it is no state");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_not_sent_to_another_endpoint() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let (bucket, mut door) =
        (Bucket::of(&s3.endpoint_url(), BUCKET).await, Door::before(&s3.endpoint_url()).await);
    bucket.put("doc", "old").await;
    let place = state.path().join("state");
    let mut serve = command(&["serve", "--bucket", BUCKET, "--force-path-style", "--listen", "127.0.0.1:0"]);
    serve.args(["--on-outage", "keep", "--store-patience", "300ms", "--state-dir"]).arg(&place);
    serve.env("AWS_ENDPOINT_URL", format!("http://{}", door.address));
    let mut gateway = Process::serving(serve).await;
    let mac = Finder::at(&gateway.url);
    assert_eq!((mac.list("/").await.len(), mac.get("/doc").await.0), (2, 200));
    door.shut().await;
    let token = mac.lock("/doc").await;
    assert_eq!(mac.put("/doc", &token, "newer").await, 204);
    send_signal("KILL", &gateway.child.id().unwrap().to_string());
    gateway.child.wait().await.unwrap();
    door.open().await;
    let mut drain = command(&["drain"]);
    drain.arg(&place).env("AWS_ENDPOINT_URL", s3.endpoint_url());
    let (code, _, said) = outcome(drain).await;
    assert!(code == 1 && said.contains("another endpoint"), "{code} {said}");
    assert_eq!(bucket.get("doc").await.unwrap(), "old");
    let mut drain = command(&["drain"]);
    drain.arg(&place).env("AWS_ENDPOINT_URL", format!("http://{}", door.address));
    let (code, said, errors) = outcome(drain).await;
    assert!(code == 0, "{said} {errors}");
    assert_eq!(bucket.get("doc").await.unwrap(), "newer");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_waits_is_written_elsewhere_also_what_is_not_shown() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let (bucket, mut door) =
        (Bucket::of(&s3.endpoint_url(), BUCKET).await, Door::before(&s3.endpoint_url()).await);
    bucket.put("d/doc.txt", "old").await;
    let gateway = serve(&door, &state).await;
    let clients = [Finder::at(&gateway.url), Finder::at(&gateway.url).of_another()];
    for client in &clients {
        assert_eq!(client.get("/d/doc.txt").await.1, "old");
    }
    door.shut().await;
    for (client, contents) in clients.iter().zip([vec!["first"], vec!["second", "third"]]) {
        for content in contents {
            let put = client.request("PUT", "/d/doc.txt").body(content).send().await.unwrap();
            assert_eq!(put.status(), 204);
        }
    }
    let place = tempfile::tempdir().unwrap();
    let (code, said, _) = pending(&state, &["save-to", place.path().to_str().unwrap(), "--all"]).await;
    assert_eq!(code, 0);
    assert!(said.contains(": /d/doc.txt\n") && said.contains(": /d/doc (2).txt\n"), "{said}");
    let read = |name: &str| std::fs::read_to_string(place.path().join("d").join(name)).unwrap();
    assert_eq!([read("doc.txt"), read("doc (2).txt")], ["first", "third"]);
    assert_eq!(std::fs::read_dir(place.path().join("d")).unwrap().count(), 2);
}
