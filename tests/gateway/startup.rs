//! Starting: what ends the program, each with a message of its own, and what heals.

use std::time::Duration;

use s3dav::embedded::Action;
use tokio::net::TcpListener;

use crate::harness::clients::{Moto, Tools, needs};
use crate::harness::process::{Process, command, outcome, serve};
use crate::harness::{BUCKET, Bucket, KEYS, TestGateway, embedded, embedded_options, eventually};

/// Starts `serve` against an endpoint and returns how it ended.
async fn failing(endpoint: &str, more: &[&str]) -> (i32, String) {
    let state = tempfile::tempdir().unwrap();
    let (code, _, said) = outcome(serve(endpoint, &state, more)).await;
    (code, said)
}

fn fail(status: u16, code: &'static str, message: &'static str) -> Action {
    Action::Fail { status, code, message }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_person_can_change_is_said_and_ends_the_program() {
    let s3 = embedded().await;
    let list = "User: arn:aws:iam::1:user/x is not authorized to perform: s3:ListBucket on resource: y";
    for (action, message, hint) in [
        (fail(404, "NoSuchBucket", "x"), "there is no bucket \"bucket\"", "--endpoint-url"),
        (fail(403, "AccessDenied", "Access Denied"), "is denied", "policies"),
        (fail(403, "AccessDenied", list), "may not be listed", "grant s3:ListBucket"),
        (fail(403, "RequestTimeTooSkewed", "x"), "clock", "set the clock"),
        (fail(403, "SignatureDoesNotMatch", "x"), "secret key does not match", "--profile"),
        (
            fail(403, "InvalidAccessKeyId", "x"),
            "does not know this access key (InvalidAccessKeyId)",
            "--profile",
        ),
    ] {
        s3.hooks().heal();
        s3.hooks().always(action);
        let (code, said) = failing(&s3.endpoint_url(), &[]).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(message) && said.contains("hint: ") && said.contains(hint), "{said}");
        assert!(!said.contains("not-a-secret"), "no secret in the log");
        for twice in ["have expired", ": no such bucket"] {
            assert!(!said.contains(twice), "{said}");
        }
    }
    s3.hooks().heal();
    let (code, said) = failing(&s3.endpoint_url(), &["--profile", "nobody"]).await;
    assert!(code == 1 && said.contains("profile \"nobody\"") && said.contains("list-profiles"), "{said}");
    let (code, said) = failing(&s3.endpoint_url(), &["--ca-bundle", "/nonexistent.pem"]).await;
    assert!(code == 1 && said.contains("/nonexistent.pem") && said.contains("hint: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_network_it_serves_and_goes_on_when_there_is_one() {
    // A port that nobody listens at yet.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let state = tempfile::tempdir().unwrap();
    let gateway = Process::gateway(&format!("http://{address}"), &state, &["--request-budget", "1s"]).await;
    let client = crate::harness::client();
    let options = client.request(reqwest::Method::OPTIONS, &gateway.url).send().await.unwrap();
    assert_eq!(options.status(), 200);
    let file = format!("{}/file", gateway.url);
    let answer = client.get(&file).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let listener = TcpListener::bind(address).await.unwrap();
    let s3 = s3dav::embedded::EmbeddedS3::start(listener, embedded_options(&[BUCKET])).await.unwrap();
    Bucket::of(&s3.endpoint_url(), BUCKET).await.put("file", "content").await;
    eventually("it is served", || async { client.get(&file).send().await.unwrap().status() == 200 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_expired_token_and_a_busy_bucket_it_serves_and_goes_on() {
    for error in [
        fail(400, "ExpiredToken", "The provided token has expired."),
        fail(503, "SlowDown", "Please reduce your request rate."),
    ] {
        let s3 = embedded().await;
        Bucket::of(&s3.endpoint_url(), BUCKET).await.put("file", "content").await;
        s3.hooks().always(error);
        let state = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let short = |config: &mut s3dav::config::Config| {
            config.service.request_budget = Some(Duration::from_secs(1));
        };
        let gateway = TestGateway::start_on(s3, state, short).await;
        assert_eq!(gateway.status("GET", "/file").await, 503);
        gateway.hooks().heal();
        assert_eq!(gateway.get("/file").await, (200, "content".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_credentials_are_read_again() {
    let s3 = embedded().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credentials");
    let write = |secret: &str| {
        let (access_key, _) = KEYS;
        std::fs::write(
            &file,
            format!("[default]\naws_access_key_id={access_key}\naws_secret_access_key={secret}\n"),
        )
        .unwrap();
    };
    write("outdated");
    s3.hooks().always(fail(400, "ExpiredToken", "The provided token has expired."));
    let endpoint = s3.endpoint_url();
    let mut serve = serve(&endpoint, &directory, &[]);
    serve
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_SHARED_CREDENTIALS_FILE", &file);
    let gateway = Process::serving(serve).await;
    Bucket::of(&endpoint, BUCKET).await;
    write(KEYS.1);
    let client = crate::harness::client();
    let url = format!("{}/nothing", gateway.url);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 503);
    // One more request says that they ended; by then they can be read anew.
    tokio::time::sleep(Duration::from_secs(6)).await;
    s3.hooks().heal();
    s3.hooks().next(1, "GetObject", fail(400, "ExpiredToken", "The provided token has expired."));
    eventually("the new ones are used", || async { client.get(&url).send().await.unwrap().status() == 404 })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_in_another_region_is_found_and_used() {
    let s3 = embedded().await;
    Bucket::of(&s3.endpoint_url(), BUCKET).await.put("file", "content").await;
    s3.hooks().set_region(Some("eu-central-1"));
    let state = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let gateway = TestGateway::start_on(s3, state, |_| {}).await;
    assert_eq!(gateway.get("/file").await, (200, "content".into()));
    assert_eq!(gateway.put("/file", "new").await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_of_the_environment_is_used() {
    let proxy = embedded().await;
    let state = tempfile::tempdir().unwrap();
    let mut serve = serve("http://s3.invalid", &state, &[]);
    serve.env("HTTP_PROXY", proxy.endpoint_url()).env("NO_PROXY", "169.254.169.254");
    let gateway = Process::serving(serve).await;
    let seen = proxy.hooks().transcript();
    assert!(seen.iter().any(|(_, target)| target.contains("s3.invalid")), "{seen:?}");
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_a_mistake_is_said_once_and_what_is_none_is_not() {
    let (s3, place) = (embedded().await, tempfile::tempdir().unwrap());
    let file = place.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    let with_mode = |mode: u32| {
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    let login = ["--user", "me", "--password-file", file.to_str().unwrap()];
    // It ends by itself, since there is no such bucket.
    let warnings = async |endpoint: &str, more: &[&str]| {
        let state = tempfile::tempdir().unwrap();
        let mut serve = serve(endpoint, &state, &[&["--bucket", "missing"], more].concat());
        serve.env("HTTP_PROXY", s3.endpoint_url()).env("NO_PROXY", "127.0.0.1");
        let (code, _, said) = outcome(serve).await;
        assert_eq!(code, 1, "{said}");
        said.lines().filter(|line| line.contains(" WARN ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let endpoint = s3.endpoint_url();
    assert_eq!(warnings(&endpoint, &[]).await, [""; 0]);
    with_mode(0o600);
    assert_eq!(warnings(&endpoint, &login).await, [""; 0]);
    let only = |warnings: Vec<String>, message: &str, hint: &str| {
        assert_eq!(warnings.len(), 1, "{message}: {warnings:?}");
        assert!(warnings[0].contains(message), "{warnings:?}");
        assert!(warnings[0].contains(&format!("hint=\"{hint}")), "{warnings:?}");
    };
    with_mode(0o644);
    let hint = format!("chmod 600 {}", file.display());
    only(warnings(&endpoint, &login).await, "is open to other users (mode 0644)", &hint);
    only(warnings(&endpoint, &["--auth", "none"]).await, "every user of this machine", "without --auth");
    let plain = warnings("http://s3.invalid", &[]).await;
    only(plain, "files and session tokens go to s3.invalid unencrypted", "name the endpoint with https://");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(12_002), None).unwrap();
        only(warnings(&endpoint, &login).await, "belongs to another user (uid 12002)", "name a file");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_may_be_in_a_variable_and_is_shown_to_nobody() {
    let s3 = embedded().await;
    let state = tempfile::tempdir().unwrap();
    let mut serve =
        serve(&s3.endpoint_url(), &state, &["--user", "me", "--password-variable", "ITS_PASSWORD"]);
    serve.env("ITS_PASSWORD", "a-long-secret").arg("-vv");
    let gateway = Process::serving(serve).await;
    let url = format!("{}/", gateway.url);
    let client = reqwest::Client::new();
    let ask = async |password: &str| {
        client.get(&url).basic_auth("me", Some(password)).send().await.unwrap().status().as_u16()
    };
    assert_eq!((ask("another").await, ask("a-long-secret").await), (401, 200));
    assert!(!gateway.said.lock().contains("a-long-secret"), "it is not logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_on_the_same_state_names_the_first() {
    let s3 = embedded().await;
    let state = tempfile::tempdir().unwrap();
    let first = Process::gateway(&s3.endpoint_url(), &state, &[]).await;
    let directory = state.path().join("state");
    let (code, _, said) = outcome(serve(&s3.endpoint_url(), &state, &[])).await;
    assert!(code == 1 && said.contains(&first.url) && said.contains("hint: "), "{said}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&directory).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_directory_is_named_after_the_source() {
    let s3 = embedded().await;
    let home = tempfile::tempdir().unwrap();
    let endpoint = s3.endpoint_url();
    let mut serve = command(&[
        "serve",
        "--bucket",
        BUCKET,
        "--endpoint-url",
        &endpoint,
        "--force-path-style",
        "--listen",
        "127.0.0.1:0",
    ]);
    serve.env("XDG_STATE_HOME", home.path());
    let gateway = Process::serving(serve).await;
    let names: Vec<_> =
        std::fs::read_dir(home.path().join("s3dav")).unwrap().map(|e| e.unwrap().file_name()).collect();
    let name = names[0].to_string_lossy().into_owned();
    let hash = name.strip_prefix("bucket-").unwrap();
    assert!(names.len() == 1 && hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    drop(gateway);
}

/// A certificate authority and a certificate for this machine, as PEM files.
async fn certificates(tools: &Tools, directory: &std::path::Path) {
    std::fs::write(directory.join("ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        .unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for command in [
        format!("req -x509 {key} -days 2 -keyout ca.key -out ca.pem -subj /CN=authority"),
        format!("req {key} -keyout key.pem -out request.pem -subj /CN=localhost"),
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem".to_owned(),
    ] {
        let ran = tools.command("openssl").args(command.split(' ')).current_dir(directory).output().await;
        assert!(ran.unwrap().status.success(), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_an_own_authority_carries_uploads_with_and_without_checksums() {
    let Some(tools) = needs(&["openssl", "moto_server", "curl"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    certificates(&tools, directory.path()).await;
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let moto = Moto::start_tls(&tools, &file("cert.pem"), &file("key.pem")).await;
    let bucket = format!("{}/{BUCKET}", moto.endpoint);
    let mut curl = tools.command("curl");
    curl.args(["-q", "-sf", "--cacert", &file("ca.pem"), "-X", "PUT", &bucket]);
    assert!(curl.status().await.unwrap().success());
    for checksums in ["when-required", "when-supported"] {
        let state = tempfile::tempdir().unwrap();
        let gateway = Process::gateway(
            &moto.endpoint,
            &state,
            &["--ca-bundle", &file("ca.pem"), "--checksums", checksums],
        )
        .await;
        let client = crate::harness::client();
        for size in [5_usize, 20 << 20] {
            let content = bytes::Bytes::from(vec![size as u8; size]);
            let url = format!("{}/{checksums}-{size}", gateway.url);
            assert_eq!(client.put(&url).body(content.clone()).send().await.unwrap().status(), 201);
            assert!(client.get(&url).send().await.unwrap().bytes().await.unwrap() == content);
        }
    }
    // Without the authority it is not trusted, and says what to do.
    let (code, said) = failing(&moto.endpoint, &[]).await;
    assert!(code == 1 && said.contains("certificate") && said.contains("--ca-bundle"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_line_has_a_hint_or_none() {
    let s3 = embedded().await;
    let state = tempfile::tempdir().unwrap();
    let gateway = Process::gateway(&s3.endpoint_url(), &state, &["--request-budget", "1s"]).await;
    let client = crate::harness::client();
    for (action, hint) in [
        (fail(403, "AccessDenied", "no"), "hint=\"check the policy"),
        (fail(400, "OddRequest", "nobody knows what to do"), "OddRequest"),
    ] {
        s3.hooks().heal();
        s3.hooks().always(action);
        client.get(format!("{}/file", gateway.url)).send().await.unwrap();
        eventually(hint, || async { gateway.said.lock().contains(hint) }).await;
    }
    let said = gateway.said.lock().clone();
    assert!(!said.contains("hint=\"\"") && !said.contains("hint=None"), "{said}");
}
