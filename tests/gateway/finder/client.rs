//! Requests as WebDAVFS, the file system in macOS's kernel, sends them: headers and bodies byte for byte.

use std::net::IpAddr;

use bytes::Bytes;
use reqwest::{Client, Method, RequestBuilder, Response};

use crate::harness::{TestGateway, client, client_builder, hrefs};

pub const AGENT: &str = "WebDAVFS/3.0.0 (03008000) Darwin/25.2.0 (arm64)";

/// For lookups, attributes and listings; 179 bytes.
pub const STAT: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\">\n<D:prop>\n\
    <D:getlastmodified/>\n<D:getcontentlength/>\n<D:creationdate/>\n<D:resourcetype/>\n\
    </D:prop>\n</D:propfind>\n";
/// Is a folder empty? 118 bytes.
pub const EMPTY: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\">\n<D:prop>\n\
    <D:resourcetype/>\n</D:prop>\n</D:propfind>\n";
/// 229 bytes.
pub const LOCK: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:lockinfo xmlns:D=\"DAV:\">\n\
    <D:lockscope><D:exclusive/></D:lockscope>\n<D:locktype><D:write/></D:locktype>\n<D:owner>\n\
    <D:href>http://www.apple.com/webdav_fs/</D:href>\n</D:owner>\n</D:lockinfo>\n";

/// 175 bytes.
pub const QUOTA: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\">\n<D:prop>\n\
    <D:quota-available-bytes/>\n<D:quota-used-bytes/>\n<D:quota/>\n<D:quotaused/>\n\
    </D:prop>\n</D:propfind>\n";

/// Date and ETag of what was written, if the answer told neither; 134 bytes.
pub const VALID: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\">\n<D:prop>\n\
    <D:getlastmodified/>\n<D:getetag/>\n</D:prop>\n</D:propfind>\n";

/// One Mac.
pub struct Finder {
    pub url: String,
    client: Client,
    agent: &'static str,
}

impl Finder {
    pub fn of(gateway: &TestGateway) -> Self {
        Self::at(&gateway.url)
    }

    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), client: client(), agent: AGENT }
    }

    /// The same requests of a client that goes by another name.
    pub fn called(self, agent: &'static str) -> Self {
        Self { agent, ..self }
    }

    /// The same requests of a Mac with another address.
    pub fn of_another(self) -> Self {
        let other = client_builder().local_address(IpAddr::from([127, 0, 0, 2]));
        Self { client: other.build().unwrap(), ..self }
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, format!("{}{path}", self.url));
        request.header("User-Agent", self.agent).header("Accept", "*/*")
    }

    pub async fn send(&self, method: &str, path: &str) -> Response {
        self.request(method, path).send().await.unwrap()
    }

    pub async fn status(&self, method: &str, path: &str) -> u16 {
        self.send(method, path).await.status().as_u16()
    }

    pub fn propfind(&self, path: &str, depth: &str, body: &str) -> RequestBuilder {
        let request = self.request("PROPFIND", path).header("Depth", depth);
        request.header("Content-Type", "text/xml").body(body.to_owned())
    }

    /// A lookup: 207 or 404.
    pub async fn look(&self, path: &str) -> u16 {
        self.propfind(path, "0", STAT).send().await.unwrap().status().as_u16()
    }

    /// The hrefs of a folder as it is opened.
    pub async fn list(&self, path: &str) -> Vec<String> {
        let answer = self.propfind(path, "1", STAT).send().await.unwrap();
        assert_eq!(answer.status(), 207, "{path}");
        hrefs(&answer.text().await.unwrap())
    }

    /// Whether a folder may be removed, as the client asks before it does.
    pub async fn is_empty(&self, path: &str) -> bool {
        let answer = self.propfind(path, "1", EMPTY).send().await.unwrap();
        hrefs(&answer.text().await.unwrap()).len() == 1
    }

    /// The token of a new lock.
    pub async fn lock(&self, path: &str) -> String {
        let request = self.request("LOCK", path).header("Depth", "0").header("Timeout", "Second-600");
        let answer =
            request.header("Content-Type", "text/xml; charset=\"utf-8\"").body(LOCK).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let text = answer.text().await.unwrap();
        // As its parser does: the first href after the token's beginning.
        let token = text.split("locktoken>").nth(1).unwrap();
        hrefs(token).remove(0)
    }

    pub async fn unlock(&self, path: &str, token: &str) -> u16 {
        let request = self.request("UNLOCK", path).header("Lock-Token", format!("<{token}>"));
        request.send().await.unwrap().status().as_u16()
    }

    /// A write of a whole file under a lock.
    pub async fn put(&self, path: &str, token: &str, content: impl Into<Bytes>) -> u16 {
        let request = self.request("PUT", path).header("If", format!("(<{token}>)"));
        request.body(content.into()).send().await.unwrap().status().as_u16()
    }

    /// A new file: made empty, locked, written, unlocked.
    pub async fn create(&self, path: &str, content: impl Into<Bytes>) {
        assert_eq!(self.look(path).await, 404, "{path}");
        assert_eq!(self.status("PUT", path).await, 201, "{path}");
        let token = self.lock(path).await;
        assert!(matches!(self.put(path, &token, content).await, 200..=204), "{path}");
        assert_eq!(self.unlock(path, &token).await, 204, "{path}");
    }

    pub async fn get(&self, path: &str) -> (u16, Bytes) {
        let answer = self.request("GET", path).send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap())
    }

    pub async fn rename(&self, from: &str, to: &str) -> u16 {
        let request = self.request("MOVE", from).header("Destination", format!("{}{to}", self.url));
        request.send().await.unwrap().status().as_u16()
    }
}

#[test]
fn bodies_are_as_long_as_they_were_seen() {
    assert_eq!([STAT.len(), EMPTY.len(), LOCK.len(), QUOTA.len(), VALID.len()], [179, 118, 229, 175, 134]);
}
