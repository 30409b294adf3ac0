//! Changes of a stack: what is handed to CloudFormation and SSM. Templates, parameters and the password go by files of a
//! private directory, since arguments are everybody's to read.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use super::super::CommandError;
use super::handle::Handle;
use crate::stack::{Found, Parameter, TAG, TEMPLATE, password_parameter};

/// Creates the stack; gives its ARN. Nothing of it is there yet. The password that was made for it is forgotten where
/// AWS has refused: where its answer is lost the stack may be on its way, with that password.
pub(super) async fn create(
    handle: &Handle,
    parameters: &[Parameter],
    has_new_password: bool,
) -> Result<String, CommandError> {
    let files = Files::new(&parameters.iter().map(Parameter::to_json).collect::<Vec<_>>().into())?;
    let call = ["cloudformation", "create-stack", "--stack-name", handle.name.as_str()];
    let tag = format!("Key={TAG},Value={VALUE_OF_TAG}");
    let rest = ["--parameters", &files.parameters, "--capabilities", CAPABILITY, "--tags", &tag];
    let arguments = [&call[..], &["--template-body", &files.template], &rest].concat();
    let error = match handle.aws.ask(&arguments).await {
        Ok(answer) => {
            let id = answer.get("StackId").and_then(Value::as_str).map(str::to_owned);
            return Ok(id.unwrap_or_else(|| handle.name.as_str().to_owned()));
        }
        Err(error) => error,
    };
    let exists = error.says("alreadyexists");
    let found = if exists || !error.is_refusal() { handle.find().await? } else { None };
    match found {
        Some(found) if !exists => {
            tell!("AWS's answer was lost: {}", crate::logging::with_causes(&error));
            return handle.own(found).map(|found| found.id);
        }
        // Whoever was faster may have found this password.
        Some(_) => {}
        None if has_new_password => forget_password(handle).await?,
        None => {}
    }
    if exists {
        let hint = format!("`s3dav stack status {}` shows it", handle.name);
        return Err(CommandError::hinted(
            anyhow!("another command has created a stack {} in the meantime", handle.name),
            hint,
        ));
    }
    Err(error.into())
}

/// Changes it; whether there was anything to change. `renews`: to this program's template.
pub(super) async fn update(
    handle: &Handle,
    found: &Found,
    changed: &[Parameter],
    renews: bool,
) -> Result<bool, CommandError> {
    let mut current = found.parameters.clone();
    if renews {
        // What an older template had and this one has not cannot be kept.
        current.retain(|key, _| TEMPLATE.contains(&format!("\n  {key}:\n")));
    }
    let files = Files::new(&Value::from(Parameter::of_update(changed, &current)))?;
    let template =
        if renews { vec!["--template-body", &files.template] } else { vec!["--use-previous-template"] };
    let call = ["cloudformation", "update-stack", "--stack-name", handle.name.as_str()];
    let rest = ["--parameters", &files.parameters, "--capabilities", CAPABILITY];
    match handle.aws.run(&[&call[..], &template, &rest].concat()).await {
        Err(error) if error.says("no updates are to be performed") => Ok(false),
        done => Ok(done.map(|_| true)?),
    }
}

pub(super) async fn delete(handle: &Handle, id: &str) -> Result<(), CommandError> {
    Ok(handle.aws.run(&["cloudformation", "delete-stack", "--stack-name", id]).await.map(drop)?)
}

/// Makes a password for the gateway, unless there is one; whether it is new. Nobody is shown it.
pub(super) async fn keep_or_make_password(handle: &Handle) -> Result<bool, CommandError> {
    let place = private_place()?;
    // 122 random bits, as everywhere.
    let password = Uuid::new_v4().simple().to_string();
    let file = write(place.path(), "password", &password)?;
    let name = password_parameter(&handle.name);
    let call = ["ssm", "put-parameter", "--name", &name, "--type", "SecureString", "--value", &file];
    match handle.aws.run(&call).await {
        Ok(_) => Ok(true),
        Err(error) if error.says("parameteralreadyexists") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Forgets the password; that there is none is well.
pub(super) async fn forget_password(handle: &Handle) -> Result<(), CommandError> {
    let name = password_parameter(&handle.name);
    match handle.aws.run(&["ssm", "delete-parameter", "--name", &name]).await {
        Err(error) if !error.says("parameternotfound") => Err(error.into()),
        _ => Ok(()),
    }
}

/// What `aws` reads, as `file://` names it; removed when this ends.
struct Files {
    template: String,
    parameters: String,
    _place: TempDir,
}

impl Files {
    fn new(parameters: &Value) -> Result<Self, CommandError> {
        let place = private_place()?;
        Ok(Self {
            template: write(place.path(), "template.yaml", TEMPLATE)?,
            parameters: write(place.path(), "parameters.json", &parameters.to_string())?,
            _place: place,
        })
    }
}

/// A directory of mode 0700.
fn private_place() -> Result<TempDir, CommandError> {
    let mode = std::fs::Permissions::from_mode(0o700);
    let made = tempfile::Builder::new().permissions(mode).tempdir();
    Ok(made.context("the request to AWS cannot be written")?)
}

fn write(place: &Path, name: &str, text: &str) -> Result<String, CommandError> {
    let path = place.join(name);
    crate::state::write_private(&path, text)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(format!("file://{}", path.display()))
}

/// The template makes roles.
const CAPABILITY: &str = "CAPABILITY_IAM";
/// A tag must have one; the name alone counts.
const VALUE_OF_TAG: &str = "stack";
