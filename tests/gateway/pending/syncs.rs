//! What is answered is on the disk: SIGKILL cannot show a missing sync, so the calls are looked at.

use std::collections::HashMap;

use super::phases::OPTIONS;
use crate::harness::process::Process;
use crate::harness::trace::Trace;
use crate::harness::{client, clients, embedded};

/// The calls that have returned, in order. One that another interrupts stands in two lines.
fn calls(log: &str) -> Vec<String> {
    let (mut begun, mut calls) = (HashMap::new(), Vec::new());
    for line in log.lines() {
        let Some((id, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(call) = call.strip_suffix("<unfinished ...>") {
            begun.insert(id.to_owned(), call.to_owned());
        } else if call.starts_with("<... ") {
            let rest = call.split_once("resumed>").map_or("", |(_, rest)| rest);
            calls.push(format!("{}{rest}", begun.remove(id).unwrap_or_default()));
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_is_synced_before_it_is_answered() {
    let Some(tools) = clients::needs(&["strace"]) else { return };
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let gateway = Process::gateway(&s3.endpoint_url(), &state, &OPTIONS).await;
    let send = |method: &'static str, name: &'static str, body: &'static str| {
        let (gateway, method) = (&gateway, reqwest::Method::from_bytes(method.as_bytes()).unwrap());
        async move {
            let request = client().request(method, format!("{}/{name}", gateway.url));
            let request = request.header("Destination", format!("{}/moved", gateway.url));
            request.body(body).send().await.unwrap().status().as_u16()
        }
    };
    assert_eq!(send("PUT", "known", "content").await, 201);
    let seen = ["-y", "-s", "20", "-e", "trace=fsync,fdatasync,sendto,write,writev"];
    for (method, name, status) in [("PUT", "new", 201), ("MKCOL", "folder", 201), ("MOVE", "known", 201)] {
        let trace = Trace::attach(&gateway, &tools, &seen).await;
        let body = if method == "PUT" { "content" } else { "" };
        assert_eq!(send(method, name, body).await, status, "{method}");
        let log = trace.end().await;
        let calls = calls(&log);
        let find = |what: &dyn Fn(&str) -> bool| calls.iter().position(|call| what(call));
        let synced = |call: &str| call.contains("sync(") && call.ends_with("= 0");
        let answered = find(&|call| call.contains(&format!("HTTP/1.1 {status}")));
        let row = find(&|call| synced(call) && call.contains("state.redb"));
        let (Some(answered), Some(row)) = (answered, row) else { panic!("{method}:\n{log}") };
        assert!(row < answered, "{method}:\n{log}");
        if method == "PUT" {
            let directory = find(&|call| synced(call) && call.contains("pending.noindex>"));
            let body = find(&|call| synced(call) && call.contains("pending.noindex/"));
            let (Some(body), Some(directory)) = (body, directory) else { panic!("{method}:\n{log}") };
            // The two are synced at once: each must be done before the row that names the body.
            assert!(body < row && directory < row, "{method}:\n{log}");
        }
    }
}
