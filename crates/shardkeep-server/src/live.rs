//! The settings that can change while the server runs: by CONFIG SET, or by reading the configuration again.
//!
//! 1. A setting is read where it is used, each time; nothing keeps a copy.
//! 2. What is refused changes nothing, also when other changes come with it.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use crate::config::{Overload, Settings, bounds, parse_duration};
use crate::context::Context;
use crate::parameters;
use crate::slowlog::{self, ENTRIES_MAX};

pub(crate) struct Live {
    /// 0 for no limit.
    max_memory: AtomicU64,
    deadline_us: AtomicU64,
    /// 0 for never.
    idle_us: AtomicU64,
    frame_us: AtomicU64,
    /// 0 for never.
    login_us: AtomicU64,
    output_us: AtomicU64,
    /// What finds many waiting is refused at once.
    rejects: AtomicBool,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Live {
    pub(crate) fn new(settings: &Settings) -> Self {
        let live = Self {
            max_memory: AtomicU64::new(0),
            deadline_us: AtomicU64::new(0),
            idle_us: AtomicU64::new(0),
            frame_us: AtomicU64::new(0),
            login_us: AtomicU64::new(0),
            output_us: AtomicU64::new(0),
            rejects: AtomicBool::new(false),
        };
        live.take(settings);
        live
    }

    /// Takes over what can change of `settings`.
    pub(crate) fn take(&self, settings: &Settings) {
        let changes = [
            (&self.max_memory, settings.max_memory.unwrap_or(0)),
            (&self.deadline_us, micros(settings.deadline)),
            (
                &self.idle_us,
                micros(settings.idle_timeout.unwrap_or_default()),
            ),
            (&self.frame_us, micros(settings.frame_timeout)),
            (
                &self.login_us,
                micros(settings.login_timeout.unwrap_or_default()),
            ),
            (&self.output_us, micros(settings.output_timeout)),
        ];
        for (live, wanted) in changes {
            live.store(wanted, Relaxed);
        }
        let rejects = settings.overload == Overload::Reject;
        self.rejects.store(rejects, Relaxed);
    }

    pub(crate) fn rejects(&self) -> bool {
        self.rejects.load(Relaxed)
    }

    pub(crate) fn max_memory(&self) -> Option<u64> {
        let bytes = self.max_memory.load(Relaxed);
        (bytes > 0).then_some(bytes)
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_micros(self.deadline_us.load(Relaxed))
    }

    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        let us = self.idle_us.load(Relaxed);
        (us > 0).then(|| Duration::from_micros(us))
    }

    pub(crate) fn frame_timeout(&self) -> Duration {
        Duration::from_micros(self.frame_us.load(Relaxed))
    }

    pub(crate) fn login_timeout(&self) -> Option<Duration> {
        let us = self.login_us.load(Relaxed);
        (us > 0).then(|| Duration::from_micros(us))
    }

    pub(crate) fn output_timeout(&self) -> Duration {
        Duration::from_micros(self.output_us.load(Relaxed))
    }
}

/// A parameter of CONFIG SET with its value, understood.
enum Change {
    MaxMemory(u64),
    MaxClients(usize),
    Idle(Duration),
    Deadline(Duration),
    Frame(Duration),
    Login(Duration),
    Output(Duration),
    Rejects(bool),
    SlowerThan(u64),
    SlowMax(u64),
    /// It is so already.
    None,
}

/// Changes parameters, given in pairs of name and value; all of them or none.
///
/// # Errors
/// What is wrong, in the words of Redis.
pub(crate) fn set<'a>(
    context: &Context,
    mut words: impl Iterator<Item = &'a [u8]>,
) -> Result<(), String> {
    let (mut names, mut changes) = (Vec::new(), Vec::new());
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let text = std::str::from_utf8(value).unwrap_or("\u{fffd}");
        changes.push(understand(context, &name, text).map_err(|why| why.said(&name))?);
        if names.contains(&name) {
            return Err(Not::Taken("duplicate parameter".to_owned()).said(&name));
        }
        names.push(name);
    }
    for change in changes {
        change.make(context);
    }
    Ok(())
}

