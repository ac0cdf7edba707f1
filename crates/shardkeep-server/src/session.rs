//! The commands on the connection itself: greeting, login, names, and what the server tells.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shardkeep_resp::{Protocol, Reply, parse_i64};

use crate::clients::Client;
use crate::context::Context;
use crate::errors;
use crate::info;
use crate::persistence::Asked;
use crate::reactor::{Connection, Flow, HeldBack, Reactor};
use crate::server::ShutdownCause;
use crate::{clock, operate, parameters};
use shardkeep_data::commands::{Args, ConnectionCommand, TABLE, database, introspect};

/// The version of Redis whose behaviour clients may expect.
pub(crate) const REDIS_VERSION: &str = "7.2.4";

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
                           default user. Are you sure your configuration is correct?";
/// Longest that CLIENT DEADLINE takes, in milliseconds: that of the server's own deadline.
const DEADLINE_MS_MAX: i64 = 3_600_000;

const BAD_DEADLINE: &str = "ERR the deadline is a number of milliseconds from 1 to 3600000, or 0 for \
                            that of the server";
const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";
const HELLO_FIRST: &str = "NOAUTH HELLO must be called with the client already authenticated, \
                           otherwise the HELLO AUTH <user> <pass> option can be used to \
                           authenticate the client and select the RESP protocol version at the \
                           same time";
const SYNTAX: &str = "ERR syntax error";

impl Reactor {
    /// Runs a command on connection `token`; the reply goes to the end of the round's.
    pub(crate) fn connection_command(
        &mut self,
        token: usize,
        command: ConnectionCommand,
        args: Args<'_>,
    ) -> Flow {
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return Flow::Hangup;
        };
        let context = &*self.context;
        let replies = &mut self.round.replies.bytes;
        if command == ConnectionCommand::Hello {
            hello(context, connection, args, replies);
            return self.hold_back(token);
        }
        let reply = &mut Reply::new(replies, connection.protocol);
        match command {
            ConnectionCommand::Hello => {}
            // The reactor keeps it waiting, or has it run on shards.
            ConnectionCommand::Save | ConnectionCommand::Exec | ConnectionCommand::Watch => {}
            ConnectionCommand::Multi => match connection.open_transaction() {
                true => reply.ok(),
                false => reply.error(errors::MULTI_NESTED),
            },
            ConnectionCommand::Discard => match connection.discard_transaction() {
                true => reply.ok(),
                false => reply.error(errors::DISCARD_WITHOUT_MULTI),
            },
            ConnectionCommand::Unwatch => {
                connection.watching = None;
                reply.ok();
            }
            ConnectionCommand::Bgsave => bgsave(context, args, reply),
            ConnectionCommand::Bgrewriteaof => rewrite(context, reply),
            ConnectionCommand::Lastsave => reply.integer(last_save(context).cast_signed()),
            ConnectionCommand::Auth => {
                auth(context, connection, args, reply);
                return self.hold_back(token);
            }
            ConnectionCommand::Quit => {
                reply.ok();
                return Flow::End;
            }
            ConnectionCommand::Reset => {
                reset(context, connection, reply);
                // For the login that is due from now on.
                self.sweep_soon();
            }
            ConnectionCommand::Shutdown => return shutdown(context, args, reply),
            ConnectionCommand::Ping => match args.len() {
                1 => reply.simple("PONG"),
                2 => reply.bulk(args.get(1)),
                _ => shardkeep_data::commands::wrong_arity("ping", reply),
            },
            ConnectionCommand::Echo => reply.bulk(args.get(1)),
            ConnectionCommand::Select => select(context, connection, args, reply),
            ConnectionCommand::Time => time(reply),
            ConnectionCommand::ClientId => reply.integer(connection.client.id.cast_signed()),
            ConnectionCommand::ClientDeadline => match parse_i64(args.get(2)) {
                Some(ms @ 0..=DEADLINE_MS_MAX) => {
                    let patience = Duration::from_millis(ms.unsigned_abs());
                    connection.patience = (ms > 0).then_some(patience);
                    reply.ok();
                }
                Some(_) | None => reply.error(BAD_DEADLINE),
            },
            ConnectionCommand::ClientGetname => {
                let labels = connection.client.labels.lock();
                if labels.name.is_empty() {
                    reply.null()
                } else {
                    reply.bulk(labels.name.as_bytes())
                }
            }
            ConnectionCommand::ClientSetname => match client_name(args.get(2)) {
                Some(name) => {
                    connection.client.labels.lock().name = name;
                    reply.ok();
                }
                None => reply.error(BAD_NAME),
            },
            ConnectionCommand::ClientSetinfo => set_info(&connection.client, args, reply),
            ConnectionCommand::ClientInfo => {
                let line = client_line(&connection.client);
                reply.verbatim(b"txt", format!("{line}\n").as_bytes());
            }
            ConnectionCommand::ClientKill => {
                if operate::client_kill(context, &connection.client, args, reply) {
                    return Flow::End;
                }
            }
            ConnectionCommand::ClientList => client_list(context, args, reply),
            ConnectionCommand::Command => introspect(args, reply),
            ConnectionCommand::ConfigGet => parameters::get(context, args, reply),
            ConnectionCommand::ConfigResetstat => {
                context.figures.reset(context);
                reply.ok();
            }
            ConnectionCommand::ConfigRewrite => operate::config_rewrite(context, reply),
            ConnectionCommand::ConfigSet => parameters::set(context, args, reply),
            ConnectionCommand::SlowlogGet => operate::slowlog_get(context, args, reply),
            ConnectionCommand::SlowlogLen => {
                reply.integer(i64::try_from(context.gauges.slow.len()).unwrap_or(i64::MAX));
            }
            ConnectionCommand::SlowlogReset => {
                context.gauges.slow.clear();
                reply.ok();
            }
            ConnectionCommand::LatencyEvents => operate::latency_events(args, reply),
            ConnectionCommand::LatencyHistogram => operate::latency_histogram(context, args, reply),
            ConnectionCommand::MemoryPurge => operate::memory_purge(reply),
            ConnectionCommand::MemoryStats => operate::memory_stats(context, reply),
            ConnectionCommand::Info => {
                reply.verbatim(b"txt", info::text(context, args).as_bytes());
            }
        }
        Flow::Next
    }

    /// After a login: what it answers is held back, and what follows it, if it is to be late.
    fn hold_back(&mut self, token: usize) -> Flow {
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return Flow::Hangup;
        };
        let Some(held_back) = &connection.held_back else {
            return Flow::Next;
        };
        self.stats.failed_logins.add(held_back.has_failed.into());
        if held_back.until <= clock::now() {
            connection.held_back = None;
            return Flow::Next;
        }
        self.sweep_soon();
        Flow::Stall
    }
}

