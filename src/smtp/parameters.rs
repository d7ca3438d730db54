//! The ESMTP parameters behind a path: read strictly, kept as they were written.
//!
//! They go upstream byte for byte (E5), so each is kept raw. `smtp-proto` reads them; what it takes
//! too lightly (numbers that wrap, `NOTIFY=NEVER,SUCCESS`, repeated keywords) is checked here.

use std::borrow::Cow;

use bytes::Bytes;
use smtp_proto::request::parser::Rfc5321Parser;
use smtp_proto::{MAIL_BODY_8BITMIME, MAIL_REQUIRETLS, MAIL_SMTPUTF8};

use super::extensions::Extensions;
use super::xtext;

/// Longest ENVID, decoded (RFC 3461 §4.4).
const ENVELOPE_ID_LIMIT: usize = 100;
/// Longest ORCPT, decoded (RFC 3461 §4.2).
const ORIGINAL_RECIPIENT_LIMIT: usize = 500;

/// What is wrong with the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// Malformed, out of range or repeated: `501 5.5.4`.
    #[error("invalid or repeated parameter")]
    Invalid,
    /// Not offered: `555 5.5.4`.
    #[error("parameter not supported")]
    Unsupported,
    /// A declared size no server could take: `552 5.3.4`.
    #[error("declared size too large")]
    TooLarge,
}

/// One parameter as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter {
    keyword: Keyword,
    raw: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Size,
    Body,
    SmtpUtf8,
    RequireTls,
    Return,
    EnvelopeId,
    Auth,
    Notify,
    OriginalRecipient,
}

impl Keyword {
    const MAIL: [(&'static str, Self); 7] = [
        ("SIZE", Self::Size),
        ("BODY", Self::Body),
        ("SMTPUTF8", Self::SmtpUtf8),
        ("REQUIRETLS", Self::RequireTls),
        ("RET", Self::Return),
        ("ENVID", Self::EnvelopeId),
        ("AUTH", Self::Auth),
    ];
    const RCPT: [(&'static str, Self); 2] =
        [("NOTIFY", Self::Notify), ("ORCPT", Self::OriginalRecipient)];

    const fn is_dsn(self) -> bool {
        matches!(
            self,
            Self::Return | Self::EnvelopeId | Self::Notify | Self::OriginalRecipient
        )
    }

    /// Whether the upstream can be told. Of AUTH= it is never told: we do not vouch (RFC 4954 §5).
    const fn goes_to(self, upstream: &Extensions) -> bool {
        match self {
            Self::Size => upstream.size.is_some(),
            Self::Body => upstream.eight_bit_mime,
            Self::SmtpUtf8 => upstream.smtp_utf8,
            Self::RequireTls => upstream.require_tls,
            Self::Return | Self::EnvelopeId | Self::Notify | Self::OriginalRecipient => {
                upstream.dsn
            }
            Self::Auth => false,
        }
    }
}

/// The parameters of MAIL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailParameters {
    raw: Vec<Parameter>,
    /// SIZE: the declared size in octets.
    pub size: Option<u64>,
    /// BODY=8BITMIME.
    pub eight_bit_mime: bool,
    /// SMTPUTF8.
    pub smtp_utf8: bool,
    /// REQUIRETLS.
    pub require_tls: bool,
}

/// The parameters of RCPT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RcptParameters {
    raw: Vec<Parameter>,
}

impl MailParameters {
    /// Reads what follows the reverse-path and its space.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &Bytes) -> Result<Self, ParameterError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let raw = split(text, &Keyword::MAIL)?;
        let mut size = None;
        for parameter in &raw {
            let value = value(&parameter.raw);
            match parameter.keyword {
                Keyword::Size => size = Some(number(value)?),
                Keyword::EnvelopeId => printable(value, ENVELOPE_ID_LIMIT)?,
                _ => {}
            }
        }
        let flags = read_mail_flags(&raw)?;
        Ok(Self {
            size,
            eight_bit_mime: flags & MAIL_BODY_8BITMIME != 0,
            smtp_utf8: flags & MAIL_SMTPUTF8 != 0,
            require_tls: flags & MAIL_REQUIRETLS != 0,
            raw,
        })
    }

    /// Whether RET or ENVID is among them.
    #[must_use]
    pub fn uses_dsn(&self) -> bool {
        self.raw.iter().any(|parameter| parameter.keyword.is_dsn())
    }

    /// Writes those that the upstream understands, each with a space in front.
    pub fn encode(&self, upstream: &Extensions, out: &mut impl bytes::BufMut) {
        encode(&self.raw, upstream, out);
    }
}

