//! A Mac's requests, as WebDAVFS sends them.

use std::net::SocketAddr;

use bytes::Bytes;
use reqwest::{Client, Method, Response};

pub struct Mac {
    client: Client,
    url: String,
}

const AGENT: &str = "WebDAVFS/3.0.0 (03008000) Darwin/25.2.0 (arm64)";
const STAT: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\">\n<D:prop>\n\
    <D:getlastmodified/>\n<D:getcontentlength/>\n<D:creationdate/>\n<D:resourcetype/>\n\
    </D:prop>\n</D:propfind>\n";
const LOCK: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:lockinfo xmlns:D=\"DAV:\">\n\
    <D:lockscope><D:exclusive/></D:lockscope>\n<D:locktype><D:write/></D:locktype>\n<D:owner>\n\
    <D:href>http://www.apple.com/webdav_fs/</D:href>\n</D:owner>\n</D:lockinfo>\n";

impl Mac {
    pub fn new(address: SocketAddr) -> Self {
        let client = Client::builder().no_proxy().user_agent(AGENT).build().unwrap();
        Self { client, url: format!("http://{address}") }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Response {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub async fn status(&self, method: &str, path: &str) -> u16 {
        self.send(method, path, &[], Bytes::new()).await.status().as_u16()
    }

    pub async fn look(&self, path: &str) -> u16 {
        self.send("PROPFIND", path, &[("Depth", "0")], Bytes::from(STAT)).await.status().as_u16()
    }

    /// The hrefs in a folder, its own first.
    pub async fn list(&self, path: &str) -> Vec<String> {
        let answer = self.send("PROPFIND", path, &[("Depth", "1")], Bytes::from(STAT)).await;
        let text = answer.text().await.unwrap();
        text.split("href>")
            .skip(1)
            .step_by(2)
            .map(|rest| rest.split("</").next().unwrap().to_owned())
            .collect()
    }

    pub async fn get(&self, path: &str) -> Bytes {
        self.send("GET", path, &[], Bytes::new()).await.bytes().await.unwrap()
    }

    /// Makes a file empty, locks it, writes it, unlocks it.
    pub async fn create(&self, path: &str, content: Bytes) {
        self.look(path).await;
        self.status("PUT", path).await;
        let headers = [("Depth", "0"), ("Timeout", "Second-600")];
        let answer = self.send("LOCK", path, &headers, Bytes::from(LOCK)).await;
        let text = answer.text().await.unwrap();
        let token = text.split("locktoken>").nth(1).and_then(|rest| rest.split("href>").nth(1));
        let token = token.and_then(|rest| rest.split("</").next()).unwrap_or("urn:none").to_owned();
        let condition = format!("(<{token}>)");
        let put = self.send("PUT", path, &[("If", &condition)], content.clone()).await;
        if !put.status().is_success() {
            // A server without this lock: as the client would without one.
            self.send("PUT", path, &[], content).await;
        }
        self.send("UNLOCK", path, &[("Lock-Token", &format!("<{token}>"))], Bytes::new()).await;
    }

    pub async fn rename(&self, from: &str, to: &str) -> u16 {
        let destination = format!("{}{to}", self.url);
        self.send("MOVE", from, &[("Destination", &destination)], Bytes::new()).await.status().as_u16()
    }
}
