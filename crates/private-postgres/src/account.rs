//! The user that runs the server. PostgreSQL refuses to run as root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Uid, User};

use super::error::PrivatePostgresError;

/// Users that run the server if the program runs as root, in order of preference.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The user that runs the server and owns the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// True if the program runs as root, so that the server must run as this user.
    pub(super) is_other_user: bool,
}

impl Account {
    /// Returns the user that runs the server. If the program runs as root, it is the owner of the existing cluster,
    /// else `postgres`, else `nobody`. Otherwise it is the current user, who must own an existing cluster.
    pub(super) fn for_server(data_dir: &Path) -> Result<Self, PrivatePostgresError> {
        let cluster = data_dir.join("pg");
        let owner = fs::metadata(&cluster).ok().map(|found| (found.uid(), found.gid()));
        let effective = Uid::effective();
        match owner {
            Some((uid, gid)) if effective.is_root() && uid != 0 => {
                Ok(Self { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), is_other_user: true })
            }
            _ if effective.is_root() => Self::unprivileged(),
            Some((uid, _)) if uid != effective.as_raw() => Err(PrivatePostgresError::WrongOwner {
                path: cluster,
                owner: user_name(Uid::from_raw(uid)),
                user: user_name(effective),
            }),
            _ => Ok(Self { uid: effective, gid: Gid::effective(), is_other_user: false }),
        }
    }

    fn unprivileged() -> Result<Self, PrivatePostgresError> {
        UNPRIVILEGED
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Self { uid: user.uid, gid: user.gid, is_other_user: true })
            .ok_or(PrivatePostgresError::NoAccount)
    }

    /// Fails if the user has no name. `initdb` needs one, and its own error does not say what to do. The server needs
    /// none.
    pub(super) fn must_have_a_name(&self) -> Result<(), PrivatePostgresError> {
        match User::from_uid(self.uid) {
            Ok(None) => Err(PrivatePostgresError::NoName { uid: self.uid.as_raw(), gid: self.gid.as_raw() }),
            _ => Ok(()),
        }
    }

    /// Returns the user's name for messages.
    pub(super) fn name(&self) -> String {
        user_name(self.uid)
    }
}

/// Returns the name of a user, or its number if it has none.
pub(super) fn user_name(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => format!("the user {}", user.name),
        _ => format!("the user with the number {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_a_user_without_a_name_says_what_to_do() {
        let account = |uid| Account { uid: Uid::from_raw(uid), gid: Gid::from_raw(7), is_other_user: false };
        let text = account(3_999_999_999).must_have_a_name().unwrap_err().to_string();
        for part in ["uid 3999999999", "ticker:x:3999999999:7:", "--database-url"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(account(0).must_have_a_name().is_ok());
    }
}
