//! The far gateways that there are: one in a container of this machine's engine, and one at the end of a session of
//! AWS Systems Manager. Each is started, led to and ended by the client of its system, which is told no secret on its
//! command line or in its environment.

mod credentials;
mod docker;
mod noted;
mod running;
mod session;

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::relay::{Far, FarError};

pub use docker::{DockerOptions, Mounter, S3FILES_IMAGE};
pub use noted::{left_behind, remove_left_behind};
pub use session::SessionOptions;

/// Which far gateway, and how it is reached.
#[derive(Debug, Clone)]
pub enum FarOptions {
    /// S3 Files in a container.
    Docker(Box<DockerOptions>),
    /// A gateway that runs anywhere.
    Session(SessionOptions),
    /// One that is there already.
    Given(Arc<dyn Far>),
}

impl FarOptions {
    /// Makes sure that it can be started. An image may be fetched for that, which takes longer than a start may: people
    /// are told.
    pub async fn ready(
        self,
        name: &str,
        state_dir: &Path,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<(), FarError> {
        match self {
            Self::Docker(options) => docker::Docker::new(*options, name, state_dir).ready(tell).await,
            other => other.far(name, state_dir).check().await,
        }
    }

    /// Nothing is started before it is opened. `name`: by which it is told from others; `state_dir`: of the gateway that
    /// leads to it.
    pub fn far(self, name: &str, state_dir: &Path) -> Arc<dyn Far> {
        match self {
            Self::Docker(options) => Arc::new(docker::Docker::new(*options, name, state_dir)),
            Self::Session(options) => Arc::new(session::Session::new(options)),
            Self::Given(far) => far,
        }
    }
}

/// The name that far gateways ask for: containers are told it, and the template of the stack has it.
pub const USER: &str = "s3dav";

/// For HTTP Basic.
fn authorization(password: &str) -> Result<HeaderValue, FarError> {
    let encoded = STANDARD.encode(format!("{USER}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).map_err(|_| {
        FarError::new("the remote gateway's password cannot be sent", "it must be a line of plain text")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Where it was begun once, it is begun again and again.
fn again(hint: &str) -> String {
    format!("{hint}; s3dav keeps trying")
}

/// What a program said last.
fn last_line(text: &str) -> String {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("it said nothing").to_owned()
}
