//! The journal, by seed: clients that save, delete, move and read while S3 comes and goes, others write into the bucket, and
//! the gateway dies and is started again. All of it is chosen by one number, on a clock that does not wait. In the end, when
//! all is at rest, everything that was promised must hold.
//!
//! `S3DAV_SIMULATION_SEEDS` asks for more seeds, `S3DAV_SIMULATION_FIRST` for others; a seed that fails is told with all that
//! happened, and can be run alone.

mod clients;
mod faults;
mod history;
mod life;
mod random;
mod register;
mod scenarios;
mod seeds;
mod steps;
mod verdict;
mod world;

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use faults::Bug;
use parking_lot::Mutex;
use seeds::{Report, run};

/// Runs seeds on all processors; returns those that fail.
fn run_all(first: u64, count: u64, bug: Option<Bug>, most: usize) -> Vec<(u64, Report)> {
    let (next, failed, open) = (AtomicU64::new(0), Mutex::new(Vec::new()), AtomicU64::new(0));
    let threads = thread::available_parallelism().map_or(2, |count| count.get());
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = first + next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || failed.lock().len() >= most {
                        break;
                    }
                    let report = catch_unwind(|| run(seed, bug)).unwrap_or_else(|_| Report::of_panic());
                    open.fetch_add(u64::from(report.is_open), Ordering::Relaxed);
                    if !report.wrong.is_empty() {
                        let lines = report.history.lines().count();
                        println!("seed {seed} fails ({lines} lines): {:#?}", report.wrong);
                        failed.lock().push((seed, report));
                    }
                }
            });
        }
    });
    let (done, open) = (next.into_inner().min(count), open.into_inner());
    println!("{done} seeds in {:?}; of {open} it is not known whether there is an order", begun.elapsed());
    failed.into_inner()
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn what_was_promised_holds_whatever_fails_and_whenever() {
    let first = variable("S3DAV_SIMULATION_FIRST", 0);
    let count = variable("S3DAV_SIMULATION_SEEDS", 300);
    let most = variable("S3DAV_SIMULATION_FAILURES", 1) as usize;
    let failed = run_all(first, count, None, most);
    if let Some((seed, report)) = failed.iter().min_by_key(|(_, report)| report.history.len()) {
        println!("{}", report.history);
        panic!("seed {seed} (S3DAV_SIMULATION_FIRST={seed} S3DAV_SIMULATION_SEEDS=1): {:#?}", report.wrong);
    }
}

#[test]
fn a_bug_that_is_put_in_is_found() {
    for bug in [Bug::LostCondition, Bug::LostDeleteCondition, Bug::LostCopy, Bug::WrongVersion] {
        assert!(!run_all(0, 500, Some(bug), 1).is_empty(), "{bug:?}");
    }
}
