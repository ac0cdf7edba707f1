//! Files that a real Redis has saved, imported: what Redis says is what the new store has.

#[cfg(test)]
mod saved;
#[cfg(test)]
mod support;

#[cfg(test)]
mod damage;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod program;
#[cfg(test)]
mod strings;
