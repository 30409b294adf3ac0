//! Any enum that has names as what an option takes.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::named::NamedEnum;

/// Reads an enum by its names, which the help lists with what they mean.
pub(super) fn named<E: NamedEnum>() -> impl TypedValueParser<Value = E> {
    let possible = E::ALL.iter().map(|variant| PossibleValue::new(variant.name()).help(variant.help()));
    PossibleValuesParser::new(possible).try_map(|name| name.parse::<E>())
}
