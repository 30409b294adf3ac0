//! `s3dav status`.

#![allow(clippy::print_stdout)]

use std::time::{SystemTime, UNIX_EPOCH};

use super::{CommandError, running};
use crate::cli::StatusArgs;
use crate::control::Status;

pub(super) async fn run(args: StatusArgs) -> Result<(), CommandError> {
    let named = args.gateway.state_dir.as_deref();
    let statuses = running::statuses(named).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&statuses)?);
    } else {
        let texts: Vec<String> = statuses.iter().map(text).collect();
        print!("{}", texts.join("\n"));
    }
    match statuses.is_empty() {
        true => Err(running::none_runs(named)),
        false => Ok(()),
    }
}

fn text(status: &Status) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let ago = |moment: u64| lasted(now.saturating_sub(moment));
    let mut lines = vec![
        format!("serving    {}", status.source),
        format!("at         {}", status.urls.join(" ")),
        format!(
            "for        {}, as process {}, s3dav {}",
            ago(status.started),
            status.pid,
            status.program_version
        ),
        format!("clients    {} connections, {} requests so far", status.connections, status.requests),
    ];
    if !status.s3_requests.is_empty() {
        let total: u64 = status.s3_requests.values().sum();
        let each: Vec<String> =
            status.s3_requests.iter().map(|(name, count)| format!("{name} {count}")).collect();
        lines.push(format!("S3         {total} requests so far: {}", each.join(", ")));
    }
    lines.push(format!("cache      {} of {}", size(status.cache.used), size(status.cache.limit)));
    lines.push(format!("shelf      {} entries, {}", status.shelf.entries, size(status.shelf.bytes)));
    if status.held_creates > 0 {
        lines.push(format!("waiting    {} empty files, for their content or for S3", status.held_creates));
    }
    if status.conflicts > 0 {
        lines.push(format!("conflicts  {} files kept beside another version", status.conflicts));
    }
    lines.push(format!("state      {}", status.state_dir.display()));
    for problem in &status.problems {
        lines.push(format!("problem    {} (for {})", problem.message, ago(problem.since)));
        lines.push(format!("hint       {}", problem.hint));
    }
    lines.join("\n") + "\n"
}

/// A time span in words, as exact as one wants it.
fn lasted(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub(super) fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let power =
        (0..units.len() - 1).find(|power| bytes >> (10 * (power + 1)) == 0).unwrap_or(units.len() - 1);
    match power {
        0 => format!("{bytes} bytes"),
        _ => format!("{:.1} {}", bytes as f64 / (1_u64 << (10 * power)) as f64, units[power]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_people() {
        assert_eq!(
            [lasted(5), lasted(300), lasted(7200), lasted(864_000)],
            ["5 s", "5 min", "2 h", "10 days"]
        );
        assert_eq!(
            [size(0), size(1023), size(1536), size(256 << 20)],
            ["0 bytes", "1023 bytes", "1.5 KiB", "256.0 MiB"]
        );
        assert_eq!(size(5 << 50), "5120.0 TiB");
    }
}
