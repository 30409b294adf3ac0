//! One complete configuration, made from the command line, the environment and the configuration file.
//!
//! Everything that can be wrong about options is found here, before anything is started.

mod buckets;
mod cautions;
mod far;
pub mod file;
mod identity;
mod path;
mod quota;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::cache::{CacheOptions, Times};
use crate::cli::ServeArgs;
use crate::fs::path::PathOptions;
use crate::fs::sidecar::ShelfOptions;
use crate::fs::{NoPrefix, UrlPrefix};
use crate::http::auth::{Access, AuthMode, Credentials};
use crate::http::{AllowedHost, Limits, NoHost, ServiceOptions};
use crate::mistake::Mistake;
use crate::mount::MountOptions;
use crate::notify::{Notifier, NotifyOptions, Switch};
use crate::shutdown;
use crate::sockets::DEFAULT_PORT;
use crate::spool::IntakeOptions;
use crate::state::{Credential, default_directory, directory_hint, directory_of};
use crate::units::Timespan;

pub use crate::bucket_spec::BucketSpec;
pub use buckets::BucketSource;
pub use cautions::{Caution, cautions};
pub use far::FarSource;
pub use identity::states_of_source;

/// Everything a gateway needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    pub source: Source,
    pub listen: Listen,
    /// Where metrics are served alone, and to anybody.
    pub metrics_listen: Option<SocketAddr>,
    pub access: Access,
    /// The name and the password that `access` asks for, where they were given.
    pub login: Option<Credential>,
    pub service: ServiceOptions,
    pub limits: Limits,
    pub state_dir: PathBuf,
    pub shelf: ShelfOptions,
    pub notify: NotifyOptions,
    pub shutdown_timeout: Duration,
    /// Where it is to be mounted, and kept so.
    pub mount: Option<MountOptions>,
    /// Started by `mount`.
    pub detached: bool,
    /// What is to be said of options that others have replaced.
    pub replaced: Vec<Caution>,
}

/// What is served.
#[derive(Debug, Clone)]
pub enum Source {
    Buckets(Box<BucketSource>),
    Path(PathOptions),
    /// What another gateway serves.
    Far(Box<FarSource>),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Buckets(source) => {
                let names: Vec<String> = source.buckets.iter().map(ToString::to_string).collect();
                f.write_str(&names.join(", "))
            }
            Self::Path(options) => options.directory.display().fmt(f),
            Self::Far(source) => f.write_str(&source.name),
        }
    }
}

/// Where to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub addresses: Vec<SocketAddr>,
    /// Nobody asked for these in particular: one that the machine lacks is skipped.
    pub is_default: bool,
}

impl Default for Listen {
    /// On the loopback of both kinds.
    fn default() -> Self {
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let addresses = loopback.map(|ip| SocketAddr::new(ip, DEFAULT_PORT)).to_vec();
        Self { addresses, is_default: true }
    }
}

impl Config {
    /// What holds where nothing else is wanted: for the user's own programs on this machine, mounted nowhere, and
    /// nobody is notified.
    pub fn new(source: Source, state_dir: PathBuf) -> Self {
        Self {
            source,
            listen: Listen::default(),
            metrics_listen: None,
            access: Access::Peers(None),
            login: None,
            service: ServiceOptions::default(),
            limits: Limits::default(),
            state_dir,
            shelf: ShelfOptions::default(),
            notify: NotifyOptions::default(),
            shutdown_timeout: shutdown::DEFAULT_TIMEOUT,
            mount: None,
            detached: false,
            replaced: Vec::new(),
        }
    }

