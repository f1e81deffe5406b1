//! The socket's file: made so that only its user and root can use it, whatever the umask, and
//! found by paths of any length.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, fchmod};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Connections that wait to be accepted at most.
const ACCEPT_QUEUE: u32 = 128;
/// Bytes of a path that an address of a socket holds.
const MAX_PATH: usize = 107;

/// A socket that is listened on.
#[derive(Debug)]
pub(super) struct ListeningSocket {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

/// The file of a socket.
#[derive(Clone, Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl ListeningSocket {
    /// Listens on a socket at `path`, and replaces one that nobody listens on any more: the caller
    /// has made sure of that. Blocks for some file operations.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match path.symlink_metadata() {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => return Err(io::Error::other("it exists and is no socket; move it away")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = UnixSocket::new_stream()?;
        // The file has this mode from its first moment on.
        fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let address = Address::of(path)?;
        socket.bind(address.path())?;
        let about = path.symlink_metadata()?;
        let listener = socket.listen(ACCEPT_QUEUE)?;
        let identity = (about.dev(), about.ino());
        Ok(Self { listener, file: SocketFile { path: path.to_owned(), identity } })
    }
}

impl SocketFile {
    /// Whether whoever looks for it by its path finds it. Blocks for a system call.
    pub(super) fn is_in_place(&self) -> bool {
        let about = self.path.symlink_metadata();
        about.is_ok_and(|about| (about.dev(), about.ino()) == self.identity)
    }

    /// Removes it; left behind, it is replaced by the next one. Blocks for some system calls.
    pub(super) fn remove(&self) {
        if self.is_in_place() {
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Connects to the socket at `path`.
pub(super) async fn connect(path: &Path) -> io::Result<UnixStream> {
    let address = Address::of(path)?;
    UnixStream::connect(address.path()).await
}

/// A path to a socket that is short enough for an address.
struct Address {
    path: PathBuf,
    /// The path leads through this descriptor.
    _folder: Option<File>,
}

impl Address {
    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= MAX_PATH {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let folder = File::open(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().unwrap_or(OsStr::new(""));
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn only_its_user_can_use_it_and_one_that_was_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long".repeat(40));
        fs::create_dir(&long).unwrap();
        for path in [folder.path().join("j.sock"), long.join("j.sock")] {
            let left = ListeningSocket::open(&path).unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            let new = ListeningSocket::open(&path).unwrap();
            assert!(new.file.is_in_place() && !left.file.is_in_place());
            left.file.remove();
            assert!(new.file.is_in_place(), "it is not its own");
            connect(&path).await.unwrap();
            new.listener.accept().await.unwrap();
            new.file.remove();
            drop(new);
            assert!(!path.exists());
            assert_eq!(connect(&path).await.unwrap_err().kind(), ErrorKind::NotFound);
        }
    }

    #[tokio::test]
    async fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.sock");
        fs::write(&path, "text").unwrap();
        let error = ListeningSocket::open(&path).unwrap_err();
        assert!(error.to_string().contains("is no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }
}
