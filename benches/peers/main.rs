//! s3dav beside rclone and beside bare SDK programs: the same work on the same S3 server, through one
//! proxy with a latency and a speed. `benches/peers/run` gets what it needs and runs it.
//!
//! Columns: S3 requests, seconds, CPU seconds and peak memory of the program. Each work is done by a
//! fresh program; what is done twice shows what was remembered. The table goes into docs/BENCHMARKS.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod bare;
mod client;
mod contenders;
mod proxy;
mod sdk;
mod server;
mod setup;
mod work;

use std::fmt::Write;
use std::time::Duration;

use contenders::{Contender, Running, Used};
use proxy::{Proxy, Shape};
use setup::S3;
use work::{Outcome, Work};

const SHAPED: Shape = Shape { round_trip: Duration::from_millis(30), speed: Some(125_000_000) };
const UNSHAPED: Shape = Shape { round_trip: Duration::ZERO, speed: None };

/// One row's figures.
#[derive(Debug, Clone)]
struct Measured {
    work: String,
    contender: Contender,
    requests: u64,
    outcome: Outcome,
    used: Used,
}

#[tokio::main]
async fn main() {
    if bare::child().await {
        return;
    }
    let s3 = S3::start().await;
    // One row alone, to look at it.
    let only = std::env::var("S3DAV_WORK").ok();
    let is_wanted = |work: &Work| only.as_ref().is_none_or(|only| work.name == only);
    let is_about_cpu = |work: &Work| work.gib > 0.0 || work.name == "list 10,000";
    // To compare two builds of this program, run in turn.
    if is_once() {
        let which = |work: &Work| is_wanted(work) && is_about_cpu(work) && work.name != work::CROWD;
        println!("{}", table(&measure(&s3, UNSHAPED, which).await));
        return;
    }
    let shaped = measure(&s3, SHAPED, |work| is_wanted(work) && work.name != work::CROWD).await;
    let unshaped = measure(&s3, UNSHAPED, |work| is_wanted(work) && is_about_cpu(work)).await;
    if only.is_some() {
        println!("{}{}", table(&shaped), table(&unshaped));
        return;
    }
    let mut text = format!("{}\n\n", heading());
    text.push_str("At 30 ms and 1 Gbit/s (requests to S3 · seconds · CPU seconds · peak MiB):\n\n");
    text.push_str(&table(&shaped));
    let rounds = format!("\nWithout latency or limit, the median of {ROUNDS} runs:\n\n");
    text.push_str(&rounds);
    text.push_str(&table(&unshaped));
    text.push('\n');
    text.push_str(&ratios(&shaped, &unshaped));
    println!("{text}");
    setup::write_readme(&text);
}

async fn measure(s3: &S3, shape: Shape, which: impl Fn(&Work) -> bool) -> Vec<Measured> {
    let proxy = Proxy::start(s3.address, shape).await;
    let mut all = Vec::new();
    for work in Work::all().into_iter().filter(which) {
        // With a shape the times stand; without one they are as noisy as the machine.
        let is_once = !shape.round_trip.is_zero() || work.name == work::CROWD || is_once();
        let rounds = if is_once { 1 } else { ROUNDS };
        for contender in Contender::ALL.into_iter().filter(|contender| does(*contender, &work, shape)) {
            let mut measured = Vec::new();
            for _ in 0..rounds {
                let who = setup::tag(contender);
                s3.prepare(&work, &who).await;
                eprintln!("{}: {}", work.name, contender.name());
                measured.push(match contender {
                    Contender::Bare => vec![bare(&proxy, &work).await],
                    _ => gateway(&proxy, contender, &work, &who).await,
                });
            }
            all.extend(medians(measured));
        }
    }
    all
}

/// Whether a contender is measured with this work.
fn does(contender: Contender, work: &Work, shape: Shape) -> bool {
    match contender {
        Contender::S3dav => true,
        Contender::S3davJournal => false,
        Contender::Rclone | Contender::RcloneTuned | Contender::RcloneCached if is_once() => false,
        _ if work.name == work::CROWD => false,
        // A HEAD for each entry, one after the other: minutes, and 1,000 entries show it as well.
        Contender::Rclone | Contender::RcloneTuned | Contender::RcloneCached => {
            work.name != "list 10,000" || shape.round_trip.is_zero()
        }
        Contender::Bare => true,
    }
}

async fn bare(proxy: &Proxy, work: &Work) -> Measured {
    proxy.take_requests();
    let (task, address) = (work.clone(), proxy.address);
    let (outcome, used) = tokio::task::spawn_blocking(move || bare::run(&task, address)).await.unwrap();
    // Its first request only opens a connection.
    let requests = proxy.take_requests() - 1;
    Measured { work: work.name.to_owned(), contender: Contender::Bare, requests, outcome, used }
}

