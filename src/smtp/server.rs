//! A [`Server`] is our side of one SMTP session: bytes from the client become [`Event`]s, and each
//! event is answered with a [`Reply`].
//!
//! It keeps the order of commands and replies, the limits on errors and junk, and the rules about
//! what may be pipelined. It decides nothing about people: MAIL, RCPT, DATA and the end of the data
//! are the caller's to answer. Recipients that arrive together come out together, before the first
//! of them is answered, so that one look-up serves them all.

mod answers;
mod commands;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::body::{BodyFault, BodyLimits, BodyReader, BodyStep};
use super::command::{AUTH_LINE_LIMIT, COMMAND_LINE_LIMIT, Xclient};
use super::line::{LineError, LineReader};
use super::parameters::{MailParameters, RcptParameters};
use super::reply::Reply;
use super::sasl::{Credentials, Exchange};
use crate::mail::{EnhancedStatus, ForwardPath, ReversePath};

/// What one session may do.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Bounds of the body.
    pub body: BodyLimits,
    /// Most recipients of one transaction (E8).
    pub recipient_limit: usize,
    /// Errors after which the session ends (W13).
    pub error_limit: u32,
    /// Commands that do nothing after which the session ends (W13).
    pub junk_command_limit: u32,
    /// Whether STARTTLS can be done.
    pub start_tls: bool,
    /// Whether mail is refused before TLS.
    pub require_tls: bool,
    /// Whether there is anybody who could log in.
    pub auth: bool,
    /// Whether this client may say with XCLIENT who it speaks for.
    pub xclient: bool,
    /// Whether a client that says LHLO is spoken to in LMTP (RFC 2033).
    pub lmtp: bool,
    /// Whether the caller answers a recipient whose address cannot be read; else it hears what is
    /// wrong with it.
    pub unreadable_recipients: bool,
}

/// What the client did that the caller must answer or act upon.
#[derive(Debug)]
pub enum Event {
    /// EHLO, HELO or LHLO: any transaction is over. Answer with [`Server::reply_hello`] or a reply.
    Hello {
        /// What the client calls itself.
        name: String,
        /// Whether it speaks ESMTP, or LMTP.
        extended: bool,
    },
    /// STARTTLS: flush, do the handshake, then call [`Server::tls_established`].
    StartTls,
    /// AUTH: answer with 235 or a refusal.
    Authenticate(Credentials),
    /// XCLIENT: the session begins anew for that client; answer with the greeting.
    Xclient(Xclient),
    /// MAIL: answer before asking for the next event.
    Mail {
        /// Where reports go.
        path: ReversePath,
        /// What follows the path.
        parameters: MailParameters,
    },
    /// RCPT: may be answered after further recipients have come out, in order.
    Recipient {
        /// One recipient.
        path: ForwardPath,
        /// What follows the path.
        parameters: RcptParameters,
    },
    /// RCPT with an address that cannot be read, where the caller answers those: refuse it.
    UnreadableRecipient,
    /// DATA with at least one accepted recipient: answer 354 or a refusal.
    Data,
    /// A piece of the body, dot-stuffed as it came.
    Body(Bytes),
    /// The true end of the data was read: answer with the one reply for the message, or in LMTP
    /// with one for each accepted recipient, in their order ([`Server::replies_due`]).
    EndOfData {
        /// Why the body must not be relayed.
        fault: Option<BodyFault>,
        /// Octets of the message.
        size: u64,
    },
    /// RSET, already answered: any transaction is over.
    Reset,
    /// The session is over: flush what is left and close.
    Close(CloseReason),
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// QUIT.
    Quit,
    /// A bare CR, LF or NUL in a command (W2).
    BareByte,
    /// Bytes came before the reply they depend on (W8, W5).
    EarlyInput,
    /// Too many errors or too many commands that do nothing (W13).
    Limit,
    /// An HTTP request, or a chunk too large to skip (W9).
    NotSmtp,
}

/// One command whose reply is not written yet.
#[derive(Debug)]
struct Slot {
    kind: Kind,
    reply: Option<Reply>,
}

/// What a reply answers; the state changes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hello,
    StartTls,
    Xclient,
    Auth,
    Mail,
    Rcpt,
    Data,
    EndOfData,
    Other,
}

/// Where the session stands.
#[derive(Debug)]
enum State {
    /// No EHLO or HELO yet.
    AwaitHello,
    /// No transaction.
    Idle,
    /// An AUTH exchange.
    Auth(Exchange),
    /// MAIL was accepted; so many recipients were.
    Transaction { accepted: usize },
    /// After the 354.
    Body(BodyReader),
    /// The octets of an uninvited BDAT are thrown away.
    SkipChunk { left: u64, resume: Box<Self> },
    /// Nothing more is read.
    Closed,
}

/// Our side of one session.
#[derive(Debug)]
pub struct Server {
    options: ServerOptions,
    /// What was read and is not used yet.
    input: BytesMut,
    /// Replies that are ready to be written.
    output: BytesMut,
    lines: LineReader,
    state: State,
    /// Commands in the order they came, from the first unanswered one on.
    slots: VecDeque<Slot>,
    owed: Owed,
    /// A command that must wait for the recipients before it to be answered.
    held: Option<Bytes>,
    /// The line that is arriving begins with AUTH, which may be longer.
    auth_line: bool,
    secure: bool,
    authenticated: bool,
    greeted: bool,
    /// How the client greets; none before it did.
    dialect: Option<Dialect>,
    /// Accepted recipients of the message whose data is being read.
    addressees: usize,
    errors: u32,
    junk: u32,
}

/// Which of two protocols the client speaks; it cannot change its mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// RFC 5321: one reply for the message.
    Smtp,
    /// RFC 2033: one reply for each recipient.
    Lmtp,
}

