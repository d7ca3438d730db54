//! An [`EnhancedStatus`] is the three-part code that says why (RFC 3463), as in `5.1.1`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An enhanced mail system status code, RFC 3463 §2.
///
/// Subject and detail have up to three digits: `5.7.509` is in daily use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnhancedStatus {
    class: u8,
    subject: u16,
    detail: u16,
}

/// The text is not an enhanced status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an enhanced status code (expected something like 5.1.1)")]
pub struct StatusError;

impl EnhancedStatus {
    /// Makes a code known when the program is written, as in `EnhancedStatus::of(5, 1, 1)`.
    #[must_use]
    pub const fn of(class: u8, subject: u16, detail: u16) -> Self {
        Self {
            class,
            subject,
            detail,
        }
    }

    /// 2 for success, 4 for a persistent transient failure, 5 for a permanent one.
    #[must_use]
    pub const fn class(self) -> u8 {
        self.class
    }

    /// What it is about: 1 addressing, 2 mailbox, 3 system, 4 network, 5 protocol, 6 content, 7 policy.
    #[must_use]
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// The detail within the subject.
    #[must_use]
    pub const fn detail(self) -> u16 {
        self.detail
    }

    /// Reads a code at the start of `text`; returns it with what follows.
    ///
    /// The code must be followed by the end or by something that cannot continue it.
    #[must_use]
    pub fn parse_prefix(text: &[u8]) -> Option<(Self, &[u8])> {
        let class = match text.first()? {
            b'2' => 2,
            b'4' => 4,
            b'5' => 5,
            _ => return None,
        };
        let rest = text[1..].strip_prefix(b".")?;
        let (subject, rest) = number(rest)?;
        let rest = rest.strip_prefix(b".")?;
        let (detail, rest) = number(rest)?;
        let ends = !matches!(rest.first(), Some(b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'));
        ends.then_some((Self::of(class, subject, detail), rest))
    }
}

/// One to three digits.
fn number(text: &[u8]) -> Option<(u16, &[u8])> {
    let digits = text
        .iter()
        .take(4)
        .take_while(|b| b.is_ascii_digit())
        .count();
    if !(1..=3).contains(&digits) {
        return None;
    }
    let value = text[..digits]
        .iter()
        .fold(0u16, |value, digit| value * 10 + u16::from(digit - b'0'));
    Some((value, &text[digits..]))
}

impl EnhancedStatus {
    /// The code as it is written. Every reply carries one, and the machinery of formatting costs
    /// several times what writing three numbers does.
    #[must_use]
    pub fn digits(self) -> StatusDigits {
        let mut digits = StatusDigits {
            text: [0; STATUS_DIGITS],
            length: 0,
        };
        digits.number(self.class.into());
        digits.push(b'.');
        digits.number(self.subject);
        digits.push(b'.');
        digits.number(self.detail);
        digits
    }
}

/// Room for a class and two numbers of five digits with their dots.
const STATUS_DIGITS: usize = 15;

/// A status as text.
#[derive(Debug, Clone, Copy)]
pub struct StatusDigits {
    text: [u8; STATUS_DIGITS],
    length: usize,
}

impl StatusDigits {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Its octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }

    fn push(&mut self, byte: u8) {
        self.text[self.length] = byte;
        self.length += 1;
    }

    fn number(&mut self, number: u16) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.push(b'0' + (number % 10) as u8);
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits().as_str())
    }
}

impl FromStr for EnhancedStatus {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        match Self::parse_prefix(text.as_bytes()) {
            Some((status, [])) => Ok(status),
            _ => Err(StatusError),
        }
    }
}

impl Serialize for EnhancedStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EnhancedStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(u8, u16, u16)>) {
        let parsed = text.parse::<EnhancedStatus>().ok();
        assert_eq!(
            parsed,
            expected.map(|(c, s, d)| EnhancedStatus::of(c, s, d)),
            "{text}"
        );
        if let Some(status) = parsed {
            assert_eq!(status.to_string(), text);
        }
    }

    #[test]
    fn reads_what_the_standard_allows_and_nothing_else() {
        check("5.1.1", Some((5, 1, 1)));
        check("2.0.0", Some((2, 0, 0)));
        check("5.7.509", Some((5, 7, 509)));
        check("4.999.999", Some((4, 999, 999)));
        check("3.1.1", None);
        check("5.1", None);
        check("5.1.", None);
        check("5.1.1234", None);
        check("5.1.1x", None);
        check("", None);
    }

    #[test]
    fn a_prefix_ends_where_the_code_ends() {
        let (status, rest) = EnhancedStatus::parse_prefix(b"5.1.1 no such user").unwrap();
        assert_eq!(
            (status.to_string().as_str(), rest),
            ("5.1.1", &b" no such user"[..])
        );
        assert!(EnhancedStatus::parse_prefix(b"5.1.1a").is_none());
    }
}