impl RcptParameters {
    /// Reads what follows the forward-path and its space.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &Bytes) -> Result<Self, ParameterError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let raw = split(text, &Keyword::RCPT)?;
        for parameter in &raw {
            let value = value(&parameter.raw);
            match parameter.keyword {
                Keyword::Notify => notify(value)?,
                _ => original_recipient(value)?,
            }
        }
        Ok(Self { raw })
    }

    /// Whether NOTIFY or ORCPT is among them.
    #[must_use]
    pub const fn uses_dsn(&self) -> bool {
        !self.raw.is_empty()
    }

    /// Writes those that the upstream understands, each with a space in front.
    pub fn encode(&self, upstream: &Extensions, out: &mut impl bytes::BufMut) {
        encode(&self.raw, upstream, out);
    }
}

fn encode(raw: &[Parameter], upstream: &Extensions, out: &mut impl bytes::BufMut) {
    for parameter in raw.iter().filter(|p| p.keyword.goes_to(upstream)) {
        out.put_u8(b' ');
        out.put_slice(&parameter.raw);
    }
}

fn split(text: &Bytes, known: &[(&str, Keyword)]) -> Result<Vec<Parameter>, ParameterError> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for raw in text.split(|&b| b == b' ').filter(|raw| !raw.is_empty()) {
        let name = raw.split(|&b| b == b'=').next().unwrap_or_default();
        if !is_keyword(name) || raw.iter().any(|b| b.is_ascii_control()) {
            return Err(ParameterError::Invalid);
        }
        let keyword = known
            .iter()
            .find(|(text, _)| text.as_bytes().eq_ignore_ascii_case(name))
            .map(|&(_, keyword)| keyword)
            .ok_or(ParameterError::Unsupported)?;
        if parameters.iter().any(|p| p.keyword == keyword) {
            return Err(ParameterError::Invalid);
        }
        parameters.push(Parameter {
            keyword,
            raw: text.slice_ref(raw),
        });
    }
    Ok(parameters)
}

/// `esmtp-keyword` of RFC 5321 §4.1.2.
fn is_keyword(name: &[u8]) -> bool {
    name.first().is_some_and(u8::is_ascii_alphanumeric)
        && name.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-')
}

fn value(raw: &[u8]) -> &[u8] {
    raw.iter()
        .position(|&b| b == b'=')
        .map_or(&[], |at| &raw[at + 1..])
}

/// The flags as `smtp-proto` reads them. SIZE and ENVID were checked already: it bounds the one
/// otherwise and garbles what the other may hold.
fn read_mail_flags(raw: &[Parameter]) -> Result<u64, ParameterError> {
    let mut text = Vec::with_capacity(64);
    let ours = [Keyword::Size, Keyword::EnvelopeId];
    for parameter in raw.iter().filter(|p| !ours.contains(&p.keyword)) {
        text.extend_from_slice(&parameter.raw);
        text.push(b' ');
    }
    text.push(b'\n');
    let mut bytes = text.iter();
    Rfc5321Parser::new(&mut bytes)
        .mail_from_parameters(Cow::Borrowed(""))
        .map(|parameters| parameters.flags)
        .map_err(|_| ParameterError::Invalid)
        .and_then(|flags| {
            // BODY=BINARYMIME is of an extension that is never offered (W9).
            let binary = flags & smtp_proto::MAIL_BODY_BINARYMIME != 0;
            if binary {
                Err(ParameterError::Invalid)
            } else {
                Ok(flags)
            }
        })
}

/// A number of at most 20 digits (RFC 1870 §4).
fn number(value: &[u8]) -> Result<u64, ParameterError> {
    if value.is_empty() || value.len() > 20 || !value.iter().all(u8::is_ascii_digit) {
        return Err(ParameterError::Invalid);
    }
    std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or(ParameterError::TooLarge)
}

/// `xtext` (RFC 3461 §4) that stands for printable ASCII: an encoded line end must not get through.
fn printable(value: &[u8], limit: usize) -> Result<(), ParameterError> {
    let decoded = xtext::decode(value).ok_or(ParameterError::Invalid)?;
    let fine = !decoded.is_empty()
        && decoded.len() <= limit
        && decoded.iter().all(|b| matches!(b, b' '..=b'~'));
    if fine {
        Ok(())
    } else {
        Err(ParameterError::Invalid)
    }
}

/// NEVER alone, or some of SUCCESS, FAILURE and DELAY (RFC 3461 §4.1).
fn notify(value: &[u8]) -> Result<(), ParameterError> {
    let mut seen: Vec<&[u8]> = Vec::new();
    for word in value.split(|&b| b == b',') {
        let known = [&b"NEVER"[..], b"SUCCESS", b"FAILURE", b"DELAY"];
        let word = known
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(word))
            .ok_or(ParameterError::Invalid)?;
        if seen.contains(&word) {
            return Err(ParameterError::Invalid);
        }
        seen.push(word);
    }
    if seen.len() > 1 && seen.contains(&&b"NEVER"[..]) {
        return Err(ParameterError::Invalid);
    }
    Ok(())
}

