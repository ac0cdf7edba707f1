//! The piece: from the bytes of a request to its arguments, and to the command they call.
//!
//! No socket, and nothing is executed. The bytes lie in the first cache, as after a read.

use std::hint::black_box;

use anyhow::{Result, ensure};
use criterion::{Criterion, Throughput};
use shardkeep_data::commands::{Args, resolve};
use shardkeep_resp::{Decoder, Limits, Protocol, Reply, Span, Step};

mod setup;

/// As `redis-benchmark` names its keys.
const KEY: &str = "key:0000001234";

/// Requests of one pipeline.
const PIPELINE: usize = 16;

/// Keys of the commands that take many.
const MANY: usize = 16;

fn main() -> Result<()> {
    setup::measure(&[decode, pieces, call])
}

/// A request as clients send it.
fn request(args: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut array = Reply::new(&mut bytes, Protocol::Resp2);
    array.array(args.len());
    for arg in args {
        array.bulk(arg.as_bytes());
    }
    bytes
}

/// The requests that are asked for, by name.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let (small, large) = ("v".repeat(64), "v".repeat(4_096));
    let mut mget = vec!["MGET"];
    mget.extend([KEY; MANY]);
    let mut mset = vec!["MSET"];
    mset.extend([KEY, small.as_str()].repeat(MANY));
    vec![
        ("PING, inline", b"PING\r\n".to_vec()),
        ("GET, inline", format!("GET {KEY}\r\n").into_bytes()),
        ("PING", request(&["PING"])),
        ("GET", request(&["GET", KEY])),
        ("INCR", request(&["INCR", KEY])),
        ("SET 64 bytes", request(&["SET", KEY, &small])),
        (
            "SET 64 bytes EX",
            request(&["SET", KEY, &small, "EX", "60"]),
        ),
        ("SET 4096 bytes", request(&["SET", KEY, &large])),
        ("MGET 16 keys", request(&mget)),
        ("MSET 16 keys", request(&mset)),
    ]
}

/// Decodes every request in `input`; how many there were. Decoding changes only quoted words of
/// inline requests, and there are none: so the same bytes serve again.
#[inline]
fn decode_all(decoder: &mut Decoder, input: &mut [u8], spans: &mut Vec<Span>) -> usize {
    let (mut at, mut requests) = (0, 0);
    while at < input.len() {
        spans.clear();
        match decoder.decode(black_box(&mut input[at..]), spans) {
            Ok(Step::Request { consumed }) => at += consumed,
            Ok(Step::NeedMore { .. }) => break,
            Err(error) => panic!("a sound request was not understood: {error}"),
        }
        black_box(&spans);
        requests += 1;
    }
    requests
}

/// One whole request, of each kind: where its arguments lie. The rate counts bytes of input; a
/// value's bytes are passed over, not looked at, so large values decode at absurd rates.
///
/// `16 GET` is a pipeline decoded in one go: its figure is for all 16.
fn decode(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("decode");
    let pipeline = request(&["GET", KEY]).repeat(PIPELINE);
    let single = requests().into_iter().map(|(name, input)| (name, input, 1));
    for (name, mut input, expected) in single.chain([("16 GET", pipeline, PIPELINE)]) {
        let (mut decoder, mut spans) = (Decoder::new(Limits::default()), Vec::new());
        let found = decode_all(&mut decoder, &mut input, &mut spans);
        ensure!(
            found == expected,
            "{name}: {found} requests, not {expected}"
        );
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| decode_all(&mut decoder, &mut input, &mut spans));
        });
    }
    group.finish();
    Ok(())
}

/// The same SET, whose bytes arrive in two pieces: cut inside of its first line, or inside of its
/// value. What it takes longer than the whole one is the price of remembering.
fn pieces(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("decode in two pieces");
    let value = "v".repeat(64);
    let mut input = request(&["SET", KEY, &value]);
    let (mut decoder, mut spans) = (Decoder::new(Limits::default()), Vec::new());
    group.throughput(Throughput::Bytes(input.len() as u64));
    for (name, cut) in [("first line", 2), ("value", input.len() - 10)] {
        let none = decode_all(&mut decoder, &mut input[..cut], &mut spans);
        let one = decode_all(&mut decoder, &mut input, &mut spans);
        ensure!((none, one) == (0, 1), "{name}: {none}, then {one} requests");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                decode_all(&mut decoder, &mut input[..cut], &mut spans);
                decode_all(&mut decoder, &mut input, &mut spans)
            });
        });
    }
    group.finish();
    Ok(())
}

/// From the arguments to the command of that name, its arity checked: what the server adds to each
/// request before it chooses a shard.
fn call(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("resolve");
    let calls: [(&str, &[&str]); 5] = [
        ("GET", &["GET", KEY]),
        ("GET, small letters", &["get", KEY]),
        ("SET", &["SET", KEY, "v"]),
        ("INCRBYFLOAT", &["INCRBYFLOAT", KEY, "1"]),
        ("OBJECT ENCODING", &["OBJECT", "ENCODING", KEY]),
    ];
    for (name, args) in calls {
        let mut input = request(args);
        let (mut decoder, mut spans) = (Decoder::new(Limits::default()), Vec::new());
        decode_all(&mut decoder, &mut input, &mut spans);
        let mut out = Vec::new();
        let mut errors = Reply::new(&mut out, Protocol::Resp2);
        let known = resolve(Args::new(&input, &spans), &mut errors).is_some();
        ensure!(known, "{name} is a command");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let args = Args::new(black_box(&input), black_box(&spans));
                resolve(args, &mut errors).map(|(id, _)| id)
            });
        });
    }
    group.finish();
    Ok(())
}
