//! Which keys lie in the same shard: a server hashes with seeds of its own, so it is asked, by SCAN.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// The low bits of a cursor of ours: the number of a shard. Above them stands a place in it, 0 at first.
const CURSOR_SHARD_BITS: u32 = 16;
/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The keys of one shard, and those of all others; keys of which that is not certain are in neither.
#[derive(Debug, Default)]
pub(super) struct Parted {
    pub(super) shard: u64,
    pub(super) inside: Vec<u64>,
    pub(super) outside: Vec<u64>,
}

/// Parts all keys by whether they lie in the shard of the first that SCAN finds behind the first shard.
///
/// # Errors
/// The server does not answer as ours does.
pub(super) fn part(address: SocketAddr) -> Result<Parted> {
    let mut stream = BufReader::new(TcpStream::connect(address).context("connect")?);
    stream.get_ref().set_read_timeout(Some(ANSWER_MAX))?;
    stream.get_ref().set_nodelay(true)?;
    let mut parted = Parted {
        shard: 1,
        ..Parted::default()
    };
    let mut cursor = 0;
    loop {
        let request = format!("SCAN {cursor} COUNT 1\r\n");
        stream.get_mut().write_all(request.as_bytes())?;
        let (next, keys) = answer(&mut stream)?;
        match shards_of(cursor, next) {
            Some(shard) if shard == parted.shard => parted.inside.extend(keys),
            Some(_other) => parted.outside.extend(keys),
            None => {}
        }
        if next == 0 {
            break;
        }
        cursor = next;
    }
    ensure!(
        !parted.inside.is_empty() && !parted.outside.is_empty(),
        "all keys are in one shard, or SCAN does not tell"
    );
    Ok(parted)
}

/// The shard of all keys found on the way from one cursor to the next, if it was one.
fn shards_of(cursor: u64, next: u64) -> Option<u64> {
    let shard = |cursor: u64| cursor & ((1 << CURSOR_SHARD_BITS) - 1);
    let is_at_start = next >> CURSOR_SHARD_BITS == 0;
    let last = if is_at_start {
        // The next shard, of which nothing has been seen; or the end, which is not certain.
        shard(next).checked_sub(1)?
    } else {
        shard(next)
    };
    (shard(cursor) == last).then_some(last)
}

/// The cursor and the keys of a reply to SCAN.
fn answer(stream: &mut BufReader<TcpStream>) -> Result<(u64, Vec<u64>)> {
    let head = line(stream)?;
    ensure!(head == "*2", "SCAN was answered by {head:?}");
    let next = bulk(stream)?.parse().context("a cursor")?;
    let count = line(stream)?;
    let Some(count) = count
        .strip_prefix('*')
        .and_then(|it| it.parse::<usize>().ok())
    else {
        bail!("SCAN was answered by {count:?}");
    };
    let mut keys = Vec::new();
    for _ in 0..count {
        let key = bulk(stream)?;
        if let Some(number) = key.strip_prefix("key:").and_then(|it| it.parse().ok()) {
            keys.push(number);
        }
    }
    Ok((next, keys))
}

fn bulk(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let head = line(stream)?;
    let length: usize = head.trim_start_matches('$').parse().context("a length")?;
    let mut bytes = vec![0; length + 2];
    stream.read_exact(&mut bytes)?;
    bytes.truncate(length);
    String::from_utf8(bytes).context("a key")
}

fn line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_on_the_way_between_two_cursors_belong_to_a_shard_only_if_it_is_certain() {
        let place = |shard: u64, place: u64| place << CURSOR_SHARD_BITS | shard;
        let cases = [
            (place(1, 0), place(1, 5), Some(1)),
            (place(1, 5), place(2, 0), Some(1)),
            (place(1, 5), place(2, 5), None),
            (place(1, 5), place(3, 0), None),
            (place(7, 5), 0, None),
        ];
        for (cursor, next, shard) in cases {
            assert_eq!(shards_of(cursor, next), shard, "{cursor} to {next}");
        }
    }
}
