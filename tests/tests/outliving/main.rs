//! The embedded store and the end of its process: what dies in the middle of a change, and what is found
//! when it is opened again.

#[cfg(test)]
mod dying;
#[cfg(test)]
mod recovering;
