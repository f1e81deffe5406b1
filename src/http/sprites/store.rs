//! Files below a mirror's folder.
//!
//! The folder is the operator's and may be a link; below it no link is followed and nothing but a
//! plain file is opened, whoever else may write there. All of it blocks.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use nix::fcntl::{self, OFlag};
use nix::sys::stat::Mode;

/// Opens the plain file at `path`, which is relative and has names alone in it.
pub(super) fn open_below(root: &Path, path: &str) -> io::Result<File> {
    let mut names: Vec<&str> = path.split('/').collect();
    if !names.iter().all(|name| is_name(name)) {
        return Err(ErrorKind::InvalidInput.into());
    }
    let Some(file) = names.pop() else { return Err(ErrorKind::InvalidInput.into()) };
    let is_folder = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut folder = fcntl::open(root, is_folder, Mode::empty())?;
    for name in names {
        folder = fcntl::openat(&folder, name, is_folder | OFlag::O_NOFOLLOW, Mode::empty())?;
    }
    // A pipe would be waited for.
    let is_file = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::from(fcntl::openat(&folder, file, is_file, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(ErrorKind::NotFound.into()) }
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains('\0')
}

/// Reads a file of at most `most` bytes; a longer one is an error.
pub(super) fn read_whole(file: File, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_plain_files_are_opened_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("root/a/b")).unwrap();
        std::fs::create_dir(at("outside")).unwrap();
        std::fs::write(at("outside/secret"), "secret").unwrap();
        std::fs::write(at("root/a/b/file"), "content").unwrap();
        symlink(at("outside/secret"), at("root/a/b/link")).unwrap();
        symlink("file", at("root/a/b/near")).unwrap();
        symlink(at("outside"), at("root/a/away")).unwrap();
        symlink("b", at("root/a/beside")).unwrap();
        symlink(at("root"), at("linked")).unwrap();
        nix::unistd::mkfifo(&at("root/a/pipe"), Mode::from_bits_truncate(0o600)).unwrap();
        let open = |root: &str, path: &str| open_below(&at(root), path);

        let file = open("root", "a/b/file").unwrap();
        assert_eq!(read_whole(file, 7).unwrap(), b"content");
        let kind = read_whole(open("root", "a/b/file").unwrap(), 6).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::FileTooLarge);
        // The operator's own folder may be one.
        open("linked", "a/b/file").unwrap();
        for path in [
            "a/b/link",
            "a/b/near",
            "a/away/secret",
            "a/beside/file",
            "a/b",
            "a/pipe",
            "a/b/none",
            "../outside/secret",
            "a/../a/b/file",
            "a/./b/file",
            "a//b/file",
            "/etc/passwd",
            "a/b/file/",
            "a/b/file\0",
            "",
            "..",
        ] {
            assert!(open("root", path).is_err(), "{path:?}");
        }
    }
}
