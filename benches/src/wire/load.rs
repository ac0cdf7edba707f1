//! Filling a server: pipelined writes on one blocking connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::protocol::Wording;

/// Writes sent before their replies are read: few enough that the replies fit every socket buffer.
const LOAD_PIPELINE: u64 = 512;
/// Bytes of values sent before replies are read; at least one write.
const LOAD_BYTES: usize = 1 << 20;
/// Longest silence of a server that is being loaded.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Sets keys `0..keys` to their values.
///
/// # Errors
/// The server cannot be reached, is silent, or answers anything but that it has stored them.
pub(crate) fn load(address: SocketAddr, wording: Wording, keys: u64) -> Result<()> {
    let mut stream = TcpStream::connect(address).context("connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let fit = LOAD_BYTES / wording.value_bytes.max(1);
    let together = LOAD_PIPELINE.min(fit as u64).max(1);
    let stored = wording.set_reply();
    let mut requests = Vec::new();
    let mut replies = Vec::new();
    let mut next = 0;
    while next < keys {
        let end = keys.min(next + together);
        requests.clear();
        for key in next..end {
            wording.push_set(&mut requests, key);
        }
        stream.write_all(&requests).context("send writes")?;
        replies.resize((end - next) as usize * stored.len(), 0);
        stream
            .read_exact(&mut replies)
            .context("read the replies to writes")?;
        let refused = replies
            .chunks_exact(stored.len())
            .find(|reply| *reply != stored);
        ensure!(
            refused.is_none(),
            "a write was answered by {}",
            replies.escape_ascii()
        );
        next = end;
    }
    Ok(())
}