/// `HELLO [version [AUTH user password] [SETNAME name]]`
fn hello(context: &Context, connection: &mut Connection, args: Args<'_>, out: &mut Vec<u8>) {
    let before = connection.protocol;
    let wanted = match greet(context, connection, args) {
        Ok(wanted) => wanted,
        Err(error) => return Reply::new(out, before).error_bytes(&error),
    };
    let protocol = wanted.unwrap_or(before);
    connection.protocol = protocol;
    let number = match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    };
    connection.client.protocol.store(number, Relaxed);
    let mut reply = Reply::new(out, protocol);
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(i64::from(number));
    reply.bulk(b"id");
    reply.integer(connection.client.id.cast_signed());
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
}

/// Does what HELLO asks for beside the version; gives the version, if one was named.
fn greet(
    context: &Context,
    connection: &mut Connection,
    args: Args<'_>,
) -> Result<Option<Protocol>, Vec<u8>> {
    let wanted = match args.len() {
        1 => None,
        _ => match parse_i64(args.get(1)) {
            Some(2) => Some(Protocol::Resp2),
            Some(3) => Some(Protocol::Resp3),
            Some(_) => return Err("NOPROTO unsupported protocol version".into()),
            None => return Err("ERR Protocol version is not an integer or out of range".into()),
        },
    };
    let mut at = 2;
    let mut name = None;
    while at < args.len() {
        let option = args.get(at);
        let left = args.len() - at - 1;
        if option.eq_ignore_ascii_case(b"auth") && left >= 2 {
            log_in(context, connection, args.get(at + 1), args.get(at + 2))
                .map_err(str::as_bytes)?;
            at += 3;
        } else if option.eq_ignore_ascii_case(b"setname") && left >= 1 {
            let wanted = client_name(args.get(at + 1)).ok_or(BAD_NAME)?;
            // Of a client that is known alone: before that nothing of it is kept.
            match connection.authenticated {
                true => connection.client.labels.lock().name = wanted,
                false => name = Some(wanted),
            }
            at += 2;
        } else {
            return Err(quoting("ERR Syntax error in HELLO option '", option, "'"));
        }
    }
    if !connection.authenticated {
        return Err(HELLO_FIRST.into());
    }
    if let Some(name) = name {
        connection.client.labels.lock().name = name;
    }
    Ok(wanted)
}

