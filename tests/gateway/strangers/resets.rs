//! A connection that has been reset frees its source port at once, while what came on it can still be read.
//! Whoever gets that port next must not be taken for its sender.

use std::net::TcpListener;

use command_fds::{CommandFdExt, FdMapping};

use super::{Holding, attack_time, port};
use crate::harness::held::is_gone;
use crate::harness::process::{Process, outcome, send_signal};
use crate::harness::users::{Owner, SOMEBODY, SOMEBODY_ELSE, others_have, python};
use crate::harness::{BUCKET, Bucket, eventually};

const RESETS: &str = include_str!("resets.py");
const OWNER: &str = include_str!("owner.py");
const PAYLOADS: [&str; 3] = ["PUT /forged-@", "MKCOL /forged-@", "DELETE /file"];
/// Source ports of one attack.
const PORTS: usize = 10;

/// Source ports that are free now.
fn free_ports() -> Vec<String> {
    let held: Vec<_> = (0..PORTS).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port().to_string()).collect()
}

/// The attack: requests from `ports`, reset; then the owner's program has those ports.
async fn forged(port: &str, payload: &str) -> Option<Holding> {
    let ports = free_ports();
    let sources = || ports.iter().map(String::as_str);
    let arguments: Vec<&str> = [port, payload].into_iter().chain(sources()).collect();
    let (code, _, error) = outcome(python(SOMEBODY_ELSE, RESETS, &arguments)?).await;
    assert_eq!(code, 0, "{error}");
    let arguments: Vec<&str> = [port, "0"].into_iter().chain(sources()).collect();
    Some(Holding::start(python(SOMEBODY, OWNER, &arguments)?, "connected").await)
}

/// What is in the bucket after an attack, and what the owner got.
async fn assert_untouched(owner: &Owner, answers: &str) {
    assert_eq!(bucket(owner).await.keys().await, ["file"]);
    assert!(answers.split_whitespace().all(|status| status == "200"), "{answers}");
}

async fn bucket(owner: &Owner) -> Bucket {
    Bucket::of(&owner.s3.endpoint_url(), BUCKET).await
}

/// A user whose bucket has a file; `None` where nobody can be another user.
async fn owner() -> Option<Owner> {
    if !others_have(&["python3"]) {
        return None;
    }
    let owner = Owner::new(SOMEBODY).await;
    bucket(&owner).await.put("file", "content").await;
    Some(owner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_paused_takes_nobody_for_its_owner() {
    let Some(owner) = owner().await else { return };
    let Some(gateway) = owner.gateway(&[]).await else { return };
    for payload in PAYLOADS {
        gateway.signal("STOP").await;
        let Some(held) = forged(port(&gateway.url), payload).await else { return };
        gateway.signal("CONT").await;
        assert_untouched(&owner, &held.finish().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_starts_takes_nobody_for_its_owner() {
    let Some(owner) = owner().await else { return };
    for payload in PAYLOADS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().port().to_string();
        let Some(held) = forged(&address, payload).await else { return };
        let Some(mut command) = owner.serve(&[], &[]) else { return };
        let parent_fd = listener.try_clone().unwrap().into();
        command.fd_mappings(vec![FdMapping { parent_fd, child_fd: 3 }]).unwrap();
        command.env("LISTEN_FDS", "1");
        let gateway = Process::serving(command).await;
        assert_untouched(&owner, &held.finish().await).await;
        gateway.signal("TERM").await;
        let mut gateway = gateway;
        assert!(gateway.child.wait().await.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_follows_a_dead_one_takes_nobody_for_its_owner() {
    let Some(owner) = owner().await else { return };
    let Some(held) = owner.held().await else { return };
    for payload in PAYLOADS {
        let gateway = held.gateway().await;
        held.parent.signal("STOP").await;
        send_signal("KILL", &gateway);
        eventually("an end", || async { is_gone(&gateway) }).await;
        // It waits in the queue for the gateway that is started next.
        let Some(attack) = forged(port(held.url()), payload).await else { return };
        held.parent.signal("CONT").await;
        assert_untouched(&owner, &attack.finish().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_resets_forges_nothing() {
    let Some(owner) = owner().await else { return };
    let Some(gateway) = owner.gateway(&[]).await else { return };
    let seconds = attack_time().as_secs().to_string();
    for payload in PAYLOADS {
        let flood = [port(&gateway.url), payload, "flood", &seconds];
        let Some(attack) = python(SOMEBODY_ELSE, RESETS, &flood) else { return };
        let Some(client) = python(SOMEBODY, OWNER, &[port(&gateway.url), &seconds]) else { return };
        let ((_, sent, _), (_, answers, error)) = tokio::join!(outcome(attack), outcome(client));
        eprintln!("{payload}: {} requests forged, the owner got {}", sent.trim(), answers.trim());
        assert!(sent.trim().parse::<u64>().unwrap() > 0);
        assert_eq!(bucket(&owner).await.keys().await, ["file"]);
        assert!(answers.starts_with("{'200': ") && !answers.contains(','), "{answers}{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_while_gateways_are_killed_forges_nothing() {
    let Some(owner) = owner().await else { return };
    let Some(held) = owner.held().await else { return };
    for payload in PAYLOADS {
        let seconds = attack_time().as_secs().to_string();
        let flood = [port(held.url()), payload, "flood", &seconds];
        let Some(attack) = python(SOMEBODY_ELSE, RESETS, &flood) else { return };
        let attack = tokio::spawn(outcome(attack));
        let mut kills = 0;
        while !attack.is_finished() {
            held.kill_gateway().await;
            kills += 1;
        }
        let (_, sent, error) = attack.await.unwrap();
        eprintln!("{payload}: {} requests forged over {kills} kills", sent.trim());
        assert!(sent.trim().parse::<u64>().unwrap() > 0, "{error}");
        held.gateway().await;
        assert_eq!(bucket(&owner).await.keys().await, ["file"]);
    }
}
