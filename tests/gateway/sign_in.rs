//! Profiles of each kind, against what stands in for AWS on this machine: they work, or end with the one right hint.

use std::net::ToSocketAddrs;
use std::sync::Arc;

use parking_lot::Mutex;
use s3dav::embedded::EmbeddedS3;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::harness::process::{Process, command, take_environment};
use crate::harness::{BUCKET, Bucket, KEYS, client, embedded};

/// Stands in for STS, the portal of SSO and the agent of a container; gives out the keys that S3 knows.
struct Authority {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Authority {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::default();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&seen)));
            }
        });
        Self { url, asked }
    }

    fn was_asked(&self, for_what: &str) -> bool {
        self.asked.lock().iter().any(|request| request.contains(for_what))
    }
}

async fn answer(mut stream: TcpStream, asked: Arc<Mutex<Vec<String>>>) {
    let request = read(&mut stream).await;
    let (key, secret) = KEYS;
    let (kind, body) = if request.contains("Action=AssumeRole") {
        let is_web = request.contains("Action=AssumeRoleWithWebIdentity");
        let action = if is_web { "AssumeRoleWithWebIdentity" } else { "AssumeRole" };
        let xml = format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
             <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken>t</SessionToken>\
             <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>x:s</AssumedRoleId>\
             <Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn></AssumedRoleUser></{action}Result></{action}Response>"
        );
        ("text/xml", xml)
    } else if request.contains("/federation/credentials") {
        let json = serde_json::json!({"roleCredentials": {
            "accessKeyId": key, "secretAccessKey": secret, "sessionToken": "t", "expiration": 4_070_908_800_000_u64
        }});
        ("application/json", json.to_string())
    } else {
        let json = serde_json::json!({
            "AccessKeyId": key, "SecretAccessKey": secret, "Token": "t", "Expiration": "2099-01-01T00:00:00Z"
        });
        ("application/json", json.to_string())
    };
    asked.lock().push(request);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

/// A request, with its body.
async fn read(stream: &mut TcpStream) -> String {
    let (mut request, mut buffer) = (String::new(), [0; 8192]);
    loop {
        let count = stream.read(&mut buffer).await.unwrap_or_default();
        request.push_str(&String::from_utf8_lossy(&buffer[..count]));
        let length = |head: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-length:"))?;
            line.split(':').nth(1)?.trim().parse().ok()
        };
        match request.split_once("\r\n\r\n") {
            Some((head, body)) if body.len() >= length(head).unwrap_or(0) => return request,
            _ if count == 0 => return request,
            _ => {}
        }
    }
}

/// A home with these profiles, and S3 with a file.
struct Home {
    place: TempDir,
    s3: Arc<EmbeddedS3>,
}

impl Home {
    async fn new(profiles: &str) -> Self {
        let (place, s3) = (tempfile::tempdir().unwrap(), embedded().await);
        Bucket::of(&s3.endpoint_url(), BUCKET).await.put("file", "content").await;
        std::fs::write(place.path().join("config"), profiles).unwrap();
        let keys = format!("[keys]\naws_access_key_id={}\naws_secret_access_key={}\n", KEYS.0, KEYS.1);
        std::fs::write(place.path().join("credentials"), keys).unwrap();
        Self { place, s3 }
    }

    /// The command line that serves the bucket, with no keys but those of the home.
    fn serve(&self, more: &[&str]) -> Command {
        let path = |name: &str| self.place.path().join(name);
        let mut serve = command(&["serve", "--bucket", BUCKET, "--listen", "127.0.0.1:0", "--notify=off"]);
        serve.args(["--endpoint-url", &self.s3.endpoint_url(), "--state-dir"]).arg(path("state")).args(more);
        serve
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env("HOME", self.place.path());
        serve.env("AWS_CONFIG_FILE", path("config")).env("AWS_SHARED_CREDENTIALS_FILE", path("credentials"));
        serve
    }
}

async fn works(serve: Command) {
    let gateway = Process::serving(serve).await;
    let answer = client().get(format!("{}/file", gateway.url)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, "content".to_owned()));
    assert!(!gateway.said.lock().contains("WARN"), "{}", gateway.said.lock());
}

