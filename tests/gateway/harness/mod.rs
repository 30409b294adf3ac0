//! A real gateway over a real S3 protocol server, in a few lines.

pub mod browser;
mod bucket;
pub mod clients;
pub mod dice;
pub mod docker;
pub mod door;
pub mod drained;
pub mod faults;
pub mod front;
pub mod held;
mod layered;
pub mod process;
pub mod raw;
pub mod tls;
pub mod trace;
pub mod users;
pub mod xml;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response};
use s3dav::commands::gateway::Gateway;
use s3dav::config::{BucketSource, BucketSpec, Config, Listen, Source};
use s3dav::embedded::{EmbeddedOptions, EmbeddedS3, Hooks, Keys};
use s3dav::fs::path::PathOptions;
use s3dav::http::auth::Access;
use s3dav::shutdown::Shutdown;
use s3dav::store::s3::{FixedCredentials, S3Options};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use bucket::Bucket;

/// The bucket of most tests.
pub const BUCKET: &str = "bucket";
/// Access key and secret of all S3 servers that tests start, so that any gateway reaches any of them.
pub const KEYS: (&str, &str) = ("s3dav-tests", "not-a-secret");

/// A gateway that runs until dropped, and what is behind it.
pub struct TestGateway {
    pub url: String,
    behind: Behind,
    pub client: Client,
    pub shutdown: Shutdown,
    pub state: Arc<TempDir>,
    running: Option<JoinHandle<()>>,
}

/// What a gateway serves.
#[derive(Clone)]
pub enum Behind {
    S3(Arc<EmbeddedS3>),
    Directory(Arc<TempDir>),
    /// The bucket of another server, by its endpoint.
    Elsewhere(String),
}

/// An embedded server with a bucket.
pub async fn embedded() -> Arc<EmbeddedS3> {
    embedded_with(&[BUCKET]).await
}

pub async fn embedded_with(buckets: &[&str]) -> Arc<EmbeddedS3> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Arc::new(EmbeddedS3::start(listener, embedded_options(buckets)).await.unwrap())
}

/// Options of a server with buckets that knows [`KEYS`].
pub fn embedded_options(buckets: &[&str]) -> EmbeddedOptions {
    let keys = Keys { access_key: KEYS.0.to_owned(), secret: KEYS.1.to_owned() };
    let buckets = buckets.iter().map(|name| name.to_string()).collect();
    EmbeddedOptions { buckets, keys: Some(keys), ..Default::default() }
}

/// Options to reach an endpoint with the embedded server's credentials, or with its own.
pub fn s3_options(endpoint: &str) -> S3Options {
    let other = std::env::var("S3DAV_MODEL_ENDPOINT").ok().filter(|other| other == endpoint);
    let keys = other.and_then(|_| std::env::var("S3DAV_MODEL_KEYS").ok());
    let (access_key, secret) = keys.as_deref().and_then(|keys| keys.split_once(':')).unwrap_or(KEYS);
    S3Options {
        endpoint_url: Some(endpoint.to_owned()),
        force_path_style: Some(true),
        credentials: Some(FixedCredentials { access_key: access_key.into(), secret: secret.into() }),
        ..S3Options::default()
    }
}

/// A configuration that serves `buckets` of an endpoint.
pub fn config(endpoint: &str, buckets: &[&str], state: &TempDir) -> Config {
    let buckets: Vec<BucketSpec> = buckets.iter().map(|name| BucketSpec::parse(name).unwrap()).collect();
    // The embedded server keeps conditions; tests say where one is to be asked.
    let source = BucketSource { trusts_conditions: true, ..BucketSource::new(buckets, s3_options(endpoint)) };
    open_config(Source::Buckets(Box::new(source)), state)
}

/// A configuration of a free port that lets everybody in: tests say who is asked for a password.
fn open_config(source: Source, state: &TempDir) -> Config {
    let listen = Listen::parse(&["127.0.0.1:0".to_owned()]).unwrap();
    Config { listen, access: Access::Anyone, ..Config::new(source, state.path().join("state")) }
}

/// A configuration that serves a directory.
pub fn path_config(directory: &TempDir, state: &TempDir) -> Config {
    open_config(Source::Path(PathOptions::new(directory.path().to_owned())), state)
}

/// The part of a configuration that is about buckets.
pub fn buckets(config: &mut Config) -> &mut BucketSource {
    match &mut config.source {
        Source::Buckets(source) => source,
        Source::Path(_) | Source::Far(_) => panic!("no buckets are served"),
    }
}

