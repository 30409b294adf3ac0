//! The quota of the disk for all bodies, by its option and by those that it had before.
//!
//! `--spill-limit` and `--upload-spool` bounded one kind of bodies each. What somebody gave for them is not to take room
//! from the other kinds, which had their own.

use super::Caution;
use crate::cli::ServeArgs;
use crate::spool::{DEFAULT_ROOM, Quota};
use crate::units::Size;

/// What holds, and what is to be said of each old option. Of a directory there are bodies of one kind only.
pub(super) fn quota(args: &ServeArgs, is_directory: bool) -> (Quota, Vec<Caution>) {
    let bytes = |size: Option<Size>| size.map(|Size(bytes)| bytes);
    let (given, spill) = (bytes(args.journal_size), bytes(args.spill_limit));
    let spool = bytes(args.s3.upload_spool);
    let quota = match given {
        Some(given) => Quota::of(given),
        None if is_directory => spill.map(Quota::of).unwrap_or_default(),
        None => of_old(spill, spool),
    };
    let old = [("--spill-limit", spill), ("--upload-spool", spool)];
    let old = old.into_iter().filter(|(_, old)| old.is_some());
    (quota, old.map(|(name, _)| caution(name, given.is_some(), quota)).collect())
}

/// One that was 0 has switched its kind off, and says nothing of the others.
fn of_old(spill: Option<u64>, spool: Option<u64>) -> Quota {
    match (spill.unwrap_or_default(), spool.unwrap_or_default()) {
        // Whoever gave one alone had the default of the other.
        (one, 0) | (0, one) => Quota { most: one.max(DEFAULT_ROOM), least: one },
        (spill, spool) => Quota::of(spill.max(spool)),
    }
}

fn caution(name: &str, is_ignored: bool, quota: Quota) -> Caution {
    if is_ignored {
        let message = format!("{name} has no effect: --journal-size, which replaces it, is given");
        return Caution { message, hint: "leave it out".to_owned() };
    }
    let (most, is_default) = (Size(quota.most), quota.most != quota.least);
    let hint = if is_default {
        format!("leave it out, or give --journal-size: without it, it is {most} or a tenth of the free disk")
    } else {
        format!("give --journal-size {most} instead")
    };
    Caution { message: format!("{name} is an old option, which --journal-size replaces"), hint }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::cli::{self, Command, Layer};

    const GIB: u64 = 1 << 30;

    fn of(line: &str, is_directory: bool) -> (Quota, Vec<Caution>) {
        let words = format!("s3dav serve --bucket=b {line}");
        let words = words.split_whitespace().map(Into::into);
        let Command::Serve(args) =
            cli::parse_again(words, |_| Ok::<_, Infallible>(Layer::new())).unwrap().cli.command
        else {
            panic!("{line}")
        };
        quota(&args, is_directory)
    }

    #[test]
    fn old_options_count_as_the_new_one() {
        let by_default = Quota::default();
        for (line, expected) in [
            ("", by_default),
            ("--journal-size=1GiB", Quota::of(GIB)),
            ("--journal-size=0B", Quota::of(0)),
            // The new one alone counts.
            ("--journal-size=1GiB --spill-limit=2GiB --upload-spool=3GiB", Quota::of(GIB)),
            ("--journal-size=0B --upload-spool=3GiB", Quota::of(0)),
            // Of both old ones the larger.
            ("--spill-limit=2GiB --upload-spool=3GiB", Quota::of(3 * GIB)),
            ("--spill-limit=20GiB --upload-spool=3GiB", Quota::of(20 * GIB)),
            // One alone makes it larger, and not smaller.
            ("--spill-limit=20GiB", Quota::of(20 * GIB)),
            ("--upload-spool=20GiB", Quota::of(20 * GIB)),
            ("--spill-limit=2GiB", Quota { least: 2 * GIB, ..by_default }),
            ("--upload-spool=2GiB", Quota { least: 2 * GIB, ..by_default }),
            // What was switched off does not switch the others off.
            ("--spill-limit=0B", by_default),
            ("--spill-limit=0B --upload-spool=0B", by_default),
            ("--spill-limit=0B --upload-spool=20GiB", Quota::of(20 * GIB)),
            ("--spill-limit=2GiB --upload-spool=0B", Quota { least: 2 * GIB, ..by_default }),
        ] {
            assert_eq!(of(line, false).0, expected, "{line}");
        }
        // There it is the same thing by another name.
        for (line, expected) in [
            ("", by_default),
            ("--spill-limit=2GiB", Quota::of(2 * GIB)),
            ("--spill-limit=0B", Quota::of(0)),
            ("--spill-limit=2GiB --upload-spool=20GiB", Quota::of(2 * GIB)),
            ("--spill-limit=2GiB --journal-size=1GiB", Quota::of(GIB)),
        ] {
            assert_eq!(of(line, true).0, expected, "{line}");
        }
    }

    #[test]
    fn each_old_option_is_told_once_with_what_to_give_instead() {
        let told = |line: &str| {
            let cautions = of(line, false).1.into_iter();
            cautions.map(|Caution { message, hint }| format!("{message}; {hint}")).collect::<Vec<_>>()
        };
        assert!(told("--journal-size=1GiB").is_empty());
        let old = |name: &str| format!("{name} is an old option, which --journal-size replaces; ");
        let instead = "give --journal-size 20GiB instead";
        assert_eq!(
            told("--spill-limit=20GiB --upload-spool=1GiB"),
            [old("--spill-limit") + instead, old("--upload-spool") + instead]
        );
        assert_eq!(
            told("--upload-spool=0B"),
            [old("--upload-spool")
                + "leave it out, or give --journal-size: without it, it is 10GiB or a tenth of the free disk"]
        );
        assert_eq!(
            told("--upload-spool=1GiB --journal-size=2GiB"),
            ["--upload-spool has no effect: --journal-size, which replaces it, is given; leave it out"]
        );
    }
}
