//! The house rules that a compiler does not check. Reads the repository's files; runs nothing of the product
//! but its errors.

#[cfg(test)]
mod arrows;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod places;
#[cfg(test)]
mod source;
#[cfg(test)]
mod waits;
#[cfg(test)]
mod words;