/// What a WebDAV server does with the work, once or twice.
async fn gateway(proxy: &Proxy, contender: Contender, work: &Work, who: &str) -> Vec<Measured> {
    let address = proxy.address;
    let running = tokio::task::spawn_blocking(move || Running::serve(contender, address)).await.unwrap();
    let names = if work.is_repeated() {
        vec![work.name.to_owned(), format!("{}, again", work.name)]
    } else {
        vec![work.name.to_owned()]
    };
    let mut all = Vec::new();
    for name in names {
        proxy.take_requests();
        let before = running.used();
        let outcome = work.run(running.address, who).await;
        let used = since(before, running.used());
        all.push(Measured { work: name, contender, requests: proxy.take_requests(), outcome, used });
    }
    all
}

/// Of several rounds, row by row, the one in the middle by CPU time.
fn medians(rounds: Vec<Vec<Measured>>) -> Vec<Measured> {
    let rows = rounds.first().map_or(0, Vec::len);
    let median = |row: usize| {
        let mut same: Vec<&Measured> = rounds.iter().map(|round| &round[row]).collect();
        same.sort_by(|a, b| a.used.cpu.total_cmp(&b.used.cpu));
        same[same.len() / 2].clone()
    };
    (0..rows).map(median).collect()
}

/// Whether each work is done once without a shape, by this program and the bare SDK alone.
fn is_once() -> bool {
    std::env::var_os("S3DAV_ONCE").is_some()
}

/// How often work is done that nothing slows down.
const ROUNDS: usize = 3;

fn since(before: Used, after: Used) -> Used {
    Used { cpu: after.cpu - before.cpu, ..after }
}

fn heading() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let date = time::OffsetDateTime::now_utc().date();
    format!(
        "Measured {date} on {cpus} cores of {}, with the S3 server, the proxy and the client on the same machine.",
        model.unwrap_or("an unknown processor")
    )
}

fn table(all: &[Measured]) -> String {
    let mut text = String::from("| work |");
    Contender::ALL.iter().for_each(|contender| write!(text, " {} |", contender.name()).unwrap());
    text.push_str("\n|---|---|---|---|---|\n");
    let mut names: Vec<&str> = all.iter().map(|row| row.work.as_str()).collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    for name in names {
        write!(text, "| {name} |").unwrap();
        for contender in Contender::ALL {
            match find(all, name, contender) {
                Some(row) => {
                    let Measured { requests, outcome, used, .. } = row;
                    let peak = used.peak >> 20;
                    write!(text, " {requests} · {:.2} · {:.2} · {peak} |", outcome.seconds, used.cpu)
                        .unwrap();
                }
                None => text.push_str(" |"),
            }
        }
        text.push('\n');
    }
    text
}

fn find<'a>(all: &'a [Measured], work: &str, contender: Contender) -> Option<&'a Measured> {
    all.iter().find(|row| row.work == work && row.contender == contender)
}

/// The figures that the project holds itself to.
fn ratios(shaped: &[Measured], unshaped: &[Measured]) -> String {
    fn get<'a>(all: &'a [Measured], work: &str, contender: Contender) -> &'a Measured {
        find(all, work, contender).expect("it was measured")
    }
    let seconds = |all: &[Measured], work: &str, contender| get(all, work, contender).outcome.seconds;
    let best_rclone = |all: &[Measured], work: &str| {
        let default = find(all, work, Contender::Rclone).map_or(f64::MAX, |row| row.outcome.seconds);
        default.min(seconds(all, work, Contender::RcloneTuned))
    };
    let mut text = String::new();
    for work in ["read 1 GiB", "write 1 GiB"] {
        let ratio = seconds(shaped, work, Contender::Bare) / seconds(shaped, work, Contender::S3dav);
        writeln!(text, "- {work} at 30 ms and 1 Gbit/s: {ratio:.2} of the bare SDK's speed").unwrap();
    }
    let first = get(shaped, "read 1 GiB", Contender::S3dav).outcome.first_byte.unwrap_or_default();
    writeln!(text, "- first byte of a file that nothing is known of: {:.1} ms", first.as_secs_f64() * 1e3)
        .unwrap();
    for (all, work) in [(shaped, "rename 1,000"), (unshaped, "list 10,000, again")] {
        let ratio = best_rclone(all, work) / seconds(all, work, Contender::S3dav);
        writeln!(text, "- {work}: {ratio:.1} times as fast as rclone's better run").unwrap();
    }
    let requests = get(shaped, "delete 1,000", Contender::S3dav).requests;
    writeln!(text, "- delete of a folder of 1,000, cold: {requests} requests").unwrap();
    for work in ["read 1 GiB", "write 1 GiB"] {
        let cpu = |contender| get(unshaped, work, contender).used.cpu;
        let (own, bare) = (cpu(Contender::S3dav), cpu(Contender::Bare));
        writeln!(text, "- {work}, CPU seconds: {own:.2}, the bare SDK's {bare:.2}: {:.2} times", own / bare)
            .unwrap();
    }
    let peak = get(unshaped, work::CROWD, Contender::S3dav).used.peak >> 20;
    writeln!(text, "- {}: {peak} MiB at the most", work::CROWD).unwrap();
    text
}
