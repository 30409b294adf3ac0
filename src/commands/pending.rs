//! `s3dav pending`: what was accepted on this machine and is not in S3 yet.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

use super::states::{Known, known};
use super::unclaimed::Unclaimed;
use super::words::{counted, lasted, quoted, size};
use super::{CommandError, running};
use crate::cli::{PendingArgs, PendingCommand, PendingPath};
use crate::control::{ChangeKind, ControlError, PendingAction, PendingChange, Reply, Request, ask};
use crate::fs::s3::S3Share;
use crate::logging::with_causes;
use crate::notify;
use crate::object::Key;
use crate::path_key::PathKey;
use crate::spool::{Bodies, IntakeOptions, Intakes, has_bodies};
use crate::state::{Change, Left, State, StateError, is_state_directory};
use crate::store::journal::{Journal, SaveError, Told};

pub(super) async fn run(args: PendingArgs) -> Result<(), CommandError> {
    let PendingArgs { command, gateway } = args;
    match command {
        None => list("", false, gateway.state_dir.as_deref()).await,
        Some(PendingCommand::List { path, json, gateway }) => {
            list(&path.unwrap_or_default(), json, gateway.state_dir.as_deref()).await
        }
        Some(PendingCommand::Retry { meant, gateway }) => {
            act(meant, PendingAction::Retry, gateway.state_dir.as_deref(), "to be tried again").await
        }
        Some(PendingCommand::SaveTo { directory, meant, gateway }) => {
            let directory = std::path::absolute(&directory)?;
            let done = format!("written to {}", directory.display());
            act(meant, PendingAction::Save { directory }, gateway.state_dir.as_deref(), &done).await
        }
        Some(PendingCommand::Discard { meant, gateway }) => {
            act(meant, PendingAction::Discard, gateway.state_dir.as_deref(), "discarded").await
        }
    }
}

/// Carries out what is asked for with what is pending at a path, or below it. `share`: whose clients know of it.
pub(super) async fn carry_out(
    (journal, state, share): (&Journal, &State, Option<&S3Share>),
    path: &str,
    action: PendingAction,
) -> Result<Vec<PendingChange>, SaveError> {
    let folder = PathKey::of_text(path);
    let fits = |key: &str| PathKey::of_text(key).is_within(&folder);
    let told = match action {
        PendingAction::List => {
            let empty = empty_files(journal, state, fits).into_iter();
            let empty = empty.map(|(key, since)| Told::empty_file(key, since, false));
            journal.told(fits).into_iter().chain(empty).collect()
        }
        PendingAction::Retry => journal.retry(fits),
        PendingAction::Discard => match share {
            Some(share) => share.discard(fits).await,
            None => discard(journal, state, fits).await,
        },
        PendingAction::Save { directory } => journal.save(&directory, fits).await?,
    };
    Ok(told.into_iter().map(shown).collect())
}

/// The keys that fit of empty files without a content that is pending, and since when they are held: milliseconds since 1970.
fn empty_files(journal: &Journal, state: &State, fits: impl Fn(&str) -> bool) -> Vec<(String, u64)> {
    let mut empty = state.creates();
    empty.retain(|(key, _)| fits(key) && !Key::new(key).is_ok_and(|key| journal.has(&key)));
    empty
}

/// Gives up what is pending of the keys that fit, and the empty files whose content was.
async fn discard(journal: &Journal, state: &State, fits: impl Fn(&str) -> bool) -> Vec<Told> {
    // What clients knew is known to no gateway now.
    let discarded = journal.discard(&fits, |_| false).await.into_iter();
    let mut told: Vec<Told> = discarded.map(|discarded| discarded.told).collect();
    for (key, since) in empty_files(journal, state, fits) {
        if let Err(error) = state.end_create(&key, Left::Nothing).await {
            tracing::warn!(key, error = with_causes(&error), "an empty file is noted on disk still");
        } else if told.iter().all(|told| told.key != key) {
            told.push(Told::empty_file(key, since, true));
        }
    }
    told
}

