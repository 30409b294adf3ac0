//! The credentials of the mount: those that the host has handed over, as long as they last, else those that the SDK's
//! chain finds here; always renewed before they end.
//!
//! The mount's programs ask for them with a limit of a second, so they are answered from memory.

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::failures::{Failure, Kind};
use crate::control::{Operated, Reply, Request};
use crate::store::s3::{Chain, Keys};

/// Why a text holds no credentials. It never shows them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeysError {
    #[error("this is not what `aws configure export-credentials --format process` prints")]
    Garbled,
    #[error("these credentials have expired")]
    Ended,
}

/// See the module.
#[derive(Debug)]
pub struct Keeper {
    chain: Chain,
    current: watch::Sender<Option<Keys>>,
    pushed: Mutex<Option<Keys>>,
    is_pushed: Notify,
    /// Why there are none, or will soon be none.
    trouble: Mutex<Option<String>>,
}

impl Keeper {
    pub fn new(chain: Chain) -> Self {
        Self {
            chain,
            current: watch::Sender::new(None),
            pushed: Mutex::default(),
            is_pushed: Notify::new(),
            trouble: Mutex::default(),
        }
    }

    /// Renews them for ever.
    pub async fn keep(&self) {
        loop {
            let pause = self.renew().await;
            tokio::select! {
                () = sleep(pause) => {}
                () = self.is_pushed.notified() => {}
            }
        }
    }

    /// Waits until there are some.
    pub async fn first(&self, limit: Duration) -> Result<(), Failure> {
        let mut current = self.current.subscribe();
        match timeout(limit, current.wait_for(Option::is_some)).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let trouble = self.trouble.lock().clone();
                let words = trouble.unwrap_or_else(|| format!("no answer within {limit:?}"));
                Err(Failure::new(Kind::NoCredentials, words))
            }
        }
    }

    /// Those that are valid now.
    pub(super) fn current(&self) -> Option<Keys> {
        self.current.borrow().clone().filter(Keys::is_valid)
    }

    /// Uses what the host has handed over.
    pub fn push(&self, text: &str) -> Result<(), KeysError> {
        let keys = parse(text)?;
        *self.pushed.lock() = Some(keys.clone());
        self.current.send_replace(Some(keys));
        self.is_pushed.notify_one();
        Ok(())
    }

    /// Says when to do it again.
    async fn renew(&self) -> Duration {
        let pushed = self.pushed.lock().clone().filter(Keys::is_valid);
        if let Some(keys) = pushed {
            self.current.send_replace(Some(keys.clone()));
            // The host hands over new ones earlier; where it does not, the chain may have some.
            return keys.left().unwrap_or(REREAD);
        }
        let failed = match self.chain.valid().await {
            Ok(keys) => {
                let pause = until_renewal(&keys);
                self.current.send_replace(Some(keys));
                *self.trouble.lock() = None;
                return pause;
            }
            Err(no_keys) => no_keys.message,
        };
        let before = self.trouble.lock().replace(failed.clone());
        if before.as_ref() != Some(&failed) {
            tracing::warn!("no new credentials: {failed}");
        }
        RETRY
    }
}

#[async_trait]
impl Operated for Keeper {
    async fn carry_out(&self, request: Request) -> Reply {
        match request {
            Request::Credentials { json } => match self.push(&json.0) {
                Ok(()) => {
                    tracing::info!("credentials were handed over");
                    Reply::Done
                }
                Err(error) => Reply::Failed { message: error.to_string() },
            },
            _ => Reply::Failed { message: "this request is for the gateway process".to_owned() },
        }
    }
}

/// What a `credential_process` prints.
fn parse(text: &str) -> Result<Keys, KeysError> {
    let printed: Printed = serde_json::from_str(text).map_err(|_| KeysError::Garbled)?;
    if printed.version != 1 || printed.access_key.is_empty() || printed.secret.is_empty() {
        return Err(KeysError::Garbled);
    }
    let expires = match printed.expiration {
        Some(text) => Some(OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| KeysError::Garbled)?.into()),
        None => None,
    };
    let (access_key, secret) = (printed.access_key, printed.secret);
    let keys = Keys { access_key, secret, token: printed.token, expires };
    if keys.is_valid() { Ok(keys) } else { Err(KeysError::Ended) }
}

#[derive(Deserialize)]
struct Printed {
    #[serde(rename = "Version")]
    version: u32,
    #[serde(rename = "AccessKeyId")]
    access_key: String,
    #[serde(rename = "SecretAccessKey")]
    secret: String,
    #[serde(rename = "SessionToken")]
    token: Option<String>,
    #[serde(rename = "Expiration")]
    expiration: Option<String>,
}

fn until_renewal(keys: &Keys) -> Duration {
    match keys.left() {
        // A file may hold others by then.
        None => REREAD,
        Some(left) => (left / 2).max(left.saturating_sub(MARGIN)).min(REREAD).max(SHORTEST),
    }
}

/// Until somebody has signed in again.
const RETRY: Duration = Duration::from_secs(5);
/// Before they end; those that last less than twice as long are renewed at half of it.
const MARGIN: Duration = Duration::from_secs(300);
/// Between two looks at what may have changed.
const REREAD: Duration = Duration::from_secs(300);
const SHORTEST: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn keys(lasting: Option<u64>) -> Keys {
        let expires = lasting.map(|seconds| SystemTime::now() + Duration::from_secs(seconds));
        Keys { access_key: "a".into(), secret: "s".into(), token: None, expires }
    }

    #[test]
    fn what_a_process_prints_is_read() {
        let text = r#"{"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "secret", "SessionToken": "token",
            "Expiration": "2999-01-02T03:04:05+00:00", "AccountId": "1"}"#;
        let keys = parse(text).unwrap();
        assert_eq!(
            (&*keys.access_key, &*keys.secret, keys.token.as_deref()),
            ("AKIA", "secret", Some("token"))
        );
        assert!(!format!("{keys:?}").contains("secret") && keys.left() > Some(MARGIN));
        let of_user = r#"{"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "secret"}"#;
        assert_eq!(parse(of_user).unwrap().expires, None);
        for wrong in [
            "",
            "{}",
            "[1]",
            &text.replace(": 1", ": 2"),
            &text.replace("AKIA", ""),
            &text.replace("2999-01", "2999-13"),
            &text.replace("SecretAccessKey", "secret"),
        ] {
            assert_eq!(parse(wrong), Err(KeysError::Garbled), "{wrong}");
        }
        assert_eq!(parse(&text.replace("2999", "1999")), Err(KeysError::Ended));
    }

    #[test]
    fn they_are_renewed_before_they_end() {
        let near = |keys: Keys, seconds: f64| {
            let wait = until_renewal(&keys).as_secs_f64();
            assert!((wait - seconds).abs() < 0.5, "{wait}");
        };
        near(keys(None), 300.0);
        near(keys(Some(20)), 10.0);
        near(keys(Some(3600)), 300.0);
        near(keys(Some(600)), 300.0);
        near(keys(Some(400)), 200.0);
        near(keys(Some(0)), 0.2);
    }
}
