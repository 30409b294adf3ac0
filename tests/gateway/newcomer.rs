//! The first hour: what a newcomer types, mistypes and is told.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use s3dav::cli::unknown_variables;
use s3dav::embedded::Listable;
use s3dav::service::{Definition, systemd_files};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::harness::clients;
use crate::harness::process::{Process, command, outcome};
use crate::harness::{BUCKET, Bucket, client, embedded};

/// A command line in a home of its own, where it is run, too.
fn at(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    command
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("XDG_STATE_HOME", home.path().join("state"));
    command
}

/// What `config show` says of an option.
async fn shown(home: &TempDir, arguments: &[&str], variables: &[(&str, &str)], option: &str) -> String {
    let mut show = at(home, &[&["config", "show"], arguments].concat());
    show.envs(variables.iter().copied());
    let (code, text, error) = outcome(show).await;
    assert_eq!((code, error.as_str()), (0, ""), "{arguments:?} {variables:?}");
    let start = format!("{option} = ");
    text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_that_is_a_file_is_refused() {
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    bucket.put("notes/today.txt", "x").await;
    let state = tempfile::tempdir().unwrap();
    let at = ["--bucket", "bucket/notes/today.txt"];
    let mut refused = command(&["serve", "--endpoint-url", &s3.endpoint_url(), "--force-path-style"]);
    refused.args(at).args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(state.path().join("state"));
    let (code, _, error) = outcome(refused).await;
    let expected = "\"bucket/notes/today.txt\" is a file, not a folder";
    assert_eq!((code, error.contains(expected)), (1, true), "{error}");
    assert!(error.contains("hint: serve the folder that holds it: --bucket bucket/notes"), "{error}");
    // What is both is served as the folder.
    bucket.put("notes/today.txt/more", "x").await;
    let gateway = prefixed(&s3.endpoint_url(), &state, "bucket/notes/today.txt").await;
    assert_eq!(client().get(format!("{}/more", gateway.url)).send().await.unwrap().status(), 200);
    assert!(!gateway.said.lock().contains("there is nothing below"));
}

/// A gateway that serves what lies below a prefix.
async fn prefixed(endpoint: &str, state: &TempDir, bucket: &str) -> Process {
    let mut command = command(&[
        "serve",
        "--endpoint-url",
        endpoint,
        "--force-path-style",
        "--bucket",
        bucket,
        "--notify=off",
    ]);
    command.args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(state.path().join("state"));
    Process::serving(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_where_nothing_lies_is_told_of_with_those_that_may_be_meant() {
    let s3 = embedded().await;
    let endpoint = s3.endpoint_url();
    let bucket = Bucket::of(&endpoint, BUCKET).await;
    for key in ["2026/a", "2027/a", "photos/summer/a", "photos/winter/a", "empty/"] {
        bucket.put(key, "x").await;
    }
    for (prefix, message, hint) in [
        (
            "2099",
            "there is nothing below 2099/ yet; the first file creates it",
            "did you mean bucket/2026 or bucket/2027?",
        ),
        ("photos/sumer", "there is nothing below photos/sumer/ yet", "did you mean bucket/photos/summer?"),
        ("elsewhere", "there is nothing below elsewhere/ yet", "check its spelling if files should be there"),
    ] {
        let state = tempfile::tempdir().unwrap();
        let gateway = prefixed(&endpoint, &state, &format!("bucket/{prefix}")).await;
        let said = gateway.said.lock().clone();
        let line = said.lines().find(|line| line.contains(" WARN ")).unwrap_or_default();
        assert!(line.contains(message) && line.contains(hint), "{said}");
        let put = client().put(format!("{}/first", gateway.url)).body("x").send().await.unwrap();
        assert_eq!(put.status(), 201, "{prefix}");
    }
    // A folder that is empty is there.
    let state = tempfile::tempdir().unwrap();
    let gateway = prefixed(&endpoint, &state, "bucket/empty").await;
    assert!(!gateway.said.lock().contains("there is nothing below"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_shows_one_folder_alone_keeps_nobody_from_serving_it() {
    let s3 = embedded().await;
    let own = Listable { prefix: "home/alice/*", delimiter: None };
    s3.hooks().change_quirks(|quirks| quirks.listable = Some(vec![own]));
    let state = tempfile::tempdir().unwrap();
    let gateway = prefixed(&s3.endpoint_url(), &state, "bucket/home/alice").await;
    assert!(gateway.said.lock().contains("there is nothing below home/alice/ yet"));
}

#[tokio::test]
async fn a_misspelt_variable_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    for (wrong, meant) in [
        ("S3DAV_BUKET", "S3DAV_BUCKET"),
        ("S3DAV_READONLY", "S3DAV_READ_ONLY"),
        ("S3DAV_ENDPOINT", "S3DAV_ENDPOINT_URL"),
        ("S3DAV_PASSWORD", "S3DAV_PASSWORD_FILE"),
        ("S3DAV_STATEDIR", "S3DAV_STATE_DIR"),
        ("S3DAV_LOGS", "S3DAV_LOG"),
        ("S3DAV_BUCKETS", "S3DAV_BUCKET"),
    ] {
        for arguments in [&["config", "show", "--path", "/usr"][..], &["status"], &["stop"]] {
            let mut command = at(&home, arguments);
            command.env(wrong, "1");
            let (code, _, error) = outcome(command).await;
            let expected = format!("error: unknown variable {wrong}\nhint: did you mean {meant}?\n");
            assert_eq!((code, error), (2, expected), "{arguments:?}");
        }
    }
}

#[tokio::test]
async fn a_variable_that_nobody_reads_is_told_of_unless_others_made_it() {
    let home = tempfile::tempdir().unwrap();
    for (variable, is_told) in [
        ("S3DAV_FROBNICATE", true),
        ("S3DAV_VERSION", true),
        ("S3DAV_COLOUR", true),
        ("S3DAV_IMAGE", false),
        ("S3DAV_PORT", false),
        ("S3DAV_PORT_8330_TCP_ADDR", false),
        ("S3DAV_SERVICE_HOST", false),
        ("S3DAV_PHOTOS_SERVICE_PORT_HTTP", false),
        ("S3DAV_REQUIRE_CLIENTS", false),
        ("S3DAV_PYTHON", false),
        ("S3DAV_LOG", false),
        ("OTHER_BUKET", false),
    ] {
        let mut show = at(&home, &["config", "show", "--path", "/usr"]);
        show.env(variable, "1");
        let (code, _, error) = outcome(show).await;
        let expected = format!("warning: unknown variable {variable}: no option reads it\n");
        assert_eq!((code, error), (0, if is_told { expected } else { String::new() }), "{variable}");
    }
}

/// Names that begin as this program's variables do, in the files of a directory.
fn variables_in(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            variables_in(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path)
            && !path.ends_with("newcomer.rs")
        {
            let is_part = |c: &char| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_';
            let names = text.split("S3DAV_").skip(1).map(|rest| rest.chars().take_while(is_part).collect());
            found.extend(names.filter(|name: &String| !name.is_empty()).map(|name| format!("S3DAV_{name}")));
        }
    }
}

#[test]
fn what_tests_and_ci_read_is_no_mistake() {
    let (root, mut found) = (Path::new(env!("CARGO_MANIFEST_DIR")), BTreeSet::new());
    for directory in [".ci", "tests", "benches"] {
        variables_in(&root.join(directory), &mut found);
    }
    assert!(found.contains("S3DAV_REQUIRE_CLIENTS") && found.contains("S3DAV_MODEL_CASES"), "{found:?}");
    assert_eq!(unknown_variables(found), []);
}

#[tokio::test]
async fn a_filter_of_the_log_that_cannot_be_read_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    for wrong in ["s3dav=loud,,;", "s3dav=lod", "=debug=info"] {
        let mut show = at(&home, &["config", "show", "--path", "/usr"]);
        show.env("S3DAV_LOG", wrong);
        let (code, _, error) = outcome(show).await;
        let said = format!("S3DAV_LOG={wrong:?} cannot be read");
        assert_eq!(
            (code, error.contains(&said), error.contains("hint: ")),
            (2, true, true),
            "{wrong}: {error}"
        );
    }
    let mut show = at(&home, &["config", "show", "--path", "/usr"]);
    show.env("S3DAV_LOG", "s3dav=trace,hyper=debug");
    assert_eq!(outcome(show).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_says_what_it_stopped_and_status_prints_no_empty_line() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [&["status"][..], &["status", "--state-dir", "nowhere"]] {
        let (code, text, error) = outcome(at(&home, arguments)).await;
        assert_eq!((code, text.as_str(), error.contains("no gateway")), (1, "", true), "{error}");
    }
    let s3 = embedded().await;
    let mut gateway = Process::gateway(&s3.endpoint_url(), &home, &[]).await;
    let (code, text, error) =
        outcome(at(&home, &["status", "--show-password", "--state-dir", "state"])).await;
    let starts = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!((code, starts("user       "), starts("password   ")), (0, 1, 1), "{text}{error}");
    let (code, text, error) = outcome(at(&home, &["stop", "--state-dir", "state"])).await;
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(text, format!("stopped the gateway of bucket at {}/\n", gateway.url));
    assert!(gateway.child.wait().await.unwrap().success());
}

/// A login without a user manager of systemd.
fn without_bus(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = at(home, arguments);
    command.env_remove("XDG_RUNTIME_DIR").env_remove("DBUS_SESSION_BUS_ADDRESS");
    command
}

#[tokio::test]
async fn a_service_without_a_user_manager_leaves_nothing_and_is_told_of_plainly() {
    if clients::needs(&["systemctl"]).is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let unmanaged = "systemd's user manager does not answer";
    let (code, _, error) =
        outcome(without_bus(&home, &["service", "install", "--bucket", "b", "there"])).await;
    assert_eq!(
        (code, error.contains(unmanaged), error.contains("enable-linger")),
        (1, true, true),
        "{error}"
    );
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "nothing is left behind");
    // As an earlier login left it.
    let definition = Definition {
        program: "/bin/true".into(),
        arguments: vec!["serve".into()],
        environment: Vec::new(),
        sockets: vec!["127.0.0.1:8330".parse().unwrap()],
        mounts: false,
        log: home.path().join("log"),
    };
    let files = systemd_files(home.path(), &definition);
    for (path, text) in &files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let wants = files[0].0.with_file_name("default.target.wants");
    fs::create_dir(&wants).unwrap();
    std::os::unix::fs::symlink(&files[0].0, wants.join("s3dav.service")).unwrap();
    let (code, _, error) = outcome(without_bus(&home, &["service", "status"])).await;
    let expected = "error: the service is installed, but its state is unknown: systemd's user manager";
    assert_eq!((code, error.contains(expected), error.contains("--property")), (1, true, false), "{error}");
    let (code, text, error) = outcome(without_bus(&home, &["service", "uninstall"])).await;
    assert_eq!((code, text.contains("removed the service")), (0, true), "{error}");
    let expected = format!("warning: {unmanaged}");
    assert!(error.contains(&expected) && !error.contains("error: "), "{error}");
    assert!(files.iter().all(|(path, _)| !path.exists()));
    assert!(wants.join("s3dav.service").symlink_metadata().is_err(), "nor a link to it");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_port_may_be_a_demo() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for arguments in [&["demo"][..], &["serve", "--bucket", "b"]] {
        let (code, _, said) = outcome(command(&[arguments, &["--listen", &address]].concat())).await;
        assert_eq!((code, said.contains("is taken")), (1, true), "{said}");
        let hint = "hint: choose another with --listen 127.0.0.1:PORT, or stop the program using it; `s3dav \
                    status` lists gateways";
        assert!(said.contains(hint), "{said}");
    }
}

#[tokio::test]
async fn completions_offer_nothing_that_is_hidden() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, text, error) = outcome(command(&["completions", shell])).await;
        assert_eq!(code, 0, "{error}");
        for hidden in
            ["embedded-s3", "embedded__s3", "check-mount", "check__mount", "detached", "mount-interval"]
        {
            assert!(!text.contains(hidden), "{shell} offers {hidden}");
        }
        for offered in ["unmount", "completions", "demo", "endpoint-url", "log-format"] {
            assert!(text.contains(offered), "{shell} lacks {offered}");
        }
    }
}

