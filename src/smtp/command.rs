//! A [`Command`] is what a client asks for in one line.
//!
//! `smtp-proto` knows the verbs; the paths of MAIL and RCPT are read by our own parser, because a
//! quoted local-part must not turn into a parameter (see [`crate::mail::path`]).

use std::net::IpAddr;

use bytes::Bytes;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, Request};

use super::parameters::{MailParameters, ParameterError, RcptParameters};
use super::xtext;
use crate::mail::{AddressError, EnhancedStatus, ForwardPath, PathError, ReversePath};
use crate::smtp::Reply;

/// Longest command line in octets, CRLF included: 512 and room for the extensions (W10).
pub const COMMAND_LINE_LIMIT: usize = 2048;
/// Longest line of an AUTH exchange in octets, CRLF included (RFC 4954 §4).
pub const AUTH_LINE_LIMIT: usize = 12_288;
/// Longest argument of EHLO or HELO in octets.
const NAME_LIMIT: usize = 255;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// EHLO, or HELO where `extended` is false.
    Hello {
        /// What the client calls itself.
        name: String,
        /// Whether it speaks ESMTP.
        extended: bool,
    },
    /// LHLO: the client speaks LMTP (RFC 2033 §4.1).
    LocalHello {
        /// What the client calls itself.
        name: String,
    },
    /// MAIL.
    Mail {
        /// Where reports go.
        path: ReversePath,
        /// What follows the path.
        parameters: MailParameters,
    },
    /// RCPT.
    Rcpt {
        /// One recipient.
        path: ForwardPath,
        /// What follows the path.
        parameters: RcptParameters,
    },
    /// DATA.
    Data,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// HELP.
    Help,
    /// VRFY.
    Vrfy,
    /// EXPN, ETRN and other commands that we know and do not do.
    NotImplemented,
    /// QUIT.
    Quit,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth {
        /// PLAIN or LOGIN; none for a mechanism that we do not know.
        mechanism: Option<Mechanism>,
        /// The initial response, as written.
        initial: Option<Bytes>,
    },
    /// XCLIENT, from networks that may say who the client is.
    Xclient(Xclient),
    /// BDAT, which is never offered: so many octets follow all the same (W9).
    Bdat {
        /// Size of the chunk in octets; none where the number makes no sense.
        size: Option<u64>,
    },
}

/// What XCLIENT says about the client; attributes that we make no use of are read and ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Xclient {
    /// ADDR; none where it is not given or not known.
    pub address: Option<IpAddr>,
    /// ADDR says that nobody knows where the client is.
    pub is_nowhere: bool,
    /// HELO; none where it is not given or not known.
    pub helo: Option<String>,
}

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// The older exchange in two prompts.
    Login,
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No verb that we know.
    #[error("unknown command")]
    Unknown,
    /// The verb is known, what follows is wrong.
    #[error("{0}")]
    Syntax(&'static str),
    /// The path of MAIL cannot be read.
    #[error("bad reverse-path: {0}")]
    ReversePath(PathError),
    /// The path of RCPT cannot be read, or has no canonical form (E3).
    #[error("bad forward-path: {0}")]
    ForwardPath(PathError),
    /// The parameters are wrong.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// A browser or a script speaks HTTP to us: close, before its body is taken for commands.
    #[error("an HTTP request")]
    Http,
}

impl Command {
    /// Reads one line without its CRLF.
    ///
    /// # Errors
    /// Says why the line is no command; [`CommandError::reply`] is the answer.
    pub fn parse(line: &Bytes) -> Result<Self, CommandError> {
        if let Some(argument) = after(line, b"MAIL FROM:") {
            let (path, rest) = ReversePath::parse(&argument).map_err(CommandError::ReversePath)?;
            let parameters = MailParameters::parse(&rest)?;
            return Ok(Self::Mail { path, parameters });
        }
        if let Some(argument) = after(line, b"RCPT TO:") {
            let (path, rest) = ForwardPath::parse(&argument).map_err(CommandError::ForwardPath)?;
            let parameters = RcptParameters::parse(&rest)?;
            return Ok(Self::Rcpt { path, parameters });
        }
        if is_http(line) {
            return Err(CommandError::Http);
        }
        if let Some(argument) = after(line, b"BDAT ") {
            return Ok(Self::Bdat {
                size: chunk_size(&argument),
            });
        }
        if let Some(argument) = after(line, b"XCLIENT ") {
            return xclient(&argument).map(Self::Xclient);
        }
        if let Some(argument) = after(line, b"AUTH ") {
            return Ok(auth(&argument, line));
        }
        Self::simple(line)
    }