/// Ends with a hint that has these words.
async fn ends(serve: Command, words: &[&str]) {
    let ended = Process::ending(serve).await;
    let (code, said) = ended.unwrap_or_else(|said| panic!("it goes on: {said}"));
    assert!(code == 1 || code == 2, "{said}");
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(said.matches("hint: ").count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn static_keys_work() {
    works(Home::new("").await.serve(&["--profile", "keys"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_works_or_is_named() {
    let (key, secret) = KEYS;
    let json = format!("{{\"Version\":1,\"AccessKeyId\":\"{key}\",\"SecretAccessKey\":\"{secret}\"}}");
    let home = Home::new("").await;
    let file = home.place.path().join("keys.json");
    std::fs::write(&file, json).unwrap();
    let profiles = format!(
        "[profile good]\ncredential_process = cat {0}\n[profile bad]\ncredential_process = cat {0}.missing\n",
        file.display()
    );
    std::fs::write(home.place.path().join("config"), profiles).unwrap();
    works(home.serve(&["--profile", "good"])).await;
    waits(home.serve(&["--profile", "bad"]), "credential_process of the profile bad").await;
}

/// Serves, and says what would bring credentials.
async fn waits(serve: Command, words: &str) {
    let gateway = Process::serving(serve).await;
    let said = gateway.said.lock().clone();
    assert!(said.contains(words) && said.matches("hint=").count() == 1, "{words}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_work_in_a_chain() {
    let authority = Authority::start().await;
    let home = Home::new(
        "[profile outer]\nrole_arn = arn:aws:iam::123456789012:role/outer\nsource_profile = inner\n\
         [profile inner]\nrole_arn = arn:aws:iam::123456789012:role/inner\nsource_profile = keys\n",
    )
    .await;
    let mut serve = home.serve(&["--profile", "outer"]);
    works({
        serve.env("AWS_ENDPOINT_URL_STS", &authority.url);
        serve
    })
    .await;
    assert!(authority.was_asked("role%2Finner") && authority.was_asked("role%2Fouter"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_asks_for_a_code_is_named() {
    let role = "role_arn = arn:aws:iam::123456789012:role/r\nmfa_serial = arn:aws:iam::123456789012:mfa/me\n";
    let home = Home::new(&format!(
        "[profile coded]\n{role}source_profile = keys\n\
         [profile outer]\nrole_arn = arn:aws:iam::123456789012:role/outer\nsource_profile = coded\n"
    ))
    .await;
    for name in ["coded", "outer"] {
        let command = format!("eval \"$(aws configure export-credentials --profile {name} --format env)\"");
        ends(home.serve(&["--profile", name]), &["requires an MFA code", &command]).await;
    }
    // What that command brings stands before the profile.
    let mut serve = home.serve(&["--profile", "coded"]);
    serve.env("AWS_ACCESS_KEY_ID", KEYS.0).env("AWS_SECRET_ACCESS_KEY", KEYS.1);
    let gateway = Process::serving(serve).await;
    let answer = client().get(format!("{}/file", gateway.url)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, "content".to_owned()));
    let said = gateway.said.lock().clone();
    let words = "using the keys from the environment, not those of the profile coded";
    assert!(said.contains(words) && said.matches("WARN").count() == 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_aws_login_is_named() {
    let home = Home::new("[profile me]\nlogin_session = arn:aws:iam::123456789012:user/me\n").await;
    let line = "credential_process = aws configure export-credentials --profile me --format process";
    ends(home.serve(&["--profile", "me"]), &["aws login", line]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_identity_works() {
    let (authority, home) = (Authority::start().await, Home::new("").await);
    let token = home.place.path().join("token");
    std::fs::write(&token, "a-token").unwrap();
    let profile = format!(
        "[profile web]\nrole_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = {}\n",
        token.display()
    );
    std::fs::write(home.place.path().join("config"), profile).unwrap();
    let mut by_profile = home.serve(&["--profile", "web"]);
    works({
        by_profile.env("AWS_ENDPOINT_URL_STS", &authority.url);
        by_profile
    })
    .await;
    let mut by_environment = home.serve(&[]);
    works({
        by_environment.env("AWS_WEB_IDENTITY_TOKEN_FILE", &token).env("AWS_ENDPOINT_URL_STS", &authority.url);
        by_environment.env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r");
        by_environment
    })
    .await;
    assert!(authority.was_asked("a-token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_works() {
    let (authority, home) = (Authority::start().await, Home::new("").await);
    let mut serve = home.serve(&[]);
    works({
        serve.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", authority.url));
        serve
    })
    .await;
    assert!(authority.was_asked("GET /container"));
}

#[tokio::test(flavor = "multi_thread")]
async fn single_sign_on_works_or_its_command_is_named() {
    let authority = Authority::start().await;
    let home = Home::new(
        "[sso-session here]\nsso_region = us-east-1\nsso_start_url = https://here.awsapps.com/start\n\
         [profile work]\nsso_session = here\nsso_account_id = 123456789012\nsso_role_name = r\n\
         [profile role]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = work\n",
    )
    .await;
    for name in ["work", "role"] {
        waits(home.serve(&["--profile", name]), "`aws sso login --profile work`").await;
    }
    let cache = home.place.path().join(".aws/sso/cache");
    std::fs::create_dir_all(&cache).unwrap();
    let token = serde_json::json!({
        "accessToken": "a-token", "expiresAt": "2099-01-01T00:00:00Z", "region": "us-east-1",
        "startUrl": "https://here.awsapps.com/start"
    });
    // The SHA-1 of the session's name.
    std::fs::write(cache.join("0154c0dabe7145db37e0b81bf667e7224abec0ba.json"), token.to_string()).unwrap();
    let mut serve = home.serve(&["--profile", "work"]);
    works({
        serve.env("AWS_ENDPOINT_URL_SSO", &authority.url);
        serve
    })
    .await;
    assert!(authority.was_asked("/federation/credentials"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_credentials_it_is_said_how_they_are_set_up() {
    let home = Home::new("").await;
    waits(home.serve(&[]), "no credentials were found").await;
    waits(home.serve(&[]), "set them up with `aws configure`, or as AWS_ACCESS_KEY_ID").await;
}

/// An S3 server that lists nothing to everybody, and the first request that it gets.
async fn first_request(more: &[&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let home = Home::new("").await;
    let serving = home.serve(&[]);
    let mut serve = command(&["serve", "--bucket", BUCKET, "--listen", "127.0.0.1:0", "--notify=off"]);
    serve.arg("--state-dir").arg(home.place.path().join("state")).args(more);
    take_environment(&mut serve, &serving);
    serve.env("HTTP_PROXY", &url).env("HTTPS_PROXY", &url).env("AWS_REGION", "eu-west-1");
    let mut child =
        serve.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let (mut stream, _) = tokio::select! {
        accepted = listener.accept() => accepted.unwrap(),
        ended = child.wait() => panic!("it asks nobody: {ended:?}"),
    };
    let request = read(&mut stream).await;
    child.kill().await.unwrap();
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_signature_nobody_is_asked_for_keys() {
    let request = first_request(&["--endpoint-url", "http://s3.test", "--no-sign-request"]).await;
    assert!(request.starts_with("GET http://s3.test/bucket/?list-type=2"), "{request}");
    assert!(!request.to_ascii_lowercase().contains("authorization"), "{request}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_options_choose_among_the_endpoints_of_aws() {
    for (options, host) in [
        (&[][..], "bucket.s3.eu-west-1.amazonaws.com"),
        (&["--dual-stack"][..], "bucket.s3.dualstack.eu-west-1.amazonaws.com"),
        (&["--accelerate"][..], "bucket.s3-accelerate.amazonaws.com"),
        (&["--fips", "--dual-stack"][..], "bucket.s3-fips.dualstack.eu-west-1.amazonaws.com"),
    ] {
        let request = first_request(&[options, &["--no-sign-request"]].concat()).await;
        assert!(request.starts_with(&format!("CONNECT {host}:443 ")), "{options:?}: {request}");
    }
    let home = Home::new("").await;
    for option in ["--dual-stack", "--accelerate", "--fips"] {
        ends(home.serve(&[option]), &["--endpoint-url", "leave out one of them"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_multi_region_access_point_is_named() {
    let mut serve =
        command(&["serve", "--bucket", "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap"]);
    serve.args(["--listen", "127.0.0.1:0"]);
    ends(serve, &["multi-Region access point", "of one Region"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_that_never_bring_keys_end_the_start() {
    let role = "role_arn = arn:aws:iam::123456789012:role/r\nsource_profile =";
    let home = Home::new(&format!(
        "[profile half]\naws_access_key_id = a\n[profile other]\naws_secret_access_key = b\n\
         [profile of-half]\n{role} half\n[profile one]\n{role} two\n[profile two]\n{role} one\n\
         [profile lost]\n{role} nobody\n"
    ))
    .await;
    for (name, words) in [
        ("half", ["\"half\" has aws_access_key_id, but no aws_secret_access_key", "aws configure"]),
        ("other", ["\"other\" has aws_secret_access_key, but no aws_access_key_id", "aws configure"]),
        ("of-half", ["\"half\" has aws_access_key_id", "aws configure"]),
        ("one", ["refers back to it", "keys of its own"]),
        ("lost", ["\"nobody\", and there is no such profile", "source_profile"]),
    ] {
        ends(home.serve(&["--profile", name]), &words).await;
    }
    let mut serve = home.serve(&[]);
    serve.env("AWS_ACCESS_KEY_ID", "a");
    ends(serve, &["AWS_SECRET_ACCESS_KEY", "unset AWS_ACCESS_KEY_ID"]).await;
}

/// What a profile says is not blamed on options that were not given.
#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_profile_are_named_as_its_own() {
    let keys = format!("aws_access_key_id={}\naws_secret_access_key={}\n", KEYS.0, KEYS.1);
    let home = Home::new(&format!(
        "[profile dual]\n{keys}use_dualstack_endpoint = true\n[profile fips]\n{keys}use_fips_endpoint = true\n\
         [profile hosts]\n{keys}s3 =\n  addressing_style = virtual\n"
    ))
    .await;
    for (name, setting) in [("dual", "use_dualstack_endpoint"), ("fips", "use_fips_endpoint")] {
        ends(home.serve(&["--profile", name]), &[setting, "leave out one of them"]).await;
    }
    if (format!("{BUCKET}.localhost"), 80).to_socket_addrs().is_ok() {
        return;
    }
    let endpoint = home.s3.endpoint_url().replace("127.0.0.1", "localhost");
    let mut serve = command(&["serve", "--bucket", BUCKET, "--listen", "127.0.0.1:0", "--notify=off"]);
    serve.args(["--profile", "hosts", "--endpoint-url", &endpoint]);
    serve.arg("--state-dir").arg(home.place.path().join("state"));
    take_environment(&mut serve, &home.serve(&[]));
    let (_, said) = Process::ending(serve).await.unwrap();
    assert!(said.contains("addressing_style") && !said.contains("--force-path-style"), "{said}");
}
