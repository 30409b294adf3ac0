//! A day with Finder at 30 ms: s3dav in both its modes, rclone with three sets of flags, and a program that sends only
//! those requests to S3 that nobody could do without. `benches/finder/run` gets what it needs and runs it.
//!
//! Requests and seconds, step by step, and what each leaves in the bucket that is no user's file. Fails where s3dav needs
//! more than it may. With `S3DAV_ONCE` only s3dav is measured, and no document written.

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
const OWN: [Contender; 2] = [Contender::S3dav, Contender::S3davJournal];
const OTHERS: [Contender; 3] = [Contender::Rclone, Contender::RcloneTuned, Contender::RcloneCached];
/// What s3dav may need of each: requests until S3 has everything, and how many times as long as the floor its client waits.
const MOST: [(u64, f64); 2] = [(335, 1.10), (240, 0.40)];
/// What comes after the day: no client waits for it.
const AFTER: &str = "until S3 has all of it";

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

/// A contender's day, and what comes after it.
struct Day {
    name: &'static str,
    steps: Vec<Step>,
    junk: usize,
    /// What it did not carry out as it should.
    wrong: usize,
}

impl Day {
    /// All of them, after the day too.
    fn requests(&self) -> u64 {
        self.steps.iter().map(|step| step.requests).sum()
    }

    /// For which its client waited.
    fn seconds(&self) -> f64 {
        self.steps.iter().filter(|step| step.name != AFTER).map(|step| step.seconds).sum()
    }
}

#[tokio::main]
async fn main() {
    let mut days = Vec::new();
    // To compare two builds of this program, run in turn.
    let is_once = std::env::var_os("S3DAV_ONCE").is_some();
    let others = OTHERS.into_iter().filter(|_| !is_once);
    for contender in OWN.into_iter().chain(others) {
        eprintln!("{}", contender.name());
        let (s3, proxy) = world().await;
        let address = proxy.address;
        let running = tokio::task::spawn_blocking(move || Running::serve(contender, address)).await.unwrap();
        let mut clock = Clock::new(&proxy);
        let wrong = day::live(&mac::Mac::new(running.address), &mut clock).await;
        if OWN.contains(&contender) {
            running.drained().await;
        }
        clock.step(AFTER);
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
    clock.step(AFTER);
    days.push(Day { name: "floor", steps: clock.steps, junk: 0, wrong: 0 });
    let text = report(&days);
    println!("{text}");
    if !is_once {
        write_readme(&text);
    }
    let exceeding = exceeding(&days);
    assert!(exceeding.is_empty(), "{exceeding:#?}");
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
    days.iter().for_each(|day| write!(text, " **{} · {:.2}** |", day.requests(), day.seconds()).unwrap());
    text.push_str("\n| keys that are no user's file |");
    days.iter().for_each(|day| write!(text, " {} |", day.junk).unwrap());
    text.push_str("\n| answers that were wrong |");
    days.iter().for_each(|day| write!(text, " {} |", day.wrong).unwrap());
    text.push_str("\n\n");
    for (own, floor) in own(days) {
        let ratio = own.seconds() / floor.seconds();
        let _ =
            writeln!(text, "- {}: {ratio:.3} of the floor's seconds, {} requests", own.name, own.requests());
    }
    text
}

/// The days of s3dav, each with the floor.
fn own(days: &[Day]) -> impl Iterator<Item = (&Day, &Day)> {
    days[..OWN.len()].iter().zip(days.last().into_iter().cycle())
}

/// Where s3dav needs more than it may.
fn exceeding(days: &[Day]) -> Vec<String> {
    let mut told = Vec::new();
    for ((own, floor), (requests, ratio)) in own(days).zip(MOST) {
        if own.requests() > requests {
            told.push(format!("{}: {} requests, more than {requests}", own.name, own.requests()));
        }
        if own.seconds() > ratio * floor.seconds() {
            told.push(format!("{}: more than {ratio} of the floor's seconds", own.name));
        }
        if own.wrong > 0 || own.junk > 0 {
            told.push(format!("{}: {} wrong answers, {} keys left", own.name, own.wrong, own.junk));
        }
    }
    told
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
