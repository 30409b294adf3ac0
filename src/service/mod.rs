//! The gateway as a service of its user, from login to logout: launchd's agent on macOS, systemd's user unit on
//! Linux. What they are told is made by pure functions; what is done goes through a [`Runner`].

#[cfg_attr(not(target_os = "macos"), allow(dead_code))]
mod launchd;
mod runner;
#[cfg_attr(target_os = "macos", allow(dead_code))]
mod systemd;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use runner::{Runner, System};

#[cfg(target_os = "macos")]
use launchd as platform;
#[cfg(not(target_os = "macos"))]
use systemd as platform;

/// What is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Absolute.
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Variables that it is started with.
    pub environment: Vec<(String, String)>,
    /// The system opens these and hands them over.
    pub sockets: Vec<SocketAddr>,
    /// It mounts, for which some of what could be forbidden to it is needed.
    pub mounts: bool,
    pub log: PathBuf,
}

impl Definition {
    /// Refuses what one of the systems could not read back as it is.
    pub fn check(&self) -> Result<(), ServiceError> {
        for path in [&self.program, &self.log] {
            if path.to_str().is_none_or(has_unwritable) {
                return Err(ServiceError::Unwritable(format!("the path {path:?}")));
            }
        }
        // systemd takes it as it is, and none with these.
        if cfg!(not(target_os = "macos")) && self.program.to_string_lossy().contains(['"', '\'', '\\']) {
            return Err(ServiceError::Unwritable(format!("the path {:?}", self.program)));
        }
        if let Some(argument) = self.arguments.iter().find(|argument| has_unwritable(argument)) {
            return Err(ServiceError::Unwritable(format!("the option {argument:?}")));
        }
        let variable =
            self.environment.iter().find(|(name, value)| has_unwritable(name) || has_unwritable(value));
        variable.map_or(Ok(()), |(name, _)| Err(ServiceError::Unwritable(format!("the variable {name:?}"))))
    }
}

/// Whether there are control characters, or others that are none in XML.
fn has_unwritable(text: &str) -> bool {
    text.contains(|c: char| c.is_control() || ['\u{fffe}', '\u{ffff}'].contains(&c))
}

/// Why a service is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("there is no home directory")]
    NoHome,
    #[error("{path} cannot be written")]
    Files { path: PathBuf, source: io::Error },
    #[error("{0} was not found on this machine")]
    NoManager(String),
    #[error("`{command}` failed: {words}")]
    Failed { command: String, words: String },
    #[error("{} does not answer: {words}", platform::MANAGER)]
    Unmanaged { words: String },
    #[error("`{0}` did not finish in time")]
    TooSlow(String),
    #[error("no service is installed")]
    NotInstalled,
    #[error("the service was started, but is not running")]
    NotRunning,
    #[error("{0} cannot be used in a service")]
    Unwritable(String),
}

impl ServiceError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoHome => "set HOME to this user's directory".to_owned(),
            Self::TooSlow(_) => "`s3dav service status` shows whether it finished; try again".to_owned(),
            Self::NotInstalled => "`s3dav service install` installs it".to_owned(),
            Self::NotRunning => "`s3dav service logs` shows why".to_owned(),
            Self::Unwritable(_) => {
                "leave out control characters; the program's path must be UTF-8, on Linux without quotes or \
                 backslashes"
                    .to_owned()
            }
            Self::NoManager(_) => {
                "start `s3dav serve --mount DIR` with this system's own service manager".to_owned()
            }
            Self::Failed { .. } | Self::Unmanaged { .. } if cfg!(target_os = "macos") => {
                "log in at the screen: over ssh there is no session to run it in".to_owned()
            }
            Self::Failed { .. } | Self::Unmanaged { .. } => {
                "it needs a session of systemd: log in, or run `loginctl enable-linger`".to_owned()
            }
            _ => return None,
        })
    }
}

/// The service of one user.
pub struct Service<'r> {
    home: PathBuf,
    runner: &'r dyn Runner,
}

impl<'r> Service<'r> {
    /// That of the user whose home it is.
    pub fn new(runner: &'r dyn Runner) -> Result<Self, ServiceError> {
        Ok(Self { home: home()?, runner })
    }

    /// Fails where the system's manager of services does not answer to this login.
    pub async fn reach(&self) -> Result<(), ServiceError> {
        platform::reach(self).await.map_err(|error| match error {
            ServiceError::Failed { words, .. } => ServiceError::Unmanaged { words },
            other => other,
        })
    }

    /// Writes the definition, and starts it; what was installed before is replaced.
    pub async fn install(&self, definition: &Definition) -> Result<(), ServiceError> {
        definition.check()?;
        if self.is_installed() {
            platform::unload(self).await?;
        }
        for (path, text) in platform::files(&self.home, definition) {
            write(&path, &text).map_err(|source| ServiceError::Files { path, source })?;
        }
        if let Some(logs) = definition.log.parent() {
            fs::create_dir_all(logs)
                .map_err(|source| ServiceError::Files { path: logs.to_owned(), source })?;
        }
        platform::load(self).await
    }

