//! A gateway put together from its configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::control_handler::{ControlHandler, Keeping};
use super::share::{Content, FarEnd, Served};
use super::{CommandError, closing, listeners, share};
use crate::config::{Config, Source};
use crate::control::{self, Who};
use crate::dav::engine::Engine;
use crate::dav::locks::LockTable;
use crate::descriptors;
use crate::fs::UrlPrefix;
use crate::http::auth::{Access, Auth, AuthMode, Credentials, Deputies};
use crate::http::{Behind, Limits, Server, Service};
use crate::metrics::Metrics;
use crate::mount::Deputy;
use crate::notify;
use crate::path_key::PathKey;
use crate::peer;
use crate::relay::Relay;
use crate::shutdown::Shutdown;
use crate::sockets::{self, Holder};
use crate::state::{SourceNote, State, StateError};

/// A gateway that has its sockets, its state and its clients, and waits for [`Gateway::run`].
pub struct Gateway {
    server: Server,
    /// At the address for metrics alone, where there is one.
    metrics_server: Option<Server>,
    control_handler: ControlHandler,
    service: Service,
    state: State,
    metrics: Metrics,
    shutdown: Shutdown,
    timeouts: closing::Timeouts,
    /// What its state belongs to, for whoever finds that.
    note: Option<SourceNote>,
    /// Reached for as long as requests are under way.
    far: Option<FarEnd>,
}

impl Gateway {
    /// Puts a gateway together on `listeners`. Buckets that can never be served end it here, and leave no state; an
    /// S3 that is away does not.
    pub async fn new(
        config: Config,
        listeners: Vec<TcpListener>,
        shutdown: Shutdown,
    ) -> Result<Self, CommandError> {
        let metrics = Metrics::default();
        let urls = urls(&listeners, &config.service.url_prefix);
        let description = urls.first().cloned().unwrap_or_default();
        let socket = sockets::identity(&listeners);
        let metrics_listener = config.metrics_listen.map(listeners::bind_for_metrics).transpose()?;
        let state = open_state(&config.state_dir, &description, &socket, &metrics).await?;
        let made = Self::with_state(config, listeners, urls, state.clone(), metrics, shutdown).await;
        let made = made.and_then(|gateway| gateway.with_metrics_at(metrics_listener));
        if made.is_err() {
            abandon(state).await;
        }
        made
    }

