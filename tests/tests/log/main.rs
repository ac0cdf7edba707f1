//! The log on a simulated disk: crashes, errors, damage, and the faults that these tests would notice.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says how much it has explored"
)]

mod crashing;
mod cuts;
mod damage;
mod directory;
mod displaced;
mod earlier;
mod held;
mod large;
mod making;
#[cfg(debug_assertions)]
mod planted;
mod repairing;
mod space;
mod steps;
mod tails;
mod troubles;