/// An error that repeats what the client sent, byte for byte.
fn quoting(before: &str, quoted: &[u8], behind: &str) -> Vec<u8> {
    [before.as_bytes(), quoted, behind.as_bytes()].concat()
}

fn log_in(
    context: &Context,
    connection: &mut Connection,
    user: &[u8],
    password: &[u8],
) -> Result<(), &'static str> {
    let known = user == b"default"
        && context
            .password
            .as_ref()
            .is_none_or(|expected| expected.matches(password));
    // Without a password there is none to be guessed.
    if context.password.is_some() {
        let (now, address) = (clock::now(), &connection.client.address);
        let delay = match known {
            true => context.logins.pass(address, now),
            false => context.logins.fail(address, now),
        };
        connection.held_back = Some(HeldBack {
            until: clock::later(now, delay),
            has_failed: !known,
            is_stranger: !connection.authenticated,
        });
    }
    if !known {
        return Err(WRONG_PASSWORD);
    }
    connection.authenticate();
    Ok(())
}

fn auth(context: &Context, connection: &mut Connection, args: Args<'_>, reply: &mut Reply<'_>) {
    let result = match args.len() {
        2 if context.password.is_none() => Err(NO_PASSWORD),
        2 => log_in(context, connection, b"default", args.get(1)),
        3 => log_in(context, connection, args.get(1), args.get(2)),
        _ => Err(SYNTAX),
    };
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn reset(context: &Context, connection: &mut Connection, reply: &mut Reply<'_>) {
    connection.protocol = Protocol::Resp2;
    connection.patience = None;
    connection.discard_transaction();
    connection.client.protocol.store(2, Relaxed);
    connection.select(0);
    if context.password.is_some() {
        connection.forget_authentication(clock::now());
    }
    connection.client.labels.lock().name.clear();
    reply.simple("RESET");
}

fn shutdown(context: &Context, args: Args<'_>, reply: &mut Reply<'_>) -> Flow {
    for option in args.iter_from(1) {
        let known: [&[u8]; 4] = [b"nosave", b"save", b"now", b"force"];
        if option.eq_ignore_ascii_case(b"abort") {
            reply.error("ERR No shutdown in progress.");
            return Flow::Next;
        }
        if !known.iter().any(|known| option.eq_ignore_ascii_case(known)) {
            reply.error(SYNTAX);
            return Flow::Next;
        }
    }
    let has = |word: &[u8]| {
        args.iter_from(1)
            .any(|option| option.eq_ignore_ascii_case(word))
    };
    if has(b"save") {
        if has(b"nosave") {
            reply.error(SYNTAX);
            return Flow::Next;
        }
        let Some(persistence) = &context.persistence else {
            reply.error(errors::NO_DIRECTORY);
            return Flow::Next;
        };
        persistence.save_at_end.store(true, Relaxed);
    }
    // A second request while one is on its way changes nothing.
    drop(context.shutdown.try_send(ShutdownCause::Command));
    Flow::End
}

/// `BGSAVE [SCHEDULE]`
fn bgsave(context: &Context, args: Args<'_>, reply: &mut Reply<'_>) {
    let schedules = match args.len() {
        1 => false,
        2 if args.get(1).eq_ignore_ascii_case(b"schedule") => true,
        _ => return reply.error(SYNTAX),
    };
    let Some(persistence) = &context.persistence else {
        return reply.error(errors::NO_DIRECTORY);
    };
    match persistence.ask(None, schedules) {
        Asked::Begun => reply.simple("Background saving started"),
        Asked::Scheduled => reply.simple("Background saving scheduled"),
        Asked::Busy => reply.error(errors::SAVE_IN_PROGRESS),
        Asked::Ended => reply.error(errors::DRAINING),
    }
}

/// BGREWRITEAOF: a snapshot is what makes the log short.
fn rewrite(context: &Context, reply: &mut Reply<'_>) {
    let Some(persistence) = &context.persistence else {
        return reply.error(errors::NO_DIRECTORY);
    };
    match persistence.ask(None, true) {
        Asked::Begun => reply.simple("Background append only file rewriting started"),
        Asked::Ended => reply.error(errors::DRAINING),
        Asked::Scheduled | Asked::Busy => {
            reply.simple("Background append only file rewriting scheduled")
        }
    }
}

/// When the last snapshot was taken (Unix seconds), or the server started.
pub(crate) fn last_save(context: &Context) -> u64 {
    match &context.persistence {
        Some(persistence) => persistence.saves().last_seconds,
        None => {
            let uptime = clock::now().saturating_duration_since(context.started);
            (clock::unix_micros() / 1_000_000).saturating_sub(uptime.as_secs())
        }
    }
}

fn select(context: &Context, connection: &mut Connection, args: Args<'_>, reply: &mut Reply<'_>) {
    match database(args.get(1), context.gauges.databases()) {
        Ok(database) => {
            connection.select(database);
            reply.ok();
        }
        Err(error) => reply.error(error.error()),
    }
}

fn time(reply: &mut Reply<'_>) {
    let micros = clock::unix_micros();
    reply.array(2);
    reply.bulk((micros / 1_000_000).to_string().as_bytes());
    reply.bulk((micros % 1_000_000).to_string().as_bytes());
}

/// A name that can stand in a line of CLIENT LIST.
fn client_name(name: &[u8]) -> Option<String> {
    let fine = name.iter().all(|byte| (b'!'..=b'~').contains(byte));
    fine.then(|| String::from_utf8_lossy(name).into_owned())
}

fn set_info(client: &Client, args: Args<'_>, reply: &mut Reply<'_>) {
    let (attribute, value) = (args.get(2), args.get(3));
    let Some(value) = client_name(value) else {
        let why = " cannot contain spaces, newlines or special characters.";
        return reply.error_bytes(&quoting("ERR ", attribute, why));
    };
    let mut labels = client.labels.lock();
    if attribute.eq_ignore_ascii_case(b"lib-name") {
        labels.library = value;
    } else if attribute.eq_ignore_ascii_case(b"lib-ver") {
        labels.library_version = value;
    } else {
        return reply.error_bytes(&quoting("ERR Unrecognized option '", attribute, "'"));
    }
    reply.ok();
}

fn client_list(context: &Context, args: Args<'_>, reply: &mut Reply<'_>) {
    let mut clients = context.clients.all();
    if args.len() > 2 {
        let option = args.get(2);
        if option.eq_ignore_ascii_case(b"id") && args.len() > 3 {
            let mut ids = Vec::new();
            for id in args.iter_from(3) {
                match parse_i64(id).and_then(|id| u64::try_from(id).ok()) {
                    Some(id) => ids.push(id),
                    None => return reply.error("ERR Invalid client ID"),
                }
            }
            clients.retain(|client| ids.contains(&client.id));
        } else if option.eq_ignore_ascii_case(b"type") && args.len() == 4 {
            let kind = args.get(3);
            let known: [&[u8]; 4] = [b"normal", b"master", b"replica", b"pubsub"];
            if kind.eq_ignore_ascii_case(b"slave") || !known[0].eq_ignore_ascii_case(kind) {
                if !known.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
                    return reply.error_bytes(&quoting("ERR Unknown client type '", kind, "'"));
                }
                clients.clear();
            }
        } else {
            return reply.error(SYNTAX);
        }
    }
    let mut text = String::new();
    for client in clients {
        text.push_str(&client_line(&client));
        text.push('\n');
    }
    reply.verbatim(b"txt", text.as_bytes());
}

