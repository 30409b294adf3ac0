//! A name and a password of the gateway's own making, for programs that must be asked for them.
//!
//! They are valid for as long as the socket that the gateway listens at is open. When it was closed, any program
//! may have had its port, and a client may have shown them to that one.

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
        Ok(Self::read_with_socket(directory)?.map(|(known, _)| known))
    }

    /// The same, and the socket that it was made for.
    fn read_with_socket(directory: &Path) -> io::Result<Option<(Self, String)>> {
        let text = match read_private(&directory.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let mut lines = text.lines().map(str::to_owned);
        Ok(match (lines.next(), lines.next()) {
            (Some(user), Some(password)) if !user.is_empty() && !password.is_empty() => {
                Some((Self { user, password }, lines.next().unwrap_or_default()))
            }
            _ => None,
        })
    }

    /// The same if it was made for this socket, or a new one; and whether it is new. The caller holds the
    /// directory. `socket`: see [`crate::sockets::identity`]; empty where it has none.
    pub(super) fn keep_or_make(directory: &Path, socket: &str) -> io::Result<(Self, bool)> {
        if let Some((known, of)) = Self::read_with_socket(directory)?
            && !socket.is_empty()
            && of == socket
        {
            return Ok((known, false));
        }
        Self::make(directory, socket)
    }

    /// The same for a command, which has no socket: it leaves the one that is there.
    pub(super) fn find_or_make(directory: &Path) -> io::Result<(Self, bool)> {
        match Self::read(directory)? {
            Some(known) => Ok((known, false)),
            None => Self::make(directory, ""),
        }
    }

    fn make(directory: &Path, socket: &str) -> io::Result<(Self, bool)> {
        let new = Self { user: USER.to_owned(), password: Uuid::new_v4().simple().to_string() };
        write_private(&directory.join(FILE), &format!("{}\n{}\n{socket}\n", new.user, new.password))?;
        Ok((new, true))
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
    fn it_lives_as_long_as_the_socket_and_is_this_users_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let kept = |socket: &str| Credential::keep_or_make(path, socket).unwrap();
        assert_eq!(Credential::read(path).unwrap(), None);
        let (made, is_new) = kept("socket 1");
        assert!(is_new);
        assert_eq!(kept("socket 1"), (made.clone(), false));
        assert_eq!(Credential::find_or_make(path).unwrap(), (made.clone(), false), "a command leaves it");
        assert_eq!(Credential::read(path).unwrap().as_ref(), Some(&made));
        assert!(!format!("{made:?}").contains(&made.password));
        let mode = fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(path.join(FILE), format!("{}\n{}\n", made.user, made.password)).unwrap();
        assert_ne!(kept("").0.password, made.password, "of an older gateway");
        assert!(kept("").1 && kept("socket 2").1 && kept("socket 1").1, "the port was closed meanwhile");
    }
}
