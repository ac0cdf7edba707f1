#!/bin/sh
# The core's unit tests under Miri, which checks the desk's `unsafe` (and what lies around it) for
# undefined behaviour: provenance of the pointer in the slot, double use, leaks, data races. Then a
# whole keep, by the crate's own example.
#
# Needs a nightly toolchain: rustup +nightly component add miri rust-src
# Not part of CI: nightly is not what this project is built with. Half a minute.
#
# Many seeds are many orders of the threads: SEEDS=0..64 ./miri.sh
set -eu
cd "$(dirname "$0")"

target="${CARGO_TARGET_DIR:-../../target}/miri"
provenance="-Zmiri-strict-provenance"

MIRIFLAGS="$provenance -Zmiri-many-seeds=${SEEDS:-0..8}" \
    cargo +nightly miri test --lib --target-dir "$target" -- desk
# Under contention parking_lot keeps pointers in integers, which strict provenance forbids. The histograms are
# arithmetic, and look at very many numbers.
MIRIFLAGS="-Zmiri-permissive-provenance" \
    cargo +nightly miri test --lib --target-dir "$target" -- --skip histogram
# Which cores there are is the machine's to say.
MIRIFLAGS="-Zmiri-permissive-provenance -Zmiri-disable-isolation" \
    cargo +nightly miri test --doc --target-dir "$target"
