//! The example programs as processes: what they accepted survives every end.

#[cfg(test)]
mod events;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod support;
