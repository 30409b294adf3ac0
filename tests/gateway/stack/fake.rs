//! A stand-in for `aws` in the path: it writes down each call, and answers from files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::clients::{self, Tools};
use crate::harness::process::{command, outcome};

/// What it is: `{python}` and `{place}` are filled in.
const SCRIPT: &str = r#"#!{python} -I
import json, os, stat, sys
place = "{place}"
argv = sys.argv[1:]
files = {}
for word in argv:
    if word.startswith("file://"):
        path = word[len("file://"):]
        with open(path) as file:
            files[path] = {"mode": stat.S_IMODE(os.stat(path).st_mode), "text": file.read(),
                           "directory": stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode)}
number = len(os.listdir(place + "/calls"))
record = {"argv": argv, "stdin": sys.stdin.read(), "files": files, "environment": dict(os.environ)}
with open("%s/calls/%04d" % (place, number), "w") as file:
    json.dump(record, file)
answers = place + "/answers/" + "-".join(argv[:2])
names = sorted(os.listdir(answers)) if os.path.isdir(answers) else []
if not names:
    sys.stderr.write("the test has no answer for this\n")
    sys.exit(99)
with open(answers + "/" + names[0]) as file:
    answer = json.load(file)
# The last one is given for ever.
if len(names) > 1:
    os.remove(answers + "/" + names[0])
sys.stdout.write(answer["out"])
sys.stderr.write(answer["error"])
sys.exit(answer["code"])
"#;

pub struct FakeAws {
    place: TempDir,
    pub tools: Tools,
}

/// A call that was made.
#[derive(Debug, Clone)]
pub struct Call {
    pub argv: Vec<String>,
    pub record: Value,
}

impl Call {
    /// The service and the operation.
    pub fn name(&self) -> String {
        self.argv.iter().take(2).cloned().collect::<Vec<_>>().join(" ")
    }

    /// What follows an option.
    pub fn option(&self, name: &str) -> Option<&str> {
        let at = self.argv.iter().position(|word| word == name)?;
        self.argv.get(at + 1).map(String::as_str)
    }

    /// The file that an option names, as it was then.
    pub fn file(&self, option: &str) -> &Value {
        let path = self.option(option).unwrap().strip_prefix("file://").unwrap();
        &self.record["files"][path]
    }

    /// The parameters of a stack that it gives.
    pub fn parameters(&self) -> BTreeMap<String, Value> {
        let text = self.file("--parameters")["text"].as_str().unwrap();
        let list: Vec<Value> = serde_json::from_str(text).unwrap();
        let value = |one: &Value| match one.get("ParameterValue") {
            Some(value) => value.clone(),
            None => json!({ "kept": one["UsePreviousValue"] }),
        };
        list.iter().map(|one| (one["ParameterKey"].as_str().unwrap().to_owned(), value(one))).collect()
    }
}

impl FakeAws {
    /// `None` where nothing runs it.
    pub fn new() -> Option<Self> {
        Some(Self::with(clients::needs(&["python3"])?))
    }

    pub fn with(tools: Tools) -> Self {
        let place = tempfile::tempdir().unwrap();
        for directory in ["bin", "calls", "answers"] {
            fs::create_dir(place.path().join(directory)).unwrap();
        }
        let fake = Self { place, tools };
        let script = SCRIPT.replace("{python}", fake.tools.path("python3").to_str().unwrap());
        let script = script.replace("{place}", fake.place.path().to_str().unwrap());
        let program = fake.directory().join("aws");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fake
    }

    /// Where the program is.
    pub fn directory(&self) -> PathBuf {
        self.place.path().join("bin")
    }

    /// The next answers to an operation such as `cloudformation-describe-stacks`; the last is given for ever.
    pub fn answers(&self, operation: &str, answers: &[Answer]) -> &Self {
        let directory = self.place.path().join("answers").join(operation);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        for (number, Answer(code, text)) in answers.iter().enumerate() {
            let (out, error) = if *code == 0 { (text.as_str(), "") } else { ("", text.as_str()) };
            let answer = json!({ "code": code, "out": out, "error": error });
            fs::write(directory.join(format!("{number:04}")), answer.to_string()).unwrap();
        }
        self
    }

    pub fn calls(&self) -> Vec<Call> {
        let entries = fs::read_dir(self.place.path().join("calls")).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let read =
            |path: &PathBuf| -> Value { serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap() };
        let argv = |record: &Value| serde_json::from_value(record["argv"].clone()).unwrap();
        paths.iter().map(read).map(|record| Call { argv: argv(&record), record }).collect()
    }

    /// The names of the calls.
    pub fn names(&self) -> Vec<String> {
        self.calls().iter().map(Call::name).collect()
    }

    /// The only call of that name.
    pub fn call(&self, name: &str) -> Call {
        let calls: Vec<Call> = self.calls().into_iter().filter(|call| call.name() == name).collect();
        assert_eq!(calls.len(), 1, "{name}: {:?}", self.names());
        calls[0].clone()
    }

