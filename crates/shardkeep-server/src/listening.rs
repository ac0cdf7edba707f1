//! Where a server listens: binding its addresses.

use std::io;

use mio::net::{TcpListener, UnixListener};

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

/// Removes the socket of a server that is gone; one that somebody still listens on stays.
fn remove_stale(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() =>
        {
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B49: a socket of this machine"
            )]
            match std::os::unix::net::UnixStream::connect(path) {
                Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path)
                }
                Err(error) => Err(error),
            }
        }
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of that name",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
