//! deploy/container: the compose file says what is right, and runs; the Dockerfile is as its linter wants it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use super::printed;
use crate::harness::clients::{Tools, needs};
use crate::harness::docker::{BASE, Docker};
use crate::harness::{KEYS, eventually};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/container");

/// A copy of the compose file, with a password beside it as its reader makes it.
fn project() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::copy(Path::new(FILES).join("compose.yaml"), place.path().join("compose.yaml")).unwrap();
    fs::write(place.path().join("password"), "a long password\n").unwrap();
    place
}

fn compose(tools: &Tools, place: &TempDir, profile: &str) -> Command {
    let mut command = tools.command("docker-compose");
    command.current_dir(place.path()).env("HOME", place.path()).args(["--profile", profile]);
    command
}

#[tokio::test]
async fn each_profile_is_one_service_that_may_as_little_as_can_be() {
    let Some(tools) = needs(&["docker-compose"]) else { return };
    let place = project();
    for profile in ["bucket", "server", "s3files"] {
        let mut command = compose(&tools, &place, profile);
        command.args(["config", "--format", "json"]).env("S3DAV_BUCKET", "my-photos");
        let config: Value = serde_json::from_str(&printed(&mut command).await).unwrap();
        let services = config["services"].as_object().unwrap();
        assert_eq!(services.keys().collect::<Vec<_>>(), [profile]);
        let service = &services[profile];
        assert_eq!(service["read_only"], true);
        assert_eq!(service["cap_drop"], json!(["ALL"]));
        let is_mounting = profile == "s3files";
        let added = if is_mounting { json!(["SYS_ADMIN"]) } else { Value::Null };
        assert_eq!((&service["cap_add"], &service["privileged"]), (&added, &Value::Null));
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]));
        for port in service["ports"].as_array().unwrap() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{port}");
        }
        let (bucket, files) =
            (&service["environment"]["S3DAV_BUCKET"], &service["environment"]["S3DAV_S3FILES"]);
        assert_eq!((bucket == "my-photos", files.is_null()), (!is_mounting, !is_mounting));
        assert!(!config.to_string().contains("a long password"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_up_healthy_and_goes_away_whole() {
    let Some(tools) = needs(&["docker-compose"]) else { return };
    let Some(docker) = Docker::shared().await else { return };
    let image = docker.image().await;
    // A network of its own, in which the ports are as they are written, and an S3 server.
    let keeper = docker.container(&["--network", "none", BASE, "sleep", "infinity"]).await;
    let network = format!("container:{}", keeper.id);
    let keys = [format!("S3DAV_ACCESS_KEY={}", KEYS.0), format!("S3DAV_SECRET_KEY={}", KEYS.1)];
    let server = ["--network", &network, "-e", &keys[0], "-e", &keys[1], image, "embedded-s3"];
    let _s3 =
        docker.container(&[&server[..], &["--bucket", "data", "--listen", "127.0.0.1:9000"]].concat()).await;
    let place = project();
    let within = format!(
        "services:\n  bucket: &within\n    network_mode: {network}\n    ports: !reset []\n    \
         environment: {{AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9000', S3DAV_FORCE_PATH_STYLE: 'true'}}\n    \
         healthcheck: {{interval: 1s}}\n  server: *within\n"
    );
    fs::write(place.path().join("compose.override.yaml"), within).unwrap();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(place.path().join("password"), readable).unwrap();
    for profile in ["bucket", "server"] {
        let project = format!("made-for-{profile}");
        let run = |arguments: &[&str]| {
            let mut command = compose(&tools, &place, profile);
            docker.lead(&mut command);
            command.env("IMAGE", image).env("S3DAV_BUCKET", "data").env("AWS_REGION", "us-east-1");
            command.env("AWS_ACCESS_KEY_ID", KEYS.0).env("AWS_SECRET_ACCESS_KEY", KEYS.1);
            command.env("S3DAV_ENDPOINT_URL", "http://127.0.0.1:9000");
            command.args(["--project-name", &project]).args(arguments);
            command
        };
        printed(&mut run(&["up", "--detach", "--wait", "--wait-timeout", "60"])).await;
        let id = printed(&mut run(&["ps", "--quiet"])).await;
        let id = id.trim();
        assert_eq!(docker.wants(&["inspect", "--format", "{{.State.Health.Status}}", id]).await, "healthy");
        let asked = "exec 3<>/dev/tcp/127.0.0.1/8330; printf 'GET /.s3dav/ready HTTP/1.1\\r\\nHost: 127.0.0.1:8330\\r\\n\\r\\n' >&3; \
                     head -c 12 <&3";
        eventually("ready", || async { keeper.exec(&["bash", "-c", asked]).await.out == "HTTP/1.1 200" })
            .await;
        let password = ["PROPFIND / HTTP/1.1", "Host: 127.0.0.1:8330", "Depth: 0"].join("\\r\\n");
        let listed =
            format!("exec 3<>/dev/tcp/127.0.0.1/8330; printf '{password}\\r\\n\\r\\n' >&3; head -c 12 <&3");
        assert_eq!(keeper.exec(&["bash", "-c", &listed]).await.out, "HTTP/1.1 401");
        printed(&mut run(&["down", "--volumes"])).await;
        let label = format!("label=com.docker.compose.project={project}");
        assert_eq!(docker.wants(&["ps", "--all", "--quiet", "--filter", &label]).await, "");
        assert_eq!(docker.wants(&["volume", "ls", "--quiet", "--filter", &label]).await, "");
    }
}

#[tokio::test]
async fn the_dockerfile_is_as_its_linter_wants_it() {
    let Some(tools) = needs(&["hadolint"]) else { return };
    assert_eq!(printed(tools.command("hadolint").arg(Path::new(FILES).join("Dockerfile"))).await, "");
}
