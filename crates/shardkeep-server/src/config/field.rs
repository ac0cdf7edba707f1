//! One value of the settings, with what it may be: read from text, shown, and carried as a number.
//!
//! A row of the table says which field of the settings it is about; all that is done to it is done here, one
//! form for all rows of a kind. Knows neither names nor where a text came from.
//!
//! 1. What [`Field::show`] gives, [`Field::set`] takes, and arrives at the same value.
//! 2. A refused text changes nothing.
//! 3. A field that has a [`Field::number`] is restored from it by [`Field::set_number`].

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::bounds;
use super::settings::AdminAt;
use super::value::{parse_bytes, parse_count, parse_duration, show_bytes, show_duration};

/// The word for an empty list of addresses.
const NONE: &str = "none";

/// The word for no time at all that is long enough.
const NEVER: &str = "never";

/// The number of a threshold that nothing reaches.
pub(crate) const NEVER_MICROS: u64 = u64::MAX;

const DATABASES: RangeInclusive<usize> = 1..=bounds::DATABASES_MAX as usize;

/// A choice between words.
pub(crate) trait Named: Copy + PartialEq + 'static {
    /// Each value with its word.
    const WORDS: &'static [(&'static str, Self)];

    /// As it is written in the configuration.
    fn word(self) -> &'static str {
        let named = Self::WORDS.iter().find(|(_, value)| *value == self);
        named.map_or("", |(word, _)| word)
    }
}

impl Named for bool {
    const WORDS: &'static [(&'static str, Self)] = &[("yes", true), ("no", false)];
}

/// A choice between words, whichever.
pub(super) trait Choice {
    fn words(&self) -> Vec<&'static str>;

    /// Position of the chosen word.
    fn chosen(&self) -> usize;

    fn choose(&mut self, position: usize);
}

impl<T: Named> Choice for T {
    fn words(&self) -> Vec<&'static str> {
        T::WORDS.iter().map(|(word, _)| *word).collect()
    }

    fn chosen(&self) -> usize {
        let position = T::WORDS.iter().position(|(_, value)| value == self);
        position.unwrap_or_default()
    }

    fn choose(&mut self, position: usize) {
        if let Some((_, value)) = T::WORDS.get(position) {
            *self = *value;
        }
    }
}

