//! Variables of the environment that no option reads: misspelt ones, which would leave a default in force
//! without a word.

use std::collections::BTreeSet;

use clap::CommandFactory;

use super::Cli;
use crate::spelling;

/// A variable that looks as if it were one of this program's, and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    pub name: String,
    /// The variable that was meant, most likely.
    pub meant: Option<String>,
}

/// Those of `names` that begin as this program's variables do, and are read by nobody.
pub fn unknown_variables(names: impl IntoIterator<Item = String>) -> Vec<UnknownVariable> {
    let mut known = BTreeSet::from([FILTER_OF_LOG.to_owned()]);
    collect(&Cli::command(), &mut known);
    let is_ours = |name: &String| name.to_ascii_uppercase().starts_with(START) && !is_anothers(name);
    let ours = names.into_iter().filter(is_ours);
    let unknown: BTreeSet<String> = ours.filter(|name| !known.contains(name)).collect();
    let meant =
        |name: &str| spelling::like(name, &known, plain, LIKE_ENOUGH).first().map(ToString::to_string);
    unknown.into_iter().map(|name| UnknownVariable { meant: meant(&name), name }).collect()
}

/// The variables of all options.
fn collect(command: &clap::Command, known: &mut BTreeSet<String>) {
    let variables = command.get_arguments().filter_map(clap::Arg::get_env);
    known.extend(variables.map(|name| name.to_string_lossy().into_owned()));
    command.get_subcommands().for_each(|command| collect(command, known));
}

/// Whether Kubernetes makes it for a service of that name, or tests and builds read it.
fn is_anothers(name: &str) -> bool {
    let of_service = name.contains("_SERVICE_") || name.ends_with("_PORT") || name.contains("_PORT_");
    of_service || OF_TESTS.contains(&&name[START.len()..])
}

/// What of a name a slip seldom leaves out.
fn plain(name: &str) -> String {
    name.to_ascii_uppercase().trim_start_matches(START).replace('_', "")
}

const START: &str = "S3DAV_";
/// Read by the log itself.
const FILTER_OF_LOG: &str = "S3DAV_LOG";
/// From 0 to 1: `READONLY` and `PASSWORD` are taken for options, `VERSION` and `COLOUR` for somebody else's.
const LIKE_ENOUGH: f64 = 0.85;
/// What tests, benchmarks and builds read, without the start.
const OF_TESTS: &[&str] = &[
    "ACTIONLINT",
    "APPLE_FRAMEWORKS",
    "ATTACK_SECONDS",
    "AWS",
    "BARE_S3",
    "BARE_WORK",
    "CFN_LINT",
    "CHECKOV",
    "CHROMIUM",
    "CI_CACHE",
    "COMPOSE",
    "DEBIAN",
    "HADOLINT",
    "JUPYTER",
    "KILLS",
    "KILLS_CHECK",
    "KUBECTL",
    "KUBERNETES_VALIDATE",
    "MAC_LARGE_MIB",
    "MAC_NAP_SECONDS",
    "MODEL_CASES",
    "MODEL_ENDPOINT",
    "MODEL_KEYS",
    "MODEL_SEED",
    "MOTO",
    "NFS",
    "NONE",
    "NPM_WEBDAV",
    "ONCE",
    "OUTAGE_SECONDS",
    "PACKAGING",
    "PHASE_KILLS",
    "PICTURES",
    "PROPERTY_CASES",
    "PYTHON",
    "PYTHON_CLIENTS",
    "RACE_ROUNDS",
    "RCLONE",
    "RELEASE_DIR",
    "REQUIRE_CLIENTS",
    "RESUMED_MIB",
    "SEED",
    "SHELLCHECK",
    "SIMULATION_FAILURES",
    "SIMULATION_FIRST",
    "SIMULATION_SEEDS",
    "SOAK_SECONDS",
    "TEST_SEED",
    "TWO_ROUNDS",
    "WORK",
    "WRITE_DOCUMENTS",
    "WRITE_GOLDEN",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(name: &str) -> Option<String> {
        let unknown = unknown_variables([name.to_owned()]);
        let [only] = unknown.as_slice() else { panic!("{name}: {unknown:?}") };
        only.meant.clone()
    }

    #[test]
    fn a_slip_is_near_and_a_word_of_others_is_not() {
        for (wrong, right) in [
            ("BUKET", "BUCKET"),
            ("BUCKETS", "BUCKET"),
            ("READONLY", "READ_ONLY"),
            ("READ_ONLI", "READ_ONLY"),
            ("ENDPOINT", "ENDPOINT_URL"),
            ("PASSWORD", "PASSWORD_FILE"),
            ("ALLOWED_HOSTS", "ALLOWED_HOST"),
            ("LOGLEVEL", "LOG"),
            ("LISTEN_ADDRESS", "LISTEN"),
            ("PROFIL", "PROFILE"),
            ("Read_Only", "READ_ONLY"),
        ] {
            let meant = meant(&format!("S3DAV_{wrong}"));
            assert!(meant.is_some_and(|meant| meant.starts_with(&format!("S3DAV_{right}"))), "{wrong}");
        }
        for other in
            ["VERSION", "COLOUR", "FROBNICATE", "HOME", "ENABLED", "X", "", "CHART", "REPLICAS", "DEBUG"]
        {
            assert_eq!(meant(&format!("S3DAV_{other}")), None, "{other}");
        }
    }
}
