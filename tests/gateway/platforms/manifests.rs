//! The manifests of deploy/kubernetes: rendered by kubectl, held to the schemas, to a linter, and to the rules of Pod
//! Security "restricted".

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::printed;
use crate::harness::clients::{Tools, needs};
use crate::harness::in_repository;

/// An example as kubectl renders it.
pub struct Rendered {
    /// All objects.
    pub objects: Vec<Value>,
    /// The same as a file.
    pub file: PathBuf,
    _place: TempDir,
}

impl Rendered {
    /// Of `tools` it takes `kubectl`.
    pub async fn of(tools: &Tools, example: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        copy(&in_repository("deploy/kubernetes"), place.path());
        let directory = place.path().join("examples").join(example);
        // As its reader makes it.
        fs::write(directory.join("password"), format!("{PASSWORD}\n")).unwrap();
        let text = printed(tools.command("kubectl").arg("kustomize").arg(directory)).await;
        let file = place.path().join("rendered.yaml");
        fs::write(&file, text).unwrap();
        // Nothing is changed, and no cluster is asked: so it is made JSON.
        let mut as_json = tools.command("kubectl");
        as_json.args(["annotate", "--local", "-o", "json", "-f"]).arg(&file).args(["--", "none-"]);
        let text = printed(&mut as_json).await;
        let objects = serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect();
        Self { objects, file, _place: place }
    }

    /// The only object of a kind.
    pub fn only(&self, kind: &str) -> &Value {
        let mut found = self.objects.iter().filter(|object| object["kind"] == kind);
        let only = found.next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(found.next().is_none(), "several are a {kind}");
        only
    }

