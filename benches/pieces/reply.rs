//! The piece: replies to bytes.
//!
//! No socket. The buffer is used again and again, as a connection uses its own: no allocation, and
//! its memory lies in the first cache.

use std::hint::black_box;
use std::io::Write;

use anyhow::{Result, ensure};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use shardkeep_resp::{Protocol, Reply};

mod setup;

/// Elements of the replies that have many.
const MANY: usize = 16;

/// Bytes of a bulk: one digit of length, two, three and four.
const BULKS: [usize; 4] = [3, 64, 512, 4_096];

fn main() -> Result<()> {
    setup::measure(&[encode, bulk])
}

/// One reply of each kind appended to a buffer; the rate counts bytes of output.
fn encode(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("encode");
    measured(&mut group, "ok", Protocol::Resp2, |reply| reply.ok());
    measured(&mut group, "null", Protocol::Resp2, |reply| reply.null());
    measured(&mut group, "integer 1", Protocol::Resp2, |reply| {
        reply.integer(black_box(1));
    });
    measured(&mut group, "integer, 19 digits", Protocol::Resp2, |reply| {
        reply.integer(black_box(i64::MAX));
    });
    measured(&mut group, "double", Protocol::Resp3, |reply| {
        reply.double(black_box(0.1));
    });
    measured(&mut group, "error", Protocol::Resp2, |reply| {
        reply.error(black_box("ERR value is not an integer or out of range"));
    });
    let value = vec![b'v'; 64];
    measured(&mut group, "array of 16 bulks", Protocol::Resp2, |reply| {
        reply.array(black_box(MANY));
        (0..MANY).for_each(|_| reply.bulk(black_box(&value)));
    });
    measured(&mut group, "map of 16 pairs", Protocol::Resp3, |reply| {
        reply.map(black_box(MANY));
        for _ in 0..MANY {
            reply.bulk(black_box(b"field"));
            reply.integer(black_box(7));
        }
    });
    group.finish();
    Ok(())
}

fn measured(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    protocol: Protocol,
    mut encode: impl FnMut(&mut Reply<'_>),
) {
    let mut out = Vec::new();
    encode(&mut Reply::new(&mut out, protocol));
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            out.clear();
            encode(&mut Reply::new(&mut out, protocol));
            black_box(&out);
        });
    });
}

/// A value of so many bytes: what nearly every read answers. `write!` is the same reply made with
/// the standard library's formatting, and `copy` the bytes alone, already encoded.
fn bulk(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("encode bulk");
    for bytes in BULKS {
        let value = vec![b'v'; bytes];
        let mut expected = Vec::new();
        Reply::new(&mut expected, Protocol::Resp2).bulk(&value);
        let mut out = Vec::new();
        formatted(&mut out, &value)?;
        ensure!(out == expected, "both encode {bytes} bytes alike");

        group.throughput(Throughput::Bytes(expected.len() as u64));
        group.bench_function(BenchmarkId::new("shardkeep", bytes), |bencher| {
            bencher.iter(|| {
                out.clear();
                Reply::new(&mut out, Protocol::Resp2).bulk(black_box(&value));
                black_box(&out);
            });
        });
        group.bench_function(BenchmarkId::new("write!", bytes), |bencher| {
            bencher.iter(|| {
                out.clear();
                let written = formatted(&mut out, black_box(&value));
                black_box(&out);
                written.is_ok()
            });
        });
        group.bench_function(BenchmarkId::new("copy", bytes), |bencher| {
            bencher.iter(|| {
                out.clear();
                out.extend_from_slice(black_box(&expected));
                black_box(&out);
            });
        });
    }
    group.finish();
    Ok(())
}

/// The plain way to say it.
fn formatted(out: &mut Vec<u8>, value: &[u8]) -> std::io::Result<()> {
    write!(out, "${}\r\n", value.len())?;
    out.write_all(value)?;
    out.write_all(b"\r\n")
}
