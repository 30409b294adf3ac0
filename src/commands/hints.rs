//! Hints that are true where they are shown: an error knows what helps, and a command what becomes of the gateway.

use crate::config::Config;
use crate::config::Source;
use crate::store::advice::{GOES_ON, GivenOptions, note_given};
use crate::store::s3::Checksums;

/// Says what was given, so that no hint asks for it.
pub(super) fn know(config: &Config) {
    let Source::Buckets(source) = &config.source else { return };
    note_given(GivenOptions {
        profile: source.s3.profile.clone(),
        ca_bundle: source.s3.ca_bundle.as_ref().map(|file| file.display().to_string()),
        has_endpoint: !source.s3.is_aws(),
        names_hosts: source.s3.force_path_style == Some(false),
        sends_checksums: source.s3.checksums == Checksums::WhenSupported,
    });
}

/// The hint of a gateway that ends with the command that started it.
pub(super) fn of_what_ends(hint: String) -> String {
    match hint.strip_suffix(GOES_ON) {
        Some(step) => format!("{step}, then mount again"),
        None => hint,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::cli::{self, option_names};
    use crate::commands::{CommandError, gateway, running, startup, stop};
    use crate::control::ControlError;
    use crate::mount::{MountError, PointError};
    use crate::process::ProcessError;
    use crate::service::ServiceError;
    use crate::state::{StateError, directory_hint};
    use crate::store::obstacle::{CertificateFault, Obstacle};
    use crate::store::{NotFoundAnywhere, Setting, StoreError};

    fn cause(text: &str) -> Box<dyn std::error::Error + Send + Sync> {
        text.into()
    }

    fn of_the_way() -> Vec<StoreError> {
        let faults = [
            CertificateFault::Unknown,
            CertificateFault::NotNow,
            CertificateFault::OtherHost("h".into()),
            CertificateFault::Authority,
            CertificateFault::Other("x".into()),
        ];
        let mut all = vec![
            Obstacle::NoTls,
            Obstacle::OnlyTls,
            Obstacle::NoHost("h".into()),
            Obstacle::UnknownHost("h".into()),
            Obstacle::NoAccessPoint("h".into()),
            Obstacle::NoAddress("x".into()),
        ];
        all.extend(faults.map(Obstacle::Certificate));
        all.into_iter().map(StoreError::Blocked).collect()
    }

    fn of_the_store() -> Vec<StoreError> {
        let others = vec![
            StoreError::AccessDenied(cause("s3:ListBucket")),
            StoreError::AccessDenied(cause("SignatureDoesNotMatch")),
            StoreError::AccessDenied(cause("no")),
            StoreError::Credentials(cause("expired")),
            StoreError::Credentials(NotFoundAnywhere.into()),
            StoreError::Credentials(cause("InvalidAccessKeyId")),
            StoreError::NoSuchBucket,
            StoreError::WrongRegion(Some("eu-west-1".into())),
            StoreError::ClockSkew,
            StoreError::Unavailable(cause("connection refused")),
            StoreError::InvalidBucket(cause("InvalidBucketName")),
            StoreError::SettingRefused { setting: Setting::StorageClass, cause: "no".into() },
            StoreError::SettingRefused { setting: Setting::Encryption, cause: "no".into() },
            StoreError::SlowDown(cause("SlowDown")),
            StoreError::Archived("GLACIER".into()),
            StoreError::ChecksumDemanded(cause("Content-MD5")),
            StoreError::Unsupported("ListObjectsV2".into()),
            StoreError::UnreadableKeys(1),
            StoreError::InvalidAnswer("page".into()),
        ];
        others.into_iter().chain(of_the_way()).collect()
    }

    fn of_mounts() -> Vec<MountError> {
        let point = || PathBuf::from("/tmp/s3files");
        let failed = || ProcessError::Failed { program: "umount".into(), code: 1, words: String::new() };
        let mut all = vec![
            MountError::Occupied { point: point(), source_url: "http://127.0.0.1:1/".into() },
            MountError::Foreign { point: point(), source_url: "tmpfs".into() },
            MountError::Hung(point()),
            MountError::NotMounted(point()),
            MountError::Busy { point: point(), forced: false },
            MountError::UnderWay(point()),
            MountError::Failed { point: point(), hint: "install davfs2".into(), source: failed() },
            MountError::NotUnmounted { point: point(), forced: false, source: failed() },
            MountError::Unseen(point()),
            MountError::Comma(point()),
            MountError::Files(io::ErrorKind::Other.into()),
        ];
        let points = [
            PointError::Link,
            PointError::NoDirectory,
            PointError::Foreign(1),
            PointError::NotEmpty,
            PointError::Unsafe(point()),
            PointError::Io(io::ErrorKind::PermissionDenied.into()),
        ];
        all.extend(points.map(|source| MountError::Point { point: point(), source }));
        all
    }

    /// Of everything that was started without any option but those that it needs.
    fn all_hints(given: &GivenOptions) -> Vec<String> {
        let mut hints: Vec<String> =
            of_the_store().iter().filter_map(|error| error.hint_with(given)).collect();
        hints.extend(
            of_the_store().into_iter().filter_map(|error| startup::fatal("photos", error, None, given).hint),
        );
        hints.extend(of_mounts().iter().filter_map(MountError::hint));
        let controls = [
            ControlError::NotRunning { state_dir: "/s".into() },
            ControlError::Silent,
            ControlError::Lost(io::ErrorKind::Other.into()),
            ControlError::Version(2),
            ControlError::Unexpected,
            ControlError::Foreign(1),
        ];
        hints.extend(controls.iter().filter_map(|error| error.hint().map(str::to_owned)));
        hints.extend(
            [ServiceError::NotInstalled, ServiceError::NotRunning].iter().filter_map(ServiceError::hint),
        );
        let io = || io::Error::from(io::ErrorKind::PermissionDenied);
        hints.push(directory_hint(&io()));
        let states = [
            StateError::Directory { path: "/s".into(), source: io() },
            StateError::Newer { path: "/s".into(), found: 9 },
            StateError::Foreign { path: "/s".into(), found: 9 },
        ];
        hints.extend(states.iter().filter_map(StateError::hint));
        let commands: [CommandError; 5] = [
            running::none_runs(None),
            running::none_runs(Some("/s".as_ref())),
            running::unexpected(),
            gateway::taken(StateError::Taken { holder: "process 1".into() }),
            stop::too_slow(std::time::Duration::from_secs(60)),
        ];
        hints.extend(commands.into_iter().filter_map(|failure| failure.hint));
        hints
    }

    /// Words like `--profile`.
    fn options_in(hint: &str) -> Vec<&str> {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let starts = hint.match_indices("--").map(|(at, _)| &hint[at..]);
        starts.map(|rest| &rest[..rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())]).collect()
    }

    #[test]
    fn hints_name_options_and_commands_that_there_are() {
        // Of other commands than `serve`, and of `aws`, `umount`, `openssl` and `docker`.
        let mut known: Vec<String> = option_names();
        known.extend(["force", "wait", "data", "source", "config", "help", "tmpfs"].map(str::to_owned));
        for hint in all_hints(&GivenOptions::default()) {
            for option in options_in(&hint) {
                assert!(known.iter().any(|name| format!("--{name}") == option), "{option}: {hint}");
            }
            for command in hint.split("`s3dav ").skip(1) {
                let words: Vec<_> = command.split(['`', ' ']).collect();
                assert!(cli::has_command(words[0]), "{hint}");
            }
        }
    }

    #[test]
    fn no_hint_asks_for_what_was_given() {
        let given = GivenOptions {
            profile: Some("work".into()),
            ca_bundle: Some("/etc/own.pem".into()),
            has_endpoint: true,
            names_hosts: true,
            sends_checksums: true,
        };
        for hint in all_hints(&given) {
            // A name that the user is to fill in has a value already.
            for placeholder in ["--profile NAME", "--ca-bundle FILE", "--bucket BUCKET"] {
                assert!(!hint.contains(placeholder), "{hint}");
            }
            assert!(
                !hint.contains("with --ca-bundle") && !hint.contains("--checksums when-supported"),
                "{hint}"
            );
            for option in options_in(&hint) {
                let at = hint.find(option).unwrap_or_default();
                let (before, after) = (&hint[..at], &hint[at + option.len()..]);
                // Which may have been given: it says that another value is meant, or looks at the one that was.
                let is_another =
                    ["another", "own", "check", "leave out", "longer", "without", "larger", "room"]
                        .iter()
                        .any(|word| before.contains(word));
                let is_the_one = after.starts_with(" work") || before.contains("/etc/own.pem");
                let is_never_given = ["--force", "-addext", "--tmpfs"].contains(&option);
                assert!(is_another || is_the_one || is_never_given, "{option}: {hint}");
            }
        }
        let forced = MountError::Busy { point: "/x".into(), forced: true }.hint();
        assert!(!forced.unwrap_or_default().contains("--force"));
        let named = running::none_runs(Some("/s".as_ref())).hint.unwrap_or_default();
        assert!(!named.contains("add --state-dir"), "{named}");
    }

    #[test]
    fn what_ends_does_not_go_on() {
        for error in of_the_store() {
            let Some(hint) = error.hint_with(&GivenOptions::default()) else { continue };
            assert!(!of_what_ends(hint.clone()).contains("then continues by itself"), "{hint}");
        }
    }
}