    async fn with_state(
        config: Config,
        listeners: Vec<TcpListener>,
        urls: Vec<String>,
        state: State,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> Result<Self, CommandError> {
        let (descriptors, timeouts) = (raise_descriptors(&metrics), closing::Timeouts::of(&config));
        let locks = LockTable::load(state.clone()).await?;
        let (source, shelf, slow_save) = (config.source.to_string(), config.shelf, config.notify.slow);
        let left = share::left(&state);
        let Served { content, cache, bucket, intakes, cautions, answering, directory } = match config.source {
            Source::Buckets(source) => {
                let locks = locks.clone();
                let is_open = Arc::new(move |path: &PathKey| locks.is_locked(path));
                share::of_buckets(*source, shelf, is_open, &state, left, &metrics, &shutdown).await?
            }
            Source::Path(options) => {
                share::of_path(options, shelf, &state, left, &metrics, &shutdown).await?
            }
            Source::Far(source) => share::of_far(*source, &state, &metrics, &shutdown).await?,
        };
        let mut options = config.service;
        options.shares_localhost = sockets::share_localhost(&listeners);
        options.auth = auth(config.access, &state);
        warn_of_blindness(options.auth.mode());
        let deputy = Deputy::new(urls.clone()).await;
        if let Some(deputy) = deputy.clone() {
            options.auth = options.auth.with_deputies(Arc::new(MountProgram(deputy)));
        }
        let (auth, read_only) = (options.auth.mode(), options.read_only);
        let (behind, far) = behind(content, &source, locks, &state, &shutdown);
        let service = Service::new(behind, options, metrics.clone(), answering.clone());
        let (challenges, front) = (service.challenges(), service.clone());
        let server = Server::new(listeners, service, config.limits.within(descriptors));
        notify::start(config.notify, &state, &metrics, &shutdown);
        let control_handler = ControlHandler {
            source,
            urls,
            started: SystemTime::now(),
            state: state.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
            cache,
            bucket,
            intakes,
            shelf_limit: shelf.limit,
            slow_save,
            auth,
            has_given_login: config.login.is_some(),
            detached: config.detached,
            read_only,
            options: Vec::new(),
            cautions: [cautions, config.replaced].concat(),
            holder: Holder::Itself,
            orphaned: OnceLock::new(),
            keeping: Arc::new(Keeping::new(config.mount.map(|options| options.point))),
            challenges,
            deputy,
            answering,
            directory,
        };
        Ok(Self {
            server,
            metrics_server: None,
            control_handler,
            service: front,
            state,
            metrics,
            shutdown,
            timeouts,
            note: None,
            far,
        })
    }

    /// The same, with its metrics at an address of their own.
    fn with_metrics_at(self, listener: Option<TcpListener>) -> Result<Self, CommandError> {
        let Some(listener) = listener else { return Ok(self) };
        let address = listener.local_addr()?;
        let server = Server::new(vec![listener], self.service.metrics_alone(), Limits::of_metrics());
        tracing::info!(url = format!("http://{address}/metrics"), "serving metrics");
        Ok(Self { metrics_server: Some(server), ..self })
    }

    /// The addresses that are served, as URLs.
    pub fn urls(&self) -> Vec<String> {
        self.control_handler.urls.clone()
    }

    /// Says whose its sockets are.
    pub fn set_holder(&mut self, holder: Holder) {
        self.control_handler.holder = holder;
    }

    /// The gateway that it leads to.
    pub(super) fn relay(&self) -> Option<Relay> {
        self.far.as_ref().map(|far| far.relay.clone())
    }

    /// Tells the requests that change something and are under way when it is called.
    pub(super) fn writes(&self) -> impl Fn() -> TaskTracker + use<> {
        let service = self.service.clone();
        move || service.writes_under_way()
    }

    /// Says what its state is to be known by.
    pub(super) fn set_note(&mut self, note: SourceNote) {
        self.note = Some(note);
    }

    /// Says what it was started with.
    pub fn set_options(&mut self, options: Vec<String>) {
        self.control_handler.options = options;
    }

    /// What is to be kept mounted.
    pub(super) fn keeping(&self) -> Arc<Keeping> {
        Arc::clone(&self.control_handler.keeping)
    }

    /// Whose programs of a mount come in, if anybody's.
    pub(super) fn deputy(&self) -> Option<Deputy> {
        self.control_handler.deputy.clone()
    }

    /// Whether the password of the life before is no longer valid.
    pub(super) fn has_new_credential(&self) -> bool {
        self.state.has_new_credential()
    }

    /// Who may come in: `peer`, `basic` or `none`.
    pub fn auth(&self) -> AuthMode {
        self.control_handler.auth
    }

    /// What it keeps on this machine.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The gateway's counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Serves until the shutdown begins, then ends in order: requests, uploads, state.
    pub async fn run(self) {
        let Self { server, metrics_server, control_handler, state, metrics, shutdown, timeouts, .. } = self;
        let (note, far) = (self.note, self.far);
        let is_bucket = control_handler.directory.is_none() && far.is_none();
        let note = write_note(note, &state).await;
        // Open until everything has ended: then a command sees that.
        let door = match control::open(state.directory(), Who::Gateway) {
            Ok(door) => Some(door),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the control socket cannot be opened; `s3dav status` will not find this gateway"
                );
                None
            }
        };
        let life = async {
            let of_metrics = async {
                if let Some(server) = metrics_server {
                    server.run(&shutdown, timeouts.requests).await;
                }
            };
            tokio::join!(server.run(&shutdown, timeouts.requests), of_metrics);
            closing::close(&state, &shutdown, timeouts.rest).await;
            drop(far);
        };
        match &door {
            Some(door) => door.answer_during(Arc::new(control_handler), life).await,
            None => life.await,
        }
        drop(door);
        if is_bucket && !metrics.has_reached_s3() {
            abandon(state).await;
        } else {
            write_note(note, &state).await;
        }
    }
}

