//! The rendered pods, run by Docker as the kubelet would: with their own users, rights, variables, volumes and probes,
//! in a network of their own beside an S3 server.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::manifests::{PASSWORD, Rendered};
use super::printed;
use crate::harness::clients::{Tools, needs};
use crate::harness::docker::{BASE, Container, Docker, Said};
use crate::harness::{KEYS, eventually};

/// A pod: what holds its network, an S3 server in it, and one of its containers.
struct Pod {
    gateway: Container,
    _s3: Container,
    keeper: Container,
    tools: Tools,
    /// Its volumes.
    _place: TempDir,
}

impl Pod {
    /// Runs a container of the rendered pod.
    async fn start(docker: &Arc<Docker>, tools: Tools, rendered: &Rendered, container: &Value) -> Self {
        let image = docker.image().await;
        docker.wants(&["tag", image, container["image"].as_str().unwrap()]).await;
        let keeper = docker.container(&["--network", "none", BASE, "sleep", "infinity"]).await;
        let network = format!("container:{}", keeper.id);
        let bucket = ["--bucket", "data", "--listen", "127.0.0.1:9000"];
        let keys = [format!("S3DAV_ACCESS_KEY={}", KEYS.0), format!("S3DAV_SECRET_KEY={}", KEYS.1)];
        let server = ["--network", &network, "-e", &keys[0], "-e", &keys[1], image, "embedded-s3"];
        let s3 = docker.container(&[&server[..], &bucket].concat()).await;
        let (place, mut arguments) = (tempfile::tempdir().unwrap(), vec!["--network".to_owned(), network]);
        // What the webhook of a cluster adds: where S3 is, and who asks.
        for (name, value) in [
            ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000"),
            ("S3DAV_FORCE_PATH_STYLE", "true"),
            ("AWS_ACCESS_KEY_ID", KEYS.0),
            ("AWS_SECRET_ACCESS_KEY", KEYS.1),
        ] {
            arguments.extend(["-e".to_owned(), format!("{name}={value}")]);
        }
        arguments.extend(rights(rendered.pod(), container));
        arguments.extend(variables(rendered, container));
        arguments.extend(volumes(rendered, container, &place));
        arguments.push(container["image"].as_str().unwrap().to_owned());
        arguments.extend(strings(&container["args"]));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let gateway = docker.container(&arguments).await;
        let pod = Self { gateway, _s3: s3, keeper, tools, _place: place };
        printed(&mut pod.within("ip", &["address", "add", &format!("{POD_IP}/32"), "dev", "lo"]).await).await;
        pod
    }

    /// A program of this machine in the pod's network.
    async fn within(&self, program: &'static str, arguments: &[&str]) -> tokio::process::Command {
        let process = self.keeper.inspect("{{.State.Pid}}").await;
        let mut command = self.tools.command("nsenter");
        command.arg(format!("--net=/proc/{process}/ns/net")).arg(self.tools.path(program)).args(arguments);
        command
    }

    /// The status of a request within the pod's network, at its own address.
    async fn status(&self, more: &[&str], address: &str) -> String {
        let asked = ["-s", "-o", "/dev/null", "-w", "%{http_code}"];
        let mut command = self.within("curl", &[&asked[..], more, &[address]].concat()).await;
        String::from_utf8(command.output().await.unwrap().stdout).unwrap()
    }

    /// A probe, as the kubelet does it; whether it is content.
    async fn probe(&self, container: &Value, name: &str) -> bool {
        let probe = &container[name];
        if !probe["exec"].is_null() {
            let command = strings(&probe["exec"]["command"]);
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            return self.gateway.exec(&command).await.code == 0;
        }
        let get = &probe["httpGet"];
        let ports = container["ports"].as_array().unwrap();
        let port = ports.iter().find(|port| port["name"] == get["port"]).unwrap()["containerPort"].clone();
        let url = format!("http://{POD_IP}:{port}{}", get["path"].as_str().unwrap());
        self.status(&[], &url).await == "200"
    }

    async fn exec(&self, script: &str) -> Said {
        self.gateway.exec(&["sh", "-c", script]).await
    }