fn shown(told: Told) -> PendingChange {
    let (change, bytes) = match &told.change {
        Change::Put { .. } if told.key.ends_with('/') => (ChangeKind::FolderMade, 0),
        Change::Put { body } => (ChangeKind::Saved, body.as_ref().map_or(0, |body| body.size)),
        Change::Delete => (ChangeKind::Deleted, 0),
        Change::Move(moved) => (ChangeKind::Moved, moved.size),
    };
    let from = match &told.change {
        Change::Move(moved) => Some(PathKey::of_text(&moved.from).to_string()),
        Change::Put { .. } | Change::Delete => None,
    };
    PendingChange {
        path: PathKey::of_text(&told.key).to_string(),
        change,
        from,
        bytes,
        since: told.since / 1000,
        refused: told.refused,
        sending: told.is_under_way,
    }
}

/// All states where something is pending, each with its own.
async fn list(path: &str, json: bool, named: Option<&Path>) -> Result<(), CommandError> {
    let mut found = Vec::new();
    for known in known(named).await? {
        let changes = if may_have_some(&known) {
            carried_out(&known.state_dir, path, PendingAction::List).await?
        } else {
            Vec::new()
        };
        let unclaimed = Unclaimed::of(&known.state_dir).await;
        if !changes.is_empty() || unclaimed.is_some() {
            found.push((known, changes, unclaimed));
        }
    }
    if json {
        let all = found.iter().map(|(known, changes, unclaimed)| {
            serde_json::json!({
                "source": known.place(),
                "state_dir": known.state_dir,
                "pending": changes,
                "unclaimed": unclaimed,
            })
        });
        say!("{}", serde_json::to_string_pretty(&all.collect::<Vec<_>>())?);
        return Ok(());
    }
    let texts = found.iter().map(|(known, changes, unclaimed)| {
        text(known, changes) + &unclaimed.as_ref().map(Unclaimed::text).unwrap_or_default()
    });
    let texts: Vec<String> = texts.collect();
    if texts.is_empty() {
        tell!("nothing is pending");
    } else {
        say!("{}", texts.join("\n").trim_end());
    }
    Ok(())
}

fn text(known: &Known, changes: &[PendingChange]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut lines = vec![format!("source     {}", known.place())];
    lines.extend(changes.iter().map(|change| line(change, now)));
    if changes.iter().any(|change| change.refused.is_some()) {
        lines.push(
            "hint       see to the reason, then `s3dav pending retry`; or `s3dav pending save-to DIR`, then \
             `s3dav pending discard`"
                .to_owned(),
        );
    }
    if !known.in_use && !changes.is_empty() {
        lines.push(
            "hint       no gateway serves this source; serve it again to store what is pending".to_owned(),
        );
    }
    lines.join("\n") + "\n"
}

fn line(change: &PendingChange, now: u64) -> String {
    let word = match (&change.refused, change.sending) {
        (Some(_), _) => "refused",
        (None, true) => "sending",
        (None, false) => "pending",
    };
    let what = match change.change {
        ChangeKind::Saved => size(change.bytes),
        ChangeKind::Deleted => "deleted".to_owned(),
        ChangeKind::FolderMade => "folder".to_owned(),
        ChangeKind::Moved => {
            let from = change.from.as_deref().unwrap_or_default();
            format!("moved from {}", notify::plain(from, MOST_OF_PATH))
        }
    };
    let why = change.refused.as_ref().map(|why| format!(": {}", notify::plain(why, MOST_OF_PATH)));
    let (path, span) = (notify::plain(&change.path, MOST_OF_PATH), lasted(now.saturating_sub(change.since)));
    format!("{word:<10} {path} ({what}, for {span}){}", why.unwrap_or_default())
}

async fn act(
    meant_paths: PendingPath,
    action: PendingAction,
    named: Option<&Path>,
    done: &str,
) -> Result<(), CommandError> {
    let known = one(meant(named).await?)?;
    let path = meant_paths.path.unwrap_or_default();
    let (nothing, hint) = nothing(&action);
    let is_given_up = action == PendingAction::Discard;
    let changes = carried_out(&known.state_dir, &path, action).await?;
    if changes.is_empty() {
        let place = if path.is_empty() { String::new() } else { format!(" at {path}") };
        let error = anyhow::anyhow!("{nothing}{place}");
        return Err(CommandError::hinted(error, hint));
    }
    for change in &changes {
        say!("{done}: {}", notify::plain(&change.path, MOST_OF_PATH));
    }
    if is_given_up && changes.iter().any(|change| change.sending) {
        tell!("S3 may have got some of it already: look at what is there now");
    }
    Ok(())
}

