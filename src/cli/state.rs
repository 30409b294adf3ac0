//! The options of the commands about what is kept on this machine: `state` and `shelf`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::GatewayArgs;
use crate::units::Timespan;

#[derive(Debug, Clone, Args)]
pub struct ShelfArgs {
    #[command(subcommand)]
    pub command: ShelfCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum ShelfCommand {
    /// Write all of them to a directory, as plain files
    Export(ExportArgs),
}

#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Directory to write to; created if missing, and nothing in it is replaced
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,

    /// Bucket whose files to export, named as it is served [default: that of the running gateway, else the only one
    /// with files]
    #[arg(long, value_name = "NAME[/PREFIX]", value_delimiter = ',', conflicts_with = "source")]
    pub bucket: Vec<String>,

    /// Source of the configuration file whose files to export
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,

    /// Configuration file [default: ~/.config/s3dav/config.toml]
    #[arg(long, env = "S3DAV_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    #[command(flatten)]
    pub gateway: GatewayArgs,
}

#[derive(Debug, Clone, Args)]
pub struct StateArgs {
    #[command(subcommand)]
    pub command: StateCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum StateCommand {
    /// List the state directories: source, last use and content
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        gateway: GatewayArgs,
    },
    /// Remove state directories that are old and hold nothing that would be missed
    Clean {
        /// State directories to remove regardless of age, by the name or source that `state list` shows
        #[arg(value_name = "NAME")]
        names: Vec<String>,

        /// Remove only those unused for this long, such as 30d
        #[arg(long, value_name = "TIME", default_value_t = Age(90 * DAY))]
        older_than: Age,

        /// Remove all that are not in use, of any age, with all that they hold: also Finder's own files, and saves that are
        /// not in S3 yet
        #[arg(long, conflicts_with_all = ["names", "older_than"])]
        all: bool,

        /// Do not ask for confirmation
        #[arg(short, long)]
        yes: bool,
    },
}

/// `90d`, or a time as elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(pub Duration);

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
        match days {
            Some(days) => Ok(Self(DAY * days)),
            None => text
                .parse()
                .map(|Timespan(age)| Self(age))
                .map_err(|error: String| format!("{error}, or e.g. 90d")),
        }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.as_secs() / DAY.as_secs();
        if self.0 == DAY * days as u32 { write!(f, "{days}d") } else { Timespan(self.0).fmt(f) }
    }
}

const DAY: Duration = Duration::from_secs(86_400);
