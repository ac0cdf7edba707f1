//! The texts of errors, as Redis words them.

use shardkeep_resp::Reply;

use super::Args;

/// More than one reply may hold.
pub const REPLY_LIMIT: &str = "ERR the reply exceeds the output limit (1073741824 bytes)";
/// Options that make no sense.
pub const SYNTAX: &str = "ERR syntax error";
/// No integer of 64 bits.
pub const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// No integer of 32 bits.
pub const NOT_A_C_INT: &str =
    "ERR value is out of range, value must between -2147483648 and 2147483647";
/// No database of this number.
pub const DB_OUT_OF_RANGE: &str = "ERR DB index is out of range";
/// A value that would be given to itself.
pub const SAME_OBJECTS: &str = "ERR source and destination objects are the same";
/// No value for the key.
pub const NO_SUCH_KEY: &str = "ERR no such key";
/// A string longer than any may be.
pub const STRING_TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

/// How much of an unknown command's name, and of all its arguments together, an error repeats
/// (bytes). What Redis repeats.
const REPEATED_BYTES_MAX: usize = 128;

/// What Redis repeats of a text: C's string functions take a zero byte for its end.
fn repeated(text: &[u8], bytes_max: usize) -> &[u8] {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    &text[..end.min(bytes_max)]
}

/// Answers a command that does not exist.
#[cold]
pub fn unknown_command(args: Args<'_>, reply: &mut Reply<'_>) {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(repeated(args.get(0), REPEATED_BYTES_MAX));
    text.extend_from_slice(b"', with args beginning with: ");
    let start = text.len();
    for arg in args.iter_from(1) {
        let written = text.len() - start;
        if written >= REPEATED_BYTES_MAX {
            break;
        }
        text.push(b'\'');
        text.extend_from_slice(repeated(arg, REPEATED_BYTES_MAX - written));
        text.extend_from_slice(b"' ");
    }
    reply.error_bytes(&text);
}

/// Answers a subcommand that does not exist, of a command that does.
#[cold]
pub(crate) fn unknown_subcommand(args: Args<'_>, reply: &mut Reply<'_>) {
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend_from_slice(repeated(args.get(1), REPEATED_BYTES_MAX));
    text.extend_from_slice(b"'. Try ");
    text.extend_from_slice(&args.get(0).to_ascii_uppercase());
    text.extend_from_slice(b" HELP.");
    reply.error_bytes(&text);
}

/// Answers a command with too few or too many arguments; `name` is its name in the table.
#[cold]
pub fn wrong_arity(name: &str, reply: &mut Reply<'_>) {
    reply.error(&format!(
        "ERR wrong number of arguments for '{name}' command"
    ));
}

/// Answers an expiry that is not a time.
#[cold]
pub(crate) fn invalid_expire_time(name: &str, reply: &mut Reply<'_>) {
    reply.error(&format!("ERR invalid expire time in '{name}' command"));
}

/// Answers an option that EXPIRE and its like do not have.
#[cold]
pub(crate) fn unsupported_option(option: &[u8], reply: &mut Reply<'_>) {
    let mut text = b"ERR Unsupported option ".to_vec();
    text.extend_from_slice(repeated(option, option.len()));
    reply.error_bytes(&text);
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;

    #[test]
    fn an_unknown_command_is_told_with_what_it_came_with() {
        check(&[
            (
                "nobody",
                "-ERR unknown command 'nobody', with args beginning with: \r\n",
            ),
            (
                "NoBody a b",
                "-ERR unknown command 'NoBody', with args beginning with: 'a' 'b' \r\n",
            ),
            (
                "no\\x00body a\\x00b",
                "-ERR unknown command 'no', with args beginning with: 'a' \r\n",
            ),
        ]);
    }

    #[test]
    fn of_an_unknown_command_only_so_much_is_repeated() {
        let long = "x".repeat(300);
        let shown = "x".repeat(128);
        let most = "x".repeat(96);
        check(&[
            (
                &format!("{long} {long} y"),
                &format!(
                    "-ERR unknown command '{shown}', with args beginning with: '{shown}' \r\n"
                ),
            ),
            (
                &format!("nobody {} {long} y", "y".repeat(29)),
                &format!(
                    "-ERR unknown command 'nobody', with args beginning with: '{}' '{most}' \r\n",
                    "y".repeat(29)
                ),
            ),
        ]);
    }

    #[test]
    fn a_wrong_number_of_arguments_is_told_with_the_name_in_the_table() {
        check(&[
            (
                "GET",
                "-ERR wrong number of arguments for 'get' command\r\n",
            ),
            (
                "GeT a b",
                "-ERR wrong number of arguments for 'get' command\r\n",
            ),
            (
                "MGET",
                "-ERR wrong number of arguments for 'mget' command\r\n",
            ),
        ]);
    }
}
