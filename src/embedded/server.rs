//! The server around the service: accepting, counting, and doing harm on request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::answers::Asked;
use super::bodies::{Body, BoxError, interrupted, slowly, whole};
use super::hooks::{Action, Hooks};
use super::hosts::{self, Hosts};
use super::keys::Keys;
use super::policies::{hides_absence, refusal};
use super::service::Service;
use super::storage::Storage;
use super::wrong;

/// How the server runs.
#[derive(Debug, Clone, Default)]
pub struct EmbeddedOptions {
    /// Keep objects as files here; `None`: in memory.
    pub data: Option<PathBuf>,
    /// Buckets that exist from the start.
    pub buckets: Vec<String>,
    /// Added to every answer.
    pub latency: Duration,
    /// The only ones that it knows; `None`: random ones.
    pub keys: Option<Keys>,
    /// Serves below this path, as gateways of others do. Signatures are of the whole path, and not looked at then.
    pub below: Option<String>,
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct EmbeddedS3 {
    address: SocketAddr,
    hooks: Hooks,
    storage: Storage,
    keys: Keys,
    below: Option<String>,
    ending: CancellationToken,
    accepting: AbortOnDropHandle<()>,
}

impl EmbeddedS3 {
    /// Serves on `listener` until dropped.
    pub async fn start(listener: TcpListener, options: EmbeddedOptions) -> std::io::Result<Self> {
        let storage = Storage::open(options.data.as_deref(), &options.buckets).await?;
        let hooks = Hooks::default();
        let mut builder = S3ServiceBuilder::new(Service::new(storage.clone(), hooks.clone()));
        let keys = options.keys.unwrap_or_else(Keys::random);
        let below = options.below;
        if below.is_none() {
            builder.set_auth(Known(keys.clone()));
        }
        builder.set_host(Hosts(hooks.clone()));
        hooks.set_latency(options.latency);
        let address = listener.local_addr()?;
        let serving = Serving { service: builder.build(), hooks: hooks.clone(), below: below.clone() };
        let ending = CancellationToken::new();
        // The connections are owned by the accepting task and end with it.
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, serving, ending.clone())));
        Ok(Self { address, hooks, storage, keys, below, ending, accepting })
    }

    /// Ends it; when this returns nothing answers any more.
    pub async fn stop(self) {
        self.ending.cancel();
        // A panic of its is no concern of whoever ends it.
        let _ = self.accepting.await;
    }

    /// Where it listens.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}{}", self.address, self.below.as_deref().unwrap_or_default())
    }

    /// What lets a client in.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Makes empty objects, many at once: to put 100,000 takes minutes. Blocks.
    pub fn fill(&self, bucket: &str, keys: impl IntoIterator<Item = String>) -> std::io::Result<()> {
        self.storage.fill(bucket, keys)
    }

    /// Counters and faults.
    pub fn hooks(&self) -> &Hooks {
        &self.hooks
    }
}

/// Lets one key in, and says of others what S3 says.
struct Known(Keys);

#[async_trait::async_trait]
impl S3Auth for Known {
    async fn get_secret_key(&self, access_key: &str) -> s3s::S3Result<SecretKey> {
        if access_key == self.0.access_key {
            Ok(SecretKey::from(self.0.secret.as_str()))
        } else {
            Err(s3s::s3_error!(InvalidAccessKeyId))
        }
    }
}

/// What a connection needs.
#[derive(Clone)]
struct Serving {
    service: S3Service,
    hooks: Hooks,
    below: Option<String>,
}

