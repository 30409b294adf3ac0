//! Who is asking, and what is peculiar to that client.
//!
//! Each fact about a client is a field of [`Quirks`], and each client that has any is a row of one table.

use std::fmt;
use std::net::IpAddr;

/// Who is asking: as much as tells one client from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Client {
    /// The name it authenticated with.
    pub principal: Option<String>,
    pub address: IpAddr,
    /// The first word of its User-Agent, up to the slash: `WebDAVFS`, `davfs2`, `rclone`.
    pub product: String,
}

/// What a client does that others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// It makes files empty and writes their content right after.
    pub fills_later: bool,
    /// From the `Date` of the answer to an empty PUT it makes up all attributes of the file, and believes in the
    /// size of 0 for a minute, whatever it streams meanwhile (`filesystem_create`). Without a date it asks.
    pub sizes_what_is_dated: bool,
    /// For a part of a file it gives a program as many bytes as were asked for, however few came: the rest is what
    /// lay in the kernel's memory. After an error it waits for the download (`webdav_read_bytes`).
    pub pads_short_reads: bool,
}

impl Client {
    /// The client that calls itself `agent`, as its User-Agent has it.
    pub fn new(principal: Option<String>, address: IpAddr, agent: &str) -> Self {
        let product = agent.split(['/', ' ']).next().unwrap_or_default();
        Self { principal, address, product: product.chars().take(MAX_PRODUCT).collect() }
    }

    /// What is peculiar to it.
    pub fn quirks(&self) -> &'static Quirks {
        TABLE.iter().find(|(product, _)| *product == self.product).map_or(&NONE, |(_, quirks)| quirks)
    }

    /// Whether it is the file system in macOS's kernel, behind Finder.
    pub fn is_webdavfs(&self) -> bool {
        self.product == WEBDAVFS
    }

    /// As people are told of it: its program, else the user of this machine, else where it is.
    pub fn described(&self, uid: Option<u32>) -> String {
        match (&*self.product, uid) {
            ("", Some(uid)) => format!("uid {uid}"),
            ("", None) => self.address.to_string(),
            (product, _) if self.address.is_loopback() => product.to_owned(),
            (product, _) => format!("{product} at {}", self.address),
        }
    }

    /// As rows of the state have it: it cannot be taken for another's.
    pub fn to_row(&self) -> String {
        let who = self.principal.as_deref().map_or("-".to_owned(), |name| format!("={name}"));
        format!("{} {} {who}", self.address, self.product)
    }

    /// The client of such a row.
    pub fn of_row(row: &str) -> Option<Self> {
        let mut parts = row.splitn(3, ' ');
        let (address, product, who) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        let principal = who.strip_prefix('=').map(str::to_owned);
        Some(Self { principal, address, product: product.to_owned() })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} {}", self.principal.as_deref().unwrap_or(""), self.address, self.product)
    }
}

/// macOS's client.
const WEBDAVFS: &str = "WebDAVFS";
/// What is known of clients, by product.
const TABLE: &[(&str, Quirks)] = &[
    (WEBDAVFS, Quirks { fills_later: true, sizes_what_is_dated: true, pads_short_reads: true }),
    ("davfs2", Quirks { fills_later: true, ..NONE }),
];
/// All others do what RFC 4918 and RFC 9110 say.
const NONE: Quirks = Quirks { fills_later: false, sizes_what_is_dated: false, pads_short_reads: false };
/// Characters. Those of real clients are below 20.
const MAX_PRODUCT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn client(agent: &str) -> Client {
        Client::new(None, [127, 0, 0, 1].into(), agent)
    }

    #[test]
    fn clients_are_known_by_the_first_word_of_their_agent() {
        let mac = client("WebDAVFS/3.0.0 (03008000) Darwin/25.2.0 (arm64)");
        assert!(mac.is_webdavfs() && mac.quirks().fills_later);
        assert!(!client("davfs2/1.6.1 neon/0.32.5").is_webdavfs());
        assert!(client("davfs2/1.6.1 neon/0.32.5").quirks().fills_later);
        for other in
            ["", "webdavfs", "rclone/v1.75.2", "WebDAVFS3/1", "WebDAVLib/1.3", "Mozilla/5.0 WebDAVFS/3.0"]
        {
            assert_eq!((client(other).quirks(), client(other).is_webdavfs()), (&NONE, false), "{other:?}");
        }
        assert_eq!(client(&"x".repeat(1000)).product.len(), MAX_PRODUCT);
    }

    #[test]
    fn a_client_is_described_by_what_is_known_of_it() {
        let far = Client::new(None, [10, 0, 0, 1].into(), "curl/8.0");
        assert_eq!(client("davfs2/1.6.1 neon/0.32.5").described(Some(0)), "davfs2");
        assert_eq!(client("").described(Some(501)), "uid 501");
        assert_eq!(client("").described(None), "127.0.0.1");
        assert_eq!(far.described(None), "curl at 10.0.0.1");
    }
}
