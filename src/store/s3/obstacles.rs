//! What an error of the SDK, of HTTP, TLS or the name service shows of what is wrong on the way to the endpoint.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_http::endpoint::error::ResolveEndpointError;
use aws_smithy_runtime_api::client::dns::ResolveDnsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use rustls::{CertificateError, ClientConfig, ClientConnection, InvalidMessage, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::S3Store;
use super::addressing::Style;
use super::options::{S3Options, host_of};
use super::text::harmless;
use crate::store::StoreError;
use crate::store::obstacle::{CertificateFault, Obstacle};

/// A failure on the way that a second look may explain.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Lost {
    pub(super) text: String,
    pub(super) by: By,
}

/// What was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Nobody knows the host.
    Name,
    /// The connection, before it brought an answer.
    Connection,
}

/// What the error shows by itself.
pub(super) fn of(error: &(dyn Error + 'static)) -> Option<Obstacle> {
    causes(error).find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return of_tls(error);
        }
        let resolving = cause.downcast_ref::<ResolveEndpointError>()?;
        Some(Obstacle::NoAddress(harmless(&resolving.to_string())))
    })
}

/// What a second look may explain.
pub(super) fn lost_by(error: &(dyn Error + 'static)) -> Option<By> {
    causes(error).find_map(|cause| {
        let is_cut = cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_parse() || error.is_closed())
            || cause.downcast_ref::<io::Error>().is_some_and(|error| {
                matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
            });
        if cause.is::<ResolveDnsError>() { Some(By::Name) } else { is_cut.then_some(By::Connection) }
    })
}

/// The endpoint's address, where nobody listens at it. One at AWS is not named in the options, and a proxy may be what
/// refuses.
pub(super) fn refusing(error: &(dyn Error + 'static), options: &S3Options) -> Option<String> {
    let is_refused = causes(error).any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    });
    let url: http::Uri = options.endpoint_url.as_deref()?.parse().ok()?;
    let address = url.authority()?.as_str().rsplit('@').next()?.to_owned();
    (is_refused && !goes_by_proxy()).then_some(address)
}

/// Servers with TLS answer http in words of their own: Go's (MinIO), nginx, Apache.
pub(super) fn wants_tls(answer: Option<&HttpResponse>) -> bool {
    let body = answer.and_then(|answer| answer.body().bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    TLS_WORDS.iter().any(|words| text.contains(words))
}

fn of_tls(error: &rustls::Error) -> Option<Obstacle> {
    match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some(Obstacle::NoTls),
        rustls::Error::InvalidCertificate(error) => Some(Obstacle::Certificate(of_certificate(error))),
        _ => None,
    }
}

fn of_certificate(error: &CertificateError) -> CertificateFault {
    match error {
        CertificateError::UnknownIssuer => CertificateFault::Unknown,
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => CertificateFault::NotNow,
        CertificateError::NotValidForNameContext { expected, .. } => {
            CertificateFault::OtherHost(expected.to_str().into_owned())
        }
        CertificateError::NotValidForName => CertificateFault::OtherHost("this host".to_owned()),
        CertificateError::Other(other) if is_of_authority(&*other.0) => CertificateFault::Authority,
        other => CertificateFault::Other(harmless(&other.to_string())),
    }
}

fn is_of_authority(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// The error and all that it comes from; what an [`io::Error`] holds is not its source, but it.
pub(super) fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| next_cause(*error))
}

fn next_cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

impl S3Store {
    /// The error, or what a second look shows to be behind it.
    pub(super) async fn looked_at_again(&self, error: StoreError) -> StoreError {
        let StoreError::Unavailable(cause) = &error else { return error };
        let Some(Lost { by, .. }) = cause.downcast_ref() else { return error };
        let found = timeout(LOOK, self.look(*by)).await;
        found.ok().flatten().map_or(error, StoreError::Blocked)
    }

    async fn look(&self, by: By) -> Option<Obstacle> {
        let url = self.options.endpoint_url.as_deref()?;
        let (uri, host) = (url.parse::<http::Uri>().ok()?, host_of(url)?);
        let port = uri.port_u16().unwrap_or(if self.options.is_https() { 443 } else { 80 });
        match by {
            // Whose name a proxy looks up, or is.
            By::Name if goes_by_proxy() => None,
            By::Name if self.bucket.starts_with("arn:") => Some(Obstacle::NoAccessPoint(host)),
            By::Name => match lookup_host((host.clone(), port)).await {
                Ok(_) if self.clients.addressing().style() == Style::Host => {
                    Some(Obstacle::NoHost(format!("{}.{host}", self.bucket)))
                }
                // One that was known is away with the network.
                Err(error) if is_no_name(&error) && !self.clients.has_heard() => {
                    Some(Obstacle::UnknownHost(host))
                }
                _ => None,
            },
            By::Connection if !self.options.is_https() && !self.clients.has_heard() => {
                speaks_tls(&host, port).await?.then_some(Obstacle::OnlyTls)
            }
            _ => None,
        }
    }
}

/// Whether the environment names a proxy, for whatever hosts.
fn goes_by_proxy() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    PROXIES.iter().any(|name| is_set(name) || is_set(&name.to_ascii_uppercase()))
}

/// Whether the name service says that there is no such host, and not that it cannot be asked. It has a code for
/// that, which only its text tells.
fn is_no_name(error: &io::Error) -> bool {
    let text = error.to_string();
    NO_NAME.iter().any(|words| text.contains(words))
}

/// Whether a port answers the begin of a TLS handshake in kind.
async fn speaks_tls(host: &str, port: u16) -> Option<bool> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(host.to_owned()).ok()?;
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(config), name).ok()?.write_tls(&mut hello).ok()?;
    let mut stream = TcpStream::connect((host, port)).await.ok()?;
    stream.write_all(&hello).await.ok()?;
    Some(TLS_RECORDS.contains(&stream.read_u8().await.ok()?))
}

/// What these say of http at a port that speaks https.
const TLS_WORDS: [&str; 3] =
    ["http request to an https server", "sent to https port", "ssl-enabled server port"];
const PROXIES: [&str; 3] = ["http_proxy", "https_proxy", "all_proxy"];
/// Of glibc, musl and macOS, which says so while there is no network, too.
const NO_NAME: [&str; 4] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "nodename nor servname provided",
];
/// The first byte of an alert and of a handshake.
const TLS_RECORDS: [u8; 2] = [21, 22];
/// A second look is for somebody who waits.
const LOOK: Duration = Duration::from_secs(2);
