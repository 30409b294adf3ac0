//! A day with Finder at 30 ms: s3dav, rclone with three sets of flags, and a program that sends only those
//! requests to S3 that nobody could do without. `benches/finder/run` gets what it needs and runs it.
//!
//! Requests and seconds, step by step, and what each leaves in the bucket that is no user's file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

#[path = "../peers/contenders.rs"]
mod contenders;
mod day;
mod floor;
mod mac;
#[path = "../peers/proxy.rs"]
mod proxy;
#[path = "../peers/sdk.rs"]
mod sdk;
#[path = "../peers/server.rs"]
mod server;

use std::fmt::Write;
use std::time::{Duration, Instant};

use contenders::{BUCKET, Contender, Running};
use proxy::{Proxy, Shape};
use server::Server;

const SHAPE: Shape = Shape { round_trip: Duration::from_millis(30), speed: Some(125_000_000) };
const SERVED: [Contender; 4] =
    [Contender::S3dav, Contender::Rclone, Contender::RcloneTuned, Contender::RcloneCached];

/// What one step took.
pub struct Step {
    name: &'static str,
    requests: u64,
    seconds: f64,
}

/// Measures steps as they end.
pub struct Clock<'p> {
    proxy: &'p Proxy,
    begun: Instant,
    steps: Vec<Step>,
}

impl<'p> Clock<'p> {
    fn new(proxy: &'p Proxy) -> Self {
        proxy.take_requests();
        Self { proxy, begun: Instant::now(), steps: Vec::new() }
    }

    pub fn step(&mut self, name: &'static str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.steps.push(Step { name, requests: self.proxy.take_requests(), seconds });
        self.begun = Instant::now();
    }
}

/// A contender's day.
struct Day {
    name: &'static str,
    steps: Vec<Step>,
    junk: usize,
    /// What it did not carry out as it should.
    wrong: usize,
}

#[tokio::main]
async fn main() {
    let mut days = Vec::new();
    for contender in SERVED {
        eprintln!("{}", contender.name());
        let (s3, proxy) = world().await;
        let address = proxy.address;
        let running = tokio::task::spawn_blocking(move || Running::serve(contender, address)).await.unwrap();
        let mut clock = Clock::new(&proxy);
        let wrong = day::live(&mac::Mac::new(running.address), &mut clock).await;
        let steps = clock.steps;
        days.push(Day { name: contender.name(), steps, junk: day::junk(s3.address).await, wrong });
    }
    eprintln!("floor");
    let (_s3, proxy) = world().await;
    let client = sdk::client(proxy.address);
    // A connection is open before the clock starts, as the gateways have one.
    client.list_objects_v2().bucket(BUCKET).max_keys(1).send().await.unwrap();
    let mut clock = Clock::new(&proxy);
    floor::live(&client, &mut clock).await;
    days.push(Day { name: "floor", steps: clock.steps, junk: 0, wrong: 0 });
    let text = report(&days);
    println!("{text}");
    write_readme(&text);
}

/// An S3 server with what is there in the morning, and the path to it.
async fn world() -> (Server, Proxy) {
    let s3 = Server::start();
    day::fill(&sdk::client(s3.address)).await;
    let proxy = Proxy::start(s3.address, SHAPE).await;
    (s3, proxy)
}

fn report(days: &[Day]) -> String {
    let mut text = format!("Measured {}; requests · seconds:\n\n| |", time::OffsetDateTime::now_utc().date());
    days.iter().for_each(|day| write!(text, " {} |", day.name).unwrap());
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(days.len()));
    for (at, step) in days[0].steps.iter().enumerate() {
        write!(text, "| {} |", step.name).unwrap();
        for day in days {
            let Step { requests, seconds, .. } = &day.steps[at];
            write!(text, " {requests} · {seconds:.2} |").unwrap();
        }
        text.push('\n');
    }
    text.push_str("| **in all** |");
    let sum = |day: &Day| -> (u64, f64) {
        (day.steps.iter().map(|s| s.requests).sum(), day.steps.iter().map(|s| s.seconds).sum())
    };
    days.iter().for_each(|day| write!(text, " **{} · {:.2}** |", sum(day).0, sum(day).1).unwrap());
    text.push_str("\n| keys that are no user's file |");
    days.iter().for_each(|day| write!(text, " {} |", day.junk).unwrap());
    text.push_str("\n| answers that were wrong |");
    days.iter().for_each(|day| write!(text, " {} |", day.wrong).unwrap());
    if let (Some(own), Some(floor)) = (days.first(), days.last()) {
        write!(text, "\n\ns3dav takes {:.2} times as long as the floor.\n", sum(own).1 / sum(floor).1)
            .unwrap();
    }
    text
}

/// Replaces what stands between the two marks of docs/BENCHMARKS.md.
fn write_readme(text: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/BENCHMARKS.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (Some(begin), Some(end)) = (readme.find(BEGIN), readme.find(END)) else { return };
    let text = format!("{}{BEGIN}\n{}\n{}", &readme[..begin], text.trim_end(), &readme[end..]);
    std::fs::write(path, text).unwrap();
}

const BEGIN: &str = "<!-- finder: begin -->";
const END: &str = "<!-- finder: end -->";
