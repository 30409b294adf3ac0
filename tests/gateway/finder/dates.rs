//! Dates of folders, by which macOS judges whether what it remembers of their children still holds.

use std::time::SystemTime;

use futures_util::stream::{self, StreamExt};

use super::client::{Finder, STAT};
use super::parser::stat;
use crate::harness::TestGateway;

/// The date that a folder has, as it is shown.
async fn date_of(mac: &Finder, path: &str) -> u64 {
    let answer = mac.propfind(path, "0", STAT).send().await.unwrap();
    stat(&answer.text().await.unwrap()).modified_at()
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_in_a_moment_take_no_folder_into_the_future() {
    for gateway in TestGateway::both().await {
        let mac = Finder::of(&gateway);
        assert_eq!(mac.status("MKCOL", "/d").await, 201);
        let first = date_of(&mac, "/d/").await;
        stream::iter(0..150)
            .for_each_concurrent(8, |number| {
                let mac = &mac;
                async move { assert_eq!(mac.status("PUT", &format!("/d/{number}")).await, 201) }
            })
            .await;
        let shown = date_of(&mac, "/d/").await;
        let most = now().max(first + 1);
        assert!((first..=most).contains(&shown), "{} s ahead", shown - most);
        assert_eq!(date_of(&mac, "/d/").await, shown, "nothing has changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_changed_has_a_later_date_than_any_that_was_shown() {
    let gateway = TestGateway::start().await;
    let mac = Finder::of(&gateway);
    assert_eq!(mac.status("MKCOL", "/d").await, 201);
    let mut shown = date_of(&mac, "/d/").await;
    for number in 0..5 {
        assert_eq!(mac.status("PUT", &format!("/d/{number}")).await, 201);
        let next = date_of(&mac, "/d/").await;
        assert!(next > shown && next <= now().max(shown + 1), "{shown}, {next}");
        shown = next;
    }
    // What was shown before a restart counts, too.
    let (s3, state) = gateway.stop().await;
    let gateway = TestGateway::start_on(s3, state, |_| {}).await;
    let mac = Finder::of(&gateway);
    assert_eq!(mac.status("PUT", "/d/later").await, 201);
    let next = date_of(&mac, "/d/").await;
    assert!(next > shown && next <= now().max(shown + 1), "{shown}, {next}");
}
