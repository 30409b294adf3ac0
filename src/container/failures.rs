//! What can fail on the way to a mount: each kind with a step, a cause, a fix and an exit code of its own.
//!
//! The mount helper of efs-utils tells what is wrong in words alone, so its words are looked for here, and nowhere
//! else. `docs/CONTAINERS.md` shows the same table.

use std::fmt;

/// Why the container ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    /// What the system or its programs said, in one line; may be empty.
    pub words: String,
}

/// What is done one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Files,
    Credentials,
    Watchdog,
    Mount,
    Serving,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    NotRoot,
    NotInstalled,
    NoPlace,
    NotAlone,
    NoEndpoint,
    NoCredentials,
    NoWatchdog,
    Hung,
    NoAvailabilityZone,
    NoRegion,
    WrongRegion,
    NoSuchName,
    Filtered,
    Unreachable,
    KeysNotFound,
    ProfileWithoutKeys,
    WrongAccessPoint,
    ReadOnly,
    NoTunnel,
    Denied,
    NoNfs,
    NoCapability,
    Reset,
    NotMounted,
    Broken,
    Other,
    Lost,
    Left,
}

/// A kind, and what is to be said of it.
#[derive(Debug)]
pub struct Row {
    pub kind: Kind,
    /// Of the process.
    pub code: u8,
    pub step: Step,
    pub cause: &'static str,
    pub fix: &'static str,
    /// Words of the mount helper, in lower case; any of them tells it.
    marks: &'static [&'static str],
}

impl Failure {
    pub fn new(kind: Kind, words: impl Into<String>) -> Self {
        Self { kind, words: words.into() }
    }

    /// What the mount helper means by what it said. What it says of the watchdog, which it cannot start in a
    /// container, is no failure.
    pub fn of_helper(code: Option<i32>, said: &str) -> Self {
        let lines = said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains(NO_INIT));
        let lines: Vec<&str> = lines.collect();
        let told = |row: &&Row| {
            let says = |mark: &&str| lines.iter().find(|line| line.to_lowercase().contains(mark)).copied();
            row.marks.iter().any(|mark| says(mark).is_some())
        };
        let ended = code.map_or("was ended by a signal".to_owned(), |code| format!("ended with {code}"));
        match TABLE.iter().find(told) {
            Some(row) => {
                let says = |line: &&&str| row.marks.iter().any(|mark| line.to_lowercase().contains(mark));
                Self::new(row.kind, shortened(lines.iter().find(says).copied().unwrap_or_default()))
            }
            None => {
                let last = lines.last().copied().unwrap_or("without a message");
                Self::new(Kind::Other, format!("mount.s3files {ended}: {}", shortened(last)))
            }
        }
    }

    pub fn row(&self) -> &'static Row {
        // Each kind has one, as a test shows.
        TABLE.iter().find(|row| row.kind == self.kind).unwrap_or(&TABLE[0])
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { step, cause, .. } = self.row();
        write!(f, "{step}: {cause}")?;
        if self.words.is_empty() { Ok(()) } else { write!(f, " ({})", self.words) }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "files",
            Self::Credentials => "credentials",
            Self::Watchdog => "watchdog",
            Self::Mount => "mount",
            Self::Serving => "serving",
        })
    }
}

/// A line that fits one.
fn shortened(line: &str) -> String {
    let line = line.trim_start_matches("b'").trim_end_matches('\'');
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

const fn row(
    kind: Kind,
    code: u8,
    step: Step,
    cause: &'static str,
    fix: &'static str,
    marks: &'static [&'static str],
) -> Row {
    Row { kind, code, step, cause, fix, marks }
}