    /// Stops it and removes the definition, whether there is a manager or not; then without one it fails.
    pub async fn uninstall(&self) -> Result<(), ServiceError> {
        self.installed()?;
        let unloaded = platform::unload(self).await;
        for path in platform::paths(&self.home).into_iter().chain(platform::links(&self.home)) {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(ServiceError::Files { path, source });
                }
                _ => {}
            }
        }
        if let Err(error) = unloaded {
            self.reach().await?;
            return Err(error);
        }
        platform::forget(self).await
    }

    pub async fn start(&self) -> Result<(), ServiceError> {
        self.installed()?;
        platform::load(self).await
    }

    /// Lets the system start it for nobody's connection any more, as far as that goes without stopping it.
    pub async fn refuse(&self) -> Result<(), ServiceError> {
        self.installed()?;
        platform::refuse(self).await
    }

    /// Until the next login.
    pub async fn stop(&self) -> Result<(), ServiceError> {
        self.installed()?;
        platform::unload(self).await
    }

    /// Whether that process is what the system started for it.
    pub async fn runs(&self, pid: u32) -> bool {
        let own = [format!("MainPID={pid}"), format!("pid = {pid}")];
        self.status()
            .await
            .is_ok_and(|said| said.lines().any(|line| own.iter().any(|own| line.trim() == own)))
    }

    /// Starts it now where the system makes a pause after its end.
    pub async fn hasten(&self) -> Result<(), ServiceError> {
        platform::hasten(self).await
    }

    /// The system's words.
    pub async fn status(&self) -> Result<String, ServiceError> {
        self.installed()?;
        let said = platform::status(self).await;
        if said.is_err() {
            self.reach().await?;
        }
        said
    }

    /// Where the definitions lie.
    pub fn paths(&self) -> Vec<PathBuf> {
        platform::paths(&self.home)
    }

    fn is_installed(&self) -> bool {
        self.paths().iter().any(|path| path.exists())
    }

    fn installed(&self) -> Result<(), ServiceError> {
        if self.is_installed() { Ok(()) } else { Err(ServiceError::NotInstalled) }
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<String, ServiceError> {
        self.runner.run(program, arguments).await
    }
}

/// Where a service's log is kept; it is the same for all commands.
pub fn log_path() -> Result<PathBuf, ServiceError> {
    Ok(platform::log_path(&home()?))
}

fn home() -> Result<PathBuf, ServiceError> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    home.map(PathBuf::from).ok_or(ServiceError::NoHome)
}

/// The files of a definition, for those who install it themselves, and for tests: path and text.
pub fn launchd_files(home: &Path, definition: &Definition) -> Vec<(PathBuf, String)> {
    launchd::files(home, definition)
}

/// The same for systemd.
pub fn systemd_files(home: &Path, definition: &Definition) -> Vec<(PathBuf, String)> {
    systemd::files(home, definition)
}

/// Whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let temporary = path.with_extension("new");
    fs::write(&temporary, text)?;
    fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use parking_lot::Mutex;

    use super::*;

    /// Says yes, and remembers.
    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    #[async_trait]
    impl Runner for Recorder {
        async fn run(&self, program: &str, arguments: &[&str]) -> Result<String, ServiceError> {
            let line = format!("{program} {}", arguments.join(" "));
            self.0.lock().push(line.clone());
            Ok(if line.contains("is-active") { "active\n".to_owned() } else { String::new() })
        }
    }

    fn definition(home: &Path) -> Definition {
        Definition {
            program: "/usr/bin/s3dav".into(),
            arguments: vec!["serve".into(), "--bucket=photos".into()],
            environment: vec![("PATH".into(), "/usr/bin".into())],
            sockets: vec!["127.0.0.1:8330".parse().unwrap()],
            mounts: false,
            log: home.join("logs/s3dav.log"),
        }
    }

    #[tokio::test]
    async fn what_cannot_be_written_leaves_what_is_installed_alone() {
        let home = tempfile::tempdir().unwrap();
        let recorder = Recorder::default();
        let service = Service { home: home.path().to_owned(), runner: &recorder };
        let mut odd = definition(home.path());
        odd.environment.push(("AWS_PROFILE".into(), "a\nb".into()));
        let error = service.install(&odd).await.unwrap_err();
        assert_eq!(error.to_string(), "the variable \"AWS_PROFILE\" cannot be used in a service");
        odd.program = "/bin/\u{1}".into();
        let error = service.install(&odd).await.unwrap_err();
        assert_eq!(error.to_string(), "the path \"/bin/\\u{1}\" cannot be used in a service");
        assert!(recorder.0.lock().is_empty() && service.paths().iter().all(|path| !path.exists()));
    }

    #[tokio::test]
    async fn what_is_installed_can_be_changed_and_removed() {
        let home = tempfile::tempdir().unwrap();
        let recorder = Recorder::default();
        let service = Service { home: home.path().to_owned(), runner: &recorder };
        let said = || std::mem::take(&mut *recorder.0.lock());
        assert!(matches!(service.stop().await, Err(ServiceError::NotInstalled)));
        assert!(matches!(service.uninstall().await, Err(ServiceError::NotInstalled)));
        service.install(&definition(home.path())).await.unwrap();
        let first = said();
        assert!(first.iter().any(|line| line.contains("enable") || line.contains("bootstrap")), "{first:?}");
        service.install(&definition(home.path())).await.unwrap();
        let again = said();
        assert!(again.len() > first.len() && again.ends_with(&first), "it is stopped first: {again:?}");
        service.refuse().await.unwrap();
        service.stop().await.unwrap();
        service.start().await.unwrap();
        service.uninstall().await.unwrap();
        assert!(service.paths().iter().all(|path| !path.exists()));
        assert!(service.status().await.is_err());
    }
}
