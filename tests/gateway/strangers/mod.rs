//! Other users of the machine, and strangers of the network, who mean harm: none of them writes, and none of
//! them keeps the owner out.

mod bombs;
mod crowds;
mod floods;
mod knocks;
mod pages;
mod resets;
mod shown;

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// How long an attack goes on: `S3DAV_ATTACK_SECONDS`, or a little.
fn attack_time() -> Duration {
    let given = std::env::var("S3DAV_ATTACK_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(given.unwrap_or(3))
}

/// A script that has said a word, and goes on when its input ends.
struct Holding {
    child: Child,
}

impl Holding {
    async fn start(mut command: Command, word: &str) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = vec![0; word.len()];
        child.stdout.as_mut().unwrap().read_exact(&mut said).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&said), word);
        Self { child }
    }

    /// What it says at its end.
    async fn finish(mut self) -> String {
        self.child.stdin.take().unwrap().shutdown().await.unwrap();
        let mut said = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
        self.child.wait().await.unwrap();
        said
    }
}

fn port(url: &str) -> &str {
    url.rsplit(':').next().unwrap()
}
