//! The credentials of the mount: renewed, handed over, and shown to nobody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::AsyncWriteExt;

use super::system::TestSystem;
use crate::harness::eventually;
use crate::harness::process::{Process, send_signal};

/// What `aws configure export-credentials --format process` prints.
fn printed(key: &str, seconds: i64) -> String {
    let end = (OffsetDateTime::now_utc() + time::Duration::seconds(seconds)).format(&Rfc3339).unwrap();
    format!(
        r#"{{"Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "secret-of-{key}", "SessionToken": "session", "Expiration": "{end}"}}"#
    )
}

/// Hands them over; the exit code, and what was said.
async fn push(system: &TestSystem, text: &str) -> (i32, String) {
    let mut command = system.credentials();
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A configuration file whose profile asks a program, which counts its keys and lets them last 4 seconds.
fn short_lived(system: &TestSystem) -> std::path::PathBuf {
    let script = r#"
import datetime, json
try:
    count = int(open(root + '/count').read()) + 1
except OSError:
    count = 1
put('count', str(count))
end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
print(json.dumps({'Version': 1, 'AccessKeyId': f'AKIA{count}', 'SecretAccessKey': 'secret-of-process',
    'SessionToken': 'session', 'Expiration': end.strftime('%Y-%m-%dT%H:%M:%SZ')}))
"#;
    system.program("usr/bin/give-keys", script);
    let config = system.at("config");
    let program = system.at("usr/bin/give-keys");
    fs::write(&config, format!("[default]\ncredential_process = {}\n", program.display())).unwrap();
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_renewed_before_they_end_and_no_request_fails() {
    let Some(system) = TestSystem::new() else { return };
    let mut command = system.container(&[]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    command.env("AWS_CONFIG_FILE", short_lived(&system));
    let container = Process::serving(command).await;
    let (token, until) = (system.token(), Instant::now() + Duration::from_secs(30));
    let mut keys = std::collections::BTreeSet::new();
    while keys.len() < 4 {
        let (status, answer) = system.ask(Some(&token)).await;
        assert_eq!(status, 200, "{answer}");
        let end = OffsetDateTime::parse(answer["Expiration"].as_str().unwrap(), &Rfc3339).unwrap();
        assert!(end > OffsetDateTime::now_utc(), "{answer}");
        keys.insert(answer["AccessKeyId"].as_str().unwrap().to_owned());
        assert!(Instant::now() < until, "{keys:?}: {}", container.said.lock());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_are_handed_over_start_the_mount_and_heal_it() {
    let Some(system) = TestSystem::new() else { return };
    assert_eq!(push(&system, &printed("EARLY", 60)).await.0, 1, "nobody is there");
    let mut command = system.container(&["--credentials-limit=30s", "-v"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let starting = tokio::spawn(Process::serving(command));
    eventually("a socket", || async { system.at("run/s3dav/container.sock").exists() }).await;
    eventually("they are taken", || async { push(&system, &printed("AKIAFIRST", 2)).await.0 == 0 }).await;
    let mut container = starting.await.unwrap();
    assert_eq!(system.count("keys AKIAFIRST"), 1);
    let token = system.token();
    eventually("their end", || async { system.ask(Some(&token)).await.0 == 503 }).await;
    assert_eq!(push(&system, &printed("AKIASECOND", 600)).await.0, 0);
    let (status, answer) = system.ask(Some(&token)).await;
    assert_eq!((status, &answer["AccessKeyId"]), (200, &"AKIASECOND".into()));
    assert_eq!(
        (&answer["SecretAccessKey"], &answer["Token"]),
        (&"secret-of-AKIASECOND".into(), &"session".into())
    );

    for (text, part) in [
        ("nothing", "this is not what `aws configure export-credentials --format process` prints"),
        (&*printed("AKIAOLD", -1), "these credentials have expired"),
    ] {
        let (code, said) = push(&system, text).await;
        assert!(
            code == 1 && said.contains(part) && said.contains("hint: ") && !said.contains("secret-of"),
            "{said}"
        );
    }
    assert_eq!(system.ask(Some(&token)).await.1["AccessKeyId"], "AKIASECOND");
    container.signal("TERM").await;
    assert_eq!(container.child.wait().await.unwrap().code(), Some(0));
    assert!(!container.said.lock().contains("secret-of"), "{}", container.said.lock());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_learns_them() {
    let Some(system) = TestSystem::new() else { return };
    let mut command = system.container(&["-v", "-v"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    command.env("AWS_CONFIG_FILE", short_lived(&system));
    let container = Process::serving(command).await;
    let token = system.token();
    for wrong in [None, Some(""), Some("wrong"), Some(&token[1..]), Some(&*format!("Bearer {token}"))] {
        let (status, answer) = system.ask(wrong).await;
        assert!(status == 401 && answer.get("SecretAccessKey").is_none(), "{wrong:?}");
    }
    assert!(system.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").unwrap().starts_with("http://127.0.0.1:"));
    let mode = |name: &str| fs::metadata(system.at(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("run/s3dav"), mode("run/s3dav/token"), mode("run/s3dav/container.sock")),
        (0o700, 0o600, 0o600)
    );
    let mut seen = container.said.lock().clone();
    for id in system.processes("") {
        for file in ["environ", "cmdline"] {
            let bytes = fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
            seen += &String::from_utf8_lossy(&bytes);
        }
    }
    assert!(seen.contains("efs-proxy") && !seen.contains("secret-of") && !seen.contains(&token));
    send_signal("TERM", &container.child.id().unwrap().to_string());
}