    /// The commands that `smtp-proto` reads as we want them read.
    fn simple(line: &Bytes) -> Result<Self, CommandError> {
        let mut text = Vec::with_capacity(line.len() + 2);
        text.extend_from_slice(line);
        text.extend_from_slice(b"\r\n");
        let request = Request::parse(&mut text.iter()).map_err(|error| match error {
            smtp_proto::Error::SyntaxError { syntax } => CommandError::Syntax(syntax),
            _ => CommandError::Unknown,
        })?;
        let argument = line
            .iter()
            .position(|&b| b == b' ')
            .map(|at| &line[at + 1..]);
        let bare = |command| match argument {
            None => Ok(command),
            Some(rest) if rest.iter().all(|&b| b == b' ') => Ok(command),
            Some(_) => Err(CommandError::Syntax("no argument is allowed here")),
        };
        match request {
            Request::Ehlo { .. } => hello(argument, "EHLO hostname", |name| Self::Hello {
                name,
                extended: true,
            }),
            Request::Helo { .. } => hello(argument, "HELO hostname", |name| Self::Hello {
                name,
                extended: false,
            }),
            Request::Lhlo { .. } => {
                hello(argument, "LHLO hostname", |name| Self::LocalHello { name })
            }
            Request::Data => bare(Self::Data),
            Request::Rset => bare(Self::Rset),
            Request::Quit => bare(Self::Quit),
            Request::StartTls => bare(Self::StartTls),
            Request::Noop { .. } => Ok(Self::Noop),
            Request::Help { .. } => Ok(Self::Help),
            Request::Vrfy { .. } => Ok(Self::Vrfy),
            Request::Expn { .. }
            | Request::Etrn { .. }
            | Request::Atrn { .. }
            | Request::Burl { .. } => Ok(Self::NotImplemented),
            // The path parsers above have not seen "MAIL FROM:" or "RCPT TO:".
            Request::Mail { .. } => Err(CommandError::Syntax(
                "MAIL FROM:<reverse-path> [parameters]",
            )),
            Request::Rcpt { .. } => {
                Err(CommandError::Syntax("RCPT TO:<forward-path> [parameters]"))
            }
            Request::Bdat { .. } | Request::Auth { .. } => Err(CommandError::Unknown),
        }
    }
}

impl CommandError {
    /// What the client hears.
    #[must_use]
    pub fn reply(self) -> Reply {
        let of = EnhancedStatus::of;
        match self {
            Self::Unknown => Reply::new(500, of(5, 5, 2), "Command not recognized"),
            Self::Http => Reply::new(500, of(5, 5, 2), "This is SMTP"),
            Self::Syntax(syntax) => Reply::new(501, of(5, 5, 4), format!("Syntax: {syntax}")),
            Self::ReversePath(PathError::Brackets) => Reply::new(
                501,
                of(5, 5, 4),
                "Syntax: MAIL FROM:<reverse-path> [parameters]",
            ),
            Self::ForwardPath(PathError::Brackets) => Reply::new(
                501,
                of(5, 5, 4),
                "Syntax: RCPT TO:<forward-path> [parameters]",
            ),
            Self::ReversePath(_) => Reply::new(501, of(5, 1, 7), "Bad sender address syntax"),
            Self::ForwardPath(PathError::Address(AddressError::Routed)) => {
                Reply::new(553, of(5, 1, 3), "Routed addresses are not accepted")
            }
            Self::ForwardPath(_) => Reply::new(501, of(5, 1, 3), "Bad recipient address syntax"),
            Self::Parameter(ParameterError::Invalid) => {
                Reply::new(501, of(5, 5, 4), "Invalid or repeated parameter")
            }
            Self::Parameter(ParameterError::Unsupported) => {
                Reply::new(555, of(5, 5, 4), "Parameter not supported")
            }
            Self::Parameter(ParameterError::TooLarge) => {
                Reply::new(552, of(5, 3, 4), "Message size exceeds the limit")
            }
        }
    }
}

