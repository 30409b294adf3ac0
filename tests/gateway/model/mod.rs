//! Random sequences of operations, of several clients and of a program that writes past the gateway,
//! against a simple model of what should come of them.
//!
//! `S3DAV_MODEL_CASES` says how many sequences (CI: 1,000), `S3DAV_MODEL_SEED` where to begin. A failure is
//! shrunk, and told as the shortest list of steps that still fails.
//!
//! A test that cannot fail shows nothing: so bugs are put under the gateway, and each must be found.

mod bugs;
mod knowledge;
#[expect(clippy::module_inception, reason = "the simple model that the others serve")]
mod model;
mod ops;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use proptest::test_runner::{Config as Runs, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tokio::runtime::Handle;

use s3dav::config::Config;

use crate::harness::clients::{Moto, needs};
use crate::harness::{Behind, TestGateway, buckets, embedded};
use bugs::{Bug, Buggy};
use ops::Op;
use world::{TTL, World};

/// How the folders of sequences are called that write paths as everybody does.
const PLAIN: &str = "s";
/// Sequences that run at once: they wait more than they work.
const LANES: usize = 8;

/// What is served.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Bucket,
    /// The same with a store in between that may make a mistake.
    Layered(Option<Bug>),
    Directory,
    /// One in this machine's memory, where small files are written at once.
    #[cfg(target_os = "linux")]
    Memory,
    /// A bucket of another server, without faults: of all sequences together.
    Elsewhere(&'static str),
}

async fn gateway(kind: Kind) -> TestGateway {
    match kind {
        Kind::Directory => return TestGateway::on_a_path().await,
        #[cfg(target_os = "linux")]
        Kind::Memory => return TestGateway::on_directory(tempfile::tempdir_in("/dev/shm").unwrap()).await,
        _ => {}
    }
    let change = |config: &mut Config| {
        buckets(config).cache.times.metadata = TTL;
        buckets(config).trusts_conditions = !matches!(kind, Kind::Elsewhere(_));
        buckets(config).look_age = TTL;
        // S3 is there, however long a busy machine makes it take: nothing is refused, nor accepted in its place.
        config.service.request_budget = Some(Duration::from_secs(60));
        buckets(config).file_system.store_patience = Duration::from_secs(600);
    };
    let behind = match kind {
        Kind::Layered(bug) => return TestGateway::layered(|store| Buggy::over(store, bug), change).await,
        Kind::Elsewhere(endpoint) => Behind::Elsewhere(endpoint.to_owned()),
        _ => Behind::S3(embedded().await),
    };
    TestGateway::start_behind(behind, Arc::new(tempfile::tempdir().unwrap()), change).await
}

async fn play(gateway: &TestGateway, sequence: &[Op], root: String) -> Result<(), String> {
    let mut world = World::new(gateway, gateway.bucket().await, root).await;
    // The model knows of all; the gateway may not yet.
    tokio::time::sleep(TTL).await;
    for op in sequence {
        world.step(op).await?;
    }
    Ok(())
}

/// A sequence that went wrong, and how.
struct Wrong {
    problem: String,
    sequence: Vec<Op>,
}

/// Runs `cases` sequences, in folders called `name` and a number, from `seed` on, until one goes wrong or `found` says that another lane's
/// did.
fn run(kind: Kind, name: &str, handle: &Handle, cases: u32, seed: u64, found: &AtomicBool) -> Option<Wrong> {
    let gateway = handle.block_on(gateway(kind));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Runs { cases, failure_persistence: None, max_shrink_iters: 0, ..Runs::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let number = AtomicUsize::new(0);
    let name = if matches!(kind, Kind::Elsewhere(_)) { format!("{name}{seed}-") } else { name.to_owned() };
    let attempt = |sequence: &[Op]| {
        let root = format!("{name}{}", number.fetch_add(1, Ordering::Relaxed));
        handle.block_on(play(&gateway, sequence, root))
    };
    let result = runner.run(&ops::sequence(), |sequence| {
        if found.load(Ordering::Relaxed) { Ok(()) } else { attempt(&sequence).map_err(TestCaseError::fail) }
    });
    match result {
        Ok(()) => None,
        Err(TestError::Fail(reason, sequence)) => {
            found.store(true, Ordering::Relaxed);
            let wrong = Wrong { problem: reason.message().to_owned(), sequence };
            // A bug that was put in need not be understood.
            Some(if matches!(kind, Kind::Layered(Some(_))) { wrong } else { shortest(wrong, attempt) })
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// Leaves out step after step for as long as it still goes wrong.
fn shortest(mut wrong: Wrong, attempt: impl Fn(&[Op]) -> Result<(), String>) -> Wrong {
    for index in (0..wrong.sequence.len()).rev() {
        let mut fewer = wrong.sequence.clone();
        fewer.remove(index);
        if let Err(problem) = attempt(&fewer) {
            wrong = Wrong { problem, sequence: fewer };
        }
    }
    wrong
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

async fn run_in_lanes(kind: Kind, name: &'static str, cases: u64, seed: u64) -> Result<(), String> {
    let found = Arc::new(AtomicBool::new(false));
    let lanes: Vec<_> = (0..LANES as u64)
        .map(|lane| {
            let (handle, found) = (Handle::current(), Arc::clone(&found));
            let cases = u32::try_from(cases.div_ceil(LANES as u64)).unwrap();
            let seed = seed * LANES as u64 + lane;
            (seed, tokio::task::spawn_blocking(move || run(kind, name, &handle, cases, seed, &found)))
        })
        .collect();
    let mut result = Ok(());
    for (seed, lane) in lanes {
        if let Some(Wrong { problem, sequence }) = lane.await.unwrap() {
            let steps: Vec<String> = sequence.iter().map(|op| format!("  {op:?}")).collect();
            result = Err(format!("after these steps (of seed {seed}):\n{}\n{problem}", steps.join("\n")));
        }
    }
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_of_operations_do_what_the_model_says() {
    let (cases, seed) = (setting("S3DAV_MODEL_CASES", 200), setting("S3DAV_MODEL_SEED", 1));
    if let Err(problem) = run_in_lanes(Kind::Bucket, PLAIN, cases, seed).await {
        panic!("{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_on_a_directory_do_what_the_model_says() {
    let (cases, seed) = (setting("S3DAV_MODEL_CASES", 200), setting("S3DAV_MODEL_SEED", 1));
    if let Err(problem) = run_in_lanes(Kind::Directory, PLAIN, cases, seed).await {
        panic!("{problem}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn sequences_on_a_directory_in_memory_do_what_the_model_says() {
    let (cases, seed) = (setting("S3DAV_MODEL_CASES", 200) / 4, setting("S3DAV_MODEL_SEED", 1));
    if let Err(problem) = run_in_lanes(Kind::Memory, PLAIN, cases, seed).await {
        panic!("{problem}");
    }
}

/// On moto, which ignores some conditions, or on the server at the URL `S3DAV_MODEL_ENDPOINT`, in whose empty bucket
/// `bucket` the keys `S3DAV_MODEL_KEYS` (`ID:SECRET`) may do everything. By hand, since it takes a server that answers
/// a look within the time that the model allows others' changes to be unseen for.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "by hand: it takes a quiet machine and a quick server"]
async fn sequences_on_another_server_do_what_the_model_says() {
    let (cases, seed) = (setting("S3DAV_MODEL_CASES", 200), setting("S3DAV_MODEL_SEED", 1));
    let (_moto, endpoint, cases) = match std::env::var("S3DAV_MODEL_ENDPOINT") {
        Ok(endpoint) => (None, endpoint, cases),
        Err(_) => {
            let Some(tools) = needs(&["moto_server"]) else { return };
            let moto = Moto::start(&tools).await;
            let endpoint = moto.endpoint.clone();
            (Some(moto), endpoint, cases / 10)
        }
    };
    if let Err(problem) = run_in_lanes(Kind::Elsewhere(endpoint.leak()), PLAIN, cases, seed).await {
        panic!("{problem}");
    }
}

/// `/a//b` means `/a/b`.
#[tokio::test(flavor = "multi_thread")]
async fn sequences_with_empty_segments_do_the_same() {
    let (cases, seed) = (setting("S3DAV_MODEL_CASES", 200) / 4, setting("S3DAV_MODEL_SEED", 1));
    for kind in [Kind::Bucket, Kind::Directory] {
        if let Err(problem) = run_in_lanes(kind, world::DOUBLED, cases, seed).await {
            panic!("{problem}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bug_is_found_and_nothing_where_there_is_none() {
    let seed = setting("S3DAV_MODEL_SEED", 1);
    if let Err(problem) = run_in_lanes(Kind::Layered(None), PLAIN, FEW_CASES, seed).await {
        panic!("{problem}");
    }
    for bug in Bug::ALL {
        let found = run_in_lanes(Kind::Layered(Some(bug)), PLAIN, MOST_CASES, seed).await;
        let problem = found.expect_err(&format!("{bug:?} was not found"));
        eprintln!("{bug:?}: {problem}");
    }
}

/// Sequences without a bug: that the gateway is put together as it should be.
const FEW_CASES: u64 = 16;
/// Sequences for each bug. It is found by the first few.
const MOST_CASES: u64 = 1000;
