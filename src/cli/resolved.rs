//! An option of `serve`, its value, and where that comes from.

use std::collections::BTreeMap;

use clap::Args;

use super::part;

/// Options by their long names, with what a file gives for them.
pub type Layer = BTreeMap<String, Vec<String>>;

/// An option and its value, as one would write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedOption {
    /// The long name.
    pub name: String,
    /// Texts; of what is true or false, `true` or `false`.
    pub values: Vec<String>,
    pub origin: Origin,
    pub kind: Kind,
}

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// A place in the file system.
    Path,
    /// Nothing: it is there, or it is not.
    Flag,
    /// `true` or `false`, or nothing for `true`.
    Truth,
}

/// Who gave a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    CommandLine,
    /// The variable of this name.
    Environment(String),
    File,
    Default,
}

impl ResolvedOption {
    /// Whether it is one of the options of `A`.
    pub fn is_of<A: Args>(&self) -> bool {
        part::options::<A>().iter().any(|own| own.get_long() == Some(&self.name))
    }

    /// The same for a start in another directory.
    pub fn with_absolute_paths(mut self) -> Self {
        if self.kind == Kind::Path {
            let absolute = |path: &String| std::path::absolute(path).unwrap_or_else(|_| path.into());
            self.values = self.values.iter().map(|path| absolute(path).display().to_string()).collect();
        }
        self
    }

    /// As arguments for another start of the program; none if it is the default.
    pub fn arguments(&self) -> Vec<String> {
        match (&self.origin, self.kind) {
            (Origin::Default, _) => Vec::new(),
            (_, Kind::Flag | Kind::Truth) if self.values == ["true"] => vec![format!("--{}", self.name)],
            (_, Kind::Flag) => Vec::new(),
            (_, Kind::Text | Kind::Path | Kind::Truth) => {
                self.values.iter().map(|value| format!("--{}={value}", self.name)).collect()
            }
        }
    }
}
