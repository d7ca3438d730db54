//! A [`Client`] is our side of the upstream's session: commands out, and each reply matched to the
//! command it answers.
//!
//! A reply that answers nothing, or that says what no server may say at that point, is a
//! [`ClientFault`]: the connection cannot be trusted to be in step and is dropped (R12).

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf, BufMut, BytesMut};
use memchr::memchr;

use super::reply::Reply;
use crate::mail::EnhancedStatus;
use crate::token::hidden_octets;

/// What a reply is awaited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// RSET.
    Rset,
    /// XFORWARD; a refusal changes nothing for the mail.
    Xforward,
    /// MAIL.
    Mail,
    /// RCPT, of the recipient with this index.
    Rcpt(usize),
    /// DATA.
    Data,
    /// The end of the data.
    EndOfData,
    /// QUIT.
    Quit,
}

/// One reply of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamReply {
    code: u16,
    /// What follows the code, lines separated by line feeds. A copy: to keep a piece of what was
    /// read would keep the whole buffer, and a message may have a thousand recipients.
    text: Box<[u8]>,
}

/// Why the upstream cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// A line that is no reply, or lines of one reply with different codes.
    #[error("malformed reply")]
    Malformed,
    /// More octets than `upstream_reply_limit` (X40).
    #[error("reply too long")]
    TooLong,
    /// Nothing was asked (X41).
    #[error("reply without a command")]
    Unasked,
    /// A code that cannot answer the command (X41).
    #[error("reply code {0} does not answer the command")]
    WrongCode(u16),
}

/// Our side of the upstream's session.
#[derive(Debug)]
pub struct Client {
    /// Commands to write; the caller takes them out.
    output: BytesMut,
    /// Where the caller reads the upstream's bytes into.
    input: BytesMut,
    expected: VecDeque<Expect>,
    /// What was read of the reply that is arriving; none between replies.
    arriving: Option<Arriving>,
    length: usize,
    reply_limit: usize,
}

impl Client {
    /// A session that is past EHLO, TLS and AUTH.
    #[must_use]
    pub fn new(reply_limit: usize) -> Self {
        Self {
            output: BytesMut::new(),
            input: BytesMut::new(),
            expected: VecDeque::new(),
            arriving: None,
            length: 0,
            reply_limit,
        }
    }

    /// Where the caller reads the upstream's bytes into.
    pub const fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// What is to be written upstream; the caller takes it out.
    pub const fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Queues one command and remembers that a reply is owed for it.
    ///
    /// The parts are written one behind the other and ended with CRLF. They come from parsed values
    /// and hold no line end; what would break the line is left out, so that a mistake elsewhere
    /// cannot become a second command (W4).
    pub fn command(&mut self, expect: Expect, parts: &[&[u8]]) {
        // Room for a few commands at once, so that the buffer does not grow by and by.
        self.output.reserve(COMMAND_ROOM);
        for part in parts {
            if super::line::is_clean(part) {
                self.output.put_slice(part);
            } else {
                let clean: Vec<u8> = part
                    .iter()
                    .copied()
                    .filter(|b| !matches!(b, b'\r' | b'\n' | 0))
                    .collect();
                self.output.put_slice(&clean);
            }
        }
        self.output.put_slice(b"\r\n");
        self.expected.push_back(expect);
    }

    /// Remembers that the reply to the message is owed, from the 354 on: it may come early.
    pub fn expect_end_of_data(&mut self) {
        self.expected.push_back(Expect::EndOfData);
    }

    /// Whether a reply is owed.
    #[must_use]
    pub fn awaits_reply(&self) -> bool {
        !self.expected.is_empty()
    }

    /// Whether nothing is owed, nothing is left to write and nothing unasked has come: the connection
    /// is in step.
    #[must_use]
    pub fn is_in_step(&self) -> bool {
        self.expected.is_empty()
            && self.output.is_empty()
            && self.input.is_empty()
            && self.arriving.is_none()
    }

    /// The next reply with what it answers; none until more has arrived.
    ///
    /// # Errors
    /// When the connection must be dropped.
    pub fn next_reply(&mut self) -> Result<Option<(Expect, UpstreamReply)>, ClientFault> {
        while let Some(end) = memchr(b'\n', &self.input) {
            self.length += end + 1;
            if self.length > self.reply_limit {
                return Err(ClientFault::TooLong);
            }
            let line = Line::read(&self.input[..=end])?;
            let reply = line.behind(&mut self.arriving)?;
            self.input.advance(end + 1);
            let Some(reply) = reply else {
                continue;
            };
            self.length = 0;
            let expect = self.expected.pop_front().ok_or(ClientFault::Unasked)?;
            if !expect.allows(reply.code) {
                return Err(ClientFault::WrongCode(reply.code));
            }
            return Ok(Some((expect, reply)));
        }
        if self.length + self.input.len() > self.reply_limit {
            return Err(ClientFault::TooLong);
        }
        if self.expected.is_empty() && !self.input.is_empty() {
            return Err(ClientFault::Unasked);
        }
        Ok(None)
    }
}

