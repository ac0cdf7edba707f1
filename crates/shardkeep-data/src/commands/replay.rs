//! Effects happen again: the table of commands in replay mode.
//!
//! Nothing expires, nothing is answered, and nothing leaves another effect.
//!
//! 1. What a command writes down is understood here: by itself where it is frequent, else by the command of its
//!    name, if that [may stand in the log](super::CommandSpec::is_logged).

use shardkeep::codec::DecodeError;
use shardkeep::effect::{self, Effect};
use shardkeep_resp::{Protocol, Reply, Span, parse_i64};

use super::{Action, Args, lookup};
use crate::keyspace::Keyspace;

/// Makes an effect happen again.
///
/// # Errors
/// No command has it, or the command refuses what it says.
pub fn replay(keyspace: &mut Keyspace, effect: &Effect<'_>) -> Result<(), DecodeError> {
    keyspace.replaying(|keyspace| {
        let (database, count) = (effect.database, keyspace.databases());
        if database >= count {
            let why = format!(
                "a key of database {database}, and there are {count} databases: start with more (--databases)"
            );
            return Err(DecodeError(why));
        }
        keyspace.select(database);
        let Some(key) = effect.key else {
            return replay_on_all(keyspace, effect);
        };
        if let Some((value, expires)) = effect.as_set() {
            return keyspace.replay_set(key, value, expires);
        }
        let hash = keyspace.hash(key);
        if effect.verb == effect::DEL && effect.is_empty() {
            keyspace.remove(hash, key);
            return Ok(());
        }
        run(keyspace, hash, effect)
    })
}

fn replay_on_all(keyspace: &mut Keyspace, effect: &Effect<'_>) -> Result<(), DecodeError> {
    match effect.verb {
        effect::FLUSHALL if effect.is_empty() => keyspace.clear_all(),
        effect::FLUSHDB if effect.is_empty() => keyspace.clear(),
        effect::SWAPDB => match two_databases(effect, keyspace.databases()) {
            Some((one, other)) => keyspace.swap(one, other),
            None => return Err(effect.unknown()),
        },
        _ => return Err(effect.unknown()),
    }
    Ok(())
}

fn two_databases(effect: &Effect<'_>, count: u32) -> Option<(u32, u32)> {
    let database = |word: &[u8]| {
        let number = u32::try_from(parse_i64(word)?).ok()?;
        (number < count).then_some(number)
    };
    let mut args = effect.args();
    let both = (database(args.next()?)?, database(args.next()?)?);
    args.next().is_none().then_some(both)
}

/// Runs the command of the effect's name on its key.
fn run(keyspace: &mut Keyspace, hash: u64, effect: &Effect<'_>) -> Result<(), DecodeError> {
    let (bytes, words) = effect.words();
    let spans: Vec<Span> = words
        .map(|(start, len)| {
            let (start, len) = (start as u32, len as u32);
            Span { start, len }
        })
        .collect();
    let args = Args::new(bytes, &spans);
    let spec = lookup(effect.verb).map(|(_, spec)| spec);
    let spec = spec.filter(|spec| spec.is_logged && spec.accepts(args.len()));
    let Some(Action::Shard(run)) = spec.map(|spec| spec.action) else {
        return Err(effect.unknown());
    };
    let mut answer = Vec::new();
    run(
        keyspace,
        hash,
        args,
        &mut Reply::new(&mut answer, Protocol::Resp2),
    );
    match answer.first() {
        Some(b'-') => Err(DecodeError(answer.escape_ascii().to_string())),
        Some(_) | None => Ok(()),
    }
}
