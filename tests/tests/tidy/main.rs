//! The house rules that a compiler does not check. Reads the repository's files; runs nothing.

#[cfg(test)]
mod arrows;
#[cfg(test)]
mod places;
#[cfg(test)]
mod source;
#[cfg(test)]
mod waits;
#[cfg(test)]
mod words;
