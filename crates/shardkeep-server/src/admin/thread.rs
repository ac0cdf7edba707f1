//! The thread of the admin endpoint: a child of the tree that watches the tree.
//!
//! 1. It is started again for as long as the server lives: whoever cannot look at a server that serves
//!    must not end it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpListener;
use shardkeep::engine::supervisor::Supervisor;

use super::Admin;
use crate::config::AdminAt;
use crate::context::Context;
use crate::say::say;
use crate::tree;

/// A socket that listens, and where.
pub(crate) struct AdminListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl AdminListener {
    /// Listens as the settings say. A default that is taken is said, and no failure: the second server on
    /// a machine should start.
    ///
    /// # Errors
    /// The address that was asked for cannot be had.
    pub(crate) fn bind(at: AdminAt) -> Result<Option<Self>, (SocketAddr, io::Error)> {
        let (wanted, is_asked_for) = match at {
            AdminAt::Off => return Ok(None),
            AdminAt::IfFree(address) => (address, false),
            AdminAt::At(address) => (address, true),
        };
        let bound = TcpListener::bind(wanted).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        });
        match bound {
            Ok(bound) => Ok(Some(bound)),
            Err(error) if is_asked_for => Err((wanted, error)),
            Err(error) => {
                say(&format!(
                    "warning: no admin endpoint: cannot listen on {wanted}: {error}; --admin names \
                     another address, or off"
                ));
                Ok(None)
            }
        }
    }

    /// Starts the endpoint as a child of `supervisor`; gives where it is.
    ///
    /// # Errors
    /// The system gives no poll or thread.
    pub(crate) fn start(
        self,
        context: &Arc<Context>,
        supervisor: &Supervisor,
    ) -> io::Result<SocketAddr> {
        let Self { listener, address } = self;
        let mut admin = Admin::new(Arc::clone(context), listener)?;
        let stop = admin.stopper();
        let spec = tree::admin().on_stop(move || stop.stop());
        supervisor.start(spec, move |_| {
            admin.run().map_err(|error| error.to_string())
        })?;
        Ok(address)
    }
}
