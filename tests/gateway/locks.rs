//! Locks beyond what litmus looks at.

use std::time::Duration;

use crate::harness::{TestGateway, xml};

/// What takes a lock.
fn info() -> String {
    xml::exclusive("<D:href>http://someone/</D:href>")
}

/// Takes a lock; returns status and token.
async fn lock(gateway: &TestGateway, path: &str, depth: &str, timeout: &str, agent: &str) -> (u16, String) {
    let info = info();
    let request = gateway.request("LOCK", path).header("Depth", depth).header("Timeout", timeout);
    let answer = request.header("User-Agent", agent).body(info).send().await.unwrap();
    let token =
        answer.headers().get("lock-token").map(|t| t.to_str().unwrap().to_owned()).unwrap_or_default();
    (answer.status().as_u16(), token)
}

async fn put_with(gateway: &TestGateway, path: &str, header: (&str, String), body: &str) -> u16 {
    let request = gateway.request("PUT", path).header(header.0, header.1).body(body.to_owned());
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_expire() {
    for gateway in TestGateway::both().await {
        gateway.put("/a", "1").await;
        let (status, _) = lock(&gateway, "/a", "0", "Second-1", "x").await;
        assert_eq!(status, 200);
        assert_eq!(gateway.put("/a", "2").await, 423);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(gateway.put("/a", "3").await, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folders_lock_protects_its_members() {
    for gateway in TestGateway::both().await {
        gateway.status("MKCOL", "/d").await;
        gateway.put("/d/old", "1").await;
        let (status, token) = lock(&gateway, "/d", "0", "Second-60", "x").await;
        assert_eq!(status, 200);
        assert_eq!(gateway.put("/d/new", "x").await, 423, "adds a member");
        assert_eq!(gateway.status("DELETE", "/d/old").await, 423, "takes one away");
        assert_eq!(gateway.status("MKCOL", "/d/sub").await, 423);
        assert_eq!(gateway.transfer("MOVE", "/d/old", "/elsewhere").await, 423);
        assert_eq!(lock(&gateway, "/d/unmapped", "0", "Second-60", "x").await.0, 423);
        assert_eq!(gateway.put("/d/old", "2").await, 204, "changes none");
        let tagged = format!("<{}/d> ({token})", gateway.url);
        assert_eq!(put_with(&gateway, "/d/new", ("If", tagged), "x").await, 201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lock_has_made_is_not_there_for_who_has_it() {
    for gateway in TestGateway::both().await {
        let put_by = async |agent: &'static str, path: &'static str, token: &str, content: &'static str| {
            let put = gateway.request("PUT", path).header("If-None-Match", "*").body(content);
            let put = put.header("User-Agent", agent);
            let put = if token.is_empty() { put } else { put.header("If", format!("(<{token}>)")) };
            put.send().await.unwrap().status().as_u16()
        };
        let put = async |path, token: &str, content| put_by("davfs2/1.6.1", path, token, content).await;
        let (status, token) = lock(&gateway, "/new", "0", "Second-600", "davfs2/1.6.1").await;
        let token = token.trim_matches(['<', '>']).to_owned();
        assert_eq!(status, 201);
        assert_eq!(put("/new", "", "another's").await, 412, "to others it is there");
        let other = put_by("program/1", "/new", &token, "content").await;
        assert_eq!(other, 412, "a program that makes files whole is told what is there");
        assert!([201, 204].contains(&put("/new", &token, "content").await));
        assert_eq!(gateway.get("/new").await.1, "content");
        assert_eq!(put("/new", &token, "once more").await, 412, "it is there now");
        // What nobody has locked is there, however small.
        assert_eq!(gateway.put("/empty", "").await, 201);
        assert_eq!(put("/empty", "", "content").await, 412);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn locking_nothing_makes_an_empty_file() {
    for gateway in TestGateway::both().await {
        let (status, token) = lock(&gateway, "/new", "0", "Second-60", "x").await;
        assert_eq!(status, 201);
        assert_eq!(gateway.bucket().await.get("new").await.unwrap(), "");
        assert_eq!(put_with(&gateway, "/new", ("If", format!("({token})")), "content").await, 204);
        let unlock = gateway.request("UNLOCK", "/new").header("Lock-Token", &token).send().await.unwrap();
        assert_eq!(unlock.status(), 204);
        assert_eq!(lock(&gateway, "/no/where", "0", "Second-60", "x").await.0, 409);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_survive_a_restart() {
    for gateway in TestGateway::both().await {
        gateway.put("/a", "1").await;
        let (_, token) = lock(&gateway, "/a", "0", "Second-600", "x").await;
        let (behind, state) = gateway.end().await;
        let gateway = TestGateway::start_behind(behind, state, |_| {}).await;
        assert_eq!(gateway.put("/a", "2").await, 423);
        let text = gateway.propfind("/a", "0", &xml::propfind("<D:lockdiscovery/>")).await;
        let text = text.text().await.unwrap();
        assert!(text.contains(token.trim_matches(['<', '>'])) && text.contains("http://someone/"), "{text}");
        assert_eq!(put_with(&gateway, "/a", ("If", format!("({token})")), "3").await, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_token_does_no_harm_where_nobody_holds_a_lock() {
    for gateway in TestGateway::both().await {
        gateway.put("/a", "1").await;
        assert_eq!(put_with(&gateway, "/a", ("If", "(<urn:uuid:gone>)".into()), "2").await, 204);
        assert_eq!(put_with(&gateway, "/a", ("If", "(Not <urn:uuid:gone>)".into()), "2").await, 204);
        let (_, token) = lock(&gateway, "/a", "0", "Second-60", "x").await;
        assert_eq!(put_with(&gateway, "/a", ("If", "(<urn:uuid:gone>)".into()), "3").await, 412);
        assert_eq!(put_with(&gateway, "/a", ("If", format!("({token} [\"wrong\"])")), "4").await, 412);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn macos_is_never_locked_out_by_its_own_lock() {
    for gateway in TestGateway::both().await {
        gateway.put("/a", "1").await;
        let agent = "WebDAVFS/3.0.0 (03008000) Darwin/25.2.0 (arm64)";
        lock(&gateway, "/a", "0", "Second-600", agent).await;
        assert_eq!(put_with(&gateway, "/a", ("User-Agent", agent.into()), "without a token").await, 204);
        assert_eq!(gateway.put("/a", "another client").await, 423);
        let refresh =
            gateway.request("LOCK", "/a").header("If", "(<urn:uuid:forgotten>)").header("User-Agent", agent);
        let refreshed = refresh.header("Timeout", "Second-600").send().await.unwrap().status().as_u16();
        assert!(matches!(refreshed, 200 | 412), "{refreshed}");
        let unlock = gateway
            .request("UNLOCK", "/b")
            .header("Lock-Token", "<urn:uuid:gone>")
            .header("User-Agent", agent);
        assert_eq!(unlock.send().await.unwrap().status(), 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_locks_share() {
    for gateway in TestGateway::both().await {
        gateway.put("/a", "1").await;
        let shared = info().replace("exclusive", "shared");
        let mut tokens = Vec::new();
        for _ in 0..2 {
            let answer =
                gateway.request("LOCK", "/a").header("Depth", "0").body(shared.clone()).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            tokens.push(answer.headers()["lock-token"].to_str().unwrap().to_owned());
        }
        assert_eq!(lock(&gateway, "/a", "0", "Second-60", "x").await.0, 423);
        assert_eq!(gateway.put("/a", "2").await, 423);
        assert_eq!(put_with(&gateway, "/a", ("If", format!("({})", tokens[1])), "3").await, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_where_its_lock_is() {
    for gateway in TestGateway::both().await {
        for path in ["/a", "/b", "/d/c"] {
            if path == "/d/c" {
                gateway.status("MKCOL", "/d").await;
            }
            gateway.put(path, "1").await;
        }
        let (_, b) = lock(&gateway, "/b", "0", "Second-60", "x").await;
        let (_, d) = lock(&gateway, "/d", "infinity", "Second-60", "x").await;
        let put = async |path: &str, lists: String| put_with(&gateway, path, ("If", lists), "2").await;
        // In a list of another resource it is not that one's.
        assert_eq!(put("/b", format!("</a> ({b})")).await, 412);
        assert_eq!(put("/a", format!("</d> ({b})")).await, 412);
        assert_eq!(put("/d/c", format!("</b> ({d})")).await, 412);
        assert_eq!(put("/b", format!("<{}/a> ({b})", gateway.url)).await, 412);
        // Nor is its absence there wrong.
        assert_eq!(put("/b", format!("</a> (Not {b})")).await, 204);
        assert_eq!(put("/b", format!("</a> ({b}) </b> ({b})")).await, 204, "one list is enough");
        for (path, lists) in [
            ("/b", format!("</b> ({b})")),
            ("/b", format!("({b})")),
            ("/d/c", format!("</d> ({d})")),
            ("/d/c", format!("</d/c> ({d})")),
            ("/d/c", format!("({d})")),
            ("/a", "</b> (<urn:uuid:gone>) (Not <urn:uuid:gone>)".to_owned()),
        ] {
            assert_eq!(put(path, lists.clone()).await, 204, "{path} {lists}");
        }
    }
}
