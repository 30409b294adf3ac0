//! S3 Files in a container of this machine's engine: started, given a password and credentials by standard input, found
//! again by its label, and ended.
//!
//! The container is addressed by its ID alone, once its label says that it is this gateway's: another one may have the
//! name. What it is to be is in a label, too, so that a gateway which is started anew finds it as it is, and one with
//! other options starts another one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{TellError, authorization, credentials, last_line, tell};
use crate::container::{Engine, EngineError, Options};
use crate::process::ProcessError;
use crate::relay::{Far, FarError, Opened};
use crate::state::{read_private, write_private};
use crate::store::s3::Chain;

/// What is to run.
#[derive(Debug, Clone)]
pub struct DockerOptions {
    /// Whichever is here first.
    pub engines: &'static [&'static str],
    pub image: Option<String>,
    pub mount: Options,
    /// Of the credentials.
    pub profile: Option<String>,
    /// Arguments for the gateway in it.
    pub gateway: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Docker {
    options: DockerOptions,
    /// Of the container, and of the volume with its state.
    name: String,
    password_file: PathBuf,
}

/// An image that is here.
struct Image {
    id: String,
    architecture: String,
}

impl Docker {
    pub(super) fn new(options: DockerOptions, name: &str, state_dir: &Path) -> Self {
        // Two states of the same file system are two gateways.
        let name = format!("s3dav-{}", hash(&format!("{name}\n{}", state_dir.display())));
        Self { options, name, password_file: state_dir.join(PASSWORD) }
    }

    async fn engine(&self) -> Result<Engine, FarError> {
        let engine = Engine::find(self.options.engines).map_err(of_engine)?;
        engine.check_local().await.map_err(of_engine)?;
        Ok(engine)
    }

    /// The image that was named, else the release's, else the one that was built here.
    async fn image(&self, engine: &Engine) -> Result<String, FarError> {
        let named = self.options.image.as_deref().or(Some(RELEASED).filter(|image| !image.is_empty()));
        let wanted = engine.architecture().await.map_err(of_engine)?;
        let found = match (look(engine, named.unwrap_or(S3FILES_IMAGE)).await, named) {
            (Some(image), _) => image,
            (None, Some(named)) => fetched(engine, named).await?,
            (None, None) => {
                return Err(FarError::new(format!("there is no image {S3FILES_IMAGE} here"), WAYS));
            }
        };
        if found.architecture != wanted {
            let shown = named.unwrap_or(S3FILES_IMAGE);
            let Image { architecture, .. } = &found;
            let name = engine.name;
            return Err(FarError::new(
                format!("the image {shown} is for {architecture}, and {name} has {wanted}"),
                WAYS,
            ));
        }
        Ok(found.id)
    }

    /// What `docker run` is told of the container that is to be.
    fn arguments(&self, image: &str) -> Vec<String> {
        let mount = &self.options.mount;
        let mut arguments: Vec<String> = [
            "--cap-drop=ALL",
            "--cap-add=SYS_ADMIN",
            "--read-only",
            // Whose usual profile denies mounts; elsewhere it says nothing.
            "--security-opt=apparmor=unconfined",
            "--tmpfs=/run",
            "--tmpfs=/tmp",
            "--stop-timeout=40",
            "--publish=127.0.0.1::8330",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--volume={}:/var/lib/s3dav", self.name));
        if mount.mount_target.as_deref() == Some(HOST) {
            // Engines on Linux do not know it by themselves.
            arguments.push(format!("--add-host={HOST}:host-gateway"));
        }
        arguments.extend([image.to_owned(), format!("--s3files={}", mount.file_system)]);
        let given = |name: &str, value: &Option<String>| value.as_ref().map(|v| format!("--{name}={v}"));
        let named = [
            given("region", &mount.region),
            given("az-id", &mount.az_id),
            given("mount-target", &mount.mount_target),
            given("access-point", &mount.access_point),
            (!mount.direct_reads).then(|| "--no-direct-reads".to_owned()),
        ];
        arguments.extend(named.into_iter().flatten());
        arguments
            .extend(["--listen=0.0.0.0:8330", "--notify=off", "--password-from-host"].map(str::to_owned));
        arguments.extend(self.options.gateway.iter().cloned());
        arguments
    }

    /// The one that runs as it should, or at all where nobody knows how; others of this gateway's are removed.
    async fn running(&self, engine: &Engine, made_as: Option<&str>) -> Result<Option<String>, FarError> {
        let filter = format!("label={LABEL}={}", self.name);
        let format = format!("{{{{.ID}}}} {{{{.State}}}} {{{{.Label \"{MADE_AS}\"}}}}");
        let arguments = ["ps", "--all", "--no-trunc", "--filter", &filter, "--format", &format];
        let listed =
            engine.run(&arguments).await.map_err(|error| of_client(engine, "list containers", error))?;
        let mut running = None;
        for line in listed.lines() {
            let mut words = line.split(' ');
            let (id, state) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let is_as_wanted = made_as.is_none() || words.next() == made_as;
            if state == "running" && is_as_wanted && running.is_none() {
                running = Some(id.to_owned());
            } else {
                remove(engine, id).await;
            }
        }
        Ok(running)
    }

    async fn start(&self, engine: &Engine, arguments: &[String], made_as: &str) -> Result<String, FarError> {
        let labels = [format!("--label={LABEL}={}", self.name), format!("--label={MADE_AS}={made_as}")];
        let mut command = engine.command(&["run", "--detach", "--name", &self.name]);
        command.args(labels).args(arguments);
        let id = crate::process::run(command, START).await;
        let id = id.map_err(|error| of_client(engine, "start the container", error))?;
        Ok(last_line(&id))
    }

    /// One that is made for this container, and kept for the next life of this gateway.
    async fn password(&self, is_new: bool) -> Result<String, FarError> {
        let file = self.password_file.clone();
        let kept = tokio::task::spawn_blocking(move || {
            if !is_new && let Ok(password) = read_private(&file) {
                return Ok(password);
            }
            let password = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            write_private(&file, &password).map(|()| password)
        });
        let kept = kept.await.map_err(std::io::Error::other).and_then(|kept| kept);
        kept.map_err(|error| {
            let shown = self.password_file.display();
            FarError::new(format!("{shown} cannot be written: {error}"), "make room on the disk")
        })
    }
}

#[async_trait]
impl Far for Docker {
    async fn check(&self) -> Result<(), FarError> {
        let engine = self.engine().await?;
        self.image(&engine).await.map(drop)
    }

