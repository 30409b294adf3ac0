//! Where the bucket's name goes: into the path, or into the host.
//!
//! The servers' names exist nowhere: a proxy, which is the embedded server itself, is asked for them.

use std::path::Path;
use std::sync::Arc;

use s3dav::embedded::{EmbeddedS3, Quirks};
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::process::{Process, command, outcome};
use crate::harness::{BUCKET, Bucket, KEYS, client, embedded};

/// A name that no resolver knows.
const DOMAIN: &str = "s3.test";

/// The command line that serves the bucket without a word on styles.
fn serve(endpoint: &[&str], state: &TempDir, more: &[&str]) -> Command {
    let mut command = command(&["serve", "--bucket", BUCKET, "--listen", "127.0.0.1:0", "--notify=off"]);
    command.arg("--state-dir").arg(state.path().join("state")).args(endpoint).args(more);
    command
}

/// The same by way of a proxy, to a server of the name that `s3` goes by.
fn serve_by(s3: &EmbeddedS3, domain: &str, state: &TempDir, more: &[&str]) -> Command {
    let mut command = serve(&["--endpoint-url", &format!("http://{domain}")], state, more);
    command.env("HTTP_PROXY", s3.endpoint_url()).env("NO_PROXY", "127.0.0.1");
    command
}

async fn server(domain: &'static str, change: impl FnOnce(&mut Quirks)) -> Arc<EmbeddedS3> {
    let s3 = embedded().await;
    Bucket::of(&s3.endpoint_url(), BUCKET).await.put("file", "content").await;
    s3.hooks().change_quirks(|quirks| {
        quirks.domain = Some(domain);
        change(quirks);
    });
    s3.hooks().reset();
    s3
}

/// What was asked, each as the beginning of its URL.
fn asked(s3: &EmbeddedS3) -> Vec<String> {
    let begin = |(_, target): (String, String)| {
        let path = target.split('?').next().unwrap_or_default().to_owned();
        path.trim_end_matches('/').to_owned()
    };
    s3.hooks().transcript().into_iter().map(begin).collect()
}

