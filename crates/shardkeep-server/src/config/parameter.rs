//! The settings under the names and in the forms that CONFIG GET and CONFIG SET have for them.
//!
//! Redis writes sizes as plain bytes, times as whole seconds or microseconds, and calls some settings by
//! another name; what Redis does not have is written as in the configuration file.
//!
//! 1. What [`Parameter::show`] gives, [`Parameter::read`] takes, and arrives at the same value.
//! 2. A refusal is in the words of Redis.

use std::path::Path;
use std::time::Duration;

use super::field::{Field, NEVER_MICROS};
use super::table::{Draft, SETTINGS, Setting};
use super::value::show_duration;

/// How CONFIG knows a setting.
#[derive(Clone, Copy)]
pub(crate) struct Parameter {
    /// `None` for that of the setting, with dashes.
    name: Option<&'static str>,
    form: Form,
}

/// How a value is written.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// As in the configuration file.
    Same,
    /// Plain bytes.
    Bytes,
    /// Whole seconds.
    Seconds,
    /// Microseconds; -1 for never.
    Micros,
    /// Words of ours with what Redis has for them; the others are the same.
    Words(&'static [(&'static str, &'static str)]),
    /// Addresses without their ports.
    Hosts,
    /// A path from the root.
    Absolute,
}

/// A setting that CONFIG knows.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    setting: &'static Setting,
    parameter: Parameter,
}

/// The settings that CONFIG knows.
pub(crate) fn known() -> impl Iterator<Item = Known> {
    SETTINGS.iter().filter_map(|setting| {
        let parameter = setting.parameter?;
        Some(Known { setting, parameter })
    })
}

impl Parameter {
    pub(super) const fn own(form: Form) -> Self {
        Self { name: None, form }
    }

    pub(super) const fn named(name: &'static str, form: Form) -> Self {
        Self {
            name: Some(name),
            form,
        }
    }
}

impl Known {
    /// Its name in CONFIG.
    pub(crate) fn name(&self) -> String {
        let name = self.parameter.name;
        name.map_or_else(|| self.setting.name.replace('_', "-"), str::to_owned)
    }

    /// Whether it can change while the server runs.
    pub(crate) fn can_change(&self) -> bool {
        self.setting.can_change
    }

    /// The value in `draft`, as CONFIG GET writes it; empty where there is none.
    pub(crate) fn show(&self, draft: &Draft) -> String {
        let mut draft = draft.clone();
        let field = (self.setting.field)(&mut draft);
        let shown = || match field.show() {
            Ok(toml::Value::String(text)) => text,
            Ok(value) => value.to_string(),
            Err(_) => String::new(),
        };
        let number = field.number().unwrap_or_default();
        match (self.parameter.form, &field) {
            (Form::Hosts, Field::Addresses(addresses)) => {
                let hosts = addresses.iter().map(|address| address.ip().to_string());
                hosts.collect::<Vec<_>>().join(" ")
            }
            (Form::Bytes, Field::Reserve(reserve)) => {
                reserve.map_or_else(|| "auto".to_owned(), |bytes| bytes.to_string())
            }
            (Form::Bytes, _) => number.to_string(),
            (Form::Seconds, _) => Duration::from_micros(number).as_secs().to_string(),
            (Form::Micros, _) if number == NEVER_MICROS => "-1".to_owned(),
            (Form::Micros, _) => number.to_string(),
            (Form::Words(words), _) => in_words(words, &shown()).to_owned(),
            (Form::Absolute, _) if !shown().is_empty() => {
                let path = std::path::absolute(Path::new(&shown()));
                path.map_or_else(|_| shown(), |path| path.display().to_string())
            }
            (Form::Same | Form::Hosts | Form::Absolute, _) => shown(),
        }
    }

    /// Reads a value that CONFIG SET was given.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn read(&self, draft: &mut Draft, text: &str) -> Result<(), String> {
        let mut field = (self.setting.field)(draft);
        let ours = match self.parameter.form {
            Form::Seconds => format!("{}s", whole(text, 0, seconds_max(&field))?),
            Form::Micros => match whole(text, -1, i64::MAX)? {
                -1 => "never".to_owned(),
                micros => format!("{micros}us"),
            },
            Form::Bytes | Form::Same | Form::Words(_) | Form::Hosts | Form::Absolute => {
                text.to_owned()
            }
        };
        if let Field::Count(_, range) = &field {
            whole(text, *range.start() as i64, *range.end() as i64)?;
        }
        field.set(&[ours]).ok_or_else(|| refusal(&field))
    }
}

fn in_words<'t>(words: &'t [(&str, &str)], ours: &'t str) -> &'t str {
    let found = words.iter().find(|(word, _)| *word == ours);
    found.map_or(ours, |(_, theirs)| theirs)
}

fn seconds_max(field: &Field<'_>) -> i64 {
    let max = match field {
        Field::Timeout(_, max) => *max,
        Field::Time(_, range) => *range.end(),
        _ => Duration::MAX,
    };
    i64::try_from(max.as_secs()).unwrap_or(i64::MAX)
}

fn whole(text: &str, min: i64, max: i64) -> Result<i64, String> {
    let number = text
        .parse::<i64>()
        .map_err(|_| "argument couldn't be parsed into an integer".to_owned())?;
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    Err(format!(
        "argument must be between {min} and {max} inclusive"
    ))
}

fn refusal(field: &Field<'_>) -> String {
    match field {
        Field::Bytes { .. } | Field::Limit(_) => "argument must be a memory value".to_owned(),
        Field::Word(choice) => format!(
            "argument(s) must be one of the following: {}",
            choice.words().join(", ")
        ),
        Field::Time(_, range) => {
            let [min, max] = [*range.start(), *range.end()].map(show_duration);
            format!("argument must be a time from {min} to {max}, such as 500ms")
        }
        field => format!("argument must be {}", field.allowed()),
    }
}
