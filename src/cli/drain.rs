//! The options of `drain`.

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser};

use super::ServeArgs;
use super::parsing::without_variables;
use crate::units::Timespan;

#[derive(Debug, Clone, Args)]
pub struct DrainArgs {
    /// State directories; without one, all in which something waits and that no gateway serves
    #[arg(value_name = "DIR")]
    pub directories: Vec<PathBuf>,

    /// How long to try; what remains is kept
    #[arg(long, value_name = "TIME", default_value_t = Timespan::secs(300))]
    pub wait: Timespan,
}

/// The options that a state was last served with.
#[derive(Debug, Parser)]
struct Noted {
    #[command(flatten)]
    serve: ServeArgs,
}

/// The options of `serve`, as a state notes them; `None`: another version wrote them.
pub fn served_with(words: impl IntoIterator<Item = String>) -> Option<ServeArgs> {
    let words = ["serve".to_owned()].into_iter().chain(words);
    // They tell what the environment said then; what it says now is of something else.
    let matches = without_variables(Noted::command(), |_| true).try_get_matches_from(words).ok()?;
    Noted::from_arg_matches(&matches).ok().map(|noted| noted.serve)
}
