//! Where a server listens: binding its addresses.

use std::io;

use mio::net::{TcpListener, UnixListener, UnixStream};

use crate::config::Settings;
use crate::reactor::Listener;
use crate::server::StartError;

/// The listeners, their addresses in words, and the port of the first TCP one.
pub(crate) type Listening = (Vec<Listener>, Vec<String>, u16);

/// Binds every address of the settings.
///
/// # Errors
/// The first that cannot be had, by name.
pub(crate) fn listen(settings: &Settings) -> Result<Listening, StartError> {
    let mut listeners = Vec::new();
    let mut addresses = Vec::new();
    let mut port = 0;
    for &address in &settings.bind {
        let failed = |source| StartError::Listen {
            address: address.to_string(),
            source,
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        if port == 0 {
            port = local.port();
        }
        addresses.push(local.to_string());
        listeners.push(Listener::Tcp(listener));
    }
    if let Some(path) = &settings.unix_socket {
        let address = path.display().to_string();
        let failed = |source| StartError::Listen {
            address: address.clone(),
            source,
        };
        remove_stale(path).map_err(failed)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        addresses.push(address.clone());
        listeners.push(Listener::Unix(listener, address));
    }
    Ok((listeners, addresses, port))
}

/// Removes the socket of a server that is gone; one that somebody still listens on stays. Waits for
/// nobody: the connection is a non-blocking one.
fn remove_stale(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => match UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            // Somebody has it who does not come to accept.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::AddrInUse.into())
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)
            }
            Err(error) => Err(error),
        },
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of that name",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, SockAddr, Socket, Type};

    #[test]
    fn a_socket_that_somebody_has_stays_even_if_he_accepts_nobody() {
        let name = format!("shardkeep-listening-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = UnixStream::connect(&path) {
            waiting.push(stream);
        }
        let stuck = remove_stale(&path).map_err(|error| error.kind());
        assert_eq!(stuck, Err(io::ErrorKind::AddrInUse));
        waiting.clear();
        drop(listener);
        remove_stale(&path).unwrap();
        assert!(!path.exists());
    }
}
