//! Errors of paths: whether the operator has to choose another, or a retry may succeed.

use std::io;

use nix::errno::Errno;

/// Returns true if the path itself is wrong: it does not exist, is of another kind, or this user may not use it. All
/// other errors may pass, such as that of a full disk.
#[must_use]
pub fn is_of_place(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::ReadOnlyFilesystem
    ) || error.raw_os_error().is_some_and(|number| Errno::from_raw(number) == Errno::ELOOP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_lateness_may_pass_and_a_wrong_path_does_not() {
        for errno in [Errno::ENOENT, Errno::EACCES, Errno::ENOTDIR, Errno::EROFS, Errno::ELOOP, Errno::EEXIST]
        {
            assert!(is_of_place(&errno.into()), "{errno}");
        }
        for errno in [Errno::ENOSPC, Errno::EDQUOT, Errno::EIO, Errno::EMFILE, Errno::ENOMEM] {
            assert!(!is_of_place(&errno.into()), "{errno}");
        }
        assert!(!is_of_place(&io::ErrorKind::TimedOut.into()));
    }
}
