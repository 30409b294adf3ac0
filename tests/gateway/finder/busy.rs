//! A Mac that works for a while: five workers, and a file that stays open.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::client::{Finder, LOCK};
use crate::harness::{client, hrefs};

const WORKERS: usize = 5;

/// Works for `time` through `front`, while somebody else at `gateway` would like to write what it has open.
/// Gives everybody's rounds.
pub async fn work(front: &str, gateway: &str, time: Duration) -> Vec<usize> {
    let until = Instant::now() + time;
    let worker = |number| {
        let mac = Finder::at(front);
        tokio::spawn(async move { work_alone(&mac, number, until).await })
    };
    let mut working: Vec<_> = (0..WORKERS).map(worker).collect();
    let (mac, gateway) = (Finder::at(front), gateway.to_owned());
    working.push(tokio::spawn(async move { keep_open(&mac, &gateway, time, until).await }));
    let mut rounds = Vec::new();
    for working in working {
        rounds.push(working.await.unwrap());
    }
    rounds
}

/// Content that tells where it belongs, up to 300 KiB.
pub fn content(worker: usize, round: usize) -> Bytes {
    let line = format!("worker {worker}, round {round}\n");
    line.repeat(1 + (round * 7919 + worker) % 10_000).into()
}

/// Makes, reads, lists, renames and deletes; gives the rounds.
async fn work_alone(mac: &Finder, worker: usize, until: Instant) -> usize {
    let folder = format!("/mac{worker}");
    assert_eq!(mac.status("MKCOL", &folder).await, 201);
    let mut round = 0;
    while Instant::now() < until {
        let (path, renamed) = (format!("{folder}/file{round}"), format!("{folder}/renamed{round}"));
        let expected = content(worker, round);
        mac.create(&path, expected.clone()).await;
        mac.create(&format!("{folder}/._file{round}"), "attributes").await;
        assert!(mac.get(&path).await == (200, expected.clone()), "{path}");
        assert_eq!(mac.rename(&path, &renamed).await, 201, "{path}");
        assert!(mac.list(&format!("{folder}/")).await.contains(&renamed), "{renamed}");
        let again = content(worker, round + 1);
        let token = mac.lock(&renamed).await;
        assert_eq!(mac.put(&renamed, &token, again.clone()).await, 204, "{renamed}");
        assert_eq!(mac.unlock(&renamed, &token).await, 204);
        assert!(mac.get(&renamed).await == (200, again), "{renamed}");
        assert_eq!(mac.get(&format!("{folder}/._renamed{round}")).await.1, "attributes");
        if round % 3 != 0 {
            assert_eq!(mac.status("DELETE", &renamed).await, 204, "{renamed}");
            assert_eq!(mac.look(&renamed).await, 404, "{renamed}");
        }
        round += 1;
    }
    round
}

/// Keeps a file open for longer than its lock would last, which it refreshes at least twice before it would
/// end; gives the refreshes.
async fn keep_open(mac: &Finder, gateway: &str, time: Duration, until: Instant) -> usize {
    let lasts = (time / 3).max(Duration::from_secs(6));
    let timeout = format!("Second-{}", lasts.as_secs());
    assert_eq!(mac.status("PUT", "/open").await, 201);
    let lock = |request: reqwest::RequestBuilder| request.header("Depth", "0").header("Timeout", &timeout);
    let answer = lock(mac.request("LOCK", "/open")).header("Content-Type", "text/xml").body(LOCK);
    let text = answer.send().await.unwrap().text().await.unwrap();
    let token = hrefs(text.split("locktoken>").nth(1).unwrap()).remove(0);
    let mut refreshes = 0;
    while Instant::now() + time / 6 < until {
        tokio::time::sleep(time / 6).await;
        let other = client().put(format!("{gateway}/open")).body("not mine").send().await.unwrap();
        assert_eq!(other.status(), 423, "after {refreshes} refreshes");
        let refresh = lock(mac.request("LOCK", "/open")).header("If", format!("(<{token}>)"));
        assert_eq!(refresh.send().await.unwrap().status(), 200);
        refreshes += 1;
    }
    assert_eq!(mac.put("/open", &token, "mine").await, 204);
    assert_eq!(mac.unlock("/open", &token).await, 204);
    assert_eq!(mac.get("/open").await, (200, "mine".into()));
    refreshes
}
