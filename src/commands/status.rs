//! `s3dav status`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use super::CommandError;
use super::orphans::{self, Orphan};
use super::running::{self, Found, Waiting};
use super::unclaimed::Unclaimed;
use super::words::{counted, lasted, size};
use super::{exported, unsent};
use crate::cli::StatusArgs;
use crate::control::{MountedAt, Save, SaveState, Status};
use crate::http::auth::AuthMode;
use crate::mount::{self, Health};
use crate::notify;
use crate::state::Credential;

pub(super) async fn run(args: StatusArgs) -> Result<(), CommandError> {
    if let Some(path) = &args.path {
        return exported::run(path, &args).await;
    }
    let named = args.gateway.state_dir.as_deref();
    let found = running::find(named).await?;
    let orphans = orphans::find(named, &found).await?;
    let Found { mut running, waiting, mut failed } = found;
    add_mounts(&mut running).await;
    for status in running.iter_mut().filter(|status| status.parent.is_some()) {
        status.held_by = running::waiting(&status.state_dir).await.map(|found| found.parent);
    }
    if args.json {
        say!("{}", serde_json::to_string_pretty(&shown(&running, &waiting, &orphans).await?)?)
    } else {
        let mut texts = Vec::new();
        for status in &running {
            let unclaimed = Unclaimed::of(&status.state_dir).await.map(|unclaimed| unclaimed.text());
            let unclaimed = unclaimed.unwrap_or_default();
            texts.push(text(status) + &unclaimed + &password(status, args.show_password)?);
        }
        texts.extend(waiting.iter().map(starting));
        texts.extend(orphans.iter().map(Orphan::text));
        if !texts.is_empty() {
            say!("{}", texts.join("\n").trim_end());
        }
    }
    if named.is_none() {
        let own: Vec<_> = running.iter().map(|status| status.state_dir.as_path()).collect();
        for unsent in unsent::elsewhere(&own).await {
            let (source, changes) = (&unsent.source, counted(unsent.count, "change"));
            tell!(
                "warning: not in S3 yet: {changes} of {source}, which no gateway serves\nhint: `{}` sends them",
                unsent.command()
            );
        }
    }
    let failure = waiting.iter().find_map(Waiting::failure);
    let failure = failure.or_else(|| orphans.first().map(Orphan::failure));
    match (failed.pop(), failure, running.is_empty()) {
        (Some((state_dir, error)), ..) => {
            let hint = error.hint().unwrap_or_default();
            let place = format!("the gateway with its state in {}", state_dir.display());
            Err(CommandError::hinted(anyhow::Error::new(error).context(place), hint))
        }
        (None, Some(failure), _) => Err(failure),
        (None, None, true) if waiting.is_empty() => Err(running::none_runs(named)),
        (None, None, _) => Ok(()),
    }
}

/// All of them, for programs: of one that does not run there is only who holds its sockets, or what is mounted of it.
async fn shown(
    running: &[Status],
    waiting: &[Waiting],
    orphans: &[Orphan],
) -> Result<Vec<serde_json::Value>, CommandError> {
    let mut left = Vec::new();
    for orphan in orphans {
        let mounted = mounted_at(orphan.point().to_owned()).await;
        left.push(serde_json::json!({ "pid": null, "source": orphan.source(), "state_dir": orphan.state_dir(), "held_by": null, "mounts": [mounted] }));
    }
    let held = |waiting: &Waiting| serde_json::json!({ "pid": null, "state_dir": waiting.state_dir, "held_by": waiting.parent, "mounts": [] });
    let running = running.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    Ok(running.into_iter().chain(waiting.iter().map(held)).chain(left).collect())
}

/// One that is about to serve, or tries to.
fn starting(waiting: &Waiting) -> String {
    let urls = waiting.parent.urls.join(" ");
    let mut lines = vec![format!("starting   the gateway at {urls}; its port is open, and connections wait")];
    if waiting.parent.failed_starts > 0 {
        lines.push(format!("failed     {} starts in a row", waiting.parent.failed_starts));
    }
    lines.push(format!("state      {}", waiting.state_dir.display()));
    lines.join("\n") + "\n"
}

/// Asks the mounts, which the gateways cannot: it may take a while.
async fn add_mounts(running: &mut [Status]) {
    let known = running.to_vec();
    for (entry, status) in running::mounts(&known).await {
        let mounted = mounted_at(entry.point).await;
        if let Some(status) = running.iter_mut().find(|other| other.pid == status.pid) {
            status.mounts.push(mounted);
        }
    }
}

async fn mounted_at(point: PathBuf) -> MountedAt {
    let health = mount::health(&point).await;
    MountedAt { point, health }
}

/// The lines that tell programs of other users how to come in.
fn password(status: &Status, is_wanted: bool) -> Result<String, CommandError> {
    if !is_wanted || running::auth_of(status) == Some(AuthMode::None) {
        return Ok(String::new());
    }
    if status.has_given_login {
        return Ok("login      as given by --user and --password-file\n".to_owned());
    }
    let credential = Credential::read(&status.state_dir).context("the password cannot be read")?;
    Ok(match credential {
        Some(Credential { user, password }) => format!("user       {user}\npassword   {password}\n"),
        None => String::new(),
    })
}