/// One client, in the fields of Redis.
fn client_line(client: &Client) -> String {
    let age = clock::now().saturating_duration_since(client.since);
    let active = std::time::Duration::from_millis(client.active_ms.load(Relaxed));
    let idle = age.saturating_sub(active);
    let labels = client.labels.lock();
    let command = match client.command.load(Relaxed) {
        0 => "NULL",
        id => TABLE
            .get(usize::from(id) - 1)
            .map_or("NULL", |spec| spec.name),
    };
    let input = client.pending_bytes.load(Relaxed);
    let output = client.output_bytes.load(Relaxed);
    // Whose address is a path has come by a unix socket.
    let kind = match (client.address.starts_with('/'), client.queued.load(Relaxed)) {
        (true, ..0) => "U",
        (false, ..0) => "N",
        (true, 0..) => "xU",
        (false, 0..) => "x",
    };
    format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={kind} db={} sub=0 psub=0 ssub=0 \
         multi={} qbuf={} qbuf-free={} argv-mem=0 multi-mem={} rbs=0 rbp=0 obl=0 oll={} omem={} \
         tot-mem={} events=r cmd={command} user=default redir=-1 resp={} lib-name={} lib-ver={}",
        client.id,
        client.address,
        client.local_address,
        client.fd,
        labels.name,
        age.as_secs(),
        idle.as_secs(),
        client.database.load(Relaxed),
        client.queued.load(Relaxed),
        input,
        client.input_held.load(Relaxed).saturating_sub(input),
        client.queued_bytes.load(Relaxed),
        u8::from(output > 0),
        output,
        client.buffer_bytes(),
        client.protocol.load(Relaxed),
        labels.library,
        labels.library_version,
    )
}
