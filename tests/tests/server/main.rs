//! The server from outside: hostile input, limits, many clients, signals. Each test starts its own.

#[cfg(test)]
mod support;

#[cfg(test)]
mod admin;
#[cfg(test)]
mod atomicity;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod databases;
#[cfg(test)]
mod displaced;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod durable;
#[cfg(test)]
mod endurance;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod full;
#[cfg(test)]
mod health;
#[cfg(test)]
mod liveness;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod operating;
#[cfg(test)]
#[cfg(debug_assertions)]
mod overload;
#[cfg(test)]
#[cfg(debug_assertions)]
mod panics;
#[cfg(test)]
mod patterns;
#[cfg(test)]
mod pipelines;
#[cfg(test)]
#[cfg(debug_assertions)]
mod planted;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod replayed;
#[cfg(test)]
mod shared_replies;
#[cfg(test)]
mod silenced;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod supervision;
#[cfg(test)]
mod transactions;
#[cfg(test)]
mod walks;