/// `addr-type ";" xtext` (RFC 3461 §4.2), or the raw form of RFC 6533 §3 for `utf-8`.
fn original_recipient(value: &[u8]) -> Result<(), ParameterError> {
    let at = value
        .iter()
        .position(|&b| b == b';')
        .ok_or(ParameterError::Invalid)?;
    let (kind, address) = (&value[..at], &value[at + 1..]);
    if !is_keyword(kind) {
        return Err(ParameterError::Invalid);
    }
    if kind.eq_ignore_ascii_case(b"utf-8") {
        let text = std::str::from_utf8(address).map_err(|_| ParameterError::Invalid)?;
        let bad = |c: char| c.is_control() || c.is_whitespace();
        let fine =
            !text.is_empty() && text.len() <= ORIGINAL_RECIPIENT_LIMIT && !text.contains(bad);
        return if fine {
            Ok(())
        } else {
            Err(ParameterError::Invalid)
        };
    }
    printable(address, ORIGINAL_RECIPIENT_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Extensions = Extensions {
        pipelining: true,
        eight_bit_mime: true,
        smtp_utf8: true,
        require_tls: true,
        dsn: true,
        size: Some(0),
        start_tls: true,
        xforward: crate::smtp::extensions::Xforward {
            address: true,
            helo: true,
            protocol: true,
        },
    };

    fn mail(text: &'static str) -> Result<MailParameters, ParameterError> {
        MailParameters::parse(&Bytes::from_static(text.as_bytes()))
    }

    fn rcpt(text: &'static str) -> Result<RcptParameters, ParameterError> {
        RcptParameters::parse(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn e5_valid_parameters_go_upstream_byte_for_byte() {
        let text = "size=1000 BODY=8BITMIME SMTPUTF8 RET=hdrs ENVID=QQ314159+20x REQUIRETLS";
        let parameters = mail(text).unwrap();
        assert_eq!(parameters.size, Some(1000));
        assert!(parameters.eight_bit_mime && parameters.smtp_utf8 && parameters.require_tls);
        assert!(parameters.uses_dsn());
        let mut out = Vec::new();
        parameters.encode(&ALL, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!(" {text}"));

        let text = "NOTIFY=SUCCESS,failure,DELAY ORCPT=rfc822;Bob+2Bx@example.com";
        let mut out = Vec::new();
        rcpt(text).unwrap().encode(&ALL, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!(" {text}"));
    }

    #[test]
    fn f6_what_the_upstream_does_not_offer_is_not_sent() {
        let mut out = Vec::new();
        mail("SIZE=10 BODY=8BITMIME")
            .unwrap()
            .encode(&Extensions::default(), &mut out);
        rcpt("NOTIFY=NEVER")
            .unwrap()
            .encode(&Extensions::default(), &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn e5_x27_invalid_and_repeated_parameters() {
        for text in [
            "ENVID=a+0D+0ARCPT",
            "ENVID=",
            "ENVID=a+2",
            "ENVID=a+zz",
            "ENVID=a=b",
            "SIZE=1 SIZE=2",
            "SIZE=",
            "SIZE=x",
            "SIZE=-1",
            "RET=SOME",
            "BODY=9BIT",
            "BODY=BINARYMIME",
            "=x",
            "SMTPUTF8=1",
        ] {
            assert_eq!(mail(text), Err(ParameterError::Invalid), "{text}");
        }
        for text in [
            "NOTIFY=NEVER NOTIFY=FAILURE",
            "NOTIFY=NEVER,SUCCESS",
            "NOTIFY=",
            "NOTIFY=SUCCESS,SUCCESS",
            "ORCPT=a@example.com",
            "ORCPT=rfc822;",
            "ORCPT=rfc822;a+0Ab",
        ] {
            assert_eq!(rcpt(text), Err(ParameterError::Invalid), "{text}");
        }
        assert!(rcpt("ORCPT=utf-8;bj\u{f6}rn@example.com").is_ok());
    }

    #[test]
    fn what_is_not_offered_is_unsupported() {
        for text in ["HOLDFOR=10", "MT-PRIORITY=3", "X-UNKNOWN", "BY=10;R"] {
            assert_eq!(mail(text), Err(ParameterError::Unsupported), "{text}");
        }
        assert_eq!(
            rcpt("RRVS=2026-01-01T00:00:00Z"),
            Err(ParameterError::Unsupported)
        );
    }

    #[test]
    fn x28_h7_a_size_does_not_wrap_around() {
        assert_eq!(
            mail("SIZE=18446744073709551616"),
            Err(ParameterError::TooLarge)
        );
        assert_eq!(
            mail("SIZE=99999999999999999999999999"),
            Err(ParameterError::Invalid)
        );
        assert_eq!(
            mail("SIZE=18446744073709551615").unwrap().size,
            Some(u64::MAX)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            let bytes = Bytes::from(text);
            let _ = (MailParameters::parse(&bytes), RcptParameters::parse(&bytes));
        }
    }
}