    async fn open(&self) -> Result<Opened, FarError> {
        let engine = self.engine().await?;
        let arguments = self.image(&engine).await.map(|image| self.arguments(&image));
        let made_as = arguments.as_ref().ok().map(|arguments| hash(&arguments.join("\n")));
        let running = self.running(&engine, made_as.as_deref()).await?;
        let is_new = running.is_none();
        let password = self.password(is_new).await?;
        let id = match running {
            Some(id) => id,
            None => self.start(&engine, &arguments?, made_as.as_deref().unwrap_or_default()).await?,
        };
        if is_new && let Err(error) = tell_password(&engine, &id, &password).await {
            let error = why_ended(&engine, &id).await.unwrap_or(error);
            remove(&engine, &id).await;
            return Err(error);
        }
        let region = self.options.mount.region.clone();
        let chain = Chain::new(region, self.options.profile.clone()).await;
        let chain = chain.map_err(|error| FarError::new(error.to_string(), SIGN_IN))?;
        let (told, trouble) = watch::channel(None);
        let pushing = AbortOnDropHandle::new(tokio::spawn(push(engine.clone(), id.clone(), chain, told)));
        let address = address(&engine, &id).await?;
        let authorization = authorization(&password)?;
        let ended = async move {
            let _pushing = pushing;
            wait(&engine, &id).await
        };
        Ok(Opened { address, authorization, trouble, ended: Box::pin(ended) })
    }

    async fn close(&self) {
        let Ok(engine) = self.engine().await else { return };
        let filter = format!("label={LABEL}={}", self.name);
        let listed = engine.run(&["ps", "--all", "--no-trunc", "--quiet", "--filter", &filter]).await;
        for id in listed.unwrap_or_default().lines() {
            remove(&engine, id).await;
        }
        let file = self.password_file.clone();
        // It may not be there.
        let _ = tokio::fs::remove_file(file).await;
    }
}

/// 16 hexadecimal digits.
fn hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..8])
}

async fn look(engine: &Engine, reference: &str) -> Option<Image> {
    let arguments = ["image", "inspect", "--format", "{{.Id}} {{.Architecture}}", reference];
    let said = engine.run(&arguments).await.ok()?;
    let (id, architecture) = said.split_once(' ')?;
    Some(Image { id: id.to_owned(), architecture: architecture.to_owned() })
}

async fn fetched(engine: &Engine, reference: &str) -> Result<Image, FarError> {
    tracing::info!(image = reference, "the image is fetched");
    let pulled = crate::process::run(engine.command(&["pull", "--quiet", reference]), PULL).await;
    let failed = |why: String| FarError::new(format!("the image {reference} cannot be had: {why}"), WAYS);
    pulled.map_err(|error| failed(words(error)))?;
    look(engine, reference).await.ok_or_else(|| failed("it is not there after it was fetched".to_owned()))
}

/// Until it takes it: it has just been started.
async fn tell_password(engine: &Engine, id: &str, password: &str) -> Result<(), FarError> {
    let until = Instant::now() + TAKES;
    loop {
        let command =
            engine.command(&["exec", "--interactive", id, "/usr/bin/s3dav", "container", "password"]);
        let error = match tell(command, password, TAKES).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if Instant::now() > until || !is_running(engine, id).await {
            return Err(FarError::new(format!("the container does not take its password: {error}"), LOGS));
        }
        sleep(PAUSE).await;
    }
}

