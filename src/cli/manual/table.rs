//! What the help and the manual say of a command besides its options: one row a command.

/// A command in use.
pub(super) struct Row {
    /// As it is called, without `s3dav`.
    pub(super) command: &'static str,
    /// What one may want, and the command line for it; the first is in the help.
    pub(super) examples: &'static [(&'static str, &'static str)],
    /// Exit codes besides 0, 1 and 2.
    pub(super) exit: &'static [(&'static str, &'static str)],
    pub(super) uses: Uses,
    /// The document that says more, below `docs/`.
    pub(super) document: &'static str,
}

/// What a command reads and writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Uses {
    /// The state of gateways.
    State,
    /// That, the configuration and AWS: it starts a gateway.
    Gateway,
    /// The AWS command line.
    Aws,
    Nothing,
}

const fn row(
    command: &'static str,
    examples: &'static [(&'static str, &'static str)],
    uses: Uses,
    document: &'static str,
) -> Row {
    Row { command, examples, exit: &[], uses, document }
}

pub(super) const ROWS: &[Row] = &[
    row("", &[("mount a bucket", "s3dav mount my-photos")], Uses::Gateway, "GUIDE.md"),
    row(
        "serve",
        &[
            ("serve a bucket", "s3dav serve my-photos"),
            (
                "serve a bucket of another S3 server",
                "s3dav serve my-photos --endpoint-url https://minio.example:9000",
            ),
            ("serve a directory, read-only", "s3dav serve ./photos --read-only"),
        ],
        Uses::Gateway,
        "GUIDE.md",
    ),
    Row {
        command: "mount",
        examples: &[
            ("mount a bucket at /tmp/s3files", "s3dav mount my-photos"),
            ("mount a folder of it elsewhere", "s3dav mount s3://my-photos/2026 ~/photos"),
            ("mount with a profile of the AWS configuration", "s3dav mount my-photos --profile work"),
        ],
        exit: &[("129, 130, 143", "ended by SIGHUP, Ctrl-C or SIGTERM before anything was mounted")],
        uses: Uses::Gateway,
        document: "GUIDE.md",
    },
    row(
        "unmount",
        &[
            ("unmount the only volume", "s3dav unmount"),
            ("give up a volume that hangs", "s3dav unmount ~/photos --force"),
        ],
        Uses::State,
        "GUIDE.md",
    ),
    row("service", &[("mount at every login", "s3dav service install my-photos")], Uses::Gateway, "GUIDE.md"),
    row(
        "service install",
        &[("mount now and at every login", "s3dav service install my-photos")],
        Uses::Gateway,
        "GUIDE.md",
    ),
    row(
        "service uninstall",
        &[("do not mount at login any more", "s3dav service uninstall")],
        Uses::State,
        "GUIDE.md",
    ),
    row("service start", &[("mount again", "s3dav service start")], Uses::State, "GUIDE.md"),
    row("service stop", &[("unmount until the next login", "s3dav service stop")], Uses::State, "GUIDE.md"),
    row("service status", &[("look at the service", "s3dav service status")], Uses::State, "GUIDE.md"),
    row("service logs", &[("show the last 100 lines", "s3dav service logs -n 100")], Uses::State, "GUIDE.md"),
    row(
        "status",
        &[
            ("show all gateways", "s3dav status"),
            ("for a script", "s3dav status --json"),
            ("ask whether what was saved is in the bucket", "s3dav status /tmp/s3files/2026"),
        ],
        Uses::State,
        "TROUBLESHOOTING.md",
    ),
    row("health", &[("check the gateway of a container", "s3dav health")], Uses::State, "METRICS.md"),
    row("stop", &[("unmount, and stop the gateway", "s3dav stop")], Uses::State, "GUIDE.md"),
    row("restart", &[("run the newly installed version", "s3dav restart")], Uses::State, "INSTALL.md"),
    Row {
        command: "container",
        examples: &[(
            "mount S3 Files in this container, and serve it",
            "s3dav container --s3files fs-0123456789abcdef0",
        )],
        exit: &[("20 to 61", "a step of the start or the mount failed; docs/CONTAINERS.md lists them")],
        uses: Uses::Gateway,
        document: "CONTAINERS.md",
    },
    row(
        "container credentials",
        &[("pass on new credentials", "s3dav container credentials")],
        Uses::Nothing,
        "CONTAINERS.md",
    ),
    row(
        "container build",
        &[("build the image for S3 Files", "s3dav container build --binary ./s3dav --s3files")],
        Uses::Nothing,
        "CONTAINERS.md",
    ),
    row("stack", &[("set up S3 Files", STACK_UP)], Uses::Aws, "S3-FILES.md"),
    row("stack template", &[("print the template", "s3dav stack template")], Uses::Aws, "S3-FILES.md"),
    row("stack up", &[("set up S3 Files", STACK_UP)], Uses::Aws, "S3-FILES.md"),
    row("stack status", &[("show its outputs", "s3dav stack status files")], Uses::Aws, "S3-FILES.md"),
    row("stack stop", &[("stop the costs of the task", "s3dav stack stop files")], Uses::Aws, "S3-FILES.md"),
    row("stack start", &[("start the task again", "s3dav stack start files")], Uses::Aws, "S3-FILES.md"),
    row("stack down", &[("delete all but the bucket", "s3dav stack down files")], Uses::Aws, "S3-FILES.md"),
    row("drain", &[("send what an earlier gateway left", "s3dav drain")], Uses::State, "STATE.md"),
    row("pending", &[("show what is not in S3 yet", "s3dav pending")], Uses::State, "STATE.md"),
    row("pending list", &[("for programs", "s3dav pending list --json")], Uses::State, "STATE.md"),
    row("pending retry", &[("try everything again", "s3dav pending retry --all")], Uses::State, "STATE.md"),
    row(
        "pending save-to",
        &[("save what S3 refuses elsewhere", "s3dav pending save-to ./saved --all")],
        Uses::State,
        "STATE.md",
    ),
    row(
        "pending discard",
        &[("give up what was saved there", "s3dav pending discard /folder/file")],
        Uses::State,
        "STATE.md",
    ),
    row("shelf", &[("save Finder's own files", "s3dav shelf export ./shelf")], Uses::State, "STATE.md"),
    row(
        "shelf export",
        &[("save Finder's own files", "s3dav shelf export ./shelf")],
        Uses::State,
        "STATE.md",
    ),
    row("state", &[("show what is kept", "s3dav state list")], Uses::State, "STATE.md"),
    row("state list", &[("show what is kept", "s3dav state list")], Uses::State, "STATE.md"),
    row(
        "state clean",
        &[
            ("remove what was unused for a month", "s3dav state clean --older-than 30d"),
            ("remove all that no gateway uses", "s3dav state clean --all"),
        ],
        Uses::State,
        "STATE.md",
    ),
    row(
        "config",
        &[("show what would be in force", "s3dav config show my-photos")],
        Uses::Gateway,
        "CONFIGURATION.md",
    ),
    row(
        "config show",
        &[("show what would be in force", "s3dav config show my-photos")],
        Uses::Gateway,
        "CONFIGURATION.md",
    ),
    row(
        "iam-policy",
        &[
            ("print the policy for a bucket", "s3dav iam-policy --bucket my-photos"),
            ("for reading only", "s3dav iam-policy --bucket my-photos --read-only"),
        ],
        Uses::Nothing,
        "IAM.md",
    ),
    row("completions", &[("for zsh", "s3dav completions zsh")], Uses::Nothing, "INSTALL.md"),
    row(
        "man-pages",
        &[("for this user", "s3dav man-pages ~/.local/share/man/man1")],
        Uses::Nothing,
        "INSTALL.md",
    ),
    row("demo", &[("try it without a bucket", "s3dav demo")], Uses::State, "INSTALL.md"),
];

