//! The options of `drain`.

use std::path::PathBuf;

use clap::{Args, Parser};

use super::ServeArgs;
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
    Noted::try_parse_from(words).ok().map(|noted| noted.serve)
}