async fn accept(listener: TcpListener, serving: Serving, ending: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = ending.cancelled() => return connections.shutdown().await,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(serve(stream, serving.clone()))),
            Err(error) => {
                tracing::warn!(%error, "the embedded server could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, serving: Serving) {
    // Without this, small answers wait 40 ms for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |mut request| {
        let Serving { service, hooks, below } = serving.clone();
        async move {
            let answer = if is_found(&mut request, below.as_deref()) {
                handle(request, &service, &hooks).await
            } else {
                drained(request, error(404, "NoSuchBucket", "There is nothing here")).await
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    // A client that breaks off is its own business.
    let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer).await;
}

/// Makes a request what it would be at the root; says whether there is anything.
fn is_found<B>(request: &mut Request<B>, below: Option<&str>) -> bool {
    let Some(below) = below else { return true };
    let target = request.uri().to_string();
    let inner = target.strip_prefix(below).filter(|inner| inner.starts_with('/'));
    let Some(uri) = inner.and_then(|inner| inner.parse().ok()) else { return false };
    *request.uri_mut() = uri;
    request.headers_mut().remove("authorization");
    true
}

async fn handle(request: Request<Incoming>, service: &S3Service, hooks: &Hooks) -> Response<Body> {
    let quirks = hooks.quirks();
    let uri = hosts::in_path_style(&quirks, request.uri(), request.headers());
    let operation = operation(request.method(), &uri, request.headers());
    let target = request.uri().to_string();
    let action = hooks.note(operation, &target);
    let latency = hooks.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if let Some(region) = hooks.region().filter(|region| !signed_for(request.headers(), region)) {
        let mut answer = error(301, "PermanentRedirect", "The bucket is in another region");
        if let Ok(value) = region.parse() {
            answer.headers_mut().insert("x-amz-bucket-region", value);
        }
        return drained(request, answer).await;
    }
    let refused = hosts::refusal(&quirks, request.headers());
    let refused = refused.or_else(|| refusal(&quirks, operation, &uri, request.headers()));
    if let Some((status, code, message)) = refused {
        return drained(request, error(status, code, message)).await;
    }
    let is_s3s = !matches!(action, Some(Action::CaptivePortal | Action::NotFoundPage { .. }));
    let asked = Asked::new(operation, &request);
    let answer = match asked.refusal(&quirks) {
        Some((status, code)) => drained(request, error(status, code, "This server does not")).await,
        None => act(request, service, action).await,
    };
    let mut answer = asked.answered(answer, &quirks).await;
    if is_s3s && answer.status() == StatusCode::NOT_FOUND && hides_absence(&quirks, operation) {
        answer = error(403, "AccessDenied", "Access Denied");
    }
    if is_s3s && !hooks.leaves_unnamed(operation) {
        let id = HeaderValue::from(hooks.total());
        answer.headers_mut().insert("x-amz-request-id", id);
    }
    if let Some(server) = quirks.server.filter(|_| is_s3s) {
        answer.headers_mut().insert("server", HeaderValue::from_static(server));
    }
    answer
}

async fn act(request: Request<Incoming>, service: &S3Service, action: Option<Action>) -> Response<Body> {
    match action {
        Some(Action::Fail { status, code, message }) => drained(request, error(status, code, message)).await,
        Some(Action::CaptivePortal) => {
            let page = "<html><body>Please log in to the network.</body></html>";
            drained(request, Response::new(whole(page.into()))).await
        }
        Some(Action::NotFoundPage { content_type, page }) => {
            let mut answer = Response::new(whole(page.to_owned()));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
            drained(request, answer).await
        }
        Some(Action::Skewed(ahead)) => {
            let answer = error(403, "RequestTimeTooSkewed", "The difference between the clocks is too large");
            drained(request, wrong::dated(answer, ahead)).await
        }
        Some(Action::ListAgain(tokens)) => {
            let target = request.uri().to_string();
            wrong::going_on(call(request, service).await, &target, tokens).await
        }
        Some(Action::ApplyThenFail) => {
            call(request, service).await;
            error(500, "InternalError", "The answer was lost")
        }
        Some(Action::Hold(gate)) => {
            let answer = call(request, service).await;
            gate.passed().await;
            answer
        }
        Some(Action::HoldFirst(gate)) => {
            gate.passed().await;
            call(request, service).await
        }
        Some(Action::CutBody(after)) => {
            call(request, service).await.map(|body| interrupted(body, after, None))
        }
        Some(Action::StallBody(after, gate)) => {
            call(request, service).await.map(|body| interrupted(body, after, Some(gate)))
        }
        Some(Action::SlowUpload(pause)) => call(request.map(|body| slowly(body, pause)), service).await,
        None => call(request, service).await,
    }
}

async fn call(request: Request<impl Into<s3s::Body>>, service: &S3Service) -> Response<Body> {
    match service.call(request.map(Into::into)).await {
        Ok(answer) => answer.map(|body| body.map_err(BoxError::from).boxed_unsync()),
        Err(_) => error(500, "InternalError", "The request could not be handled"),
    }
}

/// Reads the request's body, so that the client gets its answer rather than a broken pipe.
async fn drained(request: Request<Incoming>, answer: Response<Body>) -> Response<Body> {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    answer
}

fn error(status: u16, code: &str, message: &str) -> Response<Body> {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut answer = Response::new(whole(xml));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}

/// Whether the signature's scope names this region.
fn signed_for(headers: &HeaderMap, region: &str) -> bool {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    authorization.is_none_or(|text| text.contains(&format!("/{region}/s3/aws4_request")))
}

/// The S3 operation that a request is, by its shape.
fn operation(method: &Method, uri: &Uri, headers: &HeaderMap) -> &'static str {
    let query = uri.query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let on_object =
        uri.path().trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
    let copies = headers.contains_key("x-amz-copy-source");
    match (method.as_str(), on_object) {
        ("GET", false) if has("uploads") => "ListMultipartUploads",
        ("GET", false) if uri.path() == "/" => "ListBuckets",
        ("GET", false) => "ListObjectsV2",
        ("HEAD", false) => "HeadBucket",
        ("PUT", false) => "CreateBucket",
        ("POST", false) if has("delete") => "DeleteObjects",
        ("GET", true) if has("uploadId") => "ListParts",
        ("GET", true) if has("tagging") => "GetObjectTagging",
        ("GET", true) => "GetObject",
        ("HEAD", true) => "HeadObject",
        ("PUT", true) if has("partNumber") && copies => "UploadPartCopy",
        ("PUT", true) if has("partNumber") => "UploadPart",
        ("PUT", true) if copies => "CopyObject",
        ("PUT", true) => "PutObject",
        ("POST", true) if has("uploads") => "CreateMultipartUpload",
        ("POST", true) if has("uploadId") => "CompleteMultipartUpload",
        ("DELETE", true) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", true) => "DeleteObject",
        _ => "Other",
    }
}

/// Out of file descriptors, most likely: let some go before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
