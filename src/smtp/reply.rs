//! A [`Reply`] is what we answer to a command: a code, an enhanced status and short texts.
//!
//! Replies are clean by construction: seven-bit, no control characters, at most 512 octets a line,
//! whatever the texts were copied from (W10).

use std::borrow::Cow;
use std::fmt::{self, Write};

use crate::mail::EnhancedStatus;

/// Longest reply line in octets, CRLF included (RFC 5321 §4.5.3.1.5).
pub const REPLY_LINE_LIMIT: usize = 512;

/// One reply, possibly of several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    status: Option<EnhancedStatus>,
    first: Cow<'static, str>,
    more: Vec<String>,
}

impl Reply {
    /// A reply of one line with an enhanced status (RFC 2034).
    #[must_use]
    pub fn new(code: u16, status: EnhancedStatus, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            status: Some(status),
            first: clean(text.into()),
            more: Vec::new(),
        }
    }

    /// A reply without an enhanced status: greeting, EHLO, 334 and 354 have none.
    #[must_use]
    pub fn bare(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            status: None,
            first: clean(text.into()),
            more: Vec::new(),
        }
    }

    /// The same reply with one more line.
    #[must_use]
    pub fn line(mut self, text: &str) -> Self {
        self.more.push(clean(Cow::Borrowed(text)).into_owned());
        self
    }

    /// The three digits.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status.
    #[must_use]
    pub const fn status(&self) -> Option<EnhancedStatus> {
        self.status
    }

    /// 2yz or 3yz.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// 5yz.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// Writes the reply as it goes over the wire.
    pub fn encode(&self, out: &mut impl bytes::BufMut) {
        let lines =
            std::iter::once(self.first.as_ref()).chain(self.more.iter().map(String::as_str));
        let last = self.more.len();
        for (index, text) in lines.enumerate() {
            let separator = if index == last { b' ' } else { b'-' };
            out.put_slice(&digits(self.code));
            out.put_u8(separator);
            let mut room = REPLY_LINE_LIMIT - 6;
            if let Some(status) = self.status {
                let status = status.digits();
                out.put_slice(status.as_bytes());
                out.put_u8(b' ');
                room -= status.as_bytes().len() + 1;
            }
            out.put_slice(&text.as_bytes()[..text.len().min(room)]);
            out.put_slice(b"\r\n");
        }
    }
}

fn digits(code: u16) -> [u8; 3] {
    let digit = |n: u16| b'0' + (n % 10) as u8;
    [digit(code / 100), digit(code / 10), digit(code)]
}

/// Every octet that is not printable ASCII becomes a question mark.
fn clean(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return text;
    }
    text.chars()
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .collect::<String>()
        .into()
}

/// One line, as the log tells it.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for digit in digits(self.code) {
            f.write_char(char::from(digit))?;
        }
        if let Some(status) = self.status {
            f.write_char(' ')?;
            f.write_str(status.digits().as_str())?;
        }
        f.write_char(' ')?;
        f.write_str(&self.first)?;
        for line in &self.more {
            f.write_str(" / ")?;
            f.write_str(line)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_line_and_several() {
        let reply = Reply::new(550, EnhancedStatus::of(5, 1, 1), "No such user");
        assert_eq!(wire(&reply), "550 5.1.1 No such user\r\n");
        assert_eq!(
            wire(&Reply::bare(250, "mx.example").line("PIPELINING")),
            "250-mx.example\r\n250 PIPELINING\r\n"
        );
        assert_eq!(
            wire(&reply.line("Try again")),
            "550-5.1.1 No such user\r\n550 5.1.1 Try again\r\n"
        );
    }

    #[test]
    fn w10_x42_no_control_byte_gets_into_a_reply() {
        let reply = Reply::new(
            550,
            EnhancedStatus::of(5, 1, 1),
            "a\r\n550 b\u{1b}[2Jé\u{7}",
        );
        assert_eq!(wire(&reply), "550 5.1.1 a??550 b?[2J??\r\n");
    }

    #[test]
    fn w10_a_reply_line_has_at_most_512_octets() {
        let reply = Reply::new(550, EnhancedStatus::of(5, 1, 1), "x".repeat(2000));
        assert_eq!(wire(&reply).len(), REPLY_LINE_LIMIT);
    }
}