#[tokio::test]
async fn a_bucket_is_named_as_other_programs_name_it() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("s3dav")).unwrap();
    // What is on disk is never looked at.
    fs::create_dir_all(home.path().join("photos/2026")).unwrap();
    for name in ["s3://photos", "s3://photos/2026/", "arn:aws:s3:::photos", "arn:aws-cn:s3:::photos/2026"] {
        let line = format!("{name:?}  # ");
        assert_eq!(shown(&home, &["--bucket", name], &[], "bucket").await, format!("{line}command line"));
        assert_eq!(shown(&home, &[name], &[], "bucket").await, format!("{line}command line"));
        let of_variable = shown(&home, &[], &[("S3DAV_BUCKET", name)], "bucket").await;
        assert_eq!(of_variable, format!("{line}S3DAV_BUCKET"));
        let file = home.path().join("s3dav/config.toml");
        fs::write(&file, format!("bucket = {name:?}\n")).unwrap();
        let path = home.path().to_str().unwrap();
        let of_file = shown(&home, &[], &[("XDG_CONFIG_HOME", path)], "bucket").await;
        assert_eq!(of_file, format!("{line}{}", file.display()));
    }
    assert_eq!(shown(&home, &["photos"], &[], "bucket").await, "\"photos\"  # command line");
    let variable = [("S3DAV_BUCKET", "other")];
    assert_eq!(shown(&home, &["photos"], &variable, "bucket").await, "\"photos\"  # command line");
    assert_eq!(shown(&home, &["./photos"], &variable, "bucket").await, "");
    assert_eq!(shown(&home, &["./photos"], &[], "path").await, "\"./photos\"  # command line");
    assert_eq!(shown(&home, &["/usr"], &[], "path").await, "\"/usr\"  # command line");
}