    /// Completes and checks what `serve` was given. Reads the password file, looks at the directory.
    pub fn of_serve(args: ServeArgs) -> Result<Self, Mistake> {
        let listen = Listen::parse(&args.listen)?;
        let login = login(&args)?;
        let access = access(args.auth, login.as_ref())?;
        listen.check(&access)?;
        let metrics_listen = args.metrics_listen.as_deref().map(metrics_address).transpose()?;
        let allowed_hosts = allowed_hosts(&args.allowed_host)?;
        let url_prefix = url_prefix(args.url_prefix.as_deref())?;
        let cache = CacheOptions {
            size: args.cache_size.0,
            file_limit: args.cache_file_limit.0,
            times: Times { metadata: args.s3.metadata_ttl.0, ..Times::default() },
        };
        let (quota, replaced) = quota::quota(&args, args.bucket.is_empty());
        let intake = IntakeOptions { quota, ..IntakeOptions::default() };
        let mut source = match (far::source(&args, intake)?, &args.path) {
            (Some(source), _) => source,
            (None, Some(path)) => path::source(path, cache, intake, &args)?,
            (None, None) if args.show_conflicts => {
                return Err(Mistake::new(
                    "--show-conflicts is for Amazon S3 Files",
                    "serve its mount with --path",
                ));
            }
            (None, None) => buckets::source(&args.bucket, args.s3, cache, intake, args.delete_hidden)?,
        };
        let state_dir = match args.state_dir {
            Some(named) => std::path::absolute(&named).unwrap_or(named),
            None => default_directory(&source.identity()).ok_or_else(|| {
                Mistake::new("there is no home directory to keep state in", "name one with --state-dir")
            })?,
        };
        let state_dir = directory_of(&state_dir).map_err(|error| {
            let message = format!("the state directory {} cannot be used: {error}", state_dir.display());
            Mistake::new(message, directory_hint(&error))
        })?;
        path::check_state(&source, &state_dir)?;
        if let Source::Buckets(source) = &mut source {
            source.decide(&state_dir, args.read_only)?;
        }
        let mount = args.mounting.mount.map(|point| MountOptions {
            point: std::path::absolute(&point).unwrap_or(point),
            volume_name: args.mounting.volume_name.unwrap_or_else(|| volume_name(&source)),
            browse: !args.mounting.no_browse,
            read_only: args.read_only,
        });
        Ok(Self {
            listen,
            metrics_listen,
            access,
            login,
            service: ServiceOptions {
                read_only: args.read_only,
                allowed_hosts,
                url_prefix,
                request_budget: args.request_budget.map(|Timespan(budget)| budget),
                ..ServiceOptions::default()
            },
            shelf: ShelfOptions { metadata: args.apple_metadata, limit: args.shelf_limit.0 },
            notify: NotifyOptions {
                by: notifier(args.notify, args.notify_command),
                ..NotifyOptions::default()
            },
            shutdown_timeout: args.shutdown_timeout.0,
            mount,
            detached: args.detached,
            replaced,
            ..Self::new(source, state_dir)
        })
    }
}

impl Listen {
    /// Reads addresses; none stands for the default ones.
    pub fn parse(given: &[String]) -> Result<Self, Mistake> {
        if given.is_empty() {
            return Ok(Self::default());
        }
        let parse = |text: &String| {
            text.replace("localhost:", "127.0.0.1:").parse().map_err(|_| {
                Mistake::new(format!("{text:?} is not an address"), "write e.g. --listen 127.0.0.1:8330")
            })
        };
        Ok(Self { addresses: given.iter().map(parse).collect::<Result<_, _>>()?, is_default: false })
    }

    /// Refuses to be reached by others without asking them for a password.
    pub fn check(&self, access: &Access) -> Result<(), Mistake> {
        let beyond = self.addresses.iter().find(|address| !address.ip().is_loopback());
        match (beyond, access) {
            (None, _) | (_, Access::Password(_)) => Ok(()),
            (Some(address), Access::Anyone | Access::Peers(_) | Access::PeersOf(..)) => Err(Mistake::new(
                format!("{address} can be reached from other machines, so a password is required"),
                "add --user NAME --password-file FILE, or listen on 127.0.0.1",
            )),
        }
    }
}

fn metrics_address(text: &str) -> Result<SocketAddr, Mistake> {
    text.replace("localhost:", "127.0.0.1:").parse().map_err(|_| {
        Mistake::new(
            format!("--metrics-listen: {text:?} is not an address"),
            "write e.g. --metrics-listen 127.0.0.1:9330",
        )
    })
}

fn allowed_hosts(given: &[String]) -> Result<Vec<AllowedHost>, Mistake> {
    let parse = |text: &String| {
        text.parse().map_err(|error: NoHost| {
            Mistake::new(
                format!("--allowed-host: {error}"),
                "write NAME, NAME:PORT or *.NAME, such as files.example.org or *.svc.cluster.local",
            )
        })
    };
    given.iter().map(parse).collect()
}

fn url_prefix(given: Option<&str>) -> Result<UrlPrefix, Mistake> {
    given.unwrap_or("/").parse().map_err(|error: NoPrefix| {
        Mistake::new(
            format!("--url-prefix: {error}"),
            "write it as the proxy shows it, with a slash at both ends, such as /proxy/8330/",
        )
    })
}

