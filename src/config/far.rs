//! Another gateway as what is served: S3 Files in a container, or a task at the end of a session.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Source;
use crate::aws_cli::region_of_environment;
use crate::cli::ServeArgs;
use crate::container::{DEFAULT_DIR, EngineKind, OptionError, Options, Times};
use crate::far::{DockerOptions, FarOptions, Mounter, SessionOptions};
use crate::fs::sidecar::AppleMetadata;
use crate::mistake::Mistake;
use crate::named::NamedEnum;
use crate::relay::Far;
use crate::spool::IntakeOptions;

/// A far gateway, and how it is reached.
#[derive(Debug, Clone)]
pub struct FarSource {
    pub far: FarOptions,
    /// By which its state is found, and which people are shown.
    pub name: String,
    pub intake: IntakeOptions,
}

impl FarSource {
    /// That of a file system.
    pub(super) fn name_of(file_system: &str, access_point: Option<&str>) -> String {
        match access_point {
            Some(access_point) => format!("{file_system}/{access_point}"),
            None => file_system.to_owned(),
        }
    }
}

impl Source {
    /// The gateway that is led to, for a state directory.
    pub fn far(&self, state_dir: &Path) -> Option<Arc<dyn Far>> {
        match self {
            Self::Far(source) => Some(source.far.clone().far(&source.name, state_dir)),
            _ => None,
        }
    }

    /// How long a first start may take.
    pub fn start_limit(&self, usual: Duration) -> Duration {
        if matches!(self, Self::Far(_)) { usual + FAR } else { usual }
    }
}

/// `None` where something else is to be served.
pub(super) fn source(args: &ServeArgs, intake: IntakeOptions) -> Result<Option<Source>, Mistake> {
    let (far, name) = if args.s3files.file_system.id.is_some() {
        let options = docker(args)?;
        let name = FarSource::name_of(&options.mount.file_system, options.mount.access_point.as_deref());
        (FarOptions::Docker(Box::new(options)), name)
    } else if let (Some(target), Some(password)) = (&args.session.session, &args.session.session_password) {
        refuse_what_the_task_decides(args)?;
        let session = SessionOptions {
            target: target.clone(),
            port: args.session.session_port,
            password_parameter: password.clone(),
            region: args.s3.region.clone(),
            profile: args.s3.profile.clone(),
        };
        (FarOptions::Session(session), target.clone())
    } else {
        return Ok(None);
    };
    Ok(Some(Source::Far(Box::new(FarSource { far, name, intake }))))
}

/// The gateway of a task was started with options of its own, and is told none of these.
fn refuse_what_the_task_decides(args: &ServeArgs) -> Result<(), Mistake> {
    let of_task = [
        ("--allowed-host", !args.allowed_host.is_empty()),
        ("--url-prefix", args.url_prefix.is_some()),
        ("--delete-hidden", args.delete_hidden),
        ("--apple-metadata", args.apple_metadata != AppleMetadata::default()),
    ];
    match of_task.into_iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(Mistake::new(
            format!("{name} has no effect: the gateway in the task decides that"),
            "leave it out, or choose another way, such as --via direct",
        )),
        None => Ok(()),
    }
}

fn docker(args: &ServeArgs) -> Result<DockerOptions, Mistake> {
    let (given, by) = (&args.s3files.file_system, &args.s3files.by);
    let engines = match by.engine.map(Mounter::engine) {
        None => EngineKind::ALL.to_vec(),
        Some(Some(kind)) => vec![kind],
        Some(None) => {
            return Err(Mistake::new(
                "only root can mount S3 Files on this machine itself, not this command",
                "run `s3dav container --s3files FS_ID --dir DIR` as root; it mounts and serves",
            ));
        }
    };
    let mount = Options {
        file_system: given.id.clone().unwrap_or_default(),
        region: args.s3.region.clone().or_else(region_of_environment),
        az_id: given.az_id.clone(),
        mount_target: given.mount_target.clone(),
        access_point: given.access_point.clone(),
        direct_reads: !args.s3files.no_direct_reads,
        dir: DEFAULT_DIR.into(),
        cloudwatch: false,
        times: Times::DEFAULT,
    };
    mount.check().map_err(|error: OptionError| Mistake::new(error.to_string(), error.hint))?;
    Ok(DockerOptions {
        engines,
        image: by.image.clone(),
        mount,
        profile: args.s3.profile.clone(),
        gateway: gateway(args),
    })
}

/// What the gateway in the container must know of this one's options: it is there that requests are carried out.
fn gateway(args: &ServeArgs) -> Vec<String> {
    let mut arguments: Vec<String> =
        args.allowed_host.iter().map(|host| format!("--allowed-host={host}")).collect();
    let named = [
        args.url_prefix.as_ref().map(|prefix| format!("--url-prefix={prefix}")),
        args.request_budget.map(|budget| format!("--request-budget={budget}")),
        args.read_only.then(|| "--read-only".to_owned()),
        args.delete_hidden.then(|| "--delete-hidden".to_owned()),
        args.show_conflicts.then(|| "--show-conflicts".to_owned()),
        (args.apple_metadata != AppleMetadata::default())
            .then(|| format!("--apple-metadata={}", args.apple_metadata)),
    ];
    arguments.extend(named.into_iter().flatten());
    arguments
}

/// For a container: its mount has a minute.
const FAR: Duration = Duration::from_secs(60);