/// What is said where there is nothing to do it with, and why that may be.
fn nothing(action: &PendingAction) -> (&'static str, &'static str) {
    match action {
        PendingAction::Retry => (
            "S3 has refused nothing",
            "`s3dav pending` lists what is pending; what S3 has not refused is tried again without a command",
        ),
        PendingAction::Discard => (
            "nothing is pending",
            "`s3dav pending` lists what is; S3 may have got it meanwhile, and a file that was moved is given up at its new name",
        ),
        PendingAction::Save { .. } | PendingAction::List => (
            "nothing with a content is pending",
            "`s3dav pending` lists what is; deletions, folders and moves of what S3 has have no content here",
        ),
    }
}

/// The running gateway does it, since it holds them; without one it is done here.
async fn carried_out(
    state_dir: &Path,
    path: &str,
    action: PendingAction,
) -> Result<Vec<PendingChange>, CommandError> {
    let given_up = Instant::now() + STARTS_WITHIN;
    let state = loop {
        let request = Request::Pending { path: path.to_owned(), action: action.clone() };
        match ask(state_dir, request, PATIENCE).await {
            Ok(Reply::Pending { changes }) => return Ok(changes),
            Ok(_) => return Err(running::unexpected()),
            Err(ControlError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match State::visit(state_dir, "s3dav pending").await {
            // It has the state before it answers, and after.
            Err(StateError::Taken { .. }) if Instant::now() < given_up => sleep(STARTS_WITHIN / 50).await,
            Err(error @ StateError::Taken { .. }) => {
                let hint = "it is starting or ending, or another command is at work; try again in a moment";
                return Err(CommandError::hinted(anyhow::Error::new(error), hint));
            }
            state => break state?,
        }
    };
    let (left, bodies) = (state.accepted(), Bodies::new(&Intakes::new(IntakeOptions::default(), &state)));
    let journal = Journal::load(state.clone(), bodies, left, Duration::ZERO).await;
    let done = carry_out((&journal, &state, None), path, action).await;
    state.close().await?;
    Ok(done.map_err(anyhow::Error::new)?)
}

/// Those in which something may be pending.
async fn meant(named: Option<&Path>) -> Result<Vec<Known>, CommandError> {
    let mut all = known(named).await?;
    all.retain(may_have_some);
    Ok(all)
}

fn may_have_some(known: &Known) -> bool {
    let directory = &known.state_dir;
    let is_told = known.holds.is_none_or(|holds| holds.pending > 0);
    is_state_directory(directory) && (is_told || !known.in_use && has_bodies(directory))
}

fn one(mut known: Vec<Known>) -> Result<Known, CommandError> {
    match (known.pop(), known.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(CommandError::hinted(
            anyhow::anyhow!("nothing is pending"),
            "`s3dav status` shows the gateways",
        )),
        (Some(last), false) => {
            let place = |directory: &PathBuf| quoted(&directory.display().to_string());
            let all = known.iter().chain([&last]);
            let lines =
                all.map(|known| format!("  {}: --state-dir {}", known.place(), place(&known.state_dir)));
            let message = format!("{} have something pending", counted(known.len() as u64 + 1, "source"));
            let hint = format!("name one:\n{}", lines.collect::<Vec<_>>().join("\n"));
            Err(CommandError::hinted(anyhow::anyhow!(message), hint))
        }
    }
}

/// A gateway asks S3 a few questions before it answers any.
const STARTS_WITHIN: Duration = Duration::from_secs(10);
/// Gigabytes may be written.
const PATIENCE: Duration = Duration::from_secs(600);
/// Characters: that of the longest key.
const MOST_OF_PATH: usize = 1025;