fn text(status: &Status) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let ago = |moment: u64| lasted(now.saturating_sub(moment));
    let mut lines = vec![
        format!("serving    {}{}", status.source, if status.read_only { ", read-only" } else { "" }),
        format!("at         {}", status.urls.join(" ")),
        format!(
            "for        {}, as process {}, s3dav {}",
            ago(status.started),
            status.pid,
            status.program_version
        ),
        format!(
            "clients    {}, {} so far",
            counted(status.connections, "connection"),
            counted(status.requests, "request")
        ),
    ];
    lines.extend(numbers(status));
    for mount in &status.mounts {
        let health = match mount.health {
            Health::Well => "",
            Health::Dead => ": its program has ended; `s3dav mount` mounts it again",
            Health::Hung => {
                ": it does not answer: it is busy, or its server is gone; `s3dav unmount --force` removes it"
            }
        };
        lines.push(format!("mounted    {}{health}", mount.point.display()));
    }
    let access = match running::auth_of(status) {
        Some(AuthMode::None) => "everyone on this machine",
        Some(AuthMode::Basic) => "anyone with the password",
        Some(AuthMode::Peer) | None => "your own programs and root's; others by password",
    };
    lines.push(format!("access     {access}"));
    if let Some((parent, end)) =
        status.held_by.as_ref().and_then(|held| Some((held, held.last_end.as_ref()?)))
    {
        let times = if parent.deaths == 1 { "once".to_owned() } else { format!("{} times", parent.deaths) };
        lines.push(format!("died       {times}, and was restarted; last {} ago ({})", ago(end.at), end.how));
    }
    if status.ending {
        lines.push("ending     unmounting, and finishing requests in progress".to_owned());
    }
    lines.push(format!("state      {}", status.state_dir.display()));
    lines.extend(saves(status, now));
    for problem in &status.problems {
        lines.push(format!("problem    {} (for {})", problem.message, ago(problem.since)));
        lines.push(format!("hint       {}", problem.hint));
    }
    lines.join("\n") + "\n"
}

/// What it has sent to S3, and what it holds.
fn numbers(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    if !status.s3_requests.is_empty() {
        let total: u64 = status.s3_requests.values().sum();
        let each: Vec<String> =
            status.s3_requests.iter().map(|(name, count)| format!("{name} {count}")).collect();
        lines.push(format!("S3         {} so far: {}", counted(total, "request"), each.join(", ")));
    }
    lines.push(format!("cache      {} of {}", size(status.cache.used), size(status.cache.limit)));
    let (shelf, bytes) = (counted(status.shelf.entries, "file"), size(status.shelf.bytes));
    lines.push(format!("shelf      {shelf}, {bytes}"));
    if status.held_creates > 0 {
        let waiting = counted(status.held_creates, "empty file");
        lines.push(format!("waiting    {waiting}, for content or for S3"));
    }
    if status.spilled > 0 {
        lines.push(format!("uploads    {} on disk, waiting to be stored", size(status.spilled)));
    }
    if status.conflicts > 0 {
        let conflicts = counted(status.conflicts, "file");
        lines.push(format!("conflicts  {conflicts} kept beside another version"));
    }
    lines
}

/// What became of saves that are not stored, and what to do.
fn saves(status: &Status, now: u64) -> Vec<String> {
    let mut lines: Vec<String> = status.saves.iter().map(|save| of_save(save, now)).collect();
    if status.more_saves > 0 {
        lines.push(format!("and        {} more that are not stored", status.more_saves));
    }
    let hints = [
        (
            &[SaveState::Failed, SaveState::Incomplete, SaveState::Missing][..],
            "save incomplete files again; until then they are not moved over other files",
        ),
        (
            &[SaveState::Refused],
            "what S3 refuses is kept on this machine: `s3dav pending` tells why, `s3dav pending retry` tries it again",
        ),
        (&[SaveState::Waiting], "pending files are stored as soon as possible; leave the gateway running"),
    ];
    let has = |states: &[SaveState]| status.saves.iter().any(|save| states.contains(&save.state));
    lines
        .extend(hints.iter().filter(|(states, _)| has(states)).map(|(_, hint)| format!("hint       {hint}")));
    lines
}

fn of_save(save: &Save, now: u64) -> String {
    let span = lasted(now.saturating_sub(save.since));
    let (word, span) = match save.state {
        SaveState::Failed => ("failed", format!("{span} ago")),
        SaveState::Refused => ("refused", format!("for {span}")),
        SaveState::Incomplete => ("incomplete", format!("{span} ago")),
        SaveState::Missing => ("missing", format!("{span} ago")),
        SaveState::Waiting => ("waiting", format!("for {span}")),
    };
    let bytes = save.bytes.map(|bytes| format!("{}, ", size(bytes))).unwrap_or_default();
    let why = save.why.as_ref().map(|why| format!(": {}", notify::plain(why, MOST_OF_PATH)));
    let why = why.unwrap_or_default();
    let path = notify::plain(&save.path, MOST_OF_PATH);
    format!("{word:<10} {path} ({bytes}{span}){why}")
}

/// Characters: that of the longest key.
const MOST_OF_PATH: usize = 1025;
