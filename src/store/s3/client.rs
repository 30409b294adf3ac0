//! The SDK's clients: built from the options, replaced when the region or the credentials change.

use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Credentials, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::pool::{self, ConnectionPool};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::shared::IntoShared;
use aws_types::service_config::ServiceConfigKey;
use parking_lot::RwLock;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::addressing::{Addressing, Style};
use super::attempts::LogAttempts;
use super::bounding::BoundAnswers;
use super::class::Class;
use super::connect_error::ConnectError;
use super::counting::{CountRequests, KeepInTime};
use super::dating::NoteDate;
use super::headers::DropUnreadable;
use super::naming::Naming;
use super::options::{FixedCredentials, S3Options};
use super::profile::Profile;
use crate::store::{NotSignedIn, StoreError};

/// The clients of one bucket.
#[derive(Debug)]
pub(super) struct Clients {
    options: S3Options,
    http: SharedHttpClient,
    count: CountRequests,
    naming: Naming,
    addressing: Addressing,
    /// What to do where the profile brings no credentials.
    hint: Option<String>,
    /// And how often they were made anew.
    current: RwLock<([Client; 3], u64)>,
    reload: Mutex<Option<Instant>>,
}

impl Clients {
    /// Reads configuration and credentials sources; sends nothing to S3.
    pub(super) async fn new(
        options: &mut S3Options,
        bucket: &str,
        count: CountRequests,
    ) -> Result<Arc<Self>, ConnectError> {
        let Profile { style, hint } = Profile::read(options).await?;
        let http = http_client(options).await?;
        let config = load(options, &http).await;
        // The profile may name one; whether it is AWS must not be judged without it.
        let endpoint = options.endpoint_url.take().or_else(|| endpoint_of(&config));
        options.endpoint_url = endpoint.map(|url| with_whole_path(in_small_letters(url)));
        refuse_two_endpoints(options, &config)?;
        let options = options.clone();
        let region = options.region.clone().or_else(|| config.region().map(ToString::to_string));
        let (naming, addressing) = (Naming::default(), Addressing::new(&options, bucket, style));
        let clients = build(&options, &config, region, addressing.style(), &count, &naming);
        let (current, reload) = (RwLock::new((clients, 0)), Mutex::new(None));
        Ok(Arc::new(Self { options, http, count, naming, addressing, hint, current, reload }))
    }

    /// The client for a class of requests, and its generation.
    pub(super) fn get(&self, class: Class) -> (Client, u64) {
        let current = self.current.read();
        (of_class(&current.0, class), current.1)
    }

    /// An error with what the profile asks for, where credentials are missing or have ended.
    pub(super) fn with_hint(&self, error: StoreError) -> StoreError {
        match (error, &self.hint) {
            (StoreError::Credentials(cause), Some(hint)) => {
                let (text, hint) = (cause.to_string(), hint.clone());
                StoreError::Credentials(NotSignedIn { text, hint }.into())
            }
            (error, _) => error,
        }
    }

    /// Whether the endpoint has ever answered.
    pub(super) fn has_heard(&self) -> bool {
        self.count.reach.has_heard()
    }

    /// Where the bucket's name goes.
    pub(super) fn addressing(&self) -> &Addressing {
        &self.addressing
    }

    /// A client that names the bucket so.
    pub(super) async fn in_style(&self, style: Style, class: Class) -> Client {
        of_class(&self.make(self.region(), style).await, class)
    }

    /// Goes on naming the bucket so.
    pub(super) async fn keep(&self, style: Style) {
        self.addressing.keep(style);
        self.rebuild(self.region()).await;
    }

    /// Whether the endpoint names its answers.
    pub(super) fn naming(&self) -> &Naming {
        &self.naming
    }

    /// Goes on with another region.
    pub(super) async fn move_to(&self, region: String) {
        tracing::info!(%region, "the bucket is in another region; continuing there");
        self.rebuild(Some(region)).await;
    }