impl TestGateway {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one that remembers nothing, for tests that change the bucket behind its back.
    pub async fn forgetful() -> Self {
        Self::start_with(|config| buckets(config).cache.times.metadata = Duration::ZERO).await
    }

    /// Starts with a changed configuration.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(embedded().await, Arc::new(tempfile::tempdir().unwrap()), change).await
    }

    /// Starts on a server and a state that were there before.
    pub async fn start_on(
        s3: Arc<EmbeddedS3>,
        state: Arc<TempDir>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::start_behind(Behind::S3(s3), state, change).await
    }

    /// One that serves a directory.
    pub async fn on_a_path() -> Self {
        Self::on_directory(tempfile::tempdir().unwrap()).await
    }

    /// Serves this directory.
    pub async fn on_directory(directory: TempDir) -> Self {
        let directory = Behind::Directory(Arc::new(directory));
        Self::start_behind(directory, Arc::new(tempfile::tempdir().unwrap()), |_| {}).await
    }

    /// One of each kind: what both promise is tested on both.
    pub async fn both() -> [Self; 2] {
        [Self::start().await, Self::on_a_path().await]
    }

    /// Starts on what was there before.
    pub async fn start_behind(behind: Behind, state: Arc<TempDir>, change: impl FnOnce(&mut Config)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_at(listener, behind, state, change).await
    }

    /// The same at a socket that is there already.
    pub async fn start_at(
        listener: TcpListener,
        behind: Behind,
        state: Arc<TempDir>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = match &behind {
            Behind::S3(s3) => config(&s3.endpoint_url(), &[BUCKET], &state),
            Behind::Directory(directory) => path_config(directory, &state),
            Behind::Elsewhere(endpoint) => config(endpoint, &[BUCKET], &state),
        };
        if let Source::Buckets(buckets) = &mut config.source {
            // A minute elsewhere.
            buckets.uploads.doubt_age = Duration::from_millis(100);
        }
        change(&mut config);
        let shutdown = Shutdown::default();
        let gateway = Gateway::new(config, vec![listener], shutdown.clone()).await;
        let gateway = gateway.unwrap_or_else(|failure| panic!("{:#} ({:?})", failure.error, failure.hint));
        let url = gateway.urls()[0].trim_end_matches('/').to_owned();
        let running = Some(tokio::spawn(gateway.run()));
        if let Behind::S3(s3) = &behind {
            s3.hooks().reset();
        }
        Self { url, behind, client: client(), shutdown, state, running }
    }

    /// Ends it as Ctrl-C does; returns the server and the state for another one.
    pub async fn stop(self) -> (Arc<EmbeddedS3>, Arc<TempDir>) {
        let s3 = Arc::clone(self.s3());
        (s3, self.end().await.1)
    }

    /// The same, of either kind.
    pub async fn end(mut self) -> (Behind, Arc<TempDir>) {
        self.shutdown.begin();
        self.running.take().unwrap().await.unwrap();
        (self.behind.clone(), Arc::clone(&self.state))
    }

    /// The same gateway for another task; this one must outlive it.
    pub fn clone_handle(&self) -> Self {
        Self {
            url: self.url.clone(),
            behind: self.behind.clone(),
            client: self.client.clone(),
            shutdown: Shutdown::default(),
            state: Arc::clone(&self.state),
            running: None,
        }
    }

    pub fn is_bucket(&self) -> bool {
        matches!(self.behind, Behind::S3(_) | Behind::Elsewhere(_))
    }

    /// Whether what is behind it can be made to fail.
    pub fn has_hooks(&self) -> bool {
        matches!(self.behind, Behind::S3(_))
    }

    /// The S3 server behind it.
    pub fn s3(&self) -> &Arc<EmbeddedS3> {
        match &self.behind {
            Behind::S3(s3) => s3,
            _ => panic!("it serves no embedded server"),
        }
    }

    /// The directory behind it.
    pub fn directory(&self) -> &Path {
        match &self.behind {
            Behind::Directory(directory) => directory.path(),
            _ => panic!("it serves a bucket"),
        }
    }

    pub fn hooks(&self) -> &Hooks {
        self.s3().hooks()
    }

    pub fn address(&self) -> String {
        self.url.trim_start_matches("http://").to_owned()
    }

    /// A request to a path, percent-encoded as given.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// The status of a request without a body.
    pub async fn status(&self, method: &str, path: &str) -> u16 {
        self.request(method, path).send().await.unwrap().status().as_u16()
    }

    pub async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> u16 {
        self.request("PUT", path).body(body).send().await.unwrap().status().as_u16()
    }

    pub async fn get(&self, path: &str) -> (u16, Bytes) {
        let answer = self.request("GET", path).send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap())
    }

    /// COPY or MOVE.
    pub async fn transfer(&self, method: &str, from: &str, to: &str) -> u16 {
        let request = self.request(method, from).header("Destination", format!("{}{to}", self.url));
        request.send().await.unwrap().status().as_u16()
    }

    /// The hrefs of a PROPFIND, in order.
    pub async fn hrefs(&self, path: &str, depth: &str) -> Vec<String> {
        let answer = self.propfind(path, depth, "").await;
        assert_eq!(answer.status(), 207, "{path}");
        hrefs(&answer.text().await.unwrap())
    }

    pub async fn propfind(&self, path: &str, depth: &str, body: &str) -> Response {
        let request = self.request("PROPFIND", path).header("Depth", depth).body(body.to_owned());
        request.send().await.unwrap()
    }

    /// What is behind, past the gateway.
    pub async fn bucket(&self) -> Bucket {
        match &self.behind {
            Behind::S3(s3) => Bucket::of(&s3.endpoint_url(), BUCKET).await,
            Behind::Directory(directory) => Bucket::Directory(directory.path().to_owned()),
            Behind::Elsewhere(endpoint) => Bucket::of(endpoint, BUCKET).await,
        }
    }

    /// How many requests it has sent to S3, as it counts them itself.
    pub async fn s3_requests(&self) -> u64 {
        self.counted("s3dav_s3_requests_total").await
    }

    /// The same of one operation, since the gateway began to start.
    pub async fn s3_requests_of(&self, operation: &str) -> u64 {
        self.counted(&format!("s3dav_s3_requests_total{{operation=\"{operation}\"")).await
    }

    async fn counted(&self, beginning: &str) -> u64 {
        let told = String::from_utf8(self.get("/.s3dav/metrics").await.1.into()).unwrap();
        let counts = told.lines().filter(|line| line.starts_with(beginning));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Behind::S3(s3) = &self.behind
        {
            eprintln!("the latest requests to S3:");
            let transcript = s3.hooks().transcript();
            transcript
                .iter()
                .rev()
                .take(40)
                .rev()
                .for_each(|(operation, target)| eprintln!("  {operation} {target}"));
        }
        self.shutdown.begin();
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}