/// The lines of a reply that has not ended.
#[derive(Debug)]
struct Arriving {
    code: u16,
    /// What follows the code, as in [`UpstreamReply`].
    text: Vec<u8>,
}

/// One line of a reply.
struct Line<'a> {
    code: u16,
    is_last: bool,
    text: &'a [u8],
}

impl<'a> Line<'a> {
    fn read(line: &'a [u8]) -> Result<Self, ClientFault> {
        // An upstream that ends a line in a bare LF harms nobody here: its text is cleaned anyway.
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let Some((digits, rest)) = text.split_at_checked(3) else {
            return Err(ClientFault::Malformed);
        };
        let code = match digits {
            [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
            }
            _ => return Err(ClientFault::Malformed),
        };
        let (is_last, text) = match rest.split_first() {
            None => (true, &[][..]),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(ClientFault::Malformed),
        };
        Ok(Self {
            code,
            is_last,
            text,
        })
    }

    /// Puts the line behind those that arrived before it; the reply, if it was the last.
    fn behind(
        &self,
        arriving: &mut Option<Arriving>,
    ) -> Result<Option<UpstreamReply>, ClientFault> {
        let code = self.code;
        // Nearly every reply has one line.
        if self.is_last && arriving.is_none() {
            let text = self.text.into();
            return Ok(Some(UpstreamReply { code, text }));
        }
        match arriving {
            None => {
                *arriving = Some(Arriving {
                    code,
                    text: self.text.to_vec(),
                })
            }
            Some(before) if before.code != code => return Err(ClientFault::Malformed),
            Some(before) => {
                before.text.push(b'\n');
                before.text.extend_from_slice(self.text);
            }
        }
        let whole = arriving.take_if(|_| self.is_last);
        Ok(whole.map(|whole| UpstreamReply {
            code,
            text: whole.text.into(),
        }))
    }
}

impl Expect {
    /// The codes that can answer; any failure can, except where a server must not say it.
    const fn allows(self, code: u16) -> bool {
        if code >= 400 {
            return true;
        }
        match self {
            Self::Rset | Self::Xforward | Self::Mail | Self::EndOfData => code == 250,
            Self::Rcpt(_) => matches!(code, 250..=252),
            Self::Data => code == 354,
            Self::Quit => code == 221,
        }
    }
}

impl UpstreamReply {
    /// The three digits.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// 2yz or 3yz.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// The enhanced status in front of the first line, if it fits the code.
    #[must_use]
    pub fn status(&self) -> Option<EnhancedStatus> {
        let (status, _) = EnhancedStatus::parse_prefix(self.lines().next()?)?;
        (u16::from(status.class()) == self.code / 100).then_some(status)
    }

    /// The words without code and status, all lines joined by spaces.
    #[must_use]
    pub fn text(&self) -> String {
        let lines: Vec<_> = self.lines().map(words).collect();
        lines.join(" ")
    }

    /// The same reply with three dots for each of our tokens.
    #[must_use]
    pub fn without_tokens(mut self) -> Self {
        if let Cow::Owned(clean) = hidden_octets(&self.text) {
            self.text = clean.into();
        }
        self
    }

    /// Our own reply with the same code, status and words, cleaned; a missing status is added.
    #[must_use]
    pub fn to_reply(&self) -> Reply {
        let class = u8::try_from(self.code / 100).unwrap_or(5);
        let status = self.status().unwrap_or(EnhancedStatus::of(class, 0, 0));
        let mut lines = self.lines().take(LINES_LIMIT).map(words);
        let first = lines.next().unwrap_or_default().into_owned();
        lines.fold(Reply::new(self.code, status, first), |reply, line| {
            reply.line(&line)
        })
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.text.split(|&byte| byte == b'\n')
    }
}

/// What a command takes that is not unusually long.
const COMMAND_ROOM: usize = 128;

/// Most lines of an upstream's reply that are passed on.
const LINES_LIMIT: usize = 16;

fn words(line: &[u8]) -> Cow<'_, str> {
    let text = EnhancedStatus::parse_prefix(line).map_or(line, |(_, rest)| rest);
    match String::from_utf8_lossy(text) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// One line, as the log tells it.
impl fmt::Display for UpstreamReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_reply().fmt(f)
    }
}

#[cfg(test)]
mod tests;