    /// Forgets the calls.
    pub fn forget(&self) {
        for entry in fs::read_dir(self.place.path().join("calls")).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    /// A command line with this `aws` first in its path, that waits for nothing long.
    pub fn command(&self, line: &str) -> Command {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = command(&words);
        if line.starts_with("stack ") && !line.starts_with("stack template") {
            command.args(["--poll-interval", "1ms", "--drain-wait", "1ms"]);
        }
        command.env("PATH", format!("{}:/usr/bin:/bin", self.directory().display()));
        command
    }

    /// What a command says: exit code, standard output, standard error.
    pub async fn outcome(&self, line: &str) -> (i32, String, String) {
        outcome(self.command(line)).await
    }

    /// Whether nothing has been made, changed or removed.
    pub fn was_only_asked(&self) -> bool {
        let reads = ["describe-", "get-", "batch-get-", "get"];
        self.calls().iter().all(|call| reads.iter().any(|start| call.argv[1].starts_with(start)))
    }
}

/// Exit code and words.
#[derive(Debug, Clone)]
pub struct Answer(pub i32, pub String);

pub fn says(answer: &Value) -> Answer {
    Answer(0, answer.to_string())
}

pub fn fails(words: &str) -> Answer {
    Answer(254, format!("\n{words}\n"))
}

pub fn nothing() -> Answer {
    Answer(0, String::new())
}

pub const NO_STACK: &str = "An error occurred (ValidationError) when calling the DescribeStacks operation: Stack with id \
                            files does not exist";
pub const STACK_ID: &str = "arn:aws:cloudformation:us-east-1:123456789012:stack/files/1";
pub const IMAGE: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com/s3dav@sha256:\
                         0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A stack in a state, with outputs and parameters as the template has them, and these in their place.
pub fn stack(status: &str, more: &[(&str, &str)]) -> Value {
    let mut outputs = BTreeMap::from([
        ("S3davVersion", "1"),
        ("Region", "us-east-1"),
        ("BucketName", "bucket"),
        ("ReadOnly", "false"),
        ("FileSystemId", "fs-0123456789abcdef0"),
        ("AccessPointId", "fsap-0123456789abcdef0"),
        ("AvailabilityZoneId", "use1-az1"),
        ("ClientPolicyArn", "arn:aws:iam::123456789012:policy/files-ClientPolicy"),
        ("ClusterName", "files-Cluster"),
        ("ServiceName", "files-Service"),
        ("Running", "1"),
        ("GatewayPort", "8330"),
        ("PasswordParameter", "/s3dav/files/password"),
    ]);
    outputs.extend(more.iter().copied());
    let mut parameters = BTreeMap::from([
        ("ExistingBucket", ""),
        ("Prefix", ""),
        ("ReadOnly", outputs["ReadOnly"]),
        ("Image", IMAGE),
        ("Architecture", "ARM64"),
        ("Running", outputs["Running"]),
        ("PasswordParameter", "/s3dav/files/password"),
        ("SourceCidr", ""),
        ("ExistingVpc", ""),
        ("ExistingSubnet", ""),
        ("MountTargetAddress", "10.77.0.10"),
    ]);
    for (key, value) in more {
        if let Some(known) = parameters.get_mut(key) {
            *known = value;
        }
    }
    let list = |pairs: &BTreeMap<&str, &str>, key: &str, value: &str| -> Vec<Value> {
        pairs.iter().map(|(name, text)| json!({ key: name, value: text })).collect()
    };
    let one = json!({
        "StackId": STACK_ID, "StackName": "files", "StackStatus": status,
        "Parameters": list(&parameters, "ParameterKey", "ParameterValue"),
        "Outputs": list(&outputs, "OutputKey", "OutputValue"),
        "Tags": [{ "Key": "s3dav", "Value": "stack" }],
    });
    json!({ "Stacks": [one] })
}

/// The same before, or without, its outputs.
pub fn bare(status: &str) -> Value {
    let mut answer = stack(status, &[]);
    answer["Stacks"][0].as_object_mut().unwrap().remove("Outputs");
    answer
}

/// Answers to all that `up` asks, of a stack that there is not, and that comes to be.
pub fn will_be_created(aws: &FakeAws) {
    aws.answers(
        "cloudformation-describe-stacks",
        &[fails(NO_STACK), says(&bare("CREATE_IN_PROGRESS")), says(&stack("CREATE_COMPLETE", &[]))],
    );
    aws.answers("cloudformation-create-stack", &[says(&json!({ "StackId": STACK_ID }))]);
    aws.answers("ssm-put-parameter", &[says(&json!({ "Version": 1 }))]);
    aws.answers("ecr-batch-get-image", &[says(&image_for(&["arm64", "amd64"]))]);
    aws.answers("ecs-describe-services", &[says(&json!({ "services": [{ "runningCount": 1 }] }))]);
}

/// What ECR says of an image for several processors.
pub fn image_for(architectures: &[&str]) -> Value {
    let entries: Vec<Value> = architectures
        .iter()
        .map(|name| json!({ "platform": { "architecture": name, "os": "linux" } }))
        .collect();
    json!({ "images": [{ "imageManifest": json!({ "manifests": entries }).to_string() }], "failures": [] })
}