/// Who tells the user. One that was named is wanted; the system's only where there is a desktop.
fn notifier(switch: Option<Switch>, command: Option<PathBuf>) -> Option<Notifier> {
    match (switch, command) {
        (Some(Switch::Off), _) => None,
        (_, Some(program)) => Some(Notifier::Given(std::path::absolute(&program).unwrap_or(program))),
        (Some(Switch::On), None) => Some(Notifier::of_system()),
        (None, None) => Notifier::of_desktop(),
    }
}

fn access(auth: Option<AuthMode>, login: Option<&Credential>) -> Result<Access, Mistake> {
    let credentials = login.map(|login| Credentials::new(&login.user, &login.password));
    match (auth, credentials) {
        (None, None) => Ok(Access::Peers(None)),
        (Some(AuthMode::Peer), credentials) => Ok(Access::Peers(credentials)),
        (None | Some(AuthMode::Basic), credentials) => Ok(Access::Password(credentials)),
        (Some(AuthMode::None), None) => Ok(Access::Anyone),
        (Some(AuthMode::None), Some(_)) => {
            Err(Mistake::new("--auth none and --user contradict each other", "leave one of them out"))
        }
    }
}

fn login(args: &ServeArgs) -> Result<Option<Credential>, Mistake> {
    let (user, file, variable) = (&args.user, &args.password_file, &args.password_variable);
    let (user, text, shown) = match (user, file, variable) {
        (Some(user), Some(file), _) => {
            let shown = file.display().to_string();
            let text = std::fs::read_to_string(file).map_err(|error| {
                Mistake::new(format!("the password file {shown} cannot be read: {error}"), "")
            })?;
            (user, text, shown)
        }
        (Some(user), None, Some(name)) => (user, variable_of(name)?, format!("the variable {name}")),
        (None, None, None) => return Ok(None),
        (Some(_), None, None) => {
            return Err(Mistake::new("--user without a password", "add --password-file FILE"));
        }
        (None, Some(_), _) => return Err(Mistake::new("--password-file without a name", "add --user NAME")),
        (None, None, Some(_)) => {
            return Err(Mistake::new("--password-variable without a name", "add --user NAME"));
        }
    };
    match text.lines().next().unwrap_or_default() {
        "" => Err(Mistake::new(format!("the first line of {shown} is empty"), "write the password there")),
        _ if user.contains(':') => Err(Mistake::new("a user name cannot hold a colon", "")),
        password => Ok(Some(Credential { user: user.clone(), password: password.to_owned() })),
    }
}

/// The password that a variable holds, which is never shown.
fn variable_of(name: &str) -> Result<String, Mistake> {
    std::env::var(name).map_err(|error| {
        let why = match error {
            std::env::VarError::NotPresent => "is not set",
            std::env::VarError::NotUnicode(_) => "does not hold UTF-8",
        };
        Mistake::new(
            format!("--password-variable: the variable {name} {why}"),
            "name the variable that holds the password",
        )
    })
}

