//! Episodes made of chance: valid commands, odd ones, wrong ones.
//!
//! 1. The same seed and number give the same episode.
//! 2. No reply depends on how fast the servers are: a time to live is long, or ends while both wait for
//!    it; and a moment in the past is followed by a look at the key, which removes it on both sides.
//! 3. Nothing stops a server, blocks it, or takes a type that only Redis has.

mod connection;
mod keyspace;
mod malformed;
mod pool;
mod strings;

use super::request::{Episode, Request, Step};
use crate::random::Random;
use pool::TTL_SECONDS_MIN;

/// Most connections of an episode.
const CONNECTIONS_MAX: usize = 4;

/// Deepest pipeline.
const PIPELINE_MAX: usize = 50;

/// Wrong commands in a hundred, beside those whose arguments are odd in themselves.
const MUTATED_PERCENT: usize = 8;

/// How long after its expiry a key is looked at, in milliseconds. Both clocks have then moved on.
const EXPIRED_AFTER_MS: u64 = 4;

/// Longest command that is sent as a line, in bytes: with every byte escaped still a legal line.
const INLINE_BYTES_MAX: usize = 8 * 1_024;

/// A command under construction.
struct Line {
    args: Vec<Vec<u8>>,
    /// Never made wrong: what it would become could stop the server.
    exact: bool,
}

impl Line {
    fn of(name: &str) -> Self {
        Self {
            args: vec![name.as_bytes().to_vec()],
            exact: false,
        }
    }

    fn exactly(mut self) -> Self {
        self.exact = true;
        self
    }