impl Server {
    /// A session before its greeting; `secure` says that it began with TLS.
    #[must_use]
    pub fn new(options: ServerOptions, secure: bool) -> Self {
        Self {
            options,
            input: BytesMut::new(),
            output: BytesMut::new(),
            lines: LineReader::default(),
            state: State::AwaitHello,
            slots: VecDeque::new(),
            owed: Owed::default(),
            held: None,
            auth_line: false,
            secure,
            authenticated: false,
            greeted: false,
            dialect: None,
            addressees: 0,
            errors: 0,
            junk: 0,
        }
    }

    /// Where the caller reads the client's bytes into.
    pub const fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Replies to write; the caller takes them out.
    pub const fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether the session is inside the data of a message.
    #[must_use]
    pub const fn in_body(&self) -> bool {
        matches!(self.state, State::Body(_))
    }

    /// Whether the client speaks LMTP.
    #[must_use]
    pub fn is_lmtp(&self) -> bool {
        self.dialect == Some(Dialect::Lmtp)
    }

    /// How many replies the end of the data is answered with (RFC 2033 §4.2).
    #[must_use]
    pub fn replies_due(&self) -> usize {
        if self.is_lmtp() { self.addressees } else { 1 }
    }

    /// Octets of the body read so far.
    #[must_use]
    pub const fn body_size(&self) -> u64 {
        match &self.state {
            State::Body(reader) => reader.size(),
            _ => 0,
        }
    }

    /// Whether a transaction is open.
    #[must_use]
    pub const fn in_transaction(&self) -> bool {
        matches!(self.state, State::Transaction { .. } | State::Body(_))
    }

    /// What is wrong with the body so far, so that the caller can stop relaying at once.
    #[must_use]
    pub const fn body_fault(&self) -> Option<BodyFault> {
        match &self.state {
            State::Body(reader) => reader.fault(),
            _ => None,
        }
    }

    /// The next thing the client did; none until there is more input or an event is answered.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            if self.owed.ends > 0 {
                return None;
            }
            match &mut self.state {
                State::Closed => return None,
                State::Body(reader) => {
                    return match reader.next(&mut self.input) {
                        BodyStep::Chunk(chunk) => Some(Event::Body(chunk)),
                        BodyStep::End => {
                            let (fault, size) = (reader.fault(), reader.size());
                            for _ in 0..self.replies_due() {
                                self.wait_for(Kind::EndOfData);
                            }
                            Some(Event::EndOfData { fault, size })
                        }
                        BodyStep::Incomplete => None,
                    };
                }
                State::SkipChunk { left, .. } => {
                    let skipped = self
                        .input
                        .len()
                        .min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= skipped as u64;
                    let done = *left == 0;
                    let _ = self.input.split_to(skipped);
                    if !done {
                        return None;
                    }
                    self.end_of_chunk();
                }
                _ => {
                    if self.is_blocked() {
                        return None;
                    }
                    let line = match self.next_line() {
                        Ok(Some(line)) => line,
                        Ok(None) => return None,
                        Err(LineError::BareByte) => return Some(self.bare_byte()),
                        Err(LineError::TooLong) => {
                            self.line_too_long();
                            continue;
                        }
                    };
                    if let Some(event) = self.line(line) {
                        return Some(event);
                    }
                }
            }
            if matches!(self.state, State::Closed) {
                return Some(Event::Close(CloseReason::Limit));
            }
        }
    }

    fn next_line(&mut self) -> Result<Option<Bytes>, LineError> {
        if let Some(line) = self.held.take() {
            return Ok(Some(line));
        }
        if !self.lines.is_discarding() {
            // AUTH may carry its first response on its own line.
            self.auth_line = matches!(self.state, State::Auth(_)) || is_auth(&self.input);
        }
        let limit = if self.auth_line {
            AUTH_LINE_LIMIT
        } else {
            COMMAND_LINE_LIMIT
        };
        self.lines.next(&mut self.input, limit)
    }

    fn bare_byte(&mut self) -> Event {
        // RFC 5321 §2.3.8: accepting a bare LF as a line end invites smuggling.
        self.answer(Reply::new(
            500,
            EnhancedStatus::of(5, 5, 2),
            "Lines must end in CRLF",
        ));
        self.close(CloseReason::BareByte)
    }

    fn line_too_long(&mut self) {
        if matches!(self.state, State::Auth(_)) {
            self.state = State::Idle;
        }
        self.answer(if self.auth_line {
            let status = EnhancedStatus::of(5, 5, 6);
            Reply::new(500, status, "Authentication exchange line is too long")
        } else {
            Reply::new(500, EnhancedStatus::of(5, 5, 2), "Line too long")
        });
    }

    /// Whether the caller owes a reply before the next command can be understood.
    ///
    /// Recipients may go on: nothing in a further RCPT depends on the answers to those before it.
    fn is_blocked(&self) -> bool {
        self.owed.blocks() || (self.held.is_some() && !self.slots.is_empty())
    }
}

/// How many slots have no reply yet: counted, because they are asked for at every line, and a
/// message may have a thousand recipients in one write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Owed {
    /// For RCPT.
    recipients: usize,
    /// For the end of the data.
    ends: usize,
    /// For everything else.
    others: usize,
}

impl Owed {
    const fn count(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Rcpt => &mut self.recipients,
            Kind::EndOfData => &mut self.ends,
            _ => &mut self.others,
        }
    }

    /// Whether anything but recipients waits.
    const fn blocks(self) -> bool {
        self.others + self.ends > 0
    }
}

/// Whether the buffer begins with the AUTH verb.
fn is_auth(input: &[u8]) -> bool {
    input.len() >= 5 && input[..5].eq_ignore_ascii_case(b"AUTH ")
}

#[cfg(test)]
mod tests;
