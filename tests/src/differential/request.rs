//! What is sent: requests, steps, episodes, and how they are written down for a person.

use std::fmt::{self, Display, Formatter};

use crate::harness::request;

/// Bytes of an argument that are shown.
const SHOWN_BYTES_MAX: usize = 100;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A command, as an array of bulk strings or as an inline line.
    Command {
        /// The command and its arguments.
        args: Vec<Vec<u8>>,
        /// Whether it is sent as a line, quoted.
        inline: bool,
    },
    /// Bytes that are no request; the connection ends with them.
    Raw(Vec<u8>),
}

impl Request {
    /// The bytes to send.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Command {
                args,
                inline: false,
            } => request(args),
            Self::Command { args, inline: true } => {
                let mut line = quoted_line(args).into_bytes();
                line.extend_from_slice(b"\r\n");
                line
            }
            Self::Raw(bytes) => bytes.clone(),
        }
    }

    /// The command and its arguments; nothing for bytes that are no request.
    #[must_use]
    pub fn args(&self) -> &[Vec<u8>] {
        match self {
            Self::Command { args, .. } => args,
            Self::Raw(_) => &[],
        }
    }

    /// Whether the server closes the connection after it.
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        match self {
            Self::Command { args, .. } => args[0].eq_ignore_ascii_case(b"quit"),
            Self::Raw(_) => true,
        }
    }
}

impl Display for Request {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { args, inline } => {
                f.write_str(if *inline { "inline " } else { "" })?;
                let args: Vec<String> = args.iter().map(|arg| abridged(arg)).collect();
                f.write_str(&args.join(" "))
            }
            Self::Raw(bytes) => write!(f, "raw {}", quoted(bytes)),
        }
    }
}

/// What is done, and answered by both servers, before the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Requests in one pipeline.
    Batch {
        /// Which of the episode's connections.
        connection: usize,
        /// The pipeline. Only the last may end the connection.
        requests: Vec<Request>,
        /// Into how many pieces its bytes are cut.
        writes: usize,
    },
    /// That many milliseconds pass.
    Pass(u64),
    /// SCAN from 0 to 0, with these options; what it returned is compared as a set.
    Walk {
        /// Which of the episode's connections.
        connection: usize,
        /// MATCH, COUNT, TYPE.
        options: Vec<Vec<u8>>,
    },
}

impl Step {
    /// Commands in it.
    #[must_use]
    pub fn commands(&self) -> usize {
        match self {
            Self::Batch { requests, .. } => requests.len(),
            Self::Walk { .. } => 1,
            Self::Pass(_) => 0,
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch {
                connection,
                requests,
                writes,
            } => {
                if requests.len() > 1 || *writes > 1 {
                    writeln!(f, "    # one pipeline in {writes} writes:")?;
                }
                for request in requests {
                    writeln!(f, "    {connection}> {request}")?;
                }
                Ok(())
            }
            Self::Pass(milliseconds) => writeln!(f, "    # {milliseconds} ms pass"),
            Self::Walk {
                connection,
                options,
            } => writeln!(f, "    {connection}> walk SCAN {}", quoted_line(options)),
        }
    }
}

/// A conversation that stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// How many connections it uses.
    pub connections: usize,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

impl Episode {
    /// Commands in it.
    #[must_use]
    pub fn commands(&self) -> usize {
        self.steps.iter().map(Step::commands).sum()
    }
}

impl Episode {
    /// The same, with every command as an array of bulk strings.
    #[must_use]
    pub fn without_lines(mut self) -> Self {
        for step in &mut self.steps {
            if let Step::Batch { requests, .. } = step {
                for request in requests {
                    if let Request::Command { inline, .. } = request {
                        *inline = false;
                    }
                }
            }
        }
        self
    }
}

impl Display for Episode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| step.fmt(f))
    }
}

/// `bytes` as `redis-cli` and inline commands take them: bare where possible, else quoted.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let bare = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !bytes.is_empty() && bytes.iter().all(bare) {
        return bytes.iter().map(|byte| char::from(*byte)).collect();
    }
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    text
}

/// For reading: what is long is cut.
fn abridged(arg: &[u8]) -> String {
    match arg.len().checked_sub(SHOWN_BYTES_MAX) {
        None | Some(0) => quoted(arg),
        Some(more) => format!("{}(and {more} bytes)", quoted(&arg[..SHOWN_BYTES_MAX])),
    }
}

fn quoted_line(args: &[Vec<u8>]) -> String {
    let args: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
    args.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_only_where_they_must_be() {
        let cases: &[(&[u8], &str)] = &[
            (b"plain", "plain"),
            (b"", "\"\""),
            (b"two words", "\"two words\""),
            (b"a\"b\\", "\"a\\\"b\\\\\""),
            (b"\r\n\0\xff", "\"\\r\\n\\x00\\xff\""),
        ];
        for (bytes, text) in cases {
            assert_eq!(quoted(bytes), *text);
        }
    }
}
