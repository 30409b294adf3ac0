//! What is allowed, and may still be a mistake: who else can come in, or read on the way.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Config, Source};
use crate::http::auth::Access;

/// What its user should know, and can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caution {
    pub message: String,
    pub hint: String,
}

/// All that is to be said of a gateway that serves at `addresses`. Looks at the password file; blocks for that.
pub fn cautions(config: &Config, addresses: &[SocketAddr], password_file: Option<&Path>) -> Vec<Caution> {
    let all = [
        password_file.and_then(of_password_file),
        of_access(&config.access),
        of_addresses(addresses),
        of_endpoint(&config.source),
        of_profile(&config.source),
        of_other_state(config),
    ];
    all.into_iter().flatten().chain(config.replaced.iter().cloned()).collect()
}

fn of_password_file(file: &Path) -> Option<Caution> {
    let (shown, meta) = (file.display(), std::fs::metadata(file).ok()?);
    if !meta.is_file() {
        return None;
    }
    let own = rustix::process::geteuid().as_raw();
    if ![own, ROOT].contains(&meta.uid()) {
        let message = format!("the password file {shown} belongs to another user (uid {})", meta.uid());
        return Some(Caution { message, hint: "name a file of your own".to_owned() });
    }
    let mode = meta.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then(|| Caution {
        message: format!("the password file {shown} is open to other users (mode {mode:04o})"),
        hint: format!("chmod 600 {shown}"),
    })
}

fn of_access(access: &Access) -> Option<Caution> {
    matches!(access, Access::Anyone).then(|| Caution {
        message: "every user of this machine can read and change what is served (--auth none)".to_owned(),
        hint: "without --auth your own programs still have access, and others need the password".to_owned(),
    })
}

/// Beyond the loopback a password is asked for, which goes there as it is.
fn of_addresses(addresses: &[SocketAddr]) -> Option<Caution> {
    let beyond = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback())?;
    Some(Caution {
        message: format!("passwords and files go over the network unencrypted at {beyond}"),
        hint: "listen on 127.0.0.1, and put a TLS proxy in front".to_owned(),
    })
}

fn of_endpoint(source: &Source) -> Option<Caution> {
    let Source::Buckets(source) = source else { return None };
    let host = plain_host(source.s3.endpoint_url.as_deref()?)?;
    Some(Caution {
        message: format!("files and session tokens go to {host} unencrypted"),
        hint: "name the endpoint with https://; --ca-bundle names an authority of your own".to_owned(),
    })
}

/// The SDK takes the keys of the environment first, whatever profile is named.
fn of_profile(source: &Source) -> Option<Caution> {
    let Source::Buckets(source) = source else { return None };
    let profile = source.s3.profile.as_ref()?;
    std::env::var_os("AWS_ACCESS_KEY_ID").filter(|key| !key.is_empty()).map(|_| Caution {
        message: format!("using the keys from the environment, not those of the profile {profile}"),
        hint: "to use the profile, unset AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned(),
    })
}

/// Another spelling of the endpoint made another state once.
fn of_other_state(config: &Config) -> Option<Caution> {
    let states = config.source.identity().states();
    let own = config.state_dir.canonicalize().ok()?;
    let is_own = |state: &PathBuf| state.canonicalize().is_ok_and(|state| state == own);
    if !states.iter().any(is_own) {
        return None;
    }
    let other = states.iter().find(|state| !is_own(state))?;
    let name = other.file_name().unwrap_or_default().to_string_lossy();
    Some(Caution {
        message: format!(
            "there is an older state of this source, from when its endpoint was written differently: {}",
            other.display()
        ),
        hint: format!(
            "the newer one is used; `s3dav state list` shows what {name} holds, and `s3dav state clean \
             {name}` removes it if it holds nothing"
        ),
    })
}

/// The host of an `http://` URL, unless it is this machine.
fn plain_host(url: &str) -> Option<String> {
    let url: http::Uri = url.parse().ok()?;
    let host = url.host()?.to_ascii_lowercase();
    let is_here = match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    (url.scheme_str() == Some("http") && !is_here).then_some(host)
}

const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leaves_this_machine_unencrypted_counts() {
        for url in
            ["http://minio:9000", "http://10.0.0.1/", "HTTP://S3.example.com", "http://[fd00::1]:9000/x"]
        {
            assert!(plain_host(url).is_some(), "{url}");
        }
        for url in [
            "https://minio:9000",
            "http://127.0.0.1:9000",
            "http://127.8.0.1",
            "http://[::1]:9000/",
            "http://[::ffff:127.0.0.1]/",
            "http://LOCALHOST:1",
            "http://s3.localhost",
            "nonsense",
        ] {
            assert_eq!(plain_host(url), None, "{url}");
        }
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        assert_eq!(of_addresses(&addresses(&["127.0.0.1:8330", "[::1]:8330", "[::ffff:127.0.0.1]:1"])), None);
        let caution = of_addresses(&addresses(&["127.0.0.1:8330", "0.0.0.0:8330"])).unwrap();
        assert_eq!(caution.message, "passwords and files go over the network unencrypted at 0.0.0.0:8330");
        assert!(caution.hint.contains("TLS proxy"));
    }
}
