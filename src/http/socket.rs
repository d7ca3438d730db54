//! The admin socket: a Unix socket that only its owner may use.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Only the owner may connect: the file mode is what guards the API (A1).
const SOCKET_MODE: u32 = 0o600;

/// Longest path of a Unix socket, in octets (unix(7): 108 with the final zero).
pub const PATH_LIMIT: usize = 107;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 128;

/// Binds the admin socket; its directory is made where it is missing.
///
/// A socket file that nobody answers on is what a crash left behind, and is replaced.
///
/// # Errors
/// When the path is too long, is no socket or is answered by another gateway, and when the system
/// refuses.
pub async fn bind(path: &Path) -> io::Result<UnixListener> {
    check_length(path)?;
    if let Some(directory) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::create_dir_all(directory)?;
    }
    remove_stale(path).await?;
    let socket = UnixSocket::new_stream()?;
    // Linux gives the file the mode of the descriptor, so that it is closed to others from the
    // first moment; elsewhere the mode is set as soon as there is a file.
    let mode = fs::Permissions::from_mode(SOCKET_MODE);
    let _ = File::from(socket.as_fd().try_clone_to_owned()?).set_permissions(mode.clone());
    socket.bind(path)?;
    fs::set_permissions(path, mode)?;
    socket.listen(BACKLOG)
}

/// Says clearly what the system would call an invalid argument.
///
/// # Errors
/// When the path is longer than [`PATH_LIMIT`].
pub fn check_length(path: &Path) -> io::Result<()> {
    let length = path.as_os_str().len();
    if length <= PATH_LIMIT {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "the path {} has {length} octets and a Unix socket takes {PATH_LIMIT}: \
             set http.socket to a shorter one, for example below /run",
            path.display()
        ),
    ))
}

async fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!(
                "{} is there and is no socket: set http.socket to another path",
                path.display()
            ),
        ));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!(
                "a gateway answers at {} already: stop it, or set http.socket to another path",
                path.display()
            ),
        )),
    }
}
