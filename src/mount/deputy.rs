//! Root's davfs2, which runs as a user of its own: the account is this daemon's alone.
//!
//! It needs no password, which it would show to whoever takes the gateway's port. Its programs come in while
//! the table of mounts shows root's mount of what the gateway serves, and while such a mount is being made.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::table::entries;

/// Knows whether a user is davfs2's, and mounts what a gateway serves. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Deputy {
    urls: Vec<String>,
    uid: u32,
    /// Mounts that may be under way, until then.
    mounting: Arc<Mutex<Vec<Instant>>>,
}

impl Deputy {
    /// Of the gateway that serves at `urls`; only root has one, where davfs2 has an account.
    pub async fn new(urls: Vec<String>) -> Option<Self> {
        if !cfg!(target_os = "linux") || !rustix::process::geteuid().is_root() {
            return None;
        }
        Some(Self { urls, uid: own_uid().await?, mounting: Arc::default() })
    }

    /// Says that a mount is about to be made: before it is in the table its program asks what there is.
    pub fn begin(&self) {
        self.mounting.lock().push(Instant::now() + super::MOUNT_LIMIT);
    }

    /// Says that one has been made, or not.
    pub fn end(&self) {
        self.mounting.lock().pop();
    }

    /// Whether programs of `uid` are its, at this moment.
    pub async fn is(&self, uid: u32) -> bool {
        uid == self.uid && (self.is_expected() || self.is_mounted().await)
    }

    fn is_expected(&self) -> bool {
        let mut mounting = self.mounting.lock();
        mounting.retain(|until| Instant::now() < *until);
        !mounting.is_empty()
    }

    async fn is_mounted(&self) -> bool {
        let entries = entries().await.unwrap_or_default();
        entries.iter().any(|entry| entry.owner == Some(0) && self.urls.iter().any(|url| entry.is_of(url)))
    }
}

/// davfs2's user, if there is one.
async fn own_uid() -> Option<u32> {
    let config = tokio::fs::read_to_string(CONFIG).await.unwrap_or_default();
    let accounts = tokio::fs::read_to_string(ACCOUNTS).await.ok()?;
    uid_of(&accounts, name(&config).unwrap_or(USUAL_NAME))
}

/// The user that davfs2's configuration names.
fn name(config: &str) -> Option<&str> {
    config.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("dav_user")).then(|| Some(words.next()?.trim_matches('"'))).flatten()
    })
}

fn uid_of(accounts: &str, name: &str) -> Option<u32> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

const CONFIG: &str = "/etc/davfs2/davfs2.conf";
const ACCOUNTS: &str = "/etc/passwd";
const USUAL_NAME: &str = "davfs2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_user_is_found() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\ndavfs2:x:102:109::/var/cache/davfs2:/usr/sbin/nologin\nbad:x:y\n";
        assert_eq!(uid_of(accounts, USUAL_NAME), Some(102));
        assert_eq!(
            (uid_of(accounts, "bad"), uid_of(accounts, "nobody"), uid_of("", "x")),
            (None, None, None)
        );
        assert_eq!(name("# dav_user davfs2\ndav_group x\n dav_user webdav # so\n"), Some("webdav"));
        assert_eq!(name("dav_user \"webdav\"\n"), Some("webdav"));
        assert_eq!(name("# dav_user        davfs2            # system wide config file only\n"), None);
    }

    #[tokio::test]
    async fn it_is_let_in_only_while_root_mounts_it() {
        let deputy = Deputy { urls: vec!["http://127.0.0.1:1/".into()], uid: 102, mounting: Arc::default() };
        assert!(!deputy.is(102).await);
        deputy.begin();
        deputy.begin();
        deputy.end();
        assert!(deputy.is(102).await && !deputy.is(103).await, "another mount is under way");
        deputy.end();
        assert!(!deputy.is(102).await);
        deputy.mounting.lock().push(Instant::now());
        assert!(!deputy.is(102).await, "it has taken too long");
    }
}