    /// Waits until a probe is content.
    async fn until(&self, container: &Value, probe: &str) {
        eventually(probe, || async {
            let is_running = self.gateway.inspect("{{.State.Running}}").await == "true";
            assert!(is_running, "{}", self.gateway.logs().await);
            self.probe(container, probe).await
        })
        .await;
    }
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// A security context, as options of `docker run`. Docker's own seccomp profile is the runtime's default.
fn rights(pod: &Value, container: &Value) -> Vec<String> {
    let (of_pod, own) = (&pod["securityContext"], &container["securityContext"]);
    let field = |name: &str| own[name].as_u64().or(of_pod[name].as_u64()).unwrap();
    let mut options = vec![
        format!("--user={}:{}", field("runAsUser"), field("runAsGroup")),
        format!("--group-add={}", of_pod["fsGroup"]),
    ];
    options.extend(strings(&own["capabilities"]["drop"]).iter().map(|name| format!("--cap-drop={name}")));
    if own["readOnlyRootFilesystem"] == true {
        options.push("--read-only".to_owned());
    }
    if own["allowPrivilegeEscalation"] == false {
        options.push("--security-opt=no-new-privileges".to_owned());
    }
    options
}

fn variables(rendered: &Rendered, container: &Value) -> Vec<String> {
    let mut known: Vec<(String, String)> = Vec::new();
    for source in container["envFrom"].as_array().into_iter().flatten() {
        let map = rendered.named("ConfigMap", &source["configMapRef"]["name"]);
        let entries = map["data"].as_object().unwrap().iter();
        known.extend(entries.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())));
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let path = variable.pointer("/valueFrom/fieldRef/fieldPath").and_then(Value::as_str);
        let value = match (&variable["value"], path) {
            (Value::String(value), _) => known
                .iter()
                .fold(value.clone(), |text, (name, value)| text.replace(&format!("$({name})"), value)),
            (_, Some("metadata.namespace")) => rendered.namespace().to_owned(),
            _ => panic!("{variable}"),
        };
        known.push((variable["name"].as_str().unwrap().to_owned(), value));
    }
    known.into_iter().flat_map(|(name, value)| ["-e".to_owned(), format!("{name}={value}")]).collect()
}

