//! What the profile in use says that the SDK does not read, or cannot do.

use aws_runtime::env_config::section::{EnvConfigSections, Profile as Section};

use super::addressing::{self, Style};
use super::{ConnectError, S3Options};
use crate::store::advice::GOES_ON;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) style: Option<Style>,
    /// What to do where no credentials come of it.
    pub(super) hint: Option<String>,
}

impl Profile {
    /// Reads it. One that is unknown would otherwise show only as missing credentials, and one that asks for a code
    /// as a denial.
    pub(super) async fn read(options: &S3Options) -> Result<Self, ConnectError> {
        if options.credentials.is_some() {
            return Ok(Self::default());
        }
        let (fs, env) = (aws_types::os_shim_internal::Fs::real(), aws_types::os_shim_internal::Env::real());
        let files = aws_runtime::env_config::file::EnvConfigFiles::default();
        // A file that cannot be read is reported by the chain, with its name.
        let Ok(profiles) = aws_config::profile::load(&fs, &env, &files, None).await else {
            return Ok(Self::default());
        };
        let named = options.profile.clone().or_else(|| variable("AWS_PROFILE"));
        let name = named.clone().unwrap_or_else(|| profiles.selected_profile().to_owned());
        if named.is_some() && profiles.get_profile(&name).is_none() {
            return Err(ConnectError::UnknownProfile(name));
        }
        let style = addressing::of_profile(&profiles, &name);
        if let Some((has, lacks)) = half(|name| variable(name).is_some(), KEY_IN_ENVIRONMENT)
            && !options.no_sign_request
            && profiles.get_profile(&name).is_none()
        {
            return Err(ConnectError::HalfAKeyInEnvironment { has, lacks });
        }
        // Keys of the environment stand before the profile.
        if options.no_sign_request || variable("AWS_ACCESS_KEY_ID").is_some() {
            return Ok(Self { style, hint: None });
        }
        Ok(Self { style, hint: signs_in(&profiles, &name)? })
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What to do where a profile brings no credentials; an error where it never does.
fn signs_in(profiles: &EnvConfigSections, name: &str) -> Result<Option<String>, ConnectError> {
    let mut before: Vec<&str> = Vec::new();
    let mut source = name;
    loop {
        let Some(profile) = profiles.get_profile(source) else {
            let Some(last) = before.last() else { return Ok(None) };
            let (profile, source_profile) = ((*last).to_owned(), source.to_owned());
            return Err(ConnectError::UnknownSource { profile, source_profile });
        };
        if profile.get("role_arn").is_some() && profile.get("mfa_serial").is_some() {
            return Err(ConnectError::AsksForCode { profile: name.to_owned() });
        }
        let next = profile.get("source_profile").filter(|_| profile.get("role_arn").is_some());
        match next {
            // It has keys of its own, from which it takes the role.
            Some(next) if next == source => return own_keys(profile, name, source),
            Some(next) if before.contains(&next) => {
                let (profile, source_profile) = (source.to_owned(), next.to_owned());
                return Err(ConnectError::Circle { profile, source_profile });
            }
            Some(next) => {
                before.push(source);
                source = next;
            }
            None => return own_keys(profile, name, source),
        }
    }
}

/// Refuses half a key, with which the SDK would wait for the other half for ever.
fn own_keys(profile: &Section, name: &str, source: &str) -> Result<Option<String>, ConnectError> {
    match half(|key| profile.get(key).is_some_and(|value| !value.is_empty()), KEY) {
        Some((has, lacks)) => Err(ConnectError::HalfAKey { profile: source.to_owned(), has, lacks }),
        None => hint(profile, name, source),
    }
}

/// Which of the two is there, and which is not.
fn half(has: impl Fn(&str) -> bool, [id, secret]: [&'static str; 2]) -> Option<(&'static str, &'static str)> {
    match (has(id), has(secret)) {
        (true, false) => Some((id, secret)),
        (false, true) => Some((secret, id)),
        _ => None,
    }
}

/// For the profile `source`, from which the roles of the profile `name` begin.
fn hint(profile: &Section, name: &str, source: &str) -> Result<Option<String>, ConnectError> {
    let has = |key: &str| profile.get(key).is_some();
    if has("login_session") {
        return Err(ConnectError::LoginSession { profile: name.to_owned() });
    }
    let hint = if has("sso_session") || has("sso_start_url") {
        format!("sign in with `aws sso login --profile {source}`{GOES_ON}")
    } else if has("web_identity_token_file") {
        format!(
            "check that the role of the profile {source} can be assumed with the token in its \
             web_identity_token_file"
        )
    } else if has("credential_process") {
        format!("run the credential_process of the profile {source} by itself, and see what it prints")
    } else if source != name {
        format!(
            "check that the role of the profile {name} can be assumed with the keys of the profile {source}"
        )
    } else {
        return Ok(None);
    };
    Ok(Some(hint))
}

const KEY: [&str; 2] = ["aws_access_key_id", "aws_secret_access_key"];
const KEY_IN_ENVIRONMENT: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
