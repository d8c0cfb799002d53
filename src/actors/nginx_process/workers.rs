//! The user of nginx's workers, and the directories that this user must be able to enter.

use std::{
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::unistd::{Gid, Uid, User};

use crate::process::bound_to_this_thread;

/// Directories that nginx makes in its prefix, by `nginx.conf`, and gives to the user of its workers.
const GIVEN: [&str; 2] = ["cache", "body_temp"];

/// Returns the user of nginx's workers, or none if they run as this process does. Call it after nginx has tested its
/// configuration: only nginx knows its default user, and the test already gives the directories to the workers.
pub(super) fn other_user(prefix: &Path) -> Option<User> {
    if !Uid::effective().is_root() {
        return None;
    }
    let given = GIVEN.iter().find_map(|name| fs::metadata(prefix.join(name)).ok())?;
    let owner = Uid::from_raw(given.uid());
    if owner.is_root() { None } else { User::from_uid(owner).ok().flatten() }
}

/// Returns the highest directory on the way to `dir` that the user may not enter. Directories that do not exist yet do
/// not count.
pub(super) fn closed_to(user: &User, dir: &Path) -> Option<PathBuf> {
    let existing = dir.ancestors().find(|dir| dir.is_dir())?;
    if may_enter(user, existing) {
        return None;
    }
    let way: Vec<&Path> = existing.ancestors().collect();
    way.into_iter().rev().find(|dir| !may_enter(user, dir)).map(Path::to_owned)
}

/// Tries it in a child process, because the mode alone does not show access lists and mount options. Tries it with each
/// group of the user in turn, since a child process cannot get several.
fn may_enter(user: &User, dir: &Path) -> bool {
    groups_of(user).into_iter().any(|group| {
        let mut ask = bound_to_this_thread(Path::new("sh"), "KILL");
        ask.args(["-c", "cd -- \"$1\"", "sh"]).arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
        // Its environment can be read by others of this user, and ours holds secrets.
        ask.env_clear().uid(user.uid.as_raw()).gid(group.as_raw());
        if let Some(path) = std::env::var_os("PATH") {
            ask.env("PATH", path);
        }
        // A shell that could not start says nothing about the directory.
        ask.status().map_or(true, |status| status.success())
    })
}

#[cfg(target_os = "linux")]
fn groups_of(user: &User) -> Vec<Gid> {
    let name = std::ffi::CString::new(user.name.as_str()).ok();
    let groups = name.and_then(|name| nix::unistd::getgrouplist(&name, user.gid).ok());
    groups.unwrap_or_else(|| vec![user.gid])
}

#[cfg(not(target_os = "linux"))]
fn groups_of(user: &User) -> Vec<Gid> {
    vec![user.gid]
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn names_the_highest_closed_directory_on_the_way() {
        let (true, Ok(Some(nobody))) = (Uid::effective().is_root(), User::from_name("nobody")) else {
            return;
        };
        let root = tempfile::tempdir().unwrap();
        let closed = root.path().join("closed");
        let below = closed.join("below");
        fs::create_dir_all(&below).unwrap();
        let set = |dir: &Path, mode: u32| fs::set_permissions(dir, Permissions::from_mode(mode)).unwrap();
        set(root.path(), 0o755);
        set(&closed, 0o755);
        assert_eq!(closed_to(&nobody, &below.join("missing")), None);
        set(&closed, 0o700);
        set(&below, 0o700);
        assert_eq!(closed_to(&nobody, &below.join("missing")), Some(closed.clone()));
        assert_eq!(closed_to(&nobody, root.path()), None);
        // A group of the user is enough.
        std::os::unix::fs::chown(&closed, None, Some(nobody.gid.as_raw())).unwrap();
        set(&closed, 0o710);
        assert_eq!(closed_to(&nobody, &below), Some(below.clone()));
    }

    #[test]
    fn the_workers_are_those_to_whom_nginx_gave_its_directories() {
        let (true, Ok(Some(nobody))) = (Uid::effective().is_root(), User::from_name("nobody")) else {
            return;
        };
        let prefix = tempfile::tempdir().unwrap();
        assert!(other_user(prefix.path()).is_none(), "nginx has made nothing there");
        let given = prefix.path().join("body_temp");
        fs::create_dir(&given).unwrap();
        assert!(other_user(prefix.path()).is_none(), "the workers are root");
        std::os::unix::fs::chown(&given, Some(nobody.uid.as_raw()), None).unwrap();
        assert_eq!(other_user(prefix.path()).unwrap().name, "nobody");
    }
}
