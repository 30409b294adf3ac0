//! The command line: usage errors end with 2 and a hint, other failures of the start with 1.

use tokio::net::TcpListener;

use crate::harness::process::{Process, command, outcome};
use crate::harness::{BUCKET, embedded};

#[tokio::test]
async fn usage_errors_end_with_2_and_say_what_to_do() {
    let password = tempfile::NamedTempFile::new().unwrap();
    let password = password.path().to_str().unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["serve"], "as in `s3dav serve my-photos`"),
        (&["mount"], "as in `s3dav serve my-photos`"),
        (
            &["serve", "b", "--endpoint", "http://minio:9000"],
            "did you mean --endpoint-url http://minio:9000?",
        ),
        (&["mount", "b", "--endpoint=http://minio:9000"], "did you mean --endpoint-url http://minio:9000?"),
        (&["serve", "b", "--endpoint", "10.0.0.1"], "--s3files"),
        (&["serve", "S3://photos/2026"], "hint: write s3://photos/2026"),
        (&["mount", "s3:/photos/2026"], "hint: write s3://photos/2026"),
        (&["serve", "--bucket", "s3:photos"], "hint: write s3://photos"),
        (&["mount", "fs-0123456789abcdef0"], "hint: write --s3files fs-0123456789abcdef0"),
        (&["iam-policy"], "--s3files"),
        (&["iam-policy", "photos", "--bucket", "photos"], "cannot be used with"),
        (&["serve", "--bucket", "https://s3.example/photos"], "URL"),
        (&["serve", "--bucket", "Bad_Name!!"], "not a valid bucket name"),
        (&["serve", "--bucket", "b", "--request-budget", "10"], "write e.g. 10s"),
        (&["serve", "--bucket", "b", "--part-size", "8"], "write e.g. 8MiB"),
        (&["serve", "--bucket", "b", "--part-size", "1MiB"], "5MiB to 5GiB"),
        (&["serve", "--bucket", "b", "--upload-memory", "8MiB"], "hint: raise it"),
        (&["serve", "--bucket", "b", "--multipart-threshold", "6GiB"], "5GiB"),
        (&["serve", "--bucket", "b", "--listen", "8330"], "--listen 127.0.0.1:8330"),
        (&["serve", "--bucket", "b", "--listen", "0.0.0.0:0"], "hint: add --user"),
        (&["serve", "--bucket", "b", "--user", "me"], "--password-file"),
        (&["serve", "--bucket", "b", "--password-variable", "HOME"], "--user"),
        (
            &["serve", "--bucket", "b", "--user", "me", "--password-variable", "NONE_SUCH"],
            "NONE_SUCH is not set",
        ),
        (
            &[
                "serve",
                "--bucket",
                "b",
                "--user",
                "me",
                "--password-variable",
                "A",
                "--password-file",
                password,
            ],
            "cannot be used",
        ),
        (
            &["service", "install", "--bucket", "b", "--user", "me", "--password-variable", "HOME"],
            "--password-file",
        ),
        (&["serve", "--bucket", "b", "--user", "me", "--password-file", "/nonexistent"], "cannot be read"),
        (&["serve", "--bucket", "b", "--user", "me", "--password-file", password], "empty"),
        (&["serve", "--bucket", "b", "--bucket", "b/x"], "same folder"),
        (&["serve", "--bucket", "b", "--endpoint-url", "minio:9000"], "hint: write e.g. --endpoint-url"),
        (&["serve", "--bucket", "b", "--sse", "rot13"], "aws:kms"),
        (&["serve", "--bucket", "b", "--checksums", "maybe"], "when-supported"),
        (&["serve", "--bucket", "b", "--lsten", "x"], "--listen"),
        (&["frob"], "frob"),
    ];
    for (arguments, part) in cases {
        let (code, _, said) = outcome(command(arguments)).await;
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_ends_the_program_with_a_hint() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, said) = outcome(command(&["serve", "--bucket", "b", "--listen", &address])).await;
    assert!(
        code == 1 && said.contains("is taken") && said.contains("hint: ") && said.contains("--listen"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn options_come_from_the_environment_too() {
    let s3 = embedded().await;
    let state = tempfile::tempdir().unwrap();
    let mut serve = command(&["serve", "--log-format", "json"]);
    serve
        .env("S3DAV_BUCKET", BUCKET)
        .env("S3DAV_ENDPOINT_URL", s3.endpoint_url())
        .env("S3DAV_FORCE_PATH_STYLE", "1")
        .env("S3DAV_LISTEN", "127.0.0.1:0")
        .env("S3DAV_READ_ONLY", "true")
        .env("S3DAV_STATE_DIR", state.path().join("state"));
    let mut command = serve;
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stderr.take().unwrap()));
    let url = loop {
        let line = lines.next_line().await.unwrap().unwrap();
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        if let Some(url) = json["fields"]["urls"].as_str() {
            break url.to_owned();
        }
    };
    let answer = crate::harness::client().put(format!("{url}x")).body("x").send().await.unwrap();
    assert_eq!(answer.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_serves_samples_and_keeps_its_data() {
    let data = tempfile::tempdir().unwrap();
    let data_dir = data.path().join("data");
    let arguments = ["demo", "--listen", "127.0.0.1:0", "--data", data_dir.to_str().unwrap()];
    for round in 0..2 {
        let mut demo = Process::demo(command(&arguments)).await;
        let url = &demo.url;
        let client = crate::harness::client();
        for (sample, kind, size) in SAMPLES {
            let answer = client.head(format!("{url}{sample}")).send().await.unwrap();
            let headers = answer.headers();
            assert_eq!(
                (answer.status().as_u16(), headers["content-type"].to_str().unwrap()),
                (200, *kind),
                "{sample}"
            );
            assert_eq!(
                headers["content-length"].to_str().unwrap().parse::<u64>().unwrap(),
                *size,
                "{sample}"
            );
        }
        let mine = format!("{url}/mine.txt");
        match round {
            0 => assert_eq!(client.put(&mine).body("mine").send().await.unwrap().status(), 201),
            _ => assert_eq!(client.get(&mine).send().await.unwrap().text().await.unwrap(), "mine"),
        }
        demo.signal("INT").await;
        assert!(demo.child.wait().await.unwrap().success());
    }
}

/// Some of what a demo shows: paths, types, bytes.
const SAMPLES: &[(&str, &str, u64)] = &[
    ("/Welcome.txt", "text/plain; charset=utf-8", 117),
    ("/About%20this%20bucket.pdf", "application/pdf", 950),
    ("/Documents/Read%20me.md", "text/markdown; charset=utf-8", 192),
    ("/Pictures/IMG_10.png", "image/png", 3953),
    ("/Large%20file%20(64%20MB).bin", "application/octet-stream", 64_000_000),
    ("/A%20thousand%20notes/Note%201000.txt", "text/plain; charset=utf-8", 41),
];

/// The ports at which a process listens.
#[cfg(target_os = "linux")]
fn ports_of(process: u32) -> Vec<u16> {
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let links = descriptors.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let links: Vec<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[3] == "0A" && links.contains(&format!("socket:[{}]", row[9])))
        .map(|row| u16::from_str_radix(row[1].rsplit(':').next().unwrap(), 16).unwrap())
        .collect()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_demos_s3_server_lets_nobody_else_in() {
    use crate::harness::users::{as_user, others_have};
    if !others_have(&["curl"]) {
        return;
    }
    let mut demo = Process::demo(command(&["demo", "--listen", "127.0.0.1:0"])).await;
    let gateway: u16 = demo.url.rsplit(':').next().unwrap().parse().unwrap();
    let ports = ports_of(demo.child.id().unwrap());
    let s3 = *ports.iter().find(|port| **port != gateway).unwrap();
    let url = format!("http://127.0.0.1:{s3}/demo?list-type=2");
    for keys in [None, Some("s3dav-embedded:not-a-secret"), Some("s3dav-tests:not-a-secret")] {
        let Some(mut curl) = as_user(12_002, "curl") else { return };
        curl.args(["-q", "-s", "--max-time", "20", "--noproxy", "*", "-w", "%{http_code}"]);
        if let Some(keys) = keys {
            curl.args(["--aws-sigv4", "aws:amz:us-east-1:s3", "-u", keys]);
            curl.args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
        }
        let (_, text, _) = outcome({
            curl.arg(&url);
            curl
        })
        .await;
        assert!(text.ends_with("403") && !text.contains("Welcome.txt"), "{keys:?}: {text}");
    }
    demo.signal("INT").await;
    assert!(demo.child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_server_alone_tells_the_keys_that_it_made_up() {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let mut child = command(&["embedded-s3", "--listen", "127.0.0.1:0"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines =
            tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
        let mut line = async |name: &str| {
            let line = lines.next_line().await.unwrap().unwrap();
            line.strip_prefix(name).unwrap().to_owned()
        };
        let endpoint = line("endpoint_url=").await;
        let (access_key, secret) = (line("aws_access_key_id=").await, line("aws_secret_access_key=").await);
        let known = s3dav::store::s3::FixedCredentials { access_key: access_key.clone(), secret };
        let options =
            s3dav::store::s3::S3Options { credentials: Some(known), ..crate::harness::s3_options(&endpoint) };
        let store = s3dav::store::s3::S3Store::new(BUCKET, options, Default::default()).await.unwrap();
        let listed = s3dav::store::ObjectStore::list(&store, &s3dav::store::ListRequest::probe("")).await;
        assert!(listed.unwrap().objects.is_empty());
        seen.insert(access_key);
    }
    assert_eq!(seen.len(), 2, "others each time");
}

/// A home with a configuration file.
fn configured(text: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("s3dav")).unwrap();
    std::fs::write(home.path().join("s3dav/config.toml"), text).unwrap();
    home
}

fn at(home: &tempfile::TempDir, arguments: &[&str]) -> tokio::process::Command {
    let mut command = command(arguments);
    command.env("XDG_CONFIG_HOME", home.path()).env("XDG_STATE_HOME", home.path());
    command
}

#[tokio::test]
async fn options_come_from_the_command_line_then_the_environment_then_the_file() {
    let home = configured(
        "cache-size = '1GiB'\npart-size = '6MiB'\nread-ahead = '1MiB'\n[sources.photos]\nbucket = 'photos'\n\
         endpoint-url = 'https://minio.example'\nread-only = true\n[sources.work]\nbucket = ['a', 'b']\n",
    );
    let show = |more: &[&str]| {
        let mut command = at(&home, &[&["config", "show"], more].concat());
        command.env("S3DAV_PART_SIZE", "7MiB").env("S3DAV_READ_AHEAD", "2MiB");
        command
    };
    let (code, text, error) = outcome(show(&["--source", "photos", "--read-ahead", "3MiB"])).await;
    assert_eq!(code, 0, "{error}");
    let file = home.path().join("s3dav/config.toml");
    for line in [
        &format!("bucket = \"photos\"  # {}", file.display()),
        &format!("read-only = true  # {}", file.display()),
        &format!("cache-size = \"1GiB\"  # {}", file.display()),
        "part-size = \"7MiB\"  # S3DAV_PART_SIZE",
        "read-ahead = \"3MiB\"  # command line",
        "metadata-ttl = \"10s\"  # default",
        "# region is not set; default: found automatically",
        "# journal-size is not set; default: 10GiB, or a tenth of the free disk if that is less",
        "# profile is not set",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    let (code, text, error) =
        outcome(at(&home, &["config", "show", "--source=work", "--endpoint-url=https://me:s3cret@x"])).await;
    assert_eq!((code, error.contains("cannot contain a user and a password")), (2, true), "{error}");
    assert!(text.contains("https://…@x") && !(text + &error).contains("s3cret"));
    assert!(outcome(show(&["--source", "work"])).await.1.contains("bucket = [\"a\", \"b\"]"));
    let (code, _, error) = outcome(show(&[])).await;
    assert_eq!((code, error.contains("--source: photos, work")), (2, true), "{error}");
    let (code, text, error) = outcome(at(&home, &["config", "show", "--path", "/usr"])).await;
    assert_eq!((code, text.contains("path = \"/usr\"  # command line")), (0, true), "{error}");
}

#[tokio::test]
async fn what_is_true_or_false_is_shown_as_toml() {
    for (written, shown) in [("'yes'", "true"), ("true", "true"), ("'0'", "false"), ("false", "false")] {
        let home =
            configured(&format!("bucket = 'b'\nforce-path-style = {written}\nread-only = {written}\n"));
        let (code, text, error) = outcome(at(&home, &["config", "show"])).await;
        assert_eq!(code, 0, "{error}");
        for name in ["force-path-style", "read-only"] {
            let line = format!("{name} = {shown}  # ");
            assert!(text.lines().any(|shown| shown.starts_with(&line)), "{line}\n{text}");
        }
    }
    let (code, text, _) = outcome(at(&configured(""), &["config", "show", "--bucket=b"])).await;
    assert!(code == 0 && text.contains("# force-path-style is not set"), "{text}");
}

#[tokio::test]
async fn mistakes_in_the_file_are_named() {
    for (text, expected) in [
        ("cash-size = '1GiB'", "did you mean cache-size?"),
        ("cache-size = 5", "5MiB"),
        ("cache-size = '5XB'", "unit of size"),
        ("[sources.a]\nbucket = 'Not A Bucket'", "is not a bucket"),
        ("nonsense", "line 1"),
        ("auth = 'everybody'", "--auth"),
    ] {
        let (code, _, error) = outcome(at(&configured(text), &["serve", "--listen", "127.0.0.1:0"])).await;
        assert_eq!((code, error.contains(expected)), (2, true), "{text}: {error}");
        assert!(error.contains("hint: ") || expected == "is not a bucket", "{error}");
    }
    let (code, _, error) = outcome(command(&["serve", "--config", "/nonexistent/file"])).await;
    assert_eq!((code, error.contains("cannot be read")), (2, true), "{error}");
}

#[tokio::test]
async fn completions_and_the_manual_are_printed() {
    for (shell, expected) in
        [("bash", "complete -F _s3dav"), ("zsh", "#compdef s3dav"), ("fish", "complete -c s3dav")]
    {
        let (code, text, _) = outcome(command(&["completions", shell])).await;
        assert_eq!((code, text.contains(expected)), (0, true), "{shell}");
    }
    let place = tempfile::tempdir().unwrap();
    let pages = place.path().join("man");
    let (code, told, error) = outcome(command(&["man-pages", pages.to_str().unwrap()])).await;
    assert_eq!(code, 0, "{error}");
    let count = std::fs::read_dir(&pages).unwrap().count();
    assert_eq!(told, format!("wrote {count} manual pages to {}\n", pages.display()));
    let page = std::fs::read_to_string(pages.join("s3dav-mount.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("MOUNTPOINT"), "{page}");
    assert!(pages.join("s3dav.1").exists() && pages.join("s3dav-service-install.1").exists());
}

/// The commands that are shown, by the names of their pages.
fn commands(command: &clap::Command, name: &str, found: &mut Vec<(String, clap::Command)>) {
    found.push((name.to_owned(), command.clone()));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
    {
        commands(below, &format!("{name}-{}", below.get_name()), found);
    }
}

#[tokio::test]
async fn the_manual_has_every_option_and_says_how_a_command_is_used() {
    let place = tempfile::tempdir().unwrap();
    let (code, _, error) = outcome(command(&["man-pages", place.path().to_str().unwrap()])).await;
    assert_eq!(code, 0, "{error}");
    let (mut program, mut found) = (<s3dav::cli::Cli as clap::CommandFactory>::command(), Vec::new());
    program.build();
    commands(&program, "s3dav", &mut found);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), found.len());
    for (name, command) in &found {
        let page = std::fs::read_to_string(place.path().join(format!("{name}.1"))).unwrap();
        let page = page.replace("\\-", "-");
        for section in ["NAME", "SYNOPSIS", "EXIT STATUS", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"] {
            let is_there =
                page.contains(&format!(".SH {section}\n")) || page.contains(&format!(".SH \"{section}\"\n"));
            assert!(is_there, "{name}: {section}");
        }
        assert!(!page.contains("see a summary"), "{name}");
        let synopsis = page.split(".SH SYNOPSIS\n").nth(1).unwrap().lines().next().unwrap();
        assert!(synopsis.starts_with("s3dav"), "{name}: {synopsis}");
        assert!(synopsis.len() < 120, "{name}: {synopsis}");
        for option in command.get_arguments().filter(|option| !option.is_hide_set()) {
            let Some(long) = option.get_long() else { continue };
            assert!(page.contains(&format!("--{long}")), "{name}: --{long}");
            let variable = option.get_env().map(|name| name.to_string_lossy().into_owned());
            assert!(variable.is_none_or(|variable| page.contains(&variable)), "{name}: --{long}");
        }
    }
    let files = std::fs::read_to_string(place.path().join("s3dav-mount.1")).unwrap();
    assert!(files.contains("s3dav mount [OPTIONS] [SOURCE] [MOUNTPOINT]\n"), "{files}");
    assert!(files.contains("config.toml") && files.contains("AWS_PROFILE"), "{files}");
    let Some(tools) = crate::harness::clients::needs(&["man"]) else { return };
    for (name, _) in &found {
        let mut man = tools.command("man");
        man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]);
        man.arg(place.path().join(format!("{name}.1"))).env("LC_ALL", "C.UTF-8").env("MANPAGER", "cat");
        let (code, _, error) = outcome(man).await;
        assert_eq!((code, error.as_str()), (0, ""), "{name}");
    }
}

#[tokio::test]
async fn help_has_an_example_and_the_short_one_is_short() {
    for name in ["serve", "mount", "unmount", "status", "stop", "iam-policy"] {
        let (code, long, _) = outcome(command(&[name, "--help"])).await;
        assert_eq!(code, 0);
        for part in ["Example, ", "Exit codes:", "Environment: ", "More: docs/"] {
            assert!(long.contains(part), "{name}: {part}\n{long}");
        }
        let (_, short, _) = outcome(command(&[name, "-h"])).await;
        assert!(short.lines().count() < 90 && !short.contains("Exit codes"), "{name}: {short}");
    }
    let (_, short, _) = outcome(command(&["mount", "-h"])).await;
    assert!(short.contains("--profile") && !short.contains("--upload-memory"), "{short}");
    let (_, version, _) = outcome(command(&["--version"])).await;
    assert!(version.contains("target: ") && version.contains("features: "), "{version}");
    assert_eq!(outcome(command(&["-V"])).await.1, format!("s3dav {}\n", env!("CARGO_PKG_VERSION")));
}
