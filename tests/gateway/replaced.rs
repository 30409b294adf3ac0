//! Options that others have replaced, as yesterday's definitions, environments and files give them.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use command_fds::{CommandFdExt, FdMapping};

use crate::harness::process::{Process, command, outcome, serve};
use crate::harness::{BUCKET, Bucket, KEYS, client, embedded, eventually};

/// What a definition has its system do: words of the command line, and variables.
type Start = (Vec<String>, Vec<(String, String)>);

/// The texts of a property list between two of its words.
fn strings<'t>(text: &'t str, from: &str, to: &str, tag: &str) -> impl Iterator<Item = String> + use<'t> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let (_, rest) = text.split_once(from).unwrap();
    let part = rest.split_once(to).unwrap().0.to_owned();
    let texts: Vec<String> =
        part.split(&open).skip(1).map(|text| text.split_once(&close).unwrap().0.to_owned()).collect();
    texts.into_iter().map(|text| text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

fn of_launchd(text: &str) -> Start {
    let variables = |tag| strings(text, "<key>EnvironmentVariables</key>", "</dict>", tag);
    let arguments = strings(text, "<key>ProgramArguments</key>", "</array>", "string");
    (arguments.collect(), variables("key").zip(variables("string")).collect())
}

fn of_systemd(text: &str) -> Start {
    let words = |name: &str| -> Vec<String> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let variables = words("Environment=").into_iter();
    let variables =
        variables.map(|text| text.split_once('=').map(|(name, value)| (name.into(), value.into())).unwrap());
    (words("ExecStart="), variables.collect())
}

/// The lines of a log that tell of an old option, and the hint of each.
fn told(log: &str, option: &str) -> Vec<String> {
    let lines = log.lines().filter(|line| line.contains("WARN") && line.contains(&format!("{option} ")));
    lines.map(str::to_owned).collect()
}

/// Starts it as the system does, with a socket, its variables and nothing else of the environment.
async fn starts(text: &str, read: fn(&str) -> Start) -> String {
    let (s3, place) = (embedded().await, tempfile::tempdir().unwrap());
    Bucket::of(&s3.endpoint_url(), BUCKET).await.put("file", "content").await;
    let (log, state) = (place.path().join("s3dav.log"), place.path().join("state"));
    let shown = |path: &Path| path.display().to_string();
    let text = [
        ("@PROGRAM@", env!("CARGO_BIN_EXE_s3dav").to_owned()),
        ("@LOG@", shown(&log)),
        ("@ENDPOINT@", s3.endpoint_url()),
        ("@STATE@", shown(&state)),
    ]
    .iter()
    .fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value));
    let (words, variables) = read(&text);
    let keys = format!("[work]\naws_access_key_id = {}\naws_secret_access_key = {}\n", KEYS.0, KEYS.1);
    fs::create_dir(place.path().join(".aws")).unwrap();
    fs::write(place.path().join(".aws/credentials"), keys).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(words[0], env!("CARGO_BIN_EXE_s3dav"));
    let mut command = command(&words[1..]);
    command.env_clear().env("HOME", place.path()).envs(variables).env("LISTEN_FDS", "1");
    command.fd_mappings(vec![FdMapping { parent_fd: listener.into(), child_fd: 3 }]).unwrap();
    let mut running = command.spawn().unwrap();
    eventually("it serves", || async {
        let answer = client().get(format!("{url}/file")).send().await;
        match answer {
            Ok(answer) if answer.status() == 200 => answer.text().await.is_ok_and(|text| text == "content"),
            _ => false,
        }
    })
    .await;
    assert_eq!(client().put(format!("{url}/new")).body("new").send().await.unwrap().status(), 201);
    running.kill().await.unwrap();
    fs::read_to_string(log).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn yesterdays_agent_starts() {
    let log = starts(include_str!("service_files/yesterday.plist"), of_launchd).await;
    for option in ["--upload-spool", "--spill-limit"] {
        let told = told(&log, option);
        assert!(told.len() == 1 && told[0].contains("give --journal-size 20GiB instead"), "{log}");
    }
    assert!(!log.contains("request-budget"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn yesterdays_unit_starts() {
    let log = starts(include_str!("service_files/yesterday.service"), of_systemd).await;
    for option in ["--upload-spool", "--spill-limit"] {
        let told = told(&log, option);
        assert!(told.len() == 1 && told[0].contains("no effect: --journal-size, which replaces it"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_and_files_of_yesterday_count() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let mut by_variables = serve(&s3.endpoint_url(), &state, &["--request-budget", "90s"]);
    by_variables.env("S3DAV_SPILL_LIMIT", "1GiB").env("S3DAV_UPLOAD_SPOOL", "16MiB");
    let gateway = Process::serving(by_variables).await;
    let said = gateway.said.lock().clone();
    for option in ["--upload-spool", "--spill-limit"] {
        let told = told(&said, option);
        assert!(told.len() == 1 && told[0].contains("give --journal-size 1GiB instead"), "{said}");
    }
    drop(gateway);

    let file = state.path().join("config.toml");
    let text = format!(
        "upload-spool = '20GiB'\n[sources.old]\nbucket = '{BUCKET}'\nspill-limit = '30GiB'\nforce-path-style = true\n\
         endpoint-url = '{}'\nrequest-budget = '90s'\n",
        s3.endpoint_url()
    );
    fs::write(&file, text).unwrap();
    let source = ["--config", file.to_str().unwrap(), "--source", "old"];
    let mut by_file = command(&["serve", "--listen", "127.0.0.1:0", "--notify=off"]);
    by_file.args(source).arg("--state-dir").arg(state.path().join("other"));
    let gateway = Process::serving(by_file).await;
    let said = gateway.said.lock().clone();
    for option in ["--upload-spool", "--spill-limit"] {
        let told = told(&said, option);
        assert!(told.len() == 1 && told[0].contains("give --journal-size 30GiB instead"), "{said}");
    }

    // They are shown where they are given, and nowhere else.
    let (_, shown, _) = outcome(command(&[&["config", "show"], &source[..]].concat())).await;
    assert!(shown.contains("spill-limit = \"30GiB\"  # ") && shown.contains("upload-spool = \"20GiB\"  # "));
    let everywhere = [&["config", "show", "photos"][..], &["serve", "--help"], &["completions", "bash"]];
    for arguments in everywhere {
        let (code, shown, _) = outcome(command(arguments)).await;
        assert!(code == 0 && shown.contains("journal-size"), "{arguments:?}");
        assert!(!shown.contains("spill-limit") && !shown.contains("upload-spool"), "{arguments:?}");
    }
}
