//! What a gateway on a terminal says when it serves: where, how to open it, how to stop it. Programs that read its
//! standard error get the log's line instead.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use super::words::quoted;
use crate::cli::LogArgs;
use crate::config::{Config, Source};
use crate::http::auth::Access;
use crate::logging::LogFormat;
use crate::metrics::Metrics;
use crate::sockets::Holder;

/// What it is made of.
#[derive(Debug)]
pub(super) struct Greeting {
    source: String,
    /// Their names, where it is buckets.
    buckets: Vec<String>,
    is_read_only: bool,
    login: Option<String>,
    mountpoint: Option<String>,
    patience: Duration,
    /// Of `serve`, for `mount`.
    options: Vec<String>,
}

impl Greeting {
    /// `None` where nobody sits before it. `options`: as arguments.
    pub(super) fn of(config: &Config, options: &[String], holder: Holder, log: &LogArgs) -> Option<Self> {
        let is_wanted = log.log_format == LogFormat::Text && log.verbosity() >= 0 && !config.detached;
        if !is_wanted || holder == Holder::System || !stderr().is_terminal() {
            return None;
        }
        let login = match (&config.access, &config.login) {
            (Access::Password(_), Some(login)) => Some(format!("as user {:?} with its password", login.user)),
            (Access::Password(_), None) => {
                Some("with the user and password that `s3dav status --show-password` shows".to_owned())
            }
            _ => None,
        };
        let buckets = match &config.source {
            Source::Buckets(source) => source.buckets.iter().map(|spec| spec.bucket.clone()).collect(),
            Source::Path(_) | Source::Far(_) => Vec::new(),
        };
        Some(Self {
            source: config.source.to_string(),
            buckets,
            is_read_only: config.service.read_only,
            login,
            mountpoint: config.mount.as_ref().map(|mount| mount.point.display().to_string()),
            patience: config.shutdown_timeout,
            options: options.to_vec(),
        })
    }

    /// What is said besides, where S3 cannot be used yet.
    pub(super) fn reservation(&self, metrics: &Metrics) -> Option<String> {
        let troubles = metrics.troubles();
        let trouble = self.buckets.iter().find_map(|bucket| troubles.get(bucket))?;
        let said = format!("S3 cannot be used yet: {}; s3dav keeps trying", trouble.message);
        (!metrics.has_reached_s3()).then_some(said)
    }

    /// The three lines.
    pub(super) fn lines(&self, url: &str) -> [String; 3] {
        let rights = if self.is_read_only { ", read-only" } else { "" };
        let by_hand = if cfg!(target_os = "macos") {
            "in Finder, choose Go > Connect to Server (Cmd-K) and enter that URL"
        } else {
            "enter that URL in a browser or a WebDAV client"
        };
        let by_hand = [Some(by_hand.to_owned()), self.login.clone()].into_iter().flatten();
        let by_hand = by_hand.collect::<Vec<_>>().join(", ");
        let opening = match &self.mountpoint {
            Some(point) => format!("open {point}, where it is mounted, or {by_hand}"),
            None => {
                let options: Vec<_> = self.options.iter().map(|option| quoted(option)).collect();
                format!("{by_hand}; to mount it, stop this, then run `s3dav mount {}`", options.join(" "))
            }
        };
        let patience = self.patience.as_secs();
        [
            format!("serving {} at {url}{rights}", self.source),
            format!("to open it: {opening}"),
            format!("to stop it: press Ctrl-C; requests in progress get {patience} s to finish"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_how_to_open_and_how_to_stop() {
        let mut greeting = Greeting {
            source: "my-photos".to_owned(),
            buckets: vec!["my-photos".to_owned()],
            is_read_only: true,
            login: Some("as user \"me\" with its password".to_owned()),
            mountpoint: None,
            patience: Duration::from_secs(10),
            options: vec!["--bucket=my photos".to_owned()],
        };
        let [what, opening, stopping] = greeting.lines("http://127.0.0.1:8330/");
        assert_eq!(what, "serving my-photos at http://127.0.0.1:8330/, read-only");
        let mounting = "; to mount it, stop this, then run `s3dav mount '--bucket=my photos'`";
        assert!(opening.ends_with(&format!(", as user \"me\" with its password{mounting}")), "{opening}");
        assert_eq!(stopping, "to stop it: press Ctrl-C; requests in progress get 10 s to finish");
        greeting.mountpoint = Some("/tmp/s3files".to_owned());
        let [_, opening, _] = greeting.lines("http://127.0.0.1:8330/");
        assert!(opening.starts_with("to open it: open /tmp/s3files, where it is mounted, or "), "{opening}");
    }
}