/// Configuration files with one profile.
fn configured(place: &Path, profile: &str) -> [(&'static str, String); 2] {
    let (config, credentials) = (place.join("config"), place.join("credentials"));
    std::fs::write(&config, profile).unwrap();
    let keys = format!("[default]\naws_access_key_id={}\naws_secret_access_key={}\n", KEYS.0, KEYS.1);
    std::fs::write(&credentials, keys).unwrap();
    [
        ("AWS_CONFIG_FILE", config.to_str().unwrap().to_owned()),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap().to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_not_aws_needs_no_option() {
    let (s3, state) = (server(DOMAIN, |_| {}).await, tempfile::tempdir().unwrap());
    let endpoint = s3.endpoint_url().replace("127.0.0.1", "localhost");
    let gateway = Process::serving(serve(&["--endpoint-url", &endpoint], &state, &[])).await;
    let answer = client().get(format!("{}/file", gateway.url)).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_option_and_then_the_profile_decide() {
    let place = tempfile::tempdir().unwrap();
    let style = |style: &str| format!("[default]\ns3 =\n  addressing_style = {style}\n");
    let (aliyun, in_path) = ("oss-cn-hangzhou.aliyuncs.com", format!("http://{DOMAIN}/{BUCKET}"));
    let in_host = format!("http://{BUCKET}.{DOMAIN}");
    for (domain, profile, more, expected) in [
        (DOMAIN, String::new(), &[][..], in_path.clone()),
        (DOMAIN, style("auto"), &[][..], in_path.clone()),
        (DOMAIN, style("virtual"), &[][..], in_host.clone()),
        (DOMAIN, style("path"), &["--force-path-style=false"][..], in_host),
        (DOMAIN, style("virtual"), &["--force-path-style"][..], in_path),
        (aliyun, String::new(), &[][..], format!("http://{BUCKET}.{aliyun}")),
        (aliyun, style("path"), &[][..], format!("http://{aliyun}/{BUCKET}")),
    ] {
        let (s3, state) = (server(domain, |_| {}).await, tempfile::tempdir().unwrap());
        let mut serve = serve_by(&s3, domain, &state, more);
        let gateway = Process::serving({
            serve.envs(configured(place.path(), &profile));
            serve
        })
        .await;
        assert_eq!(asked(&s3), [expected], "{profile:?} {more:?}");
        drop(gateway);
    }
}

/// A server's name, what it refuses, and what it is asked first and then.
type Case = (&'static str, fn(&mut Quirks), [String; 2]);

#[tokio::test(flavor = "multi_thread")]
async fn the_other_style_is_tried_once_and_kept() {
    let aliyun = "oss-cn-hangzhou.aliyuncs.com";
    let cases: [Case; 3] = [
        (
            DOMAIN,
            |quirks| quirks.refuses_paths = Some((403, "SecondLevelDomainForbidden")),
            [format!("http://{DOMAIN}/{BUCKET}"), format!("http://{BUCKET}.{DOMAIN}")],
        ),
        (
            DOMAIN,
            |quirks| quirks.refuses_paths = Some((404, "NoSuchBucket")),
            [format!("http://{DOMAIN}/{BUCKET}"), format!("http://{BUCKET}.{DOMAIN}")],
        ),
        (
            aliyun,
            |quirks| quirks.refuses_hosts = Some((404, "NoSuchBucket")),
            [format!("http://{BUCKET}.{aliyun}"), format!("http://{aliyun}/{BUCKET}")],
        ),
    ];
    for (domain, change, [first, second]) in cases {
        let (s3, state) = (server(domain, change).await, tempfile::tempdir().unwrap());
        let gateway = Process::serving(serve_by(&s3, domain, &state, &[])).await;
        assert_eq!(asked(&s3), [&*first, &*second]);
        assert!(gateway.said.lock().contains("using that"), "{}", gateway.said.lock());
        let file = format!("{}/file", gateway.url);
        assert_eq!(client().get(&file).send().await.unwrap().text().await.unwrap(), "content");
        assert_eq!(client().put(&file).body("new").send().await.unwrap().status(), 204);
        let later = asked(&s3).split_off(2);
        assert!(later.iter().all(|url| url.starts_with(&second)), "{later:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_nowhere_costs_one_question_more_and_none_on_aws() {
    let aws = "s3.us-east-1.amazonaws.com";
    for (domain, more, questions) in
        [(DOMAIN, &[][..], 2), (DOMAIN, &["--force-path-style"][..], 1), (aws, &[][..], 1)]
    {
        let (s3, state) = (server(domain, |_| {}).await, tempfile::tempdir().unwrap());
        let mut serve = serve_by(&s3, domain, &state, more);
        let (code, _, said) = outcome({
            serve.args(["--bucket", "missing"]);
            serve
        })
        .await;
        assert!(code == 1 && said.contains("there is no bucket \"missing\""), "{said}");
        let of_it = asked(&s3).into_iter().filter(|url| url.contains("missing")).count();
        assert_eq!(of_it, questions, "{domain} {more:?}: {:?}", asked(&s3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_profiles_endpoint_is_not_taken_for_aws() {
    let (s3, place) = (server(DOMAIN, |_| {}).await, tempfile::tempdir().unwrap());
    let profile = format!("[default]\nendpoint_url = {}\n", s3.endpoint_url());
    let mut serve = serve(&[], &place, &[]);
    serve.envs(configured(place.path(), &profile));
    let gateway = Process::serving(serve).await;
    let put = client().put(format!("{}/new", gateway.url)).body("new").send().await.unwrap();
    assert_eq!(put.status(), 201);
    assert!(
        asked(&s3).iter().any(|url| url.contains(".s3dav/question")),
        "it is asked whether it keeps conditions"
    );
}