/// Volumes as the kubelet makes them: directories of root's, and of the pod's group where that is told.
fn volumes(rendered: &Rendered, container: &Value, place: &TempDir) -> Vec<String> {
    let pod = rendered.pod();
    let group = u32::try_from(pod["securityContext"]["fsGroup"].as_u64().unwrap()).unwrap();
    let mut options = Vec::new();
    for mount in container["volumeMounts"].as_array().unwrap() {
        let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == mount["name"]);
        let volume = volume.unwrap();
        let directory = place.path().join(mount["name"].as_str().unwrap());
        fs::create_dir(&directory).unwrap();
        let mode = if !volume["emptyDir"].is_null() {
            0o777
        } else if !volume["persistentVolumeClaim"].is_null() {
            rendered.named("PersistentVolumeClaim", &volume["persistentVolumeClaim"]["claimName"]);
            chown(&directory, Some(0), Some(group)).unwrap();
            0o2775
        } else {
            let secret = rendered.named("Secret", &volume["secret"]["secretName"]);
            assert_eq!(secret["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["password"]);
            let file = directory.join("password");
            fs::write(&file, format!("{PASSWORD}\n")).unwrap();
            chown(&file, Some(0), Some(group)).unwrap();
            let mode = u32::try_from(volume["secret"]["defaultMode"].as_u64().unwrap()).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            0o755
        };
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
        let (target, read_only) = (mount["mountPath"].as_str().unwrap(), mount["readOnly"] == true);
        let suffix = if read_only { ":ro" } else { "" };
        options.extend(["-v".to_owned(), format!("{}:{target}{suffix}", directory.display())]);
    }
    options
}

/// What takes every right from it, as it sees that.
async fn has_no_rights(pod: &Pod, user: u32, group: u32) {
    let said = pod.exec("cat /proc/1/status; touch /x").await;
    for line in [
        format!("Uid:\t{user}\t{user}\t{user}\t{user}"),
        format!("Gid:\t{group}\t{group}\t{group}\t{group}"),
        "CapBnd:\t0000000000000000".to_owned(),
        "NoNewPrivs:\t1".to_owned(),
        "Seccomp:\t2".to_owned(),
    ] {
        assert!(said.out.contains(&line), "{line}: {}", said.out);
    }
    assert!(said.error.contains("Read-only file system"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teams_gateway_runs_as_it_is_written() {
    let names = ["kubectl", "nsenter", "curl", "ip"];
    let Some(mut tools) = needs(&names) else { return };
    let Some(docker) = Docker::shared().await else { return };
    for (example, put) in [("team-prefix", "201"), ("read-only", "403")] {
        let rendered = Rendered::of(&tools, example).await;
        let container = &rendered.pod()["containers"][0];
        let pod = Pod::start(&docker, tools, &rendered, container).await;
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            pod.until(container, probe).await;
        }
        has_no_rights(&pod, 65532, 65532).await;
        let url = format!("http://{POD_IP}:8330/");
        let who = format!("team:{PASSWORD}");
        assert_eq!(pod.status(&["-X", "PROPFIND", "-H", "Depth: 1"], &url).await, "401");
        let list = ["-X", "PROPFIND", "-H", "Depth: 1", "-u", &who];
        assert_eq!(pod.status(&list, &url).await, "207");
        let file = format!("{url}file");
        let content = ["-u", &who, "-X", "PUT", "--data-binary", "content"];
        assert_eq!(pod.status(&content, &file).await, put, "{example}");
        let own = format!("s3dav.{}.svc.cluster.local", rendered.namespace());
        for (host, status) in [("s3dav", "207"), (&own, "207"), ("s3dav.other.svc.cluster.local", "403")] {
            let named = format!("Host: {host}");
            let listed = pod.status(&[&list[..], &["-H", &named]].concat(), &url).await;
            assert_eq!(listed, status, "{example}: {host}");
        }
        assert_eq!(pod.status(&[], &format!("http://{POD_IP}:9330/metrics")).await, "200");
        let logs = pod.gateway.logs().await;
        assert!(logs.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{logs}");
        assert!(!logs.contains(PASSWORD) && !logs.contains("others can read"), "{logs}");

        let grace = rendered.pod()["terminationGracePeriodSeconds"].as_u64().unwrap();
        let begun = Instant::now();
        pod.gateway.signal("TERM").await;
        assert_eq!(pod.gateway.ended().await, 0, "{}", pod.gateway.logs().await);
        assert!(begun.elapsed() < Duration::from_secs(grace), "{:?}", begun.elapsed());
        tools = pod.tools;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_notebook_it_asks_its_user_for_no_password() {
    let Some(tools) = needs(&["kubectl", "nsenter", "curl", "ip"]) else { return };
    let Some(docker) = Docker::shared().await else { return };
    let rendered = Rendered::of(&tools, "notebook").await;
    let sidecar = &rendered.pod()["initContainers"][0];
    assert_eq!((&sidecar["name"], &sidecar["restartPolicy"]), (&"s3dav".into(), &"Always".into()));
    let pod = Pod::start(&docker, tools, &rendered, sidecar).await;
    pod.until(sidecar, "startupProbe").await;
    pod.until(sidecar, "livenessProbe").await;
    has_no_rights(&pod, 1000, 100).await;
    // Programs of the pod's other containers: of the same user, and of another.
    let network = format!("container:{}", pod.keeper.id);
    for (user, status) in [("1000:100", "HTTP/1.1 200"), ("1001:100", "HTTP/1.1 401")] {
        let asked = "exec 3<>/dev/tcp/127.0.0.1/8330; printf 'GET / HTTP/1.1\\r\\nHost: 127.0.0.1:8330\\r\\n\\r\\n' >&3; \
                     head -c 12 <&3";
        let rights = ["--network", &network, "--user", user, "--cap-drop", "ALL"];
        let other = docker.container(&[&rights[..], &[BASE, "bash", "-c", asked]].concat()).await;
        assert_eq!(other.ended().await, 0);
        assert_eq!(other.logs().await, status, "{user}");
    }
    // At no address but the loopback's.
    assert_eq!(pod.status(&[], &format!("http://{POD_IP}:8330/")).await, "000");
    pod.gateway.signal("TERM").await;
    assert_eq!(pod.gateway.ended().await, 0, "{}", pod.gateway.logs().await);
}

/// The pod's own address, as the kubelet names it.
const POD_IP: &str = "10.32.0.5";
