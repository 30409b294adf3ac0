//! The environment: what is in it for nobody.

use crate::cli::{Command, UnknownVariable, unknown_variables};
use crate::mistake::Mistake;

use super::serve::Role;

/// Refuses what is misspelt: a gateway that was to be read-only would be open. What is like no option is told of.
pub(super) fn check(command: &Command, role: &Role) -> Result<(), Mistake> {
    let reads_none = matches!(
        command,
        Command::Completions { .. } | Command::ManPages { .. } | Command::CheckMount { .. }
    );
    // Whoever has started it has been told.
    let is_child = role.is_child() || matches!(command, Command::Serve(args) if args.detached);
    // Process 1 leaves that to the one that it starts.
    let is_child = is_child || (matches!(command, Command::Container(_)) && std::process::id() == 1);
    if reads_none || is_child {
        return Ok(());
    }
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for UnknownVariable { name, meant } in unknown_variables(names) {
        if let Some(meant) = meant {
            let hint = Some(format!("did you mean {meant}?"));
            return Err(Mistake { message: format!("unknown variable {name}"), hint });
        }
        tell!("warning: unknown variable {name}: no option reads it");
    }
    Ok(())
}
