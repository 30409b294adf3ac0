//! What belongs to one source never gets into another: state directories, and mounts whose gateway is gone.

use std::fs;

use crate::first_mounts::kill_all;
use crate::harness::process::{Process, command, outcome, send_signal, serve};
use crate::harness::{BUCKET, Bucket, client, embedded_with};
use crate::mounting::Home;

const OTHER: &str = "archive";

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_another_source_is_refused_where_it_holds_anything() {
    let s3 = embedded_with(&[BUCKET, OTHER]).await;
    let state = tempfile::tempdir().unwrap();
    let mut gateway = Process::gateway(&s3.endpoint_url(), &state, &[]).await;
    let made =
        client().put(format!("{}/held", gateway.url)).header("User-Agent", "WebDAVFS/3.0.0 (03008000)");
    assert_eq!(made.send().await.unwrap().status(), 201);
    send_signal("KILL", &gateway.child.id().unwrap().to_string());
    gateway.child.wait().await.unwrap();
    let other = || {
        let mut serve = command(&["serve", "--bucket", OTHER, "--endpoint-url", &s3.endpoint_url()]);
        serve.args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(state.path().join("state"));
        serve
    };
    let (code, _, error) = outcome(other()).await;
    let words = format!("belongs to {BUCKET}, not to {OTHER}");
    assert_eq!((code, error.contains(&words), error.contains("hint: ")), (1, true, true), "{error}");
    assert!(Bucket::of(&s3.endpoint_url(), OTHER).await.keys().await.is_empty());
    let gateway = Process::serving(serve(&s3.endpoint_url(), &state, &[])).await;
    let there = client().get(format!("{}/held", gateway.url)).send().await.unwrap();
    assert_eq!(there.status(), 200, "what was promised is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_with_the_state_of_another_source_is_refused() {
    let Some(mut home) = Home::new().await else { return };
    home.s3 = embedded_with(&[BUCKET, OTHER]).await;
    let state = home.directory.path().join("own-state");
    let options = ["--state-dir", state.to_str().unwrap()];
    let first = home.point();
    let mut mount = home.with_bucket("mount", &options);
    mount.arg(&first);
    let (code, _, error) = outcome(mount).await;
    assert_eq!(code, 0, "{error}");
    let second = home.directory.path().join("second");
    let mut mount = home.command(&["mount", "--bucket", OTHER, "--endpoint-url", &home.s3.endpoint_url()]);
    mount.args(options).arg(&second);
    let (code, _, error) = outcome(mount).await;
    let words = format!("belongs to {BUCKET}, not to {OTHER}");
    assert_eq!((code, error.contains(&words), second.exists()), (1, true, false), "{error}");
    let mut unmount = home.command(&["unmount"]);
    // Its gateway is known by that directory alone, and ends with the mount.
    unmount.args(options).arg(&first);
    assert_eq!(outcome(unmount).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_without_its_gateway_gets_no_other_sources() {
    let Some(mut home) = Home::new().await else { return };
    home.s3 = embedded_with(&[BUCKET, OTHER]).await;
    let (first, second) = (home.point(), home.directory.path().join("second"));
    home.mounted().await;
    let address = home.status().await["urls"][0].as_str().unwrap().to_owned();
    kill_all(&home).await;
    let other = |name: &str, more: &[&str]| {
        let mut other = home.command(&[name, "--bucket", OTHER, "--endpoint-url", &home.s3.endpoint_url()]);
        other.args(more);
        other
    };
    // At the very address it is refused; elsewhere it is served.
    let listen = address.trim_start_matches("http://").trim_end_matches('/');
    let (code, _, error) = outcome(other("serve", &["--listen", listen])).await;
    let hint = format!("`s3dav unmount {}`", first.display());
    assert_eq!((code, error.contains(&hint)), (1, true), "{error}");
    let (code, _, error) = outcome(other("mount", &[second.to_str().unwrap()])).await;
    assert_eq!(code, 0, "{error}");
    fs::write(second.join("file"), "content").unwrap();
    let _ = fs::write(first.join("lost"), "content");
    // The state of a mount that is left stays.
    let (code, _, error) = outcome(home.command(&["state", "clean", "--yes", BUCKET])).await;
    assert_eq!((code, error.contains(&hint)), (1, true), "{error}");
    for point in [&second, &first] {
        let mut unmount = home.command(&["unmount"]);
        unmount.arg(point);
        assert_eq!(outcome(unmount).await.0, 0, "{}", point.display());
    }
    let keys = Bucket::of(&home.s3.endpoint_url(), OTHER).await.keys().await;
    assert_eq!(keys, ["file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_belongs_to_whom_made_it_last() {
    let Some(mut home) = Home::new().await else { return };
    home.s3 = embedded_with(&[BUCKET, OTHER]).await;
    let point = home.point();
    // The default one is everybody's; this one nobody is likely to take meanwhile.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = free.to_string();
    let first = home.with_bucket("mount", &["--listen", &listen, point.to_str().unwrap()]);
    let (code, _, error) = outcome(first).await;
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = home.unmount(&[]).await;
    assert_eq!(code, 0, "{error}");
    // Another source at the same address and place, as the defaults have it.
    let mut other = home.command(&["mount", "--bucket", OTHER, "--endpoint-url", &home.s3.endpoint_url()]);
    other.args(["--listen", &listen]).arg(&point);
    let (code, _, error) = outcome(other).await;
    assert_eq!(code, 0, "{error}");
    kill_all(&home).await;
    let (code, _, error) = outcome(home.with_bucket("serve", &["--listen", &listen])).await;
    assert_eq!((code, error.contains(&format!("and shows {OTHER}"))), (1, true), "{error}");
    let (_, text, _) = outcome(home.command(&["status"])).await;
    assert!(text.contains(&format!("the gateway of {OTHER}")), "{text}");
    let (code, _, error) = home.unmount(&[]).await;
    assert_eq!(code, 0, "{error}");
}