/// The last part of the source's name; several buckets have none.
fn volume_name(source: &Source) -> String {
    let name = match source {
        Source::Buckets(source) => match source.buckets.as_slice() {
            [only] => only
                .prefix
                .rsplit('/')
                .next()
                .filter(|last| !last.is_empty())
                .unwrap_or(only.folder())
                .to_owned(),
            _ => String::new(),
        },
        Source::Far(source) => source.name.split('/').next().unwrap_or_default().to_owned(),
        Source::Path(options) => {
            options.directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        }
    };
    if name.is_empty() { "S3".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;
    use std::path::Path;

    use super::*;
    use crate::cli::{self, Command, Invocation, Layer, Origin, default_in_words};
    use crate::container::EngineKind;
    use crate::named::NamedEnum;
    use crate::spool;
    use crate::store::layers::conditional::ConditionalWrites;
    use crate::store::s3::S3Options;
    use crate::units::Size;

    /// What `serve` makes of a source alone, and what is shown for the options that nobody gave.
    fn by_default(source: &str, state: &Path) -> (Config, BTreeMap<String, String>) {
        let words = ["s3dav", "serve", source, "--state-dir"].map(Into::into);
        let words = words.into_iter().chain([state.as_os_str().to_owned()]);
        let Invocation { cli, given } =
            cli::parse_again(words, |_| Ok::<_, Infallible>(Layer::new())).unwrap();
        let Command::Serve(args) = cli.command else { panic!("{source}") };
        let shown = given.into_iter().filter(|option| option.origin == Origin::Default);
        let shown = shown.filter(|option| !option.values.is_empty());
        let shown = shown.map(|option| (option.name.clone(), option.values.join(","))).collect();
        let mut config = Config::of_serve(*args).unwrap();
        // These are the machine's.
        config.notify.by = None;
        if let Source::Buckets(source) = &mut config.source {
            source.s3.endpoint_url = None;
        }
        (config, shown)
    }

    #[test]
    fn what_is_shown_as_a_default_is_what_a_config_holds() {
        let state = tempfile::tempdir().unwrap();
        let (config, shown) = by_default("photos", state.path());
        let Source::Buckets(source) = &config.source else { panic!("{config:?}") };
        let (s3, uploads, service) = (&source.s3, &source.uploads, &config.service);
        let trusted = if source.trusts_conditions { ConditionalWrites::Yes } else { ConditionalWrites::Auto };
        let size = |bytes: u64| Size(bytes).to_string();
        let time = |span: Duration| Timespan(span).to_string();
        let held = [
            ("accelerate", s3.accelerate.to_string()),
            ("apple-metadata", config.shelf.metadata.to_string()),
            ("cache-file-limit", size(source.cache.file_limit)),
            ("cache-size", size(source.cache.size)),
            ("checksums", s3.checksums.to_string()),
            ("conditional-writes", trusted.to_string()),
            ("delete-hidden", source.file_system.delete_hidden.to_string()),
            ("dual-stack", s3.dual_stack.to_string()),
            ("drain-timeout", time(source.file_system.drain_timeout)),
            ("durability", source.file_system.durability.to_string()),
            ("equal-parts", uploads.equal_parts.to_string()),
            ("fips", s3.fips.to_string()),
            ("journal-delay", time(source.journal_delay)),
            ("metadata-ttl", time(source.cache.times.metadata)),
            ("multipart-threshold", size(uploads.multipart_threshold)),
            ("no-browse", false.to_string()),
            ("no-direct-reads", false.to_string()),
            ("no-sign-request", s3.no_sign_request.to_string()),
            ("part-size", size(uploads.part_size)),
            ("read-ahead", size(source.read_ahead.window)),
            ("read-ahead-total", size(source.read_ahead.total)),
            ("read-only", service.read_only.to_string()),
            ("requester-pays", s3.requester_pays.to_string()),
            ("shelf-limit", size(config.shelf.limit)),
            ("show-conflicts", false.to_string()),
            ("shutdown-timeout", time(config.shutdown_timeout)),
            ("store-patience", time(source.file_system.store_patience)),
            ("upload-memory", size(uploads.memory)),
        ];
        let held: BTreeMap<_, _> = held.map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(shown, held);
    }

    #[test]
    fn serve_without_options_is_the_default() {
        let [served, state] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let state_dir = state.path().canonicalize().unwrap();
        let directory = served.path().canonicalize().unwrap();
        let sources = [
            (
                "photos",
                Source::Buckets(Box::new(BucketSource::new(
                    vec![BucketSpec::parse("photos").unwrap()],
                    S3Options::default(),
                ))),
            ),
            (directory.to_str().unwrap(), Source::Path(PathOptions::new(directory.clone()))),
        ];
        for (word, source) in sources {
            let (config, _) = by_default(word, &state_dir);
            assert_eq!(format!("{config:?}"), format!("{:?}", Config::new(source, state_dir.clone())));
        }
    }

    #[test]
    fn defaults_in_words_are_the_codes() {
        let engines: Vec<_> = EngineKind::ALL.iter().map(|kind| kind.name()).collect();
        let addresses: Vec<_> = Listen::default().addresses.iter().map(ToString::to_string).collect();
        for (name, value) in [
            ("engine", engines.join(", else ")),
            ("listen", addresses.join(" and ")),
            ("journal-size", Size(spool::DEFAULT_ROOM).to_string()),
        ] {
            let words = default_in_words(name).unwrap();
            assert!(words.contains(&value), "{name}: {words}");
        }
    }

    #[test]
    fn the_user_is_told_by_whom_the_options_name() {
        let named = || Some(PathBuf::from("/bin/tell"));
        let given = Some(Notifier::Given("/bin/tell".into()));
        assert_eq!(notifier(Some(Switch::Off), None), None);
        assert_eq!(notifier(Some(Switch::Off), named()), None);
        assert_eq!(notifier(Some(Switch::On), None), Some(Notifier::of_system()));
        assert_eq!(notifier(Some(Switch::On), named()), given);
        assert_eq!(notifier(None, named()), given);
    }
}