/// Hands credentials over for as long as the container lives.
async fn push(engine: Engine, id: String, chain: Chain, told: watch::Sender<Option<FarError>>) {
    let push = |json: String| {
        let command =
            engine.command(&["exec", "--interactive", &id, "/usr/bin/s3dav", "container", "credentials"]);
        async move { tell(command, &json, TAKES).await.map_err(|error: TellError| error.to_string()) }
    };
    let tell = |trouble: Option<String>| {
        let is_new = told.borrow().as_ref().map(|known| &known.message) != trouble.as_ref();
        if let (true, Some(trouble)) = (is_new, &trouble) {
            tracing::warn!(hint = SIGN_IN, "{trouble}");
        }
        told.send_replace(trouble.map(|trouble| FarError::new(trouble, SIGN_IN)));
    };
    credentials::keep(&chain, push, tell).await;
}

/// Where its port is published.
async fn address(engine: &Engine, id: &str) -> Result<SocketAddr, FarError> {
    let said = engine.run(&["port", id, "8330/tcp"]).await;
    let said = match said {
        Ok(said) => said,
        Err(error) => {
            return Err(match why_ended(engine, id).await {
                Some(reason) => reason,
                None => of_client(engine, "tell the container's port", error),
            });
        }
    };
    let address = said.lines().find_map(|line| line.trim().parse().ok());
    address
        .ok_or_else(|| FarError::new(format!("{} has not published the container's port", engine.name), LOGS))
}

async fn is_running(engine: &Engine, id: &str) -> bool {
    let said = engine.run(&["inspect", "--format", "{{.State.Running}}", id]).await;
    said.is_ok_and(|said| said == "true")
}

/// Until it has ended; gives its own reason.
async fn wait(engine: &Engine, id: &str) -> FarError {
    loop {
        let waited = crate::process::run(engine.command(&["wait", id]), LONG).await;
        match waited {
            Err(ProcessError::TooSlow { .. }) => {}
            _ => return why_ended(engine, id).await.unwrap_or_else(gone),
        }
    }
}

fn gone() -> FarError {
    FarError::new("the container is gone", "it is started again")
}

/// What it said last, if it has ended.
async fn why_ended(engine: &Engine, id: &str) -> Option<FarError> {
    if is_running(engine, id).await {
        return None;
    }
    // Both outputs: by `2>&1` of a shell that is not needed.
    let command = engine.command(&["logs", "--tail", "50", id]);
    let output = tokio::time::timeout(TAKES, { command }.kill_on_drop(true).output()).await.ok()?.ok()?;
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let find = |word: &str| said.lines().rev().find_map(|line| line.strip_prefix(word).map(str::to_owned));
    let message = find("error: ").unwrap_or_else(|| last_line(&said));
    Some(FarError::new(
        format!("the container has ended: {message}"),
        find("hint: ").unwrap_or_else(|| "it is started again".to_owned()),
    ))
}

/// Ends it in order, and removes it, with volumes that have no name.
async fn remove(engine: &Engine, id: &str) {
    let stopped = crate::process::run(engine.command(&["stop", "--time", "40", id]), STOP).await;
    let removed = crate::process::run(engine.command(&["rm", "--force", "--volumes", id]), STOP).await;
    if let (Err(error), _) | (_, Err(error)) = (stopped, removed) {
        tracing::warn!(%error, id, "the container is not removed");
    }
}

fn of_engine(error: EngineError) -> FarError {
    let hint = error.hint();
    FarError::new(crate::logging::with_causes(&error), hint)
}

fn of_client(engine: &Engine, what: &str, error: ProcessError) -> FarError {
    let hint = format!("look whether `{} info` answers", engine.name);
    FarError::new(format!("{} does not {what}: {}", engine.name, words(error)), hint)
}

/// The program's own.
fn words(error: ProcessError) -> String {
    match error {
        ProcessError::Failed { words, .. } if !words.is_empty() => words,
        other => other.to_string(),
    }
}

/// The reference of the release's image: none until one is published.
const RELEASED: &str = "";
/// What `container build --s3files` makes.
pub const S3FILES_IMAGE: &str = concat!("s3dav-s3files:", env!("CARGO_PKG_VERSION"));
const WAYS: &str = "name an image with --image, or build one: `s3dav container build --s3files --binary FILE`, with s3dav \
                    for Linux";
const SIGN_IN: &str = "sign in, as with `aws sso login`; it is tried again";
const LOGS: &str = "see what `docker logs` says of it";
/// By which this program's containers are known.
const LABEL: &str = "s3dav.gateway";
/// A hash of what it was started with.
const MADE_AS: &str = "s3dav.made-as";
/// The engine's name for this machine.
const HOST: &str = "host.docker.internal";
/// In the state directory, while there is a container.
const PASSWORD: &str = "far-password";
/// An image is unpacked, and a virtual machine may have to wake up.
const START: Duration = Duration::from_secs(60);
/// Some hundred megabytes.
const PULL: Duration = Duration::from_secs(900);
/// The container's own time, and some.
const STOP: Duration = Duration::from_secs(60);
/// From a container's start until it takes what it is told.
const TAKES: Duration = Duration::from_secs(10);
/// Of one `docker wait`.
const LONG: Duration = Duration::from_secs(3600);
const PAUSE: Duration = Duration::from_millis(100);