/// All kinds. Of the words that are looked for, those that say more stand first.
pub const TABLE: &[Row] = &[
    row(
        Kind::NotRoot,
        20,
        Step::Files,
        "only root can mount",
        "run the container as root (uid 0), without --user",
        &["only root can run", "getpwuid()"],
    ),
    row(
        Kind::NotInstalled,
        21,
        Step::Files,
        "amazon-efs-utils is not installed here",
        "use the image's target s3files, or install amazon-efs-utils 3.1.2 or newer",
        &[],
    ),
    row(
        Kind::NoPlace,
        22,
        Step::Files,
        "a directory of amazon-efs-utils cannot be written",
        "grant CAP_SYS_ADMIN, or mount a tmpfs at /etc/amazon/efs, /var/log/amazon/efs and /run",
        &[],
    ),
    row(
        Kind::NotAlone,
        23,
        Step::Files,
        "another mount of EFS or S3 Files runs here",
        "run it in a container of its own; where nothing is mounted any more, end amazon-efs-mount-watchdog first",
        &[],
    ),
    row(
        Kind::NoEndpoint,
        30,
        Step::Credentials,
        "the mount programs cannot be given credentials",
        "check that programs can listen on 127.0.0.1 here",
        &[],
    ),
    row(
        Kind::NoCredentials,
        31,
        Step::Credentials,
        "no AWS credentials were found",
        "give the task or the pod a role, mount ~/.aws read-only, or hand them over with `s3dav container credentials`",
        &[],
    ),
    row(
        Kind::NoWatchdog,
        35,
        Step::Watchdog,
        "amazon-efs-mount-watchdog is not running",
        "see /var/log/amazon/efs/mount-watchdog.log",
        &[],
    ),
    row(
        Kind::Hung,
        40,
        Step::Mount,
        "the mount did not finish in time",
        "check that TCP 2049 leads to the mount target of this file system, and not to another server",
        &[],
    ),
    row(
        Kind::NoAvailabilityZone,
        41,
        Step::Mount,
        "the availability zone is unknown",
        "name it with --az-id, or the mount target with --mount-target",
        &["cannot retrieve az-id"],
    ),
    row(
        Kind::NoRegion,
        42,
        Step::Mount,
        "the region is unknown",
        "name it with --region",
        &["error retrieving region"],
    ),
    row(
        Kind::WrongRegion,
        43,
        Step::Mount,
        "there is no such region",
        "check the spelling of --region",
        &["invalid \"region\""],
    ),
    row(
        Kind::NoSuchName,
        44,
        Step::Mount,
        "the mount target's name does not resolve here",
        "check --s3files, --region and --az-id; from outside the VPC name a way in with --mount-target",
        &["failed to resolve"],
    ),
    row(
        Kind::Filtered,
        45,
        Step::Mount,
        "the mount target does not answer",
        "let its security group accept TCP 2049 from here",
        &["timeout. please retry", "check your vpc and security group"],
    ),
    row(
        Kind::Unreachable,
        46,
        Step::Mount,
        "the mount target cannot be reached",
        "check --mount-target, and that a mount target or a tunnel listens there on TCP 2049",
        &["cannot connect to file system mount target", "[errno 101]", "[errno 111]", "[errno 113]"],
    ),
    row(
        Kind::KeysNotFound,
        47,
        Step::Mount,
        "the mount helper could not get credentials",
        "check that no proxy of this container covers 127.0.0.1, and that amazon-efs-utils is 3.1.2 or newer",
        &["access key id and secret access key are not found"],
    ),
    row(
        Kind::ProfileWithoutKeys,
        48,
        Step::Mount,
        "the mount helper uses a profile without keys",
        "leave the profile to s3dav: name it with --profile, and not in s3files-utils.conf",
        &["aws security credentials not found"],
    ),
    row(
        Kind::WrongAccessPoint,
        49,
        Step::Mount,
        "there is no such access point",
        "check --access-point against the access points of the file system",
        &["access point id"],
    ),
    row(
        Kind::ReadOnly,
        50,
        Step::Mount,
        "a directory of amazon-efs-utils cannot be written",
        "grant CAP_SYS_ADMIN, or mount a tmpfs at /etc/amazon/efs, /var/log/amazon/efs and /run",
        &["read-only file system"],
    ),
    row(
        Kind::NoTunnel,
        51,
        Step::Mount,
        "efs-proxy exited right away",
        "see /var/log/amazon/efs/mount.log and *.efs-proxy.log",
        &["failed to initialize tunnel"],
    ),
    row(
        Kind::Denied,
        52,
        Step::Mount,
        "the file system refuses these credentials",
        "allow s3files:ClientMount, and s3files:ClientWrite to write, in the role's policy and the file system's",
        &["access denied by server"],
    ),
    row(
        Kind::NoNfs,
        53,
        Step::Mount,
        "the kernel does not support NFS",
        "use a container engine whose kernel has the module nfsv4, such as Docker Desktop",
        &["no such device"],
    ),
    row(
        Kind::NoCapability,
        54,
        Step::Mount,
        "the container is not allowed to mount",
        "add --cap-add SYS_ADMIN and, where AppArmor runs, --security-opt apparmor=unconfined",
        &["operation not permitted"],
    ),
    row(
        Kind::Reset,
        55,
        Step::Mount,
        "the mount target closes the connection",
        "wait until the mount target is available, and check that --mount-target leads to this file system",
        &["connection reset"],
    ),
    row(
        Kind::NotMounted,
        56,
        Step::Mount,
        "the mount helper succeeded, but nothing is mounted",
        "name another directory with --dir",
        &[],
    ),
    row(
        Kind::Broken,
        57,
        Step::Mount,
        "the mount helper crashed",
        "update amazon-efs-utils, and check the options for unusual characters",
        &["traceback"],
    ),
    row(Kind::Other, 58, Step::Mount, "the mount failed", "see /var/log/amazon/efs/mount.log", &[]),
    row(
        Kind::Lost,
        60,
        Step::Serving,
        "the mount was lost twice within a minute",
        "find out what unmounts it, and see /var/log/amazon/efs/mount-watchdog.log",
        &[],
    ),
    row(
        Kind::Left,
        61,
        Step::Serving,
        "the mount could not be unmounted, and the last writes may be lost",
        "check which programs have files open there; the mount ends with the container",
        &[],
    ),
];