#[tokio::test]
async fn words_that_can_be_read_in_two_ways_are_refused_with_both() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("photos/2026")).unwrap();
    for name in ["serve", "mount"] {
        for word in ["photos/2026", "photos/"] {
            let (code, _, error) = outcome(at(&home, &[name, word])).await;
            let plain = word.trim_end_matches('/');
            let expected = format!(
                "error: {word:?} may be a bucket or a directory\nhint: write s3://{plain} for the bucket, or \
                 ./{plain} for the directory\n"
            );
            assert_eq!((code, error), (2, expected), "{name}");
        }
        let two = [name, "--bucket", "a", "s3://b", "/tmp/point"];
        let (code, _, error) = outcome(at(&home, if name == "serve" { &two[..4] } else { &two })).await;
        assert_eq!(
            (code, error.contains("\"s3://b\" and --bucket both say what to serve")),
            (2, true),
            "{error}"
        );
    }
    for (word, part) in [("https://s3.example/photos", "is a URL"), ("Bad_Name!!", "not a valid bucket name")]
    {
        let (code, _, error) = outcome(at(&home, &["serve", word])).await;
        assert_eq!((code, error.contains(part)), (2, true), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_word_of_serve_is_what_is_served() {
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    bucket.put("in/side", "x").await;
    for (word, path) in
        [("bucket", "in/side"), ("s3://bucket/in", "side"), ("arn:aws:s3:::bucket", "in/side")]
    {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("bucket")).unwrap();
        let mut serve =
            at(&home, &["serve", word, "--endpoint-url", &s3.endpoint_url(), "--force-path-style"]);
        serve.args(["--listen", "127.0.0.1:0", "--notify=off"]).stderr(Stdio::piped());
        let gateway = Process::serving(serve).await;
        let answer = client().get(format!("{}/{path}", gateway.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{word}");
        let source = if word.ends_with("/in") { "source=bucket/in" } else { "source=bucket " };
        assert!(gateway.said.lock().contains(source), "{:?}", gateway.said.lock());
    }
    let (home, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(directory.path().join("file"), "x").unwrap();
    let mut serve = at(&home, &["serve", directory.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    serve.arg("--notify=off");
    let gateway = Process::serving(serve).await;
    assert_eq!(client().get(format!("{}/file", gateway.url)).send().await.unwrap().status(), 200);
}
