//! Each package is installed where nothing else of ours is, and the first file of the demo is read back within a minute.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{Packages, VERSION, succeeds};
use crate::harness::client;
use crate::harness::docker::{BASE, Container, Docker};
use crate::harness::process::{by, command, outcome, send_signal};

#[tokio::test(flavor = "multi_thread")]
async fn a_deb_and_a_tarball_are_installed_on_a_bare_debian() {
    let Some((_, packages)) = Packages::made(&[]).await else { return };
    let Some(docker) = Docker::shared().await else { return };
    let volume = format!("{}:/packages:ro", packages.place.display());
    let arguments = ["--network", "none", "-v", &volume, BASE, "sleep", "infinity"];

    let container = docker.container(&arguments).await;
    let begun = Instant::now();
    inside(&container, "dpkg -i /packages/*.deb").await;
    first_file(&container, "s3dav").await;
    let by_dpkg = begun.elapsed();
    assert!(inside(&container, "dpkg -s s3dav").await.contains("Status: install ok installed"));
    assert!(inside(&container, "s3dav --version").await.contains(VERSION));
    inside(&container, "dpkg -P s3dav && ! test -e /usr/bin/s3dav").await;

    let container = docker.container(&arguments).await;
    let begun = Instant::now();
    inside(
        &container,
        "mkdir /opt/s3dav && tar -xzf /packages/s3dav-*.tar.gz --strip-components 1 -C /opt/s3dav",
    )
    .await;
    first_file(&container, "/opt/s3dav/s3dav").await;
    let by_tarball = begun.elapsed();
    println!("to the first file on a bare Debian: {by_dpkg:.1?} by dpkg, {by_tarball:.1?} by tarball");
    assert!(by_dpkg < MINUTE && by_tarball < MINUTE, "{by_dpkg:?} {by_tarball:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wheel_is_installed_in_an_environment_of_its_own() {
    let Some((tools, packages)) = Packages::made(&[]).await else { return };
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("environment");
    let begun = Instant::now();
    let mut make = tools.command("Python for packages");
    succeeds(make.args(["-m", "venv"]).arg(&place)).await;
    let mut pip = tools.command("Python for packages");
    pip.args(["-m", "pip", "--disable-pip-version-check", "--python"]).arg(&place);
    pip.args(["install", "--no-index", "--quiet"]).arg(packages.file(".whl"));
    succeeds(&mut pip).await;
    serves_its_first_file(&place.join("bin/s3dav"), &home, begun, "pip").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_packages_are_installed_below_a_prefix() {
    let Some((tools, packages)) = Packages::made(&["npm", "node"]).await else { return };
    let home = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let mut npm = tools.command("npm");
    npm.args(["install", "--offline", "--no-audit", "--no-fund", "--prefix"]).arg(home.path());
    let processor = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x64" };
    npm.arg(packages.file(&format!("s3dav-linux-{processor}-{VERSION}.tgz")));
    npm.arg(packages.file(&format!("of-tests-s3dav-{VERSION}.tgz")));
    npm.env("HOME", home.path()).env("npm_config_cache", home.path().join("cache")).current_dir(home.path());
    succeeds(&mut npm).await;
    let program = home.path().join("node_modules/.bin/s3dav");
    serves_its_first_file(&program, &home, begun, "npm").await;
    // It ends as the program does.
    let (code, _, error) = outcome(by(&program, &command(&["serve", "--no-such-option"]))).await;
    assert!(code == 2 && error.contains("--no-such-option"), "{code}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rpm_is_installed_below_a_root_of_its_own() {
    let Some((tools, packages)) = Packages::made(&["rpm", "root"]).await else { return };
    let (root, home, file) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), packages.file(".rpm"));
    let rpm = |arguments: &[&str]| {
        let mut rpm = tools.command("rpm");
        rpm.arg("--root").arg(root.path()).args(arguments);
        rpm
    };
    let mut asked = tools.command("rpm");
    asked.args(["-qp", "--qf", "%{NAME} %{VERSION} %{LICENSE} %{URL}"]).arg(&file);
    let told = succeeds(&mut asked).await;
    assert_eq!(told, format!("s3dav {VERSION} MIT OR Apache-2.0 https://s3dav.example"));
    let begun = Instant::now();
    // Debian's rpm wants to be told that it may; what the package needs is not below that root.
    succeeds(rpm(&["--install", "--nodeps", "--force-debian"]).arg(&file)).await;
    succeeds(&mut rpm(&["--verify", "--nodeps", "s3dav"])).await;
    serves_its_first_file(&root.path().join("usr/bin/s3dav"), &home, begun, "rpm").await;
    let licences = succeeds(&mut rpm(&["--query", "--licensefiles", "s3dav"])).await;
    for name in ["LICENSE-MIT", "licences/crates.txt", "licences/rust-library.html"] {
        assert!(licences.contains(name), "{name}: {licences}");
    }
}

/// What a script prints in a container, where it must end well.
async fn inside(container: &Container, script: &str) -> String {
    let said = container.exec(&["sh", "-ec", script]).await;
    assert_eq!(said.code, 0, "{script}: {said:?}");
    said.out
}

/// Reads the demo's first file in a container, which has no other program for that than Python.
async fn first_file(container: &Container, program: &str) {
    let script = format!("{program} demo --listen 127.0.0.1:8330 >/tmp/said 2>&1 & echo $!");
    let id = inside(container, &script).await;
    let content = inside(container, &format!("python3 -c '{READ}' || {{ cat /tmp/said; exit 1; }}")).await;
    assert!(content.contains(CONTENT), "{content}");
    inside(container, &format!("kill {id}")).await;
}

/// Runs the demo by an installed program, reads its first file, and ends it.
async fn serves_its_first_file(program: &Path, home: &TempDir, begun: Instant, way: &str) {
    let mut demo = by(program, &command(&["demo", "--listen", "127.0.0.1:0"]));
    demo.env("HOME", home.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut demo = demo.spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let url = loop {
        let line = tokio::time::timeout(MINUTE, lines.next_line()).await.expect("the demo says nothing");
        let line = line.unwrap().expect("the demo ended");
        if let Some(at) = line.find("http://127.0.0.1:") {
            break line[at..].split(['/', ' ']).take(3).collect::<Vec<_>>().join("/");
        }
    };
    let answer = client().get(format!("{url}/Welcome.txt")).send().await.unwrap();
    assert!(answer.text().await.unwrap().contains(CONTENT));
    let took = begun.elapsed();
    println!("to the first file by {way}: {took:.1?}");
    assert!(took < MINUTE, "{took:?}");
    send_signal("TERM", &demo.id().unwrap().to_string());
    while let Ok(Some(_)) = lines.next_line().await {}
    assert_eq!(demo.wait().await.unwrap().code(), Some(0));
}

/// Of the demo's first file.
const CONTENT: &str = "object in an S3 bucket";
/// Retries until the demo listens.
const READ: &str = r#"
import time, urllib.request
end = time.monotonic() + 60
while True:
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8330/Welcome.txt").read().decode())
        break
    except OSError:
        if time.monotonic() > end:
            raise
        time.sleep(0.05)
"#;
const MINUTE: Duration = Duration::from_secs(60);