    /// Reads the credentials sources again, at most every [`RELOAD_PAUSE`]: a file may have been
    /// renewed that the SDK thinks valid still. Says whether there are newer clients than those of
    /// `generation`.
    pub(super) async fn reload(&self, generation: u64) -> bool {
        let mut last = self.reload.lock().await;
        let (_, current) = self.get(Class::List);
        if current != generation {
            return true;
        }
        if last.is_some_and(|last| last.elapsed() < RELOAD_PAUSE) {
            return false;
        }
        self.rebuild(self.region()).await;
        *last = Some(Instant::now());
        true
    }

    fn region(&self) -> Option<String> {
        self.get(Class::List).0.config().region().map(ToString::to_string)
    }

    async fn make(&self, region: Option<String>, style: Style) -> [Client; 3] {
        let config = load(&self.options, &self.http).await;
        build(&self.options, &config, region, style, &self.count, &self.naming)
    }

    async fn rebuild(&self, region: Option<String>) {
        let clients = self.make(region, self.addressing.style()).await;
        let mut current = self.current.write();
        *current = (clients, current.1 + 1);
    }
}

fn of_class([list, read, write]: &[Client; 3], class: Class) -> Client {
    let client = match class {
        Class::List => list,
        Class::Read => read,
        Class::Write => write,
    };
    client.clone()
}

/// The endpoint that the environment or the profile names, the one for S3 first.
fn endpoint_of(config: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url");
    let key = key.build().ok();
    let of_s3 = key.and_then(|key| config.service_config()?.load_config(key));
    of_s3.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// The SDK refuses each request that goes to an endpoint of one's own and to one of AWS's kinds.
fn refuse_two_endpoints(options: &S3Options, config: &SdkConfig) -> Result<(), ConnectError> {
    let Some(endpoint) = &options.endpoint_url else { return Ok(()) };
    let kinds = [
        (options.dual_stack, config.use_dual_stack(), "--dual-stack", "use_dualstack_endpoint"),
        (options.fips, config.use_fips(), "--fips", "use_fips_endpoint"),
    ];
    let chosen = kinds.into_iter().find(|(_, in_use, ..)| *in_use == Some(true));
    let Some((is_given, _, option, setting)) = chosen else { return Ok(()) };
    let kind =
        if is_given { option.to_owned() } else { format!("{setting} of the profile or the environment") };
    Err(ConnectError::TwoEndpoints { kind, endpoint: endpoint.clone() })
}

/// With the scheme in small letters: the SDK knows it by those.
fn in_small_letters(url: String) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{}://{rest}", scheme.to_ascii_lowercase()),
        None => url,
    }
}

/// With a slash behind a path: the SDK would put the bucket's name right behind its last segment.
fn with_whole_path(url: String) -> String {
    let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if has_path && !url.ends_with('/') { url + "/" } else { url }
}

pub(super) async fn load(options: &S3Options, http: &SharedHttpClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http.clone());
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(url) = &options.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if options.no_sign_request {
        loader = loader.no_credentials();
    }
    // Unset they are what the environment or the profile says.
    if options.fips {
        loader = loader.use_fips(true);
    }
    if options.dual_stack {
        loader = loader.use_dual_stack(true);
    }
    if let Some(FixedCredentials { access_key, secret }) = &options.credentials {
        loader = loader.credentials_provider(Credentials::new(access_key, secret, None, None, "embedded"));
        loader = loader.region(Region::new(options.region.clone().unwrap_or_else(|| "us-east-1".into())));
    }
    loader.load().await
}

