//! Enums by the names that people write, such as what an option can be.
//!
//! The enum of the layer that decides by it is the only one: its table gives each variant a name and, where that does
//! not say it all, a meaning for the help. A variant that has no row does not compile.

use std::fmt;
use std::str::FromStr;

/// An enum with a table of names.
pub trait NamedEnum: Copy + Eq + fmt::Display + FromStr<Err = UnknownName> + Send + Sync + 'static {
    /// In the order of the help.
    const ALL: &'static [Self];

    fn name(self) -> &'static str;

    /// What it means, for people.
    fn help(self) -> Option<&'static str>;
}

/// A text that names no variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of {}", names.join(", "))]
pub struct UnknownName {
    pub text: String,
    pub names: Vec<&'static str>,
}

/// The variant of a name.
pub fn find<E: NamedEnum>(text: &str) -> Result<E, UnknownName> {
    let found = E::ALL.iter().copied().find(|variant| variant.name() == text);
    found.ok_or_else(|| UnknownName {
        text: text.to_owned(),
        names: E::ALL.iter().map(|variant| variant.name()).collect(),
    })
}

/// Gives an enum its table: `names!(Format { Text = "text", Json = "json": "one object a line" });`.
macro_rules! names {
    ($kind:ident { $($variant:ident = $name:literal $(: $help:literal)?),+ $(,)? }) => {
        impl $crate::named::NamedEnum for $kind {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            fn help(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => None$(.or(Some($help)))?),+
                }
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad($crate::named::NamedEnum::name(*self))
            }
        }

        impl std::str::FromStr for $kind {
            type Err = $crate::named::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::named::find(text)
            }
        }
    };
}

pub(crate) use names;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Colour {
        Red,
        DarkBlue,
    }

    names!(Colour { Red = "red", DarkBlue = "dark-blue": "of the night" });

    #[test]
    fn a_variant_is_read_as_it_is_shown() {
        for colour in Colour::ALL {
            assert_eq!(colour.to_string().parse(), Ok(*colour));
        }
        assert_eq!(
            Colour::ALL.iter().map(|colour| colour.help()).collect::<Vec<_>>(),
            [None, Some("of the night")]
        );
        let wrong = "Red".parse::<Colour>().unwrap_err();
        assert_eq!(wrong.to_string(), "\"Red\" is none of red, dark-blue");
    }
}