/// A file of this repository.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A client that never pools longer than a test and never follows redirects.
pub fn client() -> Client {
    client_builder().build().unwrap()
}

pub fn client_builder() -> ClientBuilder {
    // A test that waits for ever would hold up all that come after it.
    let client = Client::builder().timeout(Duration::from_secs(600));
    client.redirect(reqwest::redirect::Policy::none()).no_proxy()
}

/// Makes a named pipe.
pub fn make_pipe(path: &Path) {
    #[cfg(target_os = "linux")]
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    // There is no such call in rustix, but always the program.
    #[cfg(not(target_os = "linux"))]
    assert!(std::process::Command::new("/usr/bin/mkfifo").arg(path).status().unwrap().success());
}

/// The texts of all `href` elements of a multistatus.
pub fn hrefs(xml: &str) -> Vec<String> {
    let starts = xml.split("<D:href>").skip(1);
    starts.map(|rest| rest.split("</D:href>").next().unwrap().to_owned()).collect()
}

/// Waits until `condition` holds; a test that waits for more than a minute has failed.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    eventually_within(Duration::from_secs(60), what, condition).await;
}

/// The same of what may take another time.
pub async fn eventually_within<F: Future<Output = bool>>(
    limit: Duration,
    what: &str,
    condition: impl Fn() -> F,
) {
    let end = tokio::time::Instant::now() + limit;
    while !condition().await {
        assert!(tokio::time::Instant::now() < end, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The ids of the multipart uploads under way in the bucket.
pub async fn open_uploads(s3: &EmbeddedS3) -> Vec<String> {
    let (access_key, secret) = KEYS;
    let credentials = aws_sdk_s3::config::Credentials::new(access_key, secret, None, None, "test");
    let config = aws_sdk_s3::config::Builder::new()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::v2026_01_12())
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .endpoint_url(s3.endpoint_url())
        .force_path_style(true)
        .credentials_provider(credentials)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let client = aws_sdk_s3::Client::from_conf(config);
    let output = client.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    output.uploads().iter().filter_map(|upload| upload.upload_id().map(str::to_owned)).collect()
}