/// What it says in each container.
const NO_INIT: &str = "Could not start amazon-efs-mount-watchdog";
/// Characters; the helper's longest message has 300.
const LONGEST_LINE: usize = 400;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_has_a_row_and_a_code_of_its_own() {
        let kinds: BTreeSet<_> = TABLE.iter().map(|row| format!("{:?}", row.kind)).collect();
        let codes: BTreeSet<_> = TABLE.iter().map(|row| row.code).collect();
        assert_eq!((kinds.len(), codes.len()), (TABLE.len(), TABLE.len()));
        // 1 and 2 are every command's, 75 starts anew, 126 and more are those of shells.
        assert!(codes.iter().all(|code| (20..75).contains(code)), "{codes:?}");
        // The last of them: one that is added behind it must come into the table, too.
        assert_eq!(Kind::Left as usize + 1, TABLE.len());
    }

    #[test]
    fn what_the_helper_says_is_understood() {
        for (said, kind) in [
            ("Cannot retrieve AZ-ID from instance metadata service (IMDS). Please", Kind::NoAvailabilityZone),
            ("Error retrieving region. Please set the \"region\" parameter", Kind::NoRegion),
            ("Invalid \"region\" mount option specified: 'US_EAST'", Kind::WrongRegion),
            ("Failed to resolve \"use1-az1.fs-0.s3files.us-east-1.on.aws\" - check that", Kind::NoSuchName),
            ("Cannot connect to file system mount target ip address 10.0.0.1.", Kind::Unreachable),
            ("Unknown error, when connecting: [Errno 111] Connection refused", Kind::Unreachable),
            ("Connection to the mount target IP address 10.0.0.1 timeout. Please retry in 5", Kind::Filtered),
            ("AWS Access Key ID and Secret Access Key are not found in AWS", Kind::KeysNotFound),
            (
                "AWS security credentials not found in /root/.aws under named profile [x]",
                Kind::ProfileWithoutKeys,
            ),
            ("Access Point ID fsap-xyz is malformed", Kind::WrongAccessPoint),
            ("b'mount.nfs4: access denied by server while mounting 127.0.0.1:/'", Kind::Denied),
            ("b'mount.nfs4: No such device'", Kind::NoNfs),
            ("b'mount.nfs4: Operation not permitted'", Kind::NoCapability),
            ("b'mount.nfs4: Connection reset by peer'", Kind::Reset),
            ("Failed to initialize tunnel for fs-0, please check mount.log", Kind::NoTunnel),
            ("Failed to create private key: [Errno 30] Read-only file system", Kind::ReadOnly),
            ("only root can run this command", Kind::NotRoot),
            ("Traceback (most recent call last):\n  x\nValueError: too many values", Kind::Broken),
            ("something new", Kind::Other),
        ] {
            let all = format!(
                "Could not start amazon-efs-mount-watchdog, unrecognized init system \"x\"\n{said}\n"
            );
            let failure = Failure::of_helper(Some(1), &all);
            assert_eq!(failure.kind, kind, "{said}");
            assert!(
                !failure.to_string().contains("watchdog") && !failure.words.starts_with("b'"),
                "{failure}"
            );
        }
        let silent = Failure::of_helper(Some(3), "");
        assert_eq!(
            silent.to_string(),
            "mount: the mount failed (mount.s3files ended with 3: without a message)"
        );
    }
}