impl Change {
    fn make(self, context: &Context) {
        let live = &context.live;
        match self {
            Self::MaxMemory(bytes) => live.max_memory.store(bytes, Relaxed),
            Self::MaxClients(max) => context.clients.set_max(max),
            Self::Idle(time) => live.idle_us.store(micros(time), Relaxed),
            Self::Deadline(time) => live.deadline_us.store(micros(time), Relaxed),
            Self::Frame(time) => live.frame_us.store(micros(time), Relaxed),
            Self::Login(time) => live.login_us.store(micros(time), Relaxed),
            Self::Output(time) => live.output_us.store(micros(time), Relaxed),
            Self::Rejects(rejects) => live.rejects.store(rejects, Relaxed),
            Self::SlowerThan(us) => context.gauges.slow.set_threshold_us(us),
            Self::SlowMax(entries) => context.gauges.slow.set_max(entries),
            Self::None => {}
        }
    }
}

/// Why a parameter is not set.
enum Not {
    AParameter,
    Taken(String),
}

impl Not {
    fn said(self, name: &str) -> String {
        let name = crate::config::echo(name);
        match self {
            Self::AParameter => {
                format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            Self::Taken(why) => {
                format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
            }
        }
    }
}

fn understand(context: &Context, name: &str, text: &str) -> Result<Change, Not> {
    let not = |why: &str| Not::Taken(why.to_owned());
    match name {
        "maxmemory" => crate::config::parse_bytes(text)
            .map(Change::MaxMemory)
            .ok_or_else(|| not("argument must be a memory value")),
        "maxclients" => {
            let most = context.clients.most() as i64;
            whole(text, 1, most).map(|max| Change::MaxClients(max as usize))
        }
        "timeout" => whole(text, 0, bounds::IDLE_TIMEOUT_MAX.as_secs() as i64)
            .map(|seconds| Change::Idle(Duration::from_secs(seconds.unsigned_abs()))),
        "deadline" => time(text, bounds::DEADLINE_MIN, bounds::DEADLINE_MAX).map(Change::Deadline),
        "frame-timeout" => {
            time(text, bounds::CLIENT_TIMEOUT_MIN, bounds::IDLE_TIMEOUT_MAX).map(Change::Frame)
        }
        "login-timeout" => time(text, Duration::ZERO, bounds::IDLE_TIMEOUT_MAX).map(Change::Login),
        "output-timeout" => {
            time(text, bounds::CLIENT_TIMEOUT_MIN, bounds::IDLE_TIMEOUT_MAX).map(Change::Output)
        }
        "overload" => match text {
            "reject" => Ok(Change::Rejects(true)),
            "block" => Ok(Change::Rejects(false)),
            _ => Err(not(
                "argument(s) must be one of the following: block, reject",
            )),
        },
        "slowlog-log-slower-than" => whole(text, -1, i64::MAX)
            .map(|us| Change::SlowerThan(u64::try_from(us).unwrap_or(slowlog::NEVER))),
        "slowlog-max-len" => whole(text, 0, ENTRIES_MAX as i64)
            .map(|entries| Change::SlowMax(entries.unsigned_abs())),
        _ => match parameters::value(context, name) {
            Some(value) if value == text => Ok(Change::None),
            Some(_) => Err(not("can't set immutable config")),
            None => Err(Not::AParameter),
        },
    }
}

fn whole(text: &str, min: i64, max: i64) -> Result<i64, Not> {
    let number = text
        .parse::<i64>()
        .map_err(|_| Not::Taken("argument couldn't be parsed into an integer".to_owned()))?;
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    let why = format!("argument must be between {min} and {max} inclusive");
    Err(Not::Taken(why))
}

fn time(text: &str, min: Duration, max: Duration) -> Result<Duration, Not> {
    let time = parse_duration(text).filter(|time| (min..=max).contains(time));
    time.ok_or_else(|| {
        let [min, max] = [min, max].map(crate::config::show_duration);
        Not::Taken(format!(
            "argument must be a time from {min} to {max}, such as 500ms"
        ))
    })
}