/// A value of the settings, by its kind.
pub(super) enum Field<'d> {
    /// Addresses to listen on.
    Addresses(&'d mut Vec<SocketAddr>),
    /// Address of the admin endpoint.
    Admin(&'d mut AdminAt),
    /// A path; `allowed` says of what, `absent` what there is without.
    Path {
        path: &'d mut Option<PathBuf>,
        bytes_max: usize,
        allowed: String,
        absent: &'static str,
    },
    /// One of a few words.
    Word(&'d mut dyn Choice),
    /// A number of things.
    Count(&'d mut usize, RangeInclusive<usize>),
    /// A number of databases.
    Databases(&'d mut u32),
    /// A number of things that is else left to the number of cores; `allowed` says more than the range.
    ByCores {
        count: &'d mut Option<usize>,
        fits: fn(usize) -> bool,
        allowed: String,
    },
    /// Bytes; `zero` says what 0 means.
    Bytes {
        bytes: &'d mut u64,
        zero: &'static str,
    },
    /// Bytes of memory at most; `None` for no limit.
    Limit(&'d mut Option<u64>),
    /// Bytes kept free; `None` leaves it to the size of the disk.
    Reserve(&'d mut Option<u64>),
    /// A time.
    Time(&'d mut Duration, RangeInclusive<Duration>),
    /// A time of at most so long, that is else as `absent` says.
    Window {
        time: &'d mut Option<Duration>,
        max: Duration,
        absent: &'static str,
    },
    /// A time of at most so long; 0 for never.
    Timeout(&'d mut Option<Duration>, Duration),
    /// A time that something must take to count; `never` for nothing, 0 for everything.
    Threshold(&'d mut Option<Duration>),
}

impl Field<'_> {
    /// Reads one or more texts; `None` when they are not allowed.
    pub(super) fn set(&mut self, texts: &[String]) -> Option<()> {
        if let Self::Addresses(addresses) = self {
            **addresses = read_addresses(texts)?;
            return Some(());
        }
        let [text] = texts else {
            return None;
        };
        self.set_text(text)
    }

    fn set_text(&mut self, text: &str) -> Option<()> {
        match self {
            Self::Addresses(addresses) => **addresses = read_addresses(&[text.to_owned()])?,
            Self::Admin(at) => {
                **at = match text {
                    "off" => AdminAt::Off,
                    address => AdminAt::At(address.parse().ok()?),
                }
            }
            Self::Path {
                path, bytes_max, ..
            } => **path = Some(read_path(text, *bytes_max)?),
            Self::Word(choice) => {
                let position = choice.words().iter().position(|word| *word == text)?;
                choice.choose(position);
            }
            Self::Count(count, range) => {
                **count = parse_count(text).filter(|count| range.contains(count))?;
            }
            Self::Databases(count) => {
                let read = parse_count(text).filter(|count| DATABASES.contains(count))?;
                **count = u32::try_from(read).ok()?;
            }
            Self::ByCores { count, fits, .. } => {
                **count = Some(parse_count(text).filter(|count| fits(*count))?);
            }
            Self::Bytes { bytes, .. } => **bytes = parse_bytes(text)?,
            Self::Limit(bytes) => **bytes = Some(parse_bytes(text)?).filter(|bytes| *bytes > 0),
            Self::Reserve(reserve) => **reserve = read_reserve(text)?,
            Self::Time(time, range) => {
                **time = parse_duration(text).filter(|time| range.contains(time))?;
            }
            Self::Window { time, max, .. } => {
                **time = Some(parse_duration(text).filter(|time| time <= max)?);
            }
            Self::Timeout(time, max) => {
                let read = parse_duration(text).filter(|time| time <= max)?;
                **time = (!read.is_zero()).then_some(read);
            }
            Self::Threshold(time) => {
                **time = match text {
                    NEVER => None,
                    text => Some(parse_duration(text)?),
                }
            }
        }
        Some(())
    }

    /// The value as TOML, or what there is where it has none.
    pub(super) fn show(&self) -> Result<toml::Value, &'static str> {
        Ok(match self {
            Self::Addresses(addresses) => {
                let shown = addresses.iter().map(SocketAddr::to_string);
                shown.collect::<Vec<_>>().into()
            }
            Self::Admin(AdminAt::Off) => "off".into(),
            Self::Admin(AdminAt::IfFree(_)) => return Err("127.0.0.1:9379 if that is free"),
            Self::Admin(AdminAt::At(address)) => address.to_string().into(),
            Self::Path { path, absent, .. } => {
                let path = path.as_ref().ok_or(*absent)?;
                path.to_string_lossy().into_owned().into()
            }
            Self::Word(choice) => choice.words()[choice.chosen()].into(),
            Self::Count(count, _) => show_count(**count),
            Self::Databases(count) => show_count(**count as usize),
            Self::ByCores { count, .. } => show_count(count.ok_or("by the number of cores")?),
            Self::Bytes { bytes, .. } => show_bytes(**bytes).into(),
            Self::Limit(bytes) => show_bytes(bytes.unwrap_or(0)).into(),
            Self::Reserve(reserve) => reserve.map_or_else(|| "auto".to_owned(), show_bytes).into(),
            Self::Time(time, _) => show_duration(**time).into(),
            Self::Window { time, absent, .. } => show_duration(time.ok_or(*absent)?).into(),
            Self::Timeout(time, _) => show_duration(time.unwrap_or_default()).into(),
            Self::Threshold(time) => time.map_or_else(|| NEVER.to_owned(), show_duration).into(),
        })
    }

    /// What it may be, for people.
    pub(super) fn allowed(&self) -> String {
        match self {
            Self::Addresses(_) => format!(
                "up to {} different IP addresses with ports, such as 127.0.0.1:6379 or [::1]:0, or {NONE}",
                bounds::BIND_ADDRESSES_MAX
            ),
            Self::Admin(_) => "an IP address with its port, such as 127.0.0.1:9379, or off".into(),
            Self::Path { allowed, .. } | Self::ByCores { allowed, .. } => allowed.clone(),
            Self::Word(choice) => one_of(&choice.words()),
            Self::Count(_, range) => format!("{} to {}", range.start(), range.end()),
            Self::Databases(_) => format!("{} to {}", DATABASES.start(), DATABASES.end()),
            Self::Bytes { zero, .. } => bytes_allowed(zero),
            Self::Limit(_) => bytes_allowed("no limit"),
            Self::Reserve(_) => {
                let least = show_bytes(bounds::DISK_RESERVE_BYTES_MIN);
                format!(
                    "auto, 0 for none, or {least} and more, as bytes or with a unit such as 64mb"
                )
            }
            Self::Time(_, range) => durations(*range.start(), *range.end()),
            Self::Window { max, .. } => durations(Duration::ZERO, *max),
            Self::Timeout(_, max) => format!("{}; 0 for never", durations(Duration::ZERO, *max)),
            Self::Threshold(_) => {
                format!("a duration such as 500us or 10ms (0 for all commands), or {NEVER}")
            }
        }
    }

    /// The value as a number, where it is of a kind that can change while the server runs.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Word(choice) => Some(choice.chosen() as u64),
            Self::Count(count, _) => Some(**count as u64),
            Self::Bytes { bytes, .. } => Some(**bytes),
            Self::Limit(bytes) => Some(bytes.unwrap_or(0)),
            Self::Time(time, _) => Some(micros(**time)),
            Self::Timeout(time, _) => Some(micros(time.unwrap_or_default())),
            Self::Threshold(time) => Some(time.map_or(NEVER_MICROS, micros)),
            Self::Addresses(_)
            | Self::Admin(_)
            | Self::Path { .. }
            | Self::Databases(_)
            | Self::ByCores { .. }
            | Self::Reserve(_)
            | Self::Window { .. } => None,
        }
    }

    /// Takes the value that [`Field::number`] gave.
    pub(super) fn set_number(&mut self, number: u64) {
        match self {
            Self::Word(choice) => choice.choose(number as usize),
            Self::Count(count, _) => **count = number as usize,
            Self::Bytes { bytes, .. } => **bytes = number,
            Self::Limit(bytes) => **bytes = (number > 0).then_some(number),
            Self::Time(time, _) => **time = Duration::from_micros(number),
            Self::Timeout(time, _) => {
                **time = (number > 0).then(|| Duration::from_micros(number));
            }
            Self::Threshold(time) => {
                **time = (number != NEVER_MICROS).then(|| Duration::from_micros(number));
            }
            Self::Addresses(_)
            | Self::Admin(_)
            | Self::Path { .. }
            | Self::Databases(_)
            | Self::ByCores { .. }
            | Self::Reserve(_)
            | Self::Window { .. } => {}
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(NEVER_MICROS)
}

/// As `always, interval or never`.
fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn bytes_allowed(zero: &str) -> String {
    format!(
        "bytes, or a number with a unit such as 512mb or 2gb (k, m, g are decimal; kb, mb, gb binary); \
         0 for {zero}"
    )
}

fn durations(min: Duration, max: Duration) -> String {
    format!(
        "a duration from {} to {}, such as 500ms, 1s or 2m (a plain number is seconds)",
        show_duration(min),
        show_duration(max)
    )
}

/// A path must be Unicode, since the printed form is; what was not has a replacement mark by now.
fn read_path(text: &str, bytes_max: usize) -> Option<PathBuf> {
    let possible = !text.is_empty() && !text.contains(['\0', char::REPLACEMENT_CHARACTER]);
    (possible && text.len() <= bytes_max).then(|| PathBuf::from(text))
}

fn read_reserve(text: &str) -> Option<Option<u64>> {
    if text == "auto" {
        return Some(None);
    }
    let bytes = parse_bytes(text)?;
    (bytes == 0 || bytes >= bounds::DISK_RESERVE_BYTES_MIN).then_some(Some(bytes))
}

fn read_addresses(texts: &[String]) -> Option<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    if texts == [NONE] {
        return Some(addresses);
    }
    for text in texts.iter().flat_map(|text| text.split(',')) {
        let address: SocketAddr = text.trim().parse().ok()?;
        // Port 0 is a different port each time.
        let is_new = address.port() == 0 || !addresses.contains(&address);
        if !is_new || addresses.len() == bounds::BIND_ADDRESSES_MAX {
            return None;
        }
        addresses.push(address);
    }
    (!addresses.is_empty()).then_some(addresses)
}

fn show_count(count: usize) -> toml::Value {
    i64::try_from(count).unwrap_or(i64::MAX).into()
}