    fn push(mut self, arg: impl Into<Vec<u8>>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// A word in any case.
    fn option(self, random: &mut Random, word: &str) -> Self {
        self.push(any_case(random, word.as_bytes()))
    }

    fn is(&self, name: &str) -> bool {
        self.args[0].eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The password of guarded servers.
pub const PASSWORD: &str = "correct horse";

/// Most arguments, and longest argument in bytes, that are sent to a guarded server: within what it takes
/// from strangers, so that no connection ends by surprise. Those limits have tests of their own.
const GUARDED_ARGS_MAX: usize = 10;
const GUARDED_ARG_BYTES_MAX: usize = 16_000;

/// Deepest pipeline to a guarded server: Redis closes on a stranger who leaves a kilobyte unread.
const GUARDED_PIPELINE_MAX: usize = 3;

/// The episode of that `number`, with about that many commands; for servers `guarded` by [`PASSWORD`], or
/// open ones.
#[must_use]
pub fn episode(seed: u64, number: u64, commands: usize, guarded: bool) -> Episode {
    let mut random = Random::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
    random.number();
    let connections = random.between(1, CONNECTIONS_MAX);
    let mut episode = Episode {
        connections,
        steps: Vec::new(),
    };
    for connection in 0..connections {
        if guarded {
            let first = any_line(&mut random, guarded);
            episode.steps.push(single(&mut random, connection, first));
            let auth = Line::of("AUTH").push(PASSWORD);
            episode.steps.push(single(&mut random, connection, auth));
        }
        if random.percent(50) {
            let hello = Line::of("HELLO").push("3");
            episode.steps.push(single(&mut random, connection, hello));
        }
    }
    let mut left = commands;
    while left > 0 {
        let connection = random.below(connections);
        let before = episode.steps.len();
        match random.below(100) {
            0 => walk(&mut random, connection, &mut episode.steps),
            1 => expired(&mut random, connection, guarded, &mut episode.steps),
            2 => {
                let line = Line::of("RANDOMKEY");
                episode.steps.push(single(&mut random, connection, line));
            }
            3 => {
                let line = Line::of("DBSIZE");
                episode.steps.push(single(&mut random, connection, line));
            }
            4 => episode.steps.push(Step::Batch {
                connection,
                requests: vec![Request::Raw(malformed::bytes(&mut random))],
                writes: 1,
            }),
            _ => episode.steps.push(batch(&mut random, connection, guarded)),
        }
        let done: usize = episode.steps[before..].iter().map(Step::commands).sum();
        left = left.saturating_sub(done.max(1));
    }
    episode
}

fn batch(random: &mut Random, connection: usize, guarded: bool) -> Step {
    let depth = match random.below(10) {
        0..=3 => 1,
        4..=7 => random.between(2, 10),
        _ => random.between(10, PIPELINE_MAX),
    };
    let depth = if guarded {
        depth.min(GUARDED_PIPELINE_MAX)
    } else {
        depth
    };
    let mut requests = Vec::with_capacity(depth + 1);
    while requests.len() < depth {
        let line = any_line(random, guarded);
        // Redis closes on a stranger with much unread, also when it has only just become one.
        if guarded && line.is("reset") && !requests.is_empty() {
            break;
        }
        let look =
            leaves_expired_key(&line.args).then(|| Line::of("EXISTS").push(line.args[1].clone()));
        requests.push(sent(random, line));
        requests.extend(look.map(|look| sent(random, look)));
        if requests.last().is_some_and(Request::ends_connection) {
            break;
        }
    }
    let writes = if random.percent(20) {
        random.between(2, 5)
    } else {
        1
    };
    Step::Batch {
        connection,
        requests,
        writes,
    }
}

/// One of all commands.
fn any_line(random: &mut Random, guarded: bool) -> Line {
    loop {
        let mut line = match random.below(100) {
            0..=46 => strings::line(random),
            47..=86 => keyspace::line(random),
            _ => connection::line(random),
        };
        if !line.exact && random.percent(MUTATED_PERCENT) {
            mutate(random, &mut line.args);
        }
        let too_much = line.args.len() > GUARDED_ARGS_MAX
            || line
                .args
                .iter()
                .any(|arg| arg.len() > GUARDED_ARG_BYTES_MAX);
        let refused = guarded && too_much;
        if !refused && !is_race(&line.args) {
            return line;
        }
    }
}

fn single(random: &mut Random, connection: usize, line: Line) -> Step {
    Step::Batch {
        connection,
        requests: vec![sent(random, line)],
        writes: 1,
    }
}

fn sent(random: &mut Random, mut line: Line) -> Request {
    if !line.exact && random.percent(30) {
        line.args[0] = any_case(random, &line.args[0]);
    }
    let bytes: usize = line.args.iter().map(Vec::len).sum();
    let inline = random.percent(10) && bytes < INLINE_BYTES_MAX;
    Request::Command {
        args: line.args,
        inline,
    }
}

/// A key runs out while both servers wait, and the next command is the first to notice.
fn expired(random: &mut Random, connection: usize, guarded: bool, steps: &mut Vec<Step>) {
    let key = pool::key(random);
    let soon = Line::of("PEXPIRE").push(key.clone()).push("1");
    steps.push(single(random, connection, soon));
    steps.push(Step::Pass(EXPIRED_AFTER_MS));
    let line = loop {
        let line = any_line(random, guarded);
        if line.args.get(1) == Some(&key) && !leaves_expired_key(&line.args) {
            break line;
        }
    };
    steps.push(single(random, connection, line));
    let look = Line::of("EXISTS").push(key);
    steps.push(single(random, connection, look));
}

fn walk(random: &mut Random, connection: usize, steps: &mut Vec<Step>) {
    let mut options: Vec<Vec<u8>> = Vec::new();
    if random.percent(50) {
        options.extend([b"MATCH".to_vec(), pool::pattern(random)]);
    }
    if random.percent(50) {
        let count = random.between(1, 30).to_string();
        options.extend([b"COUNT".to_vec(), count.into_bytes()]);
    }
    if random.percent(30) {
        let kind = random.one(&["string", "STRING", "list"]).as_bytes();
        options.extend([b"TYPE".to_vec(), kind.to_vec()]);
    }
    steps.push(Step::Walk {
        connection,
        options,
    });
}

fn any_case(random: &mut Random, word: &[u8]) -> Vec<u8> {
    match random.below(3) {
        0 => word.to_ascii_uppercase(),
        1 => word.to_ascii_lowercase(),
        _ => word
            .iter()
            .map(|byte| {
                if random.percent(50) {
                    byte.to_ascii_uppercase()
                } else {
                    byte.to_ascii_lowercase()
                }
            })
            .collect(),
    }
}

/// Makes a command wrong, mostly.
fn mutate(random: &mut Random, args: &mut Vec<Vec<u8>>) {
    match random.below(5) {
        0 if args.len() > 1 => drop(args.pop()),
        1 if args.len() > 1 => {
            let at = random.between(1, args.len() - 1);
            args[at] = pool::token(random);
        }
        2 if args.len() > 1 => {
            let at = random.between(1, args.len() - 1);
            args.push(args[at].clone());
        }
        3 if args.len() > 2 => {
            let (one, other) = (
                random.between(1, args.len() - 1),
                random.between(1, args.len() - 1),
            );
            args.swap(one, other);
        }
        _ => args.push(pool::token(random)),
    }
}

/// Whether the outcome depends on how fast the servers are: a key that would run out soon, or a time to
/// live that is drawn often, compared with the one before.
fn is_race(args: &[Vec<u8>]) -> bool {
    let name = args[0].to_ascii_lowercase();
    let soon = |number: Option<&Vec<u8>>, unit_per_second: i64| {
        number
            .and_then(|number| str::from_utf8(number).ok()?.parse::<i64>().ok())
            .is_some_and(|number| (1..TTL_SECONDS_MIN * unit_per_second).contains(&number))
    };
    let compares = args
        .iter()
        .skip(3)
        .any(|arg| arg.eq_ignore_ascii_case(b"gt") || arg.eq_ignore_ascii_case(b"lt"));
    match name.as_slice() {
        b"expire" | b"pexpire" if compares && !is_ordinary(args.get(2)) => true,
        b"expire" | b"setex" => soon(args.get(2), 1),
        b"pexpire" | b"psetex" => soon(args.get(2), 1_000),
        b"set" | b"getex" => args.windows(2).any(|pair| {
            (pair[0].eq_ignore_ascii_case(b"ex") && soon(Some(&pair[1]), 1))
                || (pair[0].eq_ignore_ascii_case(b"px") && soon(Some(&pair[1]), 1_000))
        }),
        _ => false,
    }
}

/// Whether this is a time to live that is hardly drawn twice, or none at all.
fn is_ordinary(number: Option<&Vec<u8>>) -> bool {
    number
        .and_then(|number| str::from_utf8(number).ok()?.parse::<i64>().ok())
        .is_none_or(|number| number <= pool::TTL_SECONDS_MAX * 1_000 + 1_000)
}

/// Whether a key may stay with an expiry in the past, until somebody looks.
fn leaves_expired_key(args: &[Vec<u8>]) -> bool {
    args[0].eq_ignore_ascii_case(b"set")
        && args
            .iter()
            .skip(3)
            .any(|arg| arg.eq_ignore_ascii_case(b"exat") || arg.eq_ignore_ascii_case(b"pxat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_episode_and_another_gives_another() {
        assert_eq!(episode(1, 5, 200, false), episode(1, 5, 200, false));
        assert_ne!(episode(1, 5, 200, false), episode(1, 6, 200, false));
        assert_ne!(episode(1, 5, 200, false), episode(2, 5, 200, false));
    }

    #[test]
    fn no_generated_command_stops_the_server_or_expires_by_the_clock() {
        for number in 0..50 {
            for step in episode(3, number, 300, false).steps {
                let Step::Batch { requests, .. } = step else {
                    continue;
                };
                for request in requests {
                    let args = request.args();
                    let stops = args.len() == 1 && args[0].eq_ignore_ascii_case(b"shutdown");
                    let saves = args.len() > 1
                        && args[0].eq_ignore_ascii_case(b"shutdown")
                        && args[1].to_ascii_lowercase().ends_with(b"save");
                    assert!(!stops && !saves, "{request}");
                    let planned = args.len() == 3 && args[2] == b"1";
                    assert!(args.is_empty() || planned || !is_race(args), "{request}");
                }
            }
        }
    }

    #[test]
    fn an_episode_has_about_as_many_commands_as_asked_for() {
        let commands = episode(1, 1, 400, false).commands();
        assert!((400..=500).contains(&commands), "{commands}");
    }
}
