//! A name and a password of the gateway's own making, for programs that must be asked for them.

use std::io;
use std::path::Path;

use uuid::Uuid;

use super::{read_private, write_private};

/// What lets a program in. Never logged: it has no `Debug` that shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub user: String,
    /// 32 hex digits of a random UUID, so 122 random bits.
    pub password: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credential({})", self.user)
    }
}

impl Credential {
    /// The one of the gateway whose state is in `directory`, if it ever ran. Blocks.
    pub fn read(directory: &Path) -> io::Result<Option<Self>> {
        let text = match read_private(&directory.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let mut lines = text.lines();
        Ok(match (lines.next(), lines.next()) {
            (Some(user), Some(password)) if !user.is_empty() && !password.is_empty() => {
                Some(Self { user: user.to_owned(), password: password.to_owned() })
            }
            _ => None,
        })
    }

    /// The same, or a new one. The caller holds the directory.
    pub(super) fn read_or_make(directory: &Path) -> io::Result<Self> {
        if let Some(known) = Self::read(directory)? {
            return Ok(known);
        }
        let new = Self { user: USER.to_owned(), password: Uuid::new_v4().simple().to_string() };
        write_private(&directory.join(FILE), &format!("{}\n{}\n", new.user, new.password))?;
        Ok(new)
    }
}

const FILE: &str = "credential";
const USER: &str = "s3dav";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_for_this_user_alone() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Credential::read(directory.path()).unwrap(), None);
        let made = Credential::read_or_make(directory.path()).unwrap();
        assert_eq!(Credential::read_or_make(directory.path()).unwrap(), made);
        assert_eq!(Credential::read(directory.path()).unwrap().as_ref(), Some(&made));
        assert!(!format!("{made:?}").contains(&made.password));
        let mode = fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(directory.path().join(FILE), "").unwrap();
        assert_ne!(Credential::read_or_make(directory.path()).unwrap().password, made.password);
    }
}
