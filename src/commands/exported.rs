//! `s3dav status PATH`: whether what was saved there is in the bucket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::CommandError;
use super::running;
use super::words::counted;
use crate::cli::StatusArgs;
use crate::control::{ControlError, Export, Exports, FileState, Reply, Request, Status, ask};
use crate::notify;

pub(super) async fn run(path: &Path, args: &StatusArgs) -> Result<(), CommandError> {
    let named = args.gateway.state_dir.as_deref();
    let running = running::find(named).await?.running;
    let (status, below) = of_gateway(path, &running).await.ok_or_else(|| unserved(path))?;
    let request = Request::Exports { path: below };
    let exports = match ask(&status.state_dir, request, PATIENCE).await {
        Ok(Reply::Exports(exports)) => *exports,
        Ok(_) => return Err(ControlError::Unexpected.into()),
        Err(error) => {
            let hint = error.hint().unwrap_or("`s3dav status` without a path shows the state of the gateway");
            let message = format!("cannot tell what became of {}", path.display());
            return Err(CommandError::hinted(anyhow::Error::new(error).context(message), hint));
        }
    };
    if args.json {
        say!("{}", serde_json::to_string_pretty(&exports)?);
    } else if is_stored(&exports) && is_file(path).await {
        say!("stored");
    } else {
        say!("{}", text(&exports).trim_end());
    }
    Ok(())
}

/// The gateway that `path` belongs to, and where below what it serves: by what is mounted of it, or by the directory
/// that it serves.
async fn of_gateway<'s>(path: &Path, running: &'s [Status]) -> Option<(&'s Status, String)> {
    let absolute = std::path::absolute(path).ok()?;
    let mounts = running::mounts(running).await.into_iter().map(|(entry, status)| (entry.point, status));
    let served = running.iter().map(|status| (PathBuf::from(&status.source), status));
    let places: Vec<_> = mounts.chain(served.filter(|(source, _)| source.is_absolute())).collect();
    // As it is spelled first: to resolve links asks what may hang.
    below(&absolute, &places).or_else(|| below(&absolute.canonicalize().ok()?, &places))
}

/// The innermost of `places` that holds `path`.
fn below<'s>(path: &Path, places: &[(PathBuf, &'s Status)]) -> Option<(&'s Status, String)> {
    let holding = places.iter().filter_map(|(place, status)| Some((path.strip_prefix(place).ok()?, *status)));
    let (rest, status) = holding.min_by_key(|(rest, _)| rest.components().count())?;
    Some((status, rest.to_str()?.to_owned()))
}

fn unserved(path: &Path) -> CommandError {
    let message = format!("{} is not in anything that your gateways serve or have mounted", path.display());
    let hint = "`s3dav status` lists those; for a container, run it inside with `docker exec`";
    CommandError::hinted(anyhow::anyhow!(message), hint)
}

/// Whether there is nothing to be said of it.
fn is_stored(exports: &Exports) -> bool {
    let is_exported = exports.exported.is_none_or(|count| count > 0);
    is_exported && exports.pending + exports.failed + exports.untold == 0 && !exports.is_cut
}

/// Whether it is one file, as far as that can be told without a long wait.
async fn is_file(path: &Path) -> bool {
    let asked = tokio::time::timeout(ASKED, tokio::fs::metadata(path)).await;
    matches!(asked, Ok(Ok(found)) if found.is_file())
}

fn text(exports: &Exports) -> String {
    let mut lines = vec![format!("of         {}", exports.source)];
    match exports.exported {
        Some(count) => lines.push(format!("exported   {} in the bucket", counted(count, "file"))),
        None => lines.push("stored     everything except what is listed here".to_owned()),
    }
    if exports.pending > 0 {
        lines.push(format!("pending    {} on the way to the bucket", counted(exports.pending, "file")));
    }
    if exports.failed > 0 {
        lines.push(format!("failed     {} that will not reach the bucket", counted(exports.failed, "file")));
    }
    if exports.untold > 0 {
        lines.push(format!("unknown    {} without a report", counted(exports.untold, "file")));
    }
    if exports.is_cut {
        lines.push("more       some were not checked; name a folder further down".to_owned());
    }
    lines.extend(exports.files.iter().map(line));
    let mut hints: Vec<&String> = exports.files.iter().filter_map(|file| file.hint.as_ref()).collect();
    hints.sort();
    hints.dedup();
    lines.extend(hints.iter().map(|hint| format!("hint       {hint}")));
    lines.join("\n") + "\n"
}

fn line(file: &Export) -> String {
    let why = file.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let state = match file.state {
        FileState::Pending => "pending",
        FileState::Failed => "failed",
        FileState::Unknown => "unknown",
    };
    format!("{state:<10} {}{why}", notify::plain(&file.path, MOST_OF_PATH))
}

/// What is mounted may hang.
const ASKED: Duration = Duration::from_secs(5);
/// A large folder takes a while.
const PATIENCE: Duration = Duration::from_secs(40);
/// Characters: that of the longest key.
const MOST_OF_PATH: usize = 1025;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_has_nothing_on_its_way() {
        let stored = Exports { exported: Some(1), ..Exports::default() };
        assert!(is_stored(&stored) && is_stored(&Exports { exported: None, ..stored.clone() }));
        for other in [
            Exports { exported: Some(0), ..stored.clone() },
            Exports { pending: 1, ..stored.clone() },
            Exports { failed: 1, ..stored.clone() },
            Exports { untold: 1, ..stored.clone() },
            Exports { is_cut: true, ..stored },
        ] {
            assert!(!is_stored(&other), "{other:?}");
        }
    }
}
