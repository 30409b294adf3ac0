//! The command line: usage errors end with 2 and a hint, other failures of the start with 1.

use tokio::net::TcpListener;

use crate::harness::process::{Process, command, outcome};
use crate::harness::{BUCKET, embedded};

#[tokio::test]
async fn usage_errors_end_with_2_and_say_what_to_do() {
    let password = tempfile::NamedTempFile::new().unwrap();
    let password = password.path().to_str().unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["serve"], "--bucket"),
        (&["serve", "--bucket", "s3://photos"], "URL"),
        (&["serve", "--bucket", "Bad_Name!!"], "no bucket's name"),
        (&["serve", "--bucket", "b", "--request-budget", "10"], "write e.g. 10s"),
        (&["serve", "--bucket", "b", "--part-size", "8"], "write e.g. 8MiB"),
        (&["serve", "--bucket", "b", "--part-size", "1MiB"], "5MiB to 5GiB"),
        (&["serve", "--bucket", "b", "--upload-memory", "8MiB"], "hint: raise it"),
        (&["serve", "--bucket", "b", "--multipart-threshold", "6GiB"], "5GiB"),
        (&["serve", "--bucket", "b", "--listen", "8330"], "--listen 127.0.0.1:8330"),
        (&["serve", "--bucket", "b", "--listen", "0.0.0.0:0"], "hint: add --user"),
        (&["serve", "--bucket", "b", "--user", "me"], "--password-file"),
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
        let mut child = command(&arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut lines =
            tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
        let line = lines.next_line().await.unwrap().unwrap();
        let url = line.split_whitespace().last().unwrap().to_owned();
        let client = crate::harness::client();
        let answer = client.get(format!("{url}Welcome.txt")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let mine = format!("{url}mine.txt");
        match round {
            0 => assert_eq!(client.put(&mine).body("mine").send().await.unwrap().status(), 201),
            _ => assert_eq!(client.get(&mine).send().await.unwrap().text().await.unwrap(), "mine"),
        }
        let process = Process { child, url };
        process.signal("INT").await;
        let mut child = process.child;
        assert!(child.wait().await.unwrap().success());
    }
}
