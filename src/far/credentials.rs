//! The credentials of this machine, handed over to a container: at half of their life, after this machine has slept,
//! and as soon as somebody has signed in again.

use std::time::{Duration, SystemTime};

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, sleep};

use crate::store::s3::{Chain, Keys, NoKeys};

/// Hands `chain`'s credentials over, again and again; for the first time when those that are there already are half
/// over. `push` takes them as a `credential_process` prints them; it fails where the container has ended, or does not
/// take them yet. `told`: why there are none, or that there are some.
pub(super) async fn keep<P, F>(chain: &Chain, there: Option<&Keys>, push: P, told: impl Fn(Option<NoKeys>))
where
    P: Fn(String) -> F,
    F: Future<Output = Result<(), String>>,
{
    if let Some(keys) = there {
        sleep_unless_it_sleeps(until_half(keys, SystemTime::now())).await;
    }
    loop {
        let pause = match chain.valid().await {
            Ok(keys) => match push(printed(&keys)).await {
                Ok(()) => {
                    told(None);
                    until_half(&keys, SystemTime::now())
                }
                Err(why) => {
                    told(Some(NoKeys {
                        message: format!("the container did not accept credentials: {why}"),
                        hint: None,
                    }));
                    RETRY
                }
            },
            Err(no_keys) => {
                told(Some(no_keys));
                RETRY
            }
        };
        sleep_unless_it_sleeps(pause).await;
    }
}

/// As a `credential_process` does it.
pub(super) fn printed(keys: &Keys) -> String {
    let mut printed = json!({
        "Version": 1,
        "AccessKeyId": keys.access_key,
        "SecretAccessKey": keys.secret,
        "SessionToken": keys.token,
    });
    let end = keys.expires.and_then(|end| OffsetDateTime::from(end).format(&Rfc3339).ok());
    if let Some(end) = end {
        printed["Expiration"] = end.into();
    }
    printed.to_string()
}

/// Half of what is left; those without an end may be replaced by then.
fn until_half(keys: &Keys, now: SystemTime) -> Duration {
    let left = keys.expires.map(|end| end.duration_since(now).unwrap_or_default());
    left.map_or(REREAD, |left| (left / 2).clamp(SHORTEST, REREAD))
}

/// Sleeps so long, or until this machine has slept.
async fn sleep_unless_it_sleeps(pause: Duration) {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        let (before, clock) = (SystemTime::now(), Instant::now());
        sleep(TICK.min(until.saturating_duration_since(clock))).await;
        let by_wall = before.elapsed().unwrap_or_default();
        if has_slept(by_wall, clock.elapsed()) {
            tracing::debug!("this machine was asleep; passing credentials again");
            return;
        }
    }
}

/// The machine's clock goes on in its sleep, and the other one may not.
fn has_slept(by_wall: Duration, by_clock: Duration) -> bool {
    by_wall.max(by_clock) > TICK + SLACK
}

/// Until somebody has signed in again, or the container takes them.
const RETRY: Duration = Duration::from_secs(2);
/// Between two looks at what may have changed.
const REREAD: Duration = Duration::from_secs(1800);
const SHORTEST: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_secs(5);
/// Of a machine that has much to do.
const SLACK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_handed_over_at_half_of_their_life() {
        let now = SystemTime::now();
        let keys = |lasting: Option<u64>| Keys {
            access_key: "a".into(),
            secret: "s".into(),
            token: None,
            expires: lasting.map(|seconds| now + Duration::from_secs(seconds)),
        };
        for (lasting, pause) in
            [(Some(20), 10), (Some(3600), 1800), (Some(43200), 1800), (Some(0), 1), (None, 1800)]
        {
            assert_eq!(until_half(&keys(lasting), now), Duration::from_secs(pause), "{lasting:?}");
        }
        let text = printed(&keys(Some(60)));
        assert!(text.contains("\"Version\":1") && text.contains("\"Expiration\":\"20"), "{text}");
        assert!(!printed(&keys(None)).contains("Expiration"));
    }

    #[test]
    fn sleep_shows_in_the_clocks() {
        let seconds = Duration::from_secs;
        assert!(has_slept(seconds(3600), seconds(5)) && has_slept(seconds(60), seconds(60)));
        assert!(!has_slept(seconds(5), seconds(5)) && !has_slept(seconds(0), seconds(5)));
    }
}