/// No image is published yet, so one is named.
const STACK_UP: &str = "s3dav stack up files --image IMAGE@sha256:DIGEST";

/// For every command.
pub(super) const EXIT: &[(&str, &str)] = &[
    ("0", "done"),
    ("1", "failed; the message says what and why, and the hint what to do"),
    ("2", "a mistake in the options or the configuration"),
];

/// Variables that no option reads.
pub(super) const VARIABLES: &[(&str, &str)] = &[
    ("S3DAV_LOG", "filter of the log, such as s3dav=debug,hyper=info; overrides -v and -q"),
    ("NO_COLOR", "if set, messages are not coloured"),
];

/// Those by which AWS is reached.
pub(super) const OF_AWS: &[(&str, &str)] = &[
    ("AWS_PROFILE", "profile of the AWS configuration files, unless --profile is given"),
    (
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
        "access keys; they take precedence over a profile",
    ),
    ("AWS_REGION", "region, unless --region is given"),
    ("AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE", "the AWS configuration files"),
    ("AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3", "URL of an S3 server, unless --endpoint-url is given"),
    ("AWS_CA_BUNDLE", "PEM file of certificate authorities, unless --ca-bundle is given"),
    ("HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "proxy on the way to S3"),
];

/// Files of the configuration and of AWS.
pub(super) const FILES_OF_GATEWAYS: &[(&str, &str)] = &[
    ("~/.config/s3dav/config.toml", "configuration, below $XDG_CONFIG_HOME if that is set"),
    ("~/.aws/config, ~/.aws/credentials", "regions, profiles and keys"),
];

pub(super) const FILES_OF_STATE: &[(&str, &str)] = &[(
    "~/.local/state/s3dav/, on macOS ~/Library/Application Support/s3dav/",
    "state of gateways: locks, properties, pending writes; below $XDG_STATE_HOME if that is set",
)];

pub(super) const FILES_OF_AWS: &[(&str, &str)] =
    &[("~/.aws/config, ~/.aws/credentials", "profiles and keys")];
