//! What lets a client in.

use uuid::Uuid;

/// An access key and its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub access_key: String,
    pub secret: String,
}

impl Keys {
    /// Known to nobody yet: any user, and any web page, can reach a port of this machine.
    pub fn random() -> Self {
        let text = || Uuid::new_v4().simple().to_string();
        Self { access_key: format!("s3dav{}", &text()[..ID_DIGITS]).to_uppercase(), secret: text() }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.access_key)
    }
}

/// With the name as long as those of AWS.
const ID_DIGITS: usize = 15;
