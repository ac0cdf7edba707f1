//! The types of values, a folder each: their commands, and what these need.

pub(crate) mod string;
