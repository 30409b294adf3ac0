//! S3 Files in a container of this machine's engine: started, given a password and credentials by standard input, found
//! again by its label, and ended.
//!
//! The container is addressed by its ID alone, once its label says that it is this gateway's: another one may have the
//! name. What it is to be is in a label, too, so that a gateway which is started anew finds it as it is, and one with
//! other options starts another one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::noted::{Noted, PASSWORD, forget};
use super::running::{TAKES, address, is_running, of_client, remove, tell_until_taken, wait, words};
use super::{again, authorization, credentials, last_line};
use crate::container::{Engine, EngineError, EngineKind, Options};
use crate::logging::with_causes;
use crate::named::names;
use crate::process::told;
use crate::relay::{Far, FarError, Opened};
use crate::sockets::DEFAULT_PORT;
use crate::state::{read_private, write_private};
use crate::store::s3::{Chain, Keys, NoKeys};

/// What is to run.
#[derive(Debug, Clone)]
pub struct DockerOptions {
    /// Whichever is here first.
    pub engines: Vec<EngineKind>,
    pub image: Option<String>,
    pub mount: Options,
    /// Of the credentials.
    pub profile: Option<String>,
    /// Arguments for the gateway in it.
    pub gateway: Vec<String>,
}

/// What is to mount it: one of the engines, or this machine itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounter {
    Docker,
    Podman,
    Host,
}

names!(Mounter {
    Docker = "docker",
    Podman = "podman",
    Host = "host": "No engine: prints how to mount on this machine",
});