    /// An object that another one names.
    pub fn named(&self, kind: &str, name: &Value) -> &Value {
        let is_it = |object: &&Value| object["kind"] == kind && &object["metadata"]["name"] == name;
        self.objects.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    /// Where it is put.
    pub fn namespace(&self) -> &str {
        self.only("Deployment")["metadata"]["namespace"].as_str().unwrap()
    }

    /// What its pods are.
    pub fn pod(&self) -> &Value {
        let template = |object: &'_ Value| object.pointer("/spec/template/spec").is_some();
        let found = self.objects.iter().find(|object| template(object)).expect("a workload");
        &found["spec"]["template"]["spec"]
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// The containers of a pod, those that start first among them.
pub fn containers(pod: &Value) -> Vec<&Value> {
    let all = ["initContainers", "containers"].into_iter().filter_map(|kind| pod[kind].as_array());
    all.flatten().collect()
}

#[tokio::test]
async fn each_example_is_what_the_schemas_and_the_linter_want() {
    let Some(tools) = needs(&["kubectl", "kubernetes-validate", "checkov"]) else { return };
    let mut lint = tools.command("checkov");
    // It would look for guides of its rules, and for news of itself.
    lint.args(["--skip-download", "--framework", "kubernetes", "-o", "json", "--soft-fail"]);
    let mut all = Vec::new();
    for example in EXAMPLES {
        let rendered = Rendered::of(&tools, example).await;
        printed(tools.command("kubernetes-validate").arg("--strict").arg(&rendered.file)).await;
        lint.arg("-f").arg(&rendered.file);
        all.push(rendered);
    }
    let report: Value = serde_json::from_str(&printed(&mut lint).await).unwrap();
    let passed = report["summary"]["passed"].as_u64().unwrap();
    assert!(passed > 300, "{passed} checks");
    let failed = report["results"]["failed_checks"].as_array().unwrap();
    let failed: Vec<_> = failed
        .iter()
        .map(|check| (check["check_id"].as_str().unwrap(), check["resource"].as_str().unwrap()))
        .filter(|(check, resource)| {
            !ACCEPTED.iter().any(|(accepted, of)| accepted == check && resource.contains(of))
        })
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");

    // They see what is wrong.
    let rendered = &all[0];
    let text = fs::read_to_string(&rendered.file).unwrap();
    fs::write(&rendered.file, text.replace("enableServiceLinks", "enableServiceLink")).unwrap();
    let refused = tools.command("kubernetes-validate").arg("--strict").arg(&rendered.file).output().await;
    assert!(!refused.unwrap().status.success());
}

#[tokio::test]
async fn no_pod_needs_more_than_pod_security_restricted_gives() {
    let Some(tools) = needs(&["kubectl"]) else { return };
    for example in EXAMPLES {
        let rendered = Rendered::of(&tools, example).await;
        let pod = rendered.pod();
        for field in ["hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"] {
            assert_eq!(pod[field], Value::Null, "{example}: {field}");
        }
        for volume in pod["volumes"].as_array().unwrap() {
            let kinds = ["configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"];
            let is_allowed = kinds.iter().any(|kind| !volume[kind].is_null());
            assert!(is_allowed && volume["hostPath"].is_null(), "{example}: {volume}");
        }
        let of_pod = &pod["securityContext"];
        assert_eq!((&of_pod["sysctls"], &of_pod["windowsOptions"]), (&Value::Null, &Value::Null));
        for container in containers(pod) {
            let of_container = &container["securityContext"];
            let effective = |field: &str| match &of_container[field] {
                Value::Null => &of_pod[field],
                own => own,
            };
            assert_eq!(of_container["privileged"], Value::Null, "{example}");
            assert_eq!(of_container["allowPrivilegeEscalation"], false, "{example}");
            assert_eq!(of_container["capabilities"], json!({ "drop": ["ALL"] }), "{example}");
            assert_eq!(effective("runAsNonRoot"), true, "{example}");
            assert!(effective("runAsUser").as_u64().is_some_and(|user| user > 0), "{example}");
            assert_eq!(effective("seccompProfile"), &json!({ "type": "RuntimeDefault" }), "{example}");
            for field in ["seLinuxOptions", "appArmorProfile", "procMount"] {
                assert_eq!(effective(field), &Value::Null, "{example}: {field}");
            }
            let ports = container["ports"].as_array();
            assert!(ports.into_iter().flatten().all(|port| port["hostPort"].is_null()), "{example}");
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                assert_eq!(container[probe]["httpGet"]["host"], Value::Null, "{example}: {probe}");
            }
            // More than the rules: nothing of the root file system is written.
            assert_eq!(of_container["readOnlyRootFilesystem"], true, "{example}");
        }
        assert_eq!(pod["automountServiceAccountToken"], false, "{example}");
        // Variables that Kubernetes makes of a Service "s3dav" look as if they were options.
        assert_eq!(pod["enableServiceLinks"], false, "{example}");
    }
}

#[tokio::test]
async fn a_team_has_one_gateway_its_prefix_and_its_own_password() {
    let Some(tools) = needs(&["kubectl"]) else { return };
    for (example, bucket, read_only) in
        [("team-prefix", "data/team-a", Value::Null), ("read-only", "data/published", json!("true"))]
    {
        let rendered = Rendered::of(&tools, example).await;
        let deployment = &rendered.only("Deployment")["spec"];
        assert_eq!(
            (&deployment["replicas"], &deployment["strategy"]["type"]),
            (&json!(1), &json!("Recreate"))
        );
        let pod = rendered.pod();
        let container = &pod["containers"][0];
        assert_eq!(container["image"], concat!("s3dav:", env!("CARGO_PKG_VERSION")));
        let options = rendered.named("ConfigMap", &container["envFrom"][0]["configMapRef"]["name"]);
        assert_eq!(options["data"]["S3DAV_BUCKET"], bucket);
        assert_eq!(options["data"]["S3DAV_READ_ONLY"], read_only);
        let secret = rendered.named("Secret", &pod["volumes"][1]["secret"]["secretName"]);
        assert_eq!(secret["data"].as_object().unwrap().len(), 1);
        // Services and policies find the pods that there are.
        let labels = &deployment["template"]["metadata"]["labels"];
        assert_eq!(&rendered.only("Service")["spec"]["selector"], labels);
        assert_eq!(&rendered.only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"], labels);
        let namespaces = rendered.objects.iter().map(|object| &object["metadata"]["namespace"]);
        let mut namespaces: Vec<_> = namespaces.collect();
        namespaces.dedup();
        assert_eq!(namespaces.len(), 1, "{namespaces:?}");
    }
    // Whoever forgets the password gets no gateway with none.
    let kept = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/examples/team-prefix"));
    let kept: Vec<_> = kept.unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(kept, ["kustomization.yaml"]);
}

/// All of them.
const EXAMPLES: &[&str] = &["team-prefix", "read-only", "notebook", "node"];

pub const PASSWORD: &str = "the password of a test";

/// What the linter would have otherwise, in which objects, and why it is so.
const ACCEPTED: &[(&str, &str)] = &[
    // Digests and pull policies are for whoever has a registry.
    ("CKV_K8S_43", ""),
    ("CKV_K8S_15", ""),
    // Jupyter's images have user 1000, and the gateway beside it has the same.
    ("CKV_K8S_40", "notebook"),
    // Who may reach a notebook is its platform's matter.
    ("CKV2_K8S_6", "notebook"),
];
