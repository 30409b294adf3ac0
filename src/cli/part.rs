//! Options by the structs that have them: what holds for all options of a struct is asked of the struct, so that no
//! list of names has to be kept.

use clap::{Arg, Args, Command, Id};

/// All options of a struct, and of those in it.
pub(super) fn options<A: Args>() -> Vec<Arg> {
    A::augment_args(Command::default()).get_arguments().cloned().collect()
}

/// What clap calls them.
pub(super) fn ids<A: Args>() -> impl Iterator<Item = Id> {
    options::<A>().into_iter().map(|option| option.get_id().clone())
}

/// The variables that stand for a struct's options.
pub fn variables_of<A: Args>() -> Vec<String> {
    let options = options::<A>().into_iter();
    options.filter_map(|option| Some(option.get_env()?.to_string_lossy().into_owned())).collect()
}

/// The options that have a group as one of theirs, in the order of the help.
pub(super) fn members(command: &Command, group: &str) -> Vec<Id> {
    let mut command = command.clone();
    // Groups are filled only then.
    command.build();
    let group = command.get_groups().find(|found| found.get_id() == group);
    group.map(|group| group.get_args().cloned().collect()).unwrap_or_default()
}

/// The heading of options that others have replaced: they are taken, and shown nowhere.
pub(super) const OLD: &str = "Replaced";
/// The group of the options that say what is served.
pub(super) const SERVED: &str = "served";
/// The group of the options that most need: the short help has them.
pub(super) const COMMON: &str = "common";