/// What follows `verb`, which is compared without case.
fn after(line: &Bytes, verb: &[u8]) -> Option<Bytes> {
    let fits = line.len() >= verb.len() && line[..verb.len()].eq_ignore_ascii_case(verb);
    fits.then(|| line.slice(verb.len()..))
}

/// What a greeting of the client means, if it names the client.
fn hello(
    argument: Option<&[u8]>,
    syntax: &'static str,
    greeting: impl FnOnce(String) -> Command,
) -> Result<Command, CommandError> {
    let name = argument.unwrap_or_default().trim_ascii();
    let fine = (1..=NAME_LIMIT).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(name) {
        Ok(name) if fine => Ok(greeting(name.to_owned())),
        _ => Err(CommandError::Syntax(syntax)),
    }
}

fn auth(argument: &Bytes, line: &Bytes) -> Command {
    let (name, initial) = match argument.iter().position(|&b| b == b' ') {
        Some(at) => (argument.slice(..at), Some(argument.slice(at + 1..))),
        None => (argument.clone(), None),
    };
    let mut text = Vec::with_capacity(line.len() + 2);
    text.extend_from_slice(b"AUTH ");
    text.extend_from_slice(&name);
    text.extend_from_slice(b"\r\n");
    let mechanism = match Request::parse(&mut text.iter()) {
        Ok(Request::Auth {
            mechanism: AUTH_PLAIN,
            ..
        }) => Some(Mechanism::Plain),
        Ok(Request::Auth {
            mechanism: AUTH_LOGIN,
            ..
        }) => Some(Mechanism::Login),
        _ => None,
    };
    Command::Auth { mechanism, initial }
}

/// `XCLIENT name=value …`, values in xtext (Postfix's XCLIENT_README).
fn xclient(argument: &[u8]) -> Result<Xclient, CommandError> {
    const SYNTAX: CommandError = CommandError::Syntax("XCLIENT attribute=value ...");
    let mut said = Xclient::default();
    for attribute in argument
        .split(|&b| b == b' ')
        .filter(|text| !text.is_empty())
    {
        let at = attribute.iter().position(|&b| b == b'=').ok_or(SYNTAX)?;
        let (name, value) = (&attribute[..at], &attribute[at + 1..]);
        let value = xtext::decode(value).ok_or(SYNTAX)?;
        let value = String::from_utf8(value).map_err(|_| SYNTAX)?;
        let known = !matches!(value.as_str(), "[UNAVAILABLE]" | "[TEMPUNAVAIL]");
        match name.to_ascii_uppercase().as_slice() {
            b"ADDR" if known => {
                let bare = value.strip_prefix("IPV6:").unwrap_or(&value);
                said.address = Some(bare.parse().map_err(|_| SYNTAX)?);
            }
            b"ADDR" => said.is_nowhere = true,
            b"HELO" if known && value.bytes().all(|b| b.is_ascii_graphic()) => {
                said.helo = Some(value);
            }
            b"HELO" | b"NAME" | b"PORT" | b"PROTO" | b"LOGIN" | b"DESTADDR" | b"DESTPORT"
            | b"REVERSE_NAME" => {}
            _ => return Err(SYNTAX),
        }
    }
    Ok(said)
}

fn chunk_size(argument: &[u8]) -> Option<u64> {
    let digits = argument.split(|&b| b == b' ').next().unwrap_or_default();
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The first line of an HTTP request. A browser can be made to send one to any port.
fn is_http(line: &[u8]) -> bool {
    let mut words = line.split(|&b| b == b' ');
    let method = words.next().unwrap_or_default();
    let known: [&[u8]; 8] = [
        b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH",
    ];
    known.contains(&method)
        || words
            .next_back()
            .is_some_and(|word| word.starts_with(b"HTTP/"))
}

#[cfg(test)]
mod tests;