impl Mounter {
    /// `None` for this machine itself.
    pub fn engine(self) -> Option<EngineKind> {
        match self {
            Self::Docker => Some(EngineKind::Docker),
            Self::Podman => Some(EngineKind::Podman),
            Self::Host => None,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Docker {
    options: DockerOptions,
    /// Of the container, and of the volume with its state.
    name: String,
    state_dir: PathBuf,
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
        Self { options, name, state_dir: state_dir.to_owned() }
    }

    async fn engine(&self) -> Result<Engine, FarError> {
        // Another one may answer today, and knows nothing of the container that there is.
        let noted = Noted::read(&self.state_dir).await;
        let noted = noted.and_then(|noted| noted.engine.parse().ok());
        let engine = match noted.filter(|kind| self.options.engines.contains(kind)) {
            Some(kind) if Engine::find(&[kind]).is_ok() => Engine::answering(&[kind]).await,
            _ => Engine::answering(&self.options.engines).await,
        };
        engine.map_err(of_engine)
    }

    /// Makes sure that it can be started. An image that is named and not here is fetched; people are told of that.
    pub(super) async fn ready(&self, tell: &(dyn Fn(&str) + Sync)) -> Result<(), FarError> {
        let engine = self.engine().await?;
        self.image(&engine, Some(tell)).await.map(drop)
    }

    /// The image that was named, else the release's, else the one that was built here. One that is not here is fetched
    /// where somebody can be told: that takes longer than a start may.
    async fn image(&self, engine: &Engine, tell: Option<&(dyn Fn(&str) + Sync)>) -> Result<String, FarError> {
        let named = self.options.image.as_deref().or(Some(RELEASED).filter(|image| !image.is_empty()));
        let wanted = engine.architecture().await.map_err(of_engine)?;
        let found = match (look(engine, named.unwrap_or(S3FILES_IMAGE)).await, named, tell) {
            (Some(image), _, _) => image,
            (None, Some(named), Some(tell)) => {
                tell(&format!("{} is pulling the image {named}; this may take a few minutes", engine.kind));
                fetched(engine, named).await?
            }
            (None, Some(named), None) => {
                let hint = format!("pull it with `{} pull {named}`", engine.kind);
                return Err(FarError::new(format!("the image {named} has been removed"), hint));
            }
            (None, None, _) => {
                return Err(FarError::new(format!("there is no image {S3FILES_IMAGE} here"), WAYS));
            }
        };
        if found.architecture != wanted {
            let shown = named.unwrap_or(S3FILES_IMAGE);
            let Image { architecture, .. } = &found;
            let name = engine.kind;
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
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--publish=127.0.0.1::{DEFAULT_PORT}"));
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
        arguments.push(format!("--listen=0.0.0.0:{DEFAULT_PORT}"));
        arguments.extend(["--notify=off", "--password-from-host"].map(str::to_owned));
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
        let place = self.state_dir.join(PASSWORD);
        let file = place.clone();
        let kept = tokio::task::spawn_blocking(move || {
            if !is_new && let Ok(password) = read_private(&file) {
                return Ok(password);
            }
            let password = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            write_private(&file, &password).map(|()| password)
        });
        let kept = kept.await.map_err(std::io::Error::other).and_then(|kept| kept);
        kept.map_err(|error| {
            let shown = place.display();
            FarError::new(format!("{shown} cannot be written: {error}"), "free some disk space")
        })
    }
}

#[async_trait]
impl Far for Docker {
    async fn check(&self) -> Result<(), FarError> {
        let engine = self.engine().await?;
        let tell = |text: &str| tracing::info!("{text}");
        self.image(&engine, Some(&tell)).await.map(drop)
    }

    async fn open(&self) -> Result<Opened, FarError> {
        let engine = self.engine().await?;
        let arguments = self.image(&engine, None).await.map(|image| self.arguments(&image));
        let made_as = arguments.as_ref().ok().map(|arguments| hash(&arguments.join("\n")));
        let running = self.running(&engine, made_as.as_deref()).await?;
        let region = self.options.mount.region.clone();
        let chain = Chain::new(region, self.options.profile.clone()).await;
        let chain = chain.map_err(|error| FarError::new(with_causes(&error), error.hint()))?;
        let (id, password, keys) = match running {
            Some(id) => {
                self.note(&engine, &id).await;
                (id, self.password(false).await?, None)
            }
            None => {
                let arguments = arguments?;
                // Without them it would end with a hint for those who run it by hand.
                let keys = chain.valid().await.map_err(of_chain)?;
                let password = self.password(true).await?;
                let id = self.start(&engine, &arguments, made_as.as_deref().unwrap_or_default()).await?;
                self.note(&engine, &id).await;
                match tell_first(&engine, &id, &password, &keys).await {
                    Ok(are_taken) => (id, password, Some(keys).filter(|_| are_taken)),
                    Err(error) => {
                        remove(&engine, &id).await;
                        return Err(error);
                    }
                }
            }
        };
        let (told, trouble) = watch::channel(None);
        let pushing = push(engine.clone(), id.clone(), chain, keys, told);
        let pushing = AbortOnDropHandle::new(tokio::spawn(pushing));
        let address = address(&engine, &id).await?;
        let authorization = authorization(&password)?;
        let ended = async move {
            let _pushing = pushing;
            wait(&engine, &id).await
        };
        Ok(Opened { address, authorization, trouble, ended: Box::pin(ended) })
    }

    async fn close(&self) {
        let filter = format!("label={LABEL}={}", self.name);
        let listed = async {
            let engine = self.engine().await?;
            let listed = engine.run(&["ps", "--all", "--no-trunc", "--quiet", "--filter", &filter]).await;
            listed
                .map_err(|error| of_client(&engine, "list containers", error))
                .map(|listed| (engine, listed))
        };
        match listed.await {
            Ok((engine, listed)) => {
                let mut is_removed = true;
                for id in listed.lines() {
                    is_removed &= remove(&engine, id).await;
                }
                if is_removed {
                    forget(&self.state_dir).await;
                }
            }
            Err(error) => match Noted::read(&self.state_dir).await {
                Some(noted) => {
                    tracing::warn!(hint = noted.hint(), "the container could not be removed: {error}")
                }
                // None was started.
                None => tracing::debug!("containers cannot be looked for: {error}"),
            },
        }
    }
}

impl Docker {
    async fn note(&self, engine: &Engine, id: &str) {
        let noted = Noted { engine: engine.kind.to_string(), id: id.to_owned() };
        noted.write(&self.state_dir).await;
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
    let pulled = crate::process::run(engine.command(&["pull", "--quiet", reference]), PULL).await;
    let failed = |why: String| FarError::new(format!("the image {reference} cannot be pulled: {why}"), WAYS);
    pulled.map_err(|error| failed(words(error)))?;
    look(engine, reference).await.ok_or_else(|| failed("it is missing after the pull".to_owned()))
}

/// What it cannot begin without; whether the keys were taken. If not they are handed over again while it starts.
async fn tell_first(engine: &Engine, id: &str, password: &str, keys: &Keys) -> Result<bool, FarError> {
    tell_until_taken(engine, id, "password", password).await?;
    match tell_until_taken(engine, id, "credentials", &credentials::printed(keys)).await {
        Err(error) if !is_running(engine, id).await => Err(error),
        told => Ok(told.is_ok()),
    }
}

/// Hands credentials over for as long as the container lives.
async fn push(
    engine: Engine,
    id: String,
    chain: Chain,
    there: Option<Keys>,
    tell: watch::Sender<Option<FarError>>,
) {
    let push = |json: String| {
        let command =
            engine.command(&["exec", "--interactive", &id, "/usr/bin/s3dav", "container", "credentials"]);
        async move { told(command, Some(&json), TAKES).await.map(drop).map_err(words) }
    };
    let tell = |trouble: Option<NoKeys>| {
        let trouble = trouble.map(of_chain).map(|error| FarError { hint: again(&error.hint), ..error });
        let is_new =
            tell.borrow().as_ref().map(|known| &known.message) != trouble.as_ref().map(|new| &new.message);
        if let (true, Some(trouble)) = (is_new, &trouble) {
            tracing::warn!(hint = trouble.hint, "{trouble}");
        }
        tell.send_replace(trouble);
    };
    credentials::keep(&chain, there.as_ref(), push, tell).await;
}

fn of_chain(no_keys: NoKeys) -> FarError {
    FarError::new(no_keys.message, no_keys.hint.unwrap_or_else(|| SIGN_IN.to_owned()))
}

fn of_engine(error: EngineError) -> FarError {
    let hint = error.hint();
    FarError::new(with_causes(&error), hint)
}

/// The reference of the release's image: none until one is published.
const RELEASED: &str = "";
/// What `container build --s3files` makes.
pub const S3FILES_IMAGE: &str = concat!("s3dav-s3files:", env!("CARGO_PKG_VERSION"));
const WAYS: &str = "name an image with --image, or build one: `s3dav container build --s3files --binary FILE`, with s3dav \
                    for Linux";
const SIGN_IN: &str = "sign in, as with `aws sso login`";
/// By which this program's containers are known.
const LABEL: &str = "s3dav.gateway";
/// A hash of what it was started with.
const MADE_AS: &str = "s3dav.made-as";
/// The engine's name for this machine.
const HOST: &str = "host.docker.internal";
/// An image is unpacked, and a virtual machine may have to wake up.
const START: Duration = Duration::from_secs(60);
/// Some hundred megabytes.
const PULL: Duration = Duration::from_secs(900);
