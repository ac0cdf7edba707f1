//! Damage to a file of Redis: refused, or survived where nothing vouches; never a wrong value.

use shardkeep_server::rdb::{Item, ReadError, Reader};

use crate::saved::{Redis, sealed};

/// A small file with strings of every form.
fn small() -> Vec<u8> {
    let mut redis = Redis::start(&["--maxmemory-policy", "allkeys-lfu"]);
    redis.lines(&["SET k v", "SET 12 -300", "SET n 70000 PXAT 4102444800123"]);
    redis.call(&["SET", "compressed", &"abc".repeat(20)]);
    redis.save()
}

/// How many items there are, if the file can be read to its end.
fn read(file: &[u8]) -> Result<usize, ReadError> {
    let mut reader = Reader::new(file)?;
    let mut items = 0;
    while let Some(item) = reader.next_item()? {
        items += usize::from(matches!(item, Item::Entry { .. }));
    }
    Ok(items)
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    let file = small();
    assert_eq!(read(&file).unwrap(), 4);
    for length in 0..file.len() {
        let error = read(&file[..length]).unwrap_err();
        let is_right = matches!(error, ReadError::NotRdb | ReadError::Truncated { .. });
        assert!(is_right, "{length} bytes: {error}");
    }
    for bit in 0..8 * file.len() {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn damage_behind_a_right_checksum_is_survived() {
    let file = small();
    for at in 0..file.len() - 8 {
        for byte in 0..=u8::MAX {
            let mut damaged = file.clone();
            damaged[at] = byte;
            // Whatever it is: it ends.
            drop(read(&sealed(damaged)));
        }
    }
}

#[test]
fn what_follows_the_end_is_refused() {
    let mut file = small();
    file.extend_from_slice(b"*1\r\n$8\r\nFLUSHALL\r\n");
    let error = read(&file).unwrap_err().to_string();
    assert!(
        error.contains("more follows the end of the data set"),
        "{error}"
    );
}
