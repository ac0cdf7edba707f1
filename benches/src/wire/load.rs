//! Filling a server: pipelined SETs on one blocking connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::tape;

/// SETs sent before their replies are read: few enough for every socket buffer.
const LOAD_PIPELINE: u64 = 512;
/// Longest silence of a server that is being loaded.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const OK: &[u8; 5] = b"+OK\r\n";

/// Sets keys `0..keys` to their values.
///
/// # Errors
/// The server cannot be reached, is silent, or answers anything but OK.
pub(crate) fn load(address: SocketAddr, keys: u64) -> Result<()> {
    let mut stream = TcpStream::connect(address).context("connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut requests = Vec::new();
    let mut replies = Vec::new();
    let mut next = 0;
    while next < keys {
        let end = keys.min(next + LOAD_PIPELINE);
        requests.clear();
        for key in next..end {
            tape::push_set(&mut requests, key);
        }
        stream.write_all(&requests).context("send SET")?;
        replies.resize((end - next) as usize * OK.len(), 0);
        stream
            .read_exact(&mut replies)
            .context("read the replies to SET")?;
        let refused = replies.chunks_exact(OK.len()).find(|reply| reply != OK);
        ensure!(
            refused.is_none(),
            "a SET was answered by {}",
            replies.escape_ascii()
        );
        next = end;
    }
    Ok(())
}