/// Who may come in; by the state's own password, where none was given.
fn auth(access: Access, state: &State) -> Auth {
    access.with(|| {
        let credential = state.credential();
        Credentials::new(&credential.user, &credential.password)
    })
}

/// Who carries requests out.
fn behind(
    content: Content,
    source: &str,
    locks: LockTable,
    state: &State,
    shutdown: &Shutdown,
) -> (Behind, Option<FarEnd>) {
    match content {
        Content::Share(share) => {
            (Behind::Engine(Engine::new(share, source, locks, state.clone(), shutdown)), None)
        }
        Content::Relay(far) => (Behind::Relay(far.relay.clone()), Some(far)),
    }
}

/// Leaves no state behind that belongs to nothing.
async fn abandon(state: State) {
    // It panics for no reason; then it stays.
    let _ = tokio::task::spawn_blocking(move || state.abandon()).await;
}

/// Notes whose the state is, and when it was last used.
async fn write_note(note: Option<SourceNote>, state: &State) -> Option<SourceNote> {
    let (mut note, directory) = (note?, state.directory().to_owned());
    let written = tokio::task::spawn_blocking(move || note.write(&directory).map(|()| note)).await;
    match written {
        Ok(Ok(note)) => Some(note),
        Ok(Err(error)) => {
            tracing::debug!(%error, "cannot record which source the state belongs to");
            None
        }
        Err(_) => None,
    }
}

async fn open_state(
    directory: &Path,
    description: &str,
    socket: &str,
    metrics: &Metrics,
) -> Result<State, CommandError> {
    const PLACE: &str = "the state database";
    let (state, later) =
        (State::open_at(directory, description, socket).await.map_err(taken)?, metrics.clone());
    metrics.note_trouble(PLACE, state.damage());
    state.on_damage(move |told| later.note_trouble(PLACE, Some(told)));
    Ok(state)
}

/// Lets the program of a mount in.
struct MountProgram(Deputy);

#[async_trait]
impl Deputies for MountProgram {
    async fn are(&self, uid: u32) -> bool {
        self.0.is(uid).await
    }
}

/// Where programs of this machine reach it.
pub(super) fn urls(listeners: &[TcpListener], prefix: &UrlPrefix) -> Vec<String> {
    let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok());
    addresses.map(|address| url(address, prefix)).collect()
}

pub(super) fn url(mut address: SocketAddr, prefix: &UrlPrefix) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}{}/", prefix.text())
}

fn warn_of_blindness(auth: AuthMode) {
    if auth == AuthMode::Peer && !peer::can_tell() {
        tracing::warn!(
            hint = "`s3dav status --show-password` shows the password",
            "cannot tell which user a connection belongs to, so your own programs must give a password, too"
        );
    }
}

/// As many files as may be open at once.
fn raise_descriptors(metrics: &Metrics) -> u64 {
    let descriptors = descriptors::raise();
    if descriptors < ENOUGH_DESCRIPTORS {
        metrics.note_trouble("open files", Some(few_descriptors(descriptors)));
    }
    descriptors
}

fn few_descriptors(descriptors: u64) -> (String, String) {
    let message = format!("only {descriptors} can be open at once, which limits connections and uploads");
    let hint = format!("start it with a higher limit: `ulimit -n {ENOUGH_DESCRIPTORS}`");
    tracing::warn!(hint, "{message}");
    (message, hint)
}

/// Says what to do where another one has the state.
pub(super) fn taken(error: StateError) -> CommandError {
    match error {
        StateError::Taken { .. } => CommandError::hinted(
            error,
            "use that one, or give this one its own state with another --state-dir (for the demo: another \
             --data)",
        ),
        other => other.into(),
    }
}

/// Clients, S3 and the disk together seldom have more.
const ENOUGH_DESCRIPTORS: u64 = 1024;