fn build(
    options: &S3Options,
    config: &SdkConfig,
    region: Option<String>,
    style: Style,
    count: &CountRequests,
    naming: &Naming,
) -> [Client; 3] {
    let (send, check) = if options.sends_checksums() {
        (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
    } else {
        (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
    };
    // Any region answers which one is right; unknown servers take any name.
    let region = region.unwrap_or_else(|| "us-east-1".to_owned());
    PARTITIONS.map(|partition| {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(options.attempt_timeout)
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(MAX_ATTEMPTS)
            .with_initial_backoff(FIRST_BACKOFF)
            .with_max_backoff(LONGEST_BACKOFF);
        let stalled =
            StalledStreamProtectionConfig::enabled().upload_enabled(false).grace_period(STALL_GRACE);
        let config = aws_sdk_s3::config::Builder::from(config)
            .region(Region::new(region.clone()))
            .force_path_style(style == Style::Path)
            .accelerate(options.accelerate)
            .use_arn_region(true)
            .request_checksum_calculation(send)
            .response_checksum_validation(check)
            .timeout_config(timeouts)
            .retry_config(retries)
            .retry_partition(aws_sdk_s3::config::retry::RetryPartition::new(partition))
            .stalled_stream_protection(stalled.build())
            .interceptor(count.clone())
            .interceptor(LogAttempts { bucket: count.bucket.clone() })
            .interceptor(naming.clone())
            .interceptor(BoundAnswers)
            .interceptor(KeepInTime)
            .interceptor(DropUnreadable)
            .interceptor(NoteDate);
        let config = if options.no_sign_request { config.allow_no_auth() } else { config };
        let config = match &options.endpoint_url {
            Some(url) => config.endpoint_url(url),
            None => config,
        };
        Client::from_conf(config.build())
    })
}

pub(super) async fn http_client(options: &S3Options) -> Result<SharedHttpClient, ConnectError> {
    let bundle = options.ca_bundle.clone().or_else(|| std::env::var_os("AWS_CA_BUNDLE").map(Into::into));
    let mut trust = TrustStore::default();
    if let Some(path) = bundle.filter(|path| !path.as_os_str().is_empty()) {
        let shown = path.display().to_string();
        let pem = tokio::fs::read(&path)
            .await
            .map_err(|source| ConnectError::CaBundle { path: shown.clone(), source })?;
        if !is_usable(&pem) {
            return Err(ConnectError::NoCertificate { path: shown });
        }
        trust = trust.with_pem_certificate(pem);
    }
    let tls = TlsContext::builder().with_trust_store(trust).build();
    let tls = tls.map_err(|_| ConnectError::NoCertificate { path: "the certificate store".into() })?;
    let pool = ConnectionPool::builder()
        .idle_timeout(POOL_IDLE)
        .tcp_keepalive(KEEPALIVE)
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build_https()
        .map_err(|e| ConnectError::HttpClient(e.into()))?;
    let client = pool::Client::new(&pool).map_err(|e| ConnectError::HttpClient(e.into()))?;
    Ok(client.into_shared())
}

/// Whether a PEM file holds certificates, and each can be read: the client would panic.
fn is_usable(pem: &[u8]) -> bool {
    let (mut roots, mut count) = (RootCertStore::empty(), 0);
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let is_well = certificate.is_ok_and(|certificate| roots.add(certificate).is_ok());
        if !is_well {
            return false;
        }
        count += 1;
    }
    count > 0
}

const PARTITIONS: [&str; 3] = ["s3dav-list", "s3dav-read", "s3dav-write"];
/// TCP and TLS to a healthy endpoint take 0.3 s from anywhere.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// For blips; longer outages are waited for above, within the request's budget.
const MAX_ATTEMPTS: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
/// S3 closes idle connections after 5 to 20 s; a stale one costs a failed request.
const POOL_IDLE: Duration = Duration::from_secs(10);
/// Notices a dead peer, as after sleep, before the next request does.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// A download may pause this long before it counts as broken and is resumed.
const STALL_GRACE: Duration = Duration::from_secs(10);
/// SSO and process providers are not cheap to ask.
const RELOAD_PAUSE: Duration = Duration::from_secs(5);
