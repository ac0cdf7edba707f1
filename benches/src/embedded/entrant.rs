//! Who takes part: an engine, how it is set, and under which name it stands in the tables.
//!
//! 1. Lines of one engine that differ in shards or window share its name; they are told apart by
//!    those columns.
//! 2. An engine mentioned twice is two entrants with two names and two maps.

use std::ffi::OsStr;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command};

use super::engines::{EngineName, Settings};

/// What separates an engine from the name it is to have.
const ALIAS: char = '=';

/// One mention of an engine on the command line: `ENGINE` or `ENGINE=NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) engine: EngineName,
    pub(super) alias: Option<String>,
}

impl From<EngineName> for Mention {
    fn from(engine: EngineName) -> Self {
        Self {
            engine,
            alias: None,
        }
    }
}

/// One line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entrant {
    pub(super) engine: EngineName,
    /// The name in tables and results.
    pub(super) label: String,
    pub(super) settings: Settings,
}

impl Entrant {
    /// As it is by default, under its own name.
    pub(super) fn plain(engine: EngineName) -> Self {
        Self {
            engine,
            label: engine.label().to_owned(),
            settings: Settings::default(),
        }
    }

    /// In so many parts; 0 leaves it to the engine.
    pub(super) fn with_shards(engine: EngineName, shards: usize) -> Self {
        Self {
            settings: Settings::with_shards(shards),
            ..Self::plain(engine)
        }
    }

    /// How long it gathers writes, in microseconds, if it does that.
    pub(super) fn window_us(&self) -> Option<u64> {
        let micros = self.settings.write_window.as_micros();
        let window = u64::try_from(micros).unwrap_or(u64::MAX);
        self.engine.has_window().then_some(window)
    }
}

/// Every mention with every division and window that means something to its engine.
///
/// # Errors
/// Two mentions have the same name.
pub(super) fn entrants(
    mentions: &[Mention],
    shards: &[usize],
    windows: &[u64],
) -> Result<Vec<Entrant>> {
    let mut entrants = Vec::new();
    let mut labels: Vec<String> = Vec::new();
    for (index, mention) in mentions.iter().enumerate() {
        let engine = mention.engine;
        let same = |other: &&Mention| other.engine == engine && other.alias.is_none();
        let label = match &mention.alias {
            Some(alias) => alias.clone(),
            None => match mentions[..index].iter().filter(same).count() {
                0 => engine.label().to_owned(),
                earlier => format!("{}-{}", engine.label(), earlier + 1),
            },
        };
        ensure!(
            !labels.contains(&label),
            "--engines: two of them are called {label}"
        );
        let shards: &[usize] = if engine.has_shards() { shards } else { &[0] };
        let windows: &[u64] = if engine.has_window() { windows } else { &[0] };
        for &count in shards {
            entrants.extend(windows.iter().map(|&micros| Entrant {
                engine,
                label: label.clone(),
                settings: Settings {
                    write_window: Duration::from_micros(micros),
                    ..Settings::with_shards(count)
                },
            }));
        }
        labels.push(label);
    }
    Ok(entrants)
}

/// Reads a [`Mention`], and tells the help which engines there are.
#[derive(Clone, Debug)]
pub(super) struct MentionParser;

impl TypedValueParser for MentionParser {
    type Value = Mention;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Mention, clap::Error> {
        let engines = EnumValueParser::<EngineName>::new();
        let text = value.to_string_lossy();
        let Some((engine, alias)) = text.split_once(ALIAS) else {
            return Ok(engines.parse_ref(command, arg, value)?.into());
        };
        let engine = engines.parse_ref(command, arg, OsStr::new(engine))?;
        if !is_name(alias) {
            let arg = arg.map_or_else(|| "--engines".to_owned(), Arg::to_string);
            let text = format!(
                "invalid value '{text}' for '{arg}': a name has 1 to {NAME_BYTES_MAX} letters, \
                 digits, dots, dashes or underscores, and is not what an engine is called\n"
            );
            let error = clap::Error::raw(ErrorKind::ValueValidation, text).with_cmd(command);
            return Err(error);
        }
        Ok(Mention {
            engine,
            alias: Some(alias.to_owned()),
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values: Vec<_> = EnumValueParser::<EngineName>::new()
            .possible_values()?
            .collect();
        Some(Box::new(values.into_iter()))
    }
}

/// Whether a text can name a line, and a file: a few letters, digits, dots, dashes and underscores,
/// and not what another engine is called.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_engine = <EngineName as clap::ValueEnum>::from_str(text, false).is_ok();
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) && !is_engine
}

/// Longest name of an entrant, in bytes: the table keeps its shape.
const NAME_BYTES_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Mention, clap::Error> {
        MentionParser.parse_ref(&Command::new("test"), None, OsStr::new(text))
    }

    fn labels(texts: &[&str]) -> Result<Vec<String>> {
        let mentions: Vec<Mention> = texts.iter().map(|text| parse(text).unwrap()).collect();
        let found = entrants(&mentions, &[0], &[0])?;
        Ok(found.into_iter().map(|entrant| entrant.label).collect())
    }

    #[test]
    fn an_engine_may_stand_twice_under_two_names() {
        for (texts, expected) in [
            (["dashmap", "dashmap"], ["dashmap", "dashmap-2"]),
            (["dashmap", "dashmap=again"], ["dashmap", "again"]),
            (["dashmap=one", "dashmap"], ["one", "dashmap"]),
        ] {
            assert_eq!(labels(&texts).unwrap(), expected);
        }
        let error = labels(&["dashmap=x", "papaya=x"]).unwrap_err();
        assert_eq!(error.to_string(), "--engines: two of them are called x");
    }

    #[test]
    fn a_name_that_would_mislead_or_is_no_file_name_is_refused() {
        let long = format!("dashmap={}", "x".repeat(NAME_BYTES_MAX + 1));
        for text in [
            "dashmap=",
            "dashmap=a/b",
            "dashmap=mutex",
            "nobody",
            "nobody=x",
            &long,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shards_and_windows_go_to_those_to_whom_they_mean_something() {
        let mentions = [
            EngineName::Mutex,
            EngineName::Dashmap,
            EngineName::OwnersMail,
        ];
        let found = entrants(&mentions.map(Mention::from), &[8, 16], &[0, 50]).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|entrant| {
                let shards = entrant.settings.shards.map_or(0, usize::from);
                (entrant.label.as_str(), shards, entrant.window_us())
            })
            .collect();
        assert_eq!(
            found,
            [
                ("mutex", 0, None),
                ("dashmap", 8, None),
                ("dashmap", 16, None),
                ("owners-mail", 8, Some(0)),
                ("owners-mail", 8, Some(50)),
                ("owners-mail", 16, Some(0)),
                ("owners-mail", 16, Some(50)),
            ]
        );
    }
}
