//! Who may come in: the programs of the gateway's user and root's, and whoever knows the password.

use std::process::Stdio;

use s3dav::http::auth::Access;
use s3dav::state::Credential;
use tokio::io::AsyncReadExt;

use crate::harness::process::outcome;
use crate::harness::users::{NOBODY, Owner, SOMEBODY, asked, others_have, python};
use crate::harness::{BUCKET, Bucket, TestGateway};

const METHODS: [&str; 12] = [
    "OPTIONS",
    "GET",
    "HEAD",
    "PUT",
    "DELETE",
    "MKCOL",
    "COPY",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
];

#[tokio::test(flavor = "multi_thread")]
async fn other_users_are_asked_by_every_method() {
    if !others_have(&["curl"]) {
        return;
    }
    let gateway = TestGateway::start_with(|config| config.access = Access::Peers(None)).await;
    let mut told = vec![(gateway.url.clone(), NOBODY)];
    let owner = Owner::new(SOMEBODY).await;
    let Some(other) = owner.gateway(&[]).await else { return };
    told.push((other.url.clone(), NOBODY));
    for (url, uid) in &told {
        for method in METHODS {
            let how: &[&str] = if method == "HEAD" { &["-I"] } else { &["-X", method] };
            let Some(status) = asked(*uid, &format!("{url}/x"), how).await else { return };
            assert_eq!(status, "401", "{method} at {url}");
        }
        assert_eq!(asked(0, &format!("{url}/"), &[]).await.unwrap(), "200", "root");
        assert_eq!(asked(*uid, &format!("{url}/.s3dav/health"), &[]).await.unwrap(), "200");
        assert_eq!(asked(*uid, &format!("{url}/.s3dav/metrics"), &[]).await.unwrap(), "401");
    }
    assert_eq!(asked(SOMEBODY, &format!("{}/", other.url), &[]).await.unwrap(), "200", "its own user");
    assert_eq!(asked(SOMEBODY, &format!("{}/", gateway.url), &[]).await.unwrap(), "401");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_the_password_comes_in() {
    if !others_have(&["curl"]) {
        return;
    }
    let gateway = TestGateway::start_with(|config| config.access = Access::Peers(None)).await;
    let known = Credential::read(&gateway.state.path().join("state")).unwrap().unwrap();
    let login = format!("{}:{}", known.user, known.password);
    let url = format!("{}/x", gateway.url);
    let Some(status) = asked(NOBODY, &url, &["-u", &login, "-X", "PUT", "-d", "x"]).await else { return };
    assert_eq!(status, "201");
    assert_eq!(asked(NOBODY, &url, &["-u", "s3dav:wrong"]).await.unwrap(), "401");
    assert_eq!(gateway.status("GET", "/x").await, 200, "the same user needs none");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_and_closes_is_nobody() {
    if !others_have(&["curl", "python3"]) {
        return;
    }
    let gateway = TestGateway::start_with(|config| config.access = Access::Peers(None)).await;
    let owner = Owner::new(SOMEBODY).await;
    let Some(other) = owner.gateway(&[]).await else { return };
    let script = "import socket, sys
for n in range(100):
    s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
    s.sendall(b'PUT /stolen%d HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 1\\r\\n\\r\\nx' % n)
    s.close()
";
    for url in [&gateway.url, &other.url] {
        let Some(python) = python(NOBODY, script, &[url.rsplit(':').next().unwrap()]) else { return };
        let (code, _, error) = outcome(python).await;
        assert_eq!(code, 0, "{error}");
    }
    // What comes later has been answered later.
    assert_eq!(gateway.put("/mine", "x").await, 201);
    assert_eq!(
        asked(SOMEBODY, &format!("{}/mine", other.url), &["-X", "PUT", "-d", "x"]).await.unwrap(),
        "201"
    );
    assert_eq!(gateway.bucket().await.keys().await, ["mine"]);
    assert_eq!(Bucket::of(&owner.s3.endpoint_url(), BUCKET).await.keys().await, ["mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_users_cannot_take_all_the_room() {
    if !others_have(&["curl", "python3"]) {
        return;
    }
    let gateway = TestGateway::start_with(|config| config.access = Access::Peers(None)).await;
    let script = "import socket, sys
held = [socket.create_connection(('127.0.0.1', int(sys.argv[1]))) for n in range(700)]
print('held', flush=True)
sys.stdin.read()
";
    let port = gateway.url.rsplit(':').next().unwrap();
    let Some(mut python) = python(NOBODY, script, &[port]) else { return };
    let mut python = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut held = [0; 4];
    python.stdout.as_mut().unwrap().read_exact(&mut held).await.unwrap();
    for _ in 0..20 {
        let own = asked(0, &format!("{}/", gateway.url), &["--max-time", "5"]).await.unwrap();
        assert_eq!(own, "200", "its own user comes in");
    }
    python.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_cannot_be_told_is_asked() {
    #[derive(Debug)]
    struct Silent;
    #[async_trait::async_trait]
    impl s3dav::peer::Owners for Silent {
        async fn uid(
            &self,
            _: std::net::SocketAddr,
            _: std::net::SocketAddr,
        ) -> std::io::Result<Option<u32>> {
            Err(std::io::ErrorKind::PermissionDenied.into())
        }
    }
    let credentials = || s3dav::http::auth::Credentials::new("me", "secret");
    let gateway = TestGateway::start_with(|config| {
        config.access = Access::PeersOf(std::sync::Arc::new(Silent), Some(credentials()));
    })
    .await;
    assert_eq!(gateway.status("GET", "/").await, 401);
    let known = gateway.client.get(format!("{}/", gateway.url)).basic_auth("me", Some("secret"));
    assert_eq!(known.send().await.unwrap().status(), 200);
}
