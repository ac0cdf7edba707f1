//! The configuration file: TOML, one flat list of settings.
//!
//! Turns text into values as they were written, with their lines. Knows no setting.
//!
//! 1. Nothing of the file's text gets into an error but the key and the value at fault.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::origin::{Given, Origin};

/// Every key of the file `path` with its value, in the file's order.
///
/// # Errors
/// The text is not TOML.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Given>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: line_of(text, error.span()),
        message: error.message().to_owned(),
    })?;
    let mut values: Vec<_> = table
        .into_inner()
        .into_iter()
        .map(|(key, value)| (key.span().start, key.into_inner(), value))
        .collect();
    values.sort_by_key(|(start, _, _)| *start);
    Ok(values
        .into_iter()
        .map(|(start, key, value)| Given {
            key: key.into_owned(),
            texts: texts(value.get_ref()),
            origin: Origin::File {
                path: path.to_owned(),
                line: line_of(text, Some(start..start)),
            },
        })
        .collect())
}

/// A value as a flag would have given it. What no setting takes becomes a text that none allows.
fn texts(value: &DeValue<'_>) -> Vec<String> {
    match value {
        DeValue::Array(values) if values.is_empty() => vec!["none".to_owned()],
        DeValue::Array(values) => values.iter().map(|value| scalar(value.get_ref())).collect(),
        scalar_or_table => vec![scalar(scalar_or_table)],
    }
}

fn scalar(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.clone().into_owned(),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.to_string(), |number| number.to_string()),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "[...]".to_owned(),
        DeValue::Table(_) => "{...}".to_owned(),
    }
}

fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start).min(text.len());
    1 + text.as_bytes()[..start]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}
